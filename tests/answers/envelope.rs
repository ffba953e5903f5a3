//! What holds of header and OPT in every kind of reply: RFC 6891 sections 6.1.1, 6.1.3 and 7, RFC 8906 section 8, RFC 4035
//! section 3.1.6. Who sends OPT gets one, in every error too, unless it was itself what could not be read.

use rhumb::answer::respond::Transport;
use rhumb::wire::code::Rcode;

use crate::ask::Asked;
use crate::world::World;

const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
ns1 3600 A 192.0.2.53
www 60 A 192.0.2.1
alias 60 CNAME www
cut 60 NS ns.cut
ns.cut 60 A 192.0.2.54
";
const COOKIES_REQUIRED: &str = "server.cookies = { required = true }\n";

const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
const OPT: u16 = 41;
const TKEY: u16 = 249;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const MAILB: u16 = 253;
const ANY: u16 = 255;

/// A message in its parts.
#[derive(Clone, Default)]
struct Parts {
    opcode: u16,
    questions: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    authorities: Vec<Vec<u8>>,
    /// Beside OPT.
    additionals: Vec<Vec<u8>>,
    /// How many OPT records.
    opts: usize,
    version: u8,
    options: Vec<u8>,
    trailing: Vec<u8>,
    /// Records that are counted and not there.
    missing: u16,
}

impl Parts {
    fn packet(&self, opt_flags: u16) -> Vec<u8> {
        let options = (self.options.len() as u16).to_be_bytes();
        let [high, low] = opt_flags.to_be_bytes();
        let opt = [&[0, 0, 41, 0x10, 0, 0, self.version, high, low][..], &options, &self.options].concat();
        let mut additionals = vec![opt; self.opts];
        additionals.extend(self.additionals.clone());
        let sections = [&self.questions, &self.answers, &self.authorities, &additionals];
        let mut counts = sections.map(|section| section.len() as u16);
        counts[3] += self.missing;
        // RD, Z, AD, CD and a response code that means nothing.
        let mut packet = [0x1234, self.opcode << 11 | 0x0173].map(u16::to_be_bytes).concat();
        packet.extend(counts.into_iter().flat_map(u16::to_be_bytes));
        packet.extend(sections.into_iter().flatten().flatten());
        packet.extend(&self.trailing);
        packet
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

fn question(name: &str, rtype: u16, class: u16) -> Vec<u8> {
    [&wire(name)[..], &rtype.to_be_bytes(), &class.to_be_bytes()].concat()
}

fn asking(name: &str, rtype: u16) -> Parts {
    Parts { questions: vec![question(name, rtype, 1)], opts: 1, ..Parts::default() }
}

fn www() -> Parts {
    asking("wWw.Example.com", A)
}

fn operation(opcode: u16) -> Parts {
    Parts { opcode, ..asking("example.com", SOA) }
}

/// A record under the question's name.
fn record(rtype: u16) -> Vec<u8> {
    [&[0xc0, 12][..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]].concat()
}

fn option(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code, 0, data.len() as u8][..], data].concat()
}

/// A signature by a key that nobody knows.
fn tsig() -> Vec<u8> {
    tsig_of("hmac-sha256", "key")
}

fn tsig_of(algorithm: &str, key: &str) -> Vec<u8> {
    let data = [&wire(algorithm)[..], &[0, 0, 0x65, 0x55, 0x88, 0, 1, 0x2c, 0, 0, 0x12, 0x34, 0, 0, 0, 0]];
    let data = data.concat();
    let octets = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&wire(key)[..], &[0, 250, 0, 255, 0, 0, 0, 0], &octets, &data].concat()
}

/// The error about a signature names its key and algorithm; by UDP only where there is room for them.
#[test]
fn a_refused_signature_is_named_in_as_many_octets_as_the_client_takes() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    let long = |label: &str| [label; 4].map(|label| label.repeat(60)).join(".");
    let packet = Parts { additionals: vec![tsig_of(&long("a"), &long("k"))], opts: 0, ..www() }.packet(0);
    let named = tsig_of(&long("a"), &long("k")).len();
    for (transport, is_named) in [(Transport::Udp, false), (Transport::Tcp, true)] {
        let asked = Asked { packet: packet.clone(), source: [198, 51, 100, 7].into(), transport };
        let reply = world.ask(&asked).unwrap();
        assert_eq!(reply[3] & 15, 9, "{transport}: NOTAUTH");
        assert_eq!(
            (reply[2] & 2 == 0, reply.len() >= named),
            (is_named, is_named),
            "{transport}: {}",
            reply.len()
        );
        assert!(is_named || reply.len() <= 512, "{transport}: {}", reply.len());
    }
}

