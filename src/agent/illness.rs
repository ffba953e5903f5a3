//! What an agent knows of its own illness: it wakes late, its control targets fail, or its reports are lost on their
//! way. While it is ill its probes wait longer, since slowness may be its own, and its votes are void: lateness and
//! losses are told as lagging, control targets as what they are.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Moment;

/// An agent that wakes later than this cannot tell a slow target from its own slowness.
pub const LATENESS_MAX: Duration = Duration::from_millis(250);
/// So long after it woke late an agent counts as lagging.
pub const LAG_MEMORY: Duration = Duration::from_secs(1);
/// The time-outs of an ill agent are so many times as long, but no longer than the interval.
pub const STRETCH: u32 = 2;

/// What is known of an agent's illness by those of its tasks that can tell. Nothing is ordered by it, so that every
/// access is relaxed.
#[derive(Debug, Default)]
pub struct Illness {
    /// Nanoseconds of local monotonic time.
    lagging_until: AtomicU64,
    blind: AtomicBool,
    lossy_links: AtomicU32,
}

impl Illness {
    /// The agent meant to wake at `due` and did so `now`.
    pub fn woke(&self, due: Moment, now: Moment) {
        if now.since(due) > LATENESS_MAX {
            self.lagging_until.store((now + LAG_MEMORY).0, Ordering::Relaxed);
        }
    }

    /// Whether it reaches its control targets, if it has any.
    pub fn sees(&self, control: Option<bool>) {
        self.blind.store(control == Some(false), Ordering::Relaxed);
    }

    /// Half of what goes to one of its servers is lost, or no longer is.
    pub fn link_turned(&self, lossy: bool) {
        if lossy {
            self.lossy_links.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lossy_links.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether it woke late a moment ago.
    #[must_use]
    pub fn is_lagging(&self, now: Moment) -> bool {
        now.0 < self.lagging_until.load(Ordering::Relaxed)
    }

    /// Whether its control targets fail.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind.load(Ordering::Relaxed)
    }

    /// Whether half of what goes to one of its servers is lost.
    #[must_use]
    pub fn has_lossy_link(&self) -> bool {
        self.lossy_links.load(Ordering::Relaxed) > 0
    }

    /// Whether it is ill in any way.
    #[must_use]
    pub fn is_ill(&self, now: Moment) -> bool {
        self.is_lagging(now) || self.is_blind() || self.has_lossy_link()
    }
}

/// How long a probe waits: `timeout`, or stretched while the agent is ill.
#[must_use]
pub fn patience(timeout: Duration, interval: Duration, is_ill: bool) -> Duration {
    if is_ill { (timeout * STRETCH).min(interval).max(timeout) } else { timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn who_wakes_late_is_ill_until_it_was_on_time_for_a_second() {
        let illness = Illness::default();
        illness.woke(at(0), at(250));
        assert!(!illness.is_ill(at(250)));
        illness.woke(at(1_000), at(4_000));
        illness.woke(at(4_100), at(4_100));
        assert!(illness.is_lagging(at(4_999)) && illness.is_ill(at(4_999)));
        assert!(!illness.is_ill(at(5_000)));
    }

    #[test]
    fn failing_control_targets_and_any_lossy_link_are_an_illness() {
        let illness = Illness::default();
        illness.sees(None);
        assert!(!illness.is_ill(at(0)));
        illness.sees(Some(false));
        assert!(illness.is_ill(at(0)) && !illness.is_lagging(at(0)));
        illness.sees(Some(true));
        for lossy in [true, true, false] {
            illness.link_turned(lossy);
            assert!(illness.is_ill(at(0)));
        }
        illness.link_turned(false);
        assert!(!illness.is_ill(at(0)));
    }

    #[test]
    fn the_ill_wait_longer_but_no_longer_than_the_interval() {
        let ms = Duration::from_millis;
        assert_eq!(patience(ms(300), ms(1_000), false), ms(300));
        assert_eq!(patience(ms(300), ms(1_000), true), ms(600));
        assert_eq!(patience(ms(800), ms(1_000), true), ms(1_000));
        assert_eq!(patience(ms(800), ms(500), true), ms(800));
    }
}
