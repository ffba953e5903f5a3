//! What a supervisor is told: ready, reloading, stopping, still alive. The protocol of `sd_notify(3)`: datagrams to the
//! socket that the environment names. Without one there is nobody to tell, and nothing is sent.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::clock;

/// The supervisor; clones speak to the same.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    #[must_use]
    pub fn of_environment() -> Self {
        let text = |name| env::var(name).ok();
        let watchdog = watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id());
        text("NOTIFY_SOCKET").and_then(|name| Self::at(&name, watchdog).ok()).unwrap_or_default()
    }

    /// The one that listens at a path, or at an abstract name behind an `@`, with its patience.
    ///
    /// # Errors
    /// When that is no name, or no socket can be had.
    pub fn at(name: &str, watchdog: Option<Duration>) -> io::Result<Self> {
        let (address, socket) = (address(name)?, UnixDatagram::unbound()?);
        // A supervisor that does not read must not hold the server up.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Line { socket, address, watchdog }))))
    }

    /// How long the supervisor waits for a sign of life, if it does.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Queries are answered by this process from now on.
    pub fn ready(&self) {
        self.tell(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// A reload begins; [`Supervisor::ready`] says that it is over.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_microseconds()));
    }

    /// The process is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// All that must move moves.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// What a person is shown who asks for the state.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", status.replace('\n', " ")));
    }

    fn tell(&self, what: &str) {
        if let Some(line) = &self.0 {
            // A supervisor that has gone, or whose queue is full, is told the next time.
            let _ = line.socket.send_to_addr(what.as_bytes(), &line.address);
        }
    }
}

/// A path, or a name in the abstract namespace behind an `@`.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The watchdog's patience, where it is meant for process `own`.
fn watchdog(microseconds: Option<String>, process: Option<String>, own: u32) -> Option<Duration> {
    let for_us = process.is_none_or(|process| process.parse() == Ok(own));
    let patience = Duration::from_micros(microseconds?.parse().ok()?);
    (for_us && !patience.is_zero()).then_some(patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_meant_for_one_process() {
        let of = |usec: &str, pid: Option<&str>| watchdog(Some(usec.to_owned()), pid.map(str::to_owned), 7);
        assert_eq!(of("3000000", None), Some(Duration::from_secs(3)));
        assert_eq!(of("3000000", Some("7")), Some(Duration::from_secs(3)));
        assert_eq!(of("3000000", Some("8")), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("soon", None), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        assert!(address("/run/systemd/notify").unwrap().as_pathname().is_some());
        assert_eq!(address("@notify").unwrap().as_abstract_name(), Some(&b"notify"[..]));
        assert!(address("notify").is_err());
    }
}
