//! Stories: what agents see second by second, and what comes of it.

mod liars;

use std::collections::BTreeSet;

use super::*;
use crate::health::check::{Check, Part};
use crate::health::evidence::Notice;
use crate::health::machine::{FailBack, SavedVerdict, WayBack, Why};
use crate::health::outcome::{Failure, Outcome, TargetReport};
use crate::health::vantage::{Blindness, voice};
use crate::ids::{RegionId, ServiceId};
use proptest::prelude::*;

fn at(second: u64) -> Moment {
    Moment::from_millis(second * 1000)
}

/// A world of `vantages` vantages with one agent each, and of regions with one endpoint each, all of one
/// service. Every agent reports every second, 10 ms after the one before, the outcome of one probe per endpoint.
struct World {
    board: Board,
    second: u64,
    number: u64,
    boot: u64,
    /// What went on, as the log would tell it: "3 r0/www/192.0.2.0 up -> down: ...".
    log: Vec<String>,
    changes: Vec<(Moment, Change)>,
    seen: Vec<Vec<u64>>,
    control: Option<bool>,
    lagging: bool,
}

fn config(vantages: usize, regions: usize) -> BoardConfig {
    let target = |region| TargetSpec {
        key: format!("192.0.2.{region} web"),
        probe: "web".to_owned(),
        source: Source::Probed { shows_sight: true },
        interval: Duration::from_secs(1),
        thresholds: Thresholds::default(),
    };
    let endpoint = |region| EndpointSpec {
        key: format!("r{region}/www/192.0.2.{region}"),
        service: ServiceId(0),
        region: RegionId::from_index(region),
        target: Some(TargetId::from_index(region)),
        capacity: 1,
        way_back: WayBack::default(),
    };
    BoardConfig {
        rules: Rules::default(),
        vantages: (0..vantages)
            .map(|vantage| VantageSpec { name: format!("v{vantage}"), fault_domain: None })
            .collect(),
        targets: (0..regions).map(target).collect(),
        endpoints: (0..regions).map(endpoint).collect(),
    }
}

impl World {
    fn new(vantages: usize, regions: usize) -> Self {
        Self::of(config(vantages, regions))
    }

    fn of(config: BoardConfig) -> Self {
        let seen = vec![vec![0; config.targets.len()]; config.vantages.len()];
        Self {
            board: Board::new(config, at(0)),
            second: 0,
            number: 0,
            boot: 1,
            log: Vec::new(),
            changes: Vec::new(),
            seen,
            control: None,
            lagging: false,
        }
    }

    /// One second in which each vantage sees its column of `rows`: per region `.` passed, a digit passed
    /// with so many tenths usable, `x` failed, `-` not probed; a column of spaces is a vantage that says nothing.
    fn second(&mut self, columns: &[&str]) {
        self.second += 1;
        self.number += 1;
        for (vantage, column) in columns.iter().enumerate() {
            if column.is_empty() {
                continue;
            }
            let now = at(self.second) + Duration::from_millis(10 * vantage as u64);
            self.wake_until(now);
            let report = self.report(vantage, column);
            let change = self.board.apply(&report, now).unwrap();
            self.note(now, change);
        }
    }

    /// So many seconds alike.
    fn seconds(&mut self, count: u64, columns: &[&str]) {
        for _ in 0..count {
            self.second(columns);
        }
    }

    /// Silence.
    fn silence(&mut self, seconds: u64) {
        self.second += seconds;
        self.wake_until(at(self.second));
    }

    fn wake_until(&mut self, now: Moment) {
        for _ in 0..10_000 {
            match self.board.wake() {
                Some(wake) if wake <= now => {
                    let change = self.board.tick(wake);
                    assert!(self.board.wake().is_none_or(|next| next > wake), "time goes on");
                    self.note(wake, change);
                }
                _ => return,
            }
        }
        panic!("the board wakes too often");
    }

    fn report(&mut self, vantage: usize, column: &str) -> Report {
        let entry = |(region, letter): (usize, char)| {
            let result = if letter == 'x' { Err(Failure::Refused) } else { Ok(()) };
            let usable = letter.to_digit(10).map_or(Share::WHOLE, |t| Share::of_ratio(f64::from(t) / 10.0));
            let outcome = Outcome { age: Duration::ZERO, latency: Duration::ZERO, result, usable };
            let tested = letter != '-';
            self.seen[vantage][region] += u64::from(tested);
            TargetReport {
                target: TargetId::from_index(region),
                newest: self.seen[vantage][region],
                outcomes: if tested { vec![outcome] } else { Vec::new() },
            }
        };
        Report {
            vantage: VantageId::from_index(vantage),
            agent: 0,
            boot: self.boot,
            number: self.number,
            control: self.control,
            lagging: self.lagging,
            targets: column.chars().enumerate().map(entry).collect(),
        }
    }

    fn note(&mut self, now: Moment, change: Change) {
        let second = now.since(Moment::START).as_secs();
        self.log.extend(change.transitions.iter().map(|one| format!("{second} {one}")));
        self.changes.push((now, change));
    }

    fn state(&self, region: usize) -> State {
        self.standing(region).state
    }

    fn standing(&self, region: usize) -> Standing {
        self.board.standing(EndpointId::from_index(region))
    }

    fn frozen(&self, region: usize) -> Option<Freeze> {
        self.board.status(EndpointId::from_index(region), at(self.second)).frozen
    }

    fn notices(&self) -> Vec<Notice> {
        self.changes.iter().flat_map(|(_, change)| change.notices.clone()).collect()
    }

    fn withdrawals(&self) -> Vec<(Moment, usize)> {
        let downs = |(now, change): &(Moment, Change)| {
            let down = change.transitions.iter().filter(|one| one.to == State::Down);
            down.map(|one| (*now, one.endpoint.index())).collect::<Vec<_>>()
        };
        self.changes.iter().flat_map(downs).collect()
    }

    /// What a reload or restart makes of it.
    fn restarted(&self, config: BoardConfig) -> Self {
        let mut world = World::of(config);
        world.board.restore(&self.board.saved(at(self.second)), Duration::from_secs(1), at(0));
        world
    }
}

#[test]
fn a_lone_vantage_fails_over_between_two_regions() {
    let mut world = World::new(1, 2);
    world.seconds(10, &[".."]);
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Up));
    world.second(&["x."]);
    assert_eq!(world.state(0), State::Up, "one failure is none");
    world.second(&["x."]);
    assert_eq!(world.state(0), State::Suspect);
    world.second(&["x."]);
    assert_eq!(world.state(0), State::Down);
    assert_eq!(world.state(1), State::Up);
    assert_eq!(
        world.log,
        [
            "1 r0/www/192.0.2.0 unknown -> up: 1 of 1 vantage reaches it",
            "1 r1/www/192.0.2.1 unknown -> up: 1 of 1 vantage reaches it",
            "12 r0/www/192.0.2.0 up -> suspect: 1 of 1 vantage sees failures: connection refused (2 in a row)",
            "13 r0/www/192.0.2.0 suspect -> down: 1 of 1 vantage fails: connection refused (3 in a row)",
        ]
    );
}

