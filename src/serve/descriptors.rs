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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::serve::{ClientNames, Limits};

    fn shared(connections: usize, limit: u64) -> (bool, usize) {
        let listen: Vec<SocketAddr> = Vec::new();
        let mut settings = Settings {
            listen,
            workers: NonZeroUsize::MIN,
            pin_workers: false,
            tcp: Limits { connections, ..Limits::default() },
            proxies: std::sync::Arc::default(),
            encrypted: None,
            clients: ClientNames::Whole,
            network_key: [0; 16],
        };
        (share(&mut settings, Some(limit)), settings.tcp.connections)
    }

    #[test]
    fn a_quarter_and_no_fewer_than_the_least_stay_free() {
        assert_eq!(shared(1000, 65_536), (false, 1000));
        assert_eq!(shared(1000, 1024), (true, 768));
        assert_eq!(shared(100, 128), (true, 64));
        assert_eq!(shared(100, 64), (true, 1));
        assert_eq!(shared(768, 1024), (false, 768));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let raised = raise();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
