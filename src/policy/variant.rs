//! The answers that a selection makes, ready to be encoded: variants, and which lot gets which.
//!
//! One variant serves all lots unless regions or addresses share them: by weight, by a ramp, or because an
//! answer holds fewer addresses than are usable. Addresses stay in the order written; resolvers rotate them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ids::RegionId;
use crate::name::Name;
use crate::net::Family;

use super::fitness::endpoints_of;
use super::lots::LOTS;
use super::map::Class;
use super::plan::Plan;
use super::select::{Outcome, Selection, Situation};
use super::service::{ADDRESSES_MAX, AnswerCount, AnswerKind, Service, TtlPolicy, WhenAllDown};

/// The answers of one service to one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Each distinct answer once, in the order in which lots first meet them; none where the outcome is
    /// [`Outcome::Servfail`], [`Outcome::ForcedDown`] or [`Outcome::Absent`].
    pub variants: Vec<Variant>,
    /// The position in `variants` for each lot; `None` when there is at most one.
    pub lots: Option<Box<[u16; LOTS as usize]>>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The region that answers; `None` for the fallback.
    pub region: Option<RegionId>,
    /// IPv4 addresses in the order written.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6 addresses in the order written.
    pub v6: Vec<Ipv6Addr>,
    /// The host name that answers instead of addresses.
    pub cname: Option<Name>,
    /// In seconds, between the service's floor and its steady TTL.
    pub ttl: u32,
    /// What is special about it; the gravest of what applies.
    pub reason: Reason,
}

/// What is special about an answer; the later, the graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing.
    Steady,
    /// An endpoint in it is suspect.
    Suspect,
    /// A ramp is under way that moves lots of this class.
    Shifting,
    /// It is not the first preference.
    Moved,
    /// Its region is below the threshold, and nothing better is left.
    Degraded,
    /// Nothing is usable: the last resort.
    FailOpen,
    /// Nothing is usable: the addresses that the operator wrote for this.
    Fallback,
}

/// Lays out the answers of a selection that was made of the same situation.
#[must_use]
pub fn lay_out(situation: &Situation<'_>, selection: &Selection) -> Layout {
    if selection.outcome == Outcome::Fallback {
        return Layout { variants: vec![fallback(situation)], lots: None };
    }
    Plan::new(situation, selection).lay_out()
}

/// Whether lots choose among answers of this service to some of these classes even when all is well: what decides how
/// far an answer may be shared (RFC 7871 section 7.2.1) while no ramp is under way.
#[must_use]
pub fn lots_choose(service: &Service, classes: &[Class]) -> bool {
    let limit = service.count.limit();
    let drawn = |family| {
        let more = |region| endpoints_of(region, family).nth(limit).is_some();
        service.regions.iter().any(more)
    };
    let weighed = || service.regions.len() > 1 && classes.iter().any(|class| class.weighted);
    service.answer == AnswerKind::Addresses && (drawn(Family::V4) || drawn(Family::V6)) || weighed()
}

