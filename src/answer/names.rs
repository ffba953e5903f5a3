//! Every name of every zone, found by the hash of its wire form in lower case.
//!
//! Two arrays. `slots` is an open-addressed hash table of eight octets a slot: half of the hash, and where the
//! name's *entry* begins. `entries` holds one entry after another: what kind of name it is, its zone, the name,
//! and its ready-made records. So a name that exists costs two cache misses: its slot, its entry.
//!
//! A name that does not exist is looked for once, then its ancestors are, the nearest first: the first that is
//! there is the closest encloser (RFC 4592 section 3.3.1), and it knows whether a wildcard, a cut or a DNAME
//! stands in between. Names below cuts and DNAMEs are therefore not held at all; empty non-terminals are.

use std::ops::Range;

use super::records::{Records, Role};
use crate::ids::{ServiceId, ZoneId};
use crate::name;

/// All names of all zones.
#[derive(Default, PartialEq, Eq)]
pub struct Names {
    slots: Box<[Slot]>,
    entries: Box<[u8]>,
    /// Labels of the deepest name: nothing is found below.
    deepest: usize,
    /// Labels of the name with the fewest, the top of a zone: nothing is found above.
    shallowest: usize,
}

/// Half of a hash, and the place of an entry plus one; 0 is an empty slot.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    tag: u32,
    entry: Place,
}

/// What a name is to a question that reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Authoritative data, or an empty non-terminal; the top of a zone too.
    Inside = 0,
    /// Delegated away (RFC 1034 section 4.2.1): questions at or below it, but for DS, get a referral.
    Cut = 1,
    /// A DNAME's owner: questions below it are rewritten (RFC 6672).
    Dname = 2,
}

/// One name of the table. Read where it stands: of most entries a query needs a part only.
#[derive(Clone, Copy)]
pub struct Entry<'t> {
    place: Place,
    head: &'t [u8; HEAD_OCTETS],
    /// Name, service, parent side, records, and all later entries.
    rest: &'t [u8],
}

/// Where a search begins among the slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position(usize);

/// How many searches are looked ahead of at most.
pub(super) const AHEAD_MAX: usize = 64;
/// Octets that come from memory together.
const LINE_OCTETS: usize = 64;

/// Octets of an entry before its name: the name's length, flags, the zone, the length of the records.
const HEAD_OCTETS: usize = 10;

/// Where an entry begins in `entries`, plus one.
type Place = u32;

