//! Look-ups in a tree compiled from the shipped database, a class for each country: `cargo bench --bench tree`.
//! Clients are drawn from the database's networks, each as likely as any other, so that the cache is as cold
//! as it can be; real clients crowd in fewer networks.

use std::net::IpAddr;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rhumb::geo::database::{Database, PlaceId};
use rhumb::geo::layout::Layout;
use rhumb::geo::spans::{Address, Span, Spans};
use rhumb::geo::tree::{Steps, Tree};
use rhumb::ids::ClassId;

/// How many clients are drawn: more than any cache holds the steps of.
const CLIENTS: usize = 1 << 18;

fn main() {
    divan::main();
}

fn database() -> Database {
    let octets = std::fs::read("geoip/country.mmdb").expect("benches run at the repository's root");
    Database::from_octets(octets, &Layout::places()).expect("the shipped database is sound")
}

fn compile(database: &Database) -> Tree {
    let (v4, v6) =
        database.spans(|place| {
            let country = place.and_then(|place| place.country);
            ClassId(country.map_or(0, |country| {
                u16::from_be_bytes(country.as_str().as_bytes().try_into().expect("two"))
            }))
        });
    Tree::new(Steps::v4(v4.steps()), Steps::v6(v6.steps()))
}

/// Numbers that look like chance and are the same in each run (Marsaglia's xorshift).
fn chances() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn clients<A: Address>(
    spans: &Spans<A, PlaceId>,
    inside: impl Fn(Span<A, PlaceId>, u64) -> IpAddr,
) -> Vec<IpAddr> {
    let known: Vec<_> = spans.iter().filter(|span| span.value != PlaceId::UNKNOWN).collect();
    let mut chance = chances();
    (0..CLIENTS).map(|_| inside(known[chance() as usize % known.len()], chance())).collect()
}

fn look_up(bencher: Bencher<'_, '_>, tree: &Tree, clients: &[IpAddr]) {
    bencher.counter(ItemsCount::new(clients.len())).bench_local(|| {
        for client in clients {
            black_box(tree.find(*client));
        }
    });
}

#[divan::bench]
fn find_v4(bencher: Bencher<'_, '_>) {
    let database = database();
    let clients = clients(database.v4(), |span, chance| {
        let size = u64::from(span.last - span.first) + 1;
        IpAddr::from((span.first + (chance % size) as u32).to_be_bytes())
    });
    look_up(bencher, &compile(&database), &clients);
}

#[divan::bench]
fn find_v6(bencher: Bencher<'_, '_>) {
    let database = database();
    let clients = clients(database.v6(), |span, chance| {
        let size = (span.last - span.first).saturating_add(1);
        IpAddr::from((span.first + (u128::from(chance) << 64 | u128::from(chance)) % size).to_be_bytes())
    });
    look_up(bencher, &compile(&database), &clients);
}

#[divan::bench(sample_count = 10)]
fn build(bencher: Bencher<'_, '_>) {
    let database = database();
    bencher.bench_local(|| compile(&database));
}

#[divan::bench(sample_count = 10)]
fn load(bencher: Bencher<'_, '_>) {
    bencher.bench_local(database);
}
