//! The DNSSEC part of answers (RFC 4035 section 3.1, RFC 5155 section 7.2): signatures beside sets, and proofs of
//! what is not there. Only questions with DO come here, or those for the types that live here.

use super::chain::Link;
use super::{Chain, SignedZone};
use crate::answer::records::Records;
use crate::answer::written::{is_name, record_at, suffix_at};
use crate::dnssec::denial::Denial;
use crate::name::{self, NAME_OCTETS_MAX};
use crate::wire::HEADER_OCTETS;
use crate::wire::code::RecordType;
use crate::wire::reply::{Full, Reply, Section};

/// The most links in one reply: closest encloser, next closer, wildcard. A zone that was signed elsewhere, and
/// badly, might have use for more; it gets no more.
const LINKS_MAX: usize = 3;

/// Proofs on their way into a reply.
pub(in crate::answer) struct Proof<'t, 'l> {
    signed: &'t SignedZone,
    /// The name that they are about: the question's, or the end of a chain.
    name: &'l [u8],
    /// Where it stands in the reply.
    name_at: usize,
    apex: &'l [u8],
    /// No record may have a longer TTL.
    ttl_max: u32,
    /// A link to give in the place of the zone's own.
    own: Option<Link<'t>>,
    /// Places of the links that are there already.
    there: [Option<&'t [u8]>; LINKS_MAX],
    /// Whether other proofs may have put links there.
    looks_back: bool,
}

impl<'t, 'l> Proof<'t, 'l> {
    pub(in crate::answer) fn new(
        signed: &'t SignedZone,
        name: &'l [u8],
        name_at: usize,
        apex: &'l [u8],
        ttl_max: u32,
    ) -> Self {
        Self { signed, name, name_at, apex, ttl_max, own: None, there: [None; LINKS_MAX], looks_back: false }
    }

    /// Leaves out what other proofs have put into the reply.
    pub(in crate::answer) fn look_back(&mut self) {
        self.looks_back = true;
    }

    /// Gives `own` in the place of the zone's link at the same place.
    pub(in crate::answer) fn replace(&mut self, own: Link<'t>) {
        self.own = Some(own);
    }

    fn chain(&self) -> &'t Chain {
        &self.signed.chain
    }

    /// That `name`, which is there, has no records of a type.
    pub(in crate::answer) fn no_data(&mut self, name: &[u8], reply: &mut Reply<'_>) -> Result<(), Full> {
        match (self.chain().denial(), self.chain().at(name)) {
            // An empty non-terminal has no NSEC record of its own: the one that spans it says so.
            (Denial::Nsec, _) => self.link(self.chain().at_or_spanning(name), reply),
            (Denial::Nsec3(_), Some(link)) => self.link(link, reply),
            // A delegation that opted out (RFC 5155 section 7.2.4).
            (Denial::Nsec3(_), None) => self.closest_encloser(name, reply).map(|_| ()),
        }
    }

    /// That the name is not there, and no wildcard stands for it.
    pub(in crate::answer) fn no_name(&mut self, encloser: &[u8], reply: &mut Reply<'_>) -> Result<(), Full> {
        let name = self.name;
        match self.chain().denial() {
            Denial::Nsec => {
                self.link(self.chain().at_or_spanning(name), reply)?;
                self.spanning_wildcard(encloser, reply)
            }
            Denial::Nsec3(_) => {
                let octets = self.closest_encloser(name, reply)?;
                self.spanning_wildcard(&name[name.len() - octets..], reply)
            }
        }
    }

    /// That the name is not there, so that a wildcard may stand for it.
    pub(in crate::answer) fn expanded(&mut self, wildcard: &[u8], reply: &mut Reply<'_>) -> Result<(), Full> {
        let encloser = name::parent(wildcard).expect("a wildcard is not the root");
        let next_closer = next_closer(self.name, encloser.len());
        match self.chain().denial() {
            Denial::Nsec => self.link(self.chain().at_or_spanning(self.name), reply),
            Denial::Nsec3(_) => self.link(self.chain().at_or_spanning(next_closer), reply),
        }
    }

    /// That the wildcard which stands for the name has no records of a type.
    pub(in crate::answer) fn expanded_no_data(
        &mut self,
        wildcard: &[u8],
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        if let Denial::Nsec3(_) = self.chain().denial() {
            self.closest_encloser(self.name, reply)?;
        } else {
            self.expanded(wildcard, reply)?;
        }
        self.no_data(wildcard, reply)
    }

