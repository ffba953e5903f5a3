//! Keys and signatures over weeks: a resolver whose caches hold whatever they may hold validates at every moment, and
//! no signature comes near its end.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rhumb::answer::signed::SignedZone;
use rhumb::dnssec::denial::Denial;
use rhumb::dnssec::key::{Key, SECURE_ENTRY, ZONE_KEY, tag};
use rhumb::dnssec::rollover::{Held, announce, replace, take_over};
use rhumb::dnssec::signer::{Rules, Signer, expiration};
use rhumb::dnssec::timing::Timing;
use rhumb::dnssec::{Algorithm, seconds};
use rhumb::name::Name;
use rhumb::time::WallTime;
use rhumb::wire::code::RecordType;
use rhumb::zone::{self, Zone};

use crate::world::NOW;

const HOUR: u64 = 3_600_000;
const TEXT: &[u8] = b"@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 7200 A 192.0.2.53\n\
                      www 7200 A 192.0.2.1\nwww 60 TXT \"x\"\n*.w 60 A 192.0.2.2\n";
const HELD: Held = Held {
    dnskey: Duration::from_secs(3600),
    longest: Duration::from_secs(7200),
    ds: Duration::from_secs(7200),
};

fn origin() -> Name {
    "example.com".parse().unwrap()
}

fn zone_of(text: &[u8]) -> Arc<Zone> {
    let read = zone::read(&origin(), Path::new("zone"), text, &mut |_| unreachable!());
    Arc::new(read.unwrap().0)
}

fn signer(keys: Vec<Key>) -> Arc<Signer> {
    let rules = Rules {
        denial: Denial::Nsec,
        validity: 14 * 86_400,
        renew_before: 5 * 86_400,
        jitter: 86_400,
        dnskey_ttl: 3600,
    };
    Arc::new(Signer::new(origin(), keys, rules))
}

fn key(flags: u16, timing: Timing) -> Key {
    Key::generate(origin(), flags, Algorithm::Ed25519, timing)
}

fn at(hour: u64) -> WallTime {
    WallTime(NOW.0 + hour * HOUR)
}

/// What the zone shows at one hour.
struct Seen {
    dnskeys: BTreeSet<u16>,
    cds: BTreeSet<u16>,
    /// By whom DNSKEY is signed, and by whom all else.
    entry: BTreeSet<u16>,
    others: BTreeSet<u16>,
    signatures: Vec<Vec<u8>>,
}

fn see(signed: &SignedZone) -> Seen {
    let apex = origin();
    let apex = apex.as_wire();
    let data = |rtype| signed.added(apex, rtype).into_iter().flat_map(|set| set.plain_data());
    let signer = |rrsig: &[u8]| u16::from_be_bytes([rrsig[16], rrsig[17]]);
    let (mut entry, mut others, mut signatures) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for name in ["example.com", "ns1.example.com", "www.example.com", "*.w.example.com"] {
        let name: Name = name.parse().unwrap();
        let link = signed.chain().at(name.as_wire()).unwrap();
        for set in signed.signatures(name.as_wire()).chain([link.signatures]) {
            assert!(set.count > 0);
            let of_keys = [RecordType::DNSKEY, RecordType::CDS, RecordType::CDNSKEY].contains(&set.rtype);
            let by = if of_keys { &mut entry } else { &mut others };
            by.extend(set.plain_data().map(signer));
            signatures.extend(set.plain_data().map(<[u8]>::to_vec));
        }
    }
    Seen {
        dnskeys: data(RecordType::DNSKEY).map(tag).collect(),
        cds: data(RecordType::CDS).map(|ds| u16::from_be_bytes([ds[0], ds[1]])).collect(),
        entry,
        others,
        signatures,
    }
}

/// Plays hours of a zone, its keys as they are by the dates.
fn play(signer: &Arc<Signer>, hours: u64) -> Vec<Seen> {
    play_from(signer, 0..hours)
}

fn play_from(signer: &Arc<Signer>, hours: Range<u64>) -> Vec<Seen> {
    let start = at(hours.start);
    let mut signed =
        SignedZone::make(zone_of(TEXT), Arc::clone(signer), Arc::default(), Arc::default(), None, start)
            .unwrap();
    let mut seen = Vec::new();
    for hour in hours {
        if signed.due().unwrap() <= at(hour) {
            signed = signed.anew(Arc::default(), at(hour)).unwrap().unwrap();
        }
        let now = see(&signed);
        let least = now.signatures.iter().map(|rrsig| expiration(rrsig) - seconds(at(hour))).min().unwrap();
        assert!(least >= 4 * 86_400, "hour {hour}: a signature ends in {least} s");
        seen.push(now);
    }
    seen
}

