//! The rim around the state: agents' reports, the operator's socket, metrics, what is kept on disk. [`state`] is
//! its pure heart; [`run`] is the one task that owns it; the rest is plumbing around that.

pub mod state;

pub mod challenge;
mod resign;
pub mod run;
pub mod saved;
pub mod secret;
mod tell;

pub mod arrival;
pub mod intake;

mod events;
pub mod gauges;
pub mod http;
pub mod metrics;
pub mod news;
mod page;
pub mod request;
pub mod socket;
pub mod succession;
