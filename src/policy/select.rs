//! Which regions of a service answer a client class, given what is believed of its endpoints.
//!
//! First the order of preference, in which health has no part: fence, tier, then the class's own order. Then
//! who serves: those that are usable, in that order, the degraded ones (below the threshold) behind. And when
//! nothing is usable, the last resort. An answer is never empty for want of a healthy region.
//!
//! ```text
//!  usable regions       fence                       who serves, in this order
//!  some                 none, hard                  whole enough, degraded
//!  some                 prefer                      inside: whole enough, degraded; outside: the same
//!  none                 any      fail-open          those whose endpoints are the best for a last resort:
//!                                                   on hold, drained, down; never forced down
//!  none, some on hold   any      servfail, fallback those on hold: they work
//!  none, none on hold   any      servfail, fallback nobody: SERVFAIL, or the addresses written
//! ```
//!
//! Regions outside a hard fence never serve, whatever the state.

use std::fmt;

use crate::health::verdict::{Share, Standing};
use crate::ids::{EndpointId, RegionId};
use crate::net::Family;

use super::draw::Contender;
use super::fitness::{Fitness, Health, endpoints_of};
use super::map::{Class, Fence};
use super::service::{Service, ServiceRegion, Tier, WhenAllDown};

/// What a choice is made from.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The service that is asked for.
    pub service: &'a Service,
    /// The class of the client.
    pub class: &'a Class,
    /// The family to choose for; `None` where both share one choice.
    pub family: Option<Family>,
    /// What is believed of each endpoint, seen by this class.
    pub standings: &'a dyn Fn(EndpointId) -> Standing,
}

/// Who answers, and what was found of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What came of it.
    pub outcome: Outcome,
    /// Every region of the service, the most preferred first whatever works; those that may not answer last.
    pub candidates: Vec<Candidate>,
    /// Positions in `candidates`: who may get lots, in this order. Usually the first takes them all.
    pub serving: Vec<usize>,
}

/// What came of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every lot has its first preference.
    Preferred,
    /// Some lots have another than their first preference, or would but for want of another region.
    Moved,
    /// What serves is below the threshold: nothing better is left inside the fence.
    Degraded,
    /// Nothing is usable; the last resort serves: endpoints of this fitness, or better in one family.
    FailOpen(Fitness),
    /// Nothing is usable, nor on hold; the operator wants these addresses: [`WhenAllDown::Fallback`].
    Fallback,
    /// Nothing is usable, nor on hold; the operator wants SERVFAIL.
    Servfail,
    /// Everything that the class may be given is forced down: SERVFAIL, since no data would be a lie.
    ForcedDown,
    /// No region inside the fence has an address of the family: no data. `check` refuses it for all families.
    Absent,
}

/// One region of the service, seen by one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its position among the service's regions.
    pub at: usize,
    /// Which it is.
    pub region: RegionId,
    /// Where it stands to the fence.
    pub reach: Reach,
    /// Its tier in the service.
    pub tier: Tier,
    /// It has no part in the weighing that it would belong to.
    pub weightless: bool,
    /// What is believed of it.
    pub health: Health,
    /// It is below the service's threshold.
    pub degraded: bool,
}

/// Where a region stands to a class's fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Inside.
    Inside,
    /// Outside of a fence that may be left.
    Outside,
    /// The class may not be given it.
    Barred,
}

/// Chooses the regions.
///
/// Complexity is O(r x (c + log r) + e) for r regions and e endpoints of the service and c regions of the class.
#[must_use]
pub fn select(situation: &Situation<'_>) -> Selection {
    let Situation { service, class, .. } = situation;
    let candidates = candidates(situation);
    let mut serving: Vec<usize> =
        (0..candidates.len()).filter(|at| candidates[*at].serves_at(Fitness::Usable)).collect();
    serving.sort_by_key(|at| {
        let candidate = &candidates[*at];
        (class.prefers_inside() && candidate.reach == Reach::Outside, candidate.degraded)
    });
    let mut selection = Selection { outcome: Outcome::Absent, candidates, serving };
    selection.outcome = match selection.serving.first() {
        Some(first) if selection.candidates[*first].degraded => Outcome::Degraded,
        Some(_) if selection.is_as_preferred(class) => Outcome::Preferred,
        Some(_) => Outcome::Moved,
        None => all_down(&mut selection, &service.when_all_down),
    };
    selection
}

/// The first preference of a class, whatever works: found once, asked for with every change.
#[derive(Clone, Copy, Debug)]
pub struct First {
    /// Its position among the service's regions.
    at: usize,
    /// The families that share the choice.
    families: &'static [Family],
}

