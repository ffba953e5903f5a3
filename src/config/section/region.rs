//! `[regions.*]`: the places that serve, and `[vantages.*]`: the places that are probed from.

use crate::config::directory::Directory;
use crate::config::limit::CONTROL_TARGETS_MAX;
use crate::config::table::{Entry, Section};
use crate::config::text::Span;
use crate::config::value::Value;
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
pub(in crate::config) fn read_region(entry: &Entry) -> Region {
    let table = entry.value.table(&REGION);
    // A location that is faulty counts as written, so that nobody is told that it is missing.
    let location = table
        .value("location")
        .and_then(|value| read_location(value).or_else(|| Location::new(0.0, 0.0).ok()));
    Region {
        name: entry.key.to_owned(),
        continent: table.value("continent").and_then(|value| value.parsed("EU")),
        location,
        bias: table.value("bias").and_then(|value| value.number(BIAS)).unwrap_or(1.0),
    }
}

/// Reads one vantage.
pub(in crate::config) fn read_vantage(entry: &Entry, regions: &Directory<RegionId>) -> Vantage {
    let table = entry.value.table(&VANTAGE);
    let fault_domain = table.value("fault-domain").and_then(|value| value.text("provider-a"));
    let targets = table
        .value("control-targets")
        .and_then(|value| value.list("[\"https://control.example.net/\"]", CONTROL_TARGETS_MAX));
    Vantage {
        name: entry.key.to_owned(),
        region: table.value("region").and_then(|value| regions.resolve(value)),
        fault_domain: fault_domain.unwrap_or(entry.key).to_owned(),
        control_targets: targets.into_iter().flatten().filter_map(read_control_target).collect(),
        span: entry.span,
    }
}

fn read_location(value: Value) -> Option<Location> {
    let list = value.list("[53.35, -6.26]", usize::MAX)?;
    let &[latitude, longitude] = list.as_slice() else {
        value.error("a location has two numbers", "write [latitude, longitude] in degrees");
        return None;
    };
    let latitude = latitude.number(-90.0..=90.0);
    let longitude = longitude.number(-180.0..=180.0);
    Location::new(latitude?, longitude?).ok()
}

pub(in crate::config) fn read_control_target(value: Value) -> Option<String> {
    let text = value.text("https://control.example.net/")?;
    let scheme = CONTROL_SCHEMES.iter().find(|scheme| text.len() > scheme.len() && text.starts_with(*scheme));
    if scheme.is_none() {
        value.error(
            format!("{text:?} is no control target"),
            format!("write a URL that begins with {}", CONTROL_SCHEMES.join(" or ")),
        );
    }
    Some(text.to_owned())
}
