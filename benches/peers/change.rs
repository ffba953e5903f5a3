//! Rhumb alone, while what it answers with changes: ten endpoints a second that go down and as many that come back, one
//! reload after the other, one database after the other. What that costs the worker, in its own time per query, and the
//! clients, in delay and loss.
//!
//! Once with everything but the worker on the other processor, where the load goes before it, as on any machine with
//! a processor to spare; and once with worker, probes, verdicts and reloads on one processor, as on the smallest.
//!
//! Each is compared with the peace before and after it, since the machine's own mood changes within seconds. And with
//! what a [`Stranger`] costs who is no part of the server, while the server is in peace: that much is the machine's.

use std::fs;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::datagrams::{Manners, pin};
use super::load::{self, Heard, Offer};
use super::server::{self, Running, Turns};
use super::world::restless::{Restless, Unrest};
use super::{Bench, PROCESSOR_OF_LOAD, RATE_PLAIN, world};

/// Services, each in three regions.
const SERVICES: usize = 10_000;
/// How often each endpoint is asked about.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the server has to come to rest between two disturbances.
const REST: Duration = Duration::from_millis(1500);
/// The processor of the server.
const PROCESSOR_OF_SERVER: usize = 0;

/// Where all threads but the worker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// On another processor than the worker.
    Apart,
    /// On the worker's.
    Beside,
}

/// Who disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// What changes in the server.
    Ours(Unrest),
    /// Somebody else.
    By(Stranger),
}

/// Another program on the processor where the server's other threads are, with no more right to it than those that
/// load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stranger {
    /// It computes and touches no memory.
    Computes,
    /// It copies [`COPIED_OCTETS`] again and again.
    Copies,
}

/// As much as a configuration of 10,000 services is, read and compiled.
const COPIED_OCTETS: usize = 32 << 20;
/// The priority of a stranger.
const NICE: i32 = 10;

/// Verdicts last: what comes back does so in steps, for a while.
const DISTURBANCES: [Disturbance; 5] = [
    Disturbance::By(Stranger::Computes),
    Disturbance::By(Stranger::Copies),
    Disturbance::Ours(Unrest::Reloads),
    Disturbance::Ours(Unrest::Databases),
    Disturbance::Ours(Unrest::Verdicts),
];

/// What was measured in one window of time.
struct Window {
    heard: Heard,
    worker: Turns,
    tables: f64,
}

/// One round: in peace, then under each disturbance with peace between.
pub(crate) fn measure(bench: &mut Bench, seconds: Duration) {
    for others in [Others::Apart, Others::Beside] {
        measure_with(others, bench, seconds);
    }
}

fn measure_with(others: Others, bench: &mut Bench, seconds: Duration) {
    let Some((restless, running, queries)) = start(bench) else { return };
    let measured = Measured { others, restless: &restless, running: &running, queries: &queries, seconds };
    let mut before = measured.window(Disturbance::Ours(Unrest::None));
    note(bench, &format!("Change {others:?} Peace"), &before);
    for disturbance in DISTURBANCES {
        let window = measured.window(disturbance);
        let after = measured.window(Disturbance::Ours(Unrest::None));
        let name = match disturbance {
            Disturbance::Ours(unrest) => format!("{unrest:?}"),
            Disturbance::By(stranger) => format!("{stranger:?}"),
        };
        let key = format!("Change {others:?} {name}");
        note(bench, &key, &window);
        compare(bench, &key, &window, [&before, &after]);
        before = after;
    }
}

fn start(bench: &mut Bench) -> Option<(Restless, Running, Vec<Vec<u8>>)> {
    let port = bench.next_port();
    let folder = bench.folder.path().join(format!("restless-{port}"));
    fs::create_dir_all(&folder).expect("folders can be made");
    let of = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let restless = Restless { folder, services: SERVICES, address: of(port), metrics: of(port + 1000) };
    let countries = world::countries();
    let databases = [0, 1].map(|moved| {
        let networks = bench.networks.iter();
        let networks: Vec<_> =
            networks.map(|(prefix, country)| (*prefix, (country + moved) % countries.len())).collect();
        world::mmdb::write(&networks, &countries)
    });
    let file = restless.write(INTERVAL, databases);
    let queries = restless.queries(world::QUERIES);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve", "-c"]).arg(file).stdin(Stdio::null());
    let running = server::start(&command, &restless.folder, restless.address, &queries[0]);
    if running.is_none() {
        eprintln!("rhumb does not answer; see {}", restless.folder.join("stderr").display());
    }
    Some((restless, running?, queries))
}