/// Every kind of reply: what is asked, the code, whether the reply is authoritative.
fn kinds() -> Vec<(&'static str, Parts, Rcode, bool)> {
    let no_error = Rcode::NOERROR;
    let malformed = |what, parts| (what, parts, Rcode::FORMERR, false);
    let refused = |what, parts| (what, parts, Rcode::REFUSED, false);
    let two = |parts: Parts| Parts { questions: [&parts.questions[..]; 2].concat(), ..parts };
    let with = |options: Vec<u8>| Parts { options, ..www() };
    let cookie = [7; 8];
    let compressed = vec![0xc0, 12, 0, 1, 0, 1];
    let no_question = Parts { questions: Vec::new(), ..www() };
    vec![
        ("an answer", www(), no_error, true),
        ("an alias", asking("alias.example.com", A), no_error, true),
        ("no such type", asking("www.example.com", TXT), no_error, true),
        ("no such name", asking("nothing.example.com", A), Rcode::NXDOMAIN, true),
        ("a referral", asking("www.cut.example.com", A), no_error, false),
        ("ANY", asking("www.example.com", ANY), no_error, true),
        ("an unknown option", with(option(99, b"tomorrow")), no_error, true),
        ("cookies behind the first", with([option(10, &cookie), option(10, &[1])].concat()), no_error, true),
        ("a subnet", with(option(8, &[0, 1, 24, 0, 192, 0, 2])), no_error, true),
        refused("outside of all zones", asking("www.example.org", A)),
        refused("another class", Parts { questions: vec![question("version.bind", TXT, 3)], ..www() }),
        refused("a transfer", asking("example.com", AXFR)),
        refused("a difference", Parts { authorities: vec![record(SOA)], ..asking("example.com", IXFR) }),
        refused("NOTIFY", operation(4)),
        refused("NOTIFY with the new SOA", Parts { answers: vec![record(SOA)], ..operation(4) }),
        refused("UPDATE", operation(5)),
        refused("UPDATE with changes", Parts { authorities: vec![record(A)], ..operation(5) }),
        refused("UPDATE of two zones", two(operation(5))),
        ("a signed UPDATE", Parts { additionals: vec![tsig()], ..operation(5) }, Rcode::NOTAUTH, false),
        malformed("a NOTIFY with half a cookie", Parts { options: option(10, &cookie[..7]), ..operation(4) }),
        malformed(
            "an UPDATE with half a cookie",
            Parts { options: option(10, &cookie[..7]), ..operation(5) },
        ),
        ("a signed query", Parts { additionals: vec![tsig()], ..www() }, Rcode::NOTAUTH, false),
        ("IQUERY", operation(1), Rcode::NOTIMP, false),
        ("STATUS", operation(2), Rcode::NOTIMP, false),
        ("DSO", operation(6), Rcode::NOTIMP, false),
        ("an opcode of tomorrow", operation(15), Rcode::NOTIMP, false),
        ("another, of two questions", two(operation(15)), Rcode::NOTIMP, false),
        ("TKEY", asking("example.com", TKEY), Rcode::NOTIMP, false),
        ("MAILB", asking("example.com", MAILB), Rcode::NOTIMP, false),
        ("another version", Parts { version: 1, ..www() }, Rcode::BADVERS, false),
        ("another version of NOTIFY", Parts { version: 1, ..operation(4) }, Rcode::BADVERS, false),
        ("another version of STATUS", Parts { version: 255, ..operation(2) }, Rcode::BADVERS, false),
        ("another version alone", Parts { version: 1, ..no_question.clone() }, Rcode::BADVERS, false),
        malformed("no question", no_question.clone()),
        malformed("two questions", two(www())),
        malformed("a question for OPT", asking("example.com", OPT)),
        malformed("a compressed question", Parts { questions: vec![compressed], ..www() }),
        malformed("two OPT records", Parts { opts: 2, ..www() }),
        malformed("an answer in a query", Parts { answers: vec![record(A)], ..www() }),
        malformed("an authority in a query", Parts { authorities: vec![record(SOA)], ..www() }),
        malformed("octets behind the end", Parts { trailing: b"xyz".to_vec(), ..www() }),
        malformed("a record that is not there", Parts { missing: 1, ..www() }),
        malformed("an option cut short", with(vec![0, 99, 0, 5, 1, 2])),
        malformed("half a cookie", with(option(10, &cookie[..7]))),
        malformed("a subnet of no family", with(option(8, &[0, 9, 24, 0, 192, 0, 2]))),
        malformed("two subnets", with(option(8, &[0, 1, 0, 0]).repeat(2))),
    ]
}

