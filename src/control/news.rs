//! When agents are told to probe again at once, and how much of it. One failure is told to all agents in the same
//! moment. When everything fails there is nothing left to hurry, and what goes out to every agent must not grow with
//! what comes in from every agent: then it is told ten times a second, a bounded part of it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::TargetId;
use crate::time::Moment;

/// Targets that are told of at a time; those beyond are probed in their turn.
pub const TARGETS_MAX: usize = 128;
/// Tellings that may follow each other at once after a quiet time.
pub const BURST: u32 = 50;
/// From one telling to the next when they do not end.
pub const EVERY: Duration = Duration::from_millis(100);

/// What agents are to be told.
#[derive(Clone, Debug)]
pub struct News {
    targets: BTreeSet<TargetId>,
    /// Tellings that may go out now, as of `counted_at`.
    left: u32,
    counted_at: Moment,
}

impl News {
    /// Nothing to tell, and all of the burst left.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { targets: BTreeSet::new(), left: BURST, counted_at: now }
    }

    /// These failed for the first time somewhere.
    pub fn add(&mut self, targets: &[TargetId]) {
        let room = TARGETS_MAX.saturating_sub(self.targets.len());
        self.targets.extend(targets.iter().take(room));
    }

    /// When there is something to tell.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let wait = if self.left > 0 { Duration::ZERO } else { EVERY };
        (!self.targets.is_empty()).then(|| self.counted_at + wait)
    }

    /// What is to be told now, if anything.
    pub fn take(&mut self, now: Moment) -> Option<Vec<TargetId>> {
        let earned = now.since(self.counted_at).as_millis() / EVERY.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if self.left.saturating_add(earned) >= BURST {
            (self.left, self.counted_at) = (BURST, now);
        } else {
            self.left += earned;
            self.counted_at = self.counted_at + EVERY * earned;
        }
        if self.targets.is_empty() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.targets).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn one_failure_is_told_at_once_and_once() {
        let mut news = News::new(at(0));
        assert_eq!((news.due(), news.take(at(5))), (None, None));
        news.add(&[TargetId(3), TargetId(3)]);
        assert!(news.due().is_some_and(|due| due <= at(10)));
        assert_eq!(news.take(at(10)), Some(vec![TargetId(3)]));
        assert_eq!((news.due(), news.take(at(10))), (None, None));
    }

    #[test]
    fn when_everything_fails_all_the_time_it_is_told_ten_times_a_second() {
        let mut news = News::new(at(0));
        let everything: Vec<_> = (0..1_000).map(TargetId).collect();
        let mut told = Vec::new();
        for millis in 0..60_000 {
            news.add(&everything);
            if news.due().is_some_and(|due| due <= at(millis)) {
                told.extend(news.take(at(millis)).map(|targets| (millis, targets.len())));
            }
        }
        assert!(told.iter().all(|(_, count)| *count <= TARGETS_MAX));
        let lately = told.iter().filter(|(millis, _)| *millis >= 30_000).count();
        assert!((299..=301).contains(&lately), "{lately} in half a minute");
    }

    #[test]
    fn the_burst_is_earned_again() {
        let mut news = News::new(at(0));
        for millis in [0, 60_000] {
            for _ in 0..BURST {
                news.add(&[TargetId(1)]);
                assert!(news.take(at(millis)).is_some());
            }
            news.add(&[TargetId(1)]);
            assert_eq!(news.take(at(millis)), None);
            assert_eq!(news.due(), Some(at(millis + 100)));
        }
    }
}
