//! Queries by UDP: each worker has a thread, a socket, buffers, counters and a reference to the table of its own. A
//! batch of datagrams is received, answered and sent; between two calls of the kernel nothing shared is touched,
//! nothing is allocated, and the clock is read once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tracing::warn;

use super::mmsg::{BATCH, Batch, Datagram};
use super::{Responder, proxy};
use crate::answer::ahead::look_ahead;
use crate::answer::count::Tally;
use crate::answer::respond::{Action, Envelope, Transport};
use crate::clock;
use crate::net::{Family, Prefix};
use crate::process::priority;
use crate::publish::Reader;
use crate::time::{Moment, WallTime};

/// How long a worker rests after its socket failed for a reason that time may mend.
const FAULT_PAUSE: Duration = Duration::from_millis(10);

/// How long a worker waits for a datagram before it looks for a new table: as long as it holds an old one, that
/// cannot be freed.
pub(super) const WAIT: Duration = Duration::from_millis(500);

/// How long a worker's turn on a processor is, where others want it too: the shortest there is. What it buys is not
/// time but place: who asks for short turns is not kept waiting until another has had the whole of a long one, three
/// milliseconds as a rule.
pub(super) const TURN: Duration = Duration::from_micros(100);

/// One worker of one address.
pub(super) struct Worker<R> {
    /// The worker's own socket, or one that it shares with others.
    pub(super) socket: Socket,
    pub(super) address: SocketAddr,
    /// Whether replies must be told which address they leave from.
    pub(super) packet_info: bool,
    /// Networks whose datagrams begin with who the client is.
    pub(super) proxies: Arc<[Prefix]>,
    pub(super) table: Reader,
    pub(super) tally: Tally,
    pub(super) respond: R,
    pub(super) stop: Arc<AtomicBool>,
    /// Written by this worker alone.
    pub(super) pulse: Arc<AtomicU64>,
}

