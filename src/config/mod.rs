//! What was written and what is believed of it. The document is read without stopping at the first fault
//! (`value`), table by table (`section`), then checked as a whole (`check`); a [`Config`] comes of it only
//! when nothing is wrong. It never changes: a reload makes a new one. serde is not used, since it stops at the
//! first fault.
//!
//! Not here: the contents of zone files and databases. Their faults, and those of services beside what a zone
//! holds, are found by who reads them, and pointed at through [`Config::error`].

pub mod agent;
pub mod duration;
pub mod files;
pub mod generation;
pub mod journey;
pub mod key_store;
pub mod limit;
pub mod probe;
pub mod rows;
pub mod secret;
pub mod text;

mod chain_of_trust;
mod check;
mod directory;
mod extensions;
mod findings;
mod section;
mod suggest;
mod table;
mod value;
pub mod zone_dnssec;

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

pub use check::HeldInZone;
pub use section::agents::{Agents, CertificateFiles};
pub use section::dnssec::ZoneKeys;
pub use section::extensions::{Cookies, Extensions};
pub use section::geoip::{FieldPaths, GeoIp};
pub use section::hardening::Hardening;
pub use section::region::Vantage;
pub use section::server::{Log, LogFormat, LogLevel, Server};
pub use section::service::{ServiceDetails, WrittenBinding};
pub use section::stream::{Certificate, Encrypted, Limits, Listener};
pub use section::zone::Zone;

use crate::fault::{Fault, Severity};
use crate::ids::{MapId, ProbeId, RegionId, TargetId, ZoneId};
use crate::name::Name;
use crate::policy::map::{Map, Region};
use crate::policy::service::{Binding, Service};
use crate::wire::code::RecordType;
use directory::{Directory, check_names};
use findings::Findings;
use probe::{Probe, Target};
use rows::{Derived, RowsRead};
use section::service::Known;
use section::service_region::Endpoints;
use table::Table;
use text::{Span, Text};

/// What is believed of a configuration. Ids are positions in its arrays.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it was read from; later faults point into it.
    pub text: Arc<Text>,
    /// How the server meets the network and the operator.
    pub server: Server,
    /// What the process gives up once its sockets are open.
    pub hardening: Hardening,
    /// What is logged, and how.
    pub log: Log,
    /// Where Prometheus may ask, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where clients are.
    pub geoip: GeoIp,
    /// The places that serve, in the order written.
    pub regions: Vec<Region>,
    /// The places that are probed from; when there are none the server probes for itself.
    pub vantages: Vec<Vantage>,
    /// Where agents report, if they may.
    pub agents: Option<Agents>,
    /// How endpoints are tested.
    pub probes: Vec<Probe>,
    /// Where gauges may be told by HTTP, if anywhere.
    pub gauges_listen: Option<SocketAddr>,
    /// What is probed: each address and port once per distinct probe.
    pub targets: Vec<Target>,
    /// By target: whether its failures tell of an agent's sight.
    pub shows_sight: Vec<bool>,
    /// What judges endpoints beside the targets; the ids of these rows go on behind theirs.
    pub derived: Vec<Derived>,
    /// Which regions suit which clients.
    pub maps: Vec<Map>,
    /// The zones served.
    pub zones: Vec<Zone>,
    /// The steered names. Bindings are empty until [`Config::bind`].
    pub services: Vec<Service>,
    /// What else is believed of each service, in the same order.
    pub details: Vec<ServiceDetails>,
    /// How many endpoints there are over all services.
    pub endpoint_count: usize,
    zone_index: ZoneIndex,
}

/// Zones by their origins, as these travel.
type ZoneIndex = HashMap<Box<[u8]>, ZoneId>;

/// A configuration with its warnings, or every fault of a document that is none.
pub type Loaded = Result<(Config, Vec<Fault>), Vec<Fault>>;

/// Reads and checks the configuration in the file `path`.
pub fn load(path: &Path) -> Loaded {
    let source = read_file(path).map_err(|message| vec![unreadable(path, message)])?;
    parse_in(path.parent().unwrap_or(Path::new("")), &source, &path.display().to_string())
}