/// Where a question leads.
#[derive(Clone, Copy)]
pub enum Found<'t> {
    /// To no zone of ours.
    Outside,
    /// To the name itself.
    Name(Entry<'t>),
    /// To a wildcard that covers it.
    Wildcard(Entry<'t>),
    /// Nowhere: the closest encloser.
    Missing(Entry<'t>),
    /// To a cut above it.
    BelowCut(Entry<'t>),
    /// To a DNAME above it.
    BelowDname(Entry<'t>),
}

const KIND: u8 = 0x03;
/// A wildcard stands directly below this name.
const HAS_WILDCARD: u8 = 0x04;
/// A service answers for this name; its number follows the fixed octets.
const STEERED: u8 = 0x08;
/// The parent zone is ours too; the place of its side of the cut follows.
const PARENT_SIDE: u8 = 0x10;
/// No question finds it by its name.
const ASIDE: u8 = 0x20;

/// The largest table of entries, in octets: places are counted in 32 bits.
pub const ENTRIES_OCTETS_MAX: usize = u32::MAX as usize - 1;

impl Names {
    /// Where a question for `name`, a wire name in lower case, leads.
    #[must_use]
    pub fn find<'t>(&'t self, name: &[u8]) -> Found<'t> {
        match self.entry_of(name) {
            Some(entry) => Found::Name(entry),
            None => self.find_above(name),
        }
    }

    /// The entry of a name that is in the table.
    #[must_use]
    pub fn entry_of<'t>(&'t self, name: &[u8]) -> Option<Entry<'t>> {
        let mask = self.slots.len().wrapping_sub(1);
        let hash = hash(name);
        let tag = tag(hash);
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots.get(at)?;
            if slot.entry == 0 {
                return None;
            }
            if slot.tag == tag {
                let entry = self.entry_at(slot.entry);
                if entry.name() == name {
                    return Some(entry);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Where a question for `name` leads if it is not in the table.
    #[cold]
    fn find_above<'t>(&'t self, name: &[u8]) -> Found<'t> {
        let labels = label_count(name);
        // Only ancestors with as many labels as some name of ours need to be looked for.
        let hopeless = labels.saturating_sub(self.deepest).max(1);
        let hopeful = (labels + 1).saturating_sub(hopeless + self.shallowest);
        let mut ancestors = name::suffixes(name).skip(hopeless).take(hopeful);
        let Some(encloser) = ancestors.find_map(|name| self.entry_of(name)) else {
            return Found::Outside;
        };
        match encloser.kind() {
            Kind::Cut => Found::BelowCut(encloser),
            Kind::Dname => Found::BelowDname(encloser),
            Kind::Inside if encloser.flags() & HAS_WILDCARD != 0 => {
                let wildcard = self.wildcard_below(encloser.name());
                wildcard.map_or(Found::Missing(encloser), Found::Wildcard)
            }
            Kind::Inside => Found::Missing(encloser),
        }
    }

    fn wildcard_below<'t>(&'t self, encloser: &[u8]) -> Option<Entry<'t>> {
        let mut wildcard = [0; name::NAME_OCTETS_MAX + 2];
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
        self.entry_of(&wildcard[..2 + encloser.len()])
    }

    #[inline]
    fn entry_at(&self, place: Place) -> Entry<'_> {
        let octets = &self.entries[place as usize - 1..];
        let (head, rest) = octets.split_first_chunk().expect("an entry is whole");
        Entry { place, head, rest }
    }

    /// What is asked for DS at an apex of ours: the zone above where that is ours too, since the records would stand
    /// there, whether it delegates or not; else there are none (RFC 4035 section 3.1.4.1).
    #[cold]
    #[must_use]
    pub fn above_apex<'t>(&'t self, apex: Entry<'t>) -> Found<'t> {
        if apex.flags() & PARENT_SIDE != 0 {
            let behind_service = if apex.flags() & STEERED == 0 { 0 } else { 4 };
            return Found::Name(self.entry_at(apex.number_behind_name(behind_service)));
        }
        match self.find_above(apex.name()) {
            // What is delegated there is the parent, and not ours.
            Found::Outside | Found::BelowCut(_) => Found::Name(apex),
            above => above,
        }
    }

    /// Where the search for a name begins.
    #[must_use]
    pub(super) fn position(&self, name: &[u8]) -> Position {
        Position(hash(name) as usize & self.slots.len().wrapping_sub(1))
    }

    /// Reads the slots that searches begin with, and the entries that they lead to, so that they are near when they
    /// are wanted. One search waits twice for memory, and the next begins when it ends; here no read waits for
    /// another's end. `steered` learns which of the entries a service answers for; the number means nothing, but
    /// somebody must want it.
    pub(super) fn bring_near(&self, positions: &[Position], mut steered: impl FnMut(usize, ServiceId)) -> u8 {
        let mut places = [0; AHEAD_MAX];
        for (position, place) in positions.iter().zip(&mut places) {
            *place = self.slots.get(position.0).map_or(0, |slot| slot.entry);
        }
        let mut sum = 0;
        for (at, place) in places.iter().take(positions.len()).enumerate().filter(|(_, place)| **place != 0) {
            let entry = self.entry_at(*place);
            sum ^= entry.rest.get(LINE_OCTETS).copied().unwrap_or(0);
            if let Some(service) = entry.service() {
                steered(at, service);
            }
        }
        sum
    }

    /// Where the table lies: its slots, its entries.
    #[must_use]
    pub fn places(&self) -> [Range<*const u8>; 2] {
        let slots = self.slots.as_ptr_range();
        [slots.start.cast()..slots.end.cast(), self.entries.as_ptr_range()]
    }

    /// How many octets the table takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.entries.len() + self.slots.len() * size_of::<Slot>()
    }
}

