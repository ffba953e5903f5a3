//! Who may stay connected: each connection has a seat, seats are limited in all and per client, and one keeper
//! watches the time of all of them. A connection notes what it waits for and since when; no timer of its own is
//! ever set, no clock read.
//!
//! ```text
//!   Idle ---- octets of a message ----> Reading ---- the message is whole ----> (answered)
//!    ^                                                                         |        |
//!    +------------- all replies taken by the kernel ---------------------------+        | not all
//!    +------------------------------- the rest taken -------------- Writing <-----------+
//! ```
//!
//! When all seats are taken, the connection that has been idle for longest gives up its own: idle connections cost
//! their clients nothing, so refusing newcomers would let a few of them shut everyone out, and a client must expect
//! an idle connection to be closed (RFC 7766 section 6.2.3). Where none is idle, the one that has kept us waiting for
//! longest goes, be it with the rest of a query or by not reading. When one client has all that it may have, its newest is
//! refused: it should use those that it has.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::info;

use crate::net::truncate;
use crate::serve::ClientNames;

/// The resolution of all time limits of TCP: a limit is kept to within one of these.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks pass after a logged refusal before another is logged: whoever is refused can make many.
const REFUSALS_SILENT_TICKS: u32 = 100;

/// IPv6 addresses that share so many bits are one client: a host commonly has a whole /64 to choose from.
const CLIENT_V6_BITS: u8 = 64;

/// What a TCP client may ask of the server. The time limits are kept to within 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, or an IPv6 /64.
    pub connections_per_client: usize,
    /// How long a connection may be without a query.
    pub idle: Duration,
    /// How long a query may take from its first octet to its last.
    pub message: Duration,
    /// How long the client may take to make room for the replies that it waits for.
    pub write: Duration,
}

/// What became of TCP connections, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections now.
    pub open: u64,
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused because their client had all that it may have, or all others were busy.
    pub refused: u64,
    /// Connections that were closed to make room for others.
    pub evicted: u64,
    /// Connections that were closed because a time limit passed.
    pub timed_out: u64,
    /// Times that the system had no descriptor or memory for a connection.
    pub accept_failed: u64,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first octet of a message.
    Idle,
    /// The rest of a message.
    Reading,
    /// Room for replies.
    Writing,
}

/// All seats.
#[derive(Debug)]
pub(in crate::serve) struct Seats {
    limits: TcpLimits,
    /// How refused clients are named in the log.
    clients: ClientNames,
    /// Ticks since the start. 32 bits of 100 ms last for 13 years; the subtractions wrap.
    ticks: AtomicU32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Occupant>,
    by_client: HashMap<IpAddr, usize>,
    closed: bool,
    counts: ConnectionCounts,
    /// The tick at which a refusal may be logged again.
    silent_until: u32,
}

#[derive(Debug)]
struct Occupant {
    client: IpAddr,
    state: Arc<State>,
    /// Ends the connection; none for the instant between admission and the first poll.
    task: Option<AbortHandle>,
}

/// A connection's phase, and the tick at which it began.
#[derive(Debug)]
struct State(AtomicU64);

/// One connection's seat; free when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    state: Arc<State>,
    seats: Arc<Seats>,
}

impl Default for TcpLimits {
    /// Enough for resolvers' fallback from UDP; each connection has at most about 200 KB of buffers, and only while
    /// its client sends long messages or does not read.
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 256,
            idle: Duration::from_secs(10),
            message: Duration::from_secs(5),
            write: Duration::from_secs(5),
        }
    }
}

