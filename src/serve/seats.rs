//! Who may stay connected: each connection has a seat, seats are limited in all and per client, and one keeper
//! watches the time of all of them. A connection notes what it waits for and since when; no timer of its own is
//! ever set, no clock read. Each transport has seats of its own, so that a crowd at one door shuts no other.
//!
//! ```text
//!  Handshake (the greeting of TLS, all of QUIC's, or the header of a proxy)
//!    |
//!  Greeted (the rest of TLS's)
//!    |
//!    v
//!   Idle ---- octets of a message ----> Reading ---- the message is whole ----> (answered)
//!    ^                                                                         |        |
//!    +------------- all replies taken by the kernel ---------------------------+        | not all
//!    +------------------------------- the rest taken -------------- Writing <-----------+
//! ```
//!
//! When all seats are taken, the client that has most of those that are idle gives up the one that has been so for longest: idle
//! connections cost their clients nothing, so refusing newcomers would let a few of them shut everyone out, and a client must
//! expect an idle connection to be closed (RFC 7766 section 6.2.3). A handshake counts as idle: it was asked nothing yet. Where none
//! is idle, one that has kept us waiting goes, be it with the rest of a query or by not reading, again of the client that has most.
//! When one client has all that it may have, its newest is refused: it should use those that it has. Handshakes have a limit of
//! their own, below that of all: past it one of them goes, first of those that have yet to say their greeting, which an honest client
//! sends with its connection. So a crowd that never finishes one pushes out its own kind: not who was served, and not who is
//! in the middle of it. By age alone it would: a crowd that comes fast enough leaves nobody the time that a handshake takes.
//!
//! Who has a seat by TCP or TLS works by [turns](super::turns), and shakes hands so for HTTPS.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::info;

pub(super) use super::phase::Phase;
use super::phase::State;
use super::turns::{self, Rank, Turns};
use crate::answer::respond::Transport;
use crate::net::truncate;
use crate::serve::ClientNames;

/// The resolution of all time limits of connections: a limit is kept to within one of these.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks pass after a logged refusal before another is logged: whoever is refused can make many.
const REFUSALS_SILENT_TICKS: u32 = 100;

/// IPv6 addresses that share so many bits are one client: a host commonly has a whole /64 to choose from.
const CLIENT_V6_BITS: u8 = 64;

/// One part in so many of the seats taken is a crowd.
const CROWDED_SHARE: usize = 4;

/// What the clients of one transport may take up. The time limits are kept to within 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, or an IPv6 /64.
    pub connections_per_client: usize,
    /// Connections that are shaking hands at a time, or whose proxy has yet to say who they are.
    pub handshakes: usize,
    /// Queries of one connection, which is closed after the last of them.
    pub queries: u64,
    /// Queries under way at a time on one connection, where those are streams of their own: HTTP/2 and QUIC.
    pub streams: u32,
    /// How long the handshake may take, and the header of a proxy.
    pub handshake: Duration,
    /// How long a connection may be without a query.
    pub idle: Duration,
    /// How long a query may take from its first octet to its last.
    pub message: Duration,
    /// How long the client may take to make room for the replies that it waits for.
    pub write: Duration,
    /// How long a connection may last, whatever it does: it is closed at the first pause after, and without one
    /// after [`Limits::message`] more.
    pub lifetime: Duration,
}

/// What became of the connections of one transport, since the start.
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
    /// Connections that were closed for what their client did: no handshake, octets without a question, questions
    /// beyond the limit.
    pub broken_off: u64,
    /// Times that the system had no descriptor or memory for a connection.
    pub accept_failed: u64,
}

impl ConnectionCounts {
    /// Each with its name.
    pub(super) fn named(self) -> [(&'static str, u64); 7] {
        let Self { open, accepted, refused, evicted, timed_out, broken_off, accept_failed } = self;
        [
            ("open", open),
            ("accepted", accepted),
            ("refused", refused),
            ("evicted", evicted),
            ("timed-out", timed_out),
            ("broken-off", broken_off),
            ("accept-failed", accept_failed),
        ]
    }
}

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    limits: Limits,
    /// Whose seats they are, for the log.
    transport: Transport,
    /// How refused clients are named in the log.
    clients: ClientNames,
    /// Ticks since the start. 32 bits of 100 ms last for 13 years; the subtractions wrap.
    ticks: AtomicU32,
    taken: Mutex<Taken>,
    /// Seats in the phase of the handshake.
    handshakes: AtomicUsize,
    turns: Arc<Turns>,
    /// Told when somebody sits down where nobody sat.
    first: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Occupant>,
    by_client: HashMap<IpAddr, Client>,
    closed: bool,
    counts: ConnectionCounts,
    /// The tick at which a refusal may be logged again.
    silent_until: u32,
}

