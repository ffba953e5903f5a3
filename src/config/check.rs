//! What can only be judged when several tables are known: maps beside regions and databases, services beside
//! maps and zones.

use std::collections::{HashMap, HashSet};

use super::Config;
use super::findings::Findings;
use super::section::geoip::GeoIp;
use super::section::map::MapRead;
use super::section::service::ServiceDetails;
use super::table::Entry;
use super::text::Span;
use crate::fault::Fault;
use crate::ids::{RegionId, ZoneId};
use crate::name::Name;
use crate::net::Family;
use crate::policy::map::{Fence, Matcher, Order, Region};
use crate::policy::service::{AnswerKind, Families, Service, ServiceRegion, WhenAllDown};
use crate::wire::code::RecordType;

/// What a zone file has at a steered name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldInZone {
    /// The types of the records of exactly that name.
    pub rtypes: Vec<RecordType>,
    /// The owner of a delegation or of a DNAME that takes the name out of the zone's hands.
    pub taken_by: Option<Name>,
}

/// Checks maps against regions and databases.
pub(super) fn check_maps(
    maps: &[MapRead],
    regions: &[Region],
    region_entries: &[Entry],
    geoip: &GeoIp,
    findings: &Findings,
) {
    check_locations(maps, regions, region_entries, findings);
    let places = geoip.country.is_some() || geoip.city.is_some();
    for read in maps {
        if read.map.order == Order::Nearest && !places {
            findings.warning(
                read.order_span,
                "no database tells where clients are, so none of them is near to anything",
                "name one: [geoip] country = \"geoip/country.mmdb\"",
            );
        }
        for (rule, span) in read.map.rules.iter().zip(&read.rule_spans) {
            let (missing, key) = match rule.matcher {
                Matcher::Asn(_) => (geoip.asn.is_none(), "asn"),
                Matcher::Subdivision(..) => {
                    (geoip.city.is_none() && geoip.fields.subdivision.is_none(), "city")
                }
                Matcher::Country(_) | Matcher::Continent(_) => (!places, "country"),
                Matcher::Network(_) | Matcher::Default => continue,
            };
            if missing {
                let help = format!("name one: [geoip] {key} = \"geoip/{key}.mmdb\"");
                findings.warning(*span, "no database tells which clients these are", help);
            }
        }
    }
}

/// Each region that an order by distance needs to place, told once, where the region was written.
fn check_locations(maps: &[MapRead], regions: &[Region], entries: &[Entry], findings: &Findings) {
    let mut told = HashSet::new();
    for read in maps {
        let all = (0..regions.len()).map(RegionId::from_index);
        let by_map = (read.map.order == Order::Nearest).then_some(all).into_iter().flatten();
        let rules = read.map.rules.iter().filter(|rule| rule.order == Some(Order::Nearest));
        for region in by_map.chain(rules.flat_map(|rule| rule.regions.iter().copied())) {
            if regions[region.index()].location.is_none() && told.insert(region) {
                findings.error(
                    entries[region.index()].span,
                    format!(
                        "the region has no location, but the map {:?} orders it by distance",
                        read.map.name
                    ),
                    "write location = [latitude, longitude] in degrees",
                );
            }
        }
    }
}

/// Checks services against maps, zones and each other.
pub(super) fn check_services(
    services: &[Service],
    details: &[ServiceDetails],
    maps: &[MapRead],
    regions: &[Region],
    zones: &HashMap<Name, ZoneId>,
    findings: &Findings,
) {
    let mut names: HashMap<&Name, (&str, Span)> = HashMap::new();
    let mut fences = Fences::new(maps);
    for (service, details) in services.iter().zip(details) {
        for (name, span) in service.names.iter().zip(&details.name_spans) {
            if let Some((other, first)) = names.insert(name, (&service.name, *span)) {
                findings.error(
                    *span,
                    format!("{name} is steered twice"),
                    format!("leave it out here, or in {other:?} on line {}", findings.line(first)),
                );
            }
            check_zone(name, *span, service.answer, zones, findings);
        }
        match service.answer {
            AnswerKind::Addresses => check_addresses(service, details, regions, findings),
            AnswerKind::Cname => check_cname(service, details, findings),
        }
        let weighted = maps.get(service.map.index()).is_some_and(|read| read.map.order == Order::Weighted);
        if weighted && !service.regions.is_empty() && service.regions.iter().all(|region| region.weight == 0)
        {
            findings.warning(
                details.span,
                "all regions have weight 0 under a map that orders by weight",
                "give one of them a weight; as it stands they are all used alike",
            );
        }
        fences.check(service, details, findings);
    }
}

/// The zone with the longest origin that holds `name`.
pub(super) fn zone_of(name: &Name, zones: &HashMap<Name, ZoneId>) -> Option<ZoneId> {
    std::iter::successors(Some(name.clone()), Name::parent).find_map(|suffix| zones.get(&suffix).copied())
}

