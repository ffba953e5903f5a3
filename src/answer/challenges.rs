//! ACME DNS-01 challenges (RFC 8555 section 8.4): TXT records that the operator sets by a verb and that end by themselves. They
//! stand beside the zones, so that no zone file is touched and no serial moves. In a signed zone they are in its chain and
//! signed, from when that was made anew with them.

use std::collections::{BTreeMap, HashMap};

use super::names::Found;
use super::resolve::{Link, Outcome, Question, RDATA_AT, pointer, zone_of};
use super::signed::prove::{append_signature, own_set};
use crate::ids::ZoneId;
use crate::name;
use crate::wire::code::{Class, Rcode, RecordType};
use crate::wire::reply::{Full, Reply, Section};

/// The challenges that are to be answered: by name, in lower case as it travels, the data of TXT records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges(BTreeMap<Box<[u8]>, Vec<Box<[u8]>>>);

/// How long they may be cached, in seconds: an authority asks again soon after a failure.
pub(super) const TTL: u32 = 1;

impl Challenges {
    /// Challenges by name, each with its values of at most 255 octets.
    pub fn new<'c>(values: impl IntoIterator<Item = (&'c [u8], &'c str)>) -> Self {
        let mut by_name: BTreeMap<Box<[u8]>, Vec<Box<[u8]>>> = BTreeMap::new();
        for (name, value) in values {
            let length = u8::try_from(value.len()).expect("a challenge's value is checked");
            by_name.entry(name.into()).or_default().push([&[length], value.as_bytes()].concat().into());
        }
        Self(by_name)
    }

    /// Those whose name is as `is_wanted` says.
    #[must_use]
    pub(super) fn only(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Self {
        let wanted = self.0.iter().filter(|(name, _)| is_wanted(name));
        Self(wanted.map(|(name, data)| (name.clone(), data.clone())).collect())
    }

    /// Those of each zone, by the zone that a name is in; none where it is in none.
    pub(super) fn by_zone(&self, zone_of: impl Fn(&[u8]) -> Option<ZoneId>) -> HashMap<ZoneId, Self> {
        let mut zones: HashMap<ZoneId, Self> = HashMap::new();
        for (name, data) in &self.0 {
            if let Some(zone) = zone_of(name) {
                zones.entry(zone).or_default().0.insert(name.clone(), data.clone());
            }
        }
        zones
    }

    /// Takes in others, of other names.
    pub(super) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(name, data)| (name.clone(), data.clone())));
    }

    /// The data of the TXT records at a name; they make it exist, without records of other types.
    #[must_use]
    pub fn at(&self, name: &[u8]) -> Option<&[Box<[u8]>]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The names, in the order of their octets.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(|name| &**name)
    }

    /// Whether there is none, as nearly always.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'t> Question<'t> {
    /// The answer at the name of a challenge, and below it. None where the zone answers as if there were no challenge.
    #[cold]
    pub(super) fn challenged(
        &self,
        found: &Found<'t>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Outcome<'t>>, Full> {
        let challenges = self.table.challenges();
        let Some(name) = name::suffixes(link.name).find(|suffix| challenges.at(suffix).is_some()) else {
            return Ok(None);
        };
        let Some(zone) = zone_of(found) else { return Ok(None) };
        let is_itself = name.len() == link.name.len();
        if is_itself && self.challenge(zone, link, reply)? {
            return Ok(Some(Outcome::authoritative(Rcode::NOERROR)));
        }
        // What the zone file has there goes on; a wildcard stands for nothing at or below a name that exists (RFC 4592
        // section 3.3.1).
        if !matches!(found, Found::Missing(_) | Found::Wildcard(_)) {
            return Ok(None);
        }
        self.negative(zone, u32::MAX, reply)?;
        if self.dnssec {
            self.prove(zone, link, u32::MAX, reply, |proof, reply| match is_itself {
                true => proof.no_data(name, reply),
                false => proof.no_name(name, reply),
            })?;
        }
        let rcode = if is_itself { Rcode::NOERROR } else { Rcode::NXDOMAIN };
        Ok(Some(Outcome::authoritative(rcode)))
    }

    /// The records of a challenge at the link's name, and what signing adds there. False where there are none of the type.
    fn challenge(&self, zone: ZoneId, link: Link<'_>, reply: &mut Reply<'_>) -> Result<bool, Full> {
        let rtype = if self.rtype == RecordType::ANY { RecordType::TXT } else { self.rtype };
        let signed = self.table.zone(zone).signed.as_deref().filter(|signed| signed.signer().is_some());
        let Some(signed) = signed else {
            return if rtype == RecordType::TXT { self.plain_challenge(link, reply) } else { Ok(false) };
        };
        if rtype == RecordType::RRSIG {
            return append_signature(signed, link.name, link.at, reply);
        }
        let Some((records, signature)) = own_set(signed, link.name, rtype) else { return Ok(false) };
        records.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
        if let Some(signature) = signature.filter(|_| self.dnssec) {
            signature.append_plain(Section::Answer, link.at, u32::MAX, reply)?;
        }
        Ok(true)
    }

    fn plain_challenge(&self, link: Link<'_>, reply: &mut Reply<'_>) -> Result<bool, Full> {
        for data in self.table.challenges().at(link.name).unwrap_or_default() {
            let mut head = [0; RDATA_AT];
            head[..2].copy_from_slice(&pointer(link.at));
            head[2..4].copy_from_slice(&RecordType::TXT.0.to_be_bytes());
            head[4..6].copy_from_slice(&Class::IN.0.to_be_bytes());
            head[6..10].copy_from_slice(&TTL.to_be_bytes());
            head[10..].copy_from_slice(&(data.len() as u16).to_be_bytes());
            reply.append(Section::Answer, 1, &head)?;
            reply.append(Section::Answer, 0, data)?;
        }
        Ok(true)
    }
}
