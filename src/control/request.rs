//! What the verbs say to the running server and what it answers: one line of JSON each way over the operator's
//! socket.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::process::handed::Label;

/// What an operator asks of the running server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Read the configuration, zones and databases anew. Answered once the new state is live.
    Reload,
    /// Tell what is in force and what is believed.
    Status,
    /// Tell why a question gets its answer.
    Explain {
        /// The name.
        name: String,
        /// The type's mnemonic.
        rtype: String,
        /// The client.
        client: IpAddr,
        /// Regions to suppose down.
        down: Vec<String>,
    },
    /// Answer a certificate authority's challenge for a while.
    SetChallenge {
        /// The domain.
        name: String,
        /// The value.
        token: String,
        /// For how long.
        seconds: u64,
    },
    /// Take challenges away.
    ClearChallenge {
        /// The domain.
        name: String,
        /// The value; all of them when absent.
        token: Option<String>,
    },
    /// Tell what gauges show.
    Gauges {
        /// What each shows.
        told: Vec<GaugeTold>,
    },
    /// Hand the sockets over to a successor. What follows is no line alone: see `control/succession.rs`.
    TakeOver,
    /// Let a service come back to a region that works again, where that waits for a person.
    FailBack {
        /// The service.
        service: String,
        /// The region; all of them when absent.
        region: Option<String>,
    },
}

/// What a gauge shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GaugeTold {
    /// Of which endpoint, "region/service/address"; `*` stands for any run of characters.
    pub endpoint: String,
    /// The probe that it is.
    pub gauge: String,
    /// What it shows.
    pub value: f64,
}

/// What the server answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// The new state is live.
    Reloaded {
        /// The generation of the table.
        generation: u64,
        /// What somebody should look at, each rendered whole.
        warnings: Vec<String>,
    },
    /// What is in force.
    Status(Box<Status>),
    /// The explanation, as text for people and as JSON for programs.
    Explained {
        /// For people.
        text: String,
        /// For programs.
        detail: serde_json::Value,
    },
    /// So many gauges of endpoints were told; a name with an asterisk stands for several.
    GaugesTold {
        /// How many.
        gauges: usize,
    },
    /// So many endpoints may come back.
    FailBackAllowed {
        /// How many.
        endpoints: usize,
    },
    /// So many challenges stand at the name now.
    Challenged {
        /// The name that is asked for.
        name: String,
        /// How many values it has.
        values: usize,
    },
    /// The descriptors of these labels follow, in their order.
    Handed {
        /// What each is for.
        labels: Vec<Label>,
    },
    /// The successor alone reads from the sockets from now on.
    Left,
    /// Nothing was done; why, each fault rendered whole.
    Failed {
        /// At least one.
        faults: Vec<String>,
    },
}

/// What is in force and what is believed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Generation of the answer table: grows with every change of an answer.
    pub generation: u64,
    /// How often a configuration was loaded.
    pub configuration: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Addresses that queries are taken on; behind those of an encrypted transport stands which.
    pub listen: Vec<String>,
    /// Zones with their serials.
    pub zones: Vec<ZoneStatus>,
    /// Agents that were heard, where vantages are configured; a vantage without any has none here.
    pub agents: Vec<AgentStatus>,
    /// Services in the order of the configuration.
    pub services: Vec<ServiceStatus>,
    /// What somebody should look at now.
    pub alarms: Vec<String>,
    /// The challenges of certificate authorities that are answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<ChallengeStatus>,
}

/// A challenge that is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ChallengeStatus {
    /// The name that is asked for.
    pub name: String,
    /// The value.
    pub token: String,
    /// For how many seconds more.
    pub seconds_left: u64,
}

/// A zone that is served.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ZoneStatus {
    /// Its origin.
    pub origin: String,
    /// Its serial.
    pub serial: u32,
    /// When the first of its signatures ends, as `YYYYMMDDHHMMSS`, where it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_until: Option<String>,
}

/// An agent, as it is heard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct AgentStatus {
    /// Its vantage.
    pub vantage: String,
    /// Which of the vantage's agents.
    pub agent: u32,
    /// Seconds since it was last heard.
    pub heard_seconds: f64,
    /// Whether its failures count, in words.
    pub sight: String,
}

/// A service and what is believed of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// Its steered names.
    pub names: Vec<String>,
    /// Some class is answered though nothing that it may be given is usable.
    pub all_down: bool,
    /// Its endpoints by region, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint and what is believed of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct EndpointStatus {
    /// Its region.
    pub region: String,
    /// Its address.
    pub address: String,
    /// The verdict.
    pub state: String,
    /// For how many seconds it has held.
    pub held_seconds: u64,
    /// How much of it is usable, in percent.
    pub usable_percent: u8,
    /// How many of its lots it may serve, in percent.
    pub ramp_percent: u8,
    /// What the last change rested on.
    pub evidence: String,
    /// What keeps it where it is: frozen, held back, suppressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where its probe is composed of others: what is said of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartStatus>,
}

/// A part of a composed probe, and what is said of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PartStatus {
    /// The probe.
    pub probe: String,
    /// What it is there for: "vote", "must-pass" or "watch-only".
    pub role: String,
    /// What the vantages say: "works", "fails", "unsure" or "silent", by most of those that say anything.
    pub says: String,
    /// How many vantages see it fail.
    pub failing_vantages: u32,
    /// How much of it is usable, in percent, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable_percent: Option<u8>,
}