/// Where the operator's socket of the configuration in the file `path` is. Nothing else of it needs to be right:
/// who asks a running server for its state may be about to repair the file.
pub fn control_socket(path: &Path) -> Result<PathBuf, Vec<Fault>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let source = read_file(path).map_err(|message| vec![unreadable(path, message)])?;
    let findings = Findings::new(Text::new(&source, &path.display().to_string()), folder);
    let (document, errors) = DeTable::parse_recoverable(&source);
    if errors.iter().any(|error| !is_duplicate(error)) {
        return Err(load(path).err().unwrap_or_default());
    }
    let top = Table::of(document.get_ref(), &section::TOP, Span::default(), &findings);
    Ok(section::server::read_server(top, &findings).control_socket)
}

/// Reads and checks a configuration. `file` is its name in faults, and paths inside are relative to its folder.
pub fn parse(source: &str, file: &str) -> Loaded {
    parse_in(Path::new(file).parent().unwrap_or(Path::new("")), source, file)
}

fn parse_in(folder: &Path, source: &str, file: &str) -> Loaded {
    read_document(folder, source, file, &section::TOP, read_config)
}

/// Reads a document with the keys of `section`: what `read` makes of it, with its warnings, or every fault.
fn read_document<T>(
    folder: &Path,
    source: &str,
    file: &str,
    section: &'static table::Section,
    read: impl FnOnce(Table, &Findings) -> T,
) -> Result<(T, Vec<Fault>), Vec<Fault>> {
    let findings = Findings::new(Text::new(source, file), folder);
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let span = error.span().unwrap_or_default();
        if is_duplicate(error) {
            let key = source.get(span.clone()).unwrap_or_default();
            findings.error(span.into(), format!("{key} is written twice"), "leave one out, or rename it");
        } else {
            findings.error(span.into(), format!("this is no TOML: {}", error.message()), "");
        }
    }
    // What the parser makes of a broken line is a guess, and faults found in guesses would mislead.
    if errors.iter().any(|error| !is_duplicate(error)) {
        return Err(findings.into_faults());
    }
    let top = Table::of(document.get_ref(), section, Span::default(), &findings);
    let value = read(top, &findings);
    let refused = findings.has_errors();
    let faults = findings.into_faults();
    if refused { Err(faults) } else { Ok((value, faults)) }
}

/// Whether the parser left out a key or a table that was there already; the rest is as it was written.
fn is_duplicate(error: &toml::de::Error) -> bool {
    error.message() == "duplicate key"
}

fn unreadable(path: &Path, message: String) -> Fault {
    Fault {
        severity: Severity::Error,
        file: path.display().to_string().into(),
        spot: None,
        message,
        help: "name a configuration that this user can read, such as rhumb.toml".to_owned(),
        unopened: Some(path.into()),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("the file cannot be opened: {error}"))?;
    let mut octets = Vec::new();
    file.take(limit::FILE_OCTETS_MAX + 1)
        .read_to_end(&mut octets)
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if octets.len() as u64 > limit::FILE_OCTETS_MAX {
        return Err(format!("the file is longer than {} octets", limit::FILE_OCTETS_MAX));
    }
    String::from_utf8(octets)
        .map_err(|error| format!("the octet at {} is no UTF-8", error.utf8_error().valid_up_to()))
}

