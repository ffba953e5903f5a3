//! Signed zones: every signature of every reply is checked by hickory-proto, and every denial by the rules of
//! RFC 4035 section 5.4 and RFC 5155 section 8, over the states of a world of steered and plain names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::dnssec::Verifier;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};
use rhumb::answer::compile::CounterNumbers;
use rhumb::config::generation;
use rhumb::config::key_store;
use rhumb::control::state::{Event, State};
use rhumb::dnssec::Algorithm;
use rhumb::dnssec::denial::{Denial, Nsec3};
use rhumb::dnssec::key::{Key, SECURE_ENTRY, ZONE_KEY};
use rhumb::dnssec::timing::{Timing, written};
use rhumb::health::verdict::Standing;
use rhumb::time::{Moment, WallTime};
use rhumb::wire::code::RecordType;

use crate::ask::{self, Asked};
use crate::oracle;
use crate::world::{NOW, World};

const PARENT: &str = r#"
@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
@ 3600 MX 10 MaiL
@ 3600 TXT "top"
ns1 3600 A 192.0.2.53
mail 60 A 192.0.2.25
plain 60 A 192.0.2.1
plain 60 A 192.0.2.2
plain 60 AAAA 2001:db8::1
plain 60 SRV 1 2 3 WWW
deep.ent.x 60 A 192.0.2.3
*.w 60 A 192.0.2.4
x.w 60 TXT "blocks"
*.wc 60 CNAME plain
*.wn 60 CNAME nothing
c1 60 CNAME c2
c2 60 CNAME plain
cnx 60 CNAME nothing
cw 60 CNAME any.w
ccut 60 CNAME in.secure
csteered 60 CNAME www
dn 60 DNAME x
dnw 60 DNAME w
secure 60 NS ns.secure
secure 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001
ns.secure 60 A 192.0.2.8
insecure 60 NS ns.insecure
ns.insecure 60 A 192.0.2.9
far.below 60 NS ns.example.net.
*.wcut 60 NS ns.example.net.
*.wds 60 NS ns.example.net.
*.wds 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000003
sib 60 NS ns.sib
sib 60 NS plain
sib 60 NS ns.secure
ns.sib 60 A 192.0.2.7
child 60 NS ns1
child 60 DS 2 13 2 0000000000000000000000000000000000000000000000000000000000000002
www 60 A 192.0.2.10
www 60 TXT "beside steering"
*.app 60 A 192.0.2.20
static 60 CNAME eu.cdn.example.net.
"#;
const CHILD: &str = "@ 600 SOA ns1.example.com. host 1 7200 900 1209600 900\n@ 600 NS ns1.example.com.\nwww 60 A 192.0.2.13\n";
pub(crate) const ZONES: &[(&str, &str)] = &[("example.com", PARENT), ("child.example.com", CHILD)];

pub(crate) const SERVICES: &str = r#"
maps.world = { order = ["eu", "us", "ap"], clients = { "net:10.1.0.0/16" = { regions = ["us"] }, "net:10.2.0.0/16" = { regions = ["ap"], fence = "hard" } } }
maps.fenced = { order = ["eu", "us", "ap"], clients = { "net:10.1.0.0/16" = { regions = ["us"], fence = "hard" }, "net:10.2.0.0/16" = { regions = ["ap"], fence = "hard" } } }
maps.shares = { order = "weighted" }
[services.www]
names = ["www.example.com", "example.com", "new.in.example.com", "www.child.example.com"]
map = "world"
https = ["1 . alpn=h2"]
svcb = ["1 . alpn=h3"]
[services.www.regions]
eu = ["192.0.2.11", "192.0.2.12", "2001:db8:1::1"]
us = ["192.0.2.21", "2001:db8:2::1"]
ap = ["192.0.2.31", "2001:db8:3::1"]
[services.app]
names = ["*.app.example.com"]
map = "world"
families = "independent"
[services.app.regions]
eu = ["192.0.2.41", "2001:db8:1::4"]
us = ["192.0.2.42"]
ap = ["192.0.2.43"]
[services.shared]
names = ["shared.example.com"]
map = "shares"
answers = 1
[services.shared.regions]
eu = ["192.0.2.51", "192.0.2.52"]
us = ["192.0.2.53"]
[services.static]
names = ["static.example.com"]
map = "world"
answer = "cname"
[services.static.regions]
eu = { endpoints = ["192.0.2.61"], cname = "eu.cdn.example.net" }
us = { endpoints = ["192.0.2.62"], cname = "us.cdn.example.net" }
ap = { endpoints = ["192.0.2.63"], cname = "ap.cdn.example.net" }
[services.alone]
names = ["alone.example.com", "*.alone.example.com"]
map = "fenced"
families = "independent"
when-all-down = "servfail"
https = ["1 . alpn=h2"]
[services.alone.regions]
eu = ["192.0.2.71", "2001:db8:1::7"]
us = ["2001:db8:2::7"]
ap = ["192.0.2.73"]
"#;

