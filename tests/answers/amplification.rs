//! How much more a reply is than its query: what somebody gains who makes up the address of another.

use std::sync::Arc;

use rhumb::answer::count::Registry;
use rhumb::answer::respond::{Action, Envelope, Transport, UDP_OCTETS_MAX, respond};
use rhumb::time::WallTime;
use rhumb::wire::code::RecordType;

use crate::ask::{Asked, Question};
use crate::world::World;
use crate::{mutation, oracle};

/// Replies that are not signed are at most so many times their query.
const UNSIGNED_MAX: usize = 10;
/// Refusals without cookie or extended error are at most so many hundredths of their query.
const REFUSAL_MAX_PERCENT: usize = 105;

const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
ns1 3600 A 192.0.2.53
www 60 A 192.0.2.1
";

fn world() -> World {
    let texts: String = (0..18).map(|at| format!("many 60 A 192.0.2.{at}\n")).collect();
    let long = "0123456789".repeat(14);
    let zone = format!(
        "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\nwww 60 A 192.0.2.1\n\
         text 60 TXT \"{long}\" \"{long}\"\ncut 60 NS ns.cut\nns.cut 60 A 192.0.2.54\n{texts}"
    );
    let configuration = "[maps.m]\norder = [\"eu\"]\n[services.geo]\nnames = [\"geo.example.com\"]\nmap = \"m\"\n\
         regions.eu = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\", \"192.0.2.5\", \"192.0.2.6\"]\n";
    World::new(&[("example.com", &zone)], configuration).unwrap()
}

/// Octets of the query and of its reply by UDP.
fn lengths(world: &World, packet: Vec<u8>) -> (usize, usize) {
    let query = packet.len();
    let asked = Asked { packet, source: [198, 51, 100, 7].into(), transport: Transport::Udp };
    (query, world.ask(&asked).map_or(0, |reply| reply.len()))
}

#[test]
fn no_reply_by_udp_is_more_than_ten_times_its_query_or_longer_than_a_packet() {
    let world = world();
    for name in ["www", "many", "text", "geo", "cut", "x.cut", "nothing"] {
        for rtype in [RecordType::A, RecordType::TXT, RecordType::ANY, RecordType::SOA] {
            for edns in [true, false] {
                let mut question = Question::new(&format!("{name}.example.com"), rtype);
                if let Some(edns) = &mut question.edns {
                    (edns.octets, edns.dnssec_ok) = (65_535, true);
                }
                question.edns = question.edns.filter(|_| edns);
                let (query, reply) = lengths(&world, question.packet());
                assert!(reply <= UNSIGNED_MAX * query, "{name} {rtype}: {query} -> {reply}");
                assert!(reply <= if edns { UDP_OCTETS_MAX } else { 512 }, "{name} {rtype}: {reply}");
            }
        }
    }
}

#[test]
fn a_refusal_is_no_longer_than_what_it_refuses() {
    let world = world();
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
    for packet in [outside, chaos, transfer, notify, version.packet()[..20].to_vec()] {
        let (query, reply) = lengths(&world, packet);
        assert!(reply * 100 <= query * REFUSAL_MAX_PERCENT, "{query} -> {reply}");
        refused += 1;
    }
    assert_eq!(refused, 5);
}

#[test]
fn limits_hold_by_udp_and_a_good_cookie_passes() {
    let configuration = "server.rate-limit = { replies-per-second = 5, burst-seconds = 2, slip = 2 }\n";
    let world = World::new(&[("example.com", ZONE)], configuration).unwrap();
    let registry = Arc::new(Registry::default());
    let tally = registry.enlist(Transport::Udp, 0);
    let at = WallTime(1_700_000_000_000);
    let sent = |source: &str, transport, packet: &[u8]| {
        let envelope = Envelope { source: source.parse().unwrap(), transport, at };
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
    let world = world();
    for packet in mutation::corpus() {
        let (query, reply) = lengths(&world, packet);
        assert!(reply <= UNSIGNED_MAX * query && reply <= UDP_OCTETS_MAX, "{query} -> {reply}");
    }
}