    /// Appends one link with its signatures, unless it is there.
    pub(in crate::answer) fn link(&mut self, link: Link<'t>, reply: &mut Reply<'_>) -> Result<(), Full> {
        let link = self.own.filter(|own| own.place == link.place).unwrap_or(link);
        let is_free = |there: &&mut Option<&[u8]>| there.is_none_or(|place| place == link.place);
        match self.there.iter_mut().find(is_free) {
            Some(free @ None) => *free = Some(link.place),
            Some(_) | None => return Ok(()),
        }
        if self.looks_back && self.is_written(&link, reply) {
            return Ok(());
        }
        let apex_at = HEADER_OCTETS + reply.question_name_octets() - self.apex.len();
        let Link { prefix, record, signatures, .. } = link;
        let owner_at = match self.place_in_name(prefix, reply) {
            Some(at) => {
                record.append_plain(Section::Authority, at, self.ttl_max, reply)?;
                at
            }
            None => record.append_under_new(Section::Authority, (prefix, apex_at), self.ttl_max, reply)?,
        };
        signatures.append_plain(Section::Authority, owner_at, self.ttl_max, reply)
    }

    /// Whether a link stands in the reply already.
    fn is_written(&self, link: &Link<'t>, reply: &Reply<'_>) -> bool {
        let mut owner = [0; NAME_OCTETS_MAX];
        let octets = link.prefix.len() + self.apex.len();
        owner[..link.prefix.len()].copy_from_slice(link.prefix);
        owner[link.prefix.len()..octets].copy_from_slice(self.apex);
        let written = reply.written();
        let mut at = HEADER_OCTETS + reply.question_name_octets() + 4;
        while at < written.len() {
            let (rtype, next) = record_at(written, at);
            if rtype == link.record.rtype && is_name(written, at, &owner[..octets]) {
                return true;
            }
            at = next;
        }
        false
    }

    /// Where an owner of these labels stands in the reply, if it is the name or above it.
    fn place_in_name(&self, prefix: &[u8], reply: &Reply<'_>) -> Option<usize> {
        let octets = prefix.len() + self.apex.len();
        let is_owner = |suffix: &&[u8]| suffix.len() == octets && suffix.starts_with(prefix);
        let suffix = name::suffixes(self.name).find(is_owner)?;
        Some(suffix_at(reply.written(), self.name_at, self.name.len() - suffix.len()))
    }

    /// The record that spans the wildcard below `encloser`.
    fn spanning_wildcard(&mut self, encloser: &[u8], reply: &mut Reply<'_>) -> Result<(), Full> {
        let mut wildcard = [0; NAME_OCTETS_MAX + 2];
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
        self.link(self.chain().at_or_spanning(&wildcard[..2 + encloser.len()]), reply)
    }

    /// The proof of the closest encloser of a name that is not in the chain (RFC 5155 section 7.2.1): the link of
    /// the first ancestor that has one, and the one that spans the next closer name. Gives the encloser's octets.
    fn closest_encloser(&mut self, name: &[u8], reply: &mut Reply<'_>) -> Result<usize, Full> {
        let found = name::suffixes(name).find_map(|suffix| Some((self.chain().at(suffix)?, suffix.len())));
        let (link, octets) = found.expect("the apex has a proof");
        self.link(link, reply)?;
        if octets < name.len() {
            self.link(self.chain().at_or_spanning(next_closer(name, octets)), reply)?;
        }
        Ok(octets)
    }
}

/// The ancestor of `name`, or itself, that is one label longer than one of so many octets.
fn next_closer(name: &[u8], octets: usize) -> &[u8] {
    let longer = name::suffixes(name).take_while(|suffix| suffix.len() > octets);
    longer.last().unwrap_or(name)
}

/// Appends the signatures over the first set of a name, its proof aside: the answer to a question for RRSIG, which like
/// that to ANY is as small as may be (RFC 8482 section 4.1). False where there are none.
pub(in crate::answer) fn append_signature(
    signed: &SignedZone,
    name: &[u8],
    owner_at: usize,
    reply: &mut Reply<'_>,
) -> Result<bool, Full> {
    let Some(first) = signed.signatures(name).find(|records| records.count > 0) else { return Ok(false) };
    first.append_plain(Section::Answer, owner_at, u32::MAX, reply)?;
    Ok(true)
}

/// The sets that are not among a zone's plain records: what signing adds to the apex, and proofs by name.
pub(in crate::answer) fn own_set<'t>(
    signed: &'t SignedZone,
    name: &[u8],
    rtype: RecordType,
) -> Option<(Records<'t>, Option<Records<'t>>)> {
    if rtype == RecordType::NSEC && *signed.chain.denial() == Denial::Nsec {
        let link = signed.chain.at(name)?;
        return Some((link.record, Some(link.signatures)));
    }
    let records = signed.added(name, rtype)?;
    Some((records, signed.signature(name, rtype)))
}
