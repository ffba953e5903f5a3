//! The one file that reads the clocks. Everything else is handed a [`Moment`] or a [`WallTime`].

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
