//! `[server.tcp]`, `[server.tls]`, `[server.https]` and `[server.quic]`: where clients connect, what they are shown,
//! and what they may take up.

use std::net::SocketAddr;
use std::time::Duration;

use super::agents::CertificateFiles;
use super::server::read_addresses;
use crate::config::findings::Findings;
use crate::config::limit::{CONNECTIONS_MAX, QUERIES_MAX, STREAMS_MAX};
use crate::config::table::{Section, Table};
use crate::config::text::Span;

/// What the clients of one transport may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: u32,
    /// Connections from one client address.
    pub connections_per_address: u32,
    /// Connections at a time that have yet to shake hands.
    pub handshakes: u32,
    /// Queries of one connection, which is closed after the last of them.
    pub queries_per_connection: u32,
    /// Queries under way at a time on one connection, where each has a stream of its own.
    pub streams: u32,
    /// A connection without a query for so long is closed.
    pub idle_timeout: Duration,
    /// A connection is closed after so long, whatever it does.
    pub lifetime: Duration,
}

/// The listeners of one encrypted transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The addresses; none where the transport is not served.
    pub listen: Vec<SocketAddr>,
    /// What clients may take up.
    pub limits: Limits,
}

/// What is shown to those who ask over an encrypted transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and its key. No authorities: clients show nothing.
    pub files: CertificateFiles,
    /// Where it was written.
    pub span: Span,
}

/// The encrypted transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// What clients are shown; there if any of the others listens.
    pub certificate: Option<Certificate>,
    /// DNS over TLS.
    pub tls: Listener,
    /// DNS over HTTPS.
    pub https: Listener,
    /// The path at which messages are taken by HTTPS.
    pub path: String,
    /// DNS over QUIC.
    pub quic: Listener,
}

pub(in crate::config) const TCP: Section = Section {
    path: "server.tcp",
    keys: &[
        "connections",
        "connections-per-address",
        "handshakes",
        "queries-per-connection",
        "idle-timeout",
        "lifetime",
    ],
};
pub(in crate::config) const TLS: Section = Section {
    path: "server.tls",
    keys: &[
        "listen",
        "certificate",
        "key",
        "connections",
        "connections-per-address",
        "handshakes",
        "queries-per-connection",
        "idle-timeout",
        "lifetime",
    ],
};
pub(in crate::config) const HTTPS: Section = Section {
    path: "server.https",
    keys: &[
        "listen",
        "path",
        "connections",
        "connections-per-address",
        "handshakes",
        "queries-per-connection",
        "streams",
        "idle-timeout",
        "lifetime",
    ],
};
pub(in crate::config) const QUIC: Section = Section {
    path: "server.quic",
    keys: &[
        "listen",
        "connections",
        "connections-per-address",
        "handshakes",
        "queries-per-connection",
        "streams",
        "idle-timeout",
        "lifetime",
    ],
};

/// One part in so many of all connections may be shaking hands, unless the operator says otherwise.
const HANDSHAKES_SHARE: u32 = 2;
const IDLE_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3_600);
const LIFETIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Where messages are taken by HTTPS unless the operator says otherwise; what RFC 8484 has in its examples.
const PATH: &str = "/dns-query";

/// Reads `[server.tcp]`.
pub(in crate::config) fn read_tcp(server: Table) -> Limits {
    read_limits(server.table("tcp", &TCP))
}

