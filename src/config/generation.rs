//! A generation: a configuration with its zone files and databases read, compiled as far as it can be without
//! verdicts. `check`, `serve`, `reload` and `explain` all come through here, so that what passes the check loads.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain_of_trust::broken_links;
use super::zone_dnssec::zone_dnssec;
use super::{Config, FieldPaths, HeldInZone, Zone, extensions};
use crate::answer::compile::{Plan, World};
use crate::answer::compile_signed::Dnssec;
use crate::answer::maps::Databases;
use crate::answer::signed::SignedZone;
use crate::answer::zones::ZonesFault;
use crate::fault::{Fault, Severity};
use crate::geo::database::{Database, OCTETS_MAX as DATABASE_OCTETS_MAX};
use crate::geo::layout::{Field, FieldPath, Layout};
use crate::health::board::{BoardConfig, EndpointSpec, Source, TargetSpec, VantageSpec};
use crate::health::machine::WayBack;
use crate::health::rules::Rules;
use crate::ids::{RegionId, ServiceId, VantageId};
use crate::name::{self, Name};
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::wire::cookie::Secret;
use crate::zone::{self, rdata, rdata::Problem};

/// A configuration with all that it comes to.
#[derive(Debug)]
pub struct Generation {
    /// What was written, believed.
    pub config: Arc<Config>,
    /// What answers are made from.
    pub plan: Plan,
    /// What verdicts are about.
    pub board: BoardConfig,
    /// The serial of each zone, in the order of the configuration.
    pub serials: Vec<u32>,
    /// When it was read.
    pub loaded: WallTime,
}

impl Generation {
    /// Gives cookies a secret that the process made up, where the configuration names none.
    pub fn lend_secret(&mut self, secret: Secret) {
        extensions::lend_secret(&self.config, Arc::make_mut(&mut self.plan.extensions), secret);
    }

    /// Has clients told how long connections may be idle by the configuration that the process started with: its listeners
    /// keep those limits over reloads.
    pub fn keep_limits_of(&mut self, started_with: &Config) {
        Arc::make_mut(&mut self.plan.extensions).keepalive = extensions::keepalive(started_with);
    }
}

/// A generation with its warnings, or every fault of all its files.
pub type Loaded = Result<(Generation, Vec<Fault>), Vec<Fault>>;

/// Steps from first traffic to whole in the ramp 5, 25, 50, 100 %.
const RAMP_STEPS: u32 = 3;

/// The vantage that the server itself is, where none is configured.
pub const OWN_VANTAGE: &str = "server";

/// Reads the configuration in the file `path` and all that it names, at `now`.
pub fn load(path: &Path, now: WallTime) -> Loaded {
    reload(path, now, Vec::new())
}

/// As [`load`]. What is signed and has not changed since is taken from `before`, the signed zones in force.
pub fn reload(path: &Path, now: WallTime, before: Vec<Arc<SignedZone>>) -> Loaded {
    let (config, warnings) = super::load(path)?;
    build(config, warnings, Dnssec { before, now, ..Dnssec::default() })
}

/// Reads all that a configuration names. `dnssec` says when it is, and which signed zones are in force.
pub fn build(config: Config, mut warnings: Vec<Fault>, dnssec: Dnssec) -> Loaded {
    let mut errors = Vec::new();
    let zones = read_zones(&config, &mut errors, &mut warnings);
    let extensions = extensions::read(&config).map_err(|fault| errors.push(*fault));
    let databases = read_databases(&config, &mut errors);
    let (mut generation, warnings) = assemble(config, zones, databases, dnssec, errors, warnings)?;
    generation.plan.extensions = Arc::new(extensions.expect("its fault was told with the others"));
    Ok((generation, warnings))
}

/// Record data of a steered name; else what is wrong, and what would be right.
fn read_binding(rtype: RecordType, text: &str, origin: &Name) -> Result<Box<[u8]>, (String, &'static str)> {
    let told = |problem: Problem| (problem.to_string(), problem.help());
    let rdata = rdata::read_text(rtype, text, origin).map_err(|fault| told(fault.problem))?;
    rdata::of_service(&rdata).map_err(|problem| told(Problem::Service(problem)))?;
    Ok(rdata.into())
}