/// Whatever caches hold of keys and signatures fits together.
fn check_caches(seen: &[Seen]) {
    let hours = |span: Duration| (span.as_secs() / 3600) as usize;
    for now in 0..seen.len() {
        for then in now.saturating_sub(hours(HELD.dnskey))..=now {
            assert!(!seen[now].others.is_disjoint(&seen[then].dnskeys), "hour {now}, keys of {then}");
            assert!(!seen[now].entry.is_disjoint(&seen[now].dnskeys));
        }
        for then in now.saturating_sub(hours(HELD.longest))..=now {
            assert!(
                !seen[then].others.is_disjoint(&seen[now].dnskeys),
                "keys of {now}, signatures of {then}"
            );
        }
    }
}

#[test]
fn a_zone_signing_key_is_replaced_by_the_clock_alone() {
    let entry = key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)));
    let mut old = key(ZONE_KEY, Timing { sync_publish: None, ..Timing::from_now(at(0)) });
    let new = key(ZONE_KEY, replace(&mut old.timing, &HELD, at(5)));
    let (old_tag, new_tag, entry_tag) = (old.tag(), new.tag(), entry.tag());
    let seen = play(&signer(vec![entry, old, new]), 24);
    check_caches(&seen);
    assert!(seen.iter().all(|seen| seen.entry == [entry_tag].into() && seen.cds == [entry_tag].into()));
    assert_eq!(seen[0].others, [old_tag].into());
    assert_eq!(seen[4].dnskeys, [entry_tag, old_tag].into());
    assert_eq!(seen[5].dnskeys, [entry_tag, old_tag, new_tag].into());
    assert_eq!(seen[7].others, [new_tag].into());
    assert_eq!(seen[23].dnskeys, [entry_tag, new_tag].into());
}

#[test]
fn a_key_that_does_everything_is_replaced_when_the_parent_names_both() {
    let mut old = key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)));
    let mut new = key(ZONE_KEY | SECURE_ENTRY, announce(at(5)));
    let takes_over = take_over(&mut new.timing, &mut old.timing, &HELD, at(10));
    assert_eq!(takes_over, at(13));
    let (old_tag, new_tag) = (old.tag(), new.tag());
    let seen = play(&signer(vec![old, new]), 30);
    check_caches(&seen);
    let (both, new) = (BTreeSet::from([old_tag, new_tag]), BTreeSet::from([new_tag]));
    assert_eq!(
        (&seen[4].cds, &seen[5].cds, &seen[12].cds, &seen[13].cds),
        (&[old_tag].into(), &both, &both, &new)
    );
    assert_eq!((&seen[12].entry, &seen[13].entry), (&[old_tag].into(), &new));
    assert_eq!(seen[29].dnskeys, new);
}

/// The same key by other dates, as a file has it that was written anew.
fn dated(key: &Key, timing: Timing) -> Key {
    let owner = key.owner().clone();
    Key::new(owner, key.flags(), key.algorithm(), &key.dnskey()[4..], key.private(), timing).unwrap()
}

/// The dates count from when they were written, and the server may be told of them when they have passed.
#[test]
fn caches_validate_whenever_a_successor_comes_into_force() {
    for reload in 5..20 {
        let entry = key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)));
        let old = key(ZONE_KEY, Timing::from_now(at(0)));
        let mut ending = old.timing;
        let new = key(ZONE_KEY, replace(&mut ending, &HELD, at(5)));
        let copy = |key: &Key| dated(key, key.timing);
        let follow = |before: &Signer, hour: u64| {
            let written = signer(vec![copy(&entry), copy(&new), dated(&old, ending)]);
            Arc::new(Arc::into_inner(written).unwrap().following(before, 7200, at(hour)))
        };
        let before = signer(vec![copy(&entry), copy(&old)]);
        let after = follow(&before, reload);
        let again = follow(&after, reload + 1);
        let mut seen = play_from(&before, 0..reload);
        seen.extend(play_from(&after, reload..reload + 1));
        seen.extend(play_from(&again, reload + 1..40));
        check_caches(&seen);
        assert!(!seen[39].dnskeys.contains(&old.tag()), "it goes in the end");
        assert_eq!(after.held(at(reload)).count(), usize::from(reload >= 6), "a late one is told of");
        assert!(!after.is_unknown_after(&before, at(reload)));
        let alone = signer(vec![copy(&entry), dated(&new, Timing::default())]);
        assert!(alone.is_unknown_after(&before, at(reload)));
    }
}

#[test]
fn a_zone_whose_dates_leave_no_key_goes_on_with_the_last() {
    let mut only = key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)));
    only.timing.inactive = Some(at(10));
    only.timing.delete = Some(at(20));
    let seen = play(&signer(vec![only]), 24 * 20);
    check_caches(&seen);
}

