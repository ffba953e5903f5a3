//! When to probe which target next. Pure: it is told the time and handed chance, and gives moments back.
//!
//! ```text
//!            due            done: passed                      one interval from the last start, +-10 %
//! waiting ────────▶ out ───────────────────────▶ waiting
//!    ▲               │     done: failed, below fall           a recheck pause from the last start, or at once
//!    └───────────────┘     done: failed, fall reached         one interval from the last start, +-10 %
//! ```
//!
//! Whatever hurries a target (a watched connection broke) makes it due at once, or again as soon as the probe
//! that is out comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::chance::Chance;
use crate::time::Moment;

/// From the start of a probe that failed to the recheck, at most; with its jitter well within 100 ms. A probe that
/// took longer to fail, as by its time-out, is followed at once.
pub const RECHECK_MAX: Duration = Duration::from_millis(50);
/// The same, at least: what is looked at in a shorter time is one and the same moment.
pub const RECHECK_MIN: Duration = Duration::from_millis(20);
/// Two starts of a target are the interval apart, up to this part longer or shorter.
pub const JITTER: f64 = 0.1;
/// A plan's first round is over by then, however long the intervals: what is not known yet is wanted soon.
pub const FIRST_ROUND: Duration = Duration::from_secs(1);

/// What a plan knows of how a target is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one start to the next.
    pub interval: Duration,
    /// So many failures in a row need no further recheck; what makes a target fail, or somewhat more.
    pub fall: u8,
}

impl Pace {
    /// From the start of a probe that failed to the recheck: a fifth of the interval, within bounds, so that who
    /// wants to know sooner is told sooner, and rechecks never are all that a target has to do.
    #[must_use]
    pub fn recheck(&self) -> Duration {
        (self.interval / 5).clamp(RECHECK_MIN, RECHECK_MAX)
    }
}

/// The timers of all targets, each known by its position. Every operation is O(log n) of the targets.
#[derive(Debug)]
pub struct Plan {
    slots: Vec<Slot>,
    /// The waiting targets by when they are due: the pairs of those slots whose `due` is set.
    queue: BTreeSet<(Moment, usize)>,
    chance: Chance,
}

#[derive(Clone, Debug)]
struct Slot {
    pace: Pace,
    /// When it is to be probed; `None` while a probe is out.
    due: Option<Moment>,
    /// When the last probe began.
    started: Moment,
    /// Failures in a row, counted no further than `fall`.
    failures: u8,
    /// Something hurried the target while a probe was out.
    again: bool,
    /// The start after the first one, which moves the target to its own place in the interval.
    settle: Option<Moment>,
}

impl Plan {
    /// A plan that begins now. The first round is spread over the interval or [`FIRST_ROUND`], whichever is
    /// shorter, the second over the interval.
    #[must_use]
    pub fn new(paces: &[Pace], now: Moment, mut chance: Chance) -> Self {
        let turn = chance.ratio();
        let slots =
            paces.iter().enumerate().map(|(position, pace)| Slot::new(*pace, phase(position, turn), now));
        let mut plan = Self { slots: slots.collect(), queue: BTreeSet::new(), chance };
        for (target, slot) in plan.slots.iter().enumerate() {
            plan.queue.extend(slot.due.map(|due| (due, target)));
        }
        plan
    }

    /// The moment at which a target is due next, if any waits.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// The target that is due, if one is, longest waiting first. Its probe is out until [`Plan::done`].
    pub fn due(&mut self, now: Moment) -> Option<usize> {
        let first = self.queue.first().filter(|(due, _)| *due <= now).copied()?;
        self.queue.remove(&first);
        let (_, target) = first;
        self.slots[target].due = None;
        self.slots[target].started = now;
        Some(target)
    }

    /// A probe came back: passed, failed, or without having learned anything (`None`, neither counted nor
    /// rechecked). Whether the target is now failing for the first times, so that the news is urgent.
    pub fn done(&mut self, target: usize, passed: Option<bool>, now: Moment) -> bool {
        let slot = &mut self.slots[target];
        debug_assert!(slot.due.is_none(), "a probe of the target was out");
        let fresh = slot.failures < slot.pace.fall;
        match passed {
            Some(true) => slot.failures = 0,
            Some(false) if fresh => slot.failures += 1,
            _ => {}
        }
        let due = slot.next(passed == Some(false), now, &mut self.chance);
        self.set(target, due);
        fresh && passed == Some(false)
    }

    /// Probe this target now.
    pub fn hurry(&mut self, target: usize, now: Moment) {
        let slot = &mut self.slots[target];
        match slot.due {
            Some(due) => self.set(target, due.min(now)),
            None => slot.again = true,
        }
    }

    /// Probe this target now, since another agent saw it fail; but not sooner than a recheck's pause after the last
    /// probe began, however often it is asked for. A probe that is out will tell soon enough.
    pub fn recheck(&mut self, target: usize, now: Moment) {
        let slot = &self.slots[target];
        if let Some(due) = slot.due {
            let soonest = now.max(slot.started + slot.pace.recheck());
            self.set(target, due.min(soonest));
        }
    }

