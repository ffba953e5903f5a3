//! The UDP path allocates nothing in steady state: every allocation of the threads that answer is counted.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one hands everything to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Action, Envelope};
use rhumb::answer::table::AnswerTable;
use rhumb::publish::Published;
use rhumb::serve::{ClientNames, Limits, Listeners, Settings};

/// Hands everything to the system's allocator and counts what watched threads ask for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if WATCHED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: each call is handed on unchanged to an allocator that keeps the trait's promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promises are those that this needs.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Echoes, and has the thread that calls it watched from its first query on.
fn echo_watched(_: &AnswerTable, packet: &[u8], _: Envelope, reply: &mut [u8], _: &Counters) -> Action {
    WATCHED.set(true);
    if packet == b"allocate" {
        drop(std::hint::black_box(Box::new(7)));
    }
    reply[..packet.len()].copy_from_slice(packet);
    Action::Send(packet.len())
}

#[test]
fn the_udp_loop_allocates_nothing_in_steady_state() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = Settings {
        listen: vec!["127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        pin_workers: false,
        clients: ClientNames::Shortened,
        tcp: Limits::default(),
        proxies: Arc::default(),
        encrypted: None,
    };
    let listeners = Listeners::bind(&settings).unwrap();
    let ports = listeners.local_addrs().into_iter().map(|address| address.port());
    let targets: Vec<_> = ports.map(|port| ("127.0.0.1", port)).collect();
    let published = Arc::new(Published::new(Arc::new(AnswerTable::default())));
    let running = listeners.start_with(echo_watched, &published, runtime.handle()).unwrap();

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let exchange = |query: &[u8]| {
        for target in &targets {
            (0..10).for_each(|_| assert_eq!(client.send_to(query, target).unwrap(), query.len()));
            (0..10).for_each(|_| assert_eq!(client.recv(&mut [0; 2048]).unwrap(), query.len()));
        }
    };
    exchange(b"warm up");
    // Swaps are part of the steady state: verdicts change while queries come.
    for _ in 0..500 {
        exchange(b"steady");
        exchange(&[7; 1232]);
        published.publish(Arc::default());
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0);
    exchange(b"allocate");
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 40, "the test sees what it looks for");
    running.stop();
}
