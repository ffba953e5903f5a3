//! What holds in every world: of scopes, of answers, of making tables, of packets.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rhumb::answer::dig;
use rhumb::answer::respond::Transport;
use rhumb::answer::table::AnswerTable;
use rhumb::health::verdict::{Share, Standing, State};
use rhumb::ids::{EndpointId, ServiceId};
use rhumb::wire::code::RecordType;

use crate::ask::{Asked, Question};
use crate::oracle;
use crate::world::{World, reply};

const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 60 A 192.0.2.53\n\
    www 60 TXT \"static\"\nalias 60 CNAME www\n*.w 60 MX 1 mail.w\nmail.w 60 A 192.0.2.1\nd 60 DNAME w\n\
    cut 60 NS ns.cut\nns.cut 60 A 192.0.2.2\nchain 60 CNAME a.d\nnx 60 CNAME nothing\n";
const REGIONS: [&str; 4] = ["r0", "r1", "r2", "r3"];
const STEADY: u32 = 60;
const FLOOR: u32 = 3;

/// So many times the cases that `PROPTEST_CASES` asks for, 256 by itself: worlds take long to build, packets do not.
fn times(factor: f64) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: (f64::from(usual.cases) * factor) as u32, ..usual }
}

/// A random map and service, as configuration.
fn configuration() -> impl Strategy<Value = String> {
    let order = prop_oneof![
        Just("\"weighted\"".to_owned()),
        Just("\"nearest\"".to_owned()),
        Just(REGIONS.to_vec()).prop_shuffle().prop_map(|regions| format!("{regions:?}")),
    ];
    let network = prop_oneof![
        (0u8..4, 8u8..=32).prop_map(|(net, length)| prefix(Ipv4Addr::new(10, net, net, 7).into(), length)),
        (0u16..4, 20u8..=64).prop_map(|(net, length)| {
            prefix(Ipv6Addr::new(0x2001, 0xdb8, net, net, 0, 0, 0, 0).into(), length)
        }),
    ];
    let fence = prop::sample::select(vec!["none", "prefer", "hard"]);
    let rule_order = prop::sample::select(vec!["listed", "weighted", "nearest"]);
    let regions = prop::sample::subsequence(REGIONS.to_vec(), 1..=4).prop_shuffle();
    let rules = prop::collection::btree_map(network, (regions, fence, rule_order), 0..6);
    let endpoint = (1u8..=12, 0u32..4);
    let region = (prop::collection::vec(endpoint, 1..5), 0usize..3, 1u32..5);
    let services = (
        prop::collection::vec(region, 4),
        prop::sample::select(vec!["\"all\"", "1", "2", "8"]),
        prop::sample::select(vec!["together", "independent"]),
        prop::sample::select(vec!["10%", "50%", "100%"]),
    );
    (order, rules, services).prop_map(|(order, rules, (regions, answers, families, threshold))| {
        let mut text = String::new();
        for (at, region) in REGIONS.iter().enumerate() {
            writeln!(text, "[regions.{region}]\nlocation = [{}.0, {}.0]", at * 10, at * 40).unwrap();
        }
        writeln!(text, "[maps.m]\norder = {order}\n[maps.m.clients]").unwrap();
        for (network, (regions, fence, order)) in rules {
            writeln!(text, "\"net:{network}\" = {{ regions = {regions:?}, fence = {fence:?}, order = {order:?} }}")
                .unwrap();
        }
        writeln!(
            text,
            "[services.www]\nnames = [\"www.example.com\", \"*.app.example.com\"]\nmap = \"m\"\n\
             answers = {answers}\nfamilies = {families:?}\nthreshold = {threshold:?}\nhttps = [\"1 . alpn=h2\"]\n\
             ttl = {{ steady = \"{STEADY}s\", suspect = \"5s\", moved = \"10s\", floor = \"{FLOOR}s\" }}\n\
             [services.www.regions]"
        )
        .unwrap();
        for (at, (endpoints, tier, weight)) in regions.iter().enumerate() {
            let tier = ["primary", "warm", "last-resort"][*tier];
            let mut written = Vec::new();
            for (index, (_, weight)) in endpoints.iter().enumerate() {
                written.push(format!("{{ address = \"192.0.{at}.{index}\", weight = {weight} }}"));
                written.push(format!("{{ address = \"2001:db8:{at}::{index}\", weight = {weight} }}"));
            }
            let written = written.join(", ");
            writeln!(text, "r{at} = {{ endpoints = [{written}], tier = {tier:?}, weight = {weight} }}").unwrap();
        }
        text
    })
}

