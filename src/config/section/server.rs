//! `[server]`, `[log]` and `[metrics]`: how this process behaves, whatever it answers.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::stream::{Encrypted, Limits, read_encrypted, read_tcp};
use crate::config::findings::Findings;
use crate::config::limit::{LISTEN_MAX, PROXIES_MAX, WORKERS_MAX};
use crate::config::section::extensions::{Extensions, read_extensions};
use crate::config::table::{Section, Table};
use crate::config::value::Value;
use crate::net::Prefix;

/// How the server meets the network and the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where queries are taken, by UDP and by TCP; at least one address.
    pub listen: Vec<SocketAddr>,
    /// Workers that answer by UDP; one per core when absent.
    pub workers: Option<u16>,
    /// Where the last verdicts are kept over a restart.
    pub state_directory: PathBuf,
    /// The local socket over which the verbs reach the running server.
    pub control_socket: PathBuf,
    /// Networks of load balancers, whose connections and datagrams begin with who the client is.
    pub proxies: Vec<Prefix>,
    /// What clients may take up by TCP.
    pub tcp: Limits,
    /// The encrypted transports.
    pub encrypted: Encrypted,
    /// What is wanted of the protocol's extensions.
    pub extensions: Extensions,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// Events of less weight are left out.
    pub level: LogLevel,
    /// Whether client addresses are cut to /24 and /48.
    pub shorten_clients: bool,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Text,
    Json,
}

/// The weight of an event, the heaviest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

pub(in crate::config) const SERVER: Section = Section {
    path: "server",
    keys: &[
        "listen",
        "workers",
        "state-directory",
        "control-socket",
        "proxy-from",
        "nsid",
        "error-reports",
        "tcp",
        "tls",
        "https",
        "quic",
        "cookies",
        "chaos",
        "rate-limit",
        "amplification",
    ],
};
pub(in crate::config) const LOG: Section =
    Section { path: "log", keys: &["format", "level", "client-addresses"] };
pub(in crate::config) const METRICS: Section = Section { path: "metrics", keys: &["listen"] };
pub(in crate::config) const GAUGES: Section = Section { path: "gauges", keys: &["listen"] };

/// The longest path of a local socket (`sun_path` of Linux, its final NUL left out).
const SOCKET_PATH_OCTETS_MAX: usize = 107;

/// Reads `[server]`, which must be there.
pub(in crate::config) fn read_server(top: Table, findings: &Findings) -> Server {
    top.required("server", "{ listen = [\"127.0.0.1:5300\"] }");
    let table = top.table("server", &SERVER);
    let path = |key: &str, default: &str| {
        table.value(key).and_then(|value| value.path(default)).unwrap_or_else(|| findings.completed(default))
    };
    let control_socket = path("control-socket", "state/rhumb.sock");
    if control_socket.as_os_str().len() > SOCKET_PATH_OCTETS_MAX {
        findings.warning(
            table.value("control-socket").map_or(table.span, |value| value.span),
            format!("the path of the control socket, {}, is too long to be bound", control_socket.display()),
            format!("write a path of at most {SOCKET_PATH_OCTETS_MAX} octets"),
        );
    }
    let server = Server {
        listen: read_listen(table),
        workers: table.value("workers").and_then(read_workers),
        state_directory: path("state-directory", "state"),
        control_socket,
        proxies: table.value("proxy-from").map(read_proxies).unwrap_or_default(),
        tcp: read_tcp(table),
        encrypted: read_encrypted(table, findings),
        extensions: read_extensions(table),
    };
    check_overlaps(&server, table);
    server
}

/// Reads `[log]`.
pub(in crate::config) fn read_log(top: Table) -> Log {
    let table = top.table("log", &LOG);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let clients = [("shortened", true), ("whole", false)];
    Log {
        format: table.value("format").and_then(|v| v.choice(&formats)).unwrap_or(LogFormat::Text),
        level: table.value("level").and_then(|v| v.choice(&levels)).unwrap_or(LogLevel::Info),
        shorten_clients: table.value("client-addresses").and_then(|v| v.choice(&clients)).unwrap_or(true),
    }
}