/// A generation of what was read; `zones` are those of the configuration in their order, none where one of them
/// could not be read.
pub fn assemble(
    mut config: Config,
    zones: Option<Vec<zone::Zone>>,
    databases: Databases,
    mut dnssec: Dnssec,
    mut errors: Vec<Fault>,
    mut warnings: Vec<Fault>,
) -> Loaded {
    let bound = config.bind(read_binding);
    errors.extend(bound.err().unwrap_or_default());
    let Some(zones) = zones else { return Err(with_warnings(errors, warnings)) };
    errors.extend(config.check_against_zones(|zone, name| held(&zones[zone.index()], name)));
    let now = dnssec.now;
    let signing = config.zones.iter().zip(&zones);
    let signing = signing
        .map(|(written, zone)| zone_dnssec(&config, written, zone, &dnssec, &mut errors, &mut warnings))
        .collect();
    dnssec.zones = signing;
    // Of a zone whose keys are at fault nothing more can be said.
    if errors.is_empty() {
        errors.extend(broken_links(&config, &zones, &dnssec.zones));
    }
    if !errors.is_empty() {
        return Err(with_warnings(errors, warnings));
    }
    let serials = zones.iter().map(zone::Zone::serial).collect();
    let world = World {
        zones,
        regions: config.regions.clone(),
        vantages: vantages_of_regions(&config),
        maps: config.maps.clone(),
        services: config.services.clone(),
        databases,
        dnssec,
    };
    match Plan::new(world) {
        Ok(plan) => {
            let board = board(&config);
            Ok((Generation { config: Arc::new(config), plan, board, serials, loaded: now }, warnings))
        }
        Err(faults) => {
            let of_whole = |fault: &ZonesFault| config.text.remark(Severity::Error, fault.to_string());
            Err(with_warnings(faults.iter().map(of_whole).collect(), warnings))
        }
    }
}

fn with_warnings(errors: Vec<Fault>, warnings: Vec<Fault>) -> Vec<Fault> {
    [errors, warnings].concat()
}