/// Checks a reply, to what was asked with these flags in OPT.
fn check(world: &World, what: &str, parts: &Parts, flags: u16, transport: Transport) -> (u8, Rcode, bool) {
    let asked = Asked { packet: parts.packet(flags), source: [198, 51, 100, 7].into(), transport };
    let what = format!("{what} by {transport} with flags {flags:04x}");
    let reply = world.ask(&asked).unwrap_or_else(|| panic!("{what}: no reply"));
    assert_eq!(reply[..2], asked.packet[..2], "{what}: the id");
    assert_eq!(reply[2] & 0xf9, 0x80 | (parts.opcode as u8) << 3 | 1, "{what}: QR, opcode and RD");
    assert_eq!(reply[3] & 0xf0, 0, "{what}: no RA, Z, AD or CD");
    let opt = opt(&reply).unwrap_or_else(|| panic!("{what}: no OPT"));
    let [0, 0, 41, size @ .., high, version, flags_high, flags_low] = opt else { panic!("{what}: {opt:?}") };
    assert_eq!(size, 1232u16.to_be_bytes(), "{what}: what we take");
    assert_eq!(version, 0, "{what}: the version that we speak");
    let dnssec_ok = flags & 0x8000;
    assert_eq!(u16::from_be_bytes([flags_high, flags_low]), dnssec_ok, "{what}: DO is given back, alone");
    (reply[2], Rcode(u16::from(high) << 4 | u16::from(reply[3] & 15)), dnssec_ok > 0)
}

/// The fixed part of the one OPT record of a reply, but for its length: it is walked without help of the code that
/// made it.
fn opt(reply: &[u8]) -> Option<[u8; 9]> {
    let number = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let skip = |mut at: usize| loop {
        match reply[at] {
            0 => return at + 1,
            0xc0.. => return at + 2,
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = 12;
    for _ in 0..number(4) {
        at = skip(at) + 4;
    }
    let mut found = None;
    for _ in 0..number(6) + number(8) + number(10) {
        let fixed = skip(at);
        if number(fixed) == 41 {
            assert!(found.is_none(), "one OPT is enough");
            found = Some(reply[at..at + 9].try_into().unwrap());
        }
        at = fixed + 10 + number(fixed + 8);
    }
    assert_eq!(at, reply.len(), "nothing stands behind the last record");
    found
}

#[test]
fn every_kind_of_reply_has_opt_with_do_our_size_and_version_and_nothing_else() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    for (what, parts, rcode, authoritative) in kinds() {
        for transport in Transport::ALL {
            for flags in [0, 0x8000, 0x7fff, 0xffff] {
                let (octet, found, _) = check(&world, what, &parts, flags, transport);
                assert_eq!(found, rcode, "{what}");
                assert_eq!(octet & 0x06, if authoritative { 4 } else { 0 }, "{what}: AA, and not TC");
            }
        }
    }
}

/// Resolvers mix the case of what they ask, and believe a reply that has it alike.
#[test]
fn the_case_of_a_question_comes_back_over_every_transport() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    for name in
        ["wWw.eXamPle.cOM", "ALIAS.example.COM", "nOthinG.example.com", "x.CuT.eXample.com", "eXample.ORG"]
    {
        for transport in Transport::ALL {
            let packet = asking(name, A).packet(0);
            let question = 12..12 + name.len() + 2 + 4;
            let asked = Asked { packet: packet.clone(), source: [198, 51, 100, 7].into(), transport };
            let reply = world.ask(&asked).unwrap();
            assert_eq!(reply[question.clone()], packet[question], "{name} by {transport}");
        }
    }
}

