//! What the UDP path does without in steady state: memory from the allocator, locks, the clock. The workers are those
//! of a real server, and so is what they answer with; their threads are watched from below, where the allocator,
//! `clock_gettime` and `recvmmsg` are called.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait, and so is standing in for a function of the C library; both hand \
              everything on"
)]
#![allow(clippy::unwrap_used, reason = "a server that cannot be set up fails the test")]

#[path = "../benches/world/mod.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Action, Envelope, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::clock;
use rhumb::health::verdict::{Standing, State};
use rhumb::ids::{EndpointId, ServiceId};
use rhumb::publish::Published;
use rhumb::serve::{ClientNames, Limits, Listeners, Running, Settings};
use tokio::runtime::Runtime;

/// Hands everything to the system's allocator and counts what watched threads ask for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static CLOCK_READS: AtomicU64 = AtomicU64::new(0);
static BATCHES: AtomicU64 = AtomicU64::new(0);
/// Threads that stand still inside the allocator, and whether they may go on.
static STANDING: AtomicU64 = AtomicU64::new(0);
static GO_ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static STOPS_AT_NEXT: Cell<bool> = const { Cell::new(false) };
}

fn count(counter: &AtomicU64) {
    if WATCHED.get() {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: each call is handed on unchanged to an allocator that keeps the trait's promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        if STOPS_AT_NEXT.take() {
            STANDING.fetch_add(1, Ordering::Relaxed);
            while !GO_ON.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        // SAFETY: the caller's promises are those that this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(&ALLOCATIONS);
        // SAFETY: the caller's promises are those that this needs.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Stands in for the C library's, counts, and asks the kernel.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    count(&CLOCK_READS);
    // SAFETY: the caller's promises are those that the kernel needs.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int }
}

/// Stands in for the C library's, counts, and asks the kernel, which sets `errno` in both.
#[unsafe(no_mangle)]
extern "C" fn recvmmsg(
    socket: libc::c_int,
    headers: *mut libc::mmsghdr,
    count_max: libc::c_uint,
    flags: libc::c_int,
    time: *mut libc::timespec,
) -> libc::c_int {
    count(&BATCHES);
    // SAFETY: the caller's promises are those that the kernel needs.
    unsafe { libc::syscall(libc::SYS_recvmmsg, socket, headers, count_max, flags, time) as libc::c_int }
}

/// A query (no question, hence refused) that makes the stand-in for `respond` do what it must not.
const WASTEFUL: &[u8] = b"be wasteful\0\0\0\0\0\0";

/// What a server answers with; the thread that calls it is watched from its first query on.
fn respond_watched(
    table: &AnswerTable,
    packet: &[u8],
    envelope: Envelope,
    reply: &mut [u8],
    counters: &Counters,
) -> Action {
    WATCHED.set(true);
    if packet == WASTEFUL {
        drop(std::hint::black_box(Box::new(7)));
        std::hint::black_box(clock::now());
    }
    respond(table, packet, envelope, reply, counters)
}

/// The workers of the whole process are watched together, so that tests must not overlap.
static ALONE: Mutex<()> = Mutex::new(());

/// A server on two kinds of address, and a client of it.
struct World {
    published: Arc<Published>,
    running: Running,
    _runtime: Runtime,
    servers: Vec<SocketAddr>,
    client: UdpSocket,
    /// Names that are there, nine in ten that are not, and a steered one asked with a client subnet.
    queries: Vec<Vec<u8>>,
    /// Tables of one plan: as when all is up, and as when a region of the steered name is not.
    tables: [Arc<AnswerTable>; 2],
    _alone: MutexGuard<'static, ()>,
}

impl World {
    fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = world::networks(2_000);
        let plan = world::plan(vec![world::zone(1_000)], &networks, 10);
        let mut numbers = CounterNumbers::default();
        let up = plan.table(1, &|_: EndpointId| Standing::UP, &mut numbers);
        let down = |endpoint: EndpointId| {
            if endpoint.0 == 7 { Standing { state: State::Down, ..Standing::UP } } else { Standing::UP }
        };
        let down = plan.next_table(&up, &[ServiceId(0)], &down, &mut numbers);
        let tables = [up, down].map(Arc::new);

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings {
            listen: vec!["127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap()],
            workers: NonZeroUsize::MIN,
            pin_workers: false,
            clients: ClientNames::Shortened,
            tcp: Limits::default(),
            proxies: Arc::default(),
            encrypted: None,
            network_key: *b"a key of a test.",
        };
        let listeners = Listeners::bind(&settings).unwrap();
        let ports = listeners.local_addrs().into_iter().map(|address| address.port());
        let servers = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let published = Arc::new(Published::new(Arc::clone(&tables[1])));
        let running = listeners.start_with(respond_watched, &published, runtime.handle()).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let sets =
            [world::plain_queries(1_000), world::missing_queries(1_000), world::steered_queries(&networks)];
        let queries = sets.into_iter().flat_map(|set| set.into_iter().take(100)).collect();
        Self { published, running, _runtime: runtime, servers, client, queries, tables, _alone: alone }
    }

    /// Asks every server all of this, ten at a time, and takes the replies.
    fn exchange(&self, queries: &[Vec<u8>]) {
        for server in &self.servers {
            for queries in queries.chunks(10) {
                for query in queries {
                    assert_eq!(self.client.send_to(query, server).unwrap(), query.len());
                }
                for _ in queries {
                    assert!(self.client.recv(&mut [0; 2048]).unwrap() >= 12);
                }
            }
        }
    }
}

#[test]
fn a_query_costs_no_allocation_and_no_look_at_the_clock() {
    let world = World::start();
    let noted = || [&ALLOCATIONS, &CLOCK_READS, &BATCHES].map(|counter| counter.load(Ordering::Relaxed));
    // The fuller table first, so that the workers' counters have room for all there will be.
    world.exchange(&world.queries);
    let before = noted();
    // Swaps are part of the steady state: verdicts change while queries come.
    for round in 0..20 {
        world.published.publish(Arc::clone(&world.tables[round % 2]));
        world.exchange(&world.queries);
    }
    let [allocations, clock_reads, batches] = noted();
    assert_eq!(allocations, before[0]);
    assert!(batches > before[2] + 20 * 30, "{batches} batches were seen");
    // Of two servers each may have answered its last batch without having asked for the next.
    let (clock_reads_made, batches_made) = (clock_reads - before[1], batches - before[2] + 2);
    // One a batch; and of a worker that goes ahead of others two more in 64 batches, to see that it rests.
    let looks = batches_made / 64 + 2;
    assert!(
        clock_reads_made <= batches_made + 2 * looks,
        "at most one a batch, and the looks: {clock_reads_made}, {batches_made}"
    );
    world.exchange(&[WASTEFUL.to_vec()]);
    let [wasted, wasted_reads, _] = noted();
    assert_eq!(wasted - allocations, 2 * 2, "the test sees an allocation and its end, of both servers");
    assert!(wasted_reads >= clock_reads + 2, "the test sees the clock read");
    world.running.stop();
}

#[test]
fn a_query_waits_for_no_lock() {
    struct GoOn;
    impl Drop for GoOn {
        fn drop(&mut self) {
            GO_ON.store(true, Ordering::Relaxed);
        }
    }
    let world = World::start();
    world.exchange(&world.queries);
    let registry = world.running.registry();
    thread::scope(|scope| {
        let _go_on = GoOn;
        // Both stand still with the lock in their hands: where the next table is put, where the counters are.
        scope.spawn(|| {
            STOPS_AT_NEXT.set(true);
            world.published.publish(Arc::clone(&world.tables[0]));
        });
        scope.spawn(|| {
            STOPS_AT_NEXT.set(true);
            drop(registry.counters());
        });
        while STANDING.load(Ordering::Relaxed) < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        world.exchange(&world.queries);
        assert_eq!(STANDING.load(Ordering::Relaxed), 2);
    });
    world.running.stop();
}
