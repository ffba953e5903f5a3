//! Compiles zones into the table of names: what stands below a cut or a DNAME is left out, a child zone's names
//! are taken from the child, referrals get their glue, steered names their service.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::names::{Aside, Builder, Kind, Names, NewEntry};
use super::records::{Encoder, Role, Source, TooLarge};
use super::table::ZoneTop;
use crate::ids::{ServiceId, ZoneId};
use crate::name::{self, Name};
use crate::wire::code::RecordType;
use crate::zone::{Owner, Rrset, Zone};

/// The service of each steered name, and the types that it takes over from the zone file there.
pub type SteeredNames = BTreeMap<Name, (ServiceId, Vec<RecordType>)>;

/// Why zones cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZonesFault {
    /// The records of one name and type, or of one referral, do not fit a message.
    TooLarge(Name, RecordType),
    /// All zones together are larger than a table can be.
    TooManyNames,
    /// A steered name is delegated away, by the cut or DNAME given.
    SteeredBelow(Name, Name),
}

/// The table of names, and what negative answers need of each zone, in the order given.
pub fn compile(zones: &[Zone], steered: &SteeredNames) -> Result<(Names, Vec<ZoneTop>), Vec<ZonesFault>> {
    let builder = Builder::with_room_for(zones.iter().map(octets_of).sum());
    let mut compiler = Compiler { builder, asides: BTreeMap::new(), faults: Vec::new() };
    let services = steered.iter().map(|(name, of_name)| (name.as_wire(), of_name)).collect();
    let origins: HashSet<&[u8]> = zones.iter().map(|zone| zone.origin().as_wire()).collect();
    let mut steered_by_origin: HashMap<&[u8], Vec<SteeredName<'_>>> = HashMap::new();
    for (name, (service, _)) in steered {
        let origin = name::suffixes(name.as_wire()).find_map(|suffix| origins.get(suffix));
        if let Some(origin) = origin {
            steered_by_origin.entry(origin).or_default().push((name, *service));
        }
    }
    // Parents first, so that their side of a cut is there when the child's apex comes.
    let mut order: Vec<usize> = (0..zones.len()).collect();
    order.sort_by_key(|&index| zones[index].origin().label_count());
    for index in order {
        let zone = &zones[index];
        let own = steered_by_origin.remove(zone.origin().as_wire()).unwrap_or_default();
        let part = Part { zone, id: ZoneId::from_index(index), origins: &origins, services: &services, own };
        compiler.zone(&part);
    }
    let tops = zones.iter().map(zone_top).collect();
    if compiler.faults.is_empty() { Ok((compiler.builder.finish(), tops)) } else { Err(compiler.faults) }
}

/// About how many octets a zone takes in the table.
fn octets_of(zone: &Zone) -> usize {
    /// Beside its data: its owner as a pointer, its fixed octets, what is said of its set.
    const RECORD_OCTETS: usize = 20;
    const NAME_OCTETS: usize = 10;
    zone.octets() + zone.record_count() * RECORD_OCTETS + zone.owners().len() * NAME_OCTETS
}

fn zone_top(zone: &Zone) -> ZoneTop {
    let apex = zone.origin().as_wire();
    let soa = zone.soa();
    let rdata = soa.rdata().next().expect("a zone has one SOA record");
    let (_, minimum) = rdata.split_last_chunk().expect("MINIMUM ends the data of an SOA record");
    let ttl = soa.ttl().min(u32::from_be_bytes(*minimum));
    let mut negative = Vec::new();
    let source = Source { owner: None, rtype: RecordType::SOA, ttl, rdata };
    Encoder::anywhere(apex)
        .encode(Role::Negative, RecordType::SOA, [source], &mut negative)
        .expect("one SOA record fits any message");
    ZoneTop { apex: apex.into(), serial: zone.serial(), negative: negative.into(), signed: None }
}

struct Compiler {
    builder: Builder,
    /// The parent's side of each cut whose child zone is ours.
    asides: BTreeMap<Name, Aside>,
    faults: Vec<ZonesFault>,
}

/// One zone on its way into the table.
struct Part<'z> {
    zone: &'z Zone,
    id: ZoneId,
    /// The tops of all zones of ours.
    origins: &'z HashSet<&'z [u8]>,
    /// The service of each steered name, by octets: every name of a zone is looked for, and must not be copied for it.
    services: &'z HashMap<&'z [u8], &'z (ServiceId, Vec<RecordType>)>,
    /// The steered names that belong to this zone rather than to a child of it.
    own: Vec<SteeredName<'z>>,
}

