//! The prober: targets in, [`Report`](crate::health::outcome::Report)s out. It knows neither services nor
//! verdicts, so that the same code probes inside the server and from a process that stands in a region.
//!
//! [`plan`] says when, [`probe`] does it, [`watch`] notices a broken connection between two probes, [`record`]
//! remembers the outcomes, [`world`] holds what is known of all targets, [`run`] puts them together. Only
//! `probe` and `watch` open sockets, and neither ever looks up a name.

pub mod chance;
pub mod plan;
pub mod probe;
pub mod record;
pub mod run;
pub mod watch;
pub mod world;

#[cfg(test)]
mod testing;