/// Names of every kind, each asked for every type below.
pub(crate) const NAMES: &[&str] = &[
    "example.com",
    "ns1.example.com",
    "PLAIN.example.com",
    "nothing.example.com",
    "a.b.nothing.example.com",
    "ent.x.example.com",
    "x.example.com",
    "deep.ent.x.example.com",
    "zz.ent.x.example.com",
    "any.w.example.com",
    "y.any.w.example.com",
    "x.w.example.com",
    "y.x.w.example.com",
    "*.w.example.com",
    "w.example.com",
    "a.wc.example.com",
    "a.wn.example.com",
    "c1.example.com",
    "cnx.example.com",
    "cw.example.com",
    "ccut.example.com",
    "csteered.example.com",
    "deep.ent.dn.example.com",
    "none.dn.example.com",
    "q.dnw.example.com",
    "dn.example.com",
    "secure.example.com",
    "in.secure.example.com",
    "insecure.example.com",
    "in.insecure.example.com",
    "far.below.example.com",
    "a.far.below.example.com",
    "any.wcut.example.com",
    "a.b.wcut.example.com",
    "a.*.wcut.example.com",
    "any.wds.example.com",
    "in.sib.example.com",
    "below.example.com",
    "child.example.com",
    "www.child.example.com",
    "no.child.example.com",
    "www.example.com",
    "new.in.example.com",
    "in.example.com",
    "a.app.example.com",
    "b.c.app.example.com",
    "app.example.com",
    "*.app.example.com",
    "shared.example.com",
    "static.example.com",
    "alone.example.com",
    "any.alone.example.com",
    "zzz.example.com",
];
pub(crate) const TYPES: &[&str] = &[
    "A",
    "AAAA",
    "TXT",
    "MX",
    "HTTPS",
    "SVCB",
    "CNAME",
    "DNAME",
    "NS",
    "DS",
    "SOA",
    "DNSKEY",
    "CDS",
    "CDNSKEY",
    "NSEC",
    "NSEC3PARAM",
    "ANY",
    "SRV",
];
/// Those that follow the verdicts.
const STEERED: &[&str] = &[
    "example.com",
    "www.example.com",
    "new.in.example.com",
    "www.child.example.com",
    "a.app.example.com",
    "b.c.app.example.com",
    "shared.example.com",
    "static.example.com",
    "alone.example.com",
    "any.alone.example.com",
];
pub(crate) const CLIENTS: &[&str] = &["10.0.0.1", "10.1.0.1", "10.2.0.1"];
/// Endpoints that are down or in doubt, and the loss of each region and of all.
const STATES: &[&str] = &[
    "",
    "eu/www/192.0.2.11 suspect",
    "eu/www/192.0.2.11 down",
    "eu/www/192.0.2.11 down\neu/www/192.0.2.12 down\neu/www/2001:db8:1::1 down\neu/app/192.0.2.41 down\neu/app/2001:db8:1::4 down\neu/static/192.0.2.61 down\neu/shared/192.0.2.51 down\neu/shared/192.0.2.52 down",
    "us/www/192.0.2.21 down\nus/www/2001:db8:2::1 down\nus/app/192.0.2.42 down",
    "ap/www/192.0.2.31 down\nap/www/2001:db8:3::1 recovering 50%",
    "eu/www/192.0.2.11 recovering 25%\neu/www/192.0.2.12 recovering 25%\neu/www/2001:db8:1::1 recovering 25%",
    "eu/app/2001:db8:1::4 down",
    OUTAGE,
];
/// Regions that some clients have alone, and nothing in the place of.
const OUTAGE: &str = "us/alone/2001:db8:2::7 down\nap/alone/192.0.2.73 down";

pub(crate) fn ask(world: &World, name: &str, rtype: &str, client: &str) -> Message {
    let asked = ask::read(&format!("dig {name} {rtype} +dnssec +tcp from {client}")).unwrap();
    reply(world, &asked)
}

fn reply(world: &World, asked: &Asked) -> Message {
    let reply = world.ask(asked).unwrap();
    oracle::judge(asked, &reply);
    Message::from_vec(&reply).unwrap()
}

/// The keys of a zone.
pub(crate) fn keys(world: &World, zone: &str) -> Vec<DNSKEY> {
    let message = ask(world, zone, "DNSKEY", "10.0.0.1");
    let key = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
        _ => None,
    };
    message.answers.iter().filter_map(key).collect()
}

