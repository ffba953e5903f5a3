//! Every name of every zone, found by the hash of its wire form in lower case.
//!
//! Two arrays. `slots` is an open-addressed hash table of eight octets a slot: half of the hash, and where the
//! name's *entry* begins. `entries` holds one entry after another: the name, what kind of name it is, its
//! zone, and its ready-made records. So a name that exists costs two cache misses: its slot, its entry.
//!
//! A name that does not exist is looked for once, then its ancestors are, the nearest first: the first that is
//! there is the closest encloser (RFC 4592 section 3.3.1), and it knows whether a wildcard, a cut or a DNAME
//! stands in between. Names below cuts and DNAMEs are therefore not held at all; empty non-terminals are.

use super::records::{Records, Role};
use crate::ids::{ServiceId, ZoneId};
use crate::name;

/// All names of all zones.
#[derive(Default)]
pub struct Names {
    slots: Box<[Slot]>,
    entries: Box<[u8]>,
    /// Labels of the deepest name: nothing is found below.
    depth: usize,
}

/// Half of a hash, and the place of an entry plus one; 0 is an empty slot.
#[derive(Clone, Copy, Default)]
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

/// One name of the table.
#[derive(Clone, Copy)]
pub struct Entry<'t> {
    place: Place,
    name: &'t [u8],
    flags: u8,
    zone: ZoneId,
    service: ServiceId,
    parent_side: Place,
    records: &'t [u8],
}

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
                if entry.name == name {
                    return Some(entry);
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn find_above<'t>(&'t self, name: &[u8]) -> Found<'t> {
        let labels = name::labels(name).count();
        // Ancestors deeper than any name we have need not be looked for.
        let hopeless = labels.saturating_sub(self.depth).max(1);
        let Some(encloser) = name::suffixes(name).skip(hopeless).find_map(|name| self.entry_of(name)) else {
            return Found::Outside;
        };
        match encloser.kind() {
            Kind::Cut => Found::BelowCut(encloser),
            Kind::Dname => Found::BelowDname(encloser),
            Kind::Inside if encloser.flags & HAS_WILDCARD != 0 => {
                let wildcard = self.wildcard_below(encloser.name);
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
        let (name, rest) = octets[1..].split_at(usize::from(octets[0]));
        let (flags, rest) = (rest[0], &rest[1..]);
        let (zone, rest) = take_u32(rest);
        let (length, rest) = take_u32(rest);
        let (service, rest) = if flags & STEERED == 0 { (0, rest) } else { take_u32(rest) };
        let (parent_side, rest) = if flags & PARENT_SIDE == 0 { (0, rest) } else { take_u32(rest) };
        Entry {
            place,
            name,
            flags,
            zone: ZoneId(zone),
            service: ServiceId(service),
            parent_side,
            records: &rest[..length as usize],
        }
    }

    /// For an apex below another zone of ours: that zone's side of the cut, which alone has the DS records
    /// (RFC 4035 section 3.1.4.1).
    #[must_use]
    pub fn parent_side<'t>(&'t self, apex: &Entry<'t>) -> Option<Entry<'t>> {
        (apex.flags & PARENT_SIDE != 0).then(|| self.entry_at(apex.parent_side))
    }

    /// How many octets the table takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.entries.len() + self.slots.len() * size_of::<Slot>()
    }
}

/// Octets of an entry at most, beside its name and records: length, flags, zone, length, service, parent side.
const ENTRY_FIXED_OCTETS_MAX: usize = 18;

#[inline]
fn take_u32(octets: &[u8]) -> (u32, &[u8]) {
    let (number, rest) = octets.split_first_chunk().expect("an entry is whole");
    (u32::from_ne_bytes(*number), rest)
}

