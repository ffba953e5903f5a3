//! The prober: targets in, [`Report`](crate::health::outcome::Report)s out. It knows neither services nor
//! verdicts, so that the same code probes inside the server and from a process that stands in a region.
//!
//! As a process it is a [`station`]: [`link`] speaks with each server, [`assemble`] makes one list of what they want,
//! [`allow`] holds what may be probed at all, [`sight`] tries what the agent must reach to be believed, [`illness`]
//! is what it knows of its own, [`metrics`] what it counts.
//!
//! [`plan`] says when, [`probe`] does it, [`watch`] notices a broken connection between two probes, [`record`]
//! remembers the outcomes, [`world`] holds what is known of all targets, [`run`] puts them together. Only
//! `probe`, `watch` and `link` open sockets, and none of them ever looks up a name; `sight` alone does.

pub mod allow;
pub mod assemble;
pub mod chance;
pub mod illness;
mod link;
pub mod metrics;
pub mod plan;
pub mod probe;
pub mod record;
pub mod run;
pub mod sight;
pub mod station;
pub mod watch;
pub mod world;

#[cfg(test)]
mod testing;
