//! Signatures over the answers of services: for each steered name, each variant, each type, ready octets as the
//! variants' own are. They are signed at the longest TTL of the service and served with that of the variant.
//!
//! A client that has no address of one family is told so by a proof whose types are those left to it: the proof
//! that the zone has at the name lists every type that the service answers with when nothing is wanting.

use super::chain::Link;
use super::{Records, SignedZone};
use crate::answer::names::Names;
use crate::answer::records::{Encoder, Role, Source};
use crate::answer::steering::{Steering, TypeSet, Variant};
use crate::answer::table::ZoneTop;
use crate::dnssec::denial::{Denial, bitmap_at};
use crate::dnssec::signatures::Signatures;
use crate::dnssec::signer::{Set, Signer, sorted};
use crate::policy::service::Service;
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::rdata;

/// The signatures of one service.
#[derive(Debug, Default)]
pub struct SteeredSignatures {
    /// Its names in zones that are signed, in the order of their octets.
    names: Box<[SignedName]>,
}

/// The signatures at one name.
#[derive(Debug)]
pub struct SignedName {
    name: Box<[u8]>,
    /// In the order of variants and types.
    answers: Box<[SignedAnswer]>,
    /// Proofs for clients that want for some type.
    no_data: Box<[NoData]>,
}

#[derive(Debug)]
struct SignedAnswer {
    variant: u32,
    rtype: RecordType,
    count: u16,
    octets: Box<[u8]>,
}

/// The proof of which types are left.
#[derive(Debug)]
pub struct NoData {
    left: TypeSet,
    place: Box<[u8]>,
    prefix: Box<[u8]>,
    sets: Box<[u8]>,
}

/// What signing the answers of a service needs.
pub(in crate::answer) struct Signing<'s> {
    pub(in crate::answer) service: &'s Service,
    pub(in crate::answer) names: &'s Names,
    pub(in crate::answer) zones: &'s [ZoneTop],
    pub(in crate::answer) now: WallTime,
}

impl SteeredSignatures {
    /// The signatures at `name`, if its zone is signed. Halves the names of the service.
    #[must_use]
    pub fn of(&self, name: &[u8]) -> Option<&SignedName> {
        let found = self.names.binary_search_by(|signed| (*signed.name).cmp(name)).ok()?;
        Some(&self.names[found])
    }
}

impl SignedName {
    /// The RRSIG records beside the records with which a variant answers a question for `rtype`.
    #[must_use]
    pub fn answer(&self, variant: u32, rtype: RecordType) -> Option<(u16, &[u8])> {
        let from = self.answers.partition_point(|answer| answer.variant < variant);
        let of_variant = self.answers[from..].iter().take_while(|answer| answer.variant == variant);
        let fits = |answer: &&SignedAnswer| answer.rtype == rtype || answer.rtype == RecordType::CNAME;
        of_variant.into_iter().find(fits).map(|answer| (answer.count, &*answer.octets))
    }

    /// The proof that these types, and no others of the service, are left; none where that is all of them.
    #[must_use]
    pub fn no_data(&self, left: TypeSet) -> Option<&NoData> {
        self.no_data.iter().find(|no_data| no_data.left == left)
    }
}

impl NoData {
    /// As a link in the place of that which the zone has at the name.
    #[must_use]
    pub fn link(&self) -> Link<'_> {
        let (record, rest) = Records::read(&self.sets);
        let (signatures, _) = Records::read(rest);
        Link { place: &self.place, prefix: &self.prefix, record, signatures }
    }
}

impl<'s> Signing<'s> {
    /// The names of the service in signed zones, with the signed side of their zone and what signs it.
    fn names(&self) -> impl Iterator<Item = (&'s [u8], &'s SignedZone, &'s Signer)> {
        let Self { service, names, zones, .. } = *self;
        service.names.iter().filter_map(move |name| {
            let zone = names.entry_of(name.as_wire())?.zone();
            let signed = zones[zone.index()].signed.as_deref()?;
            Some((name.as_wire(), signed, signed.signer()?))
        })
    }

    /// Whether there are any.
    pub(in crate::answer) fn any(&self) -> bool {
        self.names().next().is_some()
    }

    /// Signs what `steering` answers with.
    pub(in crate::answer) fn sign(
        &self,
        steering: &Steering,
        signatures: &mut Signatures,
    ) -> SteeredSignatures {
        let mut names: Vec<SignedName> = self
            .names()
            .map(|(name, signed, signer)| SignedName {
                name: name.into(),
                answers: self.answers(name, signer, steering, signatures),
                no_data: self.no_data(name, signed, signer, steering, signatures),
            })
            .collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        SteeredSignatures { names: names.into() }
    }