#[test]
fn the_first_failure_asks_every_agent_to_recheck() {
    let mut world = World::new(1, 2);
    world.second(&[".."]);
    world.second(&["x."]);
    assert_eq!(world.changes.last().unwrap().1.rechecks, [TargetId(0)]);
    world.second(&["x."]);
    assert_eq!(world.changes.last().unwrap().1.rechecks, []);
}

#[test]
fn recovery_holds_then_ramps() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.seconds(4, &[".."]);
    assert_eq!(world.state(0), State::Down);
    world.second(&[".."]);
    assert_eq!((world.state(0), world.standing(0).ramp), (State::Recovering, Share::NONE));
    world.seconds(29, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::NONE);
    let mut shares = vec![Share::NONE];
    for _ in 0..121 {
        world.second(&[".."]);
        shares.push(world.standing(0).ramp);
    }
    shares.dedup();
    assert_eq!(shares, [0.0, 0.05, 0.25, 0.5, 1.0].map(Share::of_ratio));
    assert_eq!(world.state(0), State::Up);
    let told: Vec<&str> =
        world.log.iter().skip(3).filter_map(|line| line.split_once(".0 ")).map(|l| l.1).collect();
    assert_eq!(
        told,
        [
            "suspect -> down: 1 of 1 vantage fails: connection refused (3 in a row)",
            "down -> recovering: 1 of 1 vantage reaches it",
            "recovering: comes back, ramp at 5%",
            "recovering: ramp at 25%",
            "recovering: ramp at 50%",
            "recovering -> up: the ramp is done",
        ]
    );
}

#[test]
fn a_failure_during_the_hold_begins_it_anew() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.seconds(20, &[".."]);
    world.second(&["x."]);
    world.seconds(29, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::NONE);
    world.seconds(3, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.05));
}

#[test]
fn manual_fail_back_waits_for_a_person() {
    let mut config = config(1, 2);
    config.endpoints[0].way_back.fail_back = FailBack::Manual;
    let mut world = World::of(config);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.seconds(500, &[".."]);
    assert_eq!((world.state(0), world.standing(0).ramp), (State::Recovering, Share::NONE));
    assert!(world.board.status(EndpointId(0), at(world.second)).awaits_word);
    let change = world.board.allow(EndpointId(0), at(world.second));
    assert_eq!(change.transitions[0].why, Why::RampBegins);
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.05));
    world.seconds(10, &["x."]);
    world.seconds(500, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::NONE, "the word was for one return");
}

#[test]
fn a_word_given_while_it_is_down_is_kept_until_it_works() {
    let mut config = config(1, 2);
    config.endpoints[0].way_back.fail_back = FailBack::Manual;
    let mut world = World::of(config);
    world.seconds(5, &[".."]);
    world.board.allow(EndpointId(0), at(world.second));
    world.seconds(5, &["x."]);
    world.seconds(10, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::NONE, "given while it was up it is void");
    world.seconds(5, &["x."]);
    world.board.allow(EndpointId(0), at(world.second));
    assert_eq!(world.state(0), State::Down);
    world.seconds(5, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.05));
}

#[test]
fn a_persons_word_ends_a_hold() {
    let mut world = World::of(config(1, 2));
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.seconds(10, &[".."]);
    assert_eq!((world.state(0), world.standing(0).ramp), (State::Recovering, Share::NONE));
    world.board.allow(EndpointId(0), at(world.second));
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.05));
}

#[test]
fn two_of_three_vantages_withdraw_one_does_not() {
    let mut world = World::new(3, 4);
    world.seconds(5, &["....", "....", "...."]);
    world.seconds(200, &["x...", "....", "...."]);
    assert_eq!(world.state(0), State::Up);
    assert_eq!(world.withdrawals(), []);
    world.seconds(3, &["x...", "x...", "...."]);
    assert_eq!(world.state(0), State::Suspect, "the first one's two hundred do not make up for three");
    world.seconds(2, &["x...", "x...", "...."]);
    assert_eq!(world.state(0), State::Down);
    let last = world.log.last().unwrap();
    assert!(last.ends_with("down: 2 of 3 vantages fail: connection refused (205 in a row)"), "{last}");
}

#[test]
fn a_lone_agent_moves_its_own_clients_after_five_seconds() {
    let mut world = World::new(3, 4);
    let from = |world: &World, vantage| world.board.standing_from(VantageId(vantage), EndpointId(0)).state;
    world.seconds(5, &["....", "....", "...."]);
    world.seconds(5, &["x...", "....", "...."]);
    assert_eq!(from(&world, 0), State::Suspect);
    world.seconds(1, &["x...", "....", "...."]);
    assert_eq!((from(&world, 0), from(&world, 1)), (State::Down, State::Suspect));
    assert_eq!(world.state(0), State::Suspect);
    world.seconds(60, &["x...", "....", "...."]);
    assert_eq!(from(&world, 1), State::Up, "its trouble is no longer everybody's");
    world.seconds(5, &["....", "....", "...."]);
    assert_eq!(from(&world, 0), State::Up);
    let moves: Vec<bool> =
        world.changes.iter().flat_map(|(_, c)| c.moves.iter().map(|one| one.unreachable)).collect();
    assert_eq!(moves, [true, false]);
}

#[test]
fn a_vantage_that_reaches_it_does_not_overrule_the_quorum() {
    let mut world = World::new(3, 4);
    world.seconds(5, &["....", "....", "...."]);
    world.seconds(70, &["x...", "x...", "...."]);
    assert_eq!(world.board.standing_from(VantageId(2), EndpointId(0)).state, State::Down);
}

#[test]
fn silence_withdraws_nothing_and_freezes() {
    let mut world = World::new(3, 4);
    world.seconds(10, &["....", "....", "...."]);
    world.seconds(10, &["x...", "", ""]);
    assert_eq!(world.frozen(0), Some(Freeze::TooFewEligible { eligible: 1, configured: 3, blind: 0 }));
    assert!(world.notices().contains(&Notice::Frozen(
        EndpointId(0),
        Freeze::TooFewEligible { eligible: 1, configured: 3, blind: 0 }
    )));
    world.silence(10_000);
    assert_eq!(world.withdrawals(), []);
    assert!(world.standing(0).ramp == Share::WHOLE);
    world.seconds(2, &["....", "....", "...."]);
    assert!(world.notices().contains(&Notice::Thawed(EndpointId(0))));
}

