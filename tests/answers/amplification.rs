//! How much more a reply is than its query: what somebody gains who makes up the address of another.

use std::sync::Arc;

use rhumb::answer::count::Registry;
use rhumb::answer::respond::{Action, Envelope, Transport, UDP_OCTETS_MAX, respond};
use rhumb::time::WallTime;
use rhumb::wire::code::RecordType;

use crate::ask::{Asked, Edns, Question};
use crate::world::World;
use crate::{mutation, oracle};

/// Replies are at most so many times their query.
const UNSIGNED_MAX: usize = 10;
const SIGNED_MAX: usize = 20;
/// Refusals without cookie or extended error are at most so many hundredths of their query.
const REFUSAL_MAX_PERCENT: usize = 105;

const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
ns1 3600 A 192.0.2.53
www 60 A 192.0.2.1
";

/// Names whose records are as long as may be, at names as short as may be; steered ones, and all that there is below.
fn zone() -> String {
    let many: String = (0..60).map(|at| format!("many 60 A 192.0.2.{at}\ns 60 A 192.0.2.{at}\n")).collect();
    let twenty: String = (0..20).map(|at| format!("www 60 A 192.0.2.{at}\n")).collect();
    let long = "0123456789".repeat(24);
    let servers: String = (0..9)
        .map(|at| {
            format!("cut 60 NS ns{at}.cut\nns{at}.cut 60 A 192.0.2.{at}\nns{at}.cut 60 AAAA 2001:db8::{at}\n")
        })
        .collect();
    format!(
        "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n\
         text 60 TXT \"{long}\" \"{long}\" \"{long}\"\n@ 60 TXT \"{long}\"\nt 60 TXT \"{long}\" \"{long}\"\n\
         *.w 60 TXT \"{long}\"\na 60 CNAME many\nd 60 DNAME w\n{servers}{many}{twenty}"
    )
}

/// What the configuration may add to a reply, and a service of as many addresses as may be given at once, most regions
/// of which have failed, so that it says why.
const EXTRAS: &str = r#"
server.nsid = "a name of a server that is as long as it is allowed to be, and n"
server.error-reports = "reports.of.errors.that.resolvers.have.met.example.net"
server.chaos = { id = "ns1", version = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" }
maps.m = { order = ["eu", "us"] }
[services.geo]
names = ["geo.example.com", "geo.signed.example"]
map = "m"
answers = "all"
https = ["1 . alpn=h2"]
[services.geo.regions]
eu = ["192.0.2.11", "2001:db8::11"]
us = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "2001:db8::1", "2001:db8::2", "2001:db8::3"]
"#;

/// What it may add to a refusal, but for cookies and errors told at length.
const EXTRAS_OF_REFUSALS: &str = "server.nsid = \"a name of a server that is as long as it is allowed to be, and n\"\n\
     server.error-reports = \"reports.of.errors.that.resolvers.have.met.example.net\"\n";

/// Octets of the query and of its reply by UDP.
fn lengths(world: &World, packet: Vec<u8>) -> (usize, usize) {
    let query = packet.len();
    let asked = Asked { packet, source: [198, 51, 100, 7].into(), transport: Transport::Udp };
    (query, world.ask(&asked).map_or(0, |reply| reply.len()))
}

const NAMES: &[&str] = &[
    "", "www", "many", "s", "text", "t", "geo", "cut", "x.cut", "nothing", "a.b.c", "x.w", "q.w", "a", "x.d",
    "d", "ns1",
];
const TYPES: [RecordType; 14] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::NS,
    RecordType::SOA,
    RecordType::ANY,
    RecordType::HTTPS,
    RecordType::DNSKEY,
    RecordType::CDS,
    RecordType::RRSIG,
    RecordType::NSEC,
    RecordType::NSEC3PARAM,
    RecordType::DS,
    RecordType::DNAME,
];

