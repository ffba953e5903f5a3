//! The proofs of a signed zone in its order: for each NSEC or NSEC3 record where it stands, its owner, itself and its
//! signatures. What a question needs is found by halving: one look-up gives the record at a place or, where there
//! is none, the one that spans it.

use crate::answer::records::Records;
use crate::dnssec::denial::{Denial, Place};

/// All proofs of a zone. Never empty: the apex has one.
pub struct Chain {
    denial: Denial,
    apex_labels: usize,
    /// Where each link begins in `octets`, in the order of the places.
    links: Box<[u32]>,
    octets: Box<[u8]>,
}

/// One record with its signatures.
#[derive(Clone, Copy, Debug)]
pub struct Link<'c> {
    /// Where it stands.
    pub place: &'c [u8],
    /// The labels of its owner before the apex.
    pub prefix: &'c [u8],
    /// The record.
    pub record: Records<'c>,
    /// The RRSIG records over it.
    pub signatures: Records<'c>,
}

/// A link on its way into a chain.
#[derive(Debug)]
pub struct NewLink {
    /// Where it stands.
    pub place: Vec<u8>,
    /// The labels of its owner before the apex.
    pub prefix: Vec<u8>,
    /// The record and its signatures, as [`crate::answer::records::Encoder::encode`] writes sets.
    pub sets: Vec<u8>,
}

impl Chain {
    /// A chain of links, in any order.
    #[must_use]
    pub fn new(denial: Denial, apex_labels: usize, mut links: Vec<NewLink>) -> Self {
        assert!(!links.is_empty(), "the apex of a signed zone has a proof");
        links.sort_by(|a, b| a.place.cmp(&b.place));
        let mut octets = Vec::new();
        let mut starts = Vec::with_capacity(links.len());
        for NewLink { place, prefix, sets } in &links {
            starts.push(u32::try_from(octets.len()).expect("a zone is smaller than 4 GiB"));
            octets.extend_from_slice(&(place.len() as u16).to_ne_bytes());
            octets.push(prefix.len() as u8);
            octets.extend_from_slice(place);
            octets.extend_from_slice(prefix);
            octets.extend_from_slice(sets);
        }
        Self { denial, apex_labels, links: starts.into(), octets: octets.into() }
    }

    /// Which proofs they are.
    #[must_use]
    pub fn denial(&self) -> &Denial {
        &self.denial
    }

    /// Where a name of the zone stands.
    #[must_use]
    pub fn place(&self, name: &[u8]) -> Place {
        self.denial.place(name, self.apex_labels)
    }

    /// The link at the place of `name`, or the one that spans it: the last before it, and before the first the last
    /// of all, which comes round to it.
    #[must_use]
    pub fn at_or_spanning(&self, name: &[u8]) -> Link<'_> {
        let place = self.place(name);
        let before = self.links.partition_point(|start| self.link(*start).place <= place.as_octets());
        self.link(self.links[before.checked_sub(1).unwrap_or(self.links.len() - 1)])
    }

    /// The link at the place of `name`.
    #[must_use]
    pub fn at(&self, name: &[u8]) -> Option<Link<'_>> {
        self.at_place(self.place(name).as_octets())
    }

    /// The link at a place.
    #[must_use]
    pub fn at_place(&self, place: &[u8]) -> Option<Link<'_>> {
        let found = self.links.binary_search_by(|start| self.link(*start).place.cmp(place)).ok()?;
        Some(self.link(self.links[found]))
    }

    /// How many links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is none, which is never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many octets it takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.len() + self.links.len() * size_of::<u32>()
    }

    fn link(&self, start: u32) -> Link<'_> {
        let octets = &self.octets[start as usize..];
        let place_octets = usize::from(u16::from_ne_bytes([octets[0], octets[1]]));
        let (place, rest) = octets[3..].split_at(place_octets);
        let (prefix, sets) = rest.split_at(usize::from(octets[2]));
        let (record, rest) = Records::read(sets);
        let (signatures, _) = Records::read(rest);
        Link { place, prefix, record, signatures }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} links, {} octets)", self.links.len(), self.octets.len())
    }
}