#[test]
fn silence_revives_nothing_either() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.silence(100_000);
    assert_eq!(world.state(0), State::Down);
}

#[test]
fn a_vantage_that_alone_sees_most_fail_is_blind() {
    let mut world = World::new(2, 4);
    world.seconds(10, &["....", "...."]);
    world.seconds(30, &["xxx.", ""]);
    assert_eq!(world.withdrawals(), [], "the other is silent, which confirms nothing");
    world.seconds(30, &["xxx.", "...."]);
    assert_eq!(world.withdrawals(), []);
    let blind = Sight::Blind(Blindness::Alone);
    assert!(world.board.agents().any(|(vantage, _, sight, _)| vantage == VantageId(0) && sight == blind));
    assert_eq!(world.board.standing_from(VantageId(0), EndpointId(0)).state, State::Up);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any of the links between five vantages and four regions are cut, and one region may be dead.
    #[test]
    fn cut_links_neither_withdraw_what_is_reached_nor_hide_what_is_dead(links in 0u32..1 << 20, dead in 0usize..5) {
        let reaches = |vantage: usize, region: usize| region != dead && links >> (vantage * 4 + region) & 1 == 1;
        let column = |v| (0..4).map(|r| if reaches(v, r) { '.' } else { 'x' }).collect::<String>();
        let columns: Vec<String> = (0..5).map(column).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut world = World::new(5, 4);
        world.seconds(6, &["...."; 5]);
        world.seconds(90, &columns);
        for (_, change) in &world.changes {
            for one in change.transitions.iter().filter(|one| one.to == State::Down) {
                prop_assert!(one.evidence.votes.works * 3 <= one.evidence.votes.eligible, "{one}");
            }
        }
        let most_others = |v: &usize| (0..4).filter(|&r| r != dead && reaches(*v, r)).count() >= 2;
        if dead < 4 && (0..5).filter(most_others).count() >= 4 {
            prop_assert_eq!(world.state(dead), State::Down);
        }
    }
}

#[test]
fn what_all_vantages_see_fail_fails_though_it_is_most_of_the_world() {
    let mut world = World::new(3, 4);
    world.seconds(10, &["....", "....", "...."]);
    world.seconds(4, &["xxx.", "xxx.", "xxx."]);
    assert_eq!((0..4).map(|r| world.state(r)).filter(|s| *s == State::Down).count(), 3);
}

#[test]
fn failing_control_targets_void_failures_until_sight_is_back_and_after() {
    let mut world = World::new(1, 4);
    world.seconds(10, &["...."]);
    world.control = Some(false);
    world.seconds(20, &["x..."]);
    assert_eq!(world.withdrawals(), []);
    assert!(world.frozen(0).is_some() && world.frozen(1).is_none());
    world.control = Some(true);
    world.seconds(3, &["x..."]);
    assert_eq!(world.withdrawals(), [], "what was seen blind does not count afterwards");
    world.seconds(1, &["x..."]);
    assert_eq!(world.withdrawals().len(), 1);
}

#[test]
fn a_lagging_agent_has_no_vote() {
    let mut world = World::new(1, 2);
    world.seconds(10, &[".."]);
    world.lagging = true;
    world.seconds(20, &["x."]);
    assert_eq!(world.state(0), State::Up);
    assert!(world.frozen(1).is_some());
}

#[test]
fn a_lone_vantage_believes_that_everything_fails_only_after_five_seconds() {
    let mut world = World::new(1, 2);
    world.seconds(10, &[".."]);
    world.seconds(4, &["xx"]);
    assert_eq!(world.withdrawals(), []);
    let freeze = Freeze::TooFewEligible { eligible: 0, configured: 1, blind: 1 };
    assert_eq!(world.frozen(0), Some(freeze));
    assert_eq!(freeze.to_string(), "0 of 1 vantages can judge, 1 blind or lagging");
    world.seconds(3, &[".."]);
    assert_eq!((world.state(0), world.withdrawals().len()), (State::Up, 0), "a hiccup of its uplink");
    world.seconds(6, &["xx"]);
    assert_eq!((world.state(0), world.state(1)), (State::Down, State::Down));
}

#[test]
fn two_of_three_regions_die_at_once_and_a_lone_vantage_fails_over() {
    let mut world = World::new(1, 3);
    world.seconds(10, &["..."]);
    world.seconds(3, &["xx."]);
    assert_eq!([0, 1, 2].map(|r| world.state(r)), [State::Down, State::Down, State::Up]);
}

#[test]
fn the_only_target_of_a_lone_vantage_fails_without_delay() {
    let mut world = World::new(1, 1);
    world.seconds(10, &["."]);
    world.seconds(3, &["x"]);
    assert_eq!(world.state(0), State::Down);
}

#[test]
fn withdrawals_that_not_all_see_go_one_region_at_a_time() {
    let mut world = World::new(3, 6);
    world.seconds(10, &["......"; 3]);
    world.seconds(20, &["xx....", "xx....", "......"]);
    let downs = world.withdrawals();
    assert_eq!(downs.len(), 2);
    assert_eq!(downs[1].0.since(downs[0].0), Duration::from_secs(10));
    assert!(world.notices().contains(&Notice::HeldBack(EndpointId(1))));
}

#[test]
fn what_every_vantage_sees_goes_at_once() {
    let mut world = World::new(3, 6);
    world.seconds(10, &["......"; 3]);
    world.seconds(4, &["xx....", "xx....", "xx...."]);
    let downs = world.withdrawals();
    assert_eq!(downs.iter().map(|one| one.1).collect::<BTreeSet<_>>(), [0, 1].into());
    assert!(downs[1].0.since(downs[0].0) < Duration::from_millis(100));
}

#[test]
fn a_flapping_endpoint_is_kept_away_though_it_works() {
    let mut config = config(1, 2);
    config.endpoints[0].way_back.fail_back = FailBack::Automatic { hold: Duration::ZERO };
    let mut world = World::of(config);
    for _ in 0..3 {
        world.seconds(8, &[".."]);
        world.seconds(4, &["x."]);
    }
    world.seconds(60, &[".."]);
    assert_eq!((world.state(0), world.standing(0).ramp), (State::Recovering, Share::NONE));
    assert_eq!(world.standing(0).usable, Share::WHOLE, "the first last resort");
    assert!(world.board.status(EndpointId(0), at(world.second)).suppressed_until.is_some());
    world.seconds(840, &[".."]);
    assert_eq!(world.state(0), State::Up);
}

#[test]
fn a_persons_word_ends_a_suppression() {
    let mut config = hasty(1, 2);
    config.rules.damping.half_life = Duration::from_secs(600);
    let mut world = World::of(config);
    for _ in 0..2 {
        world.seconds(16, &[".."]);
        world.seconds(3, &["x."]);
    }
    assert!(world.board.status(EndpointId(0), at(world.second)).suppressed_until.is_some());
    world.board.allow(EndpointId(0), at(world.second));
    assert_eq!(world.state(0), State::Down, "it does not work yet");
    world.seconds(2, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.05));
}

