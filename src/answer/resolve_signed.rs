//! The steps of an answer that DNSSEC adds: signatures beside what is there, proofs of what is not, the types that
//! signing brings, and ANY, which is answered otherwise where it must validate.

use super::names::Entry;
use super::records::{POINTER_REACH, Records, Role};
use super::resolve::{Link, Outcome, Question, RDATA_AT, append, pointer};
use super::signed::SignedZone;
use super::signed::prove::{Proof, append_signature, own_set};
use super::table::ZoneTop;
use super::written::{is_name, read_name, record_at, suffix_at};
use crate::ids::{ServiceId, ZoneId};
use crate::name::NAME_OCTETS_MAX;
use crate::wire::HEADER_OCTETS;
use crate::wire::code::{Class, Rcode, RecordType};
use crate::wire::reply::{Full, Reply, Section};

/// How long the answer to ANY may be cached: it says nothing that changes.
const ANY_TTL: [u8; 4] = 3600u32.to_be_bytes();
/// HINFO "RFC8482" "" (RFC 8482 section 4.2), owner and type to data.
const ANY_HINFO: [u8; 9] = *b"\x07RFC8482\x00";

impl<'t> Question<'t> {
    fn signed(&self, zone: ZoneId) -> Option<&'t SignedZone> {
        self.table.zone(zone).signed.as_deref()
    }

    /// Signs the set that was just appended for the link's name, and where a wildcard stands for it proves that the
    /// name itself is not there.
    #[inline]
    pub(super) fn sign(
        &self,
        entry: Entry<'t>,
        rtype: RecordType,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        if self.dnssec { self.sign_set(entry, rtype, link, reply) } else { Ok(()) }
    }

    #[cold]
    fn sign_set(
        &self,
        entry: Entry<'t>,
        rtype: RecordType,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let Some(signed) = self.signed(entry.zone()) else { return Ok(()) };
        if let Some(signature) = signed.signature(entry.name(), rtype) {
            signature.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
        }
        self.prove_expansion(entry, u32::MAX, link, reply)
    }

    /// Signs the CNAME that was just appended for the link's name, on the way to its target. Gives the wildcard that
    /// stands for the name, if one does, which is to be proven at the end of the chain.
    #[cold]
    pub(super) fn sign_alias(
        &self,
        entry: Entry<'t>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Entry<'t>>, Full> {
        let Some(signed) = self.signed(entry.zone()) else { return Ok(None) };
        if let Some(signature) = signed.signature(entry.name(), RecordType::CNAME) {
            signature.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
        }
        Ok((link.name != entry.name()).then_some(entry))
    }

    pub(super) fn prove_expansion(
        &self,
        entry: Entry<'t>,
        ttl_max: u32,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        if link.name == entry.name() {
            return Ok(());
        }
        self.prove(entry.zone(), link, ttl_max, reply, |proof, reply| proof.expanded(entry.name(), reply))
    }

    /// Signs a set of a name above the link's.
    pub(super) fn sign_above(
        &self,
        above: Entry<'t>,
        rtype: RecordType,
        section: Section,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let signature = self.signed(above.zone()).and_then(|signed| signed.signature(above.name(), rtype));
        let Some(signature) = signature else { return Ok(()) };
        let owner_at = suffix_at(reply.written(), link.at, link.name.len() - above.name().len());
        signature.append_plain(section, owner_at, u32::MAX, reply)
    }

    /// Signs the SOA record of a negative answer, whose TTL was lowered to `ttl`.
    #[cold]
    pub(super) fn sign_negative(
        &self,
        top: &'t ZoneTop,
        ttl: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let signature = top.signed.as_ref().and_then(|signed| signed.signature(&top.apex, RecordType::SOA));
        let Some(signature) = signature else { return Ok(()) };
        let apex_at = HEADER_OCTETS + reply.question_name_octets() - top.apex.len();
        signature.append_plain(Section::Authority, apex_at, ttl, reply)
    }

    /// Proves something about the link's name, where the zone is signed.
    #[cold]
    pub(super) fn prove(
        &self,
        zone: ZoneId,
        link: Link<'_>,
        ttl_max: u32,
        reply: &mut Reply<'_>,
        what: impl FnOnce(&mut Proof<'t, '_>, &mut Reply<'_>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let top = self.table.zone(zone);
        let Some(signed) = top.signed.as_deref() else { return Ok(()) };
        let mut proof = Proof::new(signed, link.name, link.at, &top.apex, ttl_max);
        // Of a chain several names may be proven, by the same record.
        if !link.is_question() {
            proof.look_back();
        }
        what(&mut proof, reply)
    }

    /// Proves that a name, or the wildcard that stands for it, has no records of the type.
    #[cold]
    pub(super) fn prove_no_data(
        &self,
        entry: Entry<'t>,
        ttl_max: u32,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        self.prove(entry.zone(), link, ttl_max, reply, |proof, reply| match link.name == entry.name() {
            true => proof.no_data(entry.name(), reply),
            false => proof.expanded_no_data(entry.name(), reply),
        })
    }

    /// Signs the variant that was just appended.
    #[cold]
    pub(super) fn sign_steered(
        &self,
        entry: Entry<'t>,
        service: ServiceId,
        variant: u32,
        rtype: RecordType,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let signatures = self.table.signatures(service);
        let Some(name) = signatures.and_then(|signed| signed.of(entry.name())) else { return Ok(()) };
        if let Some((count, octets)) = name.answer(variant, rtype) {
            reply.append(Section::Answer, count, octets)?;
        }
        self.prove_expansion(entry, self.table.service(service).negative_ttl_max, link, reply)
    }

    /// Proves that a steered name has no records of the type for this client, though it may have for others: by a
    /// proof that names the types that are left.
    #[cold]
    pub(super) fn prove_no_steered(
        &self,
        entry: Entry<'t>,
        id: ServiceId,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let service = self.table.service(id);
        let left = service.types_for(self.table.tree(service.map), self.client);
        let ttl_max = service.negative_ttl_max;
        let signatures = self.table.signatures(id);
        let own = signatures.and_then(|signed| signed.of(entry.name())).and_then(|name| name.no_data(left));
        match own {
            None => self.prove_no_data(entry, ttl_max, link, reply),
            Some(own) => self.prove(entry.zone(), link, ttl_max, reply, |proof, reply| {
                proof.replace(own.link());
                match link.name == entry.name() {
                    true => proof.no_data(entry.name(), reply),
                    false => proof.expanded_no_data(entry.name(), reply),
                }
            }),
        }
    }

    /// Beside a referral: the DS records, or the proof that there are none (RFC 4035 section 3.1.4). The cut is above the
    /// link's name or that name, which stands at `owner_at` where it is one that a wildcard stands for.
    #[cold]
    pub(super) fn delegate(
        &self,
        cut: Entry<'t>,
        owner_at: Option<usize>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let Some(signed) = self.signed(cut.zone()) else { return Ok(()) };
        let Some(ds) = cut.answer(RecordType::DS) else {
            return self.prove(cut.zone(), link, u32::MAX, reply, |proof, reply| match owner_at {
                None => proof.no_data(cut.name(), reply),
                Some(_) => proof.expanded_no_data(cut.name(), reply),
            });
        };
        let above = || suffix_at(reply.written(), link.at, link.name.len() - cut.name().len());
        let owner = owner_at.unwrap_or_else(above);
        ds.append_plain(Section::Authority, owner, u32::MAX, reply)?;
        if let Some(signature) = signed.signature(cut.name(), RecordType::DS) {
            signature.append_plain(Section::Authority, owner, u32::MAX, reply)?;
        }
        match owner_at {
            None => Ok(()),
            Some(_) => self.prove_expansion(cut, u32::MAX, link, reply),
        }
    }

    /// Signs what the zone answers for itself among the addresses that stand in the reply from `start` on. What does not
    /// fit is left out, and nothing is said of it (RFC 4035 section 3.1.1).
    #[cold]
    pub(super) fn sign_addresses(&self, zone: ZoneId, start: usize, reply: &mut Reply<'_>) {
        let Some(signed) = self.signed(zone) else { return };
        let (mut at, end) = (start, reply.end());
        let (mut name, mut last) = ([0; NAME_OCTETS_MAX], None);
        while at < end {
            let owner_at = suffix_at(reply.written(), at, 0);
            let is_same = last.is_some_and(|(_, octets)| is_name(reply.written(), at, &name[..octets]));
            let octets = read_name(reply.written(), at, &mut name);
            let (rtype, next) = record_at(reply.written(), at);
            at = next;
            let is_signed = is_same && last.is_some_and(|(last, _)| last == rtype);
            last = Some((rtype, octets));
            let signature = signed.signature(&name[..octets], rtype);
            let Some(signature) = signature.filter(|_| !is_signed && owner_at <= POINTER_REACH) else {
                continue;
            };
            let before = reply.mark();
            if signature.append_plain(Section::Additional, owner_at, u32::MAX, reply).is_err() {
                reply.take_back(before);
            }
        }
    }

    /// The answer to a question for signatures or for the proof at a name. None where there is neither.
    #[cold]
    pub(super) fn beside_alias(
        &self,
        entry: Entry<'t>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Outcome<'t>>, Full> {
        if self.own_set(entry, link, reply)? {
            return Ok(Some(Outcome::authoritative(Rcode::NOERROR)));
        }
        match entry.service() {
            Some(id) if self.rtype == RecordType::RRSIG && link.is_question() => {
                self.steered_signature(entry, id, link, reply)
            }
            _ => Ok(None),
        }
    }

    /// The signature over the first of the sets that a client is given at a steered name; the failure of those sets where
    /// an outage withholds them all.
    fn steered_signature(
        &self,
        entry: Entry<'t>,
        id: ServiceId,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Outcome<'t>>, Full> {
        let service = self.table.service(id);
        let rtype = service.first_type_for(self.table.tree(service.map), self.client);
        let signatures = self.table.signatures(id).and_then(|signed| signed.of(entry.name()));
        let (Some(rtype), Some(signatures)) = (rtype, signatures) else { return Ok(None) };
        let steered = service.steer(self.table.tree(service.map), self.client, rtype);
        if steered.variant.rcode != Rcode::NOERROR {
            return Ok(Some(Outcome::steered(&steered)));
        }
        let Some((count, octets)) = signatures.answer(steered.at, rtype) else { return Ok(None) };
        reply.append(Section::Answer, count, octets)?;
        if self.dnssec {
            self.prove_expansion(entry, service.negative_ttl_max, link, reply)?;
        }
        Ok(Some(Outcome { scope: steered.scope, ..Outcome::authoritative(Rcode::NOERROR) }))
    }

    /// The answer to a question for what signing brings: signatures themselves, keys, proofs. False where there is
    /// none at the name.
    #[cold]
    pub(super) fn own_set(
        &self,
        entry: Entry<'t>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<bool, Full> {
        let Some(signed) = self.signed(entry.zone()) else { return Ok(false) };
        // As they stand in a file, those of a name have one TTL; each has that of what it covers (RFC 4034 section 3).
        if self.rtype == RecordType::RRSIG {
            let is_there = append_signature(signed, entry.name(), link.at, reply)?;
            if is_there && self.dnssec {
                self.prove_expansion(entry, u32::MAX, link, reply)?;
            }
            return Ok(is_there);
        }
        if signed.signer().is_none() {
            return Ok(false);
        }
        let Some((records, signature)) = own_set(signed, entry.name(), self.rtype) else { return Ok(false) };
        records.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
        if let Some(signature) = signature.filter(|_| self.dnssec) {
            signature.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
            self.prove_expansion(entry, u32::MAX, link, reply)?;
        }
        Ok(true)
    }

    /// The answer to ANY (RFC 8482): a HINFO record; where it must validate, one set of those that there are.
    pub(super) fn any(
        &self,
        entry: Entry<'t>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let done = Outcome::authoritative(Rcode::NOERROR);
        if !self.dnssec || self.signed(entry.zone()).is_none() {
            append_any(link, reply)?;
            return Ok(done);
        }
        // As they stand in a file, signatures are a set among others, and a proof is one.
        let is_answer =
            |records: &Records<'_>| records.role == Role::Answer && records.rtype != RecordType::RRSIG;
        let is_proof = |records: &Records<'_>| records.rtype == RecordType::NSEC;
        if let Some(records) = entry.records().filter(is_answer).min_by_key(is_proof) {
            append(&records, &entry, link, reply)?;
            self.sign(entry, records.rtype, link, reply)?;
            return Ok(done);
        }
        match entry.service() {
            // No steered record behind a CNAME.
            Some(id) if link.is_question() => {
                let service = self.table.service(id);
                let given = service.first_type_for(self.table.tree(service.map), self.client);
                self.steer(entry, (id, service), given.unwrap_or(service.first_type()), link, reply)
            }
            _ => Ok(done),
        }
    }
}

fn append_any(link: Link<'_>, reply: &mut Reply<'_>) -> Result<(), Full> {
    let mut head = [0; RDATA_AT];
    head[..2].copy_from_slice(&pointer(link.at));
    head[2..4].copy_from_slice(&RecordType::HINFO.0.to_be_bytes());
    head[4..6].copy_from_slice(&Class::IN.0.to_be_bytes());
    head[6..10].copy_from_slice(&ANY_TTL);
    head[10..].copy_from_slice(&(ANY_HINFO.len() as u16).to_be_bytes());
    reply.append(Section::Answer, 1, &head)?;
    reply.append(Section::Answer, 0, &ANY_HINFO).map(|_| ())
}