    /// Has what `steering` would answer with signed, for when it does.
    pub(in crate::answer) fn sign_ahead(&self, steering: &Steering, signatures: &mut Signatures) {
        for (name, _, signer) in self.names() {
            for variant in &steering.variants {
                for (rtype, _, octets) in &variant.records {
                    signatures.of(signer, &self.set(name, *rtype, octets), self.now);
                }
            }
        }
    }

    fn answers(
        &self,
        name: &[u8],
        signer: &Signer,
        steering: &Steering,
        signatures: &mut Signatures,
    ) -> Box<[SignedAnswer]> {
        let mut answers = Vec::new();
        for (at, variant) in (0..).zip(&steering.variants) {
            let ttl = variant.ttl().unwrap_or_default();
            for (rtype, _, octets) in &variant.records {
                let rrsigs = signatures.of(signer, &self.set(name, *rtype, octets), self.now);
                let count = rrsigs.len() as u16;
                let octets = rrsigs.iter().flat_map(|data| rrsig_record(ttl, data)).collect();
                answers.push(SignedAnswer { variant: at, rtype: *rtype, count, octets });
            }
        }
        answers.into()
    }

    /// The records of a variant, whose octets are ready, as they are signed.
    fn set<'n>(&self, name: &'n [u8], rtype: RecordType, octets: &[u8]) -> Set<'n> {
        let data = Variant::data(octets).map(|data| rdata::canonical(rtype, data)).collect();
        Set { owner: name, rtype, ttl: self.service.ttl.steady, data: sorted(data) }
    }

    fn no_data(
        &self,
        name: &[u8],
        signed: &SignedZone,
        signer: &Signer,
        steering: &Steering,
        signatures: &mut Signatures,
    ) -> Box<[NoData]> {
        let whole = steering.all_types();
        let mut left: Vec<TypeSet> = steering.types_left();
        left.retain(|left| *left != whole);
        let Some(link) = signed.chain().at(name) else { return Box::default() };
        let denial = signed.chain().denial();
        let owner = [link.prefix, signer.origin().as_wire()].concat();
        left.into_iter()
            .map(|left| {
                let data = without(&link, denial, |rtype| whole.has(rtype) && !left.has(rtype));
                let set =
                    Set { owner: &owner, rtype: denial.rtype(), ttl: link.record.ttl(), data: vec![data] };
                let rrsigs = signatures.of(signer, &set, self.now);
                let mut sets = Vec::new();
                encode(&set, Role::Answer, denial.rtype(), &set.data, &mut sets);
                encode(&set, Role::Signature, RecordType::RRSIG, rrsigs, &mut sets);
                NoData { left, place: link.place.into(), prefix: link.prefix.into(), sets: sets.into() }
            })
            .collect()
    }
}

/// The data of a proof with some types taken out.
fn without(link: &Link<'_>, denial: &Denial, is_out: impl Fn(RecordType) -> bool) -> Vec<u8> {
    let data = link.record.plain_data().next().expect("a link has a record");
    let (head, bitmap) = data.split_at(bitmap_at(denial.rtype(), data));
    let left = rdata::types_of_bitmap(bitmap).filter(|rtype| !is_out(*rtype));
    let mut left: Vec<u16> = left.map(|rtype| rtype.0).collect();
    if left == [RecordType::RRSIG.0] {
        // By hash, the name's own proof is elsewhere: nothing is left to be signed here.
        left.clear();
    }
    let mut data = head.to_vec();
    rdata::write_bitmap(&mut left, &mut data);
    data
}

fn encode(set: &Set<'_>, role: Role, rtype: RecordType, data: &[Vec<u8>], out: &mut Vec<u8>) {
    let sources = data.iter().map(|rdata| Source { owner: None, rtype, ttl: set.ttl, rdata });
    Encoder::at(set.owner)
        .encode(role, set.rtype, sources, out)
        .expect("a proof and its signatures fit a message");
}

/// An RRSIG record whose owner is the question.
fn rrsig_record(ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend_from_slice(&RecordType::RRSIG.0.to_be_bytes());
    record.extend_from_slice(&[0, 1]);
    record.extend_from_slice(&ttl.to_be_bytes());
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}
