//! The file of an agent, `agent.toml`: who it is, whom it reports to, and what it may be made to probe. An agent
//! holds no policy; what it probes it is told.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::findings::Findings;
use super::limit::{AGENT_SERVERS_MAX, ALLOWED_MAX, CONTROL_TARGETS_MAX};
use super::section::agents::{CertificateFiles, read_files};
#[cfg(test)]
use super::section::hardening::HARDENING;
use super::section::hardening::{Hardening, read_hardening};
use super::section::region::read_control_target;
#[cfg(test)]
use super::section::server::{LOG, METRICS};
use super::section::server::{Log, read_log, read_metrics, read_socket_address};
use super::table::{Entry, Section, Table};
use super::text::Text;
use super::value::Value;
use crate::fault::Fault;
use crate::net::Prefix;

/// What is believed of an agent's file.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// What it was read from.
    pub text: Arc<Text>,
    /// Who this agent is, and which servers it believes.
    pub files: CertificateFiles,
    /// What this agent must reach to be believed, beside what the servers say, as URLs.
    pub control_targets: Vec<String>,
    /// Whom it reports to.
    pub servers: Vec<ServerAddress>,
    /// What it may be made to probe.
    pub allow: Allow,
    /// What the process gives up once it runs.
    pub hardening: Hardening,
    /// What is logged, and how.
    pub log: Log,
    /// Where Prometheus may ask the agent itself, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
}

/// A server that an agent reports to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Its name in the file, for logs.
    pub name: String,
    /// Where it takes reports. An address: no name is looked up on the way to a server.
    pub address: SocketAddr,
    /// What its certificate must be for; the address when absent.
    pub server_name: Option<String>,
}

/// What an agent may be made to probe. What is not permitted here is not probed, whatever a server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Networks.
    pub networks: Vec<Prefix>,
    /// Ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Folders of state files and of probes' authorities.
    pub folders: Vec<PathBuf>,
}

pub(in crate::config) const TOP: Section =
    Section { path: "", keys: &["agent", "servers", "allow", "metrics", "hardening", "log"] };
pub(in crate::config) const AGENT: Section =
    Section { path: "agent", keys: &["certificate", "key", "authorities", "revocations", "control-targets"] };
pub(in crate::config) const SERVER: Section =
    Section { path: "servers.*", keys: &["address", "server-name"] };
pub(in crate::config) const ALLOW: Section =
    Section { path: "allow", keys: &["networks", "ports", "folders"] };

/// Every table of the file. The example is held against it.
#[cfg(test)]
pub(in crate::config) const ALL: &[&Section] = &[&TOP, &AGENT, &SERVER, &ALLOW, &METRICS, &HARDENING, &LOG];

/// The agent's configuration with its warnings, or every fault of a document that is none.
pub type Loaded = Result<(AgentConfig, Vec<Fault>), Vec<Fault>>;

/// Reads and checks the agent's file `path`.
pub fn load(path: &Path) -> Loaded {
    let source = super::read_file(path).map_err(|message| vec![super::unreadable(path, message)])?;
    let file = path.display().to_string();
    super::read_document(path.parent().unwrap_or(Path::new("")), &source, &file, &TOP, read)
}

/// Reads and checks an agent's file. `file` is its name in faults, and paths inside are relative to its folder.
pub fn parse(source: &str, file: &str) -> Loaded {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    super::read_document(folder, source, file, &TOP, read)
}

fn read(top: Table, findings: &Findings) -> AgentConfig {
    top.required("agent", "{ certificate = \"dublin-1.pem\", ... }");
    let agent = top.table("agent", &AGENT);
    let targets = agent
        .value("control-targets")
        .and_then(|value| value.list("[\"https://control.example.net/\"]", CONTROL_TARGETS_MAX));
    let entries = top.entries("servers", AGENT_SERVERS_MAX);
    if entries.is_empty() {
        top.error(
            "the agent has nobody to report to",
            "write servers.ns1 = { address = \"192.0.2.53:8453\" }",
        );
    }
    AgentConfig {
        text: findings.text(),
        files: read_files(agent, findings),
        control_targets: targets.into_iter().flatten().filter_map(read_control_target).collect(),
        servers: entries.iter().filter_map(read_server).collect(),
        allow: read_allow(top),
        hardening: read_hardening(top),
        log: read_log(top),
        metrics_listen: read_metrics(top),
    }
}