/// What windows are measured of.
struct Measured<'m> {
    others: Others,
    restless: &'m Restless,
    running: &'m Running,
    queries: &'m [Vec<u8>],
    seconds: Duration,
}

impl Measured<'_> {
    fn window(&self, disturbance: Disturbance) -> Window {
        let Self { restless, running, .. } = *self;
        let stop = &AtomicBool::new(false);
        let generation = || restless.metric("rhumb_generation").unwrap_or(0.0);
        let window = thread::scope(|scope| {
            match disturbance {
                Disturbance::Ours(unrest) => {
                    scope.spawn(move || restless.disturb(unrest, running.number(), stop));
                    // Until what is said of an endpoint is asked for, it is no news.
                    thread::sleep(if unrest == Unrest::Verdicts { INTERVAL } else { REST });
                }
                Disturbance::By(stranger) => {
                    scope.spawn(move || self.be(stranger, stop));
                    thread::sleep(REST);
                }
            }
            // Each time, since threads come and go; those that they start from now on follow them.
            if self.others == Others::Apart {
                running.move_others(PROCESSOR_OF_LOAD);
            }
            let (first, before) = (generation(), running.worker());
            let heard = load::run(restless.address, self.queries, Offer::Polite(RATE_PLAIN), self.seconds);
            let worker = running.worker().since(before);
            stop.store(true, Ordering::Relaxed);
            Window { heard, worker, tables: (generation() - first) / heard.seconds }
        });
        if disturbance == Disturbance::Ours(Unrest::Verdicts) {
            // What was down comes back when it is asked for.
            thread::sleep(INTERVAL);
        }
        window
    }

    fn be(&self, stranger: Stranger, stop: &AtomicBool) {
        pin(if self.others == Others::Apart { PROCESSOR_OF_LOAD } else { PROCESSOR_OF_SERVER });
        let _last = Manners::nice(NICE);
        let (from, mut to) = (vec![1_u8; COPIED_OCTETS / 2], vec![0_u8; COPIED_OCTETS / 2]);
        while !stop.load(Ordering::Relaxed) {
            match stranger {
                Stranger::Computes => drop(black_box((0..1000_u64).fold(1, u64::wrapping_mul))),
                Stranger::Copies => black_box(&mut to).copy_from_slice(black_box(&from)),
            }
        }
    }
}

impl Window {
    fn cost(&self) -> f64 {
        self.worker.spent / (self.heard.answered as f64).max(1.0)
    }

    fn p99(&self) -> f64 {
        self.heard.p99.as_secs_f64() * 1e6
    }
}

fn note(bench: &mut Bench, key: &str, window: &Window) {
    let Window { heard, worker, tables } = window;
    let (answered, turns) = (heard.answered as f64, worker.turns.max(1.0));
    for (figure, value) in [
        ("worker's CPU, ns", window.cost()),
        ("queries a turn", answered / turns),
        ("wait for a turn, us", worker.waited / turns / 1e3),
        ("p50, us", heard.p50.as_secs_f64() * 1e6),
        ("p99, us", window.p99()),
        ("lost queries", heard.sent.saturating_sub(heard.answered) as f64),
        ("queries/s", answered / heard.seconds),
        ("tables/s", *tables),
    ] {
        bench.push(key, figure, "rhumb", value);
    }
}

/// Notes the window over the mean of the peace before and after it.
fn compare(bench: &mut Bench, key: &str, window: &Window, peace: [&Window; 2]) {
    let over = |figure: fn(&Window) -> f64| {
        let mean = peace.map(figure).iter().sum::<f64>() / peace.len() as f64;
        figure(window) / mean
    };
    bench.push(key, "worker's CPU / peace", "rhumb", over(Window::cost));
    bench.push(key, "p99 / peace", "rhumb", over(Window::p99));
}