    /// Takes over where this target stood in an older plan. One that waits at another pace begins anew; a probe
    /// that is out stays out, and its outcome is this target's.
    pub fn adopt(&mut self, target: usize, older: &Plan, position: usize) {
        let before = &older.slots[position];
        let slot = &mut self.slots[target];
        if before.due.is_some() && before.pace != slot.pace {
            return;
        }
        if let Some(due) = slot.due {
            self.queue.remove(&(due, target));
        }
        *slot = Slot { pace: slot.pace, failures: before.failures.min(slot.pace.fall), ..before.clone() };
        self.queue.extend(slot.due.map(|due| (due, target)));
    }

    fn set(&mut self, target: usize, due: Moment) {
        if let Some(before) = self.slots[target].due.replace(due) {
            self.queue.remove(&(before, target));
        }
        self.queue.insert((due, target));
    }
}

impl Slot {
    fn new(pace: Pace, phase: f64, now: Moment) -> Self {
        Self {
            pace,
            due: Some(now + pace.interval.min(FIRST_ROUND).mul_f64(phase)),
            started: now,
            failures: 0,
            again: false,
            settle: Some(now + pace.interval.mul_f64(phase)),
        }
    }

    /// When the target is due after a probe whose outcome is already counted.
    fn next(&mut self, failed: bool, now: Moment, chance: &mut Chance) -> Moment {
        if std::mem::take(&mut self.again) {
            return now;
        }
        if failed && self.failures < self.pace.fall {
            return now.max(self.started + chance.around(self.pace.recheck(), JITTER));
        }
        let interval = self.pace.interval;
        let due = match self.settle.take() {
            Some(place) if place >= self.started + interval.mul_f64(JITTER) => place,
            Some(place) => place + interval,
            None => self.started + chance.around(interval, JITTER),
        };
        due.max(now)
    }
}

