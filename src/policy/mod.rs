//! Which region suits a client: maps and their classes, services, the order of selection, lots, TTLs.
//! Pure: what is believed of endpoints is an argument.

pub mod map;
pub mod service;