impl Seats {
    /// The seats, and the task that watches the time.
    pub(in crate::serve) fn open(
        limits: TcpLimits,
        clients: ClientNames,
        runtime: &Handle,
    ) -> (Arc<Self>, AbortHandle) {
        let seats = Arc::new(Self { limits, clients, ticks: AtomicU32::new(0), taken: Mutex::default() });
        let watched = Arc::clone(&seats);
        let keeper = runtime.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                watched.tick();
            }
        });
        (seats, keeper.abort_handle())
    }

    /// What became of connections so far.
    pub(in crate::serve) fn counts(&self) -> ConnectionCounts {
        let taken = self.taken();
        ConnectionCounts { open: taken.by_number.len() as u64, ..taken.counts }
    }

    /// Ends all connections.
    pub(in crate::serve) fn close(&self) {
        let mut taken = self.taken();
        taken.closed = true;
        taken.by_client.clear();
        let occupants = std::mem::take(&mut taken.by_number);
        drop(taken);
        occupants.into_values().for_each(Occupant::end);
    }

    /// Gives the client a seat and starts its connection, or drops the connection unstarted.
    pub(super) fn admit<F>(self: &Arc<Self>, source: IpAddr, connection: impl FnOnce(Seat) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(seat) = self.seat(source) {
            let number = seat.number;
            let task = tokio::spawn(connection(seat)).abort_handle();
            match self.taken().by_number.get_mut(&number) {
                Some(occupant) => occupant.task = Some(task),
                // It has ended already, or its seat was taken away before it could be told.
                None => task.abort(),
            }
        }
    }

    /// The system has no descriptor or memory for a connection: an idle one makes room.
    pub(super) fn accept_failed(&self) {
        let mut taken = self.taken();
        taken.counts.accept_failed += 1;
        let evicted = taken.evict(self.now());
        drop(taken);
        evicted.into_iter().for_each(Occupant::end);
    }

    fn seat(self: &Arc<Self>, source: IpAddr) -> Option<Seat> {
        let client = truncate(source, if source.is_ipv4() { 32 } else { CLIENT_V6_BITS });
        let now = self.now();
        let mut taken = self.taken();
        let crowded = taken.by_client.get(&client).is_some_and(|n| *n >= self.limits.connections_per_client);
        let full = taken.by_number.len() >= self.limits.connections;
        let evicted = if full && !crowded { taken.evict(now) } else { None };
        if taken.closed || crowded || (full && evicted.is_none()) {
            taken.counts.refused += 1;
            if taken.silent_until <= now {
                taken.silent_until = now.saturating_add(REFUSALS_SILENT_TICKS);
                let client = self.clients.shown(client);
                info!(%client, crowded, "refusing TCP connections; more are counted, not logged, for a while");
            }
            return None;
        }
        let state = Arc::new(State::new(Phase::Idle, now));
        let number = taken.seat(Occupant { client, state: Arc::clone(&state), task: None });
        drop(taken);
        evicted.into_iter().for_each(Occupant::end);
        Some(Seat { number, state, seats: Arc::clone(self) })
    }

    /// One tick of the keeper: the time of some connections may be over.
    fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut taken = self.taken();
        let late: Vec<_> = taken
            .by_number
            .iter()
            .filter(|(_, occupant)| self.is_late(&occupant.state, now))
            .map(|(number, _)| *number)
            .collect();
        taken.counts.timed_out += late.len() as u64;
        let late: Vec<_> = late.into_iter().filter_map(|number| taken.free(number)).collect();
        drop(taken);
        late.into_iter().for_each(Occupant::end);
    }

    fn is_late(&self, state: &State, now: u32) -> bool {
        let (phase, since) = state.read();
        let limit = match phase {
            Phase::Idle => self.limits.idle,
            Phase::Reading => self.limits.message,
            Phase::Writing => self.limits.write,
        };
        // The tick during which it began is not a whole one.
        TICK * now.wrapping_sub(since).saturating_sub(1) >= limit
    }

    fn now(&self) -> u32 {
        self.ticks.load(Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn seat(&mut self, occupant: Occupant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.counts.accepted += 1;
        *self.by_client.entry(occupant.client).or_default() += 1;
        self.by_number.insert(number, occupant);
        number
    }

    fn free(&mut self, number: u64) -> Option<Occupant> {
        let occupant = self.by_number.remove(&number)?;
        if let Some(count) = self.by_client.get_mut(&occupant.client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&occupant.client);
            }
        }
        Some(occupant)
    }

    /// Takes the seat of the connection that has been idle for longest, else that of one that has kept us waiting
    /// for longest, a tick at least; of equals the oldest. Looks at all of them, which with the default limit costs
    /// about as much as the system's part in accepting one.
    fn evict(&mut self, now: u32) -> Option<Occupant> {
        let waiting = |(number, occupant): (&u64, &Occupant)| {
            let (phase, since) = occupant.state.read();
            let (idle, ticks) = (phase == Phase::Idle, now.wrapping_sub(since));
            (idle || ticks > 1).then_some((idle, ticks, Reverse(*number)))
        };
        let (_, _, Reverse(number)) = self.by_number.iter().filter_map(waiting).max()?;
        self.counts.evicted += 1;
        self.free(number)
    }
}

impl Occupant {
    /// Not under the lock: where the task is not being polled, its end frees its seat at once.
    fn end(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

impl Seat {
    /// Notes that the connection now waits for something else, or for the next of the same.
    pub(super) fn enter(&self, phase: Phase) {
        self.state.0.store(State::pack(phase, self.seats.now()), Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.read().0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().free(self.number);
    }
}

impl State {
    fn new(phase: Phase, since: u32) -> Self {
        Self(AtomicU64::new(Self::pack(phase, since)))
    }

    fn pack(phase: Phase, since: u32) -> u64 {
        let code = match phase {
            Phase::Idle => 0,
            Phase::Reading => 1,
            Phase::Writing => 2,
        };
        u64::from(since) << 2 | code
    }

    fn read(&self) -> (Phase, u32) {
        let packed = self.0.load(Ordering::Relaxed);
        let phase = match packed & 3 {
            0 => Phase::Idle,
            1 => Phase::Reading,
            _ => Phase::Writing,
        };
        let since = u32::try_from(packed >> 2).expect("only `pack` writes, and it shifts 32 bits");
        (phase, since)
    }
}
