//! Queries by TCP (RFC 7766): what has arrived on a connection is answered at once and its replies leave in one
//! write. Accepting and what all connections share is here, one connection in [`connection`], who may stay in
//! [`seats`].

mod connection;
mod seats;

use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::warn;

pub use seats::{ConnectionCounts, TcpLimits};

pub(super) use seats::Seats;

use super::Responder;
use crate::answer::count::{Registry, Tally};
use crate::answer::respond::{Action, Envelope, Transport};
use crate::clock;
use crate::publish::Published;

/// The longest message: what two octets of length can say.
const MESSAGE_OCTETS_MAX: usize = 65_535;

/// The octets of length before each message.
const LENGTH_OCTETS: usize = 2;

/// A message is at least a header (RFC 1035 section 4.1.1); a shorter one says that the stream is out of step.
const MESSAGE_OCTETS_MIN: usize = 12;

/// Replies are collected up to so many octets, then written before more queries are answered.
const REPLIES_OCTETS: usize = 65_536;

/// How long accepting rests after the process ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections share: how to answer, and the desks to do it at.
pub(super) struct Office<R> {
    respond: R,
    published: Arc<Published>,
    registry: Arc<Registry>,
    desks: Mutex<Vec<Desk>>,
}

/// What one thread needs while it answers: room for replies, and counters that nobody else writes to meanwhile. No
/// connection keeps one while it waits, so there are never more than threads, however many connections there are.
struct Desk {
    tally: Tally,
    replies: Box<[u8]>,
}

/// Accepts connections until aborted.
pub(super) fn listen<R: Responder>(
    listener: StdListener,
    seats: &Arc<Seats>,
    office: &Arc<Office<R>>,
    runtime: &Handle,
) -> io::Result<AbortHandle> {
    let _context = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    let (seats, office) = (Arc::clone(seats), Arc::clone(office));
    Ok(runtime.spawn(async move { accept(&listener, &seats, &office).await }).abort_handle())
}

async fn accept<R: Responder>(listener: &TcpListener, seats: &Arc<Seats>, office: &Arc<Office<R>>) {
    let mut well = true;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                well = true;
                let source = peer.ip();
                seats.admit(source, |seat| connection::serve(stream, source, seat, Arc::clone(office)));
            }
            Err(error) if is_passing(&error) => {}
            // Out of descriptors or memory: the connection stays in the queue and accepting would fail at once
            // again. An idle connection makes room; the pause keeps the processor for UDP.
            Err(error) => {
                if well {
                    warn!(%error, "accepting TCP connections fails; closing idle ones and trying on");
                }
                well = false;
                seats.accept_failed();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the error came with one connection, which the kernel has dropped from its queue (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
        PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

impl<R: Responder> Office<R> {
    pub(super) fn new(respond: R, published: Arc<Published>, registry: Arc<Registry>) -> Self {
        Self { respond, published, registry, desks: Mutex::default() }
    }

    /// Answers the whole messages at the start of `octets`, as far as their replies have room, and hands the replies
    /// to `send`; how many octets were taken, and what `send` returned.
    fn answer<T>(&self, octets: &[u8], source: IpAddr, send: impl FnOnce(&[u8]) -> T) -> (usize, T) {
        let mut desk = self.desks().pop().unwrap_or_else(|| self.furnish());
        let (taken, written) = self.answer_at(&mut desk, octets, source);
        let sent = send(&desk.replies[..written]);
        self.desks().push(desk);
        (taken, sent)
    }

    /// How many octets of queries were taken and how many of replies written. The table is not kept: an idle
    /// connection, or an idle desk, would hold it for as long as it is idle.
    fn answer_at(&self, desk: &mut Desk, octets: &[u8], source: IpAddr) -> (usize, usize) {
        let table = self.published.current();
        let envelope = Envelope { source, transport: Transport::Tcp, at: clock::wall() };
        desk.tally.fit(table.answer_counters());
        let (mut taken, mut written) = (0, 0);
        while written <= REPLIES_OCTETS
            && let Ok(Some(message)) = next_message(&octets[taken..])
        {
            desk.tally.received.add(1);
            let (length, reply) = desk.replies[written..].split_at_mut(LENGTH_OCTETS);
            let reply = &mut reply[..MESSAGE_OCTETS_MAX];
            if let Action::Send(octets) = (self.respond)(&table, message, envelope, reply, &desk.tally) {
                let prefix = u16::try_from(octets).expect("a reply is no longer than its buffer");
                length.copy_from_slice(&prefix.to_be_bytes());
                written += LENGTH_OCTETS + octets;
            }
            taken += LENGTH_OCTETS + message.len();
        }
        (taken, written)
    }

    fn furnish(&self) -> Desk {
        let octets = REPLIES_OCTETS + LENGTH_OCTETS + MESSAGE_OCTETS_MAX;
        Desk { tally: self.registry.enlist(Transport::Tcp, 0), replies: vec![0; octets].into() }
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream does not hold messages where they should be.
#[derive(Debug, PartialEq, Eq)]
struct OutOfStep;

/// The whole message at the start of `octets`, if it has all arrived.
fn next_message(octets: &[u8]) -> Result<Option<&[u8]>, OutOfStep> {
    let Some((length, rest)) = octets.split_first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < MESSAGE_OCTETS_MIN {
        return Err(OutOfStep);
    }
    Ok(rest.get(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut octets = vec![0, 12];
        octets.extend([7; 12]);
        for length in 0..octets.len() {
            assert_eq!(next_message(&octets[..length]), Ok(None), "{length}");
        }
        assert_eq!(next_message(&octets), Ok(Some(&[7; 12][..])));
        octets.push(0);
        assert_eq!(next_message(&octets), Ok(Some(&[7; 12][..])));
    }

    #[test]
    fn a_length_too_short_for_a_header_is_out_of_step() {
        for length in 0..12 {
            assert_eq!(next_message(&[0, length, 1, 2, 3]), Err(OutOfStep), "{length}");
        }
    }
}
