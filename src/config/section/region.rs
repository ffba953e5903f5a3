//! `[regions.*]`: the places that serve, and `[vantages.*]`: the places that are probed from.

use crate::config::directory::Directory;
use crate::config::limit::CONTROL_TARGETS_MAX;
use crate::config::text::Span;
use crate::config::value::{Entry, Findings, Section, Value};
use crate::ids::RegionId;
use crate::place::Location;
use crate::policy::map::Region;

/// A place that agents stand in. Without any, the server probes for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// Its name in the configuration.
    pub name: String,
    /// The region it shares its fate with.
    pub region: Option<RegionId>,
    /// What fails together; a quorum needs two of them where there are two.
    pub fault_domain: String,
    /// What an agent there must be able to reach to be believed, as URLs.
    pub control_targets: Vec<String>,
    /// Where it was written.
    pub span: Span,
}

pub(in crate::config) const REGION: Section =
    Section { path: "regions.*", keys: &["continent", "location", "bias"] };
pub(in crate::config) const VANTAGE: Section =
    Section { path: "vantages.*", keys: &["region", "fault-domain", "control-targets"] };

/// Distances are multiplied by a number in this range.
const BIAS: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// How a control target may be reached.
const CONTROL_SCHEMES: [&str; 4] = ["http://", "https://", "tcp://", "dns://"];

/// Reads one region.
pub(in crate::config) fn read_region(entry: &Entry, findings: &mut Findings) -> Region {
    let mut region = Region { name: entry.key.to_owned(), continent: None, location: None, bias: 1.0 };
    let Some(table) = entry.value.table(&REGION, findings) else { return region };
    region.continent = table.value("continent").and_then(|value| value.parsed("EU", findings));
    if let Some(value) = table.value("location") {
        // One that is faulty counts as written, so that nobody is told that it is missing.
        region.location = read_location(value, findings).or(Location::new(0.0, 0.0).ok());
    }
    if let Some(bias) = table.value("bias").and_then(|value| value.number(BIAS, findings)) {
        region.bias = bias;
    }
    region
}

/// Reads one vantage.
pub(in crate::config) fn read_vantage(
    entry: &Entry,
    regions: &Directory<RegionId>,
    findings: &mut Findings,
) -> Vantage {
    let mut vantage = Vantage {
        name: entry.key.to_owned(),
        region: None,
        fault_domain: entry.key.to_owned(),
        control_targets: Vec::new(),
        span: entry.span,
    };
    let Some(table) = entry.value.table(&VANTAGE, findings) else { return vantage };
    vantage.region = table.value("region").and_then(|value| regions.resolve(value, findings));
    if let Some(domain) = table.value("fault-domain").and_then(|value| value.text("provider-a", findings)) {
        vantage.fault_domain = domain.to_owned();
    }
    let example = "[\"https://control.example.net/\"]";
    let targets = table
        .value("control-targets")
        .and_then(|value| value.list(example, CONTROL_TARGETS_MAX, findings))
        .unwrap_or_default();
    vantage.control_targets =
        targets.into_iter().filter_map(|value| read_control_target(value, findings)).collect();
    vantage
}

fn read_location(value: Value, findings: &mut Findings) -> Option<Location> {
    let list = value.list("[53.35, -6.26]", usize::MAX, findings)?;
    let &[latitude, longitude] = list.as_slice() else {
        findings.error(value.span(), "a location has two numbers", "write [latitude, longitude] in degrees");
        return None;
    };
    let latitude = latitude.number(-90.0..=90.0, findings);
    let longitude = longitude.number(-180.0..=180.0, findings);
    Location::new(latitude?, longitude?).ok()
}

fn read_control_target(value: Value, findings: &mut Findings) -> Option<String> {
    let text = value.text("https://control.example.net/", findings)?;
    let scheme = CONTROL_SCHEMES.iter().find(|scheme| text.len() > scheme.len() && text.starts_with(*scheme));
    if scheme.is_none() {
        findings.error(
            value.span(),
            format!("{text:?} is no control target"),
            format!("write a URL that begins with {}", CONTROL_SCHEMES.join(" or ")),
        );
    }
    Some(text.to_owned())
}