#[derive(Debug)]
struct Occupant {
    /// None while a proxy has yet to say who it is.
    client: Option<Client>,
    /// The tick at which it came.
    since: u32,
    state: Arc<State>,
    /// Ends the connection; none for the instant between admission and the first poll.
    task: Option<AbortHandle>,
}

/// Who has connections, and how many: that is known to each of them, since whoever has to make room is looked for among all.
#[derive(Clone, Debug)]
struct Client {
    address: IpAddr,
    /// Written under the lock of those who have seats.
    connections: Arc<AtomicUsize>,
}

/// One connection's seat; free when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    state: Arc<State>,
    seats: Arc<Seats>,
    has_asked_much: AtomicBool,
}

impl Default for Limits {
    /// Enough for resolvers' fallback from UDP; each connection has at most about 200 KB of buffers, and only while
    /// its client sends long messages or does not read.
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 256,
            handshakes: 2048,
            queries: 100_000,
            streams: 100,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            message: Duration::from_secs(5),
            write: Duration::from_secs(5),
            lifetime: Duration::from_secs(3600),
        }
    }
}

impl Seats {
    /// The seats, and the task that watches the time.
    pub(super) fn open(
        transport: Transport,
        limits: Limits,
        clients: ClientNames,
        runtime: &Handle,
    ) -> (Arc<Self>, AbortHandle) {
        let seats = Arc::new(Self {
            transport,
            limits,
            clients,
            ticks: AtomicU32::new(0),
            taken: Mutex::default(),
            handshakes: AtomicUsize::new(0),
            // One thread has none, to see who else has become ready. With a turn for each, every thread would find one free
            // and nobody wait for his: the order would be the runtime's.
            turns: Turns::new(runtime.metrics().num_workers().saturating_sub(1).max(1)),
            first: Notify::new(),
        });
        let watched = Arc::clone(&seats);
        let keeper = runtime.spawn(async move {
            loop {
                // A server without connections rests.
                if watched.taken().by_number.is_empty() {
                    watched.first.notified().await;
                }
                tokio::time::sleep(TICK).await;
                watched.tick();
            }
        });
        (seats, keeper.abort_handle())
    }

    /// What became of connections so far.
    pub(super) fn counts(&self) -> ConnectionCounts {
        let taken = self.taken();
        ConnectionCounts { open: taken.by_number.len() as u64, ..taken.counts }
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        let mut taken = self.taken();
        taken.closed = true;
        taken.by_client.clear();
        let occupants = std::mem::take(&mut taken.by_number);
        drop(taken);
        occupants.into_values().for_each(Occupant::end);
    }

    /// What clients may take up.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Gives the client a seat and starts its connection, or drops the connection unstarted. Without a client it is
    /// one behind a proxy, which [`Seat::introduce`] says later.
    pub(super) fn admit<F>(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        phase: Phase,
        connection: impl FnOnce(Seat) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(seat) = self.seat(client, phase) {
            self.employ(seat.number, tokio::spawn(connection(seat)).abort_handle());
        }
    }

    /// From now on the task is what ends with the seat.
    fn employ(&self, number: u64, task: AbortHandle) {
        match self.taken().by_number.get_mut(&number) {
            Some(occupant) => occupant.task = Some(task),
            // It has ended already, or its seat was taken away before it could be told.
            None => task.abort(),
        }
    }

    /// Whether so many seats are taken that newcomers should prove that they are where they say.
    pub(super) fn is_crowded(&self) -> bool {
        self.taken().by_number.len() * CROWDED_SHARE >= self.limits.connections
    }

    /// A connection ended for what its client did.
    pub(super) fn broke_off(&self) {
        self.taken().counts.broken_off += 1;
    }

