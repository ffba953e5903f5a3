//! What one agent has seen of one target: a shift register of outcomes, fall and rise counts, and the window
//! ratio that catches lossy endpoints. Knows nothing of other agents.
//!
//! ```text
//!              | passed                         | failed
//! -------------+--------------------------------+------------------------------------------------
//!  untested    | clear                          | checking, asks for a recheck
//!  clear       | clear                          | checking, asks for a recheck
//!  checking    | clear                          | doubtful: the recheck failed too
//!  doubtful    | clear, after `rise` in a row   | doubtful
//!  failing     | clear, after `rise` in a row   | failing
//!              | and with a window that is good |
//! ```
//!
//! Whatever the row, `fall` failures in a row or a full window with `window_failures` of them lead to failing.
//! A silence longer than the age limit begins anew: failures on both sides of it are not "in a row".

use std::fmt;
use std::time::Duration;

use super::outcome::{Failure, OUTCOMES_MAX, Outcome, TargetReport};
use super::verdict::Share;
use crate::time::Moment;

/// When a target counts as failing or working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row until it is failing.
    pub fall: u8,
    /// Successes in a row until it works again.
    pub rise: u8,
    /// How many of the last outcomes the window holds; at most 64. With 0 there is no window.
    pub window: u8,
    /// How many failures in a full window mean failing, in a row or not.
    pub window_failures: u8,
    /// How many failures, less half of the passes, two vantages must have seen together before an endpoint is withdrawn for
    /// everybody, and more of them in proportion; see [`quorum`](super::quorum). Of no meaning where there is a
    /// single vantage.
    pub together: u8,
}

impl Default for Thresholds {
    /// Three failures, five successes, or 60 % of the last ten failing; ten failures together.
    fn default() -> Self {
        Self { fall: 3, rise: 5, window: 10, window_failures: 6, together: 10 }
    }
}

impl Thresholds {
    /// How many failures in a row an agent should look for at the pace of rechecks: those that make it fail,
    /// and those that two vantages need together.
    #[must_use]
    pub fn rechecked(&self) -> u8 {
        self.fall.max(self.together.div_ceil(2))
    }
}

/// The weight of a streak grows no further: what is certain needs no more counting.
pub const WEIGHT_MAX: u8 = 32;
/// What a failure adds to the weight, of which a pass takes one off. That a probe fails is, of a target that loses
/// three of four rather than one of twenty, fifteen times as likely, and that it passes a quarter; the logarithms
/// of these stand as two to one (Wald's sequential test).
const HALVES_PER_FAILURE: u8 = 2;

/// What an agent's outcomes say of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No outcome counts.
    Untested,
    /// The newest outcome passed, and nothing is in doubt.
    Clear,
    /// One probe failed; a recheck was asked for.
    Checking,
    /// The recheck failed too, short of the threshold.
    Doubtful,
    /// A threshold is passed.
    Failing,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Nothing: the next probe comes at its time.
    Wait,
    /// Probe again at once, from every agent.
    Recheck,
}

/// The recent outcomes of one target as one agent saw them.
#[derive(Clone, PartialEq, Eq)]
pub struct Streak {
    /// Newest in the lowest bit; a set bit failed.
    outcomes: u64,
    /// How many of the bits hold an outcome.
    seen: u8,
    /// How many of the newest outcomes are alike.
    run: u16,
    /// Twice [`Streak::weight`].
    half_weight: u8,
    condition: Condition,
    /// Passed `rise` times in a row, and not failing since. What is down needs this to come back, so that
    /// the first probe after a restart revives nothing.
    proven: bool,
    /// The agent's number of the newest outcome taken.
    newest: u64,
    newest_at: Moment,
    troubled_since: Moment,
    failure: Option<Failure>,
    /// How much was usable when it last passed.
    share: Share,
}

/// The count behind a failing target, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// The newest failure.
    pub failure: Failure,
    /// Failures in a row up to now.
    pub in_a_row: u16,
    /// Failures among the last outcomes.
    pub failed: u8,
    /// How many last outcomes those are, at most the window.
    pub of: u8,
}

