//! The one file that reads the clocks. Everything else is handed a [`Moment`] or a [`WallTime`].

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Moment, WallTime};

#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Local monotonic time since the first call.
#[must_use]
pub fn now() -> Moment {
    Moment(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The time of day; zero when the machine's clock stands before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn wall() -> WallTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// The system's monotonic time in microseconds, as supervisors count it (`CLOCK_MONOTONIC`). Means nothing elsewhere.
#[must_use]
pub fn monotonic_microseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let whole = u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000);
    whole + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

/// How long the calling thread has had a processor.
#[must_use]
pub fn spent_by_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