/// The network around an address, as text.
fn prefix(address: IpAddr, length: u8) -> String {
    format!("{}/{length}", rhumb::net::truncate(address, length))
}

fn standing() -> impl Strategy<Value = Standing> {
    let share = || prop_oneof![Just(0u16), Just(1024), 0u16..=1024].prop_map(Share::of_1024);
    let states = vec![State::Unknown, State::Up, State::Up, State::Suspect, State::Down, State::Recovering];
    (prop::sample::select(states), share(), share(), 0u8..10).prop_map(|(state, usable, ramp, forced)| {
        let ramp = if matches!(state, State::Up | State::Recovering) { ramp } else { Share::WHOLE };
        let state = if forced == 0 { State::Down } else { state };
        Standing { state, usable, ramp, forced_down: forced == 0 }
    })
}

/// What is believed of each endpoint; of those that are not there, nothing.
fn standings() -> impl Strategy<Value = Vec<Standing>> {
    prop_oneof![
        prop::collection::vec(standing(), 40),
        standing().prop_map(|standing| vec![standing; 40]),
        prop::collection::vec(prop_oneof![3 => Just(Standing::UP), 1 => standing()], 40),
    ]
}

fn world(configuration: &str) -> World {
    World::new(&[("example.com", ZONE)], configuration)
        .unwrap_or_else(|faults| panic!("{faults}\n{configuration}"))
}

fn by_endpoint(world: &World, standings: &[Standing]) -> HashMap<EndpointId, Standing> {
    let count = world.generation.board.endpoints.len();
    (0..count).map(|at| (EndpointId::from_index(at), standings[at % standings.len()])).collect()
}

/// Clients at and around the networks of rules, plain and behind transition mechanisms.
fn client() -> impl Strategy<Value = IpAddr> {
    let near = (0u8..4, 0u8..4, any::<u8>()).prop_map(|(b, c, d)| Ipv4Addr::new(10, b, c, d));
    let v4 = || prop_oneof![near.clone(), any::<u32>().prop_map(Ipv4Addr::from_bits)];
    prop_oneof![
        4 => v4().prop_map(IpAddr::V4),
        2 => (0u16..4, 0u16..4, any::<u64>()).prop_map(|(c, d, low)| {
            let high = Ipv6Addr::new(0x2001, 0xdb8, c, d, 0, 0, 0, 0).to_bits();
            IpAddr::V6(Ipv6Addr::from_bits(high | u128::from(low)))
        }),
        1 => any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        1 => (v4(), any::<u64>()).prop_map(|(v4, low)| {
            IpAddr::V6(Ipv6Addr::from_bits(0x2002 << 112 | u128::from(v4.to_bits()) << 80 | u128::from(low)))
        }),
        1 => v4().prop_map(|v4| IpAddr::V6(Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(v4.to_bits())))),
        1 => v4().prop_map(|v4| IpAddr::V6(v4.to_ipv6_mapped())),
        1 => (v4(), any::<u64>()).prop_map(|(v4, middle)| {
            let bits = 0x2001_0000 << 96 | u128::from(middle) << 32 | u128::from(!v4.to_bits());
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }),
    ]
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `inside` with the first `length` bits of `address`.
fn within(address: IpAddr, length: u8, inside: u128) -> IpAddr {
    match (rhumb::net::truncate(address, length), address) {
        (IpAddr::V4(network), _) => {
            let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | inside as u32 & host))
        }
        (IpAddr::V6(network), _) => {
            let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | inside & host))
        }
    }
}

const STEERED: [(&str, RecordType); 4] = [
    ("www.example.com", RecordType::A),
    ("www.example.com", RecordType::AAAA),
    ("www.example.com", RecordType::HTTPS),
    ("x.app.example.com", RecordType::A),
];

/// The answer for a client who says where it is: code, records, scope.
fn steered(table: &AnswerTable, name: &str, rtype: RecordType, client: IpAddr) -> (Vec<u8>, u8, Message) {
    let packet = Question::new(name, rtype).subnet(client, bits(client)).packet();
    let asked = Asked { packet, source: [198, 51, 100, 1].into(), transport: Transport::Udp };
    let octets = reply(table, &asked.packet, asked.source, asked.transport).unwrap();
    oracle::judge(&asked, &octets);
    let message = Message::from_vec(&octets).unwrap();
    let option = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)).unwrap();
    let EdnsOption::Subnet(subnet) = option else { panic!("{option:?}") };
    let scope = subnet.scope_prefix();
    let mut answer: Vec<u8> =
        message.answers.iter().flat_map(|record| record.to_string().into_bytes()).collect();
    answer.push(octets[3]);
    (answer, scope, message)
}

