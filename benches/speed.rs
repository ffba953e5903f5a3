//! How long things take, in process: what a query passes through, what a verdict costs, how zones load.
//! `cargo bench --bench speed`, with a part of a name to run less. Times depend on the machine's mood; for a
//! judgement that does not, see `instructions`.

mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use divan::Bencher;
use divan::counter::ItemsCount;

use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Envelope, Transport, UDP_OCTETS_MAX, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::health::verdict::{Share, Standing, State};
use rhumb::ids::{EndpointId, MapId, ServiceId};
use rhumb::time::WallTime;
use rhumb::wire::query::{Message, Room};

fn main() {
    divan::main();
}

/// So many samples of so many queries: each query of a set once.
const SAMPLES: u32 = 50;
const PER_SAMPLE: u32 = 2_000;

/// Runs one after the other of `items` per iteration, after all of them once, so that caches are warm.
fn each<T, R>(bencher: Bencher<'_, '_>, items: &[T], mut run: impl FnMut(&T) -> R) {
    for item in items {
        black_box(run(item));
    }
    let mut cycle = items.iter().cycle();
    bencher.bench_local(|| run(cycle.next().expect("there are items")));
}

#[divan::bench(sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn parse_plain(bencher: Bencher<'_, '_>) {
    each(bencher, &world::plain_queries(10_000), |packet| parse(packet));
}

#[divan::bench(sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn parse_with_subnet(bencher: Bencher<'_, '_>) {
    each(bencher, &world::steered_queries(&world::networks(world::NETWORKS)), |packet| parse(packet));
}

fn parse(packet: &[u8]) {
    black_box(Message::parse(packet, &mut Room::default()));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn find_name(bencher: Bencher<'_, '_>, names: usize) {
    let table = table(names);
    let wire: Vec<Vec<u8>> =
        world::plain_queries(names).iter().map(|packet| packet[12..packet.len() - 15].to_vec()).collect();
    each(bencher, &wire, |name| table.names().entry_of(name).is_some());
}

#[divan::bench(args = [50_000, 500_000], sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn find_class(bencher: Bencher<'_, '_>, networks: usize) {
    let networks = world::networks(networks);
    let plan = world::plan(vec![world::zone(1)], &networks, 1);
    let clients: Vec<IpAddr> = world::clients(&networks).iter().map(|prefix| prefix.first()).collect();
    each(bencher, &clients, |client| plan.tree(MapId(0)).find(*client));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn respond_plain(bencher: Bencher<'_, '_>, names: usize) {
    answer(bencher, &table(names), &world::plain_queries(names));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn respond_missing(bencher: Bencher<'_, '_>, names: usize) {
    answer(bencher, &table(names), &world::missing_queries(names));
}

#[divan::bench(args = [50_000, 500_000], sample_count = SAMPLES, sample_size = PER_SAMPLE)]
fn respond_steered(bencher: Bencher<'_, '_>, networks: usize) {
    let networks = world::networks(networks);
    let plan = world::plan(vec![world::zone(10_000)], &networks, 1);
    answer(bencher, &world::table(&plan), &world::steered_queries(&networks));
}

fn answer(bencher: Bencher<'_, '_>, table: &AnswerTable, packets: &[Vec<u8>]) {
    let counters = Counters::new(table.answer_counters());
    let mut reply = vec![0; UDP_OCTETS_MAX];
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    let envelope = Envelope { source, transport: Transport::Udp, at: WallTime::default(), is_last: false };
    each(bencher, packets, |packet| respond(table, packet, envelope, black_box(&mut reply), &counters));
}

/// As at a rate: each query comes alone, after others have used the processor's own caches.
#[divan::bench(sample_count = COLD_SAMPLES, sample_size = 1)]
fn respond_plain_cold(bencher: Bencher<'_, '_>) {
    answer_cold(bencher, &table(10_000), &world::plain_queries(10_000));
}

#[divan::bench(sample_count = COLD_SAMPLES, sample_size = 1)]
fn respond_steered_cold(bencher: Bencher<'_, '_>) {
    let networks = world::networks(world::NETWORKS);
    let plan = world::plan(vec![world::zone(10_000)], &networks, 1);
    answer_cold(bencher, &world::table(&plan), &world::steered_queries(&networks));
}

const COLD_SAMPLES: u32 = 5_000;
/// More than a processor has for itself.
const OTHERS_OCTETS: usize = 4 << 20;

fn answer_cold(bencher: Bencher<'_, '_>, table: &AnswerTable, packets: &[Vec<u8>]) {
    let counters = Counters::new(table.answer_counters());
    let mut reply = vec![0; UDP_OCTETS_MAX];
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    let envelope = Envelope { source, transport: Transport::Udp, at: WallTime::default(), is_last: false };
    let mut others = vec![0_u8; OTHERS_OCTETS];
    let mut cycle = packets.iter().cycle();
    let come_alone = || {
        others.iter_mut().step_by(64).for_each(|octet| *octet = octet.wrapping_add(1));
        cycle.next().expect("there are queries").clone()
    };
    bencher
        .with_inputs(come_alone)
        .bench_local_refs(|packet| respond(table, packet, envelope, black_box(&mut reply), &counters));
}

fn table(names: usize) -> AnswerTable {
    world::table(&world::plan(vec![world::zone(names)], &[], 1))
}

/// Everything up but one region.
fn one_down(endpoint: EndpointId) -> Standing {
    if endpoint.0 % 64 == 7 {
        Standing { state: State::Down, usable: Share::NONE, ..Standing::UP }
    } else {
        Standing::UP
    }
}

#[divan::bench(args = [1, 100, 10_000], sample_count = 20)]
fn compile_one_service_of(bencher: Bencher<'_, '_>, services: usize) {
    let plan = world::plan(vec![world::zone(1)], &world::networks(world::NETWORKS), services);
    let mut numbers = CounterNumbers::default();
    let table = plan.table(1, &|_: EndpointId| Standing::UP, &mut numbers);
    bencher.bench_local(|| plan.next_table(&table, &[ServiceId(0)], &one_down, &mut numbers));
}

#[divan::bench(args = [1, 100, 10_000], sample_count = 3, sample_size = 1)]
fn compile_all_services_of(bencher: Bencher<'_, '_>, services: usize) {
    let plan = world::plan(vec![world::zone(1)], &world::networks(world::NETWORKS), services);
    let mut numbers = CounterNumbers::default();
    bencher.bench_local(|| plan.table(1, &one_down, &mut numbers));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 5, sample_size = 1)]
fn read_zone(bencher: Bencher<'_, '_>, names: usize) {
    let text = world::zone_text(names);
    bencher.counter(ItemsCount::new(names)).bench_local(|| world::read(&text));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 5, sample_size = 1)]
fn compile_zone(bencher: Bencher<'_, '_>, names: usize) {
    bencher
        .counter(ItemsCount::new(names))
        .with_inputs(|| world::zone(names))
        .bench_local_values(|zone| world::plan(vec![zone], &[], 1));
}
