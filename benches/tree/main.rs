//! Look-ups in the compiled tree, beside the same map as a Patricia tree: `cargo bench --bench tree`. It is compiled from
//! the shipped database, a class for each country, or from the one that `DATABASE` names (`benches/city.sh` brings a large
//! one), a class for each country and ten degrees. Clients are drawn from the database's networks, each as likely as any
//! other, so that the cache is as cold as it can be; real clients crowd in fewer networks.
#![allow(clippy::print_stdout, reason = "it speaks to people")]

mod patricia;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::{env, fs};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use patricia::Patricia;
use rhumb::geo::database::{Database, PlaceId};
use rhumb::geo::layout::Layout;
use rhumb::geo::spans::{Address, Span, Spans};
use rhumb::geo::tree::{Hit, Steps, Tree};
use rhumb::ids::ClassId;
use rhumb::place::Place;

/// How many clients are drawn: more than any cache holds the steps of.
const CLIENTS: usize = 1 << 18;

/// The class of those that the database has nothing on.
const UNKNOWN: ClassId = ClassId(0);

static WORLD: LazyLock<World> = LazyLock::new(World::read);

fn main() {
    let World { classes, tree, patricia, v4, v6, .. } = &*WORLD;
    for client in v4.iter().chain(v6) {
        assert_eq!(tree.find(*client), patricia.find(*client, UNKNOWN), "{client}");
    }
    let (tree, patricia) = (tree.octets() / 1000, patricia.octets() / 1000);
    println!(
        "{} of {} spans, {classes} classes: {tree} kB, as a Patricia tree {patricia} kB",
        file(),
        WORLD.spans()
    );
    divan::main();
}

/// What is looked up, and in what.
struct World {
    classes: usize,
    by_class: (Spans<u32, ClassId>, Spans<u128, ClassId>),
    tree: Tree,
    patricia: Patricia,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl World {
    fn read() -> Self {
        let database = database();
        let mut numbers = HashMap::new();
        let by_class = database.spans(|place| place.map_or(UNKNOWN, |place| number(&mut numbers, place)));
        Self {
            classes: numbers.len() + 1,
            tree: Tree::new(Steps::v4(by_class.0.steps()), Steps::v6(by_class.1.steps())),
            patricia: Patricia::new(&by_class.0, &by_class.1, UNKNOWN),
            v4: clients(database.v4(), |span, chance| {
                let size = u64::from(span.last - span.first) + 1;
                span.first + (chance % size) as u32
            }),
            v6: clients(database.v6(), |span, chance| {
                let size = (span.last - span.first).saturating_add(1);
                span.first + (u128::from(chance) << 64 | u128::from(chance)) % size
            }),
            by_class,
        }
    }

    fn spans(&self) -> usize {
        self.by_class.0.len() + self.by_class.1.len()
    }
}

fn file() -> String {
    env::var("DATABASE").unwrap_or_else(|_| "geoip/country.mmdb".to_owned())
}

fn database() -> Database {
    let octets = fs::read(file()).expect("benches run at the repository's root");
    Database::from_octets(octets, &Layout::places()).expect("a sound database")
}

/// The class of a place: as many as there are countries, in large ones one for each ten degrees.
fn number(numbers: &mut HashMap<String, ClassId>, place: &Place) -> ClassId {
    let Some(country) = place.country else { return UNKNOWN };
    let cell = place.location.map(|at| ((at.latitude() / 10.0).floor(), (at.longitude() / 10.0).floor()));
    let next = ClassId(numbers.len() as u16 + 1);
    *numbers.entry(format!("{} {cell:?}", country.as_str())).or_insert(next)
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

/// None where nothing is known of the family.
fn clients<A: Address>(
    spans: &Spans<A, PlaceId>,
    inside: impl Fn(Span<A, PlaceId>, u64) -> A,
) -> Vec<IpAddr> {
    // Networks that end inside of a /64 are few, and the Patricia tree does not know them.
    let begins_key = |address: A| A::from_key(address.key()) == address;
    let is_whole =
        |span: &Span<A, PlaceId>| begins_key(span.first) && span.last.next().is_none_or(begins_key);
    let is_known = |span: &Span<A, PlaceId>| span.value != PlaceId::UNKNOWN;
    let known: Vec<_> = spans.iter().filter(is_known).filter(is_whole).collect();
    let mut chance = chances();
    let count = if known.is_empty() { 0 } else { CLIENTS };
    (0..count).map(|_| inside(known[chance() as usize % known.len()], chance()).address()).collect()
}

/// Which clients are looked up.
#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    fn clients(self) -> &'static [IpAddr] {
        match self {
            Self::V4 => &WORLD.v4,
            Self::V6 => &WORLD.v6,
        }
    }
}

fn in_multibit(client: IpAddr) -> Hit {
    WORLD.tree.find(client)
}

fn in_patricia(client: IpAddr) -> Hit {
    WORLD.patricia.find(client, UNKNOWN)
}

/// One look-up need not wait for another's end: the processor has several under way.
fn together(bencher: Bencher<'_, '_>, family: Family, find: impl Fn(IpAddr) -> Hit) {
    let clients = family.clients();
    bencher.counter(ItemsCount::new(clients.len())).bench_local(|| {
        for client in clients {
            black_box(find(*client));
        }
    });
}

/// Each look-up begins when the one before has ended, as in a server that has one query to answer.
fn one_by_one(bencher: Bencher<'_, '_>, family: Family, find: impl Fn(IpAddr) -> Hit) {
    let clients = family.clients();
    bencher.counter(ItemsCount::new(clients.len())).bench_local(|| {
        let mut at = 0;
        while let Some(client) = clients.get(at) {
            // Never more than one on, which the processor cannot know.
            at += 1 + black_box(usize::from(find(*client).depth > 128));
        }
    });
}

#[divan::bench(args = FAMILIES)]
fn multibit_together(bencher: Bencher<'_, '_>, family: Family) {
    together(bencher, family, in_multibit);
}

#[divan::bench(args = FAMILIES)]
fn patricia_together(bencher: Bencher<'_, '_>, family: Family) {
    together(bencher, family, in_patricia);
}

#[divan::bench(args = FAMILIES)]
fn multibit_one_by_one(bencher: Bencher<'_, '_>, family: Family) {
    one_by_one(bencher, family, in_multibit);
}

#[divan::bench(args = FAMILIES)]
fn patricia_one_by_one(bencher: Bencher<'_, '_>, family: Family) {
    one_by_one(bencher, family, in_patricia);
}

#[divan::bench(sample_count = 10)]
fn multibit_build(bencher: Bencher<'_, '_>) {
    let (v4, v6) = &WORLD.by_class;
    bencher.bench_local(|| Tree::new(Steps::v4(v4.steps()), Steps::v6(v6.steps())));
}

#[divan::bench(sample_count = 10)]
fn patricia_build(bencher: Bencher<'_, '_>) {
    let (v4, v6) = &WORLD.by_class;
    bencher.bench_local(|| Patricia::new(v4, v6, UNKNOWN));
}

#[divan::bench(sample_count = 10)]
fn load(bencher: Bencher<'_, '_>) {
    bencher.bench_local(database);
}
