//! How endpoints are tested, as believed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::name::Name;
use crate::wire::code::{Rcode, RecordType};

/// A probe: what is done, how often, and what its outcomes mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Its name in the configuration.
    pub name: String,
    /// What is done.
    pub kind: ProbeKind,
    /// From the start of one probe of a target to the start of the next.
    pub interval: Duration,
    /// A probe that is not done by then has failed; at most the interval.
    pub timeout: Duration,
    /// Hold an idle connection to each TCP-based target; its loss starts a probe at once.
    pub watch: bool,
    /// When a target counts as failing or working; judged in `health`.
    pub thresholds: crate::health::streak::Thresholds,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// A GET (or HEAD) whose status, and body if asked, must match.
    Http(HttpProbe),
    /// A TCP connection.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A TCP connection and a TLS handshake.
    Tls(TlsProbe),
    /// A DNS query.
    Dns(DnsProbe),
    /// An outside program's word: a file that it keeps, see `agent/probe/file.rs` for its form.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// See [`ProbeKind::Http`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// The TLS side of HTTPS; `None` for plain HTTP.
    pub tls: Option<TlsTrust>,
    /// The port.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub path: String,
    /// The Host header and, for HTTPS, the server name; the address itself when absent.
    pub host: Option<String>,
    /// The status codes that pass.
    pub status: Vec<u16>,
    /// Text that the first [`BODY_OCTETS_MAX`] octets of the body must hold.
    pub body_contains: Option<String>,
}

/// See [`ProbeKind::Tls`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsProbe {
    /// The port.
    pub port: u16,
    /// The server name asked for and checked; the address itself when absent.
    pub server_name: Option<String>,
    /// Whom to trust.
    pub trust: TlsTrust,
}

/// Which certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TlsTrust {
    /// Those of the system's authorities, for the right name.
    System,
    /// Those of the authorities in a PEM file, for the right name.
    File(PathBuf),
    /// Any. The operator asked for it in so many words.
    Anything,
}

/// See [`ProbeKind::Dns`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    /// The port.
    pub port: u16,
    /// The question's name.
    pub name: Name,
    /// The question's type.
    pub rtype: RecordType,
    /// The response codes that pass.
    pub rcodes: Vec<Rcode>,
    /// Whether an answer record of that type is wanted too.
    pub answer_required: bool,
    /// Ask by TCP rather than UDP.
    pub tcp: bool,
}

/// What is probed: one address with one distinct probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Where: the endpoint's address, or the address that the operator named for its probing; with its port.
    pub address: SocketAddr,
    /// How.
    pub probe: crate::ids::ProbeId,
    /// For the state file: the key under which the endpoint stands, "region/service/address".
    pub key: String,
}

/// How much of a body is searched.
pub const BODY_OCTETS_MAX: usize = 8 * 1024;
