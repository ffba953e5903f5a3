//! `check` of one file: a zone, or a GeoIP database that somebody is about to put in place.

use std::path::Path;

use serde_json::json;

use super::check::passed;
use super::said::{Failure, Outcome};
use crate::config::FieldPaths;
use crate::config::generation::{network_layout, place_layout, read_database};
use crate::fault::Fault;
use crate::geo::database::{Database, Metadata};
use crate::geo::layout::Field;
use crate::name::Name;
use crate::time::WallTime;
use crate::zone;

/// Checks a zone file.
pub(super) fn zone(origin: &Name, file: &Path, strict: bool) -> Outcome {
    let (zone, warnings) = zone::load(origin, file).map_err(|faults| Failure::faults(&faults))?;
    let (serial, records, names) = (zone.serial(), zone.record_count(), zone.owners().len());
    let summary =
        format!("{}: zone {origin} with serial {serial}: {records} records at {names} names", file.display());
    let counts =
        json!({ "origin": origin.to_string(), "serial": serial, "records": records, "names": names });
    passed(&summary, counts, &warnings, strict)
}

/// Checks a database, and tells what it knows. Its layout must be one of those that are known.
pub(super) fn database(file: &Path) -> Outcome {
    let database = of_any_type(file).map_err(|fault| Failure::faults(&[*fault]))?;
    let Metadata { kind, build_epoch, networks, ip_version, fields } = database.metadata();
    let built = WallTime(*build_epoch * 1000).day();
    let told: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let families = if *ip_version == 4 { "IPv4 alone" } else { "IPv4 and IPv6" };
    let summary = format!(
        "{}: {kind}, built {built}: {networks} networks of {families}, which tell {}{}",
        file.display(),
        told.join(", "),
        completed(fields)
    );
    let counts = json!({
        "type": kind,
        "built": built,
        "build-epoch": build_epoch,
        "networks": networks,
        "ip-version": ip_version,
        "fields": told,
    });
    passed(&summary, counts, &[], false)
}

/// A database of places or of autonomous systems. Where it is neither, the fault is the one of places.
fn of_any_type(file: &Path) -> Result<Database, Box<Fault>> {
    let known = FieldPaths::default();
    read_database(file, &place_layout(&known))
        .or_else(|fault| read_database(file, &network_layout(&known)).map_err(|_| fault))
}

/// What the country stands in for.
fn completed(fields: &[Field]) -> String {
    let lacks = |field| fields.contains(&Field::Country) && !fields.contains(&field);
    let completed: Vec<&str> = [(Field::Continent, "continent"), (Field::Latitude, "location")]
        .into_iter()
        .filter(|(field, _)| lacks(*field))
        .map(|(_, word)| word)
        .collect();
    if completed.is_empty() { String::new() } else { format!("; {} by country", completed.join(" and ")) }
}
