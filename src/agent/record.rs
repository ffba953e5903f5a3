//! The recent outcomes of one target, and when a report of all of them is due. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::health::outcome::{Failure, OUTCOMES_MAX, Outcome, TargetReport};
use crate::health::verdict::Share;
use crate::ids::TargetId;
use crate::time::Moment;

/// From one report to the next when nothing changes.
pub const TICK: Duration = Duration::from_millis(250);
/// From one report to the next however much changes.
pub const REPORT_GAP_MIN: Duration = Duration::from_millis(20);
/// A report is followed by so many times the time that it took to make, so that with thousands of targets the agent
/// still has most of its time for probes.
pub const REPORT_REST: u32 = 4;

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How many outcomes there were since the agent's boot.
    count: u64,
    /// The last [`OUTCOMES_MAX`] of them, oldest first.
    recent: VecDeque<Past>,
    /// The last probe learned nothing.
    silent: bool,
}

/// An outcome that keeps the moment rather than the age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// When the probe ended.
    pub ended: Moment,
    /// How long it took.
    pub latency: Duration,
    /// Passed, or why not.
    pub result: Result<(), Failure>,
    /// Where it passed, how much of the target is usable.
    pub usable: Share,
}

impl Record {
    /// Adds an outcome. Whether it differs from the one before, or is the first. How much is usable is followed
    /// over seconds, so that it differs is no news.
    pub fn push(&mut self, past: Past) -> bool {
        let changed = self.recent.back().is_none_or(|last| last.result.is_ok() != past.result.is_ok());
        if self.recent.len() == OUTCOMES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(past);
        self.count += 1;
        self.silent = false;
        changed
    }

    /// Drops the outcomes, not the count of them: what was seen while the agent could not see at all must not be
    /// told once it can, to a server that may not know that it was blind.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// A probe learned nothing, which is no outcome. Whether it is the first since there was one.
    pub fn pass_over(&mut self) -> bool {
        !std::mem::replace(&mut self.silent, true)
    }

    /// The target's part of a report that is made now.
    #[must_use]
    pub fn tell(&self, target: TargetId, now: Moment) -> TargetReport {
        let outcomes = self.recent.iter().map(|past| Outcome {
            age: now.since(past.ended),
            latency: past.latency,
            result: past.result.clone(),
            usable: past.usable,
        });
        TargetReport { target, newest: self.count, outcomes: outcomes.collect() }
    }
}

/// When the next report is due.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    last: Moment,
    urgent: bool,
    /// From the last report to the next however much changes.
    gap: Duration,
}

impl Cadence {
    /// The first report is due one tick from now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { last: now, urgent: false, gap: REPORT_GAP_MIN }
    }

    /// There is news that should not wait for the tick.
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// When the next report is due.
    #[must_use]
    pub fn due(&self) -> Moment {
        self.last + if self.urgent { self.gap } else { TICK.max(self.gap) }
    }

    /// A report was sent, which took so long to make.
    pub fn sent(&mut self, now: Moment, took: Duration) {
        *self = Self { gap: REPORT_GAP_MIN.max(took * REPORT_REST), ..Self::new(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(millis: u64, result: Result<(), Failure>) -> Past {
        let latency = Duration::from_millis(1);
        Past { ended: Moment::from_millis(millis), latency, result, usable: Share::WHOLE }
    }

    #[test]
    fn a_report_holds_the_last_outcomes_and_counts_them_all() {
        let mut record = Record::default();
        for millis in 0..20 {
            record.push(past(millis, Ok(())));
        }
        let report = record.tell(TargetId(3), Moment::from_millis(100));
        assert_eq!((report.newest, report.outcomes.len()), (20, OUTCOMES_MAX));
        assert_eq!(report.outcomes[0].age, Duration::from_millis(96));
        assert_eq!(report.outcomes[15].age, Duration::from_millis(81));
    }

    #[test]
    fn the_first_outcome_and_each_turn_is_a_change() {
        let mut record = Record::default();
        let refused = || Err(Failure::Refused);
        let changes: Vec<bool> = [Ok(()), Ok(()), refused(), Err(Failure::TimedOut), Ok(())]
            .into_iter()
            .map(|result| record.push(past(0, result)))
            .collect();
        assert_eq!(changes, [true, false, true, false, true]);
    }

    #[test]
    fn silence_is_no_outcome_and_is_told_once() {
        let mut record = Record::default();
        record.push(past(0, Ok(())));
        assert_eq!([record.pass_over(), record.pass_over()], [true, false]);
        assert!(!record.push(past(1, Ok(()))));
        assert!(record.pass_over());
        assert_eq!(record.tell(TargetId(0), Moment::START).newest, 2);
    }

    #[test]
    fn news_brings_a_report_forward_but_not_below_the_gap() {
        let now = Moment::from_millis(1_000);
        let mut cadence = Cadence::new(now);
        assert_eq!(cadence.due(), now + TICK);
        cadence.hurry();
        assert_eq!(cadence.due(), now + REPORT_GAP_MIN);
        cadence.sent(now, Duration::from_millis(1));
        assert_eq!(cadence.due(), now + TICK);
        cadence.sent(now, Duration::from_millis(30));
        cadence.hurry();
        assert_eq!(
            cadence.due(),
            now + Duration::from_millis(120),
            "a large one is followed by a longer rest"
        );
    }
}