/// Checks each signature, and that nothing that should be signed is not.
pub(crate) fn check_signatures(message: &Message, keys: &BTreeMap<&str, Vec<DNSKEY>>, what: &str) {
    for section in [&message.answers, &message.authorities, &message.additionals] {
        let mut sets: BTreeMap<(String, u16), Vec<&Record>> = BTreeMap::new();
        let mut signatures: BTreeMap<(String, u16), Vec<&Record>> = BTreeMap::new();
        let dnames: Vec<&Name> = section
            .iter()
            .filter(|record| record.record_type() == Type::from(39))
            .map(|record| &record.name)
            .collect();
        for record in section.iter() {
            let owner = record.name.to_lowercase().to_string();
            match &record.data {
                RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => {
                    signatures.entry((owner, rrsig.input().type_covered.into())).or_default().push(record)
                }
                _ => sets.entry((owner, record.record_type().into())).or_default().push(record),
            }
        }
        for ((owner, rtype), set) in &sets {
            let is_made = *rtype == 5
                && dnames.iter().any(|dname| dname.zone_of(&set[0].name) && **dname != set[0].name);
            let is_referral = *rtype == 2 && std::ptr::eq(section, &message.authorities);
            // RFC 4035 section 2.2: what stands below a cut is not the zone's to sign.
            let is_glue = owner.starts_with("ns.");
            let is_unsigned = is_made || is_referral || is_glue;
            let Some(over) = signatures.remove(&(owner.clone(), *rtype)) else {
                assert!(is_unsigned, "{what}: {owner} {rtype} is not signed");
                continue;
            };
            assert!(!is_unsigned, "{what}: {owner} {rtype} is signed");
            assert_eq!(over.len(), 1, "{what}: by one key");
            let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = &over[0].data else { unreachable!() };
            check_signature(over[0], rrsig, set, keys, what);
        }
        assert!(signatures.is_empty(), "{what}: signatures over nothing: {signatures:?}");
    }
}

fn check_signature(
    record: &Record,
    rrsig: &RRSIG,
    set: &[&Record],
    keys: &BTreeMap<&str, Vec<DNSKEY>>,
    what: &str,
) {
    let input = rrsig.input();
    let now = (NOW.0 / 1000) as u32;
    assert!(input.sig_inception.get() <= now && now < input.sig_expiration.get(), "{what}: it holds now");
    assert!(
        set.iter().all(|signed| signed.ttl == record.ttl && signed.ttl <= input.original_ttl),
        "{what}: TTLs"
    );
    let signer = input.signer_name.to_string();
    let keys = &keys[signer.trim_end_matches('.')];
    let verified = keys
        .iter()
        .any(|key| key.verify_rrsig(&set[0].name, DNSClass::IN, rrsig, set.iter().copied()).is_ok());
    assert!(verified, "{what}: {} {} is not what was signed", set[0].name, set[0].record_type());
}

/// The records that deny, as far as checks here need them: where each begins and ends, and its types.
struct Span {
    from: Vec<u8>,
    to: Vec<u8>,
    types: BTreeSet<u16>,
    /// Delegations without DS may stand in between, unproven (RFC 5155 section 6).
    opt_out: bool,
}

/// What a reply proves.
struct Proofs {
    denial: Denial,
    spans: Vec<Span>,
}

impl Proofs {
    fn of(message: &Message, denial: Denial, apex_labels: usize) -> Self {
        let wire = |name: &Name| {
            let text = name.to_lowercase().to_ascii();
            text.parse::<rhumb::name::Name>().unwrap().as_wire().to_vec()
        };
        let mut spans = Vec::new();
        for record in &message.authorities {
            match &record.data {
                RData::DNSSEC(DNSSECRData::NSEC(nsec)) => spans.push(Span {
                    from: Denial::Nsec.place(&wire(&record.name), apex_labels).as_octets().to_vec(),
                    to: Denial::Nsec.place(&wire(nsec.next_domain_name()), apex_labels).as_octets().to_vec(),
                    types: nsec.type_bit_maps().map(u16::from).collect(),
                    opt_out: false,
                }),
                RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => {
                    let label = record.name.iter().next().unwrap().to_vec();
                    let mut from = Vec::new();
                    rhumb::zone::rdata::decode_base32hex(&label, &mut from).unwrap();
                    let Denial::Nsec3(wanted) = &denial else { panic!("{record}") };
                    assert_eq!((nsec3.iterations(), nsec3.salt()), (wanted.iterations, &*wanted.salt));
                    let types = nsec3.type_bit_maps().map(u16::from).collect();
                    let to = nsec3.next_hashed_owner_name().to_vec();
                    spans.push(Span { from, to, types, opt_out: nsec3.opt_out() });
                }
                _ => {}
            }
        }
        Self { denial, spans }
    }

    fn at(&self, name: &[u8], labels: usize) -> Option<&Span> {
        let place = self.denial.place(name, labels);
        self.spans.iter().find(|span| span.from == place.as_octets())
    }

    fn spans(&self, name: &[u8], labels: usize) -> bool {
        self.spanning(name, labels).is_some()
    }

