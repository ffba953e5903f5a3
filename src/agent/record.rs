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
    /// The `count` that the last report told.
    told: u64,
    /// The `count` up to which reports are known to have been taken.
    taken: u64,
}

/// How much of what is remembered a report tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// All of it, whatever was told before: the same work on every day, and no report needs another.
    All,
    /// What no report is known to have brought yet. For whoever is in the same process and takes each report in its
    /// turn: there a report of everything is nothing but memory that is copied, which those who answer wait for.
    News,
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
        self.tell_last(self.recent.len(), target, now)
    }

    /// The target's part of a report of [`Telling::News`], if it has one. `was_taken` says whether all reports before
    /// this one were.
    pub fn tell_news(&mut self, target: TargetId, now: Moment, was_taken: bool) -> Option<TargetReport> {
        if was_taken {
            self.taken = self.told;
        }
        self.told = self.count;
        let news = self.count - self.taken;
        (news > 0).then(|| {
            let last = usize::try_from(news).unwrap_or(usize::MAX).min(self.recent.len());
            self.tell_last(last, target, now)
        })
    }

    /// Whoever takes reports has forgotten what the earlier ones told.
    pub fn begin_anew(&mut self) {
        (self.told, self.taken) = (0, 0);
    }

    fn tell_last(&self, last: usize, target: TargetId, now: Moment) -> TargetReport {
        let outcomes = self.recent.range(self.recent.len() - last..).map(|past| Outcome {
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
    fn news_is_told_until_the_reports_that_told_it_were_taken() {
        let mut record = Record::default();
        let mut told = |outcomes: u64, was_taken: bool| {
            (0..outcomes).for_each(|_| _ = record.push(past(0, Ok(()))));
            let entry = record.tell_news(TargetId(3), Moment::START, was_taken);
            entry.map(|entry| (entry.newest, entry.outcomes.len()))
        };
        assert_eq!(told(0, true), None, "nothing was seen");
        assert_eq!(told(2, true), Some((2, 2)));
        assert_eq!(told(1, false), Some((3, 3)), "the first may be lost");
        assert_eq!(told(1, true), Some((4, 1)));
        assert_eq!(told(0, false), Some((4, 1)));
        assert_eq!(told(0, true), None);
        assert_eq!(told(20, true), Some((24, OUTCOMES_MAX)));
        record.begin_anew();
        assert_eq!(record.tell_news(TargetId(3), Moment::START, true).unwrap().outcomes.len(), OUTCOMES_MAX);
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