    /// The system has no descriptor or memory for a connection: an idle one makes room.
    pub(super) fn accept_failed(&self) {
        let mut taken = self.taken();
        taken.counts.accept_failed += 1;
        let evicted = taken.evict(self.now(), |_| true);
        drop(taken);
        evicted.into_iter().for_each(Occupant::end);
    }

    fn seat(self: &Arc<Self>, client: Option<IpAddr>, phase: Phase) -> Option<Seat> {
        let client = client.map(whole_client);
        let now = self.now();
        let mut taken = self.taken();
        let crowded = client.is_some_and(|client| taken.has_all(client, &self.limits));
        let full = taken.by_number.len() >= self.limits.connections;
        let evicted = match phase {
            _ if crowded => None,
            Phase::Handshake if self.handshakes.load(Ordering::Relaxed) >= self.limits.handshakes => {
                taken.evict(now, Phase::is_of_handshake)
            }
            _ if full => taken.evict(now, |_| true),
            _ => None,
        };
        if taken.closed || crowded || (full && evicted.is_none()) {
            self.refuse(&mut taken, client, crowded, now);
            return None;
        }
        let state = Arc::new(State::new(phase, now));
        if taken.by_number.is_empty() {
            self.first.notify_one();
        }
        let client = client.map(|client| taken.one_more_of(client));
        let number = taken.seat(Occupant { client, since: now, state: Arc::clone(&state), task: None });
        drop(taken);
        self.count_handshake(None, Some(phase));
        evicted.into_iter().for_each(Occupant::end);
        Some(Seat { number, state, seats: Arc::clone(self), has_asked_much: AtomicBool::new(false) })
    }

    fn refuse(&self, taken: &mut Taken, client: Option<IpAddr>, crowded: bool, now: u32) {
        taken.counts.refused += 1;
        if taken.silent_until <= now {
            taken.silent_until = now.saturating_add(REFUSALS_SILENT_TICKS);
            let client =
                client.map_or_else(|| "behind a proxy".to_owned(), |client| self.clients.shown(client));
            let transport = self.transport;
            info!(%client, %transport, crowded, "refusing connections; more are counted, not logged, for a while");
        }
    }

