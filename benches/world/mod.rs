//! What is measured: zones, a database of countries, a service steered by it, and the queries asked. All of it
//! comes from a fixed seed, so that every run, here and against other servers, is of the same inputs.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub(crate) mod chance;
pub(crate) mod mmdb;
pub(crate) mod restless;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rhumb::answer::compile::{CounterNumbers, Plan, World};
use rhumb::answer::compile_signed::Dnssec;
use rhumb::answer::maps::Databases;
use rhumb::answer::table::AnswerTable;
use rhumb::geo::database::Database;
use rhumb::geo::layout::Layout;
use rhumb::health::verdict::{Share, Standing};
use rhumb::ids::{EndpointId, MapId, RegionId};
use rhumb::name::Name;
use rhumb::net::Prefix;
use rhumb::policy::lots::key_of;
use rhumb::policy::map::{Fence, Map, Matcher, Order, Region, Rule};
use rhumb::policy::service::{
    AnswerCount, AnswerKind, Endpoint, Families, Service, ServiceRegion, Tier, TtlPolicy, WhenAllDown,
};
use rhumb::wire::ask;
use rhumb::wire::code::RecordType;
use rhumb::zone::{self, Zone};

use chance::Chance;

/// The zone of all names.
pub(crate) const ZONE: &str = "example.com";
/// How many queries a set has.
pub(crate) const QUERIES: usize = 100_000;
/// How many networks the database has.
pub(crate) const NETWORKS: usize = 50_000;

/// Continents with countries; each country is a region of its own.
pub(crate) const COUNTRIES: [(&str, &str); 6] = [
    ("EU", "DE FR GB NL PL IT ES SE NO FI DK CZ AT CH BE PT GR RO HU IE UA BG"),
    ("NA", "US CA MX GT PA"),
    ("SA", "BR AR CL CO PE UY"),
    ("AS", "JP CN IN KR SG ID TH VN MY PH TR IL SA AE"),
    ("AF", "ZA EG NG KE MA TN GH"),
    ("OC", "AU NZ FJ"),
];

/// Every country with its continent.
pub(crate) fn countries() -> Vec<(&'static str, &'static str)> {
    COUNTRIES
        .iter()
        .flat_map(|(continent, list)| list.split(' ').map(move |code| (code, *continent)))
        .collect()
}

/// The address that clients of a country are answered with.
pub(crate) fn address_of(country: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + country as u8)
}

/// The address that all others are answered with.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);

/// A master file of `names` hosts with an address each, and the steered name.
pub(crate) fn zone_text(names: usize) -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL 300\n@ 3600 IN SOA ns1 hostmaster 1 3600 600 86400 300\n@ 3600 IN NS ns1\n\
         ns1 3600 IN A 192.0.2.1\ngeo 60 IN A {ELSEWHERE}\n"
    );
    for host in 0..names {
        let [_, b, c, d] = (host as u32).to_be_bytes();
        text.push_str(&format!("h{host:07} IN A 10.{b}.{c}.{d}\n"));
    }
    text
}

/// The zone of [`zone_text`].
pub(crate) fn zone(names: usize) -> Zone {
    read(&zone_text(names))
}

/// The zone of a text.
pub(crate) fn read(text: &str) -> Zone {
    let origin = ZONE.parse().expect("a name");
    let read = zone::read(&origin, Path::new("zone"), text.as_bytes(), &mut |_| unreachable!("no include"));
    read.expect("a good zone").0
}

/// Disjoint prefixes of /14 to /24, each with the position of its country.
pub(crate) fn networks(count: usize) -> Vec<(Prefix, usize)> {
    let mut chance = Chance::new(1);
    let countries = countries().len() as u64;
    let mut taken = vec![false; 1 << 22];
    let mut networks = Vec::with_capacity(count);
    while networks.len() < count {
        let length = [24, 24, 24, 23, 22, 22, 21, 20, 19, 18, 16, 14][chance.below(12) as usize];
        let address = (0x0100_0000 + chance.below(0xde00_0000) as u32) >> (32 - length) << (32 - length);
        let (first, last) = (address >> 10, (address + ((1 << (32 - length)) - 1)) >> 10);
        let stretch = &mut taken[first as usize..=last as usize];
        if is_private(address) || stretch.contains(&true) {
            continue;
        }
        stretch.fill(true);
        let prefix = Prefix::holding(IpAddr::V4(address.into()), length as u8).expect("a length of IPv4");
        networks.push((prefix, chance.below(countries) as usize));
    }
    networks
}

fn is_private(address: u32) -> bool {
    let address = Ipv4Addr::from(address);
    address.is_private() || address.is_loopback() || address.is_link_local() || address.octets()[0] == 192
}

/// Queries for names that are there.
pub(crate) fn plain_queries(names: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(2);
    (0..QUERIES).map(|_| query(&format!("h{:07}.{ZONE}", chance.below(names as u64)), None)).collect()
}

/// Queries of which nine in ten are for names that are not there.
pub(crate) fn missing_queries(names: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(3);
    let name = |chance: &mut Chance| match chance.below(10) {
        0 => format!("h{:07}.{ZONE}", chance.below(names as u64)),
        _ => format!("x{:07}.{ZONE}", chance.below(10_000_000)),
    };
    (0..QUERIES).map(|_| query(&name(&mut chance), None)).collect()
}

