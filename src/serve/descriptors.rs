//! How many files the process may have open: raised as far as it may be, and shared out so that connections leave
//! enough for what must never fail: the operator's socket, the state's files, probes.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::Settings;

/// One part in so many of the descriptors stays free of clients' connections ...
const RESERVE_SHARE: u64 = 4;
/// ... at least so many, where there are that many.
const RESERVE_MIN: u64 = 64;

/// Raises the limit of open files as far as the process may, and returns it; none where there is none.
#[must_use]
pub fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Should the kernel refuse, the limit stays as it was.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current
}

/// Cuts the connections of all transports in proportion, so that together they leave the reserve; whether that was
/// necessary.
pub fn share(settings: &mut Settings, limit: Option<u64>) -> bool {
    let Some(limit) = limit else { return false };
    let reserve = (limit / RESERVE_SHARE).max(RESERVE_MIN).min(limit);
    let mut all = vec![&mut settings.tcp.connections];
    if let Some(encrypted) = &mut settings.encrypted {
        // QUIC has one descriptor for all of its connections.
        all.extend([&mut encrypted.tls.limits.connections, &mut encrypted.https.limits.connections]);
    }
    let wanted: u64 = all.iter().map(|connections| **connections as u64).sum();
    let available = limit - reserve;
    if wanted <= available {
        return false;
    }
    for connections in all {
        let part = u128::from(available) * *connections as u128 / u128::from(wanted);
        *connections = usize::try_from(part).unwrap_or(usize::MAX).max(1);
    }
    true
}
