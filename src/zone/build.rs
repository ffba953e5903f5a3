//! Records into a zone: put in canonical order, duplicates removed, RRsets formed, empty non-terminals added.
//! Records that are in order already, as most files have them, cost O(n); others are sorted by keys.

use super::raw::{Raw, RawOwner, RawRecord};
use super::rdata;
use super::report::Report;
use super::store::{OwnerEntry, RecordEntry, RrsetEntry, Situation, Zone};
use crate::name::{self, Name};
use crate::wire::code::RecordType;

/// Forms the zone; `raw.records` are afterwards those of the zone, one by one. Whether it is a good zone is not
/// judged here.
pub(super) fn build(origin: &Name, raw: &mut Raw, report: &mut Report) -> Zone {
    order_owners(origin, raw);
    let names = |record: &RawRecord| (record.owner, record.rtype);
    if !raw.records.is_sorted_by_key(names) {
        raw.records.sort_by_key(names);
    }
    settle_rrsets(raw, report);
    remove_duplicates(raw);
    assemble(origin, raw)
}

/// Sorts the owners, takes equal ones together, and lets the records point to them.
fn order_owners(origin: &Name, raw: &mut Raw) {
    let ascending = |a: &RawOwner, b: &RawOwner| name::canonical_order(raw.name(*a), raw.name(*b)).is_lt();
    if raw.owners.is_sorted_by(ascending) {
        return;
    }
    let order = sorted(origin, raw);
    let mut ranks = vec![0u32; raw.owners.len()];
    let mut owners: Vec<RawOwner> = Vec::with_capacity(raw.owners.len());
    for index in order {
        let owner = raw.owners[index as usize];
        if owners.last().is_none_or(|&last| raw.name(last) != raw.name(owner)) {
            owners.push(owner);
        }
        ranks[index as usize] = u32::try_from(owners.len() - 1).expect("owners are fewer than octets");
    }
    raw.owners = owners;
    for record in &mut raw.records {
        record.owner = ranks[record.owner as usize];
    }
}

/// The owners' indices in canonical order, by keys that compare as octets do.
fn sorted(origin: &Name, raw: &Raw) -> Vec<u32> {
    struct Keyed {
        head: [u8; 8],
        key: usize,
        end: usize,
        index: u32,
    }
    let skipped = origin.label_count();
    let mut keys = Vec::new();
    let mut order: Vec<Keyed> = Vec::with_capacity(raw.owners.len());
    for (index, owner) in (0..).zip(&raw.owners) {
        let key = keys.len();
        append_key(raw.name(*owner), skipped, &mut keys);
        let mut head = [0; 8];
        let taken = (keys.len() - key).min(8);
        head[..taken].copy_from_slice(&keys[key..key + taken]);
        order.push(Keyed { head, key, end: keys.len(), index });
    }
    order.sort_by(|a, b| a.head.cmp(&b.head).then_with(|| keys[a.key..a.end].cmp(&keys[b.key..b.end])));
    order.into_iter().map(|keyed| keyed.index).collect()
}

/// Labels from the last to the first, each ended by a zero octet; the octets 0 and 1 inside become two, so that a
/// label sorts before those that it begins.
fn append_key(wire: &[u8], skipped: usize, keys: &mut Vec<u8>) {
    for label in name::labels(wire).rev().skip(skipped) {
        for &octet in label {
            match octet {
                0 | 1 => keys.extend([1, octet + 1]),
                _ => keys.push(octet),
            }
        }
        keys.push(0);
    }
}

fn same_rrset(a: &RawRecord, b: &RawRecord) -> bool {
    a.owner == b.owner && a.rtype == b.rtype
}

/// Puts each RRset's data in canonical order and gives all of it the lowest TTL (RFC 2181 section 5.2).
fn settle_rrsets(raw: &mut Raw, report: &mut Report) {
    let mut records = std::mem::take(&mut raw.records);
    for rrset in records.chunk_by_mut(same_rrset).filter(|rrset| rrset.len() > 1) {
        let ttl = rrset.iter().map(|record| record.ttl).min().expect("a chunk is not empty");
        // Signatures have the TTLs of what they sign (RFC 4034 section 3).
        let other = rrset.iter().find(|record| record.ttl != ttl && record.rtype != RecordType::RRSIG);
        if let Some(record) = other {
            let message =
                format!("the records of one name and type have different TTLs; all get the lowest, {ttl}");
            report.warn(
                report.type_place(record),
                &message,
                &"give them the same TTL (RFC 2181 section 5.2)",
            );
        }
        for record in &mut *rrset {
            record.ttl = ttl;
        }
        sort_data(rrset, raw);
    }
    raw.records = records;
}

