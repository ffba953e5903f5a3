//! What agents and servers say to each other, below both of them: who an agent is ([`identity`]), what it is to
//! probe and when at once ([`order`]), what it saw ([`report`]). Octets and text in, values out; no sockets.
//!
//! ```text
//!  agent ── POST /v1/report, octets of `report` ──▶ server      every tick, or sooner when there is news
//!  agent ◀─ GET  /v1/orders, lines of `order` ──── server      one answer that never ends
//! ```
//!
//! A target travels under a name that is a hash of what is probed, so that an agent and its servers need not
//! reload together: what one of them does not know is passed over and counted.

pub mod identity;
mod journey;
pub mod order;
pub mod report;

/// Where an agent sends its reports.
pub const REPORT_PATH: &str = "/v1/report";
/// Where an agent asks for its orders.
pub const ORDERS_PATH: &str = "/v1/orders";
/// The most targets that one agent probes and one report tells of.
pub const TARGETS_MAX: usize = 65_536;