/// Queries for the steered name, each with the subnet of a random client: nineteen in twenty of a known network.
pub(crate) fn steered_queries(networks: &[(Prefix, usize)]) -> Vec<Vec<u8>> {
    clients(networks).into_iter().map(|subnet| query(&format!("geo.{ZONE}"), Some(subnet))).collect()
}

/// Random /24 networks.
pub(crate) fn clients(networks: &[(Prefix, usize)]) -> Vec<Prefix> {
    let mut chance = Chance::new(4);
    let client = |chance: &mut Chance| {
        let address = match chance.below(20) {
            0 => 0x0100_0000 + chance.below(0xde00_0000) as u32,
            _ => {
                let (prefix, _) = networks[chance.below(networks.len() as u64) as usize];
                let IpAddr::V4(first) = prefix.first() else { unreachable!("all are IPv4") };
                first.to_bits() + chance.below(1 << (32 - prefix.length())) as u32
            }
        };
        Prefix::holding(IpAddr::V4(address.into()), 24).expect("a length of IPv4")
    };
    (0..QUERIES).map(|_| client(&mut chance)).collect()
}

/// Queries for names of nobody's zone.
pub(crate) fn outside_queries() -> Vec<Vec<u8>> {
    let mut chance = Chance::new(5);
    (0..QUERIES).map(|_| query(&format!("h{:07}.example.org", chance.below(10_000_000)), None)).collect()
}

/// Queries whose option goes beyond the message.
pub(crate) fn malformed_queries() -> Vec<Vec<u8>> {
    let mut queries = plain_queries(10_000);
    for query in &mut queries {
        *query.last_mut().expect("a query has octets") = 9;
    }
    queries
}

fn query(name: &str, subnet: Option<Prefix>) -> Vec<u8> {
    ask::question(0, &name.parse().expect("a name"), RecordType::A, subnet)
}

/// A plan of these zones, with `services` services at names of their own, all steered by country. The first has
/// the name "geo".
pub(crate) fn plan(zones: Vec<Zone>, networks: &[(Prefix, usize)], services: usize) -> Plan {
    let countries = countries();
    let database = (!networks.is_empty()).then(|| {
        let octets = mmdb::write(networks, &countries);
        Database::from_octets(octets, &Layout::places()).expect("a database")
    });
    let region = |name: &str| Region { name: name.to_owned(), continent: None, location: None, bias: 1.0 };
    let regions: Vec<Region> =
        countries.iter().map(|(code, _)| region(code)).chain([region("other")]).collect();
    let other = RegionId::from_index(countries.len());
    let rule = |(at, (code, _)): (usize, &(&str, &str))| Rule {
        matcher: Matcher::Country(code.parse().expect("a country")),
        regions: vec![RegionId::from_index(at)],
        order: None,
        fence: Fence::None,
    };
    let map = Map {
        name: "world".to_owned(),
        order: Order::Listed(vec![other]),
        rules: countries.iter().enumerate().map(rule).collect(),
    };
    let services = (0..services).map(|at| service(at, regions.len())).collect();
    let databases = Databases { countries: database, ..Databases::default() };
    plan_of(zones, regions, map, services, databases)
}

/// A plan of these zones with one service, at "geo", that stands in all regions of a map ordered by countries.
pub(crate) fn nearest_plan(zones: Vec<Zone>, map: Map, regions: Vec<Region>, countries: Database) -> Plan {
    let services = vec![service(0, regions.len())];
    let databases = Databases { countries: Some(countries), ..Databases::default() };
    plan_of(zones, regions, map, services, databases)
}

fn plan_of(
    zones: Vec<Zone>,
    regions: Vec<Region>,
    map: Map,
    services: Vec<Service>,
    databases: Databases,
) -> Plan {
    let (vantages, maps) = (Vec::new(), vec![map]);
    let world = World { zones, regions, vantages, maps, services, databases, dnssec: Dnssec::default() };
    Plan::new(world).expect("zones that compile")
}

fn service(at: usize, regions: usize) -> Service {
    let name = if at == 0 { format!("geo.{ZONE}") } else { format!("geo{at}.{ZONE}") };
    let name: Name = name.parse().expect("a name");
    let region = |region: usize| {
        let address = if region + 1 == regions { ELSEWHERE } else { address_of(region) };
        let id = EndpointId::from_index(at * regions + region);
        ServiceRegion {
            region: RegionId::from_index(region),
            key: key_of(&region.to_string()),
            tier: Tier::Primary,
            weight: 1,
            cname: None,
            endpoints: vec![Endpoint { id, address: address.into(), weight: 1, target: None }],
        }
    };
    Service {
        name: format!("service-{at}"),
        names: vec![name],
        map: MapId(0),
        regions: (0..regions).map(region).collect(),
        answer: AnswerKind::Addresses,
        bindings: Vec::new(),
        count: AnswerCount::All,
        threshold: Share::of_ratio(0.5),
        families: Families::Together,
        ttl: TtlPolicy { steady: 60, suspect: 5, moved: 10, floor: 1 },
        when_all_down: WhenAllDown::FailOpen,
        salt: at as u64,
    }
}

/// The table of a plan while everything is up.
pub(crate) fn table(plan: &Plan) -> AnswerTable {
    plan.table(1, &|_: EndpointId| Standing::UP, &mut CounterNumbers::default())
}
