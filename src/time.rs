//! Time as a value. The core is told what time it is and never asks: `clock.rs` alone reads the clocks.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of local monotonic time, in nanoseconds since the process began to count.
/// Freshness, streaks, holds and ramps are judged by it; the wall clock never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The first moment there is.
    pub const START: Moment = Moment(0);

    /// The moment so many milliseconds after the start; tests and simulations count in these.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// How long ago `earlier` was; zero when it was not.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A time of day in milliseconds since 1970 (UTC). For signatures, certificates, expiries, files and the
/// journal only: it may jump, and nothing that an answer depends on may be judged by it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl WallTime {
    /// How long ago `earlier` was; zero when it was not.
    #[must_use]
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
