//! Rhumb alone, while what it answers with changes: ten verdicts a second, one reload after the other, one database
//! after the other. What that costs the worker, in its own time per query, and the clients, in delay and loss.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::load::{self, Offer};
use super::server;
use super::world::restless::{Restless, Unrest};
use super::{Bench, RATE_PLAIN, world};

/// Services, each in three regions.
const SERVICES: usize = 10_000;
/// How long the server has to come to rest between two disturbances.
const REST: Duration = Duration::from_secs(3);

/// One round: in peace, then under each unrest.
pub(crate) fn measure(bench: &mut Bench, seconds: Duration) {
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
        let generation = || restless.metric("rhumb_generation").unwrap_or(0.0);
        let (stop, first) = (AtomicBool::new(false), generation());
        let before = running.cost_of_threads("udp ");
        let heard = thread::scope(|scope| {
            scope.spawn(|| restless.disturb(unrest, running.number(), &stop));
            let heard = load::run(restless.address, &queries, Offer::Rate(RATE_PLAIN), seconds);
            stop.store(true, Ordering::Relaxed);
            heard
        });
        let spent = running.cost_of_threads("udp ") - before;
        let key = format!("Change {unrest:?}");
        for (figure, value) in [
            ("worker's CPU, ns", spent / heard.answered.max(1) as f64),
            ("p50, us", heard.p50.as_secs_f64() * 1e6),
            ("p99, us", heard.p99.as_secs_f64() * 1e6),
            ("lost queries", heard.sent.saturating_sub(heard.answered) as f64),
            ("queries/s", heard.answered as f64 / heard.seconds),
            ("tables/s", (generation() - first) / heard.seconds),
        ] {
            bench.push(&key, figure, "rhumb", value);
        }
    }
}
