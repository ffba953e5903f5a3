//! Whether an agent's report comes when it should. Pure.
//!
//! A report bears the agent's own monotonic clock. What that clock and ours show at an arrival differs by a
//! constant and by the time on the way; the smallest difference of late is the constant with the quickest way. A
//! report that shows much more was held up: its ages are too young, and it must not vote. One that shows much less
//! claims to be from the future. No wall clock is asked, on either side.

use std::time::Duration;

use crate::time::Moment;

/// What is remembered of an agent's arrivals.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    boot: u64,
    /// The newest number that was let pass.
    number: u64,
    /// Our clock less the agent's, at the quickest arrival, in nanoseconds.
    floor: i128,
    heard_at: Moment,
    /// Reports in a row that came at another time than they should.
    odd: u32,
}

/// What a report says of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The agent's boot.
    pub boot: u64,
    /// The report's number.
    pub number: u64,
    /// The agent's clock.
    pub clock: Duration,
}

/// Why a report does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// This number or a later one came already.
    Old,
    /// It was on its way for longer than [`LATE_MIN`].
    Late,
    /// It is dated more than [`FUTURE_MIN`] ahead.
    Future,
}

/// A report held up for so long is late.
pub const LATE_MIN: Duration = Duration::from_secs(2);
/// A report dated so far ahead of the others is from the future. The first report of all may have been held up by
/// more than [`LATE_MIN`], and is not to make the prompt ones look odd.
pub const FUTURE_MIN: Duration = Duration::from_secs(10);
/// After so many odd reports in a row a clock has jumped (a machine slept), and they set the measure.
pub const ODD_MAX: u32 = 20;
/// Two clocks may part by one part in so many: the smallest difference grows by it.
const DRIFT: u128 = 1000;

impl Arrivals {
    /// The first report of an agent sets the measure.
    #[must_use]
    pub fn new(stamp: Stamp, now: Moment) -> Self {
        Self { boot: stamp.boot, number: stamp.number, floor: difference(stamp, now), heard_at: now, odd: 0 }
    }

    /// Takes a report, or says why it does not count.
    pub fn take(&mut self, stamp: Stamp, now: Moment) -> Result<(), Untimely> {
        if stamp.boot != self.boot {
            // Whether that boot is a former one is known to the board.
            *self = Self::new(stamp, now);
            return Ok(());
        }
        if stamp.number <= self.number {
            return Err(Untimely::Old);
        }
        let difference = difference(stamp, now);
        let drift = nanos(now.since(self.heard_at)) / DRIFT as i128;
        let floor = self.floor + drift;
        let untimely = if difference > floor + nanos(LATE_MIN) {
            Some(Untimely::Late)
        } else if difference < floor - nanos(FUTURE_MIN) {
            Some(Untimely::Future)
        } else {
            None
        };
        if let Some(untimely) = untimely.filter(|_| self.odd < ODD_MAX) {
            self.odd += 1;
            return Err(untimely);
        }
        let floor = if untimely.is_some() { difference } else { floor.min(difference) };
        *self = Self { number: stamp.number, floor, heard_at: now, odd: 0, ..*self };
        Ok(())
    }
}

fn difference(stamp: Stamp, now: Moment) -> i128 {
    i128::from(now.0) - nanos(stamp.clock)
}

fn nanos(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn stamp(number: u64, clock_ms: u64) -> Stamp {
        Stamp { boot: 1, number, clock: Duration::from_millis(clock_ms) }
    }

    /// An agent that was heard once, at 100 s by its clock and ours.
    fn heard() -> Arrivals {
        Arrivals::new(stamp(10, 100_000), at(100_000))
    }

    #[test]
    fn reports_on_time_pass_whatever_the_clocks_show() {
        let mut arrivals = Arrivals::new(stamp(1, 5), at(1_000_000));
        for tick in 1..100 {
            assert_eq!(arrivals.take(stamp(1 + tick, 5 + tick * 250), at(1_000_000 + tick * 250)), Ok(()));
        }
    }

    #[test]
    fn a_report_that_comes_again_or_out_of_order_is_old() {
        let mut arrivals = heard();
        assert_eq!(arrivals.take(stamp(12, 100_250), at(100_250)), Ok(()));
        assert_eq!(arrivals.take(stamp(12, 100_250), at(100_300)), Err(Untimely::Old));
        assert_eq!(arrivals.take(stamp(11, 100_125), at(100_300)), Err(Untimely::Old));
        assert_eq!(arrivals.take(stamp(13, 100_500), at(100_500)), Ok(()));
    }

    #[test]
    fn a_report_that_was_held_up_is_late_and_the_next_is_not() {
        let mut arrivals = heard();
        assert_eq!(arrivals.take(stamp(11, 100_250), at(102_200)), Ok(()), "a slow network is no fault");
        assert_eq!(arrivals.take(stamp(12, 100_500), at(103_000)), Err(Untimely::Late));
        assert_eq!(arrivals.take(stamp(13, 103_100), at(103_100)), Ok(()));
    }

    #[test]
    fn a_report_from_the_future_is_refused_and_the_honest_ones_stand() {
        let mut arrivals = heard();
        assert_eq!(arrivals.take(stamp(500, 3_700_000), at(100_250)), Err(Untimely::Future));
        assert_eq!(arrivals.take(stamp(12, 100_500), at(100_500)), Ok(()));
    }

    #[test]
    fn a_first_report_that_was_held_up_does_not_make_the_others_odd() {
        let mut arrivals = Arrivals::new(stamp(1, 0), at(4_000));
        assert_eq!(arrivals.take(stamp(2, 4_000), at(4_010)), Ok(()));
        assert_eq!(
            arrivals.take(stamp(3, 4_250), at(7_000)),
            Err(Untimely::Late),
            "the measure is the quickest"
        );
    }

    #[test]
    fn a_clock_that_jumped_sets_the_measure_after_a_while() {
        for jumped in [3_600_000_i64, -90_000] {
            let mut arrivals = heard();
            let mut refused = 0;
            for tick in 1..=u64::from(ODD_MAX) + 5 {
                let clock = (100_000 + tick * 250).saturating_add_signed(jumped);
                refused +=
                    u32::from(arrivals.take(stamp(10 + tick, clock), at(100_000 + tick * 250)).is_err());
            }
            assert_eq!(refused, ODD_MAX);
        }
    }

    #[test]
    fn clocks_may_drift_for_ever() {
        let mut arrivals = heard();
        for tick in 1..200_000 {
            let ours = at(100_000 + tick * 250);
            let theirs = stamp(10 + tick, 100_000 + tick * 250 - tick * 250 / 5_000);
            assert_eq!(arrivals.take(theirs, ours), Ok(()), "tick {tick}");
        }
    }

    #[test]
    fn another_boot_begins_anew() {
        let mut arrivals = heard();
        assert_eq!(arrivals.take(Stamp { boot: 2, ..stamp(1, 0) }, at(500_000)), Ok(()));
        assert_eq!(arrivals.take(Stamp { boot: 2, ..stamp(2, 250) }, at(500_250)), Ok(()));
    }
}