/// Reads `[metrics]`: where Prometheus may ask, if anywhere.
pub(in crate::config) fn read_metrics(top: Table) -> Option<SocketAddr> {
    let value = top.table("metrics", &METRICS).value("listen")?;
    let listen = read_socket_address(value, "127.0.0.1:9153")?;
    if !listen.ip().is_loopback() {
        value.warning(
            "metrics are shown to everybody who reaches this address",
            "write a loopback address, or let a firewall guard the port",
        );
    }
    Some(listen)
}

/// Reads `[gauges]`: where gauges may be told by HTTP, if anywhere.
pub(in crate::config) fn read_gauges(top: Table) -> Option<SocketAddr> {
    let value = top.table("gauges", &GAUGES).value("listen")?;
    let listen = read_socket_address(value, "127.0.0.1:9154")?;
    if !listen.ip().is_loopback() {
        value.error(
            "whoever reaches this address could take regions out of service",
            "write a loopback address; from elsewhere tunnel to it, or run `rhumb gauge` on this machine",
        );
    }
    Some(listen)
}

fn read_listen(table: Table) -> Vec<SocketAddr> {
    let example = "127.0.0.1:5300";
    let value = table.required("listen", &format!("[{example:?}]"));
    value.map(|value| read_addresses(value, example)).unwrap_or_default()
}

/// Reads a list of addresses to listen on, of at least one.
pub(super) fn read_addresses(value: Value, example: &str) -> Vec<SocketAddr> {
    let mut listen = Vec::new();
    for value in value.filled_list(&format!("[{example:?}]"), LISTEN_MAX).unwrap_or_default() {
        let Some(address) = read_socket_address(value, example) else { continue };
        if listen.contains(&address) && address.port() != 0 {
            value.error(format!("{address} is listed twice"), "leave it out here");
        }
        if address.ip().is_multicast() {
            value.error(format!("{address} is a multicast address"), "write an address of this machine");
        }
        listen.push(address);
    }
    listen
}

/// One port has one listener: TCP, TLS and HTTPS share the ports of TCP, UDP and QUIC those of UDP.
fn check_overlaps(server: &Server, table: Table) {
    let Encrypted { tls, https, quic, .. } = &server.encrypted;
    let pairs = [
        ("listen", &server.listen, "tls", &tls.listen),
        ("listen", &server.listen, "https", &https.listen),
        ("tls.listen", &tls.listen, "https", &https.listen),
        ("listen", &server.listen, "quic", &quic.listen),
    ];
    for (first, taken, second, wanted) in pairs {
        for address in wanted.iter().filter(|address| address.port() != 0 && taken.contains(address)) {
            if let Some(value) = table.value(second) {
                value.error(
                    format!("{address} is listed in server.{first} and in server.{second}.listen"),
                    "write another port in one of them; the usual ones are 53, 853 and 443",
                );
            }
        }
    }
}

fn read_proxies(value: Value) -> Vec<Prefix> {
    let example = "192.0.2.10/32";
    let list = value.list(&format!("[{example:?}]"), PROXIES_MAX).unwrap_or_default();
    let proxies: Vec<Prefix> = list.into_iter().filter_map(|value| value.parsed(example)).collect();
    if proxies.iter().any(|proxy| proxy.length() == 0) {
        value.error("everybody would be believed to be a proxy", "write the networks of your load balancers");
    }
    proxies
}

pub(in crate::config) fn read_socket_address(value: Value, example: &str) -> Option<SocketAddr> {
    let text = value.text(example)?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = match text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V6(bare)) => format!("the port is missing; write \"[{bare}]:53\""),
            Ok(bare) => format!("the port is missing; write \"{bare}:53\""),
            Err(_) => format!("write an address and a port, such as {example:?} or \"[::1]:5300\""),
        };
        value.error(format!("{text:?} is no address with a port"), help);
    }
    address
}

fn read_workers(value: Value) -> Option<u16> {
    match value.as_str() {
        Some("auto") => None,
        Some(_) => value.refuse_type("a number of workers", "\"auto\" or a whole number"),
        None => value.integer(1..=WORKERS_MAX),
    }
}
