//! Messages and requests of HTTP through the whole of `respond`: what is fuzzed where octets become answers. The tables
//! are made once: names of every kind, signed and not, with every extension on.

#[path = "../answers/zone.rs"]
mod zone;

use std::cell::RefCell;
use std::fs;
use std::sync::LazyLock;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};
use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::dig;
use rhumb::answer::respond::{Action, Envelope, Transport, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::config::{generation, key_store};
use rhumb::dnssec::Algorithm;
use rhumb::dnssec::key::{Key, SECURE_ENTRY, ZONE_KEY};
use rhumb::dnssec::signatures::Signatures;
use rhumb::dnssec::timing::Timing;
use rhumb::health::verdict::Standing;
use rhumb::ids::ServiceId;
use rhumb::serve::https::request::{self, Asked};
use rhumb::serve::skim;
use rhumb::time::WallTime;
use rhumb::wire::code::OptionCode;
use rhumb::wire::cookie::Secret;

use zone::{CONFIGURATION, ZONE};

const NOW: WallTime = WallTime(1_767_225_600_000);

/// What stands before the configuration that queries are put to.
const SERVER: &str = "server.listen = [\"127.0.0.1:5300\"]
regions.eu = { continent = \"EU\", location = [53.35, -6.26] }
regions.us = { continent = \"NA\", location = [39.04, -77.49] }
";

/// Without signatures, with NSEC, with NSEC3.
static TABLES: LazyLock<[AnswerTable; 3]> =
    LazyLock::new(|| ["", "denial = \"nsec\"", "denial = \"nsec3\""].map(table));

thread_local! {
    static REPLY: RefCell<Vec<u8>> = RefCell::new(vec![0; Transport::Tcp.reply_octets_max()]);
}

fn table(dnssec: &str) -> AnswerTable {
    let folder = tempfile::tempdir().expect("a folder");
    let mut zone = "file = \"zone\"".to_owned();
    if !dnssec.is_empty() {
        let (origin, flags) = ("example.com".parse().expect("a name"), ZONE_KEY | SECURE_ENTRY);
        let key = Key::generate(origin, flags, Algorithm::Ed25519, Timing::from_now(NOW));
        key_store::write(folder.path(), &key, 3600).expect("the folder takes a key");
        zone = format!("{zone}, dnssec = {{ keys = \".\", {dnssec} }}");
    }
    let text = format!("zones.\"example.com\" = {{ {zone} }}\n{SERVER}{CONFIGURATION}");
    let file = folder.path().join("rhumb.toml");
    fs::write(folder.path().join("zone"), ZONE).expect("the folder takes files");
    fs::write(&file, text).expect("the folder takes files");
    let (mut generation, _) = generation::load(&file, NOW).expect("the configuration is right");
    generation.lend_secret(Secret::new(*b"a fuzz's secret."));
    let plan = &generation.plan;
    let mut table = plan.table(1, &|_| Standing::UP, &mut CounterNumbers::default());
    let all = (0..plan.services.len()).map(ServiceId::from_index);
    plan.sign(&mut table, all, &mut Signatures::default(), NOW);
    table
}

/// A message by UDP and by a stream.
pub(crate) fn query(octets: &[u8]) {
    let _ = skim::has_option(octets, OptionCode::TCP_KEEPALIVE);
    for transport in [Transport::Udp, Transport::Quic] {
        ask(octets, transport);
    }
}

/// A request by HTTPS: a line each for the method, the target and the type of the body, then the body.
pub(crate) fn doh_request(octets: &[u8]) {
    let mut parts = octets.splitn(4, |octet| *octet == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    // What these three refuse, HTTP's own library has answered before we see it.
    let Ok(method) = Method::from_bytes(part()) else { return };
    let Ok(target) = part().try_into() else { return };
    let mut headers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_bytes(part()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    match request::judge(&method, &target, &headers, "/dns-query") {
        Ok(Asked::Inline(message)) => ask(&message, Transport::Https),
        Ok(Asked::Body) => ask(part(), Transport::Https),
        Err(refusal) => assert!(refusal.status().is_client_error() && !refusal.reason().is_empty()),
    }
}

fn ask(packet: &[u8], transport: Transport) {
    let deserves_none = packet.len() < 12 || packet[2] & 0x80 != 0;
    let source = if packet.last().is_some_and(|octet| octet % 2 == 1) {
        "10.1.2.3".parse().expect("an address")
    } else {
        "2001:db8:9::7".parse().expect("an address")
    };
    for table in &*TABLES {
        let counters = Counters::new(table.answer_counters());
        let envelope = Envelope { source, transport, at: NOW, is_last: false };
        REPLY.with_borrow_mut(|room| {
            let room = &mut room[..transport.reply_octets_max()];
            match respond(table, packet, envelope, room, &counters) {
                Action::Ignore => assert!(deserves_none, "a query without a reply"),
                Action::Send(octets) => {
                    assert!(!deserves_none, "a reply to what deserves none");
                    judge(packet, &room[..octets]);
                }
            }
        });
    }
}

fn judge(packet: &[u8], reply: &[u8]) {
    let shown = dig::show(reply).expect("every reply can be read");
    assert_ne!(shown.status, "SERVFAIL");
    assert_eq!(reply[..2], packet[..2], "the id is echoed");
    assert_eq!(reply[2] & 0x80, 0x80, "a reply says that it is one");
    let _ = skim::freshness(reply);
}
