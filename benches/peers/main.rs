//! Rhumb beside gdnsd, Knot, NSD and PowerDNS (Debian's packages, where they are installed) and beside a reflector,
//! which is what the sockets alone cost: `cargo bench --bench peers`. It prints all figures, and then what was promised
//! with whether it holds. `-- --rounds 5 --seconds 3` says how much is measured, `--suite udp,large,tcp,load,change`
//! what, `--servers rhumb,gdnsd,reflector` whom.
//!
//! Every round measures every server, so that a mood of the machine meets all of them; what counts are the ratios
//! within a round, of which the median and the range are printed. Servers run on the first processor, the load on
//! the second. The price of a query is what all the server's threads spent, by /proc/PID/task/*/schedstat, over
//! what it answered; the part in user mode is sampled by `perf` where it is installed, else by the kernel's clock, and
//! then only worth something over long runs.
#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and sched_setaffinity have no safe form")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]

mod change;
mod datagrams;
mod load;
mod promises;
mod reflect;
mod server;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use std::{env, fs};

use load::{Heard, Offer};
use server::{PEERS, Peer, Samples, Setup, Work};

/// Queries under way in a closed loop.
const OUTSTANDING: usize = 160;
/// Queries a second in an open loop.
const RATE_PLAIN: f64 = 50_000.0;
const RATE_STEERED: f64 = 20_000.0;
/// Names of the zones, and of the one that is large.
const NAMES: usize = 10_000;
const NAMES_LARGE: usize = 1_000_000;
/// A closed loop by UDP.
const SATURATED: (&str, Option<Offer>) = ("saturated", Some(Offer::Outstanding(OUTSTANDING)));
/// The processor of the load.
const PROCESSOR_OF_LOAD: usize = 1;
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
    let number = |key, otherwise| value(key).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (rounds, time) = (number("--rounds", 5), Duration::from_secs(number("--seconds", 3)));
    let suites = value("--suite").unwrap_or_else(|| "udp,large,tcp,load,change".to_owned());
    let servers = value("--servers").unwrap_or_default();
    let wanted = |peer: &&Peer| servers.is_empty() || servers.split(',').any(|name| name == peer.name);
    datagrams::pin(PROCESSOR_OF_LOAD);
    let mut bench = Bench::new(time);
    for round in 0..rounds {
        for suite in suites.split(',') {
            let works: &[Work] = match suite {
                "udp" => &[Work::Plain, Work::Missing, Work::Steered],
                "large" => &[Work::Large],
                "tcp" => &[Work::Tcp],
                "load" => &[Work::Load],
                "change" => {
                    change::measure(&mut bench, time);
                    continue;
                }
                _ => panic!("the suites are udp, large, tcp, load and change"),
            };
            for work in works {
                for peer in PEERS.iter().filter(|peer| peer.does(*work)).filter(wanted) {
                    bench.measure(peer, *work);
                }
            }
        }
        eprintln!("round {} of {rounds} is done", round + 1);
    }
    print(&bench.figures);
    promises::print(&bench.figures);
}

struct Bench {
    folder: tempfile::TempDir,
    networks: Vec<(rhumb::net::Prefix, usize)>,
    time: Duration,
    port: u16,
    figures: Figures,
}

impl Bench {
    fn new(time: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let networks = world::networks(world::NETWORKS);
        for names in [NAMES, NAMES_LARGE] {
            let zone = folder.path().join(format!("zone-{names}"));
            fs::write(zone, world::zone_text(names)).expect("files can be written");
        }
        let database = world::mmdb::write(&networks, &world::countries());
        fs::write(folder.path().join("country.mmdb"), database).expect("files can be written");
        Self { folder, networks, time, port: PORT, figures: Figures::new() }
    }

    fn next_port(&mut self) -> u16 {
        self.port = PORT + (self.port - PORT + 1) % 900;
        self.port
    }

    fn measure(&mut self, peer: &Peer, work: Work) {
        let port = self.next_port();
        let folder = self.folder.path().join(format!("{}-{port}", peer.name));
        fs::create_dir_all(&folder).expect("folders can be made");
        let names = if matches!(work, Work::Large | Work::Load) { NAMES_LARGE } else { NAMES };
        let setup = Setup {
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            zone: self.folder.path().join(format!("zone-{names}")),
            database: self.folder.path().join("country.mmdb"),
            steered: work == Work::Steered,
        };
        let queries = match work {
            Work::Plain | Work::Large | Work::Tcp | Work::Load => world::plain_queries(names),
            Work::Missing => world::missing_queries(names),
            Work::Steered => world::steered_queries(&self.networks),
        };
        let Some(running) = peer.start(&setup, &world::plain_queries(names)[0]) else {
            eprintln!("{} does not answer; see {}", peer.name, setup.folder.join("stderr").display());
            return;
        };
        let start = [("ready, s", running.ready.as_secs_f64()), ("CPU, s", running.cost().nanoseconds / 1e9)];
        let offers = match work {
            Work::Load => Vec::new(),
            Work::Tcp => vec![("persistent", None)],
            Work::Steered => vec![SATURATED, ("at a rate", Some(Offer::Rate(RATE_STEERED)))],
            Work::Large => vec![SATURATED],
            Work::Plain | Work::Missing => vec![SATURATED, ("at a rate", Some(Offer::Rate(RATE_PLAIN)))],
        };
        for (manner, offer) in offers {
            // Not at a rate: there the price of the whole is asked for, which the sampling would add to.
            let sampled = manner == SATURATED.0;
            let samples = sampled.then(|| Samples::begin(&running, &setup.folder)).flatten();
            let before = running.cost();
            let heard = match offer {
                Some(offer) => load::run(setup.address, &queries, offer, self.time),
                None => load::run_tcp(setup.address, &queries, self.time),
            };
            let (all, by_ticks) = running.cost().since(before);
            let user = samples.and_then(Samples::end).map_or(by_ticks, |part| all * part);
            self.note(peer, work, manner, heard, all, user);
        }
        let key = format!("{work:?}");
        for (figure, value) in start {
            self.push(&key, figure, peer.name, value);
        }
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