#[test]
fn a_vantage_that_falls_silent_moves_its_clients_no_more() {
    let mut world = World::new(3, 4);
    world.seconds(5, &["....", "....", "...."]);
    world.seconds(10, &["x...", "....", "...."]);
    assert_eq!(world.board.standing_from(VantageId(0), EndpointId(0)).state, State::Down);
    world.seconds(6, &["", "....", "...."]);
    assert_eq!(world.board.standing_from(VantageId(0), EndpointId(0)).state, State::Up);
}

#[test]
fn a_fault_domain_alone_withdraws_nothing_however_many_vantages_it_has() {
    let mut config = config(4, 6);
    for (vantage, domain) in config.vantages.iter_mut().zip(["a", "a", "a", "b"]) {
        vantage.fault_domain = Some(domain.into());
    }
    let mut world = World::of(config);
    world.seconds(5, &["......"; 4]);
    world.seconds(30, &["x.....", "x.....", "x.....", "......"]);
    assert_eq!((world.state(0), world.frozen(0)), (State::Suspect, Some(Freeze::OneFaultDomain)));
    world.seconds(3, &["x....."; 4]);
    assert_eq!(world.state(0), State::Down);
}

#[test]
fn a_restart_of_an_agent_neither_withdraws_nor_revives() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.boot = 2;
    world.seen = vec![vec![0; 2]];
    world.seconds(4, &[".x"]);
    assert_eq!([0, 1].map(|r| world.state(r)), [State::Down, State::Down]);
    assert_eq!(world.withdrawals().len(), 2, "three failures of the new boot are its own");
    world.second(&[".."]);
    assert_eq!(world.state(0), State::Recovering);
}

#[test]
fn a_restart_keeps_what_is_down_down_until_it_is_proven() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    let mut restarted = world.restarted(config(1, 2));
    assert_eq!([0, 1].map(|r| restarted.state(r)), [State::Down, State::Up]);
    restarted.seconds(4, &[".."]);
    assert_eq!([0, 1].map(|r| restarted.state(r)), [State::Down, State::Up]);
    restarted.second(&[".."]);
    assert_eq!(restarted.state(0), State::Recovering);
    assert_eq!(restarted.board.unjudged(), 0);
}

#[test]
fn a_saved_verdict_without_news_ages_to_unknown() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    let mut restarted = world.restarted(config(1, 2));
    restarted.silence(598);
    assert_eq!(restarted.state(0), State::Down);
    restarted.silence(2);
    assert_eq!([0, 1].map(|r| restarted.state(r)), [State::Unknown, State::Unknown]);
    assert_eq!(restarted.board.unjudged(), 2);
}

#[test]
fn a_verdict_saved_too_long_ago_is_worth_nothing() {
    let mut world = World::new(1, 2);
    world.seconds(5, &["x."]);
    let mut board = Board::new(config(1, 2), at(0));
    board.restore(&world.board.saved(at(5)), Duration::from_secs(600), at(0));
    assert_eq!(board.standing(EndpointId(0)).state, State::Unknown);
}

#[test]
fn a_ramp_goes_on_after_a_restart() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    world.seconds(5, &["x."]);
    world.seconds(70, &[".."]);
    assert_eq!(world.standing(0).ramp, Share::of_ratio(0.25));
    let saved = serde_json::to_string(&world.board.saved(at(80))).unwrap();
    let saved: Vec<SavedVerdict> = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved, world.board.saved(at(80)));
    let mut restarted = World::new(1, 2);
    restarted.board.restore(&saved, Duration::ZERO, at(0));
    assert_eq!(restarted.standing(0).ramp, Share::of_ratio(0.25));
    restarted.seconds(40, &[".."]);
    assert_eq!(restarted.standing(0).ramp, Share::of_ratio(0.5));
}

#[test]
fn a_reload_keeps_verdicts_and_streaks() {
    let mut world = World::new(3, 3);
    world.seconds(5, &["...", "...", "..."]);
    world.seconds(5, &["x..", "x..", "..."]);
    let mut turned = config(3, 3);
    turned.endpoints.reverse();
    turned.targets.reverse();
    for (index, spec) in turned.endpoints.iter_mut().enumerate() {
        spec.target = Some(TargetId::from_index(index));
    }
    let (board, change) = Board::rebuilt(turned, &world.board, at(10));
    assert_eq!(change.transitions, []);
    assert_eq!(change.notices, []);
    let states = (0..3).map(|r| board.standing(EndpointId(r)).state).collect::<Vec<_>>();
    assert_eq!(states, [State::Up, State::Up, State::Down]);
    let before = world.board.status(EndpointId(0), at(12));
    assert_eq!(board.status(EndpointId(2), at(12)), before);
}

#[test]
fn an_endpoint_that_a_reload_adds_waits_for_its_first_quorum() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    let (board, _) = Board::rebuilt(config(1, 3), &world.board, at(5));
    world.board = board;
    world.seen = vec![vec![5; 3]];
    assert_eq!((world.state(2), world.standing(2).ramp), (State::Unknown, Share::NONE));
    world.second(&["..x"]);
    assert_eq!(world.standing(2).ramp, Share::NONE);
    world.seconds(3, &["..x"]);
    assert_eq!(world.state(2), State::Down);
    let (board, _) = Board::rebuilt(config(1, 4), &world.board, at(9));
    world.board = board;
    world.seen = vec![vec![9; 4]];
    world.second(&["..x."]);
    assert_eq!(world.standing(3), Standing::UP);
}

#[test]
fn an_endpoint_that_is_alone_in_its_new_service_serves_at_once() {
    let world = World::new(1, 2);
    let mut more = config(1, 4);
    more.endpoints[2].service = ServiceId(1);
    more.endpoints[3].service = ServiceId(1);
    let (board, _) = Board::rebuilt(more, &world.board, at(5));
    assert_eq!(board.standing(EndpointId(2)).ramp, Share::WHOLE);
}

#[test]
fn endpoints_share_a_target_but_not_a_verdict() {
    let mut shared = config(1, 2);
    shared.endpoints[1].target = Some(TargetId(0));
    shared.endpoints[0].way_back.fail_back = FailBack::Automatic { hold: Duration::from_secs(2) };
    shared.endpoints[1].way_back.fail_back = FailBack::Manual;
    shared.endpoints[1].service = ServiceId(1);
    shared.targets.truncate(1);
    let mut world = World::of(shared);
    world.seconds(5, &["."]);
    world.seconds(3, &["x"]);
    assert_eq!([0, 1].map(|r| world.state(r)), [State::Down, State::Down]);
    world.seconds(10, &["."]);
    assert_eq!([0, 1].map(|r| world.standing(r).ramp), [Share::of_ratio(0.05), Share::NONE]);
}

