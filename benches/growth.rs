//! How cost grows: with names, services, networks of the database, regions, and cores. `cargo bench --bench growth`, with
//! `-- --city FILE` for a real city database (see city.sh beside this). Each row is measured in a process of its own, so
//! that its memory is its own.
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]

mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::maps::{self, Databases};
use rhumb::answer::respond::{Envelope, Transport, UDP_OCTETS_MAX, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::geo::database::Database;
use rhumb::geo::layout::Layout;
use rhumb::health::verdict::Standing;
use rhumb::ids::{EndpointId, MapId, ServiceId};
use rhumb::net::Prefix;
use rhumb::place::Location;
use rhumb::policy::map::{Map, Order, Region};
use rhumb::time::WallTime;
use rhumb::wire::ask;
use rhumb::wire::code::RecordType;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |key: &str| {
        let at = arguments.iter().position(|argument| argument == key)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(row) = value("--row") {
        let (what, how_much) = row.split_once(' ').expect("a row has two words");
        return measure(what, how_much);
    }
    let mut rows: Vec<String> = Vec::new();
    let mut add = |what: &str, amounts: &[usize]| {
        rows.extend(amounts.iter().map(|amount| format!("{what} {amount}")));
    };
    add("names", &[10_000, 100_000, 1_000_000]);
    add("services", &[1, 10, 100, 1_000, 10_000]);
    add("networks", &[50_000, 500_000, 5_000_000]);
    add("regions", &[3, 8, 16, 32, 64]);
    add("cores", &[1, 2]);
    rows.extend(value("--city").map(|file| format!("city {file}")));
    let wanted = value("--only").unwrap_or_default();
    for row in rows.iter().filter(|row| row.starts_with(&wanted)) {
        let itself = env::current_exe().expect("the benchmark has a file");
        let status = Command::new(itself).args(["--row", row]).status().expect("it can be started");
        assert!(status.success(), "{row}");
    }
}

fn measure(what: &str, how_much: &str) {
    let amount = || how_much.parse().expect("a number");
    let figures = match what {
        "names" => names(amount()),
        "services" => services(amount()),
        "networks" => networks(amount()),
        "regions" => regions(amount()),
        "cores" => cores(amount()),
        _ => city(how_much),
    };
    println!("{what} {how_much}: {figures}; {} MB at most", memory_peak() / 1_000_000);
}

fn names(count: usize) -> String {
    let zone = world::zone(count);
    let (table, took) = timed(|| world::table(&world::plan(vec![zone], &[], 1)));
    let [plain, missing] = [world::plain_queries(count), world::missing_queries(count)]
        .map(|queries| nanoseconds_each(&table, &queries));
    format!("plain {plain:.0} ns, NXDOMAIN {missing:.0} ns, compiled in {took:.0?}")
}

fn services(count: usize) -> String {
    let networks = world::networks(world::NETWORKS);
    let plan = world::plan(vec![world::zone(1)], &networks, count);
    let mut numbers = CounterNumbers::default();
    let (table, all) = timed(|| plan.table(1, &|_: EndpointId| Standing::UP, &mut numbers));
    let one = || plan.next_table(&table, &[ServiceId(0)], &|_: EndpointId| Standing::UP, &mut numbers);
    let (_, one) = best_of(20, one);
    let clients = world::clients(&networks).into_iter().enumerate();
    let queries: Vec<Vec<u8>> = clients
        .map(|(at, client)| {
            let name = match at % count {
                0 => format!("geo.{}", world::ZONE),
                at => format!("geo{at}.{}", world::ZONE),
            };
            ask::question(0, &name.parse().expect("a name"), RecordType::A, Some(client))
        })
        .collect();
    let steered = nanoseconds_each(&table, &queries);
    format!("steered {steered:.0} ns, one compiled in {one:.0?}, all in {all:.0?}")
}

fn networks(count: usize) -> String {
    let networks = if count <= world::NETWORKS { world::networks(count) } else { dense(count) };
    let octets = world::mmdb::write(&networks, &world::countries());
    let (database, read) =
        timed(|| Database::from_octets(octets, &Layout::places()).expect("a good database"));
    drop(database);
    let plan = world::plan(vec![world::zone(1)], &networks, 1);
    let steered = nanoseconds_each(&world::table(&plan), &world::steered_queries(&networks));
    format!("steered {steered:.0} ns, read in {read:.0?}, tree {} kB", plan.tree(MapId(0)).octets() / 1000)
}

/// Neighbours of equal size that fill the space of addresses, each of another country than those beside it.
fn dense(count: usize) -> Vec<(Prefix, usize)> {
    let size = (0xd000_0000_u32 / count as u32 + 1).next_power_of_two() / 2;
    let first = |at: u32| Ipv4Addr::from_bits(0x0100_0000_u32.next_multiple_of(size) + at * size);
    let length = size.leading_zeros() as u8 + 1;
    let network = |at| Prefix::holding(IpAddr::V4(first(at)), length).expect("a length of IPv4");
    (0..count as u32).map(|at| (network(at), at as usize % world::countries().len())).collect()
}

/// A map that orders so many regions by distance.
fn map_of(count: usize) -> (Map, Vec<Region>) {
    let region = |at: usize| {
        let (latitude, longitude) = ((at * 37 % 120) as f64 - 60.0, (at * 71 % 360) as f64 - 180.0);
        let location = Location::new(latitude, longitude).expect("on the globe");
        Region { name: format!("r{at}"), continent: None, location: Some(location), bias: 1.0 }
    };
    let map = Map { name: "world".to_owned(), order: Order::Nearest, rules: Vec::new() };
    (map, (0..count).map(region).collect())
}

fn regions(count: usize) -> String {
    let octets = fs::read("geoip/country.mmdb").expect("benches run at the repository's root");
    let countries = Database::from_octets(octets, &Layout::places()).expect("the shipped database is sound");
    let (map, regions) = map_of(count);
    let plan = world::nearest_plan(vec![world::zone(1)], map, regions, countries);
    let classes = plan.maps[0].classes.len();
    let mut numbers = CounterNumbers::default();
    let table = plan.table(1, &|_: EndpointId| Standing::UP, &mut numbers);
    let next = || plan.next_table(&table, &[ServiceId(0)], &|_: EndpointId| Standing::UP, &mut numbers);
    let (_, one) = best_of(20, next);
    let queries = world::steered_queries(&world::networks(world::NETWORKS));
    format!(
        "steered {:.0} ns, {classes} classes, one compiled in {one:.0?}",
        nanoseconds_each(&table, &queries)
    )
}

fn cores(count: usize) -> String {
    let networks = world::networks(world::NETWORKS);
    let table = world::table(&world::plan(vec![world::zone(10_000)], &networks, 1));
    let sets = [world::plain_queries(10_000), world::steered_queries(&networks)];
    let [plain, steered] = sets.map(|queries| {
        let start = Barrier::new(count);
        let each = thread::scope(|scope| {
            let one = || {
                start.wait();
                nanoseconds_each(&table, &queries)
            };
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).fold(0.0, f64::max)
        });
        1000.0 * count as f64 / each
    });
    format!("{plain:.1} plain and {steered:.1} steered answers a microsecond, all cores together")
}