impl Streak {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            outcomes: 0,
            seen: 0,
            run: 0,
            half_weight: 0,
            condition: Condition::Untested,
            proven: false,
            newest: 0,
            newest_at: Moment::START,
            troubled_since: Moment::START,
            failure: None,
            share: Share::WHOLE,
        }
    }

    /// The outcomes of `entry` that were not seen before, oldest first. Gaps are fine, and so is an entry that
    /// promises fewer outcomes than it holds or goes back: it brings nothing new.
    pub fn unseen<'a>(&mut self, entry: &'a TargetReport) -> &'a [Outcome] {
        let count = entry.newest.saturating_sub(self.newest).min(OUTCOMES_MAX as u64);
        let held = entry.outcomes.len();
        self.newest = self.newest.max(entry.newest);
        &entry.outcomes[held - held.min(count as usize)..]
    }

    /// Takes one more outcome, which ended at `at`; outcomes come in the order of their time.
    pub fn record(
        &mut self,
        at: Moment,
        result: &Result<(), Failure>,
        thresholds: &Thresholds,
        age_limit: Duration,
    ) -> Action {
        if self.is_stale(at, age_limit) {
            self.forget();
        }
        self.newest_at = self.newest_at.max(at);
        self.shift(result.is_err());
        match result {
            Ok(()) => {
                self.pass(thresholds);
                Action::Wait
            }
            Err(failure) => self.fail(failure, thresholds),
        }
    }

    /// Takes so many passes, the last of which ended at `at`: what as many calls of [`record`](Self::record) come to,
    /// for who plays long times in which all is clear.
    pub fn record_passes(&mut self, count: u32, at: Moment, thresholds: &Thresholds, age_limit: Duration) {
        let mut left = count;
        while left > 0 && (self.condition != Condition::Clear || self.is_stale(at, age_limit)) {
            let _ = self.record(at, &Ok(()), thresholds, age_limit);
            left -= 1;
        }
        if left == 0 {
            return;
        }
        self.newest_at = self.newest_at.max(at);
        let before = if self.newest_failed() { 0 } else { self.run };
        self.run = before.saturating_add(u16::try_from(left).unwrap_or(u16::MAX));
        self.outcomes = self.outcomes.checked_shl(left).unwrap_or(0);
        self.seen = u8::try_from(left).map_or(64, |left| self.seen.saturating_add(left).min(64));
        self.half_weight = self.half_weight.saturating_sub(u8::try_from(left).unwrap_or(u8::MAX));
        self.pass(thresholds);
    }

    /// Notes how much was usable when it passed.
    pub fn note_share(&mut self, share: Share) {
        self.share = share;
    }

    /// How much was usable when it last passed.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// Drops the outcomes, not the count of them: what was seen blind must not count once sight is back.
    pub fn forget(&mut self) {
        *self = Self { newest: self.newest, newest_at: self.newest_at, ..Self::new() };
    }

    /// Where the chart stands.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Whether it passed `rise` times in a row and has not been failing since.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Failures less half of the passes, counted from zero upwards: how much speaks against the target by now.
    /// Chance alone hardly moves it: at one failure in twenty, each further step is fifteen times as rare as the
    /// one before.
    #[must_use]
    pub fn weight(&self) -> u8 {
        self.half_weight / HALVES_PER_FAILURE
    }

    /// Whether the newest outcome failed.
    #[must_use]
    pub fn newest_failed(&self) -> bool {
        self.seen > 0 && self.outcomes & 1 == 1
    }

    /// Whether the newest two outcomes failed.
    #[must_use]
    pub fn failed_again(&self) -> bool {
        self.newest_failed() && self.run > 1
    }

    /// When the newest outcome that counts ended.
    #[must_use]
    pub fn newest_at(&self) -> Moment {
        self.newest_at
    }

    /// Whether there is no outcome that is young enough to count.
    #[must_use]
    pub fn is_stale(&self, now: Moment, age_limit: Duration) -> bool {
        self.condition == Condition::Untested || now.since(self.newest_at) > age_limit
    }

    /// When the present trouble began: the first failure after all was clear.
    #[must_use]
    pub fn troubled_since(&self) -> Moment {
        self.troubled_since
    }

    /// What to tell people of a target that is not clear.
    #[must_use]
    pub fn trail(&self, thresholds: &Thresholds) -> Option<Trail> {
        let of = self.seen.min(thresholds.window.max(1));
        Some(Trail {
            failure: self.failure.clone()?,
            in_a_row: if self.newest_failed() { self.run } else { 0 },
            failed: self.failures_among(of),
            of,
        })
    }

    fn shift(&mut self, failed: bool) {
        self.run =
            if self.seen > 0 && failed == self.newest_failed() { self.run.saturating_add(1) } else { 1 };
        self.half_weight = if failed {
            (self.half_weight + HALVES_PER_FAILURE).min(WEIGHT_MAX * HALVES_PER_FAILURE)
        } else {
            self.half_weight.saturating_sub(1)
        };
        self.outcomes = self.outcomes << 1 | u64::from(failed);
        self.seen = (self.seen + 1).min(64);
    }

    fn pass(&mut self, thresholds: &Thresholds) {
        let risen = self.run >= thresholds.rise.into();
        self.condition = match self.condition {
            Condition::Doubtful if !risen => Condition::Doubtful,
            Condition::Failing if !risen || self.is_lossy(thresholds) => Condition::Failing,
            _ => Condition::Clear,
        };
        if self.condition == Condition::Clear {
            self.proven |= risen;
            self.failure = None;
            // A long trouble that is over must not lend its weight to the next.
            if risen {
                self.half_weight = 0;
            }
        }
    }

    fn fail(&mut self, failure: &Failure, thresholds: &Thresholds) -> Action {
        let first = matches!(self.condition, Condition::Untested | Condition::Clear);
        if first {
            self.troubled_since = self.newest_at;
        }
        if self.failure.as_ref() != Some(failure) {
            self.failure = Some(failure.clone());
        }
        self.condition = match self.condition {
            _ if self.run >= thresholds.fall.into() || self.is_lossy(thresholds) => Condition::Failing,
            Condition::Untested | Condition::Clear => Condition::Checking,
            Condition::Checking => Condition::Doubtful,
            other => other,
        };
        self.proven &= self.condition != Condition::Failing;
        if first { Action::Recheck } else { Action::Wait }
    }

    fn is_lossy(&self, thresholds: &Thresholds) -> bool {
        let window = thresholds.window.min(64);
        window > 0 && self.seen >= window && self.failures_among(window) >= thresholds.window_failures.max(1)
    }

    fn failures_among(&self, newest: u8) -> u8 {
        let mask = u64::MAX.checked_shr(64 - u32::from(newest.min(64))).unwrap_or(0);
        (self.outcomes & mask).count_ones() as u8
    }
}