    fn spanning(&self, name: &[u8], labels: usize) -> Option<&Span> {
        let place = self.denial.place(name, labels).as_octets().to_vec();
        self.spans.iter().find(|span| {
            let wraps = span.to <= span.from;
            span.from < place && (place < span.to || wraps) || wraps && place < span.to
        })
    }

    /// Whether a delegation without DS, or what stands above such alone, may be at the name: an ancestor is there, and
    /// what spans the next name below it opts out (RFC 5155 section 7.2.4).
    fn opted_out(&self, name: &rhumb::name::Name, labels: usize) -> bool {
        let ancestors: Vec<_> =
            std::iter::successors(Some(name.clone()), rhumb::name::Name::parent).collect();
        ancestors.windows(2).any(|pair| {
            self.at(pair[1].as_wire(), labels).is_some()
                && self.spanning(pair[0].as_wire(), labels).is_some_and(|span| span.opt_out)
        })
    }

    /// Whether the name is proven to be there without records of a type.
    fn no_data(&self, name: &[u8], labels: usize, rtype: u16) -> bool {
        match self.at(name, labels) {
            Some(span) => !span.types.contains(&rtype) && !span.types.contains(&5),
            // An empty non-terminal: the next name of a span is below it.
            None if self.denial == Denial::Nsec => {
                let place = self.denial.place(name, labels).as_octets().to_vec();
                self.spans(name, labels) && self.spans.iter().any(|span| span.to.starts_with(&place))
            }
            None => false,
        }
    }
}

/// Checks what a negative or expanded reply must prove.
pub(crate) fn check_denial(message: &Message, denial: &Denial, asked: &str, rtype: RecordType, what: &str) {
    check_expansions(message, denial, what);
    if !is_negative(message) {
        return check_referral(message, denial, what);
    }
    assert!(denies(message, denial, asked, rtype), "{what}: nothing proves it: {message}");
}

fn is_negative(message: &Message) -> bool {
    message.authorities.iter().any(|record| record.record_type() == Type::SOA)
}

/// Whether a negative reply proves that there is no such name, or that it has no records of the type.
fn denies(message: &Message, denial: &Denial, asked: &str, rtype: RecordType) -> bool {
    let rcode = u16::from(message.metadata.response_code);
    // Of a chain, the last name.
    let mut name = Name::from_ascii(asked).unwrap().to_lowercase();
    name.set_fqdn(true);
    for _ in 0..message.answers.len() {
        for record in &message.answers {
            if let (RData::CNAME(target), true) = (&record.data, record.name.to_lowercase() == name) {
                name = target.0.to_lowercase();
            }
        }
    }
    let soa = message.authorities.iter().find(|record| record.record_type() == Type::SOA).unwrap();
    let labels = usize::from(soa.name.num_labels());
    let proofs = Proofs::of(message, denial.clone(), labels);
    let ours: rhumb::name::Name = name.to_ascii().parse().unwrap();
    let ancestors: Vec<rhumb::name::Name> =
        std::iter::successors(Some(ours.clone()), rhumb::name::Name::parent).collect();
    let wildcard = |name: &rhumb::name::Name| name.child(b"*").unwrap();
    // Whatever name could be the closest encloser: its next closer name is spanned.
    let enclosers = ancestors.windows(2).filter(|pair| {
        let proven = *denial == Denial::Nsec || proofs.at(pair[1].as_wire(), labels).is_some();
        proven && proofs.spans(pair[0].as_wire(), labels)
    });
    let enclosers: Vec<_> = enclosers.map(|pair| pair[1].clone()).collect();
    let expanded_no_data =
        enclosers.iter().any(|encloser| proofs.no_data(wildcard(encloser).as_wire(), labels, rtype.0));
    match rcode {
        3 => enclosers.iter().any(|encloser| proofs.spans(wildcard(encloser).as_wire(), labels)),
        _ => {
            let no_data = proofs.no_data(ours.as_wire(), labels, rtype.0);
            no_data || expanded_no_data || proofs.opted_out(&ours, labels)
        }
    }
}

/// Checks that of each name which a wildcard stands for it is proven that itself is not there (RFC 4035 section 5.3.4, RFC
/// 5155 section 8.8).
fn check_expansions(message: &Message, denial: &Denial, what: &str) {
    for record in message.answers.iter().chain(&message.authorities) {
        let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = &record.data else { continue };
        let signed = usize::from(rrsig.input().num_labels);
        if usize::from(record.name.num_labels()) <= signed {
            continue;
        }
        let labels = usize::from(rrsig.input().signer_name.num_labels());
        let proofs = Proofs::of(message, denial.clone(), labels);
        let next_closer =
            if *denial == Denial::Nsec { record.name.clone() } else { record.name.trim_to(signed + 1) };
        let next_closer: rhumb::name::Name = next_closer.to_lowercase().to_ascii().parse().unwrap();
        assert!(
            proofs.spans(next_closer.as_wire(), labels),
            "{what}: {} may be there: {message}",
            record.name
        );
    }
}