/// The one region of a service that a class would rather have than any other; none where several are weighed against
/// each other, and where none may serve. Health has no part in it.
#[must_use]
pub fn first_preference(service: &Service, class: &Class, family: Option<Family>) -> Option<First> {
    let situation = Situation { service, class, family, standings: &|_| Standing::UP };
    let first = *candidates(&situation).first()?;
    let alone = first.may_serve() && !class.weighted;
    alone.then(|| First { at: first.at, families: families(&situation) })
}

/// What [`select`] would choose if it chooses the first preference alone, without a look at the other regions: nearly
/// always, for nearly all classes. Of the candidates, only that one is told.
#[must_use]
pub fn select_first(situation: &Situation<'_>, first: First) -> Option<Selection> {
    let (_, candidate) = candidate(situation, first.at, first.families);
    let well = candidate.health.weakest == Fitness::Usable && !candidate.is_limited() && !candidate.degraded;
    well.then(|| Selection { outcome: Outcome::Preferred, candidates: vec![candidate], serving: vec![0] })
}

impl Outcome {
    /// Whether nothing that the class may be given is usable: somebody should be told.
    #[must_use]
    pub fn is_all_down(self) -> bool {
        matches!(self, Self::FailOpen(_) | Self::Fallback | Self::Servfail | Self::ForcedDown)
    }
}

impl Class {
    /// Whether regions outside are for when nothing is usable inside.
    #[must_use]
    pub fn prefers_inside(&self) -> bool {
        self.fence == Fence::Prefer
    }
}

impl Selection {
    /// Positions in `candidates`: those that get lots, in groups; each is one region, or some that share lots by
    /// weight. The first group with a member that may have all lots takes what the shares before it leave.
    pub fn sharers(&self, class: &Class) -> impl Iterator<Item = &[usize]> {
        let mut lots_are_left = true;
        self.groups(class).take_while(move |group| {
            let gets_some = lots_are_left;
            lots_are_left = !self.is_fail_open() && group.iter().all(|at| self.candidates[*at].is_limited());
            gets_some
        })
    }

    /// The first preferences: one region, or those that are weighed against each other; whatever works.
    #[must_use]
    pub fn favourites(&self, class: &Class) -> &[Candidate] {
        let group = self.candidates.chunk_by(|a, b| a.is_weighed_against(b, class)).next();
        group.filter(|group| group[0].may_serve()).unwrap_or_default()
    }

    fn groups(&self, class: &Class) -> impl Iterator<Item = &[usize]> {
        self.serving.chunk_by(|a, b| {
            let (a, b) = (&self.candidates[*a], &self.candidates[*b]);
            a.is_weighed_against(b, class) && a.degraded == b.degraded
        })
    }

    /// Whether unusable regions serve.
    #[must_use]
    pub fn is_fail_open(&self) -> bool {
        matches!(self.outcome, Outcome::FailOpen(_))
    }

    fn is_as_preferred(&self, class: &Class) -> bool {
        let mut favourites = self.favourites(class).iter();
        favourites.all(|favourite| {
            favourite.health.weakest == Fitness::Usable && !favourite.is_limited() && !favourite.degraded
        })
    }
}

impl Candidate {
    /// The contender for the lots of a weighed group.
    pub(super) fn contender(&self, service: &Service) -> Contender {
        let region = &service.regions[self.at];
        Contender::new(region.key, u64::from(region.weight), service.salt)
    }

    /// Whether it gets only a share of the lots that prefer it: it is on a ramp, or usable in part.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.health.lots < Share::WHOLE
    }

    fn may_serve(&self) -> bool {
        self.reach != Reach::Barred && self.health.strongest > Fitness::Absent
    }

    fn serves_at(&self, fitness: Fitness) -> bool {
        self.may_serve() && self.health.weakest >= fitness
    }

    fn is_weighed_against(&self, other: &Self, class: &Class) -> bool {
        class.weighted
            && (self.reach, other.reach) == (Reach::Inside, Reach::Inside)
            && self.may_serve() == other.may_serve()
            && (self.weightless, self.tier) == (other.weightless, other.tier)
    }
}

