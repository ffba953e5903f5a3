//! `check`: whether a configuration, with all that it names, can be served. It is loaded as `serve` and `reload`
//! load it, so that what passes here loads there.

use std::path::PathBuf;

use serde_json::json;

use super::said::{Failure, Outcome, Said, as_json};
use super::{Configuration, check_file};
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::config::text::Span;
use crate::config::{Agents, Certificate, CertificateFiles, Config};
use crate::credentials::{Contents, PublicSide, ServerSide};
use crate::fault::{Fault, Severity};
use crate::name::Name;
use crate::process;
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
    warnings.extend(beside(&generation.config, now).map_err(|faults| Failure::faults(&faults))?);
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

/// What a generation is not made of and a server needs all the same: certificates, and the user to become. Every fault,
/// or warnings.
pub(super) fn beside(config: &Config, now: WallTime) -> Result<Vec<Fault>, Vec<Fault>> {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut take = |checked: Result<Option<Fault>, Box<Fault>>| match checked {
        Ok(warning) => warnings.extend(warning),
        Err(fault) => faults.push(*fault),
    };
    if let Some(Agents { files, span, .. }) = &config.agents {
        let help = "`rhumb cert` makes what is needed; docs/agents.md tells how";
        take(check_certificate(config, files, *span, ServerSide::new, help, now));
    }
    if let Some(Certificate { files, span, .. }) = &config.server.encrypted.certificate {
        let help = "name a chain and its key in PEM form; docs/encrypted.md tells how";
        take(check_certificate(config, files, *span, PublicSide::new, help, now));
    }
    let known = process::check_owner(&config.hardening).map(|()| None);
    take(known.map_err(|fault| Box::new(config.text.remark(Severity::Error, fault.to_string()))));
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

/// Whether a certificate can be used; a warning where it can, and the other side refuses it for its dates.
fn check_certificate<T>(
    config: &Config,
    files: &CertificateFiles,
    span: Span,
    ready: fn(&Contents) -> Result<T, String>,
    help: &str,
    now: WallTime,
) -> Result<Option<Fault>, Box<Fault>> {
    let made = Contents::read(files).and_then(|contents| ready(&contents).map(|_| contents));
    let contents = made.map_err(|fault| Box::new(config.error(span, fault, help.to_owned())))?;
    let help = "renew it; a server that runs takes the new one";
    Ok(contents.untimely(now).map(|fault| config.warning(span, fault, help.to_owned())))
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
