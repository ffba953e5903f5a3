//! Records as they come from the files, before they are put in order: offsets into one arena of octets.

use crate::wire::code::RecordType;

/// The most octets of owner names and record data in one zone; offsets have 32 bits.
pub const ARENA_OCTETS_MAX: usize = u32::MAX as usize - (1 << 17);
/// The most records of one zone, duplicates included.
pub const RECORDS_MAX: usize = 100_000_000;

/// Everything that was read.
#[derive(Default)]
pub(super) struct Raw {
    /// Owner names in lower case, record data in the case as written.
    pub(super) octets: Vec<u8>,
    /// Owners in the order of the files; a name may come again later.
    pub(super) owners: Vec<RawOwner>,
    pub(super) records: Vec<RawRecord>,
}

/// Where an owner's name is.
#[derive(Clone, Copy)]
pub(super) struct RawOwner {
    pub(super) name: u32,
    pub(super) length: u8,
}

/// One record.
#[derive(Clone, Copy)]
pub(super) struct RawRecord {
    /// Index into the owners.
    pub(super) owner: u32,
    pub(super) ttl: u32,
    pub(super) rdata: u32,
    /// Where in its file the word of its type is, or the directive that made it.
    pub(super) at: u32,
    pub(super) length: u16,
    pub(super) rtype: RecordType,
    pub(super) source: u16,
}

impl Raw {
    /// Room for the records of a text: names and data are about as long as their text. Room that is not used costs
    /// addresses only, and growing by doubling would cost copies.
    pub(super) fn with_room_for(text_octets: usize) -> Self {
        Self { octets: Vec::with_capacity(text_octets.min(ARENA_OCTETS_MAX)), ..Self::default() }
    }

    pub(super) fn name(&self, owner: RawOwner) -> &[u8] {
        &self.octets[owner.name as usize..][..usize::from(owner.length)]
    }

    pub(super) fn rdata(&self, record: &RawRecord) -> &[u8] {
        &self.octets[record.rdata as usize..][..usize::from(record.length)]
    }
}