/// Reads `[server.tls]`, `[server.https]` and `[server.quic]`.
pub(in crate::config) fn read_encrypted(server: Table, findings: &Findings) -> Encrypted {
    let (tls, https, quic) =
        (server.table("tls", &TLS), server.table("https", &HTTPS), server.table("quic", &QUIC));
    let certificate = server
        .value("tls")
        .map(|value| Certificate { files: read_certificate(tls, findings), span: value.span });
    for (key, other) in [("https", https), ("quic", quic)] {
        if server.value(key).is_some() && certificate.is_none() {
            other.error(
                format!("[server.{key}] needs a certificate, and there is none"),
                "write [server.tls] with certificate and key; without listen there it serves this alone",
            );
        }
    }
    let encrypted = Encrypted {
        certificate,
        tls: Listener { listen: read_listen(tls, "192.0.2.53:853"), limits: read_limits(tls) },
        https: Listener { listen: required_listen(https, "192.0.2.53:443"), limits: read_limits(https) },
        path: read_path(https),
        quic: Listener { listen: required_listen(quic, "192.0.2.53:853"), limits: read_limits(quic) },
    };
    refuse_port_of_clear(tls, &encrypted.tls, "DNS over TLS (RFC 7858 section 3.1)");
    refuse_port_of_clear(quic, &encrypted.quic, "DNS over QUIC (RFC 9250 section 4.1.1)");
    encrypted
}

/// Who asks at port 53 speaks in clear: nobody could tell the two apart.
fn refuse_port_of_clear(table: Table, listener: &Listener, spoken: &str) {
    if listener.listen.iter().any(|address| address.port() == 53)
        && let Some(value) = table.value("listen")
    {
        value.error(
            format!("port 53 is for DNS in clear, and never for {spoken}"),
            "write the usual port, 853",
        );
    }
}

fn read_certificate(table: Table, findings: &Findings) -> CertificateFiles {
    let path = |key: &str, example: &str| {
        let value = table.required(key, &format!("{example:?}"));
        value.and_then(|value| value.path(example)).unwrap_or_else(|| findings.completed(example))
    };
    CertificateFiles {
        certificate: path("certificate", "tls/certificate.pem"),
        key: path("key", "tls/certificate.key"),
        authorities: Vec::new(),
        revocations: Vec::new(),
    }
}

fn required_listen(table: Table, example: &str) -> Vec<SocketAddr> {
    table.required("listen", &format!("[{example:?}]"));
    read_listen(table, example)
}

fn read_listen(table: Table, example: &str) -> Vec<SocketAddr> {
    table.value("listen").map(|value| read_addresses(value, example)).unwrap_or_default()
}

fn read_path(table: Table) -> String {
    let Some((value, path)) = table.value("path").and_then(|value| Some((value, value.text(PATH)?))) else {
        return PATH.to_owned();
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c);
    if !path.starts_with('/') || !path.chars().all(fits) {
        value.error(format!("{path:?} is no path"), format!("write one such as {PATH:?}"));
    }
    path.to_owned()
}

fn read_limits(table: Table) -> Limits {
    let count = |key: &str, most: u32, default: u32| {
        if !table.knows(key) {
            return default;
        }
        table.value(key).and_then(|value| value.integer(1..=most)).unwrap_or(default)
    };
    let connections = count("connections", CONNECTIONS_MAX, 1_000);
    let connections_per_address = count("connections-per-address", CONNECTIONS_MAX, connections.min(20));
    if connections_per_address > connections
        && let Some(value) = table.value("connections-per-address")
    {
        value.error(
            "one address may open more connections than there may be in all",
            format!("write at most {connections}"),
        );
    }
    let handshakes = count("handshakes", CONNECTIONS_MAX, connections.div_ceil(HANDSHAKES_SHARE));
    if handshakes > connections
        && let Some(value) = table.value("handshakes")
    {
        value.error(
            "more connections may shake hands than there may be in all",
            format!("write at most {connections}"),
        );
    }
    let idle_timeout = table.value("idle-timeout").and_then(|value| value.duration(IDLE_TIMEOUT));
    let lifetime = table.value("lifetime").and_then(|value| value.duration(LIFETIME));
    Limits {
        connections,
        connections_per_address,
        handshakes,
        queries_per_connection: count("queries-per-connection", QUERIES_MAX, 100_000),
        streams: count("streams", STREAMS_MAX, 100),
        idle_timeout: idle_timeout.unwrap_or(Duration::from_secs(10)),
        lifetime: lifetime.unwrap_or(Duration::from_secs(3_600)),
    }
}