#[test]
fn truncated_replies_and_those_that_want_a_cookie_have_opt_too() {
    let long: String =
        (0..100).map(|at| format!("long 60 TXT \"a text that takes its room {at}\"\n")).collect();
    let zone = format!("{ZONE}{long}");
    let world = World::new(&[("example.com", &zone)], "").unwrap();
    let (octet, rcode, _) =
        check(&world, "truncated", &asking("long.example.com", TXT), 0xffff, Transport::Udp);
    assert_eq!((octet & 0x06, rcode), (6, Rcode::NOERROR), "AA and TC");

    let world = World::new(&[("example.com", ZONE)], COOKIES_REQUIRED).unwrap();
    let parts = Parts { options: option(10, &[7; 8]), ..www() };
    let (octet, rcode, _) = check(&world, "no cookie of ours", &parts, 0xffff, Transport::Udp);
    assert_eq!((octet & 0x06, rcode), (0, Rcode::BADCOOKIE));
}

#[test]
fn who_sends_no_opt_gets_none() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    for (what, parts, _, _) in kinds() {
        let parts = Parts { opts: 0, ..parts };
        let packet = parts.packet(0);
        let reply = world.ask(&Asked { packet, source: [198, 51, 100, 7].into(), transport: Transport::Udp });
        assert_eq!(opt(&reply.unwrap()), None, "{what}");
    }
}

/// RFC 8945 section 5.2: a signature is the last record of additional, the only one, and can be read.
#[test]
fn a_signature_out_of_its_place_or_unreadable_is_formerr_whatever_is_asked() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    let opt = vec![0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0];
    let cut = [&tsig()[..tsig().len() - 2], &[0, 1]].concat();
    let overrunning = tsig()[..tsig().len() - 1].to_vec();
    let compressed = [&[0xc0, 12][..], &tsig()[5..]].concat();
    let asked = [
        ("A", www()),
        ("AXFR", asking("example.com", AXFR)),
        ("IXFR", asking("example.com", IXFR)),
        ("TKEY", asking("example.com", TKEY)),
        ("no question", Parts { questions: Vec::new(), ..www() }),
        ("NOTIFY", operation(4)),
        ("UPDATE", operation(5)),
    ];
    for (asked, parts) in asked {
        let alone = Parts { opts: 0, ..parts };
        for (what, parts) in [
            ("before OPT", Parts { additionals: vec![tsig(), opt.clone()], ..alone.clone() }),
            ("twice", Parts { additionals: vec![tsig(), tsig()], ..alone.clone() }),
            ("of other lengths than it says", Parts { additionals: vec![cut.clone()], ..alone.clone() }),
            ("longer than the message", Parts { additionals: vec![overrunning.clone()], ..alone.clone() }),
            ("of a compressed key", Parts { additionals: vec![compressed.clone()], ..alone.clone() }),
            ("before other octets", Parts { additionals: vec![tsig()], trailing: vec![0], ..alone.clone() }),
            ("among the answers", Parts { answers: vec![tsig()], ..alone.clone() }),
            ("among the authorities", Parts { authorities: vec![tsig()], ..alone.clone() }),
            (
                "there and in its place",
                Parts { authorities: vec![tsig()], additionals: vec![tsig()], ..alone.clone() },
            ),
        ] {
            let packet = parts.packet(0);
            let source = [198, 51, 100, 7].into();
            let reply = world.ask(&Asked { packet, source, transport: Transport::Udp }).unwrap();
            assert_eq!(Rcode(u16::from(reply[3] & 15)), Rcode::FORMERR, "{asked} with a signature {what}");
        }
    }
}

#[test]
fn an_opt_that_cannot_be_read_is_formerr_without_one() {
    let world = World::new(&[("example.com", ZONE)], "").unwrap();
    let opt = [0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0];
    let named = [&[1, b'a'][..], &opt].concat();
    let broken = [&opt[..10], &[9]].concat();
    let alone = |parts: Parts| Parts { opts: 0, ..parts };
    for (what, parts) in [
        ("not at the root", Parts { additionals: vec![named], ..alone(www()) }),
        ("cut short", Parts { additionals: vec![broken], ..alone(www()) }),
        ("among the answers", Parts { answers: vec![opt.to_vec()], ..alone(www()) }),
        ("among the authorities", Parts { authorities: vec![opt.to_vec()], ..alone(www()) }),
        (
            "in the place of a SOA",
            Parts { authorities: vec![opt.to_vec()], ..alone(asking("example.com", IXFR)) },
        ),
    ] {
        let packet = parts.packet(0);
        let reply = world.ask(&Asked { packet, source: [198, 51, 100, 7].into(), transport: Transport::Udp });
        let reply = reply.unwrap();
        assert_eq!((reply[3] & 15, self::opt(&reply)), (1, None), "{what}");
    }
}
