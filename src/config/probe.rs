//! How endpoints are tested, as believed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::journey::Journey;
use crate::health::outcome::Failure;
use crate::health::verdict::Share;
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
        /// Whoever gets the outcomes knows what to do with a percentage.
        shares: bool,
    },
    /// An ICMP echo request, and its reply.
    Icmp,
    /// Several HTTP requests, one after the other.
    Journey(Journey),
    /// A number that somebody outside tells the server; no agent knows of it.
    Gauge(Gauge),
    /// Other probes, judged as one; no agent knows of it.
    Composed(Composition),
}

/// See [`ProbeKind::Gauge`]. Where the hard limit lies below the soft one, less is worse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gauge {
    /// Up to here the endpoint is wholly usable; from here on its share sinks in a line.
    pub soft: Level,
    /// From here on it fails.
    pub hard: Level,
    /// What was told longer ago says nothing.
    pub max_age: Duration,
}

/// What a gauge shows, in millionths, so that equal limits are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(i64);

/// See [`ProbeKind::Composed`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Composition {
    /// How many of those with a plain vote must pass; all of them when absent.
    pub least: Option<usize>,
    /// The parts; at least one has a vote.
    pub of: Vec<Child>,
    /// Its one part must fail.
    pub negates: bool,
}

/// A part of a composed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Child {
    /// The probe.
    pub probe: crate::ids::ProbeId,
    /// What it is there for.
    pub role: Role,
}

/// What a part of a composed check is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is one of those that are counted.
    Vote,
    /// It is not counted, and fails the whole by itself.
    MustPass,
    /// It is shown, and changes nothing.
    WatchOnly,
}

/// The most parts of one composed check.
pub const CHILDREN_MAX: usize = 16;
/// The most probes that a composed check rests on in all, each as often as it is met.
pub const PARTS_IN_ALL_MAX: usize = 64;

impl ProbeKind {
    /// The port that is probed, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Http(http) => Some(http.port),
            Self::Tcp { port } => Some(*port),
            Self::Tls(tls) => Some(tls.port),
            Self::Dns(dns) => Some(dns.port),
            Self::Journey(journey) => Some(journey.port),
            Self::File { .. } | Self::Icmp | Self::Gauge(_) | Self::Composed(_) => None,
        }
    }

    /// Whether it tells endpoints apart by their names; others see the address alone.
    #[must_use]
    pub fn knows_endpoints(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Gauge(_) | Self::Composed(_))
    }

    /// Whether it opens TCP connections to its target, so that one can be watched.
    #[must_use]
    pub fn uses_tcp(&self) -> bool {
        match self {
            Self::Http(_) | Self::Tcp { .. } | Self::Tls(_) | Self::Journey(_) => true,
            Self::Dns(dns) => dns.tcp,
            Self::File { .. } | Self::Icmp | Self::Gauge(_) | Self::Composed(_) => false,
        }
    }

    /// Whether making it ready reads certificates, which may be others each time.
    #[must_use]
    pub fn reads_certificates(&self) -> bool {
        match self {
            Self::Http(http) => http.tls.is_some(),
            Self::Tls(_) | Self::Journey(_) => true,
            _ => false,
        }
    }
}

impl Gauge {
    /// What a value means: how much is usable, or that it fails.
    pub fn judge(&self, value: f64) -> Result<Share, Failure> {
        let (soft, hard) = (self.soft.value(), self.hard.value());
        // From nothing at the hard limit to the whole at the soft one, on whichever side that lies.
        let part = (hard - value) / (hard - soft);
        if part <= 0.0 {
            return Err(Failure::Other(format!("{value} where the limit is {hard}")));
        }
        Ok(Share::of_ratio(part).max(Share::of_1024(1)))
    }
}

impl Level {
    /// The nearest level to a number; one that is out of range is the last.
    #[must_use]
    pub fn of(number: f64) -> Self {
        // A cast of a float keeps to the range of the integer.
        Self((number * 1e6).round() as i64)
    }

    /// As a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Role {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::MustPass => "must-pass",
            Self::WatchOnly => "watch-only",
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(soft: f64, hard: f64) -> Gauge {
        Gauge { soft: Level::of(soft), hard: Level::of(hard), max_age: Duration::from_secs(30) }
    }

    #[test]
    fn between_its_limits_a_gauge_falls_in_a_line() {
        let load = gauge(0.5, 1.0);
        assert_eq!(load.judge(0.0), Ok(Share::WHOLE));
        assert_eq!(load.judge(0.5), Ok(Share::WHOLE));
        assert_eq!(load.judge(0.75), Ok(Share::of_1024(512)));
        assert_eq!(load.judge(0.999_999), Ok(Share::of_1024(1)), "as long as it does not fail");
        assert!(load.judge(1.0).is_err() && load.judge(7.0).is_err());
    }

    #[test]
    fn where_the_hard_limit_is_below_less_is_worse() {
        let free = gauge(100.0, 20.0);
        assert_eq!(free.judge(500.0), Ok(Share::WHOLE));
        assert_eq!(free.judge(60.0), Ok(Share::of_1024(512)));
        assert_eq!(free.judge(20.0).unwrap_err().to_string(), "20 where the limit is 20");
    }
}