/// Octets of an entry at most, beside its name and records: the head, service, parent side.
const ENTRY_FIXED_OCTETS_MAX: usize = HEAD_OCTETS + 8;

impl<'t> Entry<'t> {
    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'t [u8] {
        &self.rest[..usize::from(self.head[0])]
    }

    /// What kind of name it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.flags() & KIND {
            0 => Kind::Inside,
            1 => Kind::Cut,
            _ => Kind::Dname,
        }
    }

    /// The zone it belongs to.
    #[must_use]
    pub fn zone(&self) -> ZoneId {
        let [_, _, a, b, c, d, ..] = *self.head;
        ZoneId(u32::from_ne_bytes([a, b, c, d]))
    }

    /// The service that answers for it.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        (self.flags() & STEERED != 0).then(|| ServiceId(self.number_behind_name(0)))
    }

    fn flags(&self) -> u8 {
        self.head[1]
    }

    /// Where the next entry begins, or would.
    fn next_place(&self) -> Place {
        self.place + (HEAD_OCTETS + self.records_at() + self.records_octets()) as Place
    }

    /// Where the records begin in `rest`.
    fn records_at(&self) -> usize {
        let numbers = usize::from(self.flags() & STEERED != 0) + usize::from(self.flags() & PARENT_SIDE != 0);
        usize::from(self.head[0]) + 4 * numbers
    }

    fn records_octets(&self) -> usize {
        let [.., a, b, c, d] = *self.head;
        u32::from_ne_bytes([a, b, c, d]) as usize
    }

    /// The number that stands so many octets behind the name.
    fn number_behind_name(&self, at: usize) -> u32 {
        let rest = &self.rest[usize::from(self.head[0]) + at..];
        u32::from_ne_bytes(*rest.first_chunk().expect("an entry is whole"))
    }

    /// All its sets of records.
    pub fn records(&self) -> impl Iterator<Item = Records<'t>> + use<'t> {
        let (begin, length) = (self.records_at(), self.records_octets());
        let mut rest = &self.rest[begin..begin + length];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (records, after) = Records::read(rest);
            rest = after;
            Some(records)
        })
    }

    /// The records of one type.
    #[must_use]
    pub fn answer(&self, rtype: crate::wire::code::RecordType) -> Option<Records<'t>> {
        self.records().find(|records| records.rtype == rtype && records.role == Role::Answer)
    }
}

/// A hash of a name in lower case: eight octets at a time, folded 128-bit products; the last eight are read whole
/// even where they overlap, which spares a copy of an odd rest. It is no secret: whoever knows it can only look for
/// names that are not there, and a search ends at the first empty slot.
#[inline]
fn hash(name: &[u8]) -> u64 {
    const SEED: u64 = 0x2545_f491_4f6c_dd1d;
    const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
    let fold = |state: u64, word: [u8; 8]| {
        let product = u128::from(state ^ u64::from_le_bytes(word)).wrapping_mul(u128::from(FACTOR));
        product as u64 ^ (product >> 64) as u64
    };
    let seed = SEED ^ name.len() as u64;
    let Some(last) = name.last_chunk() else {
        let mut whole = [0; 8];
        whole[..name.len()].copy_from_slice(name);
        return fold(fold(seed, whole), whole);
    };
    fold(name.as_chunks().0.iter().fold(seed, |state, word| fold(state, *word)), *last)
}

fn label_count(name: &[u8]) -> usize {
    name::suffixes(name).count() - 1
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// What is said of a name when it is added.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'e> {
    /// The name, in lower case.
    pub name: &'e [u8],
    /// What kind of name it is.
    pub kind: Kind,
    /// The zone it belongs to.
    pub zone: ZoneId,
    /// The service that answers for it.
    pub service: Option<ServiceId>,
    /// For an apex below another zone of ours, that zone's side of the cut, added by [`Builder::add_aside`].
    pub parent_side: Option<Aside>,
    /// Sets of records, as [`super::records::Encoder::encode`] wrote them.
    pub records: &'e [u8],
}