proptest! {
    #![proptest_config(times(0.125))]

    #[test]
    fn any_two_clients_inside_a_scope_get_the_same_answer(
        configuration in configuration(),
        standings in standings(),
        clients in prop::collection::vec((client(), any::<u128>()), 24),
    ) {
        let mut world = world(&configuration);
        let believed = by_endpoint(&world, &standings);
        world.take(believed);
        for (client, inside) in clients {
            for (name, rtype) in STEERED {
                let (answer, scope, _) = steered(&world.table, name, rtype, client);
                let other = within(client, scope, inside);
                let (others, other_scope, _) = steered(&world.table, name, rtype, other);
                prop_assert_eq!(&answer, &others, "{} and {} in /{} for {}", client, other, scope, rtype);
                prop_assert_eq!(scope, other_scope, "{} and {}", client, other);
            }
        }
    }

    #[test]
    fn while_services_fail_open_no_answer_is_empty_and_ttls_stay_in_their_bounds(
        configuration in configuration(),
        standings in standings(),
        clients in prop::collection::vec(client(), 24),
    ) {
        let mut world = world(&configuration);
        let believed = by_endpoint(&world, &standings);
        let forced = believed.values().any(|standing| standing.forced_down);
        world.take(believed);
        for client in clients {
            for (name, rtype) in STEERED {
                let (_, _, message) = steered(&world.table, name, rtype, client);
                prop_assert!(forced || !message.answers.is_empty(), "{} {} for {}", name, rtype, client);
                prop_assert!(message.answers.len() <= 8);
                for record in &message.answers {
                    prop_assert!((FLOOR..=STEADY).contains(&record.ttl), "{}", record);
                }
            }
        }
    }

    #[test]
    fn a_scope_outside_ramps_does_not_change_with_verdicts(
        configuration in configuration(),
        downs in prop::collection::vec(any::<bool>(), 40),
        clients in prop::collection::vec(client(), 24),
    ) {
        let mut world = world(&configuration);
        let before = world.table.clone();
        let down = Standing { state: State::Down, ..Standing::UP };
        let standings: Vec<Standing> = downs.iter().map(|is_down| if *is_down { down } else { Standing::UP }).collect();
        let believed = by_endpoint(&world, &standings);
        world.take(believed);
        for client in clients {
            for (name, rtype) in STEERED {
                let (_, scope, _) = steered(&before, name, rtype, client);
                let (_, later, _) = steered(&world.table, name, rtype, client);
                prop_assert_eq!(scope, later, "{} {} for {}", name, rtype, client);
            }
        }
    }

    #[test]
    fn tables_depend_on_nothing_but_what_they_are_made_of(
        configuration in configuration(),
        first in standings(),
        second in standings(),
        clients in prop::collection::vec(client(), 8),
    ) {
        let mut stepped = world(&configuration);
        let mut fresh = world(&configuration);
        for standings in [&first, &second] {
            let believed = by_endpoint(&stepped, standings);
            stepped.take(believed);
        }
        let believed = by_endpoint(&fresh, &second);
        fresh.take(believed);
        let scratch = stepped.table_from_scratch();
        let service = ServiceId(0);
        prop_assert_eq!(&stepped.table.service(service).choices, &scratch.service(service).choices);
        for client in clients {
            for (name, rtype) in STEERED {
                let packet = Question::new(name, rtype).subnet(client, bits(client)).packet();
                let ask = |table| reply(table, &packet, client, Transport::Udp);
                prop_assert_eq!(ask(&stepped.table), ask(&scratch));
                prop_assert_eq!(ask(&stepped.table), ask(&fresh.table));
            }
        }
    }
}

/// Names that lead everywhere in the zone, and nowhere.
fn name() -> impl Strategy<Value = String> {
    let known = vec![
        "www.example.com",
        "alias.example.com",
        "x.w.example.com",
        "a.d.example.com",
        "cut.example.com",
        "x.cut.example.com",
        "chain.example.com",
        "nx.example.com",
        "example.com",
        "nothing.example.com",
        "x.app.example.com",
        "example.net",
        ".",
        "app.example.com",
    ];
    let long = (1usize..=63, 1usize..=63, 1usize..=63, 1usize..=40).prop_map(|(a, b, c, d)| {
        format!("{}.{}.{}.{}.example.com", "a".repeat(a), "b".repeat(b), "c".repeat(c), "d".repeat(d))
    });
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => long]
}

