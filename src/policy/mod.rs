//! Which region suits a client: maps and their classes, services, the order of selection, lots, TTLs.
//! Pure: what is believed of endpoints is an argument.
//!
//! A [`map`] sorts clients into classes by [`classify`]. For a [`service`] and a class, [`select`] orders the
//! service's regions by what is believed of them ([`fitness`]) and tells why each was passed over
//! ([`passed_over`]); [`variant`] lays the answers out, by [`lots`] and [`draw`] where a choice is shared.

pub mod map;
pub mod service;

pub mod classify;
mod nearest;

pub mod fitness;
pub mod passed_over;
pub mod select;

pub mod draw;
pub mod lots;
mod plan;
mod pool;
pub mod variant;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