    /// One tick of the keeper: the time of some connections may be over.
    fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut taken = self.taken();
        let late: Vec<_> = taken
            .by_number
            .iter()
            .filter(|(_, occupant)| self.is_late(occupant, now))
            .map(|(number, _)| *number)
            .collect();
        taken.counts.timed_out += late.len() as u64;
        let late: Vec<_> = late.into_iter().filter_map(|number| taken.free(number)).collect();
        drop(taken);
        late.into_iter().for_each(Occupant::end);
    }

    fn is_late(&self, occupant: &Occupant, now: u32) -> bool {
        let (phase, since) = occupant.state.read();
        let Limits { handshake, idle, message, write, lifetime, .. } = self.limits;
        let (limit, lifetime) = match phase {
            Phase::Handshake | Phase::Greeted => (handshake, lifetime),
            Phase::Idle => (idle, lifetime),
            Phase::Reading => (message, lifetime + message),
            Phase::Writing => (write, lifetime + message),
        };
        // The tick during which it began is not a whole one.
        let lasted = |since: u32| TICK * ticks_since(since, now).saturating_sub(1);
        lasted(since) >= limit || lasted(occupant.since) >= lifetime
    }

    /// A seat went from one phase to another, was taken or became free.
    fn count_handshake(&self, before: Option<Phase>, after: Option<Phase>) {
        match [before, after].map(|phase| phase.is_some_and(Phase::is_of_handshake)) {
            [false, true] => self.handshakes.fetch_add(1, Ordering::Relaxed),
            [true, false] => self.handshakes.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }

    fn now(&self) -> u32 {
        self.ticks.load(Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn has_all(&self, client: IpAddr, limits: &Limits) -> bool {
        self.by_client.get(&client).is_some_and(|client| client.count() >= limits.connections_per_client)
    }

    fn seat(&mut self, occupant: Occupant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.counts.accepted += 1;
        self.by_number.insert(number, occupant);
        number
    }

    /// The client of one more connection.
    fn one_more_of(&mut self, address: IpAddr) -> Client {
        let new = || Client { address, connections: Arc::default() };
        let client = self.by_client.entry(address).or_insert_with(new).clone();
        client.connections.fetch_add(1, Ordering::Relaxed);
        client
    }

    fn free(&mut self, number: u64) -> Option<Occupant> {
        let occupant = self.by_number.remove(&number)?;
        if let Some(client) = &occupant.client
            && client.connections.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.by_client.remove(&client.address);
        }
        Some(occupant)
    }

    /// Takes the seat of one that has not greeted, else of one that is idle or shakes hands, else of one that has kept us waiting,
    /// a tick at least: of those of the client that has most, the one that has been so for longest; of equals the oldest. Of
    /// those whose phase is `among`. Looks at all of them, which with the default limit costs about as much as the system's part in
    /// accepting one.
    fn evict(&mut self, now: u32, among: impl Fn(Phase) -> bool) -> Option<Occupant> {
        let waiting = |(number, occupant): (&u64, &Occupant)| {
            let (phase, since) = occupant.state.read();
            if !among(phase) {
                return None;
            }
            let cheap = match phase {
                Phase::Handshake => 2,
                Phase::Greeted | Phase::Idle => 1,
                Phase::Reading | Phase::Writing => 0,
            };
            let ticks = ticks_since(since, now);
            let connections = occupant.client.as_ref().map_or(1, Client::count);
            (cheap > 0 || ticks > 1).then_some((cheap, connections, ticks, Reverse(*number)))
        };
        let (_, _, _, Reverse(number)) = self.by_number.iter().filter_map(waiting).max()?;
        self.counts.evicted += 1;
        self.free(number)
    }
}

impl Client {
    fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
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
        let before = self.state.enter(phase, self.seats.now());
        self.seats.count_handshake(Some(before), Some(phase));
    }

    /// The client has said its greeting; what is left of the handshake has no more time for it than before.
    pub(super) fn has_greeted(&self) {
        let (before, since) = self.state.read();
        self.state.enter(Phase::Greeted, since);
        self.seats.count_handshake(Some(before), Some(Phase::Greeted));
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.read().0
    }

    /// A proxy has said who the client is: whether it may have one more connection.
    pub(super) fn introduce(&self, client: IpAddr) -> bool {
        let client = whole_client(client);
        let seats = &self.seats;
        let mut taken = seats.taken();
        if taken.has_all(client, &seats.limits) {
            seats.refuse(&mut taken, Some(client), true, seats.now());
            return false;
        }
        if !taken.by_number.contains_key(&self.number) {
            return false;
        }
        let client = taken.one_more_of(client);
        let occupant = taken.by_number.get_mut(&self.number).expect("it was looked for under this lock");
        assert!(occupant.client.replace(client).is_none(), "a client is introduced once");
        true
    }

    /// Does `work` of this connection when it is its turn.
    pub(super) async fn by_turns<W: Future>(&self, work: W) -> W::Output {
        turns::by_turns(&self.seats.turns, || self.rank(), work).await
    }

    /// From now on newcomers go first.
    pub(super) fn has_asked_much(&self) {
        self.has_asked_much.store(true, Ordering::Relaxed);
    }

    fn rank(&self) -> Rank {
        let taken = self.seats.taken();
        let client = taken.by_number.get(&self.number).and_then(|occupant| occupant.client.as_ref());
        let connections = client.map(Client::count);
        (connections.unwrap_or_default(), self.has_asked_much.load(Ordering::Relaxed))
    }

    /// What the client may take up.
    pub(super) fn limits(&self) -> &Limits {
        &self.seats.limits
    }

    /// The connection ends for what its client did.
    pub(super) fn break_off(&self) {
        self.seats.broke_off();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().free(self.number);
        self.seats.count_handshake(Some(self.phase()), None);
    }
}

/// Ticks from `since` to `now`; none where another thread saw a tick that `now` does not count yet.
fn ticks_since(since: u32, now: u32) -> u32 {
    let ticks = now.wrapping_sub(since);
    if ticks > u32::MAX / 2 { 0 } else { ticks }
}

/// Who counts as one client.
fn whole_client(source: IpAddr) -> IpAddr {
    truncate(source, if source.is_ipv4() { 32 } else { CLIENT_V6_BITS })
}