/// Checks that a referral has DS records or the proof that there are none (RFC 4035 section 3.1.4).
fn check_referral(message: &Message, denial: &Denial, what: &str) {
    let authority = |rtype| message.authorities.iter().find(move |record| record.record_type() == rtype);
    let (Some(cut), None) = (authority(Type::NS), authority(Type::DS)) else { return };
    let signer = message.authorities.iter().find_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => Some(rrsig.input().signer_name.clone()),
        _ => None,
    });
    let labels = signer.unwrap_or_else(|| panic!("{what}: nothing is signed: {message}")).num_labels().into();
    let proofs = Proofs::of(message, denial.clone(), labels);
    let cut: rhumb::name::Name = cut.name.to_lowercase().to_ascii().parse().unwrap();
    // What a wildcard stands for is a cut by what it says.
    let ancestors: Vec<rhumb::name::Name> =
        std::iter::successors(Some(cut.clone()), rhumb::name::Name::parent).collect();
    let wildcard = ancestors.windows(2).find_map(|pair| {
        let wildcard = pair[1].child(b"*").unwrap();
        let stands =
            proofs.spans(pair[0].as_wire(), labels) && proofs.at(wildcard.as_wire(), labels).is_some();
        stands.then_some(wildcard)
    });
    let said_at = wildcard.as_ref().unwrap_or(&cut);
    let is_cut = proofs.at(said_at.as_wire(), labels).is_some_and(|span| {
        span.types.contains(&RecordType::NS.0)
            && !span.types.contains(&RecordType::DS.0)
            && !span.types.contains(&RecordType::SOA.0)
    });
    assert!(is_cut || proofs.opted_out(&cut, labels), "{what}: nothing proves that DS is wanting: {message}");
}

fn check_world(dnssec: &str, denial: &Denial) {
    let mut world = World::signed(ZONES, SERVICES, dnssec).unwrap();
    let keys: BTreeMap<&str, Vec<DNSKEY>> =
        ZONES.iter().map(|(zone, _)| (*zone, keys(&world, zone))).collect();
    assert!(keys.values().all(|keys| keys.len() == 1));
    for (index, state) in STATES.iter().enumerate() {
        world.believe(state).unwrap();
        // What no verdict touches is asked for once.
        let is_touched = |name: &&&str| index == 0 || STEERED.contains(*name);
        for name in NAMES.iter().filter(is_touched) {
            for rtype in TYPES {
                for client in if index == 0 { &CLIENTS[..1] } else { CLIENTS } {
                    let what = format!("{state}: {name} {rtype} from {client}");
                    let message = ask(&world, name, rtype, client);
                    check_signatures(&message, &keys, &what);
                    check_denial(&message, denial, name, rtype.parse().unwrap(), &what);
                    assert!(!message.authorities.iter().any(opts_out), "{what}: {message}");
                }
            }
        }
    }
}

/// RFC 4034 section 4.1.2: a resolver that believes proofs (RFC 8198) would go on denying what an outage withheld.
#[test]
fn no_proof_denies_a_type_that_has_an_answer_or_would_have_but_for_an_outage() {
    for (rules, denial) in [("nsec", Denial::Nsec), ("nsec3", Denial::Nsec3(Nsec3::default()))] {
        let mut world = World::signed(ZONES, SERVICES, &format!("denial = \"{rules}\"")).unwrap();
        for (state, name, client) in [
            ("", "alone.example.com", "10.1.0.1"),
            (OUTAGE, "alone.example.com", "10.0.0.1"),
            (OUTAGE, "alone.example.com", "10.1.0.1"),
            (OUTAGE, "alone.example.com", "10.2.0.1"),
            (OUTAGE, "any.alone.example.com", "10.1.0.1"),
            (OUTAGE, "any.alone.example.com", "10.2.0.1"),
            ("eu/app/2001:db8:1::4 down", "a.app.example.com", "10.0.0.1"),
        ] {
            world.believe(state).unwrap();
            let ask = |rtype| ask(&world, name, rtype, client);
            let types = TYPES.iter().filter(|rtype| **rtype != "ANY");
            let (negative, there): (Vec<&str>, Vec<&str>) = types.partition(|rtype| is_negative(&ask(rtype)));
            assert!(there.len() > 1, "{there:?}");
            for rtype in negative {
                let message = ask(rtype);
                for there in &there {
                    let is_denied = denies(&message, &denial, name, there.parse().unwrap());
                    assert!(!is_denied, "{state}: {name} from {client}: {there} is not so: {message}");
                }
            }
        }
    }
}

fn opts_out(record: &Record) -> bool {
    matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) if nsec3.opt_out())
}

#[test]
fn every_answer_in_every_state_validates_with_nsec() {
    check_world("denial = \"nsec\"", &Denial::Nsec);
}