fn fallback(situation: &Situation<'_>) -> Variant {
    let Situation { service, family, .. } = situation;
    let WhenAllDown::Fallback(addresses) = &service.when_all_down else {
        unreachable!("the outcome is a fallback only where the service has one")
    };
    let asked = |address: &&IpAddr| family.is_none_or(|family| family == Family::of(**address));
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses.iter().filter(asked) {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    v4.truncate(ADDRESSES_MAX);
    v6.truncate(ADDRESSES_MAX);
    let ttl = service.ttl.seconds(Reason::Fallback, false, false);
    Variant { region: None, v4, v6, cname: None, ttl, reason: Reason::Fallback }
}

impl TtlPolicy {
    /// The lowest that applies, between floor and steady.
    pub(super) fn seconds(&self, reason: Reason, moved: bool, in_doubt: bool) -> u32 {
        let mut seconds = self.steady;
        if moved {
            seconds = seconds.min(self.moved);
        }
        if in_doubt || reason >= Reason::Degraded {
            seconds = seconds.min(self.suspect);
        }
        seconds.max(self.floor).min(self.steady)
    }
}

impl AnswerCount {
    /// The most addresses of one family in an answer; at least one.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Self::All => ADDRESSES_MAX,
            Self::AtMost(count) => usize::from(count).clamp(1, ADDRESSES_MAX),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Suspect => "suspect",
            Self::Shifting => "shifting",
            Self::Moved => "moved",
            Self::Degraded => "degraded",
            Self::FailOpen => "fail-open",
            Self::Fallback => "fallback",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::service::Tier;
    use crate::policy::testing::World;

    /// Region, letters, TTL and reason of the only variant.
    fn only(world: &World, class: &str, board: &str) -> String {
        let layout = world.lay_out(class, board);
        assert_eq!((layout.variants.len(), &layout.lots), (1, &None), "{class} / {board}");
        let Variant { region, ttl, reason, .. } = &layout.variants[0];
        let region = region.map_or("-", |region| world.name(region));
        format!("{region}: {} {ttl} {reason}", layout.letters(0))
    }

    #[test]
    fn one_variant_needs_no_lots() {
        let world = World::of("eu: a b A; us: c B");
        assert_eq!(only(&world, "eu us", ""), "eu: a b A 30 steady");
        assert_eq!(only(&world, "eu us", "eu1 suspect"), "eu: a b A 5 suspect");
        assert_eq!(only(&world, "eu us", "eu1 down"), "eu: b A 30 steady");
        assert_eq!(only(&world, "eu us", "eu down"), "us: c B 10 moved");
        assert_eq!(only(&world, "eu us", "eu down, us1 suspect"), "us: c B 5 moved");
        assert_eq!(only(&world, "eu us", "us suspect"), "eu: a b A 30 steady");
    }

    #[test]
    fn all_down_serves_the_first_choice_whole_and_briefly() {
        let world = World::of("eu: a b; us: c");
        assert_eq!(only(&world, "eu us", "eu down, us down"), "eu: a b 5 fail-open");
        assert_eq!(only(&world, "eu us", "eu1 forced, eu2 down, us down"), "eu: b 5 fail-open");
        assert_eq!(only(&world, "eu us", "eu down, us drained"), "us: c 5 fail-open");
        assert_eq!(only(&world, "eu us", "eu1 drained, eu2 down, us down"), "eu: a 5 fail-open");
        assert_eq!(only(&world, "eu us", "eu1 down, eu2 drained, us drained"), "eu: b 5 fail-open");
        let one = World::of("eu: a b c");
        assert_eq!(only(&one, "eu", "eu1 down, eu2 down"), "eu: c 5 degraded");
    }

    #[test]
    fn nothing_is_laid_out_where_nothing_may_be_answered() {
        let mut world = World::of("eu: a");
        assert!(world.lay_out("eu", "eu forced").variants.is_empty());
        world.service.when_all_down = WhenAllDown::Servfail;
        assert!(world.lay_out("eu", "eu down").variants.is_empty());
        world.service.when_all_down =
            WhenAllDown::Fallback(vec!["192.0.2.122".parse().unwrap(), "2001:db8::59".parse().unwrap()]);
        assert_eq!(only(&world, "eu", "eu forced"), "-: z Y 5 fallback");
    }

    #[test]
    fn a_later_tier_is_a_move_only_when_an_earlier_one_was_preferred() {
        let world = World::of("eu: a; us: b").tier("eu", Tier::Warm);
        assert_eq!(only(&world, "eu us", ""), "us: b 30 steady");
        assert_eq!(only(&world, "eu us", "us down"), "eu: a 10 moved");
    }

    #[test]
    fn the_ttl_stays_between_floor_and_steady() {
        let mut world = World::of("eu: a; us: b");
        world.service.ttl = TtlPolicy { steady: 60, suspect: 5, moved: 90, floor: 20 };
        assert_eq!(only(&world, "eu us", "eu suspect"), "eu: a 20 suspect");
        assert_eq!(only(&world, "eu us", "eu down"), "us: b 60 moved");
    }

    #[test]
    fn a_host_name_answers_for_its_region() {
        let mut world = World::of("eu: a b; us: c");
        world.service.answer = AnswerKind::Cname;
        world.service.count = AnswerCount::AtMost(1);
        for (region, name) in world.service.regions.iter_mut().zip(["eu.example.", "us.example."]) {
            region.cname = Some(Name::parse(name, None).unwrap());
        }
        let layout = world.lay_out("eu us", "eu1 suspect, eu2 recovering 25%");
        assert_eq!((layout.variants.len(), &layout.lots), (1, &None));
        assert_eq!(layout.variants[0].cname, world.service.regions[0].cname);
        assert_eq!((layout.letters(0).as_str(), layout.variants[0].ttl), ("", 5));
    }

    #[test]
    fn a_region_on_a_ramp_gets_the_lots_of_its_share() {
        let world = World::of("eu: a; us: b");
        let layout = world.lay_out("eu us", "eu recovering 25%");
        assert_eq!(world.shares(&layout), "eu 256, us 768");
        assert!(layout.variants.iter().all(|variant| variant.ttl == 5));
        assert_eq!(only(&world, "eu us", "eu held"), "us: b 10 moved");
        assert_eq!(only(&world, "eu us", "us recovering 25%"), "eu: a 30 steady");
        assert_eq!(world.shares(&world.lay_out("eu us", "eu draining 50%")), "eu 512, us 512");
    }

    #[test]
    fn what_a_ramp_leaves_goes_to_degraded_regions_and_out_of_a_preferring_fence() {
        let world = World::of("eu: a; us: b c d");
        let layout = world.lay_out("eu us", "eu recovering 25%, us1 down, us2 down");
        assert_eq!(world.shares(&layout), "eu 256, us 768");
        let layout = world.lay_out("eu | us, prefer", "eu recovering 25%");
        assert_eq!(world.shares(&layout), "eu 256, us 768");
        let layout = world.lay_out("eu | us, prefer", "eu usable 75%");
        assert_eq!(world.shares(&layout), "eu 768, us 256");
    }

    #[test]
    fn ramps_do_not_count_where_nobody_else_is() {
        let world = World::of("eu: a; us: b");
        assert_eq!(world.shares(&world.lay_out("eu | us, hard", "eu recovering 5%")), "eu 1024");
        let layout = world.lay_out("eu us", "eu recovering 50%, us recovering 50%");
        assert!(layout.variants.iter().all(|variant| !variant.v4.is_empty()));
    }

    #[test]
    fn an_endpoint_on_a_ramp_in_a_region_that_works_gets_its_own_lots() {
        let world = World::of("eu: a b; us: c");
        let layout = world.lay_out("eu us", "eu2 recovering 25%");
        assert_eq!(world.shares(&layout), "eu 1024");
        let with_b = (0..1024).filter(|lot| layout.variant_of(*lot).v4.len() == 2).count();
        assert_eq!(with_b, 256);
        assert!(layout.variants.iter().all(|variant| (variant.ttl, variant.reason) == (5, Reason::Shifting)));
    }

    #[test]
    fn a_region_and_the_endpoint_it_is_on_a_ramp_for_take_the_same_lots() {
        let world = World::of("eu: a b; us: c");
        let layout = world.lay_out("eu us", "eu1 recovering 25%, eu2 recovering 50%");
        assert_eq!(world.shares(&layout), "eu 512, us 512");
        let both = (0..1024).filter(|lot| layout.variant_of(*lot).v4.len() == 2).count();
        assert_eq!(both, 256);
    }

    #[test]
    fn a_degraded_region_gets_as_many_lots_as_it_is_usable_and_no_shorter_ttl() {
        let world = World::of("eu: a; us: b; ap: c");
        let layout = world.lay_out("eu us ap", "eu usable 75%");
        assert_eq!(world.shares(&layout), "eu 768, us 256");
        for lot in 0..1024 {
            let variant = layout.variant_of(lot);
            let stays = variant.region == Some(world.region("eu"));
            let expected = if stays { (30, Reason::Steady) } else { (10, Reason::Moved) };
            assert_eq!((variant.ttl, variant.reason), expected);
        }
        let spilled = world.lay_out("eu us ap", "eu usable 75%, us usable 50%");
        assert!(world.shares(&spilled).starts_with("eu 768, us "), "{}", world.shares(&spilled));
        assert!(world.shares(&spilled).contains(", ap "), "what us has no room for goes on");
        assert_eq!(
            world.shares(&world.lay_out("eu us ap", "eu usable 40%")),
            "us 1024",
            "below the threshold"
        );
        assert_eq!(world.shares(&world.lay_out("eu", "eu usable 75%")), "eu 1024", "there is nobody else");
    }

    #[test]
    fn a_degraded_endpoint_beside_one_that_works_is_in_its_share_of_the_answers() {
        let world = World::of("eu: a b; us: c");
        let layout = world.lay_out("eu us", "eu2 usable 25%");
        assert_eq!(world.shares(&layout), "eu 1024");
        let with_b = (0..1024).filter(|lot| layout.variant_of(*lot).v4.len() == 2).count();
        assert_eq!(with_b, 256);
        assert!(layout.variants.iter().all(|variant| variant.ttl == 30));
        let both = world.lay_out("eu us", "eu1 usable 50%, eu2 usable 75%");
        assert_eq!(world.shares(&both), "eu 768, us 256");
        let families = World::of("eu: a A; us: b B");
        assert_eq!(
            world.shares(&families.lay_out("eu us", "eu1 usable 50%, eu2 usable 75%")),
            "eu 512, us 512"
        );
    }

    #[test]
    fn a_ramp_and_a_share_together_give_the_lesser() {
        let world = World::of("eu: a; us: b");
        let mut board = world.board("eu recovering 75%");
        board[0].usable = crate::health::verdict::Share::of_1024(512);
        let layout = world.lay_out_on(&world.class("eu us"), &board);
        assert_eq!(world.shares(&layout), "eu 512, us 512");
        assert!(layout.variants.iter().all(|variant| variant.ttl == 5), "a ramp is under way");
    }

    #[test]
    fn weights_share_the_lots_among_regions() {
        let world = World::of("eu*3: a; us*1: b; ap*0: c");
        let layout = world.lay_out("eu us ap, weighted", "");
        let us = (0..1024).filter(|lot| layout.region_of(*lot) == Some(world.region("us"))).count();
        assert!((200..312).contains(&us), "{us}");
        assert_eq!(layout.variants.len(), 2);
        let layout = world.lay_out("eu us ap, weighted", "eu down");
        assert_eq!(world.shares(&layout), "us 1024", "no weight, no lot, while another has weight");
        assert_eq!(world.shares(&world.lay_out("eu us ap, weighted", "eu down, us down")), "ap 1024");
    }

    #[test]
    fn only_lots_that_moved_have_the_ttl_of_a_move() {
        let world = World::of("eu: a; us: b; ap: c");
        let (before, after) =
            (world.lay_out("eu us ap, weighted", ""), world.lay_out("eu us ap, weighted", "ap down"));
        for lot in 0..1024 {
            let moved = before.region_of(lot) != after.region_of(lot);
            assert_eq!(moved, before.region_of(lot) == Some(world.region("ap")));
            assert_eq!(after.variant_of(lot).ttl, if moved { 10 } else { 30 });
        }
    }

    #[test]
    fn fewer_addresses_than_are_usable_are_drawn_by_weight() {
        let mut world = World::of("eu: a*1 b*1 c*6");
        world.service.count = AnswerCount::AtMost(1);
        let layout = world.lay_out("eu", "");
        let c = (0..1024).filter(|lot| layout.variant_of(*lot).v4[0].octets()[3] == b'c').count();
        assert!((710..826).contains(&c), "{c}");
        world.service.count = AnswerCount::AtMost(2);
        let layout = world.lay_out("eu", "");
        assert!(layout.variants.iter().all(|variant| variant.v4.len() == 2 && variant.v4.is_sorted()));
        world.service.count = AnswerCount::AtMost(3);
        assert_eq!(only(&world, "eu", ""), "eu: a b c 30 steady");
    }

    #[test]
    fn no_answer_holds_more_than_fits() {
        let world = World::of("eu: a b c d e f g h i j");
        let layout = world.lay_out("eu", "");
        assert!(layout.variants.iter().all(|variant| variant.v4.len() == ADDRESSES_MAX));
        assert_eq!(layout.variants.len(), 45, "each two of ten are left out of some lot");
        assert_eq!(only(&world, "eu", "eu1 down, eu2 down"), "eu: c d e f g h i j 30 steady");
    }

    #[test]
    fn an_endpoint_without_weight_is_a_spare() {
        let world = World::of("eu: a b*0");
        assert_eq!(only(&world, "eu", ""), "eu: a 30 steady");
        assert_eq!(only(&world, "eu", "eu1 down"), "eu: b 5 degraded");
    }

    #[test]
    fn lots_choose_where_something_is_shared_out() {
        let mut world = World::of("eu: a b; us: c");
        assert!(!lots_choose(&world.service, &[world.class("eu us")]));
        assert!(lots_choose(&world.service, &[world.class("eu us, weighted")]));
        world.service.count = AnswerCount::AtMost(1);
        assert!(lots_choose(&world.service, &[world.class("eu us")]));
    }
}
