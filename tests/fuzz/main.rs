//! Octets from outside, mutated: nothing that a file, an agent or a request may hold panics or goes on for ever. Queries
//! are judged more closely in `tests/answers/fuzz.rs`.
//!
//! ```text
//! RHUMB_FUZZ_SECONDS=3600 cargo test --release --test fuzz -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should say where")]

mod answers;
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rhumb::agent::chance::Chance;
use rhumb::exchange::order::TargetName;
use rhumb::exchange::report::{self, Head};
use rhumb::health::outcome::{Failure, Outcome, Report, TargetReport};
use rhumb::health::verdict::Share;
use rhumb::ids::{TargetId, VantageId};

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
    fuzz("reports", &reports(), targets::agent_report);
}

#[test]
fn no_query_panics_or_takes_for_ever() {
    fuzz("queries", &hex("queries.hex"), answers::query);
}

#[test]
fn no_request_by_https_panics_or_takes_for_ever() {
    let mut seeds = Vec::new();
    for message in hex("queries.hex") {
        seeds.push(format!("GET\n/dns-query?dns={}\n\n", base64url(&message)).into_bytes());
        seeds.push([b"POST\n/dns-query\napplication/dns-message\n", &message[..]].concat());
    }
    seeds.push(b"HEAD\nhttps://ns1.example.com/dns-query?x=1&dns=AQI&y\n\n".to_vec());
    seeds.push(b"PUT\n/\ntext/plain; charset=x\nnothing".to_vec());
    fuzz("requests by HTTPS", &seeds, answers::doh_request);
}

/// A report of nothing, and one of a target with outcomes of every kind.
fn reports() -> Vec<Vec<u8>> {
    let head = Head {
        agent: "agent".to_owned(),
        clock: Duration::from_secs(1),
        control: Some(true),
        lagging: false,
    };
    let text = || "why".to_owned();
    let failures = [
        Failure::TimedOut,
        Failure::Refused,
        Failure::Reset,
        Failure::Body,
        Failure::Status(503),
        Failure::Unreachable(text()),
        Failure::Tls(text()),
        Failure::Dns(text()),
        Failure::File(text()),
        Failure::Other(text()),
    ];
    let outcomes = std::iter::once(Ok(())).chain(failures.into_iter().map(Err)).map(|result| Outcome {
        age: Duration::from_millis(5),
        latency: Duration::from_millis(3),
        usable: if result.is_ok() { Share::WHOLE } else { Share::NONE },
        result,
    });
    let target = TargetReport { target: TargetId::from_index(0), newest: 20, outcomes: outcomes.collect() };
    let report = |targets| Report {
        vantage: VantageId(0),
        agent: 0,
        boot: 5,
        number: 9,
        control: Some(true),
        lagging: false,
        targets,
    };
    let names = [TargetName(7)];
    [Vec::new(), vec![target]]
        .map(|targets| report::write(&report(targets), &head, &names, Duration::ZERO))
        .to_vec()
}

/// The octets of a corpus that is written in hexadecimal digits, a line each.
fn hex(file: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora").join(file);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines.map(|line| line.as_bytes().chunks(2).map(octet).collect()).collect()
}

fn base64url(octets: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> =
        octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
    let letter = |six: &[u8]| {
        let value = (0..6).fold(0, |value, at| value << 1 | six.get(at).copied().unwrap_or(0));
        char::from(LETTERS[usize::from(value)])
    };
    bits.chunks(6).map(letter).collect()
}