#[test]
fn every_answer_in_every_state_validates_with_nsec3() {
    check_world("denial = \"nsec3\"", &Denial::Nsec3(Nsec3::default()));
}

#[test]
fn without_do_the_replies_of_a_signed_zone_are_those_of_the_same_zone_unsigned() {
    let plain = World::new(ZONES, SERVICES).unwrap();
    let signed = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    for name in NAMES {
        for rtype in TYPES.iter().filter(|rtype| !["DNSKEY", "CDS", "CDNSKEY", "NSEC"].contains(rtype)) {
            // It names the key of the child, which has none in the zone unsigned.
            if (*name, *rtype) == ("child.example.com", "DS") {
                continue;
            }
            for client in CLIENTS {
                let asked = ask::read(&format!("dig {name} {rtype} from {client}")).unwrap();
                assert_eq!(plain.ask(&asked), signed.ask(&asked), "{name} {rtype}");
            }
        }
    }
}

#[test]
fn do_changes_nothing_in_a_zone_that_is_not_signed() {
    let world = World::new(ZONES, SERVICES).unwrap();
    for name in NAMES {
        for rtype in TYPES {
            let with = ask::read(&format!("dig {name} {rtype} +dnssec")).unwrap();
            let without = ask::read(&format!("dig {name} {rtype}")).unwrap();
            let (with, without) = (reply(&world, &with), reply(&world, &without));
            assert_eq!(
                (with.answers, with.authorities),
                (without.answers, without.authorities),
                "{name} {rtype}"
            );
        }
    }
}

/// A referral says what it must; the signatures over addresses of name servers stand there only where there is room
/// (RFC 4035 section 3.1.1).
#[test]
fn signatures_over_addresses_beside_a_referral_go_before_it_is_truncated() {
    let world = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    let mut counts = BTreeSet::new();
    for octets in (512..=1232).step_by(4) {
        let asked = ask::read(&format!("dig in.sib.example.com A +dnssec +bufsize={octets}")).unwrap();
        let message = reply(&world, &asked);
        assert!(!message.metadata.truncation, "{octets}: {message}");
        let signatures = message.additionals.iter().filter(|record| record.record_type() == Type::RRSIG);
        counts.insert(signatures.count());
    }
    assert_eq!(counts, BTreeSet::from([1, 2]));
}

/// One set's signature, and at steered names that over what the client is given; with a proof where a wildcard stands for
/// the name (RFC 4035 section 3.1.3.3).
#[test]
fn signatures_alone_are_given_at_every_name_that_has_some() {
    let mut world = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    for state in STATES {
        world.believe(state).unwrap();
        for name in STEERED.iter().chain(&["plain.example.com", "c1.example.com", "a.wc.example.com"]) {
            for client in CLIENTS {
                let message = ask(&world, name, "RRSIG", client);
                if *state == OUTAGE && name.contains("alone") && *client != CLIENTS[0] {
                    // As its sets themselves.
                    assert_eq!(
                        message.metadata.response_code,
                        ResponseCode::ServFail,
                        "{name} from {client}"
                    );
                    continue;
                }
                let types: Vec<Type> = message.answers.iter().map(Record::record_type).collect();
                assert_eq!(types, [Type::RRSIG], "{state}: {name} from {client}: {message}");
                let is_proven = message.authorities.iter().any(|record| record.record_type() == Type::NSEC);
                let is_expanded =
                    ["a.wc.", "a.app.", "b.c.app.", "any.alone."].iter().any(|of| name.starts_with(of));
                assert_eq!(is_proven, is_expanded, "{state}: {name} from {client}: {message}");
                let message = ask(&world, name, "ANY", client);
                let types: BTreeSet<u16> =
                    message.answers.iter().map(|record| record.record_type().into()).collect();
                let covered = types.len() == 2 && types.contains(&46);
                assert!(covered, "{state}: {name} ANY from {client}: {message}");
            }
        }
    }
}

/// One order of regions for everybody: the second is in use only when the first is lost.
const IN_ORDER: &str = r#"
maps.home = { order = ["eu", "us", "ap"] }
[services.www]
names = ["www.example.com", "www.child.example.com"]
map = "home"
[services.www.regions]
eu = ["192.0.2.11", "192.0.2.12", "2001:db8:1::1"]
us = ["192.0.2.21", "2001:db8:2::1"]
ap = ["192.0.2.31", "2001:db8:3::1"]
"#;

/// The loss of a single region was signed ahead: its swap makes no signature.
#[test]
fn a_failover_of_one_region_signs_nothing_new_and_another_state_only_what_is_new() {
    let mut world = World::signed(ZONES, IN_ORDER, "denial = \"nsec\"").unwrap();
    // A and AAAA of two names, in two regions.
    assert_eq!(world.signatures.made(), 8);
    let eu = "eu/www/192.0.2.11 down\neu/www/192.0.2.12 down\neu/www/2001:db8:1::1 down";
    let us = "us/www/192.0.2.21 down\nus/www/2001:db8:2::1 down";
    for state in [eu, "", us, "eu/www/192.0.2.11 suspect", ""] {
        world.believe(state).unwrap();
        assert_eq!(world.signatures.made(), 8, "{state}");
    }
    // One of two addresses: A of two names is new.
    world.believe("eu/www/192.0.2.11 down").unwrap();
    assert_eq!(world.signatures.made(), 10);
    world.believe(&format!("{eu}\n{us}")).unwrap();
    assert_eq!(world.signatures.made(), 14);
}