impl<R: Responder> Worker<R> {
    /// Answers until told to stop, which takes [`WAIT`] at most. Nothing shortens it: shutting the socket down would
    /// end every wait on it, also those of another process that has it from a supervisor or by succession.
    pub(super) fn run(mut self) {
        let mut lead = Lead::take();
        let mut batch = Batch::new(Family::of(self.address.ip()), self.packet_info);
        let mut well = true;
        let mut rounds = 0;
        while !self.stop.load(Ordering::Relaxed) {
            rounds += 1;
            self.pulse.store(rounds, Ordering::Relaxed);
            match batch.receive(&self.socket) {
                // Even when told to stop meanwhile: nobody else can answer what was received here.
                Ok(received) => {
                    well = true;
                    self.answer(&mut batch, received);
                    lead.follow(received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.renew(),
                Err(error) if is_passing(&error) => {}
                // Not to be provoked by a packet: the system is short of memory, or the interface is gone. Trying
                // at once would burn the processor; ending the worker would outlive the cause.
                Err(error) => {
                    if well {
                        warn!(address = %self.address, %error, "receiving by UDP fails; trying on");
                    }
                    well = false;
                    thread::sleep(FAULT_PAUSE);
                }
            }
        }
    }

    fn answer(&mut self, batch: &mut Batch, received: usize) {
        self.renew();
        self.tally.received.add(received as u64);
        let at = clock::wall();
        look_ahead(&self.table, batch.queries());
        batch.answer_each(|datagram, reply| self.answer_one(&datagram, at, reply));
        let failed = batch.send(&self.socket);
        if failed > 0 {
            self.tally.send_failed.add(failed);
        }
    }

    fn renew(&mut self) {
        if self.table.renew() {
            self.tally.fit(self.table.answer_counters());
        }
    }

    fn answer_one(&self, datagram: &Datagram<'_>, at: WallTime, reply: &mut [u8]) -> usize {
        if is_impossible(datagram.source) {
            self.tally.ignored.add(1);
            return 0;
        }
        let Ok((source, octets)) = proxy::unwrap(&self.proxies, datagram.source.ip(), datagram.octets) else {
            self.tally.ignored.add(1);
            return 0;
        };
        let envelope = Envelope { source, transport: Transport::Udp, at, is_last: false };
        match (self.respond)(&self.table, octets, envelope, reply, &self.tally) {
            Action::Ignore => 0,
            Action::Send(length) => length,
        }
    }
}

/// Whether a worker goes ahead of other threads. It does, where it may, so that it never waits for its turn; but a worker
/// that never rests would leave others nothing, so that under a flood no verdict would be reached.
#[derive(Debug)]
struct Lead {
    is_permitted: bool,
    is_ahead: bool,
    /// Full batches in a row of one that is ahead; of one that is not, batches since it looked.
    batches: u32,
    /// When it was not ahead, what it had had at its last look.
    last: Share,
}

/// What a thread has had of its processor by some moment.
#[derive(Clone, Copy, Debug)]
struct Share {
    spent: Duration,
    at: Moment,
}

impl Share {
    fn now() -> Self {
        Self { spent: clock::spent_by_thread(), at: clock::now() }
    }

    /// Whether it was less than half of the time since `earlier`.
    fn is_little_since(self, earlier: Self) -> bool {
        self.spent.saturating_sub(earlier.spent) * 2 < self.at.since(earlier.at)
    }
}

/// A worker that had so many full batches in a row does not rest: more than wait at its socket after any pause of its
/// own (`bind`, 4 MiB twice, as the kernel counts them 768 octets at least for each), so it is no pause that they make up for.
const FULL_MAX: u32 = 192;
/// How many batches it has between two looks at what it gets while it is not ahead.
const LOOK: u32 = 256;

impl Lead {
    fn take() -> Self {
        let is_permitted = priority::go_ahead();
        Self { is_permitted, is_ahead: is_permitted, batches: 0, last: Share::now() }
    }

    /// A batch of so many datagrams was answered.
    fn follow(&mut self, received: usize) {
        if !self.is_permitted {
            return;
        }
        if self.is_ahead {
            if self.goes_without_rest(received == BATCH) {
                priority::fall_in();
                self.last = Share::now();
            }
        } else if self.looks() && self.is_kept_waiting(Share::now()) {
            self.is_permitted = priority::go_ahead();
        }
    }

    /// Whether one that is ahead has to fall in.
    fn goes_without_rest(&mut self, is_full: bool) -> bool {
        self.batches = if is_full { self.batches + 1 } else { 0 };
        let falls_in = self.batches == FULL_MAX;
        if falls_in {
            (self.is_ahead, self.batches) = (false, 0);
        }
        falls_in
    }

    /// Whether it is time for one that is not ahead to look.
    fn looks(&mut self) -> bool {
        self.batches = (self.batches + 1) % LOOK;
        self.batches == 0
    }

    /// Whether one that is not ahead goes ahead again: it rests, or others have the processor. Full batches say nothing
    /// here: who is kept waiting has them, too.
    fn is_kept_waiting(&mut self, share: Share) -> bool {
        self.is_ahead = share.is_little_since(self.last);
        self.last = share;
        self.is_ahead
    }
}

/// Whether receiving may go on at once: signals, and errors that came with one packet, such as a late ICMP message
/// about a reply, of which each can be reported once.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        Interrupted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

/// Whether no host can have sent a datagram with this source: a reply would go nowhere, or to many.
fn is_impossible(source: SocketAddr) -> bool {
    let address = source.ip();
    source.port() == 0
        || address.is_unspecified()
        || address.is_multicast()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(spent: u64, at: u64) -> Share {
        Share { spent: Duration::from_millis(spent), at: Moment(at * 1_000_000) }
    }

    fn ahead() -> Lead {
        Lead { is_permitted: true, is_ahead: true, batches: 0, last: share(0, 0) }
    }

    #[test]
    fn a_worker_stays_ahead_while_it_rests_now_and_then_and_falls_in_under_a_flood() {
        let mut lead = ahead();
        let bursts = [vec![true; 191], vec![false]].concat().repeat(9);
        assert!(bursts.into_iter().all(|is_full| !lead.goes_without_rest(is_full)));
        let flood = vec![true; 192];
        assert_eq!(flood.into_iter().filter(|is_full| lead.goes_without_rest(*is_full)).count(), 1);
        assert!(!lead.is_ahead);
    }

    #[test]
    fn a_worker_goes_ahead_again_when_it_rests_or_others_have_its_processor() {
        let mut lead = Lead { is_ahead: false, ..ahead() };
        assert_eq!((1..=2560).filter(|_| lead.looks()).count(), 10);
        assert!(!lead.is_kept_waiting(share(60, 100)), "the flood is not over");
        assert!(!lead.is_kept_waiting(share(110, 200)), "nor now");
        assert!(lead.is_kept_waiting(share(120, 300)) && lead.is_ahead);
    }

    #[test]
    fn impossible_sources_are_told_from_strange_ones() {
        for text in
            ["192.0.2.1:0", "0.0.0.0:53", "224.0.0.1:53", "255.255.255.255:53", "[::]:53", "[ff02::1]:53"]
        {
            assert!(is_impossible(text.parse().unwrap()), "{text}");
        }
        for text in ["192.0.2.255:53", "10.0.0.0:1", "[fe80::1]:53", "[2001:db8::]:1"] {
            assert!(!is_impossible(text.parse().unwrap()), "{text}");
        }
    }
}
