//! A zone as it is kept: octets in one arena, and three tables that point into each other by order. An owner's
//! RRsets end where the next owner's begin, an RRset's records where the next one's begin. For each record that is
//! 8 octets beside its data, for each RRset 12, for each owner 12 beside its name.

use super::raw::RawOwner;
use crate::name::{self, Name};
use crate::wire::code::RecordType;

/// A whole zone in canonical order (RFC 4034 section 6).
pub struct Zone {
    pub(super) origin: Name,
    pub(super) octets: Vec<u8>,
    pub(super) owners: Vec<OwnerEntry>,
    pub(super) rrsets: Vec<RrsetEntry>,
    pub(super) records: Vec<RecordEntry>,
}

#[derive(Clone, Copy)]
pub(super) struct OwnerEntry {
    pub(super) name: RawOwner,
    pub(super) situation: Situation,
    /// The first of its RRsets.
    pub(super) rrsets: u32,
}

#[derive(Clone, Copy)]
pub(super) struct RrsetEntry {
    pub(super) rtype: RecordType,
    pub(super) ttl: u32,
    /// The first of its records.
    pub(super) records: u32,
}

#[derive(Clone, Copy)]
pub(super) struct RecordEntry {
    pub(super) rdata: u32,
    pub(super) length: u16,
}

/// What a name of the zone is to its cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The zone's own name.
    Apex,
    /// Answered with authority.
    Authoritative,
    /// Delegated: it has NS records and is not the apex.
    Cut,
    /// Below a cut: only good as glue.
    BelowCut,
}

impl Zone {
    /// The zone's own name.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The serial of its SOA.
    #[must_use]
    pub fn serial(&self) -> u32 {
        let soa = self.soa().rdata().next().expect("build() has found the SOA");
        let serial = soa.len() - 20;
        u32::from_be_bytes(soa[serial..serial + 4].try_into().expect("four octets are four octets"))
    }

    /// The SOA, one record.
    #[must_use]
    pub fn soa(&self) -> Rrset<'_> {
        self.apex().rrset(RecordType::SOA).expect("build() has found the SOA")
    }

    /// The zone's own name with its records.
    #[must_use]
    pub fn apex(&self) -> Owner<'_> {
        self.owner(0)
    }

    /// All names in canonical order, the apex first, everything below a name directly after it. Empty
    /// non-terminals are among them, without RRsets.
    #[must_use]
    pub fn owners(&self) -> impl DoubleEndedIterator<Item = Owner<'_>> + ExactSizeIterator + Clone {
        (0..self.owners.len()).map(|index| self.owner(index))
    }

    /// The name `wire`, in lower case, if it is there. Halves the zone: O(log n).
    #[must_use]
    pub fn find(&self, wire: &[u8]) -> Option<Owner<'_>> {
        let order = |entry: &OwnerEntry| name::canonical_order(self.name(entry.name), wire);
        self.owners.binary_search_by(order).ok().map(|index| self.owner(index))
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// How many octets its names and data take.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    fn owner(&self, index: usize) -> Owner<'_> {
        Owner { zone: self, index }
    }

    pub(super) fn name(&self, owner: RawOwner) -> &[u8] {
        &self.octets[owner.name as usize..][..usize::from(owner.length)]
    }
}

/// A name in a zone.
#[derive(Clone, Copy)]
pub struct Owner<'z> {
    zone: &'z Zone,
    index: usize,
}

impl<'z> Owner<'z> {
    /// Its wire form in lower case.
    #[must_use]
    pub fn name(self) -> &'z [u8] {
        self.zone.name(self.entry().name)
    }

    /// What it is to the zone's cuts.
    #[must_use]
    pub fn situation(self) -> Situation {
        self.entry().situation
    }

    /// Whether it has no records and is there for names below it only (RFC 8499, RFC 4592 section 2.2.2).
    #[must_use]
    pub fn is_empty_non_terminal(self) -> bool {
        self.range().is_empty()
    }

    /// Its RRsets in ascending order of their types.
    #[must_use]
    pub fn rrsets(self) -> impl DoubleEndedIterator<Item = Rrset<'z>> + ExactSizeIterator + Clone {
        self.range().map(move |index| Rrset { zone: self.zone, index })
    }

    /// Its RRset of one type.
    #[must_use]
    pub fn rrset(self, rtype: RecordType) -> Option<Rrset<'z>> {
        self.rrsets().find(|rrset| rrset.rtype() == rtype)
    }

    fn entry(self) -> &'z OwnerEntry {
        &self.zone.owners[self.index]
    }

    fn range(self) -> std::ops::Range<usize> {
        let next = self.zone.owners.get(self.index + 1);
        let end = next.map_or(self.zone.rrsets.len(), |next| next.rrsets as usize);
        self.entry().rrsets as usize..end
    }
}

/// The records of one name and type.
#[derive(Clone, Copy)]
pub struct Rrset<'z> {
    zone: &'z Zone,
    index: usize,
}

impl<'z> Rrset<'z> {
    /// Their type.
    #[must_use]
    pub fn rtype(self) -> RecordType {
        self.entry().rtype
    }

    /// How long they may be cached, in seconds; the lowest that was written.
    #[must_use]
    pub fn ttl(self) -> u32 {
        self.entry().ttl
    }

    /// Their data in canonical order, names in the case they were written in; at least one.
    #[must_use]
    pub fn rdata(self) -> impl DoubleEndedIterator<Item = &'z [u8]> + ExactSizeIterator + Clone {
        let zone = self.zone;
        zone.records[self.range()]
            .iter()
            .map(|record| &zone.octets[record.rdata as usize..][..usize::from(record.length)])
    }

    /// Positions of its records among all of the zone.
    pub(super) fn range(self) -> std::ops::Range<usize> {
        let next = self.zone.rrsets.get(self.index + 1);
        let end = next.map_or(self.zone.records.len(), |next| next.records as usize);
        self.entry().records as usize..end
    }

    fn entry(self) -> &'z RrsetEntry {
        &self.zone.rrsets[self.index]
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({} with {} records)", self.origin, self.records.len())
    }
}