fn check_zone(
    name: &Name,
    span: Span,
    answer: AnswerKind,
    zones: &HashMap<Name, ZoneId>,
    findings: &Findings,
) {
    if zone_of(name, zones).is_none() {
        let parent = name.parent().unwrap_or(Name::root()).to_string();
        let help = format!("declare its zone, such as [zones.{:?}]", parent.trim_end_matches('.'));
        findings.error(span, format!("{name} lies in none of the zones"), help);
    }
    if answer == AnswerKind::Cname && zones.contains_key(name) {
        findings.error(
            span,
            format!("{name} is the top of a zone, where no CNAME may stand beside SOA and NS"),
            "write answer = \"addresses\"",
        );
    }
}

fn check_addresses(service: &Service, details: &ServiceDetails, regions: &[Region], findings: &Findings) {
    for (region, span) in service.regions.iter().zip(&details.region_spans) {
        if region.cname.is_some() {
            let help = "leave it out, or write answer = \"cname\" for the whole service";
            findings.error(*span, "a CNAME is never mixed with addresses", help);
        }
    }
    if service.families == Families::Independent {
        return;
    }
    for family in [Family::V4, Family::V6] {
        let Some(having) = service.regions.iter().find(|region| has(region, family)) else { continue };
        let having = &regions[having.region.index()].name;
        let (word, help) = (
            if family == Family::V4 { "IPv4" } else { "IPv6" },
            "add one, or write families = \"independent\", so that each family is steered for itself",
        );
        for (region, span) in service.regions.iter().zip(&details.region_spans) {
            if !region.endpoints.is_empty() && !has(region, family) {
                findings.error(*span, format!("there is no {word} endpoint here, but one in {having}"), help);
            }
        }
        if let WhenAllDown::Fallback(addresses) = &service.when_all_down
            && !addresses.iter().any(|address| Family::of(*address) == family)
        {
            let message = format!("there is no {word} address to fall back to, but endpoints have one");
            findings.error(details.span, message, help);
        }
    }
}

fn has(region: &ServiceRegion, family: Family) -> bool {
    region.endpoints.iter().any(|endpoint| Family::of(endpoint.address) == family)
}

fn check_cname(service: &Service, details: &ServiceDetails, findings: &Findings) {
    for (region, span) in service.regions.iter().zip(&details.region_spans) {
        match &region.cname {
            None => findings.error(
                *span,
                "a service that answers with a CNAME needs a host name in each region",
                "write cname = \"eu-west.cdn.example.net\" beside endpoints",
            ),
            Some(target) if service.names.contains(target) => findings.error(
                *span,
                format!("the CNAME points at {target}, a name of this service"),
                "write the name of a host",
            ),
            Some(_) => {}
        }
    }
    if let Some(binding) = details.bindings.first() {
        let help = "leave https and svcb out, or write answer = \"addresses\"";
        findings.error(binding.span, "no other record stands beside a CNAME", help);
    }
    if let WhenAllDown::Fallback(_) = service.when_all_down {
        let help = "write \"fail-open\" or \"servfail\"";
        findings.error(
            details.span,
            "a service that answers with a CNAME cannot fall back to addresses",
            help,
        );
    }
}

/// Finds hard fences that leave a service without any region. Services mostly stand in the same few sets of
/// regions, so each set is held against a map once.
struct Fences<'m> {
    maps: &'m [MapRead],
    judged: HashMap<(usize, Vec<RegionId>), Option<Span>>,
}

impl<'m> Fences<'m> {
    fn new(maps: &'m [MapRead]) -> Self {
        Self { maps, judged: HashMap::new() }
    }

    fn check(&mut self, service: &Service, details: &ServiceDetails, findings: &Findings) {
        let Some(read) = self.maps.get(service.map.index()) else { return };
        if service.regions.is_empty() || service.when_all_down != WhenAllDown::FailOpen {
            return;
        }
        let mut stands: Vec<_> = service.regions.iter().map(|region| region.region).collect();
        stands.sort();
        let judge = |stands: &[RegionId]| {
            let rules = read.map.rules.iter().zip(&read.rule_spans);
            let mut hard = rules.filter(|(rule, _)| rule.fence == Fence::Hard && !rule.regions.is_empty());
            hard.find(|(rule, _)| !rule.regions.iter().any(|region| stands.contains(region)))
                .map(|(_, span)| *span)
        };
        let key = (service.map.index(), stands);
        let rule = *self.judged.entry(key).or_insert_with_key(|(_, stands)| judge(stands));
        if let Some(rule) = rule {
            findings.error(
                details.span,
                format!(
                    "the hard fence on line {} of the map {:?} leaves the service without a region",
                    findings.line(rule),
                    read.map.name
                ),
                "let the service stand in a region of that fence, or write when-all-down = \"servfail\"",
            );
        }
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