#[test]
fn a_child_beside_its_signed_parent_is_delegated_there_and_by_a_key_that_it_has() {
    const TOP: &str = "@ 60 SOA ns1 host 1 7200 900 1209600 300\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
    let told = |delegation: &str, more: &str| {
        let parent = format!("{TOP}{delegation}");
        let zones = [("example.com", parent.as_str()), ("child.example.com", CHILD)];
        World::signed(&zones, more, "denial = \"nsec\"").err().unwrap_or_default()
    };
    let (ns, zeros) = ("child 60 NS ns1\n", "0".repeat(63));
    let told_of_child = told("", "");
    assert!(told_of_child.contains("does not delegate child.example.com."), "{told_of_child}");
    let told_of_child = told(&format!("{ns}child 60 DS 9 15 2 {zeros}9\n"), "");
    assert!(told_of_child.contains("name none of its keys"), "{told_of_child}");
    let two = format!("{ns}child 60 DS 9 15 2 {zeros}9\nchild 60 DS 2 13 2 {zeros}2\n");
    assert_eq!(told(&two, ""), "", "one of two is a key that it has");
    assert_eq!(told(ns, ""), "", "a child that is signed and not named is as one that is not signed");
    let (both, plain) =
        (format!("{ns}plain 60 NS ns1\n"), "zones.\"plain.example.com\" = { file = \"1.zone\" }\n");
    assert_eq!(told(&both, plain), "");
    let told_of_plain = told(&format!("{both}plain 60 DS 9 15 2 {zeros}9\n"), plain);
    assert!(told_of_plain.contains("say that it is signed, which it is not"), "{told_of_plain}");
    let far = "zones.\"a.far.example.com\" = { file = \"1.zone\" }\n";
    assert_eq!(told(&format!("{ns}far 60 NS ns.example.net.\n"), far), "", "far is for others to sign");
}

#[test]
fn signatures_made_elsewhere_are_told_of_by_the_first_that_ends() {
    const HOUR: u64 = 3_600_000;
    let told = |ends: u64| {
        let rrsig = |of: &str, end: &str| {
            format!("@ 60 RRSIG {of} 13 2 60 {end} 20200101000000 1 example.com. AAAA\n")
        };
        let (first, later) = (written(WallTime(ends)), "20380101000000");
        let sets = "@ 60 SOA ns host 1 7200 900 1209600 60\n@ 60 NS ns.example.net.\n@ 60 NSEC @ NS SOA RRSIG NSEC\n";
        let zone = [sets, &rrsig("SOA", later), &rrsig("NS", &first), &rrsig("NSEC", later)].concat();
        let folder = tempfile::tempdir().unwrap();
        let file = crate::world::write(folder.path(), &[("example.com", &zone)], "", "");
        let (generation, warnings) = generation::load(&file, NOW).unwrap();
        let table = generation.plan.table(1, &|_| Standing::UP, &mut CounterNumbers::default());
        let expires: Vec<_> = table.signed_zones().map(|zone| zone.expires()).collect();
        assert_eq!(expires, [WallTime(ends)]);
        warnings.iter().map(|warning| format!("{warning}\n")).collect::<String>()
    };
    let (ended, soon, later) = (told(NOW.0 - HOUR), told(NOW.0 + HOUR), told(NOW.0 + 25 * HOUR));
    assert!(ended.contains("has signatures that ended on 20251231230000: validators refuse them"), "{ended}");
    assert!(soon.contains("has signatures that end on 20260101010000 already"), "{soon}");
    assert!(!later.contains("has signatures"), "{later}");
}

/// A program of BIND's, which must be there; its output.
fn bind(program: &str, arguments: &[&str], folder: &Path) -> String {
    let program = format!("/usr/bin/{program}");
    let out = Command::new(&program).args(arguments).current_dir(folder).output();
    let out =
        out.expect("RHUMB_TEST_PEERS is set, so BIND's tools must be there: apt-get install bind9-utils");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}\n{said}");
    said
}