fn sort_data(rrset: &mut [RawRecord], raw: &Raw) {
    let rtype = rrset[0].rtype;
    if rdata::has_names(rtype) {
        rrset.sort_by_cached_key(|record| rdata::canonical(rtype, raw.rdata(record)));
    } else {
        rrset.sort_by(|a, b| raw.rdata(a).cmp(raw.rdata(b)));
    }
}

fn remove_duplicates(raw: &mut Raw) {
    let mut records = std::mem::take(&mut raw.records);
    records.dedup_by(|b, a| {
        same_rrset(a, b) && rdata::canonical_order(a.rtype, raw.rdata(a), raw.rdata(b)).is_eq()
    });
    raw.records = records;
}

fn assemble(origin: &Name, raw: &mut Raw) -> Zone {
    let (mut owners, mut rrsets) =
        (Vec::with_capacity(raw.owners.len()), Vec::with_capacity(raw.owners.len()));
    let mut cut: Option<RawOwner> = None;
    let mut previous: Option<RawOwner> = None;
    let mut first = 0u32;
    for of_owner in raw.records.chunk_by(|a, b| a.owner == b.owner) {
        let owner = raw.owners[of_owner[0].owner as usize];
        cut = cut.filter(|&cut| is_below(raw.name(owner), raw.name(cut)));
        let situation = situation(origin, raw.name(owner), cut.is_some(), of_owner);
        let rrset_start = u32::try_from(rrsets.len()).expect("RRsets are fewer than records");
        let inner = if cut.is_some() { Situation::BelowCut } else { Situation::Authoritative };
        let entry = |name, situation| OwnerEntry { name, situation, rrsets: rrset_start };
        owners.extend(missing_ancestors(origin, raw, previous, owner).map(|name| entry(name, inner)));
        owners.push(entry(owner, situation));
        for rrset in of_owner.chunk_by(same_rrset) {
            rrsets.push(RrsetEntry { rtype: rrset[0].rtype, ttl: rrset[0].ttl, records: first });
            first += u32::try_from(rrset.len()).expect("RECORDS_MAX is below");
        }
        if situation == Situation::Cut {
            cut = Some(owner);
        }
        previous = Some(owner);
    }
    let records = raw.records.iter().map(|record| RecordEntry { rdata: record.rdata, length: record.length });
    let records = records.collect();
    let mut octets = std::mem::take(&mut raw.octets);
    octets.shrink_to_fit();
    Zone { origin: origin.clone(), octets, owners, rrsets, records }
}

fn situation(origin: &Name, owner: &[u8], below_cut: bool, records: &[RawRecord]) -> Situation {
    if below_cut {
        Situation::BelowCut
    } else if owner == origin.as_wire() {
        Situation::Apex
    } else if records.iter().any(|record| record.rtype == RecordType::NS) {
        Situation::Cut
    } else {
        Situation::Authoritative
    }
}

/// Whether `wire` is below `ancestor`, not itself.
pub(super) fn is_below(wire: &[u8], ancestor: &[u8]) -> bool {
    wire.len() > ancestor.len()
        && name::suffixes(wire)
            .take_while(|suffix| suffix.len() >= ancestor.len())
            .any(|suffix| suffix == ancestor)
}

/// Ancestors of `owner` in the zone that have no records, shortest first; `previous` comes before it in order.
fn missing_ancestors<'a>(
    origin: &Name,
    raw: &'a Raw,
    previous: Option<RawOwner>,
    owner: RawOwner,
) -> impl Iterator<Item = RawOwner> + 'a {
    let wire = raw.name(owner);
    let before = previous.map_or(&b""[..], |previous| raw.name(previous));
    let known = |suffix: &[u8]| {
        suffix.len() <= origin.as_wire().len() || before == suffix || is_below(before, suffix)
    };
    let missing = name::suffixes(wire).skip(1).take_while(|suffix| !known(suffix)).count();
    (1..=missing).rev().map(move |labels| {
        let suffix = name::suffixes(wire).nth(labels).expect("it was counted");
        let skipped = u32::from(owner.length) - u32::try_from(suffix.len()).expect("a name is short");
        RawOwner { name: owner.name + skipped, length: suffix.len() as u8 }
    })
}