/// An entry that no question finds by its name.
#[derive(Clone, Copy, Debug)]
pub struct Aside(Place);

/// The table would be larger than [`ENTRIES_OCTETS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyNames;

/// Builds the table.
#[derive(Default)]
pub struct Builder {
    entries: Vec<u8>,
    /// How many entries can be found.
    found: usize,
    deepest: usize,
    shallowest: Option<usize>,
}

impl Builder {
    /// Room for entries of about so many octets. Growing by doubling would copy them, and hold the old and the new at
    /// once: for a million names, half as much memory again at its peak.
    #[must_use]
    pub fn with_room_for(octets: usize) -> Self {
        Self { entries: Vec::with_capacity(octets.min(ENTRIES_OCTETS_MAX)), ..Self::default() }
    }

    /// Adds a name that is not in the table yet.
    pub fn add(&mut self, new: NewEntry<'_>) -> Result<(), TooManyNames> {
        self.push(new, 0)?;
        self.found += 1;
        let labels = label_count(new.name);
        self.deepest = self.deepest.max(labels);
        self.shallowest = Some(self.shallowest.map_or(labels, |least| least.min(labels)));
        Ok(())
    }

    /// Adds the parent's side of a cut whose child zone is ours too.
    pub fn add_aside(&mut self, new: NewEntry<'_>) -> Result<Aside, TooManyNames> {
        self.push(new, ASIDE).map(Aside)
    }

    fn push(&mut self, new: NewEntry<'_>, aside: u8) -> Result<Place, TooManyNames> {
        let place = self.entries.len() + 1;
        if place + new.name.len() + ENTRY_FIXED_OCTETS_MAX + new.records.len() > ENTRIES_OCTETS_MAX {
            return Err(TooManyNames);
        }
        let steered = if new.service.is_some() { STEERED } else { 0 };
        let parent_side = if new.parent_side.is_some() { PARENT_SIDE } else { 0 };
        let flags = new.kind as u8 | steered | parent_side | aside;
        self.entries.extend_from_slice(&[new.name.len() as u8, flags]);
        self.entries.extend_from_slice(&new.zone.0.to_ne_bytes());
        self.entries.extend_from_slice(&(new.records.len() as u32).to_ne_bytes());
        self.entries.extend_from_slice(new.name);
        if let Some(service) = new.service {
            self.entries.extend_from_slice(&service.0.to_ne_bytes());
        }
        if let Some(side) = new.parent_side {
            self.entries.extend_from_slice(&side.0.to_ne_bytes());
        }
        self.entries.extend_from_slice(new.records);
        Ok(place as Place)
    }

    /// The table of all that was added.
    #[must_use]
    pub fn finish(self) -> Names {
        // At most three quarters full, so that a search for what is not there soon meets an empty slot.
        let capacity = (self.found * 4 / 3 + 1).next_power_of_two();
        let mut names = Names {
            slots: vec![Slot::default(); capacity].into(),
            entries: self.entries.into(),
            deepest: self.deepest,
            shallowest: self.shallowest.unwrap_or(0),
        };
        names.fill_slots();
        names.mark_wildcards();
        names
    }
}

impl Names {
    fn fill_slots(&mut self) {
        let mask = self.slots.len() - 1;
        let mut place = 1;
        while let Some(entry) = self.entry_from(place) {
            let (hash, next, is_found) = (hash(entry.name()), entry.next_place(), entry.flags() & ASIDE == 0);
            if is_found {
                let mut at = hash as usize & mask;
                while self.slots[at].entry != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = Slot { tag: tag(hash), entry: place };
            }
            place = next;
        }
    }

    /// Sets [`HAS_WILDCARD`] on the parent of every wildcard.
    fn mark_wildcards(&mut self) {
        let mut place = 1;
        while let Some(entry) = self.entry_from(place) {
            place = entry.next_place();
            if entry.flags() & ASIDE != 0 || !entry.name().starts_with(b"\x01*") {
                continue;
            }
            let parent = name::parent(entry.name()).expect("a wildcard is not the root");
            if let Some(parent_at) = self.entry_of(parent).map(|entry| entry.place as usize - 1) {
                self.entries[parent_at + 1] |= HAS_WILDCARD;
            }
        }
    }

