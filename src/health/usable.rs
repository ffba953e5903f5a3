//! How much of an endpoint is usable, from what is measured to what is in force: slowly enough that lots do not flap.
//!
//! ```text
//!  measured                                             the share in force
//!  -----------------------------------------------------  -----------------------------------------------
//!  a step or more below it, for all of `sinks_after`      falls to the highest measured in that time
//!  a step or more above it, for all of `rises_after`      rises to the lowest measured in that time
//!  anywhere on one side of it, for all of `settles_after` goes to the nearest measured in that time
//!  on both sides in turn, or nothing                      stays
//! ```
//!
//! So a gauge that swings around the share in force moves nothing, however far it swings, and one that sinks steadily
//! is followed in steps.

use std::time::Duration;

use super::verdict::Share;
use crate::time::Moment;

/// How measured shares are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// What differs by less is noise, unless it lasts; 1/8.
    pub step: Share,
    /// How long it must be measured that less is usable; 5 s.
    pub sinks_after: Duration,
    /// How long it must be measured that more is usable; 30 s, a steady TTL, so that what returns is felt first.
    pub rises_after: Duration,
    /// How long a lesser difference must last; 60 s.
    pub settles_after: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            step: Share::of_1024(128),
            sinks_after: Duration::from_secs(5),
            rises_after: Duration::from_secs(30),
            settles_after: Duration::from_secs(60),
        }
    }
}

/// The share in force of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// None until it was measured.
    share: Option<Share>,
    /// All that was measured since differs by a step or more, on one side.
    far: Option<Pull>,
    /// All that was measured since lies on one side.
    near: Option<Pull>,
}

/// What was measured for a while on one side of the share in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pull {
    less: bool,
    since: Moment,
    /// The one that differs least.
    nearest: Share,
}

impl Usable {
    /// A share that was in force before a restart.
    #[must_use]
    pub fn restored(share: Share) -> Self {
        Self { share: Some(share), ..Self::default() }
    }

    /// The share in force; whole while nothing was measured.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share.unwrap_or(Share::WHOLE)
    }

    /// Takes what is measured now, which is nothing where nobody can say; whether the share in force changed. The
    /// first that is measured is in force at once.
    pub fn step(&mut self, measured: Option<Share>, now: Moment, following: &Following) -> bool {
        let before = self.share();
        match (self.share, measured) {
            (_, None) => (self.far, self.near) = (None, None),
            (None, Some(measured)) => *self = Self::restored(measured),
            (Some(share), Some(measured)) => {
                let is_far = share.parts().abs_diff(measured.parts()) >= following.step.parts().max(1);
                self.far = Pull::after(self.far, share, measured, now).filter(|_| is_far);
                self.near = Pull::after(self.near, share, measured, now);
                if let Some(pull) = self.due(following).filter(|(at, _)| *at <= now).map(|(_, pull)| pull) {
                    *self = Self::restored(pull.nearest);
                    self.near = Pull::after(None, pull.nearest, measured, now);
                    let rest = pull.nearest.parts().abs_diff(measured.parts());
                    self.far = self.near.filter(|_| rest >= following.step.parts().max(1));
                }
            }
        }
        self.share() != before
    }

    /// When the share in force changes without any news.
    #[must_use]
    pub fn wake(&self, following: &Following) -> Option<Moment> {
        self.due(following).map(|(at, _)| at)
    }

    fn due(&self, following: &Following) -> Option<(Moment, Pull)> {
        let far = self.far.map(|pull| {
            let wait = if pull.less { following.sinks_after } else { following.rises_after };
            (pull.since + wait, pull)
        });
        let near = self.near.map(|pull| (pull.since + following.settles_after, pull));
        far.into_iter().chain(near).min_by_key(|(at, _)| *at)
    }
}

impl Pull {
    /// The pull with one more measure; begun anew where that lies on the other side, none where on neither.
    fn after(pull: Option<Self>, share: Share, measured: Share, now: Moment) -> Option<Self> {
        let less = measured < share;
        let nearest = |other: Share| if less { other.max(measured) } else { other.min(measured) };
        match pull {
            _ if measured == share => None,
            Some(pull) if pull.less == less => Some(Self { nearest: nearest(pull.nearest), ..pull }),
            _ => Some(Self { less, since: now, nearest: measured }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(percent: u16) -> Share {
        Share::of_ratio(f64::from(percent) / 100.0)
    }

    /// The share in force after one measure a second, in percent; each time it changed.
    fn followed(measures: impl IntoIterator<Item = u16>) -> Vec<(u64, Share)> {
        let mut usable = Usable::default();
        let mut changes = Vec::new();
        for (second, measure) in (0..).zip(measures) {
            let now = Moment::from_millis(second * 1000);
            if usable.step(Some(percent(measure)), now, &Following::default()) {
                changes.push((second, usable.share()));
            }
        }
        changes
    }

    fn lasting(measure: u16, seconds: usize) -> impl Iterator<Item = u16> {
        std::iter::repeat_n(measure, seconds)
    }

    #[test]
    fn the_first_measure_is_in_force_at_once() {
        assert_eq!(followed([40]), [(0, percent(40))]);
        assert_eq!(followed([100, 100]), []);
    }

    #[test]
    fn what_sinks_is_followed_after_5_seconds_and_what_rises_after_30() {
        assert_eq!(followed(lasting(100, 10).chain(lasting(40, 10))), [(15, percent(40))]);
        assert_eq!(followed(lasting(40, 1).chain(lasting(90, 40))), [(0, percent(40)), (31, percent(90))]);
    }

    #[test]
    fn a_small_difference_counts_if_it_lasts() {
        let changes = followed(lasting(60, 1).chain(lasting(55, 70)));
        assert_eq!(changes, [(0, percent(60)), (61, percent(55))]);
    }

    #[test]
    fn what_swings_around_the_share_in_force_moves_nothing() {
        let swings = (0..600).map(|second| if second / 4 % 2 == 0 { 30 } else { 90 });
        assert_eq!(followed(lasting(60, 1).chain(swings)), [(0, percent(60))]);
        let spikes = (0..600).map(|second| if second % 4 == 0 { 100 } else { 20 });
        assert_eq!(followed(lasting(100, 1).chain(spikes)), []);
    }

    #[test]
    fn what_sinks_slowly_is_followed_in_steps() {
        let changes = followed((20..=100).rev().chain(lasting(20, 70)));
        assert!((4..9).contains(&changes.len()), "{changes:?}");
        assert!(changes.windows(2).all(|pair| pair[1].1 < pair[0].1), "{changes:?}");
        assert_eq!(changes.last().unwrap().1, percent(20));
    }

    #[test]
    fn silence_keeps_the_share_and_ends_the_count() {
        let following = Following::default();
        let mut usable = Usable::restored(percent(60));
        let at = |second: u64| Moment::from_millis(second * 1000);
        assert!(!usable.step(Some(percent(20)), at(0), &following));
        assert!(!usable.step(None, at(4), &following));
        assert!(!usable.step(Some(percent(20)), at(6), &following));
        assert_eq!(usable.wake(&following), Some(at(11)));
        assert!(usable.step(Some(percent(20)), at(11), &following));
    }

    proptest! {
        #[test]
        fn it_changes_no_faster_than_it_may_and_never_beyond_what_was_measured(
            measures in prop::collection::vec(0..=100_u16, 1..300),
        ) {
            let changes = followed(measures.iter().copied());
            for pair in changes.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 5, "{changes:?}");
            }
            for (_, share) in &changes {
                prop_assert!(measures.iter().any(|measure| percent(*measure) == *share));
            }
        }
    }
}