/// A zone-signing key is no stand-in: the DS of the parent does not name it.
#[test]
fn the_last_key_that_the_parent_names_goes_on_beside_a_zone_signing_key() {
    let mut entry = key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)));
    entry.timing.inactive = Some(at(10));
    entry.timing.delete = Some(at(20));
    let zone = key(ZONE_KEY, Timing::from_now(at(0)));
    let (entry_tag, zone_tag) = (entry.tag(), zone.tag());
    let signer = signer(vec![entry, zone]);
    let seen = play(&signer, 30);
    check_caches(&seen);
    assert!(seen.iter().all(|seen| seen.entry == [entry_tag].into() && seen.others == [zone_tag].into()));
    assert_eq!(signer.beyond_dates(at(20)).map(Key::tag).collect::<Vec<_>>(), [entry_tag]);
}

#[test]
fn the_last_key_goes_on_until_its_successor_signs() {
    let old = Timing { inactive: Some(at(10)), delete: Some(at(20)), ..Timing::from_now(at(0)) };
    let new = Timing { publish: Some(at(30)), activate: Some(at(40)), ..Timing::default() };
    let [old, new] = [old, new].map(|timing| key(ZONE_KEY | SECURE_ENTRY, timing));
    let [old_tag, new_tag] = [&old, &new].map(Key::tag);
    let seen = play(&signer(vec![old, new]), 60);
    check_caches(&seen[..40]);
    for (hour, seen) in seen.iter().enumerate() {
        let signs = if hour < 40 { old_tag } else { new_tag };
        assert_eq!((&seen.entry, &seen.others), (&[signs].into(), &[signs].into()), "hour {hour}");
        assert_eq!(seen.dnskeys.contains(&new_tag), hour >= 30, "hour {hour}");
    }
}

/// RFC 4035 section 2.2, though the dates leave the new keys silent at first and the old ones at last.
#[test]
fn each_algorithm_of_the_dnskey_set_signs() {
    let old = Timing { inactive: Some(at(10)), delete: Some(at(40)), ..Timing::from_now(at(0)) };
    let new = Timing { publish: Some(at(5)), activate: Some(at(20)), ..Timing::default() };
    let both = |timing, algorithm| {
        [ZONE_KEY | SECURE_ENTRY, ZONE_KEY].map(|flags| Key::generate(origin(), flags, algorithm, timing))
    };
    let [old, new] = [both(old, Algorithm::EcdsaP256Sha256), both(new, Algorithm::Ed25519)];
    let [old_tags, new_tags] = [&old, &new].map(|keys| keys.each_ref().map(Key::tag));
    let seen = play(&signer([old, new].into_iter().flatten().collect()), 60);
    check_caches(&seen);
    for (hour, seen) in seen.iter().enumerate() {
        let names =
            |tags: &BTreeSet<u16>| [old_tags, new_tags].map(|of| of.iter().any(|tag| tags.contains(tag)));
        let there = [hour < 40, hour >= 5];
        for tags in [&seen.dnskeys, &seen.entry, &seen.others] {
            assert_eq!(names(tags), there, "hour {hour}");
        }
    }
}

#[test]
fn renewals_are_spread_and_each_leaves_the_rest_alone() {
    let signer = signer(vec![key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)))]);
    let seen = play(&signer, 24 * 30);
    let changed = |pair: &[Seen]| {
        let before: BTreeSet<_> = pair[0].signatures.iter().collect();
        pair[1].signatures.iter().filter(|rrsig| !before.contains(rrsig)).count()
    };
    let changes: Vec<usize> = seen.windows(2).map(changed).filter(|count| *count > 0).collect();
    let all = seen[0].signatures.len();
    assert!(changes.len() > 6 && changes.iter().all(|count| *count < all), "{changes:?} of {all}");
}

#[test]
fn a_changed_zone_has_new_signatures_where_it_changed_and_nowhere_else() {
    let signer = signer(vec![key(ZONE_KEY | SECURE_ENTRY, Timing::from_now(at(0)))]);
    let before =
        SignedZone::make(zone_of(TEXT), Arc::clone(&signer), Arc::default(), Arc::default(), None, at(0))
            .unwrap();
    let text =
        String::from_utf8(TEXT.to_vec()).unwrap().replace("www 7200 A 192.0.2.1", "www 7200 A 192.0.2.9");
    let after = SignedZone::make(
        zone_of(text.as_bytes()),
        signer,
        Arc::default(),
        Arc::default(),
        Some(&before),
        at(1),
    )
    .unwrap();
    let (before, after) = (see(&before), see(&after));
    let new = after.signatures.iter().filter(|rrsig| !before.signatures.contains(rrsig));
    assert_eq!(new.map(|rrsig| u16::from_be_bytes([rrsig[0], rrsig[1]])).collect::<Vec<_>>(), [1]);
}
