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
use crate::mutation::{CONFIGURATION, CORPUS, ZONE, below, corpus, mutate};
use crate::oracle;
use crate::world::World;

/// How many packets the suite tries; [`packets`] of them by a command of its own.
const PACKETS: usize = 20_000;

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