impl Default for Streak {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads as a story, the oldest outcome first: `. . x x, doubtful`.
impl fmt::Debug for Streak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bit in (0..self.seen.min(16)).rev() {
            f.write_str(if self.outcomes >> bit & 1 == 1 { "x " } else { ". " })?;
        }
        write!(f, "{:?}", self.condition)
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What runs now is told, unless most failures lie before the run: then it is the ratio that matters.
        if self.in_a_row > 1 && self.in_a_row.saturating_mul(2) >= u16::from(self.failed) {
            write!(f, "{} ({} in a row)", self.failure, self.in_a_row)
        } else if self.of > 1 {
            write!(f, "{} ({} of the last {})", self.failure, self.failed, self.of)
        } else {
            write!(f, "{}", self.failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// A streak after one outcome a second: `.` passed, `x` failed, `-` silence; and how often it asked for
    /// a recheck.
    fn after_with(outcomes: &str, thresholds: &Thresholds) -> (Streak, usize) {
        let mut streak = Streak::new();
        let mut asked = 0;
        for (second, outcome) in outcomes.chars().filter(|c| *c != ' ').enumerate() {
            let result = match outcome {
                '.' => Ok(()),
                'x' => Err(Failure::Refused),
                _ => continue,
            };
            let at = Moment::from_millis(second as u64 * 1000);
            asked += usize::from(streak.record(at, &result, thresholds, LIMIT) == Action::Recheck);
        }
        (streak, asked)
    }

    fn after(outcomes: &str) -> Condition {
        after_with(outcomes, &Thresholds::default()).0.condition()
    }

    #[test]
    fn three_failures_in_a_row_are_failing() {
        assert_eq!(after(""), Condition::Untested);
        assert_eq!(after("."), Condition::Clear);
        assert_eq!(after(". x"), Condition::Checking);
        assert_eq!(after(". x x"), Condition::Doubtful);
        assert_eq!(after(". x x x"), Condition::Failing);
        assert_eq!(after("x x x"), Condition::Failing);
    }

    #[test]
    fn a_passed_recheck_clears_the_doubt_at_once() {
        assert_eq!(after(". x ."), Condition::Clear);
    }

    #[test]
    fn doubt_and_failure_end_after_five_successes() {
        assert_eq!(after(". x x . . . ."), Condition::Doubtful);
        assert_eq!(after(". x x . . . . ."), Condition::Clear);
        assert_eq!(after("x x x . . . ."), Condition::Failing);
        assert_eq!(after("x x x . . . . x . . . ."), Condition::Failing);
        assert_eq!(after("x x x . . . . ."), Condition::Clear);
    }

    #[test]
    fn a_lossy_target_is_failing_though_never_three_times_in_a_row() {
        assert_eq!(after("x x . x x . x x ."), Condition::Doubtful, "the window is not full");
        assert_eq!(after("x x . x x . x x . x"), Condition::Failing);
        assert_eq!(after(". x . x . x . x . x . x . x"), Condition::Checking, "half is not 60 %");
    }

    #[test]
    fn a_bad_window_outlasts_a_short_rise() {
        let thresholds = Thresholds { rise: 1, ..Thresholds::default() };
        let lossy = "x x . x x . x x . x";
        assert_eq!(after_with(&format!("{lossy} ."), &thresholds).0.condition(), Condition::Failing);
        assert_eq!(after_with(&format!("{lossy} . ."), &thresholds).0.condition(), Condition::Clear);
    }

    #[test]
    fn a_threshold_of_one_fails_at_once_and_still_asks_for_a_recheck() {
        let thresholds = Thresholds { fall: 1, rise: 1, window: 0, window_failures: 0, together: 0 };
        let (streak, asked) = after_with(". x", &thresholds);
        assert_eq!((streak.condition(), asked), (Condition::Failing, 1));
        assert_eq!(after_with(". x .", &thresholds).0.condition(), Condition::Clear);
    }

    #[test]
    fn weight_is_failures_less_half_of_the_passes_and_ends_with_the_trouble() {
        let weight = |outcomes| after_with(outcomes, &Thresholds::default()).0.weight();
        assert_eq!((weight(". . x x x"), weight("x x x . x"), weight("x . . x")), (3, 3, 1));
        assert_eq!(weight("x x x x x x x x x x . . . ."), 8);
        assert_eq!(weight("x x x x x x x x x x . . . . ."), 0, "it works again");
        assert_eq!(weight(&"x".repeat(99)), WEIGHT_MAX);
    }

    #[test]
    fn a_recheck_is_asked_for_once_per_trouble() {
        assert_eq!(after_with(". x x x x . . . . .", &Thresholds::default()).1, 1);
        assert_eq!(after_with(". x . x . x", &Thresholds::default()).1, 3);
    }

    #[test]
    fn failures_around_a_silence_are_not_in_a_row() {
        assert_eq!(after(". x x ---- x"), Condition::Failing, "five seconds are within the limit");
        assert_eq!(after(". x x ----- x"), Condition::Checking);
        assert_eq!(after("x x x ------ ."), Condition::Clear);
        assert!(!after_with("x x x ------ .", &Thresholds::default()).0.is_proven());
    }

    #[test]
    fn proof_takes_the_whole_rise_and_ends_with_failing() {
        let proven = |outcomes| after_with(outcomes, &Thresholds::default()).0.is_proven();
        assert!(!proven(". . . ."));
        assert!(proven(". . . . ."));
        assert!(proven(". . . . . x x"));
        assert!(!proven(". . . . . x x x"));
        assert!(proven("x x x . . . . ."));
    }

    #[test]
    fn people_read_the_count_that_matters() {
        let trail = |outcomes| {
            let (streak, _) = after_with(outcomes, &Thresholds::default());
            streak.trail(&Thresholds::default()).map(|trail| trail.to_string())
        };
        assert_eq!(trail(". x x x").as_deref(), Some("connection refused (3 in a row)"));
        assert_eq!(trail("x x . x x . x x . x").as_deref(), Some("connection refused (7 of the last 10)"));
        assert_eq!(trail("x . x x . x x . x x").as_deref(), Some("connection refused (7 of the last 10)"));
        assert_eq!(trail(". ."), None);
        assert_eq!(format!("{:?}", after_with(". x x", &Thresholds::default()).0), ". x x Doubtful");
    }

    fn entry(newest: u64, held: usize) -> TargetReport {
        let outcome =
            Outcome { age: Duration::ZERO, latency: Duration::ZERO, result: Ok(()), usable: Share::WHOLE };
        TargetReport { target: crate::ids::TargetId(0), newest, outcomes: vec![outcome; held] }
    }

    #[test]
    fn only_what_was_not_seen_before_is_taken() {
        let mut streak = Streak::new();
        assert_eq!(streak.unseen(&entry(3, 3)).len(), 3);
        assert_eq!(streak.unseen(&entry(3, 3)).len(), 0, "the same again");
        assert_eq!(streak.unseen(&entry(5, 5)).len(), 2);
        assert_eq!(streak.unseen(&entry(4, 4)).len(), 0, "a count that goes back");
        assert_eq!(streak.unseen(&entry(90, 16)).len(), 16, "a gap");
        assert_eq!(streak.unseen(&entry(91, 0)).len(), 0);
        assert_eq!(streak.unseen(&entry(u64::MAX, 40)).len(), 16, "never more than a report may hold");
    }

    proptest! {
        #[test]
        fn passes_at_once_are_as_many_one_by_one(outcomes in "[.x]{0,80}", count in 0_u32..150) {
            let at = Moment::from_millis(82_000);
            let (mut at_once, _) = after_with(&outcomes, &Thresholds::default());
            let mut one_by_one = at_once.clone();
            at_once.record_passes(count, at, &Thresholds::default(), LIMIT);
            for _ in 0..count {
                let _ = one_by_one.record(at, &Ok(()), &Thresholds::default(), LIMIT);
            }
            prop_assert!(at_once == one_by_one, "{at_once:?} {one_by_one:?}");
        }

        #[test]
        fn any_outcomes_and_thresholds_keep_the_chart(
            outcomes in "[.x-]{0,90}", fall in 0u8.., rise in 0u8.., window in 0u8.., window_failures in 0u8..
        ) {
            let thresholds = Thresholds { fall, rise, window, window_failures, together: 0 };
            let (streak, asked) = after_with(&outcomes, &thresholds);
            let failures = outcomes.matches('x').count();
            prop_assert!(asked <= failures);
            prop_assert_eq!(streak.condition() == Condition::Untested, !outcomes.contains(['.', 'x']));
            prop_assert!(streak.condition() != Condition::Failing || !streak.is_proven());
            prop_assert!(streak.condition() == Condition::Clear || outcomes.contains('x') || outcomes.replace('-', "").is_empty());
            let _ = streak.trail(&thresholds);
        }
    }
}