/// All zones; `None` when one of them is none, since nothing can be said of names in it.
fn read_zones(
    config: &Config,
    errors: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Option<Vec<zone::Zone>> {
    let mut zones = Vec::new();
    for Zone { origin, file, .. } in &config.zones {
        match zone::load(origin, file) {
            Ok((zone, found)) => {
                zones.push(zone);
                warnings.extend(found);
            }
            Err(found) => errors.extend(found),
        }
    }
    (zones.len() == config.zones.len()).then_some(zones)
}

/// What a zone holds at a steered name.
fn held(zone: &zone::Zone, name: &Name) -> HeldInZone {
    let rtypes = zone.find(name.as_wire()).map(|owner| owner.rrsets().map(|set| set.rtype()).collect());
    HeldInZone { rtypes: rtypes.unwrap_or_default(), taken_by: taken_by(zone, name) }
}

/// The delegation at or above a name, or the DNAME above it, that takes it out of the zone's hands.
pub(super) fn taken_by(zone: &zone::Zone, name: &Name) -> Option<Name> {
    let inside = |suffix: &&[u8]| suffix.len() > zone.origin().as_wire().len();
    let takes = |suffix: &&[u8]| {
        let Some(owner) = zone.find(suffix) else { return false };
        owner.rrset(RecordType::NS).is_some()
            || owner.rrset(RecordType::DNAME).is_some() && *suffix != name.as_wire()
    };
    name::suffixes(name.as_wire()).take_while(inside).find(takes).map(Name::from_checked)
}

fn read_databases(config: &Config, errors: &mut Vec<Fault>) -> Databases {
    let geoip = &config.geoip;
    let mut read = |path: &Option<PathBuf>, layout: fn(&FieldPaths) -> Layout| {
        let path = path.as_ref()?;
        read_database(path, &layout(&geoip.fields)).map_err(|fault| errors.push(*fault)).ok()
    };
    Databases {
        cities: read(&geoip.city, place_layout),
        countries: read(&geoip.country, place_layout),
        networks: read(&geoip.asn, network_layout),
    }
}

/// Reads one database whole: a file that is cut short under a running server must not end it.
pub fn read_database(path: &Path, layout: &Layout) -> Result<Database, Box<Fault>> {
    let fault = |message: String, unopened: Option<Box<Path>>| {
        let file = path.display().to_string().into();
        let help = String::new();
        Box::new(Fault { severity: Severity::Error, file, spot: None, message, help, unopened })
    };
    let octets = read_bounded(path)
        .map_err(|error| fault(format!("the database cannot be read: {error}"), Some(path.into())))?;
    Database::from_octets(octets, layout).map_err(|error| fault(error.to_string(), None))
}

/// The size is judged before anything is read: of a pipe or a device there would be no end.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if !fs::metadata(path)?.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    let file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > DATABASE_OCTETS_MAX as u64 {
        return refuse(format!("it has {length} octets; at most {DATABASE_OCTETS_MAX} are read"));
    }
    let mut octets = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    // A file may grow while it is read.
    file.take(DATABASE_OCTETS_MAX as u64 + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

/// Where a country or city database has what, the operator's paths first.
#[must_use]
pub fn place_layout(fields: &FieldPaths) -> Layout {
    let named = [
        (Field::Country, &fields.country),
        (Field::Continent, &fields.continent),
        (Field::Subdivision, &fields.subdivision),
        (Field::Latitude, &fields.latitude),
        (Field::Longitude, &fields.longitude),
    ];
    with_paths(Layout::places(), &named)
}

/// Where a database of networks has the number of the autonomous system.
#[must_use]
pub fn network_layout(fields: &FieldPaths) -> Layout {
    with_paths(Layout::networks(), &[(Field::Asn, &fields.asn)])
}

fn with_paths(layout: Layout, named: &[(Field, &Option<String>)]) -> Layout {
    named.iter().fold(layout, |layout, (field, path)| match path {
        Some(path) => layout.with(*field, path.parse::<FieldPath>().expect("the configuration was checked")),
        None => layout,
    })
}

/// The first vantage that stands in each region.
fn vantages_of_regions(config: &Config) -> Vec<Option<VantageId>> {
    let regions = (0..config.regions.len()).map(RegionId::from_index);
    let stands = |region| config.vantages.iter().position(|vantage| vantage.region == Some(region));
    regions.map(|region| stands(region).map(VantageId::from_index)).collect()
}

/// What verdicts are about: every endpoint of every service, in the order of their ids.
fn board(config: &Config) -> BoardConfig {
    let vantages = if config.vantages.is_empty() {
        vec![VantageSpec { name: OWN_VANTAGE.to_owned(), fault_domain: None }]
    } else {
        let spec = |vantage: &super::Vantage| VantageSpec {
            name: vantage.name.clone(),
            fault_domain: Some(vantage.fault_domain.clone()),
        };
        config.vantages.iter().map(spec).collect()
    };
    BoardConfig { rules: Rules::default(), vantages, targets: targets(config), endpoints: endpoints(config) }
}

/// What endpoints are judged by: what is probed, then what is derived of it.
fn targets(config: &Config) -> Vec<TargetSpec> {
    let probed = config.targets.iter().zip(&config.shows_sight).map(|(target, shows_sight)| {
        let probe = &config.probes[target.probe.index()];
        TargetSpec {
            key: format!("{} by {}", target.address, probe.name),
            probe: probe.name.clone(),
            source: Source::Probed { shows_sight: *shows_sight },
            interval: probe.interval,
            thresholds: probe.thresholds,
        }
    });
    let mut specs: Vec<TargetSpec> = probed.collect();
    for derived in &config.derived {
        let probe = &config.probes[derived.probe.index()];
        let mut thresholds = probe.thresholds;
        if let Source::Composed(check) = &derived.source {
            // A whole is withdrawn on no less than the strictest of its parts would be.
            let of_parts = check.targets().into_iter().map(|part| specs[part.index()].thresholds.together);
            thresholds.together = of_parts.max().unwrap_or(thresholds.together);
        }
        specs.push(TargetSpec {
            key: derived.key.clone(),
            probe: probe.name.clone(),
            source: derived.source.clone(),
            interval: probe.interval,
            thresholds,
        });
    }
    specs
}

fn endpoints(config: &Config) -> Vec<EndpointSpec> {
    let mut specs = Vec::new();
    for (index, (service, details)) in config.services.iter().zip(&config.details).enumerate() {
        for region in &service.regions {
            let name = &config.regions[region.region.index()].name;
            for endpoint in &region.endpoints {
                debug_assert_eq!(endpoint.id.index(), specs.len(), "ids are given in this order");
                specs.push(EndpointSpec {
                    key: format!("{name}/{}/{}", service.name, endpoint.address),
                    service: ServiceId::from_index(index),
                    region: region.region,
                    target: endpoint.target,
                    capacity: endpoint.weight,
                    way_back: WayBack { fail_back: details.fail_back, ramp_step: details.ramp / RAMP_STEPS },
                });
            }
        }
    }
    specs
}
