//! Flap damping: each fall adds a penalty that halves in a fixed time (after RFC 2439). An endpoint that
//! falls again and again stays down for a while though it works, never longer than the limit.

use super::rules::Damping;
use crate::time::Moment;

/// How much an endpoint flaps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flaps {
    penalty: f64,
    /// When the penalty was that.
    at: Moment,
    suppressed_until: Option<Moment>,
}

impl Flaps {
    /// A penalty brought from before a restart.
    #[must_use]
    pub fn restored(penalty: f64, suppressed_until: Option<Moment>, now: Moment) -> Self {
        let penalty = if penalty.is_finite() { penalty.max(0.0) } else { 0.0 };
        Self { penalty, at: now, suppressed_until }
    }

    /// Counts a fall.
    pub fn fall(&mut self, now: Moment, damping: &Damping) {
        self.penalty = self.penalty(now, damping) + f64::from(damping.fall);
        self.at = now;
        self.suppressed_until = (self.penalty >= f64::from(damping.suppress)).then(|| self.release(damping));
    }

    /// The penalty by now.
    #[must_use]
    pub fn penalty(&self, now: Moment, damping: &Damping) -> f64 {
        let half_life = damping.half_life.as_secs_f64();
        if half_life == 0.0 {
            return 0.0;
        }
        self.penalty * (-now.since(self.at).as_secs_f64() / half_life).exp2()
    }

    /// Until when it stays down though it works; `None` when it need not.
    #[must_use]
    pub fn suppressed_until(&self, now: Moment) -> Option<Moment> {
        self.suppressed_until.filter(|&until| until > now)
    }

    /// When the penalty of now will have decayed enough. Fixed at the fall: what is down cannot fall again.
    fn release(&self, damping: &Damping) -> Moment {
        let half_lives = (self.penalty / f64::from(damping.reuse.max(1))).log2().max(0.0);
        let seconds = half_lives * damping.half_life.as_secs_f64();
        self.at + damping.suppressed_max.min(std::time::Duration::from_secs_f64(seconds.min(1e9)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn falls_at(seconds: &[u64]) -> Flaps {
        let mut flaps = Flaps::default();
        for second in seconds {
            flaps.fall(Moment::from_millis(second * 1000), &Damping::default());
        }
        flaps
    }

    #[test]
    fn a_penalty_halves_in_its_half_life() {
        let flaps = falls_at(&[10]);
        assert_eq!(flaps.penalty(Moment::from_millis(10_000), &Damping::default()), 1000.0);
        assert_eq!(flaps.penalty(Moment::from_millis(130_000), &Damping::default()), 500.0);
    }

    #[test]
    fn the_third_fall_within_a_minute_suppresses() {
        assert_eq!(falls_at(&[0, 30]).suppressed_until(Moment::from_millis(30_000)), None);
        let flaps = falls_at(&[0, 20, 40]);
        let until = flaps.suppressed_until(Moment::from_millis(40_000)).unwrap();
        assert!((700.0..=751.0).contains(&flaps.penalty(until, &Damping::default())));
        assert_eq!(flaps.suppressed_until(until), None);
    }

    #[test]
    fn rare_falls_never_suppress() {
        let rare: Vec<u64> = (0..50).map(|fall| fall * 300).collect();
        assert_eq!(falls_at(&rare).suppressed_until(Moment::from_millis(49 * 300_000)), None);
    }

    proptest! {
        #[test]
        fn suppression_ends_within_its_limit(
            falls in prop::collection::vec(0u64..2000, 1..200), half_life in 0u64..100_000, reuse in 0u32..2500
        ) {
            let damping = Damping {
                half_life: std::time::Duration::from_secs(half_life), reuse, ..Damping::default()
            };
            let mut flaps = Flaps::default();
            let mut second = 0;
            for gap in falls {
                second += gap;
                let now = Moment::from_millis(second * 1000);
                flaps.fall(now, &damping);
                prop_assert_eq!(flaps.suppressed_until(now + damping.suppressed_max), None);
            }
        }
    }
}
