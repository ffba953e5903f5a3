//! Octets from outside other than queries, mutated: nothing that a file or an agent may hold panics or goes on for ever.
//! Queries are fuzzed through the whole of `respond` in `tests/answers/fuzz.rs`.
//!
//! ```text
//! RHUMB_FUZZ_SECONDS=3600 cargo test --release --test fuzz -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should say where")]

mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rhumb::agent::chance::Chance;
use rhumb::exchange::report::{self, Head};
use rhumb::health::outcome::Report;
use rhumb::ids::VantageId;

/// How many inputs of each kind the suite tries; a command of its own goes on for as long as it is told.
const INPUTS: usize = 500;
/// Longer seeds are cut: a mutation in a small file says as much, sooner.
const SEED_OCTETS_MAX: usize = 16_384;
/// No input of that size may take longer, by far.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

fn below(chance: &mut Chance, end: usize) -> usize {
    (chance.bits() % end.max(1) as u64) as usize
}

fn mutate(input: &mut Vec<u8>, chance: &mut Chance) {
    let at = below(chance, input.len());
    match below(chance, 6) {
        _ if input.is_empty() => input.push(chance.bits() as u8),
        0 => input[at] = chance.bits() as u8,
        1 => input[at] ^= 1 << below(chance, 8),
        2 => input.truncate(at),
        3 => {
            let end = (at + below(chance, 64)).min(input.len());
            let part = input[at..end].to_vec();
            let to = below(chance, input.len());
            input.splice(to..to, part);
        }
        4 => drop(input.drain(at..(at + 1 + below(chance, 16)).min(input.len()))),
        _ => {
            const TELLING: &[u8] = b"\"\\()[]{};$@*\n\t #=.,0\xff\x00\x7f";
            input.insert(at, TELLING[below(chance, TELLING.len())]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures how long the code under test takes")]
fn fuzz(what: &str, seeds: &[Vec<u8>], target: fn(&[u8])) {
    assert!(!seeds.is_empty(), "there are seeds of {what}");
    let seconds =
        std::env::var("RHUMB_FUZZ_SECONDS").ok().map(|text| Duration::from_secs(text.parse().unwrap()));
    let start = Instant::now();
    let mut chance = Chance::seeded(20_261_121);
    let (mut tried, mut longest) = (0, Duration::ZERO);
    while seconds.map_or(tried < INPUTS, |seconds| start.elapsed() < seconds) {
        let mut input = seeds[tried % seeds.len()].clone();
        for _ in 0..below(&mut chance, 8) {
            mutate(&mut input, &mut chance);
        }
        let began = Instant::now();
        target(&input);
        longest = longest.max(began.elapsed());
        assert!(longest < INPUT_TIME_MAX, "{what} number {tried} took {longest:?}");
        tried += 1;
    }
    println!("{what}: {tried} inputs in {:?}, the longest {longest:?}", start.elapsed());
}

/// The files of folders whose names end so.
fn files(folders: &[&str], ending: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.to_str().unwrap().ends_with(ending));
    let read = |path| {
        let mut octets = fs::read(path).unwrap();
        octets.truncate(SEED_OCTETS_MAX);
        octets
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn no_zone_file_panics_or_takes_for_ever() {
    let mut seeds = files(&["zones"], ".zone");
    seeds.push(
        b"$TTL 60\n$INCLUDE self\n$GENERATE 1-20/2 h${0,3,x} A 192.0.2.$\n@ SOA a b 1 2 3 4 5\n".to_vec(),
    );
    seeds.push(
        b"@ 1 SOA a b 1 2 3 4 5\n@ 1 NS a\nx 1 SVCB 1 . alpn=h2 mandatory=alpn\ny 1 TYPE65280 \\# 2 abcd\n"
            .to_vec(),
    );
    fuzz("zone files", &seeds, targets::zone_file);
}

#[test]
fn no_configuration_panics_or_takes_for_ever() {
    let mut seeds = files(&["tests/cases/config"], ".toml");
    seeds.extend(files(&["."], "rhumb.toml"));
    fuzz("configurations", &seeds, targets::configuration);
}

#[test]
fn no_database_panics_or_takes_for_ever() {
    fuzz("databases", &files(&["tests/fixtures/geo"], ".mmdb"), targets::mmdb);
}

#[test]
fn no_report_panics_or_takes_for_ever() {
    let head = Head {
        agent: "agent".to_owned(),
        clock: Duration::from_secs(1),
        control: Some(true),
        lagging: false,
    };
    let report = Report {
        vantage: VantageId(0),
        agent: 0,
        boot: 5,
        number: 9,
        control: Some(true),
        lagging: false,
        targets: Vec::new(),
    };
    let empty = report::write(&report, &head, &[], Duration::ZERO);
    let mut longer = empty.clone();
    *longer.last_mut().unwrap() = 2;
    longer.extend((0..120).map(|octet| octet % 7));
    fuzz("reports", &[empty, longer], targets::agent_report);
}
