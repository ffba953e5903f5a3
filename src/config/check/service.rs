//! Services beside each other, their maps and their zones.

use std::collections::HashMap;

use super::fence::Fences;
use super::in_zone::check_zone;
use crate::config::ZoneIndex;
use crate::config::findings::Findings;
use crate::config::section::map::MapRead;
use crate::config::section::service::ServiceDetails;
use crate::net::Family;
use crate::policy::map::{Order, Region};
use crate::policy::service::{AnswerKind, Families, Service, ServiceRegion, WhenAllDown};

/// Checks services against maps, zones and each other.
pub(in crate::config) fn check_services(
    services: &[Service],
    details: &[ServiceDetails],
    maps: &[MapRead],
    regions: &[Region],
    zones: &ZoneIndex,
    findings: &Findings,
) {
    let mut names = HashMap::new();
    let mut fences = Fences::new(maps);
    for (service, details) in services.iter().zip(details) {
        for (name, span) in service.names.iter().zip(&details.name_spans) {
            if let Some((other, first)) = names.insert(name, (&service.name, *span)) {
                let help = format!("leave it out here, or in {other:?} on line {}", findings.line(first));
                findings.error(*span, format!("{name} is steered twice"), help);
            }
            check_zone(name, *span, service.answer, zones, findings);
        }
        match service.answer {
            AnswerKind::Addresses => check_addresses(service, details, regions, findings),
            AnswerKind::Cname => check_cname(service, details, findings),
        }
        check_weights(service, details, maps, findings);
        fences.check(service, details, findings);
    }
}

fn check_weights(service: &Service, details: &ServiceDetails, maps: &[MapRead], findings: &Findings) {
    let weighted = maps.get(service.map.index()).is_some_and(orders_by_weight);
    let weightless = service.regions.iter().all(|region| region.weight == 0);
    if weighted && weightless && !service.regions.is_empty() {
        findings.warning(
            details.span,
            "all regions have weight 0 under a map that orders by weight",
            "give one of them a weight; as it stands they are all used alike",
        );
    }
}

fn orders_by_weight(read: &MapRead) -> bool {
    let by_rule = |order: &Option<Order>| *order == Some(Order::Weighted);
    read.map.order == Order::Weighted || read.map.rules.iter().any(|rule| by_rule(&rule.order))
}

fn check_addresses(service: &Service, details: &ServiceDetails, regions: &[Region], findings: &Findings) {
    for (region, span) in service.regions.iter().zip(&details.region_spans) {
        if region.cname.is_some() {
            let help = "leave it out, or write answer = \"cname\" for the whole service";
            findings.error(*span, "a CNAME is never mixed with addresses", help);
        }
    }
    if service.families == Families::Together {
        check_families(service, details, regions, findings);
    }
}

/// A family that one region has must be had by all, and by the fall-back.
fn check_families(service: &Service, details: &ServiceDetails, regions: &[Region], findings: &Findings) {
    for family in [Family::V4, Family::V6] {
        let Some(having) = service.regions.iter().find(|region| has(region, family)) else { continue };
        let having = &regions[having.region.index()].name;
        let word = if family == Family::V4 { "IPv4" } else { "IPv6" };
        let help = "add one, or write families = \"independent\", so that each family is steered for itself";
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