/// Every question of the names and types, in every way that may make its reply longer.
fn questions(zone: &str) -> Vec<Question> {
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    let options: [&[u8]; 6] = [
        &[],
        &[0, 3, 0, 0],
        &[0, 3, 0, 0, 0, 11, 0, 0, 0, 12, 0, 0, 0, 19, 0, 0],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 0],
        &subnet,
        &[0, 12, 0, 0],
    ];
    let mut questions = Vec::new();
    for (name, rtype) in NAMES.iter().flat_map(|name| TYPES.map(|rtype| (name, rtype))) {
        let name = if name.is_empty() { zone.to_owned() } else { format!("{name}.{zone}") };
        let question = Question::new(&name, rtype);
        questions.push(Question { edns: None, ..question.clone() });
        for (octets, options) in [0, 1232, 65_535].into_iter().flat_map(|size| options.map(|it| (size, it))) {
            for dnssec_ok in [false, true] {
                let edns = Edns { octets, version: 0, dnssec_ok, options: options.to_vec() };
                questions.push(Question { edns: Some(edns), ..question.clone() });
            }
        }
    }
    questions
}

/// Signed and unsigned zones alone, and beside each other.
#[test]
fn no_reply_by_udp_is_longer_than_its_bound_whatever_is_asked() {
    let text = zone();
    let beside =
        World::new(&[("example.com", &text)], &EXTRAS.replace(", \"geo.signed.example\"", "")).unwrap();
    let signed = |denial: &str| {
        World::signed(&[("signed.example", &text)], &EXTRAS.replace("\"geo.example.com\", ", ""), denial)
            .unwrap()
    };
    let (mut longest, mut octets_most) = ([0; 2], 0);
    for (zone, is_signed, mut world) in [
        ("example.com", false, beside),
        ("signed.example", true, signed("denial = \"nsec\"")),
        ("signed.example", true, signed("denial = \"nsec3\"")),
    ] {
        for state in ["", "eu/geo/192.0.2.11 down\neu/geo/2001:db8::11 down"] {
            world.believe(state).unwrap();
            for question in questions(zone) {
                let dnssec_ok = question.edns.as_ref().is_some_and(|edns| edns.dnssec_ok);
                let (query, reply) = lengths(&world, question.packet());
                let times = if is_signed && dnssec_ok { SIGNED_MAX } else { UNSIGNED_MAX };
                assert!(reply <= times * query, "{question:?}: {query} -> {reply}");
                let most =
                    question.edns.as_ref().map_or(512, |edns| usize::from(edns.octets).clamp(512, 1232));
                assert!(reply <= most.min(UDP_OCTETS_MAX), "{question:?}: {reply}");
                octets_most = octets_most.max(reply);
                let longest = &mut longest[usize::from(is_signed && dnssec_ok)];
                *longest = (reply * 10 / query).max(*longest);
            }
        }
    }
    let [unsigned, signed] = longest.map(|tenths| tenths as f64 / 10.0);
    println!("unsigned at most {unsigned} times the query, signed {signed}; at most {octets_most} octets");
    // The bounds are met and not merely kept.
    assert!(longest[0] >= 95 && longest[1] >= 150, "{longest:?} tenths");
}

#[test]
fn a_good_cookie_lifts_the_bound() {
    let world = World::new(&[("example.com", &zone())], "").unwrap();
    let mut question = Question::new("many.example.com", RecordType::A);
    question.edns.as_mut().unwrap().options = vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let asked =
        Asked { packet: question.packet(), source: [198, 51, 100, 7].into(), transport: Transport::Udp };
    let learnt = world.ask(&asked).unwrap();
    assert!(learnt[2] & 2 == 2 && learnt.len() < 100, "TC and a cookie");
    let cookie = learnt.last_chunk::<24>().unwrap().to_vec();
    question.edns.as_mut().unwrap().options = [&[0, 10, 0, 24][..], &cookie].concat();
    let (_, reply) = lengths(&world, question.packet());
    assert!(reply > 60 * 16, "all records by UDP");
}

#[test]
fn the_bound_is_where_the_operator_puts_it() {
    let asks = |configuration: &str| {
        let world = World::new(&[("example.com", &zone())], configuration).unwrap();
        lengths(&world, Question::new("many.example.com", RecordType::A).packet()).1
    };
    assert!(asks("") < 100);
    assert!(asks("server.amplification.unsigned = 100\n") > 60 * 16);
    assert!(asks("server.amplification.signed = 100\n") < 100);
}