#[test]
fn an_endpoint_without_a_probe_is_up() {
    let mut config = config(1, 2);
    config.endpoints[0].target = None;
    let world = World::of(config);
    assert_eq!(world.standing(0), Standing::UP);
    assert_eq!(world.board.unjudged(), 1);
}

#[test]
fn reports_that_are_no_news_are_refused_with_the_reason() {
    let mut world = World::new(1, 2);
    let first = Report { number: 7, ..world.report(0, "..") };
    let mut send =
        |boot, number| world.board.apply(&Report { boot, number, ..first.clone() }, at(1)).map(drop);
    assert_eq!(send(1, 7), Ok(()));
    assert_eq!(send(1, 7), Err(Refusal::OldNumber { newest: 7 }));
    assert_eq!(send(1, 6), Err(Refusal::OldNumber { newest: 7 }));
    assert_eq!(send(1, 90), Ok(()), "gaps are fine");
    assert_eq!(send(2, 0), Ok(()), "a new boot counts anew");
    assert_eq!(send(1, 91), Err(Refusal::FormerBoot));
    let foreign = Report { vantage: VantageId(1), ..first.clone() };
    assert_eq!(world.board.apply(&foreign, at(1)), Err(Refusal::UnknownVantage));
}

#[test]
fn outcomes_that_were_missed_are_picked_from_the_next_report() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    let mut report = world.report(0, "x.");
    let failed = report.targets[0].outcomes[0].clone();
    let outcome = |age| Outcome { age: Duration::from_millis(age), ..failed.clone() };
    report.targets[0].newest += 2;
    report.targets[0].outcomes = [outcome(2000), outcome(1000), outcome(0)].into();
    report.number += 40;
    let change = world.board.apply(&report, at(8)).unwrap();
    assert_eq!((world.state(0), change.late), (State::Down, 0));
}

#[test]
fn late_outcomes_and_unknown_targets_are_counted_and_say_nothing() {
    let mut world = World::new(1, 2);
    world.seconds(5, &[".."]);
    let mut report = world.report(0, "xx");
    let old = Outcome { age: Duration::from_millis(5001), ..report.targets[0].outcomes[0].clone() };
    report.number += 1;
    report.targets[0].outcomes = vec![old; 3];
    report.targets[0].newest += 3;
    report.targets[1].target = TargetId(99);
    let change = world.board.apply(&report, at(6)).unwrap();
    assert_eq!((change.late, change.unknown_targets), (3, 1));
    assert_eq!(change.transitions, []);
}

#[test]
fn two_agents_of_one_vantage_must_agree() {
    let mut world = World::new(1, 4);
    world.seconds(5, &["...."]);
    for second in 6..30 {
        let passed = world.report(0, "....");
        world.number += 1;
        world.board.apply(&Report { agent: 1, number: world.number, ..passed.clone() }, at(second)).unwrap();
        let mut failed = passed;
        failed.targets[0].outcomes[0].result = Err(Failure::TimedOut);
        failed.number = world.number;
        world.board.apply(&failed, at(second)).unwrap();
    }
    assert_eq!(world.board.agents().count(), 2);
    assert_eq!(world.state(0), State::Suspect);
}

#[test]
fn agents_beyond_the_limit_are_refused_unless_one_is_silent() {
    let mut world = World::new(1, 1);
    let report = world.report(0, ".");
    let mut send =
        |agent, second| world.board.apply(&Report { agent, ..report.clone() }, at(second)).map(drop);
    for agent in 0..AGENTS_MAX as u32 {
        send(agent, 1).unwrap();
    }
    assert_eq!(send(90_000, 2), Err(Refusal::TooManyAgents));
    world.board.tick(at(10));
    let mut send =
        |agent, second| world.board.apply(&Report { agent, ..report.clone() }, at(second)).map(drop);
    assert_eq!(send(90_000, 10), Ok(()));
    assert_eq!(world.board.agents().count(), AGENTS_MAX);
}

/// What each vantage sees in one second: per region, or nothing.
fn any_second(vantages: usize, regions: usize) -> impl Strategy<Value = Vec<String>> {
    let column = prop_oneof![
        1 => Just(String::new()),
        6 => prop::collection::vec(prop_oneof![3 => Just('.'), 2 => Just('x'), 1 => Just('-')], regions)
            .prop_map(|letters| letters.into_iter().collect()),
    ];
    prop::collection::vec(column, vantages)
}

/// Seconds that repeat for a while, so that thresholds are passed.
fn any_history(vantages: usize, regions: usize) -> impl Strategy<Value = Vec<(Vec<String>, u64)>> {
    prop::collection::vec((any_second(vantages, regions), 1u64..12), 1..40)
}

fn play(world: &mut World, history: &[(Vec<String>, u64)], mut each: impl FnMut(&World)) {
    for (columns, count) in history {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        for _ in 0..*count {
            world.second(&columns);
            each(world);
        }
    }
}

/// Hold none and short ramps, so that a history sees many falls.
fn hasty(vantages: usize, regions: usize) -> BoardConfig {
    let mut config = config(vantages, regions);
    config.endpoints.iter_mut().for_each(|spec| spec.way_back.ramp_step = Duration::from_secs(2));
    config.rules.damping.suppress = 1500;
    config.rules.damping.half_life = Duration::from_secs(5);
    for spec in &mut config.targets {
        spec.thresholds = Thresholds { fall: 2, rise: 2, window: 10, window_failures: 6, together: 6 };
    }
    for spec in &mut config.endpoints {
        spec.way_back.fail_back = FailBack::Automatic { hold: Duration::from_secs(1) };
    }
    config
}