/// All regions of the service in the order of preference.
fn candidates(situation: &Situation<'_>) -> Vec<Candidate> {
    let Situation { service, class, .. } = situation;
    let families = families(situation);
    let mut placed: Vec<(usize, Candidate)> =
        (0..service.regions.len()).map(|at| candidate(situation, at, families)).collect();
    placed.sort_by_key(|(place, candidate)| {
        let outside = candidate.reach == Reach::Outside;
        (
            !candidate.may_serve(),
            class.prefers_inside() && outside,
            candidate.weightless,
            candidate.tier,
            outside,
            *place,
        )
    });
    placed.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The service's region at a position, with its place in the order of the class.
fn candidate(situation: &Situation<'_>, at: usize, families: &[Family]) -> (usize, Candidate) {
    let Situation { service, class, .. } = situation;
    let region = &service.regions[at];
    let place = class.order.iter().position(|other| *other == region.region);
    let reach = reach(class, place);
    let health = Health::of(region, families, service.threshold, situation.standings);
    let candidate = Candidate {
        at,
        region: region.region,
        reach,
        tier: region.tier,
        weightless: is_weightless(region, class, reach),
        health,
        degraded: health.usable < service.threshold,
    };
    (place.unwrap_or(usize::MAX), candidate)
}

/// The families that share the choice.
fn families(situation: &Situation<'_>) -> &'static [Family] {
    let has =
        |family| situation.service.regions.iter().any(|region| endpoints_of(region, family).next().is_some());
    match situation.family {
        Some(Family::V4) => &[Family::V4],
        Some(Family::V6) => &[Family::V6],
        None if !has(Family::V6) => &[Family::V4],
        None if !has(Family::V4) => &[Family::V6],
        None => &[Family::V4, Family::V6],
    }
}

fn reach(class: &Class, place: Option<usize>) -> Reach {
    match place {
        Some(place) if place < usize::from(class.inside) => Reach::Inside,
        Some(_) if class.fence != Fence::Hard => Reach::Outside,
        _ => Reach::Barred,
    }
}

fn is_weightless(region: &ServiceRegion, class: &Class, reach: Reach) -> bool {
    class.weighted && reach == Reach::Inside && region.weight == 0
}

/// Nothing is usable: finds the last resort and puts it into `serving`, or tells why there is none.
fn all_down(selection: &mut Selection, when_all_down: &WhenAllDown) -> Outcome {
    let order = |candidate: &Candidate| (candidate.health.weakest, candidate.health.strongest);
    let may_serve = selection.candidates.iter().filter(|candidate| candidate.may_serve());
    let Some(best) = may_serve.map(order).max() else { return Outcome::Absent };
    match when_all_down {
        // What is on hold works. The operator's wish is for what does not, and a hold may have no end.
        _ if best.0 == Fitness::Held => {}
        WhenAllDown::Servfail => return Outcome::Servfail,
        WhenAllDown::Fallback(addresses) if !addresses.is_empty() => return Outcome::Fallback,
        WhenAllDown::FailOpen | WhenAllDown::Fallback(_) => {}
    }
    if best.1 <= Fitness::ForcedDown {
        return Outcome::ForcedDown;
    }
    let candidates = &selection.candidates;
    let is_best = |at: &usize| candidates[*at].may_serve() && order(&candidates[*at]) == best;
    selection.serving = (0..candidates.len()).filter(is_best).collect();
    Outcome::FailOpen(best.0.max(Fitness::Down))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preferred => f.write_str("first choice"),
            Self::Moved => f.write_str("moved from the first choice"),
            Self::Degraded => f.write_str("degraded: nothing above the threshold is left"),
            Self::FailOpen(fitness) => write!(f, "nothing is usable, the last resort serves: {fitness}"),
            Self::Fallback => f.write_str("nothing is usable, the fallback serves"),
            Self::Servfail => f.write_str("nothing is usable, SERVFAIL as configured"),
            Self::ForcedDown => f.write_str("everything is forced down, SERVFAIL"),
            Self::Absent => f.write_str("no region inside the fence has such an address"),
        }
    }
}