/// Well-formed queries of every kind.
fn query() -> impl Strategy<Value = Vec<u8>> {
    let rtype = prop_oneof![
        4 => prop::sample::select(vec![1u16, 28, 5, 6, 2, 15, 16, 39, 43, 65, 255]),
        1 => any::<u16>(),
    ];
    let edns =
        prop::option::of((any::<u16>(), 0u8..2, any::<bool>(), prop::collection::vec(any::<u8>(), 0..24)));
    (
        name(),
        rtype,
        prop_oneof![9 => Just(1u16), 1 => any::<u16>()],
        0u16..0x8000,
        edns,
        client(),
        any::<bool>(),
    )
        .prop_map(|(name, rtype, class, flags, edns, client, has_subnet)| {
            let mut question = Question::new(&name, RecordType(rtype));
            question.class = class;
            question.flags = if flags % 4 == 0 { flags } else { 0x0100 };
            if has_subnet {
                question = question.subnet(client, bits(client) / 2);
            }
            match edns {
                None => question.edns = None,
                Some((octets, version, dnssec_ok, options)) => {
                    let ours = question.edns.as_mut().unwrap();
                    (ours.octets, ours.version, ours.dnssec_ok) = (octets, version, dnssec_ok);
                    if !has_subnet && flags % 5 == 0 {
                        ours.options = options;
                    }
                }
            }
            question.packet()
        })
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let cut = prop_oneof![3 => Just(usize::MAX), 1 => 0usize..80];
    let tail = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    (query(), changes, cut, tail).prop_map(|(mut packet, changes, cut, tail)| {
        for (at, octet) in changes {
            let at = at.index(packet.len());
            packet[at] = octet;
        }
        packet.truncate(cut);
        packet.extend(tail);
        packet
    })
}

/// Whether what comes of a packet is good: nothing, for what is too short or a reply itself; else a good reply.
fn is_answered_well(world: &World, packet: Vec<u8>, transport: Transport) {
    let is_silent = packet.len() < 12 || packet[2] & 0x80 != 0;
    let asked = Asked { packet, source: [198, 51, 100, 1].into(), transport };
    match world.ask(&asked) {
        None => assert!(is_silent, "no reply to {asked:?}"),
        Some(reply) => {
            assert!(!is_silent, "a reply to {asked:?}");
            let judged = catch_unwind(AssertUnwindSafe(|| oracle::judge(&asked, &reply)));
            assert!(judged.is_ok(), "{asked:02x?}\n{reply:02x?}");
        }
    }
}

#[test]
fn whatever_comes_the_reply_is_good_or_there_is_none() {
    let world = world(
        "[maps.m]\norder = \"weighted\"\n[services.www]\nnames = [\"www.example.com\", \"*.app.example.com\"]\n\
         map = \"m\"\nhttps = [\"1 . alpn=h2\"]\nregions.eu = [\"192.0.2.1\"]\nregions.us = [\"192.0.2.2\"]\n",
    );
    let transport = prop::sample::select(vec![Transport::Udp, Transport::Tcp]);
    let packets = prop_oneof![3 => mutated(), 1 => query(), 1 => prop::collection::vec(any::<u8>(), 0..100)];
    let mut runner = TestRunner::new(times(16.0));
    runner
        .run(&(packets, transport), |(packet, transport)| {
            is_answered_well(&world, packet, transport);
            Ok(())
        })
        .unwrap();
}

#[test]
fn whatever_a_reply_holds_it_is_shown_or_called_unreadable() {
    let world = world("");
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 1..6);
    let mut runner = TestRunner::new(times(16.0));
    runner
        .run(&(query(), changes, prop::collection::vec(any::<u8>(), 0..80)), |(packet, changes, octets)| {
            let _ = dig::show(&octets);
            let mut reply = reply(&world.table, &packet, [198, 51, 100, 1].into(), Transport::Tcp).unwrap();
            for (at, octet) in changes {
                let at = at.index(reply.len());
                reply[at] = octet;
            }
            let _ = dig::show(&reply);
            Ok(())
        })
        .unwrap();
}
