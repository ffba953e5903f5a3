//! Steered names beside the zones that hold them, and beside what those zones have at these names.

use crate::config::findings::Findings;
use crate::config::text::Span;
use crate::config::{Config, Zone, ZoneIndex};
use crate::fault::Fault;
use crate::ids::ZoneId;
use crate::name::{self, Name};
use crate::policy::service::AnswerKind;
use crate::wire::code::RecordType;

/// What a zone file has at a steered name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldInZone {
    /// The types of the records of exactly that name.
    pub rtypes: Vec<RecordType>,
    /// The owner of a delegation or of a DNAME that takes the name out of the zone's hands.
    pub taken_by: Option<Name>,
}

/// The zone with the longest origin that holds `name`.
pub(in crate::config) fn zone_of(name: &Name, zones: &ZoneIndex) -> Option<ZoneId> {
    name::suffixes(name.as_wire()).find_map(|suffix| zones.get(suffix).copied())
}

/// Notes zones that hold the agent which errors are reported to: their answers cannot name it (RFC 9567 section 8.1).
pub(in crate::config) fn check_error_reports(
    agent: Option<&(Name, Span)>,
    zones: &[Zone],
    findings: &Findings,
) {
    let Some((agent, span)) = agent else { return };
    for zone in zones.iter().filter(|zone| agent.is_at_or_below(&zone.origin)) {
        findings.warning(
            *span,
            format!("{agent} lies in the zone {}, whose errors nobody can report there", zone.origin),
            "name an agent outside of it; the other zones name this one",
        );
    }
}

/// Notes a name outside every zone, and a CNAME where the zone itself begins.
pub(super) fn check_zone(
    name: &Name,
    span: Span,
    answer: AnswerKind,
    zones: &ZoneIndex,
    findings: &Findings,
) {
    if zone_of(name, zones).is_none() {
        let parent = name.parent().unwrap_or(Name::root()).to_string();
        let help = format!("declare its zone, such as [zones.{:?}]", parent.trim_end_matches('.'));
        findings.error(span, format!("{name} lies in none of the zones"), help);
    }
    if answer == AnswerKind::Cname && zones.contains_key(name.as_wire()) {
        findings.error(
            span,
            format!("{name} is the top of a zone, where no CNAME may stand beside SOA and NS"),
            "write answer = \"addresses\"",
        );
    }
}

impl Config {
    /// Faults of the steered names beside what their zones hold, which `held` tells.
    #[must_use]
    pub fn check_against_zones(&self, held: impl Fn(ZoneId, &Name) -> HeldInZone) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (service, details) in self.services.iter().zip(&self.details) {
            for (name, span) in service.names.iter().zip(&details.name_spans) {
                let Some(zone) = self.zone_of(name) else { continue };
                if let Some((message, help)) = clash(service.answer, name, &held(zone, name)) {
                    faults.push(self.error(*span, message, help.to_owned()));
                }
            }
        }
        faults
    }
}

/// Why a steered name cannot stand where it stands. A static CNAME alone at a name that is answered with a
/// CNAME is what a secondary would serve, and so are static addresses at one that is answered with addresses.
fn clash(answer: AnswerKind, name: &Name, held: &HeldInZone) -> Option<(String, &'static str)> {
    if let Some(owner) = &held.taken_by {
        let help = "steer a name that the zone itself answers";
        return Some((format!("{name} lies in what {owner} gives into other hands"), help));
    }
    let alias = held.rtypes.contains(&RecordType::CNAME);
    let other = held.rtypes.iter().find(|rtype| **rtype != RecordType::CNAME);
    match (answer, other) {
        (AnswerKind::Addresses, _) if alias => {
            Some((format!("{name} has a CNAME in its zone file"), "write its static addresses there instead"))
        }
        (AnswerKind::Cname, Some(rtype)) => Some((
            format!(
                "{name} has a record of type {rtype} in its zone file, and nothing stands beside a CNAME"
            ),
            "write answer = \"addresses\", or take the record out of the zone file",
        )),
        _ => None,
    }
}