type SteeredName<'z> = (&'z Name, ServiceId);

impl Compiler {
    fn zone(&mut self, part: &Part<'_>) {
        let mut records = Vec::new();
        // The cut, DNAME or child zone that the walk is at or below: in canonical order all that is below
        // follows at once.
        let mut top: Option<Vec<u8>> = None;
        for owner in part.zone.owners() {
            if top.as_deref().is_some_and(|top| is_below(owner.name(), top)) {
                continue;
            }
            top = None;
            // Owners of NSEC3 records are hashes, not names of the zone (RFC 5155 section 7.2.8).
            if owner.rrset(RecordType::NSEC3).is_some() {
                continue;
            }
            records.clear();
            if part.is_child(owner.name()) {
                top = Some(owner.name().to_vec());
                self.parent_side(part, &owner, &mut records);
                continue;
            }
            let kind = part.kind(&owner);
            if kind != Kind::Inside {
                top = Some(owner.name().to_vec());
            }
            self.owner(part, &owner, kind, &mut records);
        }
        self.steered_names_not_in_the_file(part);
    }

    fn owner(&mut self, part: &Part<'_>, owner: &Owner<'_>, kind: Kind, records: &mut Vec<u8>) {
        let service = part.service(owner.name());
        if let (Some(_), Kind::Cut) = (service, kind) {
            let name = Name::from_checked(owner.name());
            self.faults.push(ZonesFault::SteeredBelow(name.clone(), name));
        }
        let taken = service.map_or(&[][..], |(_, types)| types);
        let encoded = if kind == Kind::Cut {
            encode_cut(part.zone, owner, records)
        } else {
            encode_sets(owner, taken, kind, records)
        };
        self.note(encoded, owner.name());
        let is_apex = owner.name() == part.zone.origin().as_wire();
        let parent_side = if is_apex { self.asides.get(part.zone.origin()).copied() } else { None };
        let service = service.map(|(service, _)| *service);
        self.add(NewEntry { name: owner.name(), kind, zone: part.id, service, parent_side, records });
    }

    fn parent_side(&mut self, part: &Part<'_>, owner: &Owner<'_>, records: &mut Vec<u8>) {
        let encoded = encode_cut(part.zone, owner, records);
        self.note(encoded, owner.name());
        let entry = NewEntry {
            name: owner.name(),
            kind: Kind::Cut,
            zone: part.id,
            service: None,
            parent_side: None,
            records,
        };
        match self.builder.add_aside(entry) {
            Ok(aside) => drop(self.asides.insert(Name::from_checked(owner.name()), aside)),
            Err(_) => self.faults.push(ZonesFault::TooManyNames),
        }
    }

    /// Steered names that the zone file does not mention, and the empty non-terminals above them.
    fn steered_names_not_in_the_file(&mut self, part: &Part<'_>) {
        let mut added: HashSet<&[u8]> = HashSet::new();
        for (name, service) in &part.own {
            if let Some(above) = part.delegated_above(name) {
                self.faults.push(ZonesFault::SteeredBelow((*name).clone(), above));
                continue;
            }
            let mut service = Some(*service);
            for suffix in name::suffixes(name.as_wire()) {
                let known = part.zone.find(suffix).is_some() || added.contains(suffix);
                // What is above a known name is known; above the top of the zone nothing is ours.
                if known {
                    break;
                }
                added.insert(suffix);
                self.add(NewEntry {
                    name: suffix,
                    kind: Kind::Inside,
                    zone: part.id,
                    service: service.take(),
                    parent_side: None,
                    records: &[],
                });
            }
        }
    }

    fn add(&mut self, entry: NewEntry<'_>) {
        if self.builder.add(entry).is_err() && !self.faults.contains(&ZonesFault::TooManyNames) {
            self.faults.push(ZonesFault::TooManyNames);
        }
    }

    fn note(&mut self, encoded: Result<(), (RecordType, TooLarge)>, name: &[u8]) {
        if let Err((rtype, TooLarge)) = encoded {
            self.faults.push(ZonesFault::TooLarge(Name::from_checked(name), rtype));
        }
    }
}

