//! The rim around the state: agents' reports, the operator's socket, metrics, what is kept on disk. [`state`] is
//! its pure heart; the rest is plumbing around it.

pub mod request;
pub mod state;
