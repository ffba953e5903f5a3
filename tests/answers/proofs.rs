//! What a signed zone says of itself beside what validates: how long proofs live, which types they list, and which key it
//! asks its parent to name.

use std::collections::BTreeSet;

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::rr::{Name, RData, Record};
use rhumb::dnssec::denial::{Nsec3, hash_label};

use crate::signed::{self, NAMES, SERVICES, TYPES, ZONES};
use crate::world::World;
use crate::{ask, oracle};

/// A reply's records: owner, TTL, type and data as words.
fn records(world: &World, name: &str, rtype: &str) -> Vec<Vec<String>> {
    let asked = ask::read(&format!("dig {name} {rtype} +dnssec +tcp from 10.0.0.1")).unwrap();
    let shown = oracle::judge(&asked, &world.ask(&asked).unwrap()).to_string();
    let lines = shown.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn zone(ttl: u32, minimum: u32) -> String {
    format!(
        "@ {ttl} SOA ns1 host 1 7200 900 1209600 {minimum}\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n\
         *.w 3600 A 192.0.2.1\ncut 3600 NS ns.example.net.\n"
    )
}

/// RFC 9077 section 3: SOA, proofs and their signatures alike, whatever is proven.
#[test]
fn proofs_live_as_long_as_the_lesser_of_the_soa_and_its_minimum() {
    const QUESTIONS: [(&str, &str); 5] = [
        ("nothing.example.com", "A"),
        ("ns1.example.com", "TXT"),
        ("any.w.example.com", "A"),
        ("any.w.example.com", "TXT"),
        ("in.cut.example.com", "A"),
    ];
    for (ttl, minimum) in [(600, 300), (100, 300), (300, 300)] {
        for denial in ["nsec", "nsec3"] {
            let rules = format!("denial = \"{denial}\"");
            let world = World::signed(&[("example.com", &zone(ttl, minimum))], "", &rules).unwrap();
            let expected = ttl.min(minimum).to_string();
            let mut questions = QUESTIONS.to_vec();
            questions.extend((denial == "nsec").then_some(("ns1.example.com", "NSEC")));
            for (name, rtype) in questions {
                let what = format!("{denial}, {ttl} and {minimum}: {name} {rtype}");
                let records = records(&world, name, rtype);
                let proofs = records.iter().filter(|record| record[3].starts_with("NSEC"));
                assert!(proofs.clone().count() > 0, "{what}");
                assert!(proofs.into_iter().all(|proof| proof[1] == expected), "{what}: {records:?}");
                let over = |record: &&Vec<String>| record[3] == "RRSIG" && record[4].starts_with("NSEC");
                let same = |rrsig: &Vec<String>| rrsig[1] == expected && rrsig[7] == expected;
                assert!(records.iter().filter(over).all(same), "{what}: {records:?}");
                let soa = records.iter().find(|record| record[3] == "SOA");
                assert!(soa.is_none_or(|soa| soa[1] == expected), "{what}: {records:?}");
            }
        }
    }
}

/// Beside steered names less: what a client has not got now it may get soon.
#[test]
fn proofs_beside_steered_names_live_no_longer_than_their_answers() {
    for denial in ["nsec", "nsec3"] {
        let world = World::signed(ZONES, SERVICES, &format!("denial = \"{denial}\"")).unwrap();
        for name in ["www.example.com", "new.in.example.com", "a.app.example.com"] {
            let negative = records(&world, name, "TYPE65280");
            let authority = |record: &&Vec<String>| ["SOA", "NSEC", "NSEC3", "RRSIG"].contains(&&*record[3]);
            assert!(negative.iter().filter(authority).count() >= 4, "{name}: {negative:?}");
            assert!(negative.iter().all(|record| record[1] == "30"), "{name}: {negative:?}");
        }
    }
}

/// The types that the proof at a name lists; none where it has no proof that can be asked for.
fn listed(world: &World, denial: &str, name: &str) -> Option<BTreeSet<String>> {
    let name = format!("{}.", name.to_ascii_lowercase());
    if denial == "nsec" {
        let records = records(world, &name, "NSEC");
        let proof = records.into_iter().find(|record| record[0] == name && record[3] == "NSEC")?;
        return Some(proof[5..].iter().cloned().collect());
    }
    let hash = Nsec3::default().hash(name.parse::<rhumb::name::Name>().unwrap().as_wire());
    let label = String::from_utf8(hash_label(&hash)[1..].to_vec()).unwrap();
    let mut records = records(world, &name, "TYPE65280").into_iter();
    let proof = records.find(|record| {
        record[3] == "NSEC3" && record[0].to_ascii_lowercase().split('.').next() == Some(&*label)
    })?;
    Some(proof[9..].iter().cloned().collect())
}

/// RFC 4034 section 4.1.2, RFC 5155 section 7.1: a type too many is a lie that nobody notices, one too few makes
/// resolvers that believe proofs (RFC 8198) deny what is there.
#[test]
fn a_proof_lists_the_types_that_are_answered_and_no_others() {
    for denial in ["nsec", "nsec3"] {
        let world = World::signed(ZONES, SERVICES, &format!("denial = \"{denial}\"")).unwrap();
        let mut seen = 0;
        for name in NAMES {
            let Some(listed) = listed(&world, denial, name) else { continue };
            seen += 1;
            let owner = format!("{name}.").to_ascii_lowercase();
            let (mut answered, mut signed) = (BTreeSet::new(), false);
            // The parent's zone answers for DS at the top of the child, and the child's proof is silent of it.
            let of_parent = |rtype: &str| rtype == "DS" && *name == "child.example.com";
            for rtype in TYPES.iter().copied().filter(|rtype| *rtype != "ANY" && !of_parent(rtype)) {
                for record in records(&world, name, rtype)
                    .iter()
                    .filter(|record| record[0].to_ascii_lowercase() == owner)
                {
                    answered.extend((record[3] == rtype).then_some(rtype));
                    signed |= record[3] == "RRSIG" && record[4] == rtype;
                }
            }
            let asked: BTreeSet<&str> =
                listed.iter().map(String::as_str).filter(|rtype| TYPES.contains(rtype)).collect();
            assert_eq!(asked, answered, "{denial}: {name}");
            assert_eq!(listed.contains("RRSIG"), signed, "{denial}: {name}");
            let known = |rtype: &String| rtype == "RRSIG" || TYPES.contains(&rtype.as_str());
            assert!(listed.iter().all(known), "{denial}: {name}: {listed:?}");
        }
        assert!(seen >= 12, "{denial}: {seen} proofs");
    }
}

const ALIASES: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n\
plain 60 A 192.0.2.1\n*.one 60 CNAME x.two\n*.two 60 CNAME plain\n*.same 60 CNAME b.same2\n*.same2 60 CNAME none.same\n\
*.none 60 CNAME nothing\n*.loop 60 CNAME y.loop\n*.far 60 CNAME www.example.net.\nin.dn.sub 60 A 192.0.2.2\n\
*.down 60 CNAME in.d\nd 60 DNAME dn.sub\n*.away 60 CNAME in.cut\ncut 60 NS ns.cut\nns.cut 60 A 192.0.2.9\n";

/// RFC 1034 section 4.3.2: a chain is followed whether or not wildcards are links of it, and each of these is proven, once
/// and behind all answers.
#[test]
fn an_alias_that_a_wildcard_stands_for_is_followed_and_proven() {
    for denial in ["nsec", "nsec3"] {
        let world =
            World::signed(&[("example.com", ALIASES)], "", &format!("denial = \"{denial}\"")).unwrap();
        for (name, rtype, answers) in [
            ("a.one", "A", 3),
            ("a.one", "CNAME", 1),
            ("a.one", "ANY", 1),
            ("a.one", "TXT", 2),
            ("a.two", "A", 2),
            ("a.same", "A", 3),
            ("a.none", "A", 1),
            ("a.loop", "A", 2),
            ("a.far", "A", 1),
            ("a.down", "A", 4),
        ] {
            let what = format!("{denial}: {name} {rtype}");
            let records = records(&world, &format!("{name}.example.com"), rtype);
            let of = |record: &&Vec<String>, wanted: fn(&str) -> bool| wanted(&record[3]);
            let is_answer = |rtype: &str| ["A", "CNAME", "DNAME"].contains(&rtype);
            let is_proof = |rtype: &str| ["NSEC", "NSEC3"].contains(&rtype);
            let found = records.iter().filter(|record| of(record, is_answer)).count();
            assert_eq!(found, answers, "{what}: {records:?}");
            let unique: BTreeSet<&Vec<String>> = records.iter().collect();
            assert_eq!(unique.len(), records.len(), "{what}: nothing stands there twice: {records:?}");
            let last = records.iter().rposition(|record| is_answer(&record[3])).unwrap();
            let first = records.iter().position(|record| is_proof(&record[3])).unwrap();
            assert!(last < first, "{what}: answers stand before proofs");
            if denial == "nsec" {
                assert_eq!(unproven(&records), Vec::<String>::new(), "{what}: {records:?}");
            }
        }
    }
}

/// The proof stands before the addresses of the referral that a chain ends in.
#[test]
fn an_alias_that_a_wildcard_stands_for_may_lead_to_a_referral() {
    for denial in ["nsec", "nsec3"] {
        let world =
            World::signed(&[("example.com", ALIASES)], "", &format!("denial = \"{denial}\"")).unwrap();
        let message = signed::ask(&world, "a.away.example.com", "A", "10.0.0.1");
        let types = |records: &[Record]| -> BTreeSet<String> {
            records.iter().map(|record| record.record_type().to_string()).collect()
        };
        let named =
            |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(types(&message.answers), named(&["CNAME", "RRSIG"]));
        assert_eq!(types(&message.authorities), named(&["NS", &denial.to_ascii_uppercase(), "RRSIG"]));
        assert_eq!(types(&message.additionals), named(&["A"]));
        assert!(unproven(&records(&world, "a.away.example.com", "A")).is_empty() || denial == "nsec3");
    }
}

/// The owners of sets that a wildcard stood for, by the labels of their signatures, which no NSEC record spans.
fn unproven(records: &[Vec<String>]) -> Vec<String> {
    let wire = |name: &str| name.parse::<rhumb::name::Name>().unwrap();
    let labels = |name: &str| name.trim_end_matches('.').split('.').count();
    let expanded = records
        .iter()
        .filter(|record| record[3] == "RRSIG" && record[6].parse::<usize>().unwrap() < labels(&record[0]));
    let spans = |name: &str| {
        let order = |a: &str, b: &str| rhumb::name::canonical_order(wire(a).as_wire(), wire(b).as_wire());
        records.iter().filter(|record| record[3] == "NSEC").any(|nsec| {
            let (from, to) = (&nsec[0], &nsec[4]);
            order(from, name).is_lt() && (order(name, to).is_lt() || order(to, from).is_le())
        })
    };
    let expanded = expanded.map(|record| record[0].clone()).filter(|name| !name.starts_with("*."));
    expanded.filter(|name| !spans(name)).collect()
}

/// RFC 7344 section 4: at the apex, of the key that the parent should name, in both forms.
#[test]
fn cds_and_cdnskey_stand_at_the_apex_for_the_key_that_signs_the_keys() {
    let world = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    for zone in ["example.com", "child.example.com"] {
        let [key] = &signed::keys(&world, zone)[..] else { panic!("{zone} has one key") };
        let cds = signed::ask(&world, zone, "CDS", "10.0.0.1");
        let of_key = |data: &RData| match data {
            RData::DNSSEC(DNSSECRData::CDS(cds)) => {
                let ds = DS::new(
                    cds.key_tag(),
                    cds.algorithm().expect("it asks for a key"),
                    DigestType::SHA256,
                    cds.digest().to_vec(),
                );
                Some(
                    cds.digest_type() == DigestType::SHA256
                        && ds.covers(&Name::from_ascii(zone).unwrap(), key).unwrap(),
                )
            }
            _ => None,
        };
        let found: Vec<bool> = cds.answers.iter().filter_map(|record| of_key(&record.data)).collect();
        assert_eq!(found, [true], "{zone}: {cds}");
        let data = |rtype: &str| {
            let mut records = records(&world, zone, rtype).into_iter();
            records.find(|record| record[3] == rtype).map(|record| record[4..].to_vec())
        };
        assert_eq!(data("CDNSKEY"), data("DNSKEY"), "{zone}");
        for rtype in ["CDS", "CDNSKEY"] {
            let elsewhere = records(&world, &format!("www.{zone}"), rtype);
            assert!(elsewhere.iter().all(|record| record[3] != rtype), "{zone} {rtype}");
        }
    }
}

/// What is asked of the parent follows from the keys' dates, so that a wish of the file to go unsigned (RFC 8078 section 4) is
/// no more taken than another.
#[test]
fn a_zone_signed_here_has_no_records_of_signing_in_its_file() {
    for (rtype, data) in [("CDS", "0 0 0 00"), ("CDNSKEY", "0 3 0 AA=="), ("DNSKEY", "256 3 13 AA==")] {
        let text = format!("{}@ 3600 {rtype} {data}\n", zone(600, 300));
        let refused = World::signed(&[("example.com", &text)], "", "denial = \"nsec\"").err().unwrap();
        assert!(refused.contains(&format!("its file holds {rtype} records")), "{refused}");
    }
}