/// Table by table, each after those that it refers to.
fn read_config(top: Table, findings: &Findings) -> Config {
    let server = section::server::read_server(top, findings);
    let hardening = section::hardening::read_hardening(top);
    let log = section::server::read_log(top);
    let metrics_listen = section::server::read_metrics(top);
    let gauges_listen = section::server::read_gauges(top);
    let geoip = section::geoip::read_geoip(top);

    let region_entries = top.entries("regions", limit::REGIONS_MAX);
    let region_names = Directory::of("region", &region_entries, RegionId::from_index);
    let regions: Vec<_> = region_entries.iter().map(section::region::read_region).collect();

    let vantage_entries = top.entries("vantages", limit::VANTAGES_MAX);
    check_names("vantage", &vantage_entries);
    let vantages: Vec<_> =
        vantage_entries.iter().map(|entry| section::region::read_vantage(entry, &region_names)).collect();

    let agents = section::agents::read_agents(top, findings);
    check::check_vantages(&vantages, top.value("agents").map(|value| value.span), findings);

    let probe_entries = top.entries("probes", limit::PROBES_MAX);
    let probe_names = Directory::of("probe", &probe_entries, ProbeId::from_index);
    let mut probes: Vec<_> =
        probe_entries.iter().map(|entry| section::probe::read_probe(entry, &probe_names)).collect();
    check::check_compositions(&mut probes, &probe_entries, findings);

    let map_entries = top.entries("maps", limit::MAPS_MAX);
    let map_names = Directory::of("map", &map_entries, MapId::from_index);
    let maps: Vec<_> = map_entries.iter().map(|entry| section::map::read_map(entry, &region_names)).collect();
    check::check_maps(&maps, &regions, &region_entries, &geoip, findings);

    let zones: Vec<_> =
        top.entries("zones", limit::ZONES_MAX).iter().filter_map(section::zone::read_zone).collect();
    let zone_index = section::zone::index_zones(&zones, findings);
    check::check_error_reports(server.extensions.error_reports.as_ref(), &zones, findings);

    let known = Known { regions: &region_names, probes: &probe_names, maps: &map_names };
    let mut endpoints = Endpoints::new(&probes);
    let service_entries = top.entries("services", limit::SERVICES_MAX);
    check_names("service", &service_entries);
    let (mut services, details): (Vec<_>, Vec<_>) = service_entries
        .iter()
        .map(|entry| section::service::read_service(entry, &known, &mut endpoints))
        .unzip();
    let endpoint_count = endpoints.count();
    let RowsRead { targets, shows_sight, derived } = endpoints.finish(&mut services);
    check::check_services(&services, &details, &maps, &regions, &zone_index, findings);

    Config {
        text: findings.text(),
        server,
        hardening,
        log,
        metrics_listen,
        geoip,
        regions,
        vantages,
        agents,
        gauges_listen,
        endpoint_count,
        targets,
        shows_sight,
        derived,
        probes,
        maps: maps.into_iter().map(|read| read.map).collect(),
        zones,
        services,
        details,
        zone_index,
    }
}

impl Config {
    /// The zone that holds `name`: the one with the longest origin.
    #[must_use]
    pub fn zone_of(&self, name: &Name) -> Option<ZoneId> {
        check::zone_of(name, &self.zone_index)
    }

    /// The row that judges an endpoint, where that is none of the targets.
    #[must_use]
    pub fn derived_at(&self, target: Option<TargetId>) -> Option<&Derived> {
        self.derived.get(target?.index().checked_sub(self.targets.len())?)
    }

    /// An error found later, at a place of this configuration.
    #[must_use]
    pub fn error(&self, span: Span, message: String, help: String) -> Fault {
        self.text.fault(Severity::Error, span, message, help)
    }

    /// A warning found later, at a place of this configuration.
    #[must_use]
    pub fn warning(&self, span: Span, message: String, help: String) -> Fault {
        self.text.fault(Severity::Warning, span, message, help)
    }

    /// Fills the bindings of all services. `read` makes wire form of record data as a master file has it,
    /// names in it being relative to the zone given, or says what is wrong and what would be right. Every fault is given at
    /// once.
    pub fn bind(
        &mut self,
        read: impl Fn(RecordType, &str, &Name) -> Result<Box<[u8]>, (String, &'static str)>,
    ) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for index in 0..self.services.len() {
            let zone = self.services[index].names.first().and_then(|name| self.zone_of(name));
            let origin = zone.map_or(Name::root(), |zone| self.zones[zone.index()].origin.clone());
            for written in &self.details[index].bindings {
                match read(written.rtype, &written.text, &origin) {
                    Ok(rdata) => self.services[index].bindings.push(Binding { rtype: written.rtype, rdata }),
                    Err((message, help)) => {
                        faults.push(self.error(written.span, message, help.to_owned()));
                    }
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests;
