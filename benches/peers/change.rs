//! Rhumb alone, while what it answers with changes: ten verdicts a second, one reload after the other, one database
//! after the other. What that costs the worker, in its own time per query, and the clients, in delay and loss.
//!
//! Once with everything but the worker on the other processor, where the load goes before it, as on any machine with
//! a processor to spare; and once with worker, probes, verdicts and reloads on one processor, as on the smallest.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::load::{self, Offer};
use super::server;
use super::world::restless::{Restless, Unrest};
use super::{Bench, PROCESSOR_OF_LOAD, RATE_PLAIN, world};

/// Services, each in three regions.
const SERVICES: usize = 10_000;
/// How long the server has to come to rest between two disturbances.
const REST: Duration = Duration::from_secs(3);

/// Where all threads but the worker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// On another processor than the worker.
    Apart,
    /// On the worker's.
    Beside,
}

/// One round: in peace, then under each unrest.
pub(crate) fn measure(bench: &mut Bench, seconds: Duration) {
    for others in [Others::Apart, Others::Beside] {
        measure_with(others, bench, seconds);
    }
}

fn measure_with(others: Others, bench: &mut Bench, seconds: Duration) {
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
    let file = restless.write("5s", databases);
    let queries = restless.queries(world::QUERIES);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve", "-c"]).arg(file).stdin(Stdio::null());
    let Some(running) = server::start(&command, &restless.folder, restless.address, &queries[0]) else {
        eprintln!("rhumb does not answer; see {}", restless.folder.join("stderr").display());
        return;
    };
    for unrest in [Unrest::None, Unrest::Verdicts, Unrest::Reloads, Unrest::Databases] {
        thread::sleep(REST);
        // Each time, since threads come and go; those that they start from now on follow them.
        if others == Others::Apart {
            running.move_others(PROCESSOR_OF_LOAD);
        }
        let generation = || restless.metric("rhumb_generation").unwrap_or(0.0);
        let (stop, first) = (AtomicBool::new(false), generation());
        let before = running.worker();
        let heard = thread::scope(|scope| {
            scope.spawn(|| restless.disturb(unrest, running.number(), &stop));
            let heard = load::run(restless.address, &queries, Offer::Polite(RATE_PLAIN), seconds);
            stop.store(true, Ordering::Relaxed);
            heard
        });
        let after = running.worker();
        let turns = (after.turns - before.turns).max(1.0);
        let answered = heard.answered as f64;
        let key = format!("Change {others:?} {unrest:?}");
        for (figure, value) in [
            ("worker's CPU, ns", (after.spent - before.spent) / answered.max(1.0)),
            ("queries a turn", answered / turns),
            ("wait for a turn, us", (after.waited - before.waited) / turns / 1e3),
            ("p50, us", heard.p50.as_secs_f64() * 1e6),
            ("p99, us", heard.p99.as_secs_f64() * 1e6),
            ("lost queries", heard.sent.saturating_sub(heard.answered) as f64),
            ("queries/s", answered / heard.seconds),
            ("tables/s", (generation() - first) / heard.seconds),
        ] {
            bench.push(&key, figure, "rhumb", value);
        }
    }
}
