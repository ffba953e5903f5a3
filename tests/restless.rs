//! The real server under load while verdicts, its configuration and its database change: every query is answered, and
//! rightly. How much a change may cost is measured by `cargo bench --bench peers -- --suite change`, on a machine that
//! has nothing else to do.

#![allow(clippy::unwrap_used, reason = "a server that cannot be set up fails the test")]
#![allow(clippy::disallowed_methods, reason = "it measures how long a withdrawal takes")]

#[path = "../benches/world/mod.rs"]
mod world;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use rhumb::clock;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use world::restless::{REGIONS, Restless, Unrest, endpoint};

/// Services, and how many queries are asked during each unrest.
const SERVICES: usize = 100;
const QUERIES: usize = 4_000;
/// How many are under way at once: a batch of the worker holds more.
const UNDER_WAY: usize = 20;

/// The bare OPT record behind the question of a query.
const OPT_OCTETS: usize = 11;
/// How long a withdrawal may take under a flood, on a machine that has other tests to do.
const WITHDRAWN_MAX: Duration = Duration::from_secs(5);

/// Ends the server with the test; its folder goes with it.
struct Ended {
    process: Child,
    _folder: TempDir,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn no_query_is_lost_while_everything_changes() {
    let (server, restless, client) = start();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for unrest in [Unrest::Verdicts, Unrest::Reloads, Unrest::Databases] {
        let before = restless.metric("rhumb_generation").unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| restless.disturb(unrest, server.process.id(), &stop));
            let queries = restless.queries(QUERIES);
            // Until the table has changed a few times, however slow the machine is.
            while restless.metric("rhumb_generation").unwrap() < before + 3.0 {
                queries.chunks(UNDER_WAY).for_each(|queries| exchange(&client, queries));
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// Threads that judge give way to those that answer; they must not give up.
#[test]
fn a_flood_of_queries_holds_no_withdrawal_up() {
    let everywhere = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|processor| everywhere.is_set(*processor)).unwrap());
    // The server is started by this thread, and stays where it was started.
    sched_setaffinity(None, &one).unwrap();
    let (_server, restless, client) = start();
    sched_setaffinity(None, &everywhere).unwrap();

    let stop = AtomicBool::new(false);
    let flood = restless.queries(QUERIES);
    thread::scope(|scope| {
        let _stopped = StoppedAtLast(&stop);
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(restless.address).unwrap();
            let mut queries = flood.iter().cycle();
            while !stop.load(Ordering::Relaxed) {
                // What finds no room is lost, as it would be on the way.
                let _ = socket.send(queries.next().unwrap());
            }
        });
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        thread::sleep(Duration::from_secs(1));
        let service = 7;
        let query = restless.query(service);
        let answered_with = || -> Ipv4Addr {
            let reply = std::iter::repeat_with(|| {
                let mut reply = [0; 1500];
                client.send(&query).and_then(|_| client.recv(&mut reply)).ok()?;
                Some(reply)
            });
            // There may be answers to what was asked when the server was not there yet.
            let question = &query[12..query.len() - OPT_OCTETS];
            let of_service = |reply: &[u8; 1500]| reply[12..].starts_with(question);
            let reply = reply.take(1000).flatten().find(of_service).expect("some queries get through");
            address_of(&reply)
        };
        let first = answered_with();
        let region = (0..REGIONS).find(|region| endpoint(service, *region) == first).unwrap();
        restless.say_down(&[(service, region)]);
        let said = clock::now();
        while answered_with() == first {
            assert!(clock::now().since(said) < WITHDRAWN_MAX, "it is still answered with");
        }
        println!("withdrawn in {:?}", clock::now().since(said));
    });
}

/// A server of [`SERVICES`] that answers, and a client of it.
fn start() -> (Ended, Restless, UdpSocket) {
    let folder = tempfile::tempdir().unwrap();
    let networks = world::networks(500);
    let countries = world::countries();
    let databases = [0, 1].map(|moved| {
        let networks = networks.iter();
        let networks: Vec<_> =
            networks.map(|(prefix, country)| (*prefix, (country + moved) % countries.len())).collect();
        world::mmdb::write(&networks, &countries)
    });
    let restless = Restless {
        folder: folder.path().to_owned(),
        services: SERVICES,
        address: free_address(),
        metrics: free_address(),
    };
    let file = restless.write(Duration::from_millis(100), databases);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve", "-c"]).arg(file).stdin(Stdio::null());
    let server = Ended { process: command.spawn().unwrap(), _folder: folder };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(restless.address).unwrap();
    wait_for_answer(&client, &restless.queries(1)[0]);
    (server, restless, client)
}

/// Ends a flood, also when its test fails.
struct StoppedAtLast<'s>(&'s AtomicBool);

impl Drop for StoppedAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks all of these, and looks at all answers.
fn exchange(client: &UdpSocket, queries: &[Vec<u8>]) {
    for query in queries {
        assert_eq!(client.send(query).unwrap(), query.len());
    }
    for _ in queries {
        let mut reply = [0; 1500];
        let length = client.recv(&mut reply).expect("no query is lost");
        let reply = &reply[..length];
        assert_eq!((reply[3] & 0x0f, &reply[6..8]), (0, &[0, 1][..]), "one record, no error: {reply:?}");
        let name = reply[13..].split(|octet| *octet == 7).next().unwrap();
        let service: usize = std::str::from_utf8(&name[1..]).unwrap().parse().unwrap();
        let address = address_of(reply);
        let known = (0..REGIONS).map(|region| endpoint(service, region));
        assert!(known.into_iter().any(|known| known == address), "{service}: {address:?}");
    }
}

/// The address in a reply's first record, whose owner is the question's.
fn address_of(reply: &[u8]) -> Ipv4Addr {
    let question_end = 12 + reply[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
    <[u8; 4]>::try_from(&reply[question_end + 12..question_end + 16]).unwrap().into()
}

/// An address that nobody has now, with a port that the system gives to nobody by itself.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mut ports = std::iter::repeat_with(|| 14_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000);
    let free = ports.find(|port| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
    });
    SocketAddr::from(([127, 0, 0, 1], free.unwrap()))
}

fn wait_for_answer(client: &UdpSocket, query: &[u8]) {
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    for _ in 0..600 {
        // A server that is not there yet is an error, too.
        if client.send(query).is_ok() && client.recv(&mut [0; 1500]).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the server does not answer");
}
