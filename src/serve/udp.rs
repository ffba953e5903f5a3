//! Queries by UDP: each worker has a thread, a socket, buffers, counters and a reference to the table of its own. A
//! batch of datagrams is received, answered and sent; between two calls of the kernel nothing shared is touched,
//! nothing is allocated, and the clock is read once; a worker that goes ahead of others looks now and then whether it rests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tracing::warn;

use super::mmsg::{Batch, Datagram};
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
                    lead.follow();
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
    /// Batches since it was last looked whether it rests.
    batches: u32,
    /// What it had had when it was last judged.
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

    /// Which part of the time since `earlier` it was, in percent.
    fn percent_since(self, earlier: Self) -> u128 {
        let time = self.at.since(earlier.at).as_nanos().max(1);
        self.spent.saturating_sub(earlier.spent).as_nanos() * 100 / time
    }
}

/// How many batches a worker has between two looks at the clocks.
const LOOK_EVERY: u32 = 64;
/// How long a worker is watched before it is judged: longer than it takes to answer what has gathered at its socket during
/// a pause of its own (`bind`, 4 MiB twice, as the kernel counts them 768 octets at least for each). It is also how
/// long a worker that never rests may keep its processor from all others.
const WATCH: Duration = Duration::from_millis(20);
/// One that is ahead and has had so much of its processor, in percent, falls in.
const RESTLESS: u128 = 87;
/// One that is not, and has had less than so much, goes ahead again: it rests, or others have the processor.
const RESTFUL: u128 = 50;

impl Lead {
    fn take() -> Self {
        let is_permitted = priority::go_ahead();
        Self { is_permitted, is_ahead: is_permitted, batches: 0, last: Share::now() }
    }

    /// A batch was answered.
    fn follow(&mut self) {
        self.batches = (self.batches + 1) % LOOK_EVERY;
        if self.batches == 0 && self.is_permitted {
            match self.judge(Share::now()) {
                Some(true) => self.is_permitted = priority::go_ahead(),
                Some(false) => priority::fall_in(),
                None => {}
            }
        }
    }

    /// Whether it changes its place, and then whether it is ahead from now on.
    fn judge(&mut self, share: Share) -> Option<bool> {
        if share.at.since(self.last.at) < WATCH {
            return None;
        }
        let percent = share.percent_since(self.last);
        self.last = share;
        let is_ahead = percent < if self.is_ahead { RESTLESS } else { RESTFUL };
        (std::mem::replace(&mut self.is_ahead, is_ahead) != is_ahead).then_some(is_ahead)
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

    #[test]
    fn a_worker_falls_in_when_it_never_rests_and_goes_ahead_again_when_it_does_or_others_have_its_processor()
    {
        let mut lead = Lead { is_permitted: true, is_ahead: true, batches: 0, last: share(0, 0) };
        assert_eq!(lead.judge(share(10, 10)), None, "what had gathered is being answered");
        assert_eq!(lead.judge(share(17, 20)), None, "it rests, if little");
        assert_eq!(lead.judge(share(36, 41)), Some(false), "a flood");
        assert_eq!(lead.judge(share(46, 61)), None, "which is not over");
        assert_eq!(lead.judge(share(47, 80)), None, "nor is it time to judge");
        assert_eq!(lead.judge(share(50, 90)), Some(true));
        assert_eq!(lead.judge(share(50, 900)), None);
    }

    #[test]
    fn a_worker_looks_at_the_clocks_now_and_then_alone() {
        let mut lead = Lead { is_permitted: true, is_ahead: true, batches: 0, last: Share::now() };
        let before = lead.last.at;
        thread::sleep(WATCH * 2);
        (1..LOOK_EVERY).for_each(|_| lead.follow());
        assert_eq!(lead.last.at, before);
        lead.follow();
        assert_ne!(lead.last.at, before);
        assert!(lead.is_ahead, "it rested");
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
