//! `dnssec status`: what each key of each zone does, what it waits for, and when the first signature ends.

use serde_json::{Value, json};

use super::OfZone;
use super::keys::{self, Place};
use crate::cli::said::{Failure, Outcome, Said};
use crate::cli::{Configuration, Running, client};
use crate::clock;
use crate::config;
use crate::control::request::{Request, Response, ZoneStatus};
use crate::dnssec::key::Key;
use crate::dnssec::rollover::waits_for_parent;
use crate::dnssec::timing::written;
use crate::name::Name;
use crate::time::WallTime;

/// What `dnssec status` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The zone; all that are signed here, if none is named.
    zone: Option<Name>,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let configuration = &arguments.running.configuration;
    let (config, _) = config::load(configuration.path()).map_err(|faults| Failure::faults(&faults))?;
    let is_meant = |origin: &Name| arguments.zone.as_ref().is_none_or(|zone| zone == origin);
    let signed = config.zones.iter().filter(|zone| zone.dnssec.is_some() && is_meant(&zone.origin));
    let zones: Vec<Name> = signed.map(|zone| zone.origin.clone()).collect();
    if zones.is_empty() {
        return Err(Failure::failed("no such zone is signed here; docs/dnssec.md tells how to begin"));
    }
    let served = served(&arguments.running);
    let (mut text, mut told) = (Vec::new(), Vec::new());
    for zone in &zones {
        let served = served.as_ref().map(|served| served.iter().find(|of| of.origin == zone.to_string()));
        let (lines, value) = zone_status(zone, configuration, served)?;
        text.push(lines);
        told.push(value);
    }
    Ok(Said { text: text.join("\n"), json: json!({ "done": true, "zones": told }), remarks: Vec::new() })
}

/// What the running server says, if one runs.
fn served(running: &Running) -> Option<Vec<ZoneStatus>> {
    match client::ask(&client::socket(running).ok()?, &Request::Status) {
        Ok(Response::Status(status)) => Some(status.zones),
        _ => None,
    }
}

fn zone_status(
    zone: &Name,
    configuration: &Configuration,
    served: Option<Option<&ZoneStatus>>,
) -> Result<(String, Value), Failure> {
    let of = OfZone { zone: zone.clone(), configuration: configuration.clone(), keys: None };
    let place = Place::of(&of)?;
    let now = clock::wall();
    let signer = place.signer()?;
    let expires = served.flatten().and_then(|served| served.signed_until.clone());
    let signatures = match (&served, &expires) {
        (None, _) => "no server runs".to_owned(),
        (Some(_), None) => "not served signed; reload".to_owned(),
        (Some(_), Some(expires)) => format!("the first signature ends {expires}"),
    };
    let mut lines = vec![format!("{zone}  {signatures}")];
    for key in signer.keys() {
        let kind = keys::kind(key, signer.keys());
        let waits = waits_for(key, now).map(|waits| format!("  {waits}")).unwrap_or_default();
        lines.push(format!(
            "  {kind} {:>5} {:<15} {:<9}{waits}",
            key.tag(),
            key.algorithm().mnemonic(),
            key.timing.phase(now).to_string()
        ));
    }
    for key in signer.beyond_dates(now) {
        lines.push(format!(
            "  key {} signs beyond its dates: no other {} does its part; make a successor",
            key.tag(),
            key.algorithm().mnemonic()
        ));
    }
    let keys: Vec<Value> = signer.keys().iter().map(|key| keys::told(key, now)).collect();
    let value = json!({ "zone": zone.to_string(), "signed-until": expires, "keys": keys });
    Ok((lines.join("\n"), value))
}

/// What the key will do next, or who must do something first.
fn waits_for(key: &Key, now: WallTime) -> Option<String> {
    if let Some((date, what)) = key.timing.next_change(now) {
        let what = match what {
            "Publish" => "is published",
            "Activate" => "signs",
            "Inactive" => "signs no more",
            "Delete" => "goes",
            "SyncPublish" => "asks for its DS",
            _ => "asks no more for its DS",
        };
        return Some(format!("{what} from {}", written(date)));
    }
    waits_for_parent(&key.timing, now).then(|| {
        format!(
            "waits for the parent to name it ({}); then `rhumb dnssec roll {} --ds-seen`",
            keys::ds_record(key),
            key.owner()
        )
    })
}