/// The tallies as counted from scratch.
fn recounted(board: &Board, now: Moment) -> Vec<Vec<u32>> {
    let count = |target: usize| {
        let mut voices = vec![0; board.vantages.len()];
        for agent in &board.agents {
            let said = voice(&agent.streaks[target], agent.sight, now, board.targets[target].age_limit);
            voices[agent.vantage.index()] += u32::from(said != Voice::Silent);
        }
        voices
    };
    (0..board.targets.len()).map(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_withdrawn_without_its_quorum(history in any_history(4, 5)) {
        let mut world = World::of(hasty(4, 5));
        play(&mut world, &history, |_| {});
        for (_, change) in &world.changes {
            for one in change.transitions.iter().filter(|one| one.to == State::Down) {
                let votes = &one.evidence.votes;
                prop_assert!(votes.fails * 3 >= votes.eligible * 2 && votes.eligible * 2 >= 4, "{one}");
                prop_assert!(!one.evidence.failures.is_empty());
            }
        }
    }

    #[test]
    fn silence_after_any_history_withdraws_nothing(history in any_history(3, 4)) {
        let mut world = World::of(hasty(3, 4));
        play(&mut world, &history, |_| {});
        world.silence(6);
        let before = world.withdrawals().len();
        world.silence(10_000);
        prop_assert_eq!(world.withdrawals().len(), before);
        prop_assert!((0..4).all(|region| world.frozen(region).is_some()));
    }

    #[test]
    fn tallies_are_what_a_recount_gives(history in any_history(3, 4)) {
        let mut world = World::of(hasty(3, 4));
        play(&mut world, &history, |_| {});
        let now = at(world.second) + Duration::from_secs(1);
        world.wake_until(now);
        let kept: Vec<Vec<u32>> =
            world.board.tallies.chunks(3).map(|row| row.iter().map(Tally::voices).collect()).collect();
        prop_assert_eq!(kept, recounted(&world.board, now));
    }

    #[test]
    fn a_ramp_never_takes_lots_back(history in any_history(3, 4)) {
        let mut world = World::of(hasty(3, 4));
        let mut before = [Standing::UP; 4];
        let mut broken = None;
        play(&mut world, &history, |world| {
            for (region, before) in before.iter_mut().enumerate() {
                let standing = world.standing(region);
                let back = before.state == State::Recovering && standing.ramp < before.ramp;
                if back && standing.state == State::Recovering {
                    // Either it went down and came back within the second, or the ramp went backwards.
                    let downs = world.withdrawals();
                    if !downs.iter().any(|(when, one)| *one == region && *when > at(world.second - 1)) {
                        broken = Some(world.log.clone());
                    }
                } else if back && standing.state != State::Down {
                    broken = Some(world.log.clone());
                }
                *before = standing;
            }
        });
        prop_assert_eq!(broken, None);
    }

    #[test]
    fn speed_limits_hold_on_every_history(history in any_history(3, 6)) {
        let mut world = World::of(hasty(3, 6));
        play(&mut world, &history, |_| {});
        let mut served: Vec<(Moment, usize, bool)> = Vec::new();
        for (now, change) in &world.changes {
            for one in change.transitions.iter().filter(|one| one.to == State::Down) {
                let serving = one.from != State::Recovering;
                let votes = one.evidence.votes;
                if serving {
                    served.push((*now, one.endpoint.index(), votes.fails == votes.eligible));
                }
            }
        }
        for (index, &(now, endpoint, corroborated)) in served.iter().enumerate() {
            let recent = |seconds| {
                let within = move |one: &&(Moment, usize, bool)| now.since(one.0) < Duration::from_secs(seconds);
                served[..index].iter().filter(within).map(|one| one.1).filter(|&one| one != endpoint).collect::<BTreeSet<_>>()
            };
            prop_assert!(corroborated || recent(10).is_empty(), "{:?}", served);
            prop_assert!(corroborated || recent(60).len() < 3, "{:?}", served);
        }
    }

    #[test]
    fn replayed_and_belated_reports_change_nothing(
        history in any_history(2, 3), replays in prop::collection::vec((0usize..400, 0usize..400), 0..60)
    ) {
        let mut world = World::of(hasty(2, 3));
        let mut sent: Vec<(Moment, Report)> = Vec::new();
        for (columns, count) in &history {
            for _ in 0..*count {
                world.second += 1;
                world.number += 1;
                for (vantage, column) in columns.iter().enumerate().filter(|(_, column)| !column.is_empty()) {
                    sent.push((at(world.second), world.report(vantage, column)));
                }
            }
        }
        let mut honest = Board::new(hasty(2, 3), at(0));
        let mut fooled = honest.clone();
        for (index, (now, report)) in sent.iter().enumerate() {
            let expected = honest.apply(report, *now);
            prop_assert_eq!(fooled.apply(report, *now), expected);
            for &(_, old) in replays.iter().filter(|(when, old)| *when == index && *old <= index) {
                prop_assert!(fooled.apply(&sent[old].1, *now).is_err());
            }
        }
        let end = at(world.second);
        for endpoint in (0..3).map(EndpointId) {
            prop_assert_eq!(fooled.status(endpoint, end), honest.status(endpoint, end));
        }
        prop_assert_eq!(fooled.wake(), honest.wake());
    }

    #[test]
    fn what_works_is_back_within_the_longest_suppression(history in any_history(1, 2)) {
        let mut config = hasty(1, 2);
        config.rules.damping.half_life = Duration::from_secs(3600);
        let mut world = World::of(config);
        play(&mut world, &history, |_| {});
        world.seconds(900 + 2 + 1 + 3 * 2 + 5, &[".."]);
        prop_assert_eq!((world.state(0), world.state(1)), (State::Up, State::Up));
    }

    #[test]
    fn a_restart_within_an_interval_changes_no_standing(history in any_history(2, 3)) {
        let mut world = World::of(hasty(2, 3));
        play(&mut world, &history, |_| {});
        let restarted = world.restarted(hasty(2, 3));
        for region in 0..3 {
            prop_assert_eq!(world.standing(region), restarted.standing(region));
        }
    }

    #[test]
    fn a_reload_of_the_same_configuration_changes_nothing(history in any_history(2, 3)) {
        let mut world = World::of(hasty(2, 3));
        play(&mut world, &history, |_| {});
        let now = at(world.second) + Duration::from_millis(10);
        world.wake_until(now);
        let (board, change) = Board::rebuilt(hasty(2, 3), &world.board, now);
        prop_assert_eq!(change.transitions, vec![]);
        prop_assert_eq!(change.moves, vec![]);
        for endpoint in (0..3).map(EndpointId) {
            prop_assert_eq!(board.status(endpoint, now), world.board.status(endpoint, now));
        }
    }
}

#[test]
fn a_restart_makes_no_quorum_of_who_speaks_first() {
    let mut before = World::new(4, 3);
    before.seconds(10, &["...", "...", "...", "..."]);
    let mut world = before.restarted(config(4, 3));
    let tell = |world: &mut World, vantage: usize, column: &str| {
        let mut report = world.report(vantage, column);
        for entry in &mut report.targets {
            let outcome = entry.outcomes[0].clone();
            (entry.newest, entry.outcomes) = (10, vec![outcome; 10]);
        }
        let now = at(1) + Duration::from_millis(10 * vantage as u64);
        let change = world.board.apply(&report, now).unwrap();
        world.note(now, change);
    };
    for (vantage, column) in ["x..", "x..", "..."].into_iter().enumerate() {
        tell(&mut world, vantage, column);
    }
    assert_ne!(world.state(0), State::Down, "the fourth may yet say otherwise");
    world.wake_until(at(2));
    assert_eq!(world.state(0), State::Down, "it said nothing: two of three are a quorum");
}

// Composed checks, gauges and shares.

/// One endpoint, judged by a check of so many targets.
fn composed(vantages: usize, targets: usize, check: Check) -> BoardConfig {
    let mut config = config(vantages, targets);
    config.targets.push(TargetSpec {
        key: "r0/www/192.0.2.0 by whole".to_owned(),
        probe: "whole".to_owned(),
        source: Source::Composed(check),
        interval: Duration::from_secs(1),
        thresholds: Thresholds::default(),
    });
    config.endpoints.truncate(1);
    config.endpoints[0].target = Some(TargetId::from_index(targets));
    for (target, spec) in config.targets.iter_mut().enumerate().take(targets) {
        spec.probe = format!("p{target}");
    }
    config
}

fn parts(targets: &[usize]) -> Vec<Part> {
    targets.iter().map(|target| Part::Target(TargetId::from_index(*target))).collect()
}

fn all_of(targets: &[usize]) -> Check {
    Check { least: targets.len(), of: parts(targets) }
}

impl World {
    fn usable(&self) -> Share {
        self.board.standing(EndpointId(0)).usable
    }
}

#[test]
fn one_failing_part_of_all_withdraws_and_is_named() {
    let mut world = World::of(composed(3, 3, all_of(&[0, 1])));
    world.seconds(6, &["...", "...", "..."]);
    assert_eq!(world.state(0), State::Up);
    world.seconds(4, &[".x.", ".x.", ".x."]);
    assert_eq!(world.state(0), State::Down);
    let told = world.log.last().unwrap();
    assert!(told.contains("p1: connection refused"), "{told}");
}

#[test]
fn a_slow_part_that_failed_once_is_not_counted_again_with_each_outcome_of_the_others() {
    let mut world = World::of(composed(3, 2, all_of(&[0, 1])));
    world.seconds(6, &["..", "..", ".."]);
    world.second(&[".x", ".x", ".x"]);
    world.seconds(4, &[".-", ".-", ".-"]);
    assert_ne!(world.state(0), State::Down, "{:?}", world.log);
    world.seconds(3, &["..", "..", ".."]);
    assert_eq!(world.state(0), State::Up);
}

#[test]
fn any_is_withdrawn_only_when_the_last_part_fails() {
    let mut world = World::of(composed(3, 3, Check { least: 1, of: parts(&[0, 1]) }));
    world.seconds(6, &["...", "...", "..."]);
    world.seconds(8, &["x..", "x..", "x.."]);
    assert_eq!(world.state(0), State::Up);
    world.seconds(5, &["xx.", "xx.", "xx."]);
    assert_eq!(world.state(0), State::Down);
}

#[test]
fn a_part_that_is_silent_leaves_the_whole_unknown_unless_another_decides() {
    let mut world = World::of(composed(3, 3, all_of(&[0, 1])));
    world.seconds(6, &["...", "...", "..."]);
    world.seconds(8, &[".-.", ".-.", ".-."]);
    assert_eq!(world.state(0), State::Up, "the last verdict stays");
    assert!(world.board.status(EndpointId(0), at(world.second)).frozen.is_some(), "and says so");
    world.seconds(4, &["x-.", "x-.", "x-."]);
    assert_eq!(world.state(0), State::Down, "what fails anyhow fails");
}

#[test]
fn a_part_without_a_vote_changes_nothing_and_is_seen() {
    let mut config = composed(3, 3, all_of(&[0, 1]));
    config.targets[2].source = Source::Probed { shows_sight: false };
    let mut world = World::of(config);
    world.seconds(6, &["...", "...", "..."]);
    world.seconds(8, &["..x", "..x", "..x"]);
    assert_eq!(world.state(0), State::Up);
    let opinion = world.board.opinion(TargetId(2));
    assert_eq!((opinion.fails, opinion.word()), (3, "fails"));
    assert!(world.board.agents.iter().all(|agent| agent.census.tested == 2), "nor has it to do with sight");
}

/// All of one target and the negation of another: rows 0 and 1, the negation 2, the whole 3.
fn with_negation(vantages: usize) -> BoardConfig {
    let mut config = composed(vantages, 2, all_of(&[0, 2]));
    config.targets[1].source = Source::Probed { shows_sight: false };
    let negation = TargetSpec {
        key: "not r1".to_owned(),
        source: Source::Negated(TargetId(1)),
        ..config.targets[1].clone()
    };
    config.targets.insert(2, negation);
    config.endpoints[0].target = Some(TargetId(3));
    config
}

#[test]
fn what_must_not_pass_withdraws_when_it_does() {
    let mut world = World::of(with_negation(3));
    world.seconds(8, &[".x", ".x", ".x"]);
    assert_eq!(world.state(0), State::Up);
    world.seconds(4, &["..", "..", ".."]);
    assert_eq!(world.state(0), State::Down);
    assert!(world.log.last().unwrap().contains("passes, and must not"), "{:?}", world.log.last());
}

#[test]
fn a_blind_agents_failures_are_no_passes_of_what_must_not_pass() {
    let mut world = World::of(with_negation(1));
    world.control = Some(false);
    world.seconds(8, &["xx"]);
    assert_eq!(world.board.agents[0].said[2].voice, Voice::Silent);
    world.control = Some(true);
    world.seconds(2, &[".x"]);
    assert_eq!(world.board.agents[0].said[2].voice, Voice::Works, "not proven by what was seen blind");
}

/// The check at most as a part of another: as if each target had an endpoint of its own.
#[test]
fn a_composed_check_is_no_further_target_to_be_blind_by() {
    let mut world = World::of(composed(1, 3, all_of(&[0, 1, 2])));
    world.seconds(3, &["x.."]);
    let census = world.board.agents[0].census;
    assert_eq!((census.tested, census.failing), (3, 1));
}

#[test]
fn a_share_is_in_force_at_the_first_quorum_and_then_followed_slowly() {
    let mut world = World::new(3, 2);
    world.seconds(6, &["6.", "6.", "6."]);
    assert_eq!((world.state(0), world.usable()), (State::Up, Share::of_ratio(0.6)));
    world.seconds(4, &["3.", "3.", "3."]);
    assert_eq!(world.usable(), Share::of_ratio(0.6));
    world.seconds(4, &["3.", "3.", "3."]);
    assert_eq!(world.usable(), Share::of_ratio(0.3));
    assert!(world.log.last().unwrap().ends_with("30% of it is usable"), "{:?}", world.log.last());
    world.seconds(25, &["..", "..", ".."]);
    assert_eq!(world.usable(), Share::of_ratio(0.3));
    world.seconds(10, &["..", "..", ".."]);
    assert_eq!(world.usable(), Share::WHOLE);
}

#[test]
fn the_lower_median_of_the_vantages_holds() {
    let mut world = World::new(3, 2);
    world.seconds(6, &["1.", "6.", "8."]);
    assert_eq!(world.usable(), Share::of_ratio(0.6));
    let mut world = World::new(4, 2);
    world.seconds(6, &["1.", "4.", "6.", "8."]);
    assert_eq!(world.usable(), Share::of_ratio(0.4), "the lesser of two in the middle");
    let mut world = World::new(5, 2);
    world.seconds(6, &["1.", "1.", "..", "..", ".."]);
    assert_eq!(world.usable(), Share::WHOLE, "two of five liars move nothing");
}

#[test]
fn a_share_outlives_a_restart_and_not_a_fall() {
    let mut world = World::new(3, 2);
    world.seconds(6, &["6.", "6.", "6."]);
    let saved = world.board.saved(at(6));
    let mut board = Board::new(config(3, 2), at(0));
    board.restore(&saved, Duration::from_secs(1), at(0));
    assert_eq!(board.standing(EndpointId(0)).usable, Share::of_ratio(0.6));
    world.seconds(5, &["x.", "x.", "x."]);
    assert_eq!(world.usable(), Share::NONE);
    world.seconds(10, &["9.", "9.", "9."]);
    assert_eq!((world.state(0), world.usable()), (State::Recovering, Share::of_ratio(0.9)));
}

#[test]
fn the_worst_of_several_gauges_holds() {
    let mut world = World::of(composed(3, 2, all_of(&[0, 1])));
    world.seconds(6, &["84", "84", "84"]);
    assert_eq!(world.usable(), Share::of_ratio(0.4));
}

/// A page that is probed and a gauge that is pushed, judged as one.
fn gauged(vantages: usize) -> BoardConfig {
    let mut config = composed(vantages, 2, all_of(&[0, 1]));
    config.targets[1].source = Source::Pushed { max_age: Duration::from_secs(10) };
    config.targets[1].interval = Duration::ZERO;
    config
}

const GAUGE: TargetId = TargetId(1);

impl World {
    fn push(&mut self, share: f64) {
        let now = at(self.second) + Duration::from_millis(500);
        self.wake_until(now);
        let result = if share > 0.0 { Ok(()) } else { Err(Failure::Other("too much".to_owned())) };
        let change = self.board.push(GAUGE, &result, Share::of_ratio(share), now);
        self.note(now, change);
    }
}

#[test]
fn a_gauge_counts_for_every_vantage_alike() {
    let mut world = World::of(gauged(3));
    world.seconds(6, &[".-", ".-", ".-"]);
    assert_eq!(world.state(0), State::Unknown, "nothing was told yet");
    world.push(0.7);
    world.second(&[".-", ".-", ".-"]);
    assert_eq!((world.state(0), world.usable()), (State::Up, Share::of_ratio(0.7)));
    for _ in 0..4 {
        world.push(0.0);
        world.second(&[".-", ".-", ".-"]);
    }
    assert_eq!(world.state(0), State::Down);
    assert!(world.log.last().unwrap().contains("p1: too much"), "{:?}", world.log);
}

#[test]
fn a_gauge_that_falls_silent_is_unknown_and_not_down() {
    let mut world = World::of(gauged(3));
    world.push(1.0);
    world.seconds(6, &[".-", ".-", ".-"]);
    world.push(0.6);
    world.seconds(7, &[".-", ".-", ".-"]);
    assert_eq!((world.state(0), world.usable()), (State::Up, Share::of_ratio(0.6)));
    world.seconds(10, &[".-", ".-", ".-"]);
    assert_eq!(world.board.opinion(GAUGE).silent, 3);
    assert_eq!((world.state(0), world.usable()), (State::Up, Share::of_ratio(0.6)), "the last word stays");
    assert!(world.board.status(EndpointId(0), at(world.second)).frozen.is_some());
}

#[test]
fn what_agents_say_of_a_gauge_means_nothing() {
    let mut world = World::of(gauged(3));
    world.seconds(6, &["..", "..", ".."]);
    assert_eq!(world.board.opinion(GAUGE).silent, 3);
    assert!(world.changes.iter().any(|(_, change)| change.unknown_targets > 0));
}

#[test]
fn a_gauge_outlives_a_reload() {
    let mut world = World::of(gauged(3));
    world.push(0.7);
    world.seconds(3, &[".-", ".-", ".-"]);
    let (board, _) = Board::rebuilt(gauged(3), &world.board, at(world.second));
    assert_eq!(board.opinion(GAUGE).works, 3);
    assert_eq!(board.standing(EndpointId(0)).usable, world.usable());
}

#[test]
fn of_two_regions_the_dead_one_is_withdrawn_though_probes_of_the_other_fail_by_chance() {
    let mut world = World::new(3, 2);
    world.seconds(5, &["..", "..", ".."]);
    for chance in [["xx", "x.", "x."], ["x.", "xx", "x."], ["x.", "x.", "xx"], ["xx", "x.", "x."]] {
        world.second(&chance);
    }
    assert_eq!(world.state(0), State::Down, "{:?}", world.log);
    assert_ne!(world.state(1), State::Down);
    assert!(world.notices().is_empty(), "nobody is blind: {:?}", world.notices());
}

#[test]
fn after_much_was_judged_judging_rests_and_goes_on_by_itself() {
    let mut world = World::new(50, 40);
    let [passes, fails] = [".", "x"].map(|letter| letter.repeat(40));
    world.seconds(2, &[passes.as_str(); 50]);
    let mut hear = |vantage, column: &str, now| {
        world.number += 1;
        let report = world.report(vantage, column);
        world.board.hear(&report, now).unwrap();
        world.board.settle_in_turn(now)
    };
    let first = at(4);
    let votes = 40 * 50;
    assert!(votes > VOTES_WITHOUT_REST as u32);
    let due = first + REST_PER_VOTE * votes;
    assert_eq!(hear(0, &fails, first).rechecks.len(), 40, "what is rare is judged at once");
    assert_eq!(hear(1, &fails, first + REST_PER_VOTE), Change::default());
    assert!(world.board.wake().is_some_and(|wake| wake <= due));
    assert!(world.board.tick(due).rechecks.len() == 40, "nothing of it is lost");
    assert!(world.board.wake().is_none_or(|wake| wake > due));
}

#[test]
fn where_little_is_judged_every_report_is_judged_when_it_comes() {
    let mut world = World::new(5, 40);
    for (micros, vantage) in [0, 1, 2].into_iter().enumerate() {
        world.number += 1;
        let report = world.report(vantage, &"x".repeat(40));
        let now = at(4) + Duration::from_micros(micros as u64);
        world.board.hear(&report, now).unwrap();
        assert_eq!(world.board.settle_in_turn(now).rechecks.len(), 40);
    }
}