#[test]
fn keys_of_ours_sign_by_bind_and_what_bind_signed_is_served_with_its_proofs() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let origin: rhumb::name::Name = "example.com".parse().unwrap();
    let timing = Timing { sync_publish: None, ..Timing::from_now(NOW) };
    let key = Key::generate(origin.clone(), ZONE_KEY | SECURE_ENTRY, Algorithm::EcdsaP256Sha256, timing);
    key_store::write(folder.path(), &key, 3600).unwrap();
    // BIND takes no wildcard that delegates.
    let text: Vec<&str> =
        PARENT.lines().filter(|line| !line.contains("*.wcut") && !line.contains("*.wds")).collect();
    fs::write(folder.path().join("zone"), text.join("\n") + "\n").unwrap();
    // Salts and iterations are nobody's wish any more, and are met all the same (RFC 9276 section 3).
    let salted = Nsec3 { iterations: 5, salt: [0xab, 0xcd].into() };
    for (denial, wanted) in [
        (Denial::Nsec, &[][..]),
        (Denial::Nsec3(Nsec3::default()), &["-3", "-", "-H", "0"]),
        (Denial::Nsec3(Nsec3::default()), &["-3", "-", "-H", "0", "-A"]),
        (Denial::Nsec3(salted), &["-3", "ABCD", "-H", "5"]),
    ] {
        // Its own check would miss the time of day that this world has.
        let mut arguments = vec!["-o", "example.com", "-S", "-z", "-P", "-O", "full", "-f", "signed"];
        arguments.extend(["-s", "20251231000000", "-e", "20260201000000"]);
        arguments.extend(wanted);
        arguments.push("zone");
        bind("dnssec-signzone", &arguments, folder.path());
        let text = fs::read_to_string(folder.path().join("signed")).unwrap();
        let world = World::new(&[("example.com", &text)], "").unwrap();
        let keys: BTreeMap<&str, Vec<DNSKEY>> = [("example.com", keys(&world, "example.com"))].into();
        assert_eq!(keys["example.com"].len(), 1);
        for name in NAMES {
            for rtype in TYPES {
                let what = format!("{name} {rtype}");
                let message = ask(&world, name, rtype, "10.0.0.1");
                check_signatures(&message, &keys, &what);
                check_denial(&message, &denial, name, rtype.parse().unwrap(), &what);
            }
        }
        let steered = World::new(&[("example.com", &text)], SERVICES).err().unwrap();
        assert!(steered.contains("was signed elsewhere"), "{steered}");
        let twice = World::signed(&[("example.com", &text)], "", "denial = \"nsec\"").err().unwrap();
        assert!(twice.contains("is signed here, but its file holds"), "{twice}");
    }
}

#[test]
fn keys_of_bind_are_taken_as_they_are() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, flags) in [("ECDSAP256SHA256", "ZSK"), ("ED25519", "KSK")] {
        let mut arguments = vec!["-q", "-a", algorithm];
        arguments.extend((flags == "KSK").then_some(["-f", "KSK"]).into_iter().flatten());
        arguments.push("example.com");
        bind("dnssec-keygen", &arguments, folder.path());
    }
    let keys = key_store::read(folder.path(), &"example.com".parse().unwrap(), NOW).unwrap();
    assert_eq!(keys.len(), 2);
    for stored in keys {
        let file = stored.file.with_extension("key");
        let ds = bind("dnssec-dsfromkey", &["-2", file.to_str().unwrap()], folder.path());
        let mut ours = String::new();
        rhumb::zone::rdata::show(RecordType::DS, &stored.key.ds(), &mut ours).unwrap();
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        assert!(plain(&ds).ends_with(&plain(&ours)), "{ds} {ours}");
        assert!(stored.key.timing.activate.is_some());
    }
}

#[test]
fn what_is_due_is_signed_anew_services_in_the_step_and_zones_beside() {
    let world = World::signed(ZONES, IN_ORDER, "denial = \"nsec\"").unwrap();
    let start = Moment::START;
    let mut state = State::new(world.generation, &[], Duration::ZERO, start);
    let in_use = state.signatures_made();
    for _ in 0..10 {
        state.step(Event::Tick, start);
    }
    let ahead = state.signatures_made();
    assert!(ahead > in_use, "{ahead} with those ahead, {in_use} without");
    let day = |days: u64| WallTime(NOW.0 + days * 86_400_000);
    assert!(state.step(Event::Daytime(day(7)), start).table.is_none());
    assert!(state.due_zones(day(7)).is_empty());
    assert!(state.step(Event::Daytime(day(9)), start).table.is_some());
    assert!(state.signatures_made() > ahead);
    let due = state.due_zones(day(9)).into_iter();
    let zones: Vec<_> = due.map(|due| (due.id, Arc::new(due.sign(day(9)).unwrap()))).collect();
    assert_eq!(zones.len(), 2);
    let overtaken = Event::Resigned { generation: state.number() + 1, zones: zones.clone() };
    assert!(state.step(overtaken, start).table.is_none());
    let table = state.step(Event::Resigned { generation: state.number(), zones }, start).table.unwrap();
    assert!(table.signed_zones().all(|zone| zone.expires() > day(21)));
    assert!(state.due_zones(day(9)).is_empty());
}