impl Part<'_> {
    fn kind(&self, owner: &Owner<'_>) -> Kind {
        let mut kind = Kind::Inside;
        for set in owner.rrsets() {
            match set.rtype() {
                RecordType::NS if owner.name() != self.zone.origin().as_wire() => kind = Kind::Cut,
                RecordType::DNAME => kind = Kind::Dname,
                _ => {}
            }
        }
        kind
    }

    fn service(&self, name: &[u8]) -> Option<&(ServiceId, Vec<RecordType>)> {
        self.services.get(name).copied()
    }

    /// Whether another zone of ours begins at a name of this one.
    fn is_child(&self, name: &[u8]) -> bool {
        name != self.zone.origin().as_wire() && self.origins.contains(name)
    }

    /// The cut or DNAME that takes a name out of the zone's authority.
    fn delegated_above(&self, name: &Name) -> Option<Name> {
        name::suffixes(name.as_wire())
            .skip(1)
            .take_while(|suffix| suffix.len() >= self.zone.origin().as_wire().len())
            .filter_map(|suffix| self.zone.find(suffix))
            .find(|owner| self.kind(owner) != Kind::Inside)
            .map(|owner| Name::from_checked(owner.name()))
    }
}

fn is_below(name: &[u8], top: &[u8]) -> bool {
    name.len() > top.len() && name::suffixes(name).any(|suffix| suffix == top)
}

fn sources<'z>(set: &Rrset<'z>) -> impl Iterator<Item = Source<'z>> {
    let (rtype, ttl) = (set.rtype(), set.ttl());
    set.rdata().map(move |rdata| Source { owner: None, rtype, ttl, rdata })
}

/// The records of a name inside the zone, without the types that a service takes over.
fn encode_sets(
    owner: &Owner<'_>,
    taken: &[RecordType],
    kind: Kind,
    out: &mut Vec<u8>,
) -> Result<(), (RecordType, TooLarge)> {
    for set in owner.rrsets().filter(|set| !taken.contains(&set.rtype())) {
        let above = kind == Kind::Dname && set.rtype() == RecordType::DNAME;
        let mut encoder = if above { Encoder::above(owner.name()) } else { Encoder::at(owner.name()) };
        encoder
            .encode(Role::Answer, set.rtype(), sources(&set), out)
            .map_err(|fault| (set.rtype(), fault))?;
    }
    Ok(())
}

/// A cut: its DS records, which the parent answers for; the referral; the glue.
fn encode_cut(zone: &Zone, owner: &Owner<'_>, out: &mut Vec<u8>) -> Result<(), (RecordType, TooLarge)> {
    let set_of = |rtype: RecordType| owner.rrset(rtype);
    if let Some(set) = set_of(RecordType::DS) {
        Encoder::at(owner.name())
            .encode(Role::Answer, RecordType::DS, sources(&set), out)
            .map_err(|fault| (RecordType::DS, fault))?;
    }
    let Some(ns) = set_of(RecordType::NS) else { return Ok(()) };
    let mut encoder = Encoder::above(owner.name());
    let too_large = |fault| (RecordType::NS, fault);
    encoder.encode(Role::Referral, RecordType::NS, sources(&ns), out).map_err(too_large)?;
    for (role, below) in [(Role::Glue, true), (Role::SiblingGlue, false)] {
        let targets = ns.rdata().filter(|target| is_at_or_below(target, owner.name()) == below);
        let addresses: Vec<Source<'_>> = targets.flat_map(|target| glue(zone, target)).collect();
        if !addresses.is_empty() {
            encoder.encode(role, RecordType::A, addresses, out).map_err(too_large)?;
        }
    }
    Ok(())
}

fn is_at_or_below(name: &[u8], top: &[u8]) -> bool {
    name::suffixes(name).any(|suffix| suffix.eq_ignore_ascii_case(top))
}

/// The addresses that the zone has for a name server.
fn glue<'z>(zone: &'z Zone, target: &'z [u8]) -> Vec<Source<'z>> {
    let Some(owner) = zone.find(&target.to_ascii_lowercase()) else { return Vec::new() };
    owner
        .rrsets()
        .filter(|set| matches!(set.rtype(), RecordType::A | RecordType::AAAA))
        .flat_map(|set| {
            set.rdata()
                .map(move |rdata| Source { owner: Some(target), rtype: set.rtype(), ttl: set.ttl(), rdata })
                .collect::<Vec<_>>()
        })
        .collect()
}

impl fmt::Display for ZonesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(name, rtype) => {
                write!(
                    f,
                    "the {rtype} records of {name} do not fit a message of 65,535 octets; give it fewer"
                )
            }
            Self::TooManyNames => {
                f.write_str("all zones together are larger than 4 GiB; serve fewer from here")
            }
            Self::SteeredBelow(name, above) if name == above => {
                write!(f, "{name} is delegated; steer a name that this zone answers for")
            }
            Self::SteeredBelow(name, above) => {
                write!(
                    f,
                    "{name} lies below {above}, which is delegated or a DNAME; steer a name that this zone answers for"
                )
            }
        }
    }
}
