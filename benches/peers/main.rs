//! Rhumb beside gdnsd, Knot and NSD (Debian's packages, where they are installed) and beside a reflector, which is
//! what the sockets alone cost: `cargo bench --bench peers`, with `-- --rounds 5 --seconds 3` to say how much.
//!
//! Every round measures every server, so that a mood of the machine meets all of them; what counts are the ratios
//! within a round, of which the median and the range are printed. Servers run on the first processor, the load on
//! the second. The price of a query is what all the server's threads spent, by /proc/PID/task/*/schedstat, over
//! what it answered; the part in user mode is sampled by the kernel's clock, and only worth something over long
//! runs.
#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and sched_setaffinity have no safe form")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]

mod datagrams;
mod load;
mod reflect;
mod server;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use std::{env, fs};

use load::{Heard, Offer};
use server::{PEERS, Peer, Setup, Work};

/// Queries under way in a closed loop.
const OUTSTANDING: usize = 160;
/// Queries a second in an open loop.
const RATE_PLAIN: f64 = 50_000.0;
const RATE_STEERED: f64 = 20_000.0;
/// The first port; each start takes the next, since sockets linger.
const PORT: u16 = 15_300;

/// Figures by work, manner, figure and server, one per round.
type Figures = BTreeMap<(String, &'static str), BTreeMap<&'static str, Vec<f64>>>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |key: &str| {
        let at = arguments.iter().position(|argument| argument == key)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(address) = value("--reflect") {
        reflect::run(&address);
    }
    let rounds = value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(5);
    let seconds = value("--seconds").and_then(|text| text.parse().ok()).unwrap_or(3);
    let names = value("--names").and_then(|text| text.parse().ok()).unwrap_or(10_000);
    datagrams::pin(1);
    let mut bench = Bench::new(names, Duration::from_secs(seconds));
    for round in 0..rounds {
        for work in [Work::Plain, Work::Missing, Work::Steered] {
            for peer in PEERS.iter().filter(|peer| peer.steers || work != Work::Steered) {
                bench.measure(peer, work);
            }
        }
        eprintln!("round {} of {rounds} is done", round + 1);
    }
    print(&bench.figures);
}

struct Bench {
    folder: tempfile::TempDir,
    networks: Vec<(rhumb::net::Prefix, usize)>,
    names: usize,
    time: Duration,
    port: u16,
    figures: Figures,
}

impl Bench {
    fn new(names: usize, time: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let networks = world::networks(world::NETWORKS);
        fs::write(folder.path().join("zone"), world::zone_text(names)).expect("files can be written");
        let database = world::mmdb::write(&networks, &world::countries());
        fs::write(folder.path().join("country.mmdb"), database).expect("files can be written");
        Self { folder, networks, names, time, port: PORT, figures: Figures::new() }
    }

    fn measure(&mut self, peer: &Peer, work: Work) {
        self.port = PORT + (self.port - PORT + 1) % 900;
        let folder = self.folder.path().join(format!("{}-{}", peer.name, self.port));
        fs::create_dir_all(&folder).expect("folders can be made");
        let setup = Setup {
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            zone: self.folder.path().join("zone"),
            database: self.folder.path().join("country.mmdb"),
            steered: work == Work::Steered,
        };
        let queries = match work {
            Work::Plain => world::plain_queries(self.names),
            Work::Missing => world::missing_queries(self.names),
            Work::Steered => world::steered_queries(&self.networks),
        };
        let Some(running) = peer.start(&setup, &world::plain_queries(self.names)[0]) else {
            eprintln!("{} does not answer; see {}", peer.name, setup.folder.join("stderr").display());
            return;
        };
        let rate = if work == Work::Steered { RATE_STEERED } else { RATE_PLAIN };
        for (manner, offer) in
            [("saturated", Offer::Outstanding(OUTSTANDING)), ("at a rate", Offer::Rate(rate))]
        {
            let before = running.cost();
            let heard = load::run(setup.address, &queries, offer, self.time);
            let (all, user) = running.cost().since(before);
            self.note(peer, work, manner, heard, all, user);
        }
        let key = format!("{work:?}");
        self.push(&key, "ready, s", peer.name, running.ready.as_secs_f64());
        self.push(&key, "memory, MiB", peer.name, running.memory());
    }

    fn note(&mut self, peer: &Peer, work: Work, manner: &str, heard: Heard, all: f64, user: f64) {
        let key = format!("{work:?} {manner}");
        let answered = heard.answered.max(1) as f64;
        for (figure, value) in [
            ("queries/s", answered / heard.seconds),
            ("CPU, ns", all / answered),
            ("of it user, ns", user / answered),
            ("p50, us", heard.p50.as_secs_f64() * 1e6),
            ("p99, us", heard.p99.as_secs_f64() * 1e6),
            ("lost of 100", 100.0 * (heard.sent as f64 - answered).max(0.0) / heard.sent.max(1) as f64),
        ] {
            self.push(&key, figure, peer.name, value);
        }
    }

    fn push(&mut self, key: &str, figure: &'static str, peer: &'static str, value: f64) {
        let by_peer = self.figures.entry((key.to_owned(), figure)).or_default();
        by_peer.entry(peer).or_default().push(value);
    }
}

fn print(figures: &Figures) {
    println!(
        "| work | figure | server | median [range] | to the reflector | to gdnsd |\n|---|---|---|---|---|---|"
    );
    for ((work, figure), by_peer) in figures {
        for (peer, values) in by_peer {
            let to = |other: &str| {
                by_peer.get(other).map_or_else(String::new, |base| spread(&ratios(values, base)))
            };
            println!(
                "| {work} | {figure} | {peer} | {} | {} | {} |",
                spread(values),
                to("reflector"),
                to("gdnsd")
            );
        }
    }
}

/// Round by round; nothing of rounds in which the base is zero.
fn ratios(values: &[f64], base: &[f64]) -> Vec<f64> {
    let pairs = values.iter().zip(base).filter(|(_, base)| **base > 0.0);
    pairs.map(|(value, base)| value / base).collect()
}

/// Median and range.
fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let show = |value: f64| if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    match sorted.as_slice() {
        [] => String::new(),
        [first, .., last] => {
            format!("{} [{}..{}]", show(sorted[sorted.len() / 2]), show(*first), show(*last))
        }
        [only] => show(*only),
    }
}
