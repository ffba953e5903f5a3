//! What can only be judged when several tables are known: maps beside regions and databases, services beside
//! maps and zones.

mod composition;
mod fence;
mod in_zone;
mod map;
mod service;
mod vantage;

pub(super) use composition::check_compositions;
pub use in_zone::HeldInZone;
pub(super) use in_zone::{check_error_reports, zone_of};
pub(super) use map::check_maps;
pub(super) use service::check_services;
pub(super) use vantage::check_vantages;
