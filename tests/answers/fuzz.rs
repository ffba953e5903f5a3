//! Real queries, mutated without end: whatever comes of one through the whole of `respond`, the reply is good or there is
//! none. The corpus is what dig, kdig, delv and unbound sent; `tests/corpora/queries.hex` has the command above each.
//!
//! ```text
//! RHUMB_FUZZ_PACKETS=1000000 cargo test --release --test answers fuzz -- --nocapture
//! ```
#![allow(clippy::print_stdout, reason = "its figures are for people")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rhumb::agent::chance::Chance;
use rhumb::answer::respond::Transport;

use crate::ask::Asked;
use crate::oracle;
use crate::world::World;

/// How many packets the suite tries; [`packets`] of them by a command of its own.
const PACKETS: usize = 20_000;

const CORPUS: &str = include_str!("../corpora/queries.hex");

const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
@ 3600 MX 10 mail
ns1 3600 A 192.0.2.53
mail 300 A 192.0.2.25
www 60 TXT \"beside the service\"
alias 60 CNAME www
cut 60 NS ns.cut
ns.cut 60 A 192.0.2.54
*.w 60 TXT \"wild\"
d 60 DNAME w
many 60 TXT \"01234567890123456789012345678901234567890123456789012345678901234567890123456789\"
";

const CONFIGURATION: &str = "server.nsid = \"ns1-test\"
server.error-reports = \"reports.example.net\"
server.chaos = { id = \"ns1\", version = \"test\" }
[maps.m]
order = [\"eu\", \"us\"]
[services.www]
names = [\"www.example.com\", \"*.app.example.com\"]
map = \"m\"
https = [\"1 . alpn=h2\"]
regions.eu = [\"192.0.2.1\", \"2001:db8::1\"]
regions.us = [\"192.0.2.2\", \"2001:db8::2\"]
";

fn below(chance: &mut Chance, end: usize) -> usize {
    (chance.bits() % end.max(1) as u64) as usize
}

/// The genuine queries.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines.map(|line| line.as_bytes().chunks(2).map(octet).collect()).collect()
}

/// One mutation, as damage and malice make them.
fn mutate(packet: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    const TELLING: [u8; 12] = [0, 1, 2, 0x0a, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfa, 0xff];
    let at = below(chance, packet.len());
    match below(chance, 10) {
        _ if packet.is_empty() => packet.push(chance.bits() as u8),
        0 => packet[at] = chance.bits() as u8,
        1 => packet[at] ^= 1 << below(chance, 8),
        2 => packet[at] = TELLING[below(chance, TELLING.len())],
        3 => packet.truncate(at),
        4 => packet.insert(at, TELLING[below(chance, TELLING.len())]),
        5 => drop(packet.remove(at)),
        6 => {
            let end = (at + below(chance, 24)).min(packet.len());
            let part = packet[at..end].to_vec();
            let to = below(chance, packet.len());
            packet.splice(to..to, part);
        }
        7 => {
            packet.truncate(at);
            packet.extend_from_slice(&other[below(chance, other.len())..]);
        }
        8 => {
            // A count of the header, which small numbers make interesting.
            let field = 4 + 2 * below(chance, 4);
            if let Some(count) = packet.get_mut(field..field + 2) {
                count.copy_from_slice(&[0, below(chance, 4) as u8]);
            }
        }
        _ => packet.extend((0..below(chance, 40)).map(|_| chance.bits() as u8)),
    }
}

fn packets() -> usize {
    std::env::var("RHUMB_FUZZ_PACKETS").map_or(PACKETS, |text| text.parse().unwrap())
}

/// What is said of a reply, or why it is bad.
fn ask(world: &World, asked: &Asked) -> Result<&'static str, String> {
    let silent = asked.packet.len() < 12 || asked.packet[2] & 0x80 != 0;
    let reply = catch_unwind(AssertUnwindSafe(|| world.ask(asked))).map_err(|_| "a panic".to_owned())?;
    match reply {
        None if silent => Ok("no reply"),
        None => Err("a query without a reply".to_owned()),
        Some(_) if silent => Err("a reply to what deserves none".to_owned()),
        Some(reply) => {
            let judged = catch_unwind(AssertUnwindSafe(|| oracle::judge(asked, &reply)));
            let shown = judged.map_err(|_| format!("a bad reply: {reply:02x?}"))?;
            let known =
                ["NOERROR", "FORMERR", "NXDOMAIN", "NOTIMP", "REFUSED", "NOTAUTH", "BADVERS", "BADCOOKIE"];
            let known = known.into_iter().find(|status| *status == shown.status);
            known.ok_or_else(|| format!("{} to a query", shown.status))
        }
    }
}

#[test]
fn mutated_queries_are_answered_well_or_not_at_all() {
    let world = World::new(&[("example.com", ZONE)], CONFIGURATION).unwrap();
    let corpus = corpus();
    let sources: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8:9::7".parse().unwrap()];
    let mut chance = Chance::seeded(20_261_121);
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for number in 0..packets() {
        let mut packet = corpus[number % corpus.len()].clone();
        let other = &corpus[below(&mut chance, corpus.len())];
        for _ in 0..below(&mut chance, 6) {
            mutate(&mut packet, other, &mut chance);
        }
        let transport = Transport::ALL[below(&mut chance, Transport::ALL.len())];
        let asked = Asked { packet, source: sources[below(&mut chance, 2)], transport };
        match ask(&world, &asked) {
            Ok(status) => *told.entry(status).or_default() += 1,
            Err(fault) => panic!("packet {number}: {fault}\n{asked:02x?}"),
        }
    }
    println!("{} packets: {told:?}", packets());
    assert!(told["NOERROR"] > packets() / 10 && told["FORMERR"] > packets() / 10, "{told:?}");
    assert!(told.contains_key("NOTAUTH") && told.contains_key("BADVERS"), "{told:?}");
}

#[test]
fn the_corpus_is_of_every_program_and_all_of_it_is_answered() {
    for program in ["# dig ", "# kdig ", "# delv ", "# unbound "] {
        assert!(CORPUS.contains(program), "{program}");
    }
    let world = World::new(&[("example.com", ZONE)], CONFIGURATION).unwrap();
    for packet in corpus() {
        let asked = Asked { packet, source: [198, 51, 100, 7].into(), transport: Transport::Udp };
        let told = ask(&world, &asked);
        assert!(told.is_ok(), "{told:?} for {asked:02x?}");
    }
}
