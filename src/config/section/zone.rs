//! `[zones.*]`: the zones served and their files, plain RFC 1035 master files.

use std::path::PathBuf;

use crate::config::ZoneIndex;
use crate::config::findings::Findings;
use crate::config::table::{Entry, Section};
use crate::config::text::Span;
use crate::ids::ZoneId;
use crate::name::Name;

use super::dnssec::{ZoneKeys, read_dnssec};

/// A zone to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The name of its top.
    pub origin: Name,
    /// Its master file.
    pub file: PathBuf,
    /// How it is signed here, if it is.
    pub dnssec: Option<ZoneKeys>,
    /// Where it was written.
    pub span: Span,
}

pub(in crate::config) const ZONE: Section = Section { path: "zones.*", keys: &["file", "dnssec"] };

/// Reads one zone; `None` when its name is no domain name.
pub(in crate::config) fn read_zone(entry: &Entry) -> Option<Zone> {
    let origin = entry.value.at(entry.span).parsed_as(entry.key, "example.com");
    let table = entry.value.table(&ZONE);
    let file = table.required("file", "\"zones/example.com.zone\"");
    let file = file.and_then(|value| value.path("zones/example.com.zone")).unwrap_or_default();
    let dnssec = table.value("dnssec").map(read_dnssec);
    Some(Zone { origin: origin?, file, dnssec, span: entry.span })
}

/// The zones by their names; a second zone of one name is a fault.
pub(in crate::config) fn index_zones(zones: &[Zone], findings: &Findings) -> ZoneIndex {
    let mut index = ZoneIndex::with_capacity(zones.len());
    for (position, zone) in zones.iter().enumerate() {
        if let Some(first) = index.insert(zone.origin.as_wire().into(), ZoneId::from_index(position)) {
            findings.error(
                zone.span,
                format!("the zone {} is declared twice", zone.origin),
                format!("its first declaration is on line {}", findings.line(zones[first.index()].span)),
            );
        }
    }
    index
}
