//! What a signed zone has beside its plain records: signatures, keys, proofs of what is not there. It stands apart
//! from the table of names, which is the same with it and without it: who does not set DO pays nothing, and a
//! renewal of signatures replaces this alone.
//!
//! A zone is signed here from keys (`make`), or was signed elsewhere (`elsewhere`); answers are the same (`prove`).
//! Sets of steered names are not in it: they follow the verdicts (`steered`).

mod chain;
mod elsewhere;
mod make;
pub(super) mod prove;
pub mod steered;

pub use chain::{Chain, Link};
pub use elsewhere::{ElsewhereFault, is_signed};
pub use make::{Made, SteeredTypes};

use super::names::Names;
use super::records::{Records, Role};
use crate::dnssec::signer::Signer;
use crate::name::Name;
use crate::time::WallTime;
use crate::wire::code::RecordType;

/// The signed side of one zone.
#[derive(Debug)]
pub struct SignedZone {
    origin: Name,
    /// For each name its signatures, and at the apex the sets that signing adds: DNSKEY, CDS, CDNSKEY, NSEC3PARAM.
    names: Names,
    chain: Chain,
    /// When the first of its signatures ends.
    expires: WallTime,
    /// What it was made of and when it must be made anew, where it is signed here.
    made: Option<Made>,
}

impl SignedZone {
    /// The zone.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The signatures over the set of a name and type.
    #[must_use]
    pub fn signature(&self, name: &[u8], rtype: RecordType) -> Option<Records<'_>> {
        self.signatures(name).find(|records| records.rtype == rtype)
    }

    /// All signatures of a name; those over its proof are not among them.
    pub fn signatures(&self, name: &[u8]) -> impl Iterator<Item = Records<'_>> {
        let entry = self.names.entry_of(name);
        entry.into_iter().flat_map(|entry| entry.records()).filter(|records| records.role == Role::Signature)
    }

    /// The set of a type that signing has added to a name.
    #[must_use]
    pub fn added(&self, name: &[u8], rtype: RecordType) -> Option<Records<'_>> {
        self.names.entry_of(name)?.answer(rtype)
    }

    /// The proofs.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What signs it, where it is signed here.
    #[must_use]
    pub fn signer(&self) -> Option<&Signer> {
        self.made.as_ref().map(|made| &*made.signer)
    }

    /// When it must be made anew; never where it was signed elsewhere.
    #[must_use]
    pub fn due(&self) -> Option<WallTime> {
        self.made.as_ref().map(|made| made.due)
    }

    /// When the first of its signatures ends, wherever they were made.
    #[must_use]
    pub fn expires(&self) -> WallTime {
        self.expires
    }

    /// How many octets it takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.names.octets() + self.chain.octets()
    }
}
