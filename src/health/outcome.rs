//! What one probe found, and the report in which an agent tells it.

use std::fmt;
use std::time::Duration;

use super::verdict::Share;
use crate::ids::{TargetId, VantageId};

/// The result of probing one target once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How long before the report was made the probe ended.
    pub age: Duration,
    /// How long the probe took.
    pub latency: Duration,
    /// Passed, or why not.
    pub result: Result<(), Failure>,
    /// Where it passed, how much of the target is usable; of no meaning in a failure.
    pub usable: Share,
}

/// Why a probe failed. What people read is its `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The time-out passed before the probe was done.
    TimedOut,
    /// The other side refused the connection.
    Refused,
    /// The connection broke after it stood.
    Reset,
    /// No route, network down, and the like; the system's words.
    Unreachable(String),
    /// The TLS handshake or the certificate.
    Tls(String),
    /// An HTTP status outside those that pass.
    Status(u16),
    /// The body, within its limit, lacks the text wanted.
    Body,
    /// A DNS reply that does not pass; its code or what is missing.
    Dns(String),
    /// The outside state file says down; one that says nothing usable makes no outcome.
    File(String),
    /// Anything else, in few words.
    Other(String),
}

/// What an agent sends: a full snapshot of what it sees, numbered, never a delta. Who takes it may have been told some of it
/// before; who knows that none was lost may be handed what is new alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the agent stands.
    pub vantage: VantageId,
    /// Which of the vantage's agents it is.
    pub agent: u32,
    /// Chosen anew at each start of the agent; a report of another boot begins a new count.
    pub boot: u64,
    /// Grows by one with each report of a boot.
    pub number: u64,
    /// Whether the agent's control targets pass, so that its failures mean something.
    /// `None` where it has none and the other targets must serve.
    pub control: Option<bool>,
    /// The agent runs late itself: its failures are void.
    pub lagging: bool,
    /// One entry per target about which there is something to tell.
    pub targets: Vec<TargetReport>,
}

/// The recent outcomes of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// What was probed.
    pub target: TargetId,
    /// The number of the newest outcome since the agent's boot: outcomes that were seen before are skipped by it.
    pub newest: u64,
    /// At most [`OUTCOMES_MAX`], oldest first.
    pub outcomes: Vec<Outcome>,
}

/// How many outcomes of one target a report carries at most.
pub const OUTCOMES_MAX: usize = 16;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection broken"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("body does not match"),
            Self::Dns(why) => write!(f, "DNS: {why}"),
            Self::File(why) => write!(f, "state file: {why}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}