/// The place of a target in its interval. Multiples of the golden section lie evenly whatever run of
/// positions one looks at, and so for the targets of each probe among all others.
fn phase(position: usize, turn: f64) -> f64 {
    const GOLDEN_SECTION: f64 = 0.618_033_988_749_894_9;
    (position as f64 * GOLDEN_SECTION + turn).fract()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn plan_of(count: usize, interval: Duration) -> Plan {
        Plan::new(&vec![Pace { interval, fall: 3 }; count], Moment::START, Chance::seeded(7))
    }

    /// Plays the plan until `end`; `probe` tells how long a probe takes and what it finds. Gives all starts.
    fn play(
        plan: &mut Plan,
        end: Moment,
        mut probe: impl FnMut(usize, Moment) -> (Duration, Option<bool>),
    ) -> Vec<(usize, Moment)> {
        let mut starts = Vec::new();
        let mut out: BTreeSet<(Moment, usize, Option<bool>)> = BTreeSet::new();
        loop {
            let back = out.first().copied();
            let now = match (plan.next_wake(), back) {
                (Some(wake), Some((back, ..))) => wake.min(back),
                (Some(wake), None) => wake,
                (None, Some((back, ..))) => back,
                (None, None) => return starts,
            };
            if now > end {
                return starts;
            }
            if let Some(first @ (back, target, passed)) = back
                && back <= now
            {
                out.remove(&first);
                plan.done(target, passed, now);
            }
            while let Some(target) = plan.due(now) {
                starts.push((target, now));
                let (took, passed) = probe(target, now);
                out.insert((now + took, target, passed));
            }
        }
    }

    fn gaps(starts: &[(usize, Moment)], target: usize) -> Vec<Duration> {
        let of_target: Vec<Moment> = starts.iter().filter(|(t, _)| *t == target).map(|(_, at)| *at).collect();
        of_target.windows(2).map(|pair| pair[1].since(pair[0])).collect()
    }

    proptest! {
        #[test]
        fn a_target_that_works_is_probed_once_per_interval(
            count in 1..40_usize, interval_ms in 100..20_000_u64, took_percent in 0..80_u32, seed: u64,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let paces = vec![Pace { interval, fall: 3 }; count];
            let mut plan = Plan::new(&paces, Moment::START, Chance::seeded(seed));
            let end = Moment::START + interval * 12;
            let starts = play(&mut plan, end, |_, _| (interval * took_percent / 100, Some(true)));
            for target in 0..count {
                let first = starts.iter().find(|(t, _)| *t == target).expect("each target is probed").1;
                prop_assert!(first <= Moment::START + interval.min(FIRST_ROUND));
                for (number, gap) in gaps(&starts, target).into_iter().enumerate() {
                    let part = gap.as_secs_f64() / interval.as_secs_f64();
                    prop_assert!(part < 1.1001, "{part}");
                    prop_assert!(part > if number == 0 { 0.0999 } else { 0.8999 }, "{part}");
                }
            }
        }

        #[test]
        fn a_target_is_never_probed_more_than_fall_times_per_interval(
            outcomes in prop::collection::vec(prop::option::of(any::<bool>()), 1..40), fall in 1..6_u8,
        ) {
            let pace = Pace { interval: SECOND, fall };
            let mut plan = Plan::new(&[pace], Moment::START, Chance::seeded(1));
            let mut turn = outcomes.iter().cycle();
            let starts = play(&mut plan, at(30_000), |_, _| {
                (Duration::from_millis(5), *turn.next().expect("a cycle never ends"))
            });
            for window in starts.windows(usize::from(fall) * 2 + 1) {
                let span = window[window.len() - 1].1.since(window[0].1);
                prop_assert!(span > SECOND.mul_f64(0.85), "{} starts in {span:?}", window.len());
            }
        }

        #[test]
        fn a_target_has_at_most_one_probe_out(steps in prop::collection::vec((0..3_u8, 0..4_usize), 1..200)) {
            let mut plan = plan_of(4, SECOND);
            let mut out = [false; 4];
            let mut now = Moment::START;
            for (step, target) in steps {
                match step {
                    0 => plan.hurry(target, now),
                    1 if out[target] => {
                        plan.done(target, Some(false), now);
                        out[target] = false;
                    }
                    _ => now = now + Duration::from_millis(40),
                }
                while let Some(due) = plan.due(now) {
                    prop_assert!(!std::mem::replace(&mut out[due], true));
                }
            }
        }
    }

    #[test]
    fn starts_are_spread_evenly_over_the_interval_and_stay_so() {
        let interval = Duration::from_secs(10);
        let mut plan = plan_of(1000, interval);
        let starts = play(&mut plan, at(40_000), |_, _| (Duration::from_millis(1), Some(true)));
        for second in 12..38 {
            let from = at(second * 1000);
            let count = starts.iter().filter(|(_, at)| *at >= from && *at < from + SECOND).count();
            assert!((70..130).contains(&count), "{count} starts in second {second}");
        }
        for tenth in 0..10 {
            let from = at(tenth * 100);
            let until = from + Duration::from_millis(100);
            let first_round = starts.iter().take(1000).filter(|(_, at)| *at >= from && *at < until).count();
            assert!((90..125).contains(&first_round), "{first_round} first starts in tenth {tenth}");
        }
    }

    #[test]
    fn failures_below_fall_are_rechecked_within_100_ms_and_then_no_more() {
        let mut plan = plan_of(1, SECOND);
        let starts = play(&mut plan, at(9_000), |_, _| (Duration::from_millis(10), Some(false)));
        let gaps = gaps(&starts, 0);
        assert!(gaps[..2].iter().all(|gap| *gap < Duration::from_millis(100)), "{gaps:?}");
        assert!(gaps[3..].iter().all(|gap| *gap > Duration::from_millis(899)), "{gaps:?}");
    }

    #[test]
    fn only_the_first_failures_are_urgent() {
        let mut plan = plan_of(1, SECOND);
        let mut urgent = Vec::new();
        for passed in [Some(false), None, Some(false), Some(false), Some(false), Some(true), Some(false)] {
            let now = plan.next_wake().unwrap();
            plan.due(now).unwrap();
            urgent.push(plan.done(0, passed, now));
        }
        assert_eq!(urgent, [true, false, true, true, false, false, true]);
    }

    #[test]
    fn a_hurried_target_is_due_now_or_as_soon_as_its_probe_is_back() {
        let mut plan = plan_of(1, SECOND);
        play(&mut plan, at(3_000), |_, _| (Duration::ZERO, Some(true)));
        plan.hurry(0, at(3_000));
        assert_eq!(plan.due(at(3_000)), Some(0));
        plan.hurry(0, at(3_100));
        assert_eq!(plan.next_wake(), None);
        plan.done(0, Some(true), at(3_200));
        assert_eq!(plan.due(at(3_200)), Some(0));
        plan.done(0, Some(true), at(3_300));
        assert!(plan.next_wake() > Some(at(4_000)));
    }

    #[test]
    fn a_target_that_persists_keeps_its_place_through_a_reload() {
        let mut older = plan_of(3, SECOND);
        play(&mut older, at(5_000), |_, _| (Duration::ZERO, Some(true)));
        older.hurry(2, at(5_000));
        assert_eq!(older.due(at(5_000)), Some(2));
        let mut newer = Plan::new(&[Pace { interval: SECOND, fall: 3 }; 2], at(5_000), Chance::seeded(9));
        newer.adopt(0, &older, 1);
        newer.adopt(1, &older, 2);
        assert_eq!(newer.slots[0].due, older.slots[1].due);
        assert_eq!(newer.slots[1].due, None, "its probe is still out");
        newer.done(1, Some(true), at(5_001));
        assert_eq!(newer.queue.len(), 2);
        let mut slower = Plan::new(&[Pace { interval: SECOND * 9, fall: 3 }], at(5_001), Chance::seeded(9));
        slower.adopt(0, &newer, 0);
        assert!(slower.next_wake() <= Some(at(6_001)), "a new pace begins with a first round");
    }
}