fn city(file: &str) -> String {
    let (database, read) = timed(|| {
        let octets = fs::read(file).expect("the file is there");
        Database::from_octets(octets, &Layout::places()).expect("a good database")
    });
    let networks = database.metadata().networks;
    let spans = (database.v4().len(), database.v6().len());
    let after_reading = memory_peak() / 1_000_000;
    let (map, regions) = map_of(64);
    let databases = Databases { cities: Some(database), ..Databases::default() };
    let (compiled, built) = timed(|| maps::compile(&map, &regions, &databases));
    format!(
        "{networks} networks, {spans:?} spans, read in {read:.2?} ({after_reading} MB at most), {} classes and a tree of \
         {} kB in {built:.2?}",
        compiled.classes.len(),
        compiled.tree.octets() / 1000,
    )
}

/// The cheapest of ten passes over all queries, in nanoseconds of this thread's answers.
fn nanoseconds_each(table: &AnswerTable, queries: &[Vec<u8>]) -> f64 {
    let counters = Counters::new(table.answer_counters());
    let mut reply = vec![0; UDP_OCTETS_MAX];
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let envelope = Envelope { source, transport: Transport::Udp, at: WallTime::default(), is_last: false };
    let pass = || {
        for query in queries {
            black_box(respond(table, query, envelope, &mut reply, &counters));
        }
    };
    let (_, took) = best_of(10, pass);
    took.as_nanos() as f64 / queries.len() as f64
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let done = run();
    (done, begin.elapsed())
}

fn best_of<T>(times: usize, mut run: impl FnMut() -> T) -> (T, Duration) {
    let mut best = timed(&mut run);
    for _ in 1..times {
        let (done, took) = timed(&mut run);
        best = (done, took.min(best.1));
    }
    best
}

/// The most memory that this process has had, in octets.
fn memory_peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1024
}