impl<'t> Entry<'t> {
    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'t [u8] {
        self.name
    }

    /// What kind of name it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.flags & KIND {
            0 => Kind::Inside,
            1 => Kind::Cut,
            _ => Kind::Dname,
        }
    }

    /// The zone it belongs to.
    #[must_use]
    pub fn zone(&self) -> ZoneId {
        self.zone
    }

    /// The service that answers for it.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        (self.flags & STEERED != 0).then_some(self.service)
    }

    /// All its sets of records.
    pub fn records(&self) -> impl Iterator<Item = Records<'t>> {
        let mut rest = self.records;
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

/// A hash of a name in lower case: eight octets at a time, folded 128-bit products. It is no secret: whoever
/// knows it can only look for names that are not there, and a search ends at the first empty slot.
#[inline]
fn hash(name: &[u8]) -> u64 {
    const SEED: u64 = 0x2545_f491_4f6c_dd1d;
    const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word).wrapping_mul(u128::from(FACTOR));
        product as u64 ^ (product >> 64) as u64
    };
    let mut words = name.chunks_exact(8);
    let mut state = SEED ^ name.len() as u64;
    for word in &mut words {
        state = fold(state, u64::from_le_bytes(word.try_into().expect("chunks are of eight octets")));
    }
    let mut tail = [0; 8];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    fold(fold(state, u64::from_le_bytes(tail)), SEED)
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
    /// Hash and place of each entry that can be found.
    found: Vec<(u64, Place)>,
    depth: usize,
}

impl Builder {
    /// Adds a name that is not in the table yet.
    pub fn add(&mut self, new: NewEntry<'_>) -> Result<(), TooManyNames> {
        let place = self.push(new)?;
        self.found.push((hash(new.name), place));
        self.depth = self.depth.max(name::labels(new.name).count());
        Ok(())
    }

    /// Adds the parent's side of a cut whose child zone is ours too.
    pub fn add_aside(&mut self, new: NewEntry<'_>) -> Result<Aside, TooManyNames> {
        self.push(new).map(Aside)
    }

    fn push(&mut self, new: NewEntry<'_>) -> Result<Place, TooManyNames> {
        let place = self.entries.len() + 1;
        if place + new.name.len() + ENTRY_FIXED_OCTETS_MAX + new.records.len() > ENTRIES_OCTETS_MAX {
            return Err(TooManyNames);
        }
        let steered = if new.service.is_some() { STEERED } else { 0 };
        let parent_side = if new.parent_side.is_some() { PARENT_SIDE } else { 0 };
        self.entries.push(new.name.len() as u8);
        self.entries.extend_from_slice(new.name);
        self.entries.push(new.kind as u8 | steered | parent_side);
        self.entries.extend_from_slice(&new.zone.0.to_ne_bytes());
        self.entries.extend_from_slice(&(new.records.len() as u32).to_ne_bytes());
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
        let capacity = (self.found.len() * 4 / 3 + 1).next_power_of_two();
        let mask = capacity - 1;
        let mut slots = vec![Slot::default(); capacity].into_boxed_slice();
        for &(hash, entry) in &self.found {
            let mut at = hash as usize & mask;
            while slots[at].entry != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = Slot { tag: tag(hash), entry };
        }
        let mut names = Names { slots, entries: self.entries.into(), depth: self.depth };
        names.mark_wildcards(&self.found);
        names
    }
}

impl Names {
    /// Sets [`HAS_WILDCARD`] on the parent of every wildcard.
    fn mark_wildcards(&mut self, found: &[(u64, Place)]) {
        for &(_, place) in found {
            let at = place as usize - 1;
            if !self.entries[at + 1..].starts_with(b"\x01*") {
                continue;
            }
            let parent =
                name::parent(self.entry_at(place).name).expect("a wildcard is not the root").to_vec();
            if let Some(parent_at) = self.entry_of(&parent).map(|entry| entry.place as usize - 1) {
                let flags_at = parent_at + 1 + usize::from(self.entries[parent_at]);
                self.entries[flags_at] |= HAS_WILDCARD;
            }
        }
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