fn read_server(entry: &Entry) -> Option<ServerAddress> {
    let table = entry.value.table(&SERVER);
    let address = table.required("address", "\"192.0.2.53:8453\"");
    let server_name = table.value("server-name").and_then(|value| value.text("ns1.example.com"));
    Some(ServerAddress {
        name: entry.key.to_owned(),
        address: address.and_then(|value| read_socket_address(value, "192.0.2.53:8453"))?,
        server_name: server_name.map(str::to_owned),
    })
}

fn read_allow(top: Table) -> Allow {
    top.required("allow", "{ networks = [\"192.0.2.0/24\"], ports = [443] }");
    let table = top.table("allow", &ALLOW);
    let list = |key: &str, example: &str| table.value(key).and_then(|value| value.list(example, ALLOWED_MAX));
    let networks = table
        .required("networks", "[\"192.0.2.0/24\"]")
        .and_then(|value| value.list("[\"192.0.2.0/24\"]", ALLOWED_MAX));
    let ports = table.required("ports", "[443]").and_then(|value| value.list("[443]", ALLOWED_MAX));
    Allow {
        networks: networks
            .into_iter()
            .flatten()
            .filter_map(|value| value.parsed::<Prefix>("192.0.2.0/24"))
            .collect(),
        ports: ports.into_iter().flatten().filter_map(read_ports).collect(),
        folders: list("folders", "[\"states\"]")
            .into_iter()
            .flatten()
            .filter_map(|value| value.path("states"))
            .collect(),
    }
}

/// A port, or a range such as "8000-8100".
fn read_ports(value: Value) -> Option<RangeInclusive<u16>> {
    let Some(text) = value.as_str() else { return value.integer(0..=u16::MAX).map(|port| port..=port) };
    let range = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    let range = range.filter(|range: &RangeInclusive<u16>| !range.is_empty());
    if range.is_none() {
        value.error(format!("{text:?} is no range of ports"), "write a port, or for example \"8000-8100\"");
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("agent.toml")).unwrap()
    }

    fn faults(source: &str) -> Vec<String> {
        let faults = parse(source, "agent.toml").unwrap_err();
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn the_example_is_accepted_and_names_every_key() {
        let (config, warnings) = parse(&example(), "agent.toml").unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.servers.len(), 1);
        for section in ALL {
            for key in section.keys {
                let written = example().lines().any(|line| {
                    let line = line.trim_start_matches('#');
                    line.starts_with(&format!("{key} =")) || line.starts_with(&format!("[{key}"))
                });
                assert!(written, "[{}] {key} is not in agent.toml", section.path);
            }
        }
    }

    #[test]
    fn an_agent_without_limits_or_servers_is_refused() {
        let found = faults("[agent]\ncertificate = \"a\"\nkey = \"b\"\nauthorities = [\"c\"]\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|fault| fault.contains("nobody to report to")), "{found:?}");
        assert!(found.iter().any(|fault| fault.contains("\"allow\" is missing")), "{found:?}");
    }

    #[test]
    fn ports_are_numbers_or_ranges() {
        let with =
            |ports: &str| example().replace("ports = [443, \"8000-8100\"]", &format!("ports = [{ports}]"));
        assert_ne!(with("1"), example());
        let (config, _) = parse(&with("0, 53, \"8000-8000\""), "agent.toml").unwrap();
        assert_eq!(config.allow.ports, [0..=0, 53..=53, 8000..=8000]);
        for odd in ["65536", "-1", "\"9-8\"", "\"a-b\"", "\"80\""] {
            assert_eq!(faults(&with(odd)).len(), 1, "{odd}");
        }
    }
}