impl fmt::Debug for Situation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, class, family, .. } = self;
        f.debug_struct("Situation")
            .field("service", &service.name)
            .field("class", class)
            .field("family", family)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::World;

    /// Who serves, in order, and the outcome.
    fn serving(world: &World, class: &str, board: &str) -> (String, Outcome) {
        let selection = world.select(class, board);
        let names = selection.serving.iter().map(|at| world.name(selection.candidates[*at].region));
        (names.collect::<Vec<_>>().join(" "), selection.outcome)
    }

    fn reasons(world: &World, class: &str, board: &str) -> Vec<String> {
        let passed_over = world.select(class, board).passed_over(&world.service, &world.class(class));
        passed_over.iter().map(|(region, why)| format!("{}: {why}", world.name(*region))).collect()
    }

    fn check(world: &World, class: &str, board: &str, expected: &str, outcome: Outcome) {
        assert_eq!(serving(world, class, board), (expected.to_owned(), outcome), "{class} / {board}");
    }

    #[test]
    fn the_first_usable_region_in_the_order_of_the_class_serves() {
        let world = World::of("eu: a b; us: c; ap: d");
        check(&world, "us eu ap", "", "us eu ap", Outcome::Preferred);
        check(&world, "us eu ap", "us down", "eu ap", Outcome::Moved);
        check(&world, "us eu ap", "us unknown", "us eu ap", Outcome::Preferred);
        check(&world, "us eu ap", "us suspect", "us eu ap", Outcome::Preferred);
    }

    #[test]
    fn a_region_below_the_threshold_comes_behind_the_others() {
        let world = World::of("eu: a b c; us: d");
        check(&world, "eu us", "eu1 down", "eu us", Outcome::Preferred);
        check(&world, "eu us", "eu1 down, eu2 down", "us eu", Outcome::Moved);
        check(&world, "eu us", "eu1 down, eu2 down, us down", "eu", Outcome::Degraded);
        check(&world, "eu us", "eu usable 40%", "us eu", Outcome::Moved);
    }

    #[test]
    fn exactly_the_threshold_is_enough() {
        check(&World::of("eu: a b; us: c"), "eu us", "eu1 down", "eu us", Outcome::Preferred);
        let mut world = World::of("eu: a b c; us: d");
        world.service.threshold = Share::of_ratio(2.0 / 3.0);
        check(&world, "eu us", "eu1 down", "eu us", Outcome::Preferred);
    }

    #[test]
    fn the_usable_share_goes_by_weight() {
        let world = World::of("eu: a*3 b*1; us: c");
        check(&world, "eu us", "eu2 down", "eu us", Outcome::Preferred);
        check(&world, "eu us", "eu1 down", "us eu", Outcome::Moved);
        let spare = World::of("eu: a b*0; us: c");
        check(&spare, "eu us", "eu2 down", "eu us", Outcome::Preferred);
        check(&spare, "eu us", "eu1 down", "us eu", Outcome::Moved);
        check(&World::of("eu: a*0 b*0; us: c"), "eu us", "eu1 down", "eu us", Outcome::Preferred);
    }

    #[test]
    fn both_families_must_be_usable_where_they_share_a_choice() {
        let world = World::of("eu: a A; us: b B");
        check(&world, "eu us", "eu2 down", "us", Outcome::Moved);
        let (class, board) = (world.class("eu us"), world.board("eu2 down"));
        let standings = |id: EndpointId| board[id.index()];
        for (family, expected) in [(Family::V4, 0), (Family::V6, 1)] {
            let situation = Situation {
                service: &world.service,
                class: &class,
                family: Some(family),
                standings: &standings,
            };
            let selection = select(&situation);
            assert_eq!(selection.candidates[selection.serving[0]].at, expected);
        }
    }

    #[test]
    fn a_tier_waits_until_no_earlier_one_is_usable() {
        let world = World::of("eu: a; us: b; ap: c").tier("eu", Tier::LastResort).tier("us", Tier::Warm);
        check(&world, "eu us ap", "", "ap us eu", Outcome::Preferred);
        check(&world, "eu us ap", "ap down", "us eu", Outcome::Moved);
    }

    #[test]
    fn a_hard_fence_is_never_left() {
        let world = World::of("eu: a; us: b; ap: c");
        check(&world, "eu us | ap, hard", "eu down, us down", "eu us", Outcome::FailOpen(Fitness::Down));
        check(&world, "eu us | ap, hard", "eu forced, us forced", "", Outcome::ForcedDown);
        check(&world, "| eu, hard", "", "", Outcome::Absent);
    }

    #[test]
    fn a_preferring_fence_is_left_only_when_nothing_inside_is_usable() {
        let world = World::of("eu: a b c; us: d");
        check(&world, "eu | us, prefer", "eu1 down, eu2 down", "eu us", Outcome::Degraded);
        check(&world, "eu | us, prefer", "eu down", "us", Outcome::Moved);
        check(&world, "eu | us, prefer", "eu down, us down", "eu us", Outcome::FailOpen(Fitness::Down));
        let tiers = World::of("eu: a; us: d").tier("eu", Tier::LastResort);
        check(&tiers, "eu | us, prefer", "", "eu us", Outcome::Preferred);
    }

    #[test]
    fn the_last_resort_is_drained_before_down_and_never_forced_down() {
        let world = World::of("eu: a; us: b; ap: c; sa: d");
        let class = "eu us ap sa";
        let all = "eu forced, us down, ap drained, sa held";
        check(&world, class, all, "sa", Outcome::FailOpen(Fitness::Held));
        let all = "eu forced, us down, ap drained, sa down";
        check(&world, class, all, "ap", Outcome::FailOpen(Fitness::Drained));
        let all = "eu forced, us down, ap down, sa forced";
        check(&world, class, all, "us ap", Outcome::FailOpen(Fitness::Down));
    }

    #[test]
    fn the_operator_may_want_something_else_than_fail_open() {
        let mut world = World::of("eu: a");
        world.service.when_all_down = WhenAllDown::Servfail;
        check(&world, "eu", "eu down", "", Outcome::Servfail);
        check(&world, "eu", "", "eu", Outcome::Preferred);
        world.service.when_all_down = WhenAllDown::Fallback(vec!["192.0.2.1".parse().unwrap()]);
        check(&world, "eu", "eu forced", "", Outcome::Fallback);
        world.service.when_all_down = WhenAllDown::Fallback(Vec::new());
        check(&world, "eu", "eu down", "eu", Outcome::FailOpen(Fitness::Down));
    }

    #[test]
    fn what_works_and_is_only_on_hold_comes_before_servfail_and_fallback() {
        let mut world = World::of("eu: a; us: b; ap: c");
        let class = "eu us ap";
        let wishes = [
            (WhenAllDown::Servfail, Outcome::Servfail),
            (WhenAllDown::Fallback(vec!["192.0.2.122".parse().unwrap()]), Outcome::Fallback),
        ];
        for (wish, outcome) in wishes {
            world.service.when_all_down = wish;
            let held = Outcome::FailOpen(Fitness::Held);
            check(&world, class, "eu held, us held, ap held", "eu us ap", held);
            check(&world, class, "eu down, us held, ap forced", "us", held);
            check(&world, class, "eu drained, us down, ap held", "ap", held);
            check(&world, class, "eu drained, us down, ap forced", "", outcome);
            check(&world, "eu | us ap, hard", "eu down, us held, ap held", "", outcome);
        }
        let mut both = World::of("eu: a A; us: b B");
        both.service.when_all_down = WhenAllDown::Servfail;
        check(&both, "eu us", "eu1 held, eu2 down, us down", "", Outcome::Servfail);
    }

    #[test]
    fn one_family_that_is_forced_down_everywhere_does_not_silence_the_other() {
        let world = World::of("eu: a A; us: b B");
        let board = "eu1 forced, us1 forced, eu2 down";
        check(&world, "eu us", board, "us", Outcome::FailOpen(Fitness::Down));
    }

    #[test]
    fn each_rejected_candidate_has_its_reason() {
        let world =
            World::of("eu: a b c; us: d; ap: e; sa: f; af: g; me: h; an: i; oc: j").tier("af", Tier::Warm);
        let board = "eu1 down, eu2 down, us down, ap drained, sa forced, me held";
        let expected = [
            "eu: usable 33% < 50%",
            "us: down",
            "ap: drained",
            "sa: forced down",
            "me: recovering, on hold",
            "oc: a region that suits better is usable",
            "af: warm, and an earlier tier is usable",
        ];
        assert_eq!(reasons(&world, "eu us ap sa af me an oc", board), expected);
        let expected = ["us: ramping, 25% of the lots", "ap: outside the fence"];
        let small = World::of("eu: a; us: d; ap: e");
        assert_eq!(reasons(&small, "us eu | ap, hard", "us recovering 25%"), expected);
        let expected = ["us: share 75%: so much is usable, and so many lots it gets"];
        assert_eq!(reasons(&World::of("eu: a; us: d"), "us eu", "us usable 75%"), expected);
        let expected = ["us: outside the preferred regions, one of which is usable"];
        assert_eq!(reasons(&World::of("eu: a; us: b"), "eu | us, prefer", ""), expected);
        let expected = ["us: weight 0, and another has weight"];
        assert_eq!(reasons(&World::of("eu: a; us*0: b"), "eu us, weighted", ""), expected);
        assert!(reasons(&World::of("eu: a; us: b"), "eu us, weighted", "").is_empty());
    }

    #[test]
    fn a_region_of_one_family_only_has_no_address_of_the_other() {
        let world = World::of("eu: a; us: b B");
        check(&world, "eu us", "", "us", Outcome::Moved);
        assert_eq!(reasons(&world, "eu us", ""), ["eu: no address of this family"]);
    }
}
