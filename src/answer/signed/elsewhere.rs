//! Zones that were signed elsewhere: their signatures and proofs are taken from the zone file as they are.

use std::fmt;

use super::SignedZone;
use super::chain::{Chain, NewLink};
use crate::answer::names::{Builder, Kind, NewEntry};
use crate::answer::records::{Encoder, Role, Source};
use crate::dnssec::denial::{Denial, HASH_OCTETS, ITERATIONS_MAX, Nsec3};
use crate::dnssec::signer::expiration;
use crate::dnssec::wall;
use crate::ids::ZoneId;
use crate::name;
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::rdata;
use crate::zone::{Owner, Rrset, Situation, Zone};

/// Why a zone that holds signatures cannot be served as a signed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElsewhereFault {
    /// It has neither NSEC nor NSEC3 records, or none at its apex.
    NoProofs,
    /// Its NSEC3 records hash more often than that.
    Iterations(u16),
    /// The owner of an NSEC3 record is no hash.
    NoHash,
    /// Some signatures fit no message.
    TooLarge,
}

/// Whether a zone file is that of a signed zone: then its apex has signatures.
#[must_use]
pub fn is_signed(zone: &Zone) -> bool {
    zone.apex().rrset(RecordType::RRSIG).is_some()
}

impl SignedZone {
    /// The signed side of a zone that was signed elsewhere.
    pub fn given(zone: &Zone) -> Result<Self, ElsewhereFault> {
        let denial = denial(zone)?;
        let mut builder = Builder::default();
        let mut links = Vec::new();
        for owner in zone.owners().filter(|owner| owner.situation() != Situation::BelowCut) {
            let mut records = Vec::new();
            for set in owner.rrsets().filter(|set| set.rtype() != RecordType::RRSIG) {
                if set.rtype() == denial.rtype() {
                    links.push(link(zone, &denial, &owner, &set)?);
                }
                encode_signatures(&owner, &set, &mut records)?;
            }
            let entry = NewEntry {
                name: owner.name(),
                kind: Kind::Inside,
                zone: ZoneId(0),
                service: None,
                parent_side: None,
                records: &records,
            };
            builder.add(entry).map_err(|_| ElsewhereFault::TooLarge)?;
        }
        if links.is_empty() {
            return Err(ElsewhereFault::NoProofs);
        }
        let chain = Chain::new(denial, zone.origin().label_count(), links);
        if chain.at(zone.origin().as_wire()).is_none() {
            return Err(ElsewhereFault::NoProofs);
        }
        let (origin, expires) = (zone.origin().clone(), first_end(zone));
        Ok(Self { origin, names: builder.finish(), chain, expires, made: None })
    }
}

/// When the first signature of a zone ends.
fn first_end(zone: &Zone) -> WallTime {
    let rrsigs = zone.owners().filter_map(|owner| owner.rrset(RecordType::RRSIG)).flat_map(Rrset::rdata);
    rrsigs.map(|rrsig| wall(expiration(rrsig))).min().expect("the apex of a signed zone has signatures")
}

/// Which proofs a zone has: by hash where it says so at its apex (RFC 5155 section 4).
fn denial(zone: &Zone) -> Result<Denial, ElsewhereFault> {
    let Some(parameters) = zone.apex().rrset(RecordType::NSEC3PARAM) else { return Ok(Denial::Nsec) };
    let data = parameters.rdata().next().expect("a set has a record");
    let iterations = u16::from_be_bytes([data[2], data[3]]);
    if iterations > ITERATIONS_MAX {
        return Err(ElsewhereFault::Iterations(iterations));
    }
    Ok(Denial::Nsec3(Nsec3 { iterations, salt: data[5..].into() }))
}

fn link(zone: &Zone, denial: &Denial, owner: &Owner<'_>, set: &Rrset<'_>) -> Result<NewLink, ElsewhereFault> {
    let apex_octets = zone.origin().as_wire().len();
    let prefix = owner.name()[..owner.name().len() - apex_octets].to_vec();
    let place = match denial {
        Denial::Nsec => denial.place(owner.name(), zone.origin().label_count()).as_octets().to_vec(),
        Denial::Nsec3(_) => {
            let label = name::labels(owner.name()).next().unwrap_or_default();
            let mut hash = Vec::new();
            let decoded = rdata::decode_base32hex(label, &mut hash);
            decoded.filter(|()| hash.len() == HASH_OCTETS).ok_or(ElsewhereFault::NoHash)?;
            hash
        }
    };
    let mut sets = Vec::new();
    let data = set.rdata().next().expect("a set has a record");
    let source = Source { owner: None, rtype: set.rtype(), ttl: set.ttl(), rdata: data };
    Encoder::at(owner.name())
        .encode(Role::Answer, set.rtype(), [source], &mut sets)
        .map_err(|_| ElsewhereFault::TooLarge)?;
    encode_signatures(owner, set, &mut sets)?;
    Ok(NewLink { place, prefix, sets })
}

/// Appends the signatures over a set: they have its TTL (RFC 4034 section 3).
fn encode_signatures(owner: &Owner<'_>, set: &Rrset<'_>, out: &mut Vec<u8>) -> Result<(), ElsewhereFault> {
    let covers = |data: &&[u8]| data[..2] == set.rtype().0.to_be_bytes();
    let rrsigs = owner.rrset(RecordType::RRSIG).into_iter().flat_map(Rrset::rdata).filter(covers);
    let sources = rrsigs.map(|rdata| Source { owner: None, rtype: RecordType::RRSIG, ttl: set.ttl(), rdata });
    Encoder::at(owner.name())
        .encode(Role::Signature, set.rtype(), sources, out)
        .map_err(|_| ElsewhereFault::TooLarge)
}

impl fmt::Display for ElsewhereFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProofs => {
                f.write_str("it has no NSEC and no NSEC3 record for its apex, so nothing can be denied")
            }
            Self::Iterations(count) => write!(
                f,
                "its NSEC3 records hash {count} times more, and at most {ITERATIONS_MAX} are taken (RFC 9276)"
            ),
            Self::NoHash => f.write_str("the owner of an NSEC3 record is no hash"),
            Self::TooLarge => f.write_str("some of its signatures fit no message"),
        }
    }
}
