//! Zones: master files (RFC 1035 section 5) read whole into a [`Zone`] whose records stand in canonical order.
//! Every fault of the files is found and told with its place. Nothing here answers queries; only [`load`] opens
//! files.

mod build;
mod check;
mod directive;
mod generate;
pub mod lexer;
mod load;
mod raw;
pub mod rdata;
mod read;
mod report;
mod store;

use std::path::Path;

use crate::fault::Fault;
use crate::name::Name;

pub use directive::{GENERATED_MAX, INCLUDE_DEPTH_MAX, INCLUDES_MAX};
pub use load::load;
pub use raw::{ARENA_OCTETS_MAX, RECORDS_MAX};
pub use read::{Include, TEXT_OCTETS_MAX, TTL_MAX};
pub use report::FAULTS_MAX;
pub use store::{Owner, Rrset, Situation, Zone};

/// Reads the zone `origin` from the octets of the master file that faults call `file`. `include` gives the files
/// that `$INCLUDE` names. Gives the zone with its warnings, or every error, warnings after them; both in the order
/// of the files, and at most [`FAULTS_MAX`] of each told one by one.
pub fn read(
    origin: &Name,
    file: &Path,
    octets: &[u8],
    include: Include<'_>,
) -> Result<(Zone, Vec<Fault>), Vec<Fault>> {
    let read::Read { mut raw, mut report, lost } = read::read(origin, file, octets, include);
    let zone = build::build(origin, &mut raw, &mut report);
    check::check(&zone, &raw, &lost, &mut report);
    let is_clean = report.is_clean();
    let (errors, warnings) = report.finish();
    if is_clean { Ok((zone, warnings)) } else { Err([errors, warnings].concat()) }
}

#[cfg(test)]
mod peers;
#[cfg(test)]
mod tests;