    /// The entry at a place, or nothing behind the last.
    fn entry_from(&self, place: Place) -> Option<Entry<'_>> {
        (place as usize <= self.entries.len()).then(|| self.entry_at(place))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Names({} slots, {} octets)", self.slots.len(), self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<Name>().unwrap().as_wire().to_vec()
    }

    /// A table of these names, each with its kind.
    fn names(entries: &[(&str, Kind)]) -> Names {
        let mut builder = Builder::default();
        for (text, kind) in entries {
            let name = wire(text);
            builder
                .add(NewEntry {
                    name: &name,
                    kind: *kind,
                    zone: ZoneId(0),
                    service: None,
                    parent_side: None,
                    records: &[],
                })
                .unwrap();
        }
        builder.finish()
    }

    fn world() -> Names {
        names(&[
            ("example.com", Kind::Inside),
            ("www.example.com", Kind::Inside),
            ("*.example.com", Kind::Inside),
            ("b.example.com", Kind::Inside),
            ("a.b.example.com", Kind::Inside),
            ("cut.example.com", Kind::Cut),
            ("moved.example.com", Kind::Dname),
        ])
    }

    fn lead(names: &Names, question: &str) -> (&'static str, String) {
        let show = |entry: Entry<'_>| Name::from_checked(entry.name()).to_string();
        match names.find(&wire(question)) {
            Found::Outside => ("outside", String::new()),
            Found::Name(entry) => ("name", show(entry)),
            Found::Wildcard(entry) => ("wildcard", show(entry)),
            Found::Missing(entry) => ("missing", show(entry)),
            Found::BelowCut(entry) => ("cut", show(entry)),
            Found::BelowDname(entry) => ("dname", show(entry)),
        }
    }

    #[test]
    fn questions_lead_where_rfc_4592_says() {
        let names = world();
        let cases = [
            ("www.example.com", "name", "www.example.com."),
            ("other.example.com", "wildcard", "*.example.com."),
            ("deep.other.example.com", "wildcard", "*.example.com."),
            ("x.b.example.com", "missing", "b.example.com."),
            ("x.www.example.com", "missing", "www.example.com."),
            ("x.*.example.com", "missing", "*.example.com."),
            ("x.cut.example.com", "cut", "cut.example.com."),
            ("cut.example.com", "name", "cut.example.com."),
            ("x.y.moved.example.com", "dname", "moved.example.com."),
            ("example.org", "outside", ""),
            ("com", "outside", ""),
            (".", "outside", ""),
        ];
        for (question, how, where_to) in cases {
            assert_eq!(lead(&names, question), (how, where_to.to_owned()), "{question}");
        }
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(lead(&Names::default(), "example.com").0, "outside");
        assert_eq!(lead(&names(&[]), "example.com").0, "outside");
    }

    #[test]
    fn every_name_of_many_is_found_and_no_other() {
        let all: Vec<String> = (0..5_000).map(|i| format!("h{i}.example.com")).collect();
        let mut entries: Vec<(&str, Kind)> = all.iter().map(|name| (name.as_str(), Kind::Inside)).collect();
        entries.push(("example.com", Kind::Inside));
        let names = names(&entries);
        for name in &all {
            assert_eq!(lead(&names, name), ("name", format!("{name}.")));
            assert_eq!(lead(&names, &format!("x{name}")).0, "missing");
        }
    }

    #[test]
    fn a_zone_at_the_root_holds_everything() {
        let names = names(&[(".", Kind::Inside), ("com", Kind::Cut)]);
        assert_eq!(lead(&names, "example.com"), ("cut", "com.".to_owned()));
        assert_eq!(lead(&names, "org"), ("missing", ".".to_owned()));
        assert_eq!(lead(&names, "."), ("name", ".".to_owned()));
    }
}
