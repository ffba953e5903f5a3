//! How many files the process may have open: raised as far as it may be, and shared out so that connections leave
//! enough for what must never fail: the operator's socket, the state's files, probes.

use std::fmt;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Encrypted, Settings};

/// One part in so many of the descriptors stays free of clients' connections ...
const RESERVE_SHARE: u64 = 4;
/// ... at least so many, where there are that many.
const RESERVE_MIN: u64 = 64;

/// What a server opens beside the sockets for queries, and what it has to have free: standard streams, runtimes, signals, the
/// operator's socket, other listeners, locks, copies of these for a successor; files that are read, probes, operators. A server
/// with few databases and probes was seen to lack verdicts, or their file, below thirty.
const OTHERS: u64 = 40;

/// The limit of open files is too low for the server that is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    limit: u64,
    wanted: u64,
}

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

/// Whether the limit is enough to start with: a server that lacks descriptors for its own would answer, and know of no verdict.
///
/// # Errors
/// Where it is not.
pub fn suffice(settings: &Settings, limit: Option<u64>) -> Result<(), TooFew> {
    let per_address = settings.workers.get() + 1;
    let of_encrypted = settings.encrypted.iter().flat_map(Encrypted::listeners);
    let sockets = settings.listen.len() * per_address
        + of_encrypted.map(|(_, listener)| listener.listen.len()).sum::<usize>();
    // Each has a copy, for a successor.
    let wanted = OTHERS + 2 * sockets as u64;
    match limit {
        Some(limit) if limit < wanted => Err(TooFew { limit, wanted }),
        _ => Ok(()),
    }
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, wanted } = self;
        write!(
            f,
            "the limit of open files is {limit}, and this configuration takes {wanted} before any client's connection; raise \
             it (LimitNOFILE= of a unit, ulimit -n of a shell), or lower server.workers"
        )
    }
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
    use std::num::NonZeroUsize;

    use super::*;
    use crate::serve::{ClientNames, Limits};

    fn settings(listen: &[&str], connections: usize) -> Settings {
        Settings {
            listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
            workers: NonZeroUsize::new(2).unwrap(),
            pin_workers: false,
            tcp: Limits { connections, ..Limits::default() },
            proxies: std::sync::Arc::default(),
            encrypted: None,
            clients: ClientNames::Whole,
            network_key: [0; 16],
        }
    }

    fn shared(connections: usize, limit: u64) -> (bool, usize) {
        let mut settings = settings(&[], connections);
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
    fn a_server_takes_its_sockets_twice_and_what_it_cannot_do_without() {
        let settings = settings(&["192.0.2.53:53", "[2001:db8::53]:53"], 100);
        assert_eq!(suffice(&settings, Some(52)), Ok(()));
        assert_eq!(suffice(&settings, None), Ok(()));
        let told = suffice(&settings, Some(51)).unwrap_err().to_string();
        assert!(
            told.starts_with("the limit of open files is 51, and this configuration takes 52 "),
            "{told}"
        );
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let raised = raise();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