#[test]
fn a_refusal_is_no_longer_than_what_it_refuses() {
    let world = World::new(&[("example.com", &zone())], EXTRAS_OF_REFUSALS).unwrap();
    let mut refused = 0;
    let without_edns = |mut question: Question| {
        question.edns = None;
        question.packet()
    };
    let outside = without_edns(Question::new("www.example.org", RecordType::A));
    let chaos = without_edns(Question { class: 3, ..Question::new("version.bind", RecordType::TXT) });
    let transfer = Question::new("example.com", RecordType::AXFR).packet();
    let notify = Question { flags: 0x2000, ..Question::new("example.com", RecordType::SOA) }.packet();
    let version = Question::new("www.example.com", RecordType::A);
    let mut named = Question::new("example.com", RecordType::AXFR);
    named.edns.as_mut().unwrap().options = vec![0, 3, 0, 0];
    for packet in [outside, chaos, transfer, notify, version.packet()[..20].to_vec(), named.packet()] {
        let (query, reply) = lengths(&world, packet);
        println!("{query} octets are refused in {reply}");
        assert!(reply * 100 <= query * REFUSAL_MAX_PERCENT, "{query} -> {reply}");
        refused += 1;
    }
    assert_eq!(refused, 6);
}

#[test]
fn limits_hold_by_udp_and_a_good_cookie_passes() {
    let configuration = "server.rate-limit = { replies-per-second = 5, burst-seconds = 2, slip = 2 }\n";
    let world = World::new(&[("example.com", ZONE)], configuration).unwrap();
    let registry = Arc::new(Registry::default());
    let tally = registry.enlist(Transport::Udp, 0);
    let at = WallTime(1_700_000_000_000);
    let sent = |source: &str, transport, packet: &[u8]| {
        let envelope = Envelope { source: source.parse().unwrap(), transport, at, is_last: false };
        let mut reply = [0; 65_535];
        let replies = (0..30).map(|_| match respond(&world.table, packet, envelope, &mut reply, &tally) {
            Action::Ignore => None,
            Action::Send(length) => Some(reply[..length].to_vec()),
        });
        replies.collect::<Vec<_>>()
    };
    let question = Question::new("www.example.com", RecordType::A);
    let replies = sent("192.0.2.1", Transport::Udp, &question.packet());
    assert!(replies[..10].iter().all(|reply| reply.as_ref().is_some_and(|reply| reply[2] & 2 == 0)));
    let slipped: Vec<_> = replies[10..].iter().flatten().collect();
    assert_eq!(slipped.len(), 10, "every second limited reply slips");
    for reply in slipped {
        let asked =
            Asked { packet: question.packet(), source: [192, 0, 2, 1].into(), transport: Transport::Udp };
        let shown = oracle::judge(&asked, reply);
        assert!(shown.flags.contains(&"tc") && shown.answer.is_empty());
    }
    assert_eq!((tally.rate_limited.get(), tally.slipped.get()), (20, 10));

    assert_eq!(
        sent("192.0.2.1", Transport::Tcp, &question.packet()).iter().flatten().count(),
        30,
        "TCP is not limited"
    );
    let mut with_cookie = question.clone();
    with_cookie.edns.as_mut().unwrap().options = vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let learnt = sent("192.0.2.1", Transport::Tcp, &with_cookie.packet());
    let cookie = learnt[0].as_ref().unwrap().last_chunk::<24>().unwrap().to_vec();
    with_cookie.edns.as_mut().unwrap().options = [&[0, 10, 0, 24][..], &cookie].concat();
    assert_eq!(
        sent("192.0.2.1", Transport::Udp, &with_cookie.packet()).iter().flatten().count(),
        30,
        "a good cookie passes"
    );
    let other = sent("192.0.2.2", Transport::Udp, &with_cookie.packet());
    assert_eq!(other.iter().flatten().count(), 15, "but only for the address that it was made for");
}

#[test]
fn no_genuine_query_is_answered_with_more_than_ten_times_its_length() {
    let world = World::new(&[("example.com", &zone())], "").unwrap();
    for packet in mutation::corpus() {
        let (query, reply) = lengths(&world, packet);
        assert!(reply <= UNSIGNED_MAX * query && reply <= UDP_OCTETS_MAX, "{query} -> {reply}");
    }
}
