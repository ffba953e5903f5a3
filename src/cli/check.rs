//! `check`: whether a configuration, with all that it names, can be served. It is loaded as `serve` and `reload`
//! load it, so that what passes here loads there.

use std::path::PathBuf;

use serde_json::json;

use super::said::{Failure, Outcome, Said, as_json};
use super::{Configuration, check_file};
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::config::{Agents, Certificate, Config};
use crate::credentials::{Contents, PublicSide, ServerSide};
use crate::fault::Fault;
use crate::name::Name;
use crate::time::WallTime;

/// What `check` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Check one zone file alone.
    #[arg(long, num_args = 2, value_names = ["ORIGIN", "FILE"], conflicts_with = "geoip")]
    zone: Option<Vec<String>>,
    /// Check one GeoIP database alone, and tell what is in it.
    #[arg(long, value_name = "FILE")]
    geoip: Option<PathBuf>,
    /// Warnings are faults.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.zone, &arguments.geoip) {
        (Some(zone), _) => {
            let origin: Name = zone[0].parse().map_err(|fault| {
                Failure::usage(format!("{:?} cannot be the name of a zone: {fault}", zone[0]))
            })?;
            check_file::zone(&origin, zone[1].as_ref(), arguments.strict)
        }
        (None, Some(file)) => check_file::database(file),
        (None, None) => configuration(arguments),
    }
}

fn configuration(arguments: &Arguments) -> Outcome {
    let path = arguments.configuration.path();
    let now = clock::wall();
    let (generation, mut warnings) =
        generation::load(path, now).map_err(|faults| Failure::faults(&faults))?;
    if let Some(agents) = &generation.config.agents {
        check_certificates(&generation.config, agents).map_err(|fault| Failure::faults(&[*fault]))?;
    }
    if let Some(certificate) = &generation.config.server.encrypted.certificate {
        let checked = check_public(&generation.config, certificate, now);
        warnings.extend(checked.map_err(|fault| Failure::faults(&[*fault]))?);
    }
    let counts = Counts::of(&generation);
    let json = json!({
        "zones": counts.zones,
        "names": counts.names,
        "services": counts.services,
        "endpoints": counts.endpoints,
        "classes": counts.classes,
        "networks": counts.networks,
    });
    passed(&format!("{}: {counts}", path.display()), json, &warnings, arguments.strict)
}

/// Whether the certificates that agents are shown and known by can be used.
fn check_certificates(config: &Config, agents: &Agents) -> Result<(), Box<Fault>> {
    let made = Contents::read(&agents.files).and_then(|contents| ServerSide::new(&contents));
    let help = "`rhumb cert` makes what is needed; docs/agents.md tells how";
    made.map(drop).map_err(|fault| Box::new(config.error(agents.span, fault, help.to_owned())))
}

/// Whether the certificate that clients of encrypted transports are shown can be used; a warning where it can, and clients
/// that look at its dates refuse it.
fn check_public(
    config: &Config,
    certificate: &Certificate,
    now: WallTime,
) -> Result<Option<Fault>, Box<Fault>> {
    let made = Contents::read(&certificate.files).and_then(|contents| PublicSide::new(&contents));
    let help = "name a chain and its key in PEM form; docs/encrypted.md tells how";
    let PublicSide { begins, expires, .. } =
        made.map_err(|fault| Box::new(config.error(certificate.span, fault, help.to_owned())))?;
    let told = |how: &str, when: WallTime| {
        let message =
            format!("the certificate {how} on {}: clients refuse it", check_file::date(when.0 / 1000));
        config.warning(certificate.span, message, "renew it; a server that runs takes the new one".to_owned())
    };
    Ok(match () {
        () if now >= expires => Some(told("ended", expires)),
        () if now < begins => Some(told("begins", begins)),
        () => None,
    })
}

/// What passed, with its warnings; a failure where those are not let pass.
pub(super) fn passed(summary: &str, counts: serde_json::Value, warnings: &[Fault], strict: bool) -> Outcome {
    if strict && !warnings.is_empty() {
        return Err(Failure::faults(warnings));
    }
    let told: Vec<_> = warnings.iter().map(as_json).collect();
    Ok(Said {
        text: summary.to_owned(),
        json: json!({ "done": true, "counts": counts, "faults": told }),
        remarks: warnings.iter().map(ToString::to_string).collect(),
    })
}

/// How much there is in a configuration.
struct Counts {
    zones: usize,
    names: usize,
    services: usize,
    endpoints: usize,
    classes: usize,
    networks: usize,
}

impl Counts {
    fn of(Generation { config, plan, .. }: &Generation) -> Self {
        let databases = [&plan.databases.cities, &plan.databases.countries, &plan.databases.networks];
        Self {
            zones: config.zones.len(),
            names: config.services.iter().map(|service| service.names.len()).sum(),
            services: config.services.len(),
            endpoints: config.endpoint_count,
            classes: plan.maps.iter().map(|map| map.classes.len()).sum(),
            networks: databases.into_iter().flatten().map(|database| database.metadata().networks).sum(),
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { zones, names, services, endpoints, classes, networks } = self;
        let of = |count: &usize, one: &str, many: &str| {
            format!("{count} {}", if *count == 1 { one } else { many })
        };
        write!(
            f,
            "{}, {} of {} with {}, {}, {}",
            of(zones, "zone", "zones"),
            of(names, "steered name", "steered names"),
            of(services, "service", "services"),
            of(endpoints, "endpoint", "endpoints"),
            of(classes, "client class", "client classes"),
            of(networks, "network in databases", "networks in databases"),
        )
    }
}
