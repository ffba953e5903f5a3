//! What a server tells an agent, one line of JSON each: what to probe, what to probe again at once, and that it
//! is still there. The forms are written out here, apart from what the configuration believes, so that either
//! can change without the other.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journey::{self, OrderedStep};
use crate::config::journey::Journey;
use crate::config::probe::{DnsProbe, HttpProbe, Probe, ProbeKind, Target, TlsProbe, TlsTrust};
use crate::health::streak::Thresholds;
use crate::wire::code::{Rcode, RecordType};

/// The longest line in octets.
pub const LINE_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// What is probed, by a name that is the same wherever the same thing is probed: a hash of the address and of
/// the whole probe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(pub u64);

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Probe these, and nothing else.
    Probe(Assignment),
    /// Probe these again at once.
    Recheck {
        /// Those that the agent does not know are passed over.
        targets: Vec<TargetName>,
    },
    /// Nothing; the server is there.
    Wait,
    /// Of a later version; passed over.
    #[serde(other)]
    Unknown,
}

/// All that an agent is to probe for one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assignment {
    /// What the agent must reach to be believed, as URLs.
    pub control_targets: Vec<String>,
    /// The probes that targets refer to by position.
    pub probes: Vec<OrderedProbe>,
    /// The targets.
    pub targets: Vec<OrderedTarget>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OrderedTarget {
    /// Its name.
    pub name: TargetName,
    /// Where it is.
    pub address: SocketAddr,
    /// The position of its probe.
    pub probe: usize,
    /// For a state file, the key to look for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One probe. Only what the agent needs: thresholds are judged by the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OrderedProbe {
    interval_ms: u64,
    timeout_ms: u64,
    watch: bool,
    fall: u8,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum What {
    Http {
        trust: Option<Trust>,
        port: u16,
        path: String,
        host: Option<String>,
        status: Vec<u16>,
        body_contains: Option<String>,
    },
    Tcp {
        port: u16,
    },
    Tls {
        port: u16,
        server_name: Option<String>,
        trust: Trust,
    },
    Dns {
        port: u16,
        name: String,
        rtype: u16,
        rcodes: Vec<u16>,
        answer_required: bool,
        tcp: bool,
    },
    File {
        path: PathBuf,
        /// The server understands shares. Without it a percentage is told as a pass.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shares: bool,
    },
    /// An echo request.
    Icmp,
    /// Several requests.
    Journey {
        trust: Option<Trust>,
        port: u16,
        host: Option<String>,
        steps: Vec<OrderedStep>,
    },
    /// Of a later version; its targets are passed over.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Trust {
    System,
    File(PathBuf),
    Anything,
}

/// The shortest interval that an agent obeys.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Assignment {
    /// What an agent of a vantage with these control targets is to probe.
    #[must_use]
    pub fn new(probes: &[Probe], targets: &[Target], control_targets: &[String]) -> Self {
        let probes: Vec<_> = probes.iter().map(OrderedProbe::of).collect();
        let hashes: Vec<u64> = probes.iter().map(OrderedProbe::hash).collect();
        let targets = targets.iter().map(|Target { address, probe, key }| {
            let probe = probe.index();
            let key = matches!(probes[probe].what, What::File { .. }).then(|| key.clone());
            let name = TargetName::of(*address, hashes[probe], key.as_deref());
            OrderedTarget { name, address: *address, probe, key }
        });
        Self { control_targets: control_targets.to_vec(), targets: targets.collect(), probes }
    }
}

impl Order {
    /// The line, its line feed included.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("an order holds nothing that JSON cannot");
        line.push(b'\n');
        line
    }
}

impl OrderedProbe {
    fn of(probe: &Probe) -> Self {
        Self {
            interval_ms: millis(probe.interval),
            timeout_ms: millis(probe.timeout),
            watch: probe.watch,
            fall: probe.thresholds.fall,
            what: What::of(&probe.kind),
        }
    }

    /// The probe, if it is one that is known here and makes sense.
    #[must_use]
    pub fn believed(&self) -> Option<Probe> {
        let interval = Duration::from_millis(self.interval_ms).max(INTERVAL_MIN);
        Some(Probe {
            name: String::new(),
            kind: self.what.believed()?,
            interval,
            timeout: Duration::from_millis(self.timeout_ms).min(interval),
            watch: self.watch,
            // The other thresholds are the server's affair.
            thresholds: Thresholds { fall: self.fall.max(1), ..Thresholds::default() },
        })
    }

    fn hash(&self) -> u64 {
        let octets = serde_json::to_vec(self).expect("a probe holds nothing that JSON cannot");
        hash(FNV_OFFSET, &octets)
    }
}

impl TargetName {
    fn of(address: SocketAddr, probe: u64, key: Option<&str>) -> Self {
        let state = hash(probe, address.to_string().as_bytes());
        Self(mix(hash(hash(state, &[0]), key.unwrap_or_default().as_bytes())))
    }
}

impl What {
    fn of(kind: &ProbeKind) -> Self {
        match kind {
            ProbeKind::Http(http) => Self::Http {
                trust: http.tls.as_ref().map(Trust::of),
                port: http.port,
                path: http.path.clone(),
                host: http.host.clone(),
                status: http.status.clone(),
                body_contains: http.body_contains.clone(),
            },
            ProbeKind::Tcp { port } => Self::Tcp { port: *port },
            ProbeKind::Tls(tls) => Self::Tls {
                port: tls.port,
                server_name: tls.server_name.clone(),
                trust: Trust::of(&tls.trust),
            },
            ProbeKind::Dns(dns) => Self::Dns {
                port: dns.port,
                name: dns.name.to_string(),
                rtype: dns.rtype.0,
                rcodes: dns.rcodes.iter().map(|rcode| rcode.0).collect(),
                answer_required: dns.answer_required,
                tcp: dns.tcp,
            },
            ProbeKind::File { path, shares } => Self::File { path: path.clone(), shares: *shares },
            ProbeKind::Icmp => Self::Icmp,
            ProbeKind::Journey(journey) => Self::Journey {
                trust: journey.tls.as_ref().map(Trust::of),
                port: journey.port,
                host: journey.host.clone(),
                steps: journey.steps.iter().map(OrderedStep::of).collect(),
            },
            // No target names them.
            ProbeKind::Gauge(_) | ProbeKind::Composed(_) => Self::Unknown,
        }
    }

    fn believed(&self) -> Option<ProbeKind> {
        Some(match self.clone() {
            Self::Http { trust, port, path, host, status, body_contains } => ProbeKind::Http(HttpProbe {
                tls: trust.map(Trust::believed),
                port,
                path,
                host,
                status,
                body_contains,
            }),
            Self::Tcp { port } => ProbeKind::Tcp { port },
            Self::Tls { port, server_name, trust } => {
                ProbeKind::Tls(TlsProbe { port, server_name, trust: trust.believed() })
            }
            Self::Dns { port, name, rtype, rcodes, answer_required, tcp } => ProbeKind::Dns(DnsProbe {
                port,
                name: name.parse().ok()?,
                rtype: RecordType(rtype),
                rcodes: rcodes.into_iter().map(Rcode).collect(),
                answer_required,
                tcp,
            }),
            Self::File { path, shares } => ProbeKind::File { path, shares },
            Self::Icmp => ProbeKind::Icmp,
            Self::Journey { trust, port, host, steps } => ProbeKind::Journey(Journey {
                tls: trust.map(Trust::believed),
                port,
                host,
                steps: journey::believed(steps)?,
            }),
            Self::Unknown => return None,
        })
    }
}

impl Trust {
    fn of(trust: &TlsTrust) -> Self {
        match trust {
            TlsTrust::System => Self::System,
            TlsTrust::File(path) => Self::File(path.clone()),
            TlsTrust::Anything => Self::Anything,
        }
    }

    fn believed(self) -> TlsTrust {
        match self {
            Self::System => TlsTrust::System,
            Self::File(path) => TlsTrust::File(path),
            Self::Anything => TlsTrust::Anything,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// FNV-1a (Fowler, Noll, Vo) of 64 bits. Nobody gains by a collision: who names targets may probe them anyway.
fn hash(state: u64, octets: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    octets.iter().fold(state, |state, octet| (state ^ u64::from(*octet)).wrapping_mul(PRIME))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// Spreads the hash over all its bits (the finalizer of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl fmt::Debug for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Sixteen hexadecimal digits: numbers of JSON are not exact that far.
impl Serialize for TargetName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'d> Deserialize<'d> for TargetName {
    fn deserialize<D: serde::Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = text.len() == 16 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| plain);
        number.map(Self).ok_or_else(|| serde::de::Error::custom("a name has sixteen hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::config::journey::{Find, Method, Step};
    use crate::ids::ProbeId;

    fn probe(kind: ProbeKind) -> Probe {
        Probe {
            name: "web".to_owned(),
            kind,
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(800),
            watch: true,
            thresholds: Thresholds::default(),
        }
    }

    fn target(address: &str, probe: u16) -> Target {
        Target {
            address: address.parse().unwrap(),
            probe: ProbeId(probe),
            key: "eu/www/192.0.2.1".to_owned(),
        }
    }

    fn every_kind() -> Vec<ProbeKind> {
        let http = |tls| HttpProbe {
            tls,
            port: 443,
            path: "/healthz".to_owned(),
            host: Some("www.example.com".to_owned()),
            status: vec![200, 204],
            body_contains: None,
        };
        vec![
            ProbeKind::Http(http(None)),
            ProbeKind::Http(http(Some(TlsTrust::File("ca.pem".into())))),
            ProbeKind::Tcp { port: 25 },
            ProbeKind::Tls(TlsProbe { port: 465, server_name: None, trust: TlsTrust::Anything }),
            ProbeKind::Dns(DnsProbe {
                port: 53,
                name: "example.com".parse().unwrap(),
                rtype: RecordType::SOA,
                rcodes: vec![Rcode::NOERROR],
                answer_required: true,
                tcp: false,
            }),
            ProbeKind::File { path: "health.state".into(), shares: true },
            ProbeKind::Icmp,
            ProbeKind::Journey(Journey {
                tls: Some(TlsTrust::System),
                port: 443,
                host: None,
                steps: vec![Step {
                    method: Method::Post,
                    path: "/login".to_owned(),
                    headers: vec![("Accept".to_owned(), "*/*".to_owned())],
                    body: Some("{}".to_owned()),
                    status: vec![200],
                    body_contains: None,
                    header_contains: Vec::new(),
                    save: vec![
                        ("a".to_owned(), Find::Json("/a".to_owned())),
                        ("b".to_owned(), Find::Between("<".to_owned(), ">".to_owned())),
                    ],
                }],
            }),
        ]
    }

    #[test]
    fn every_kind_of_probe_travels_whole() {
        for kind in every_kind() {
            let whole = probe(kind);
            let order = Order::Probe(Assignment::new(from_ref(&whole), &[target("192.0.2.1:80", 0)], &[]));
            let Order::Probe(read) = serde_json::from_slice(&order.line()).unwrap() else { panic!() };
            let believed = read.probes[0].believed().unwrap();
            assert_eq!(believed, Probe { name: String::new(), ..whole });
        }
    }

    #[test]
    fn a_name_tells_apart_what_is_probed_and_nothing_else() {
        let names = |probes: &[Probe], targets: &[Target]| -> Vec<TargetName> {
            Assignment::new(probes, targets, &[]).targets.iter().map(|target| target.name).collect()
        };
        let tcp = probe(ProbeKind::Tcp { port: 80 });
        let renamed = Probe { name: "other".to_owned(), ..tcp.clone() };
        let slower = Probe { interval: Duration::from_secs(2), ..tcp.clone() };
        let here = target("192.0.2.1:80", 0);
        let elsewhere = Target { key: "us/www/192.0.2.1".to_owned(), ..here.clone() };
        let name = names(from_ref(&tcp), from_ref(&here));
        assert_eq!(
            name,
            names(&[renamed], from_ref(&elsewhere)),
            "a probe's name and the key are no part of it"
        );
        assert_ne!(name, names(&[slower], from_ref(&here)));
        assert_ne!(name, names(&[tcp], &[target("192.0.2.2:80", 0)]));
        let file = probe(ProbeKind::File { path: "health.state".into(), shares: true });
        assert_ne!(names(from_ref(&file), &[here]), names(&[file], &[elsewhere]), "a state file has keys");
    }

    #[test]
    fn names_do_not_change_from_version_to_version() {
        let tcp = probe(ProbeKind::Tcp { port: 80 });
        let assignment = Assignment::new(&[tcp], &[target("192.0.2.1:80", 0)], &[]);
        assert_eq!(format!("{:?}", assignment.targets[0].name), NAME);
    }

    /// Were it to change, agents and servers of two versions would not know each other's targets.
    const NAME: &str = "3318680140870d9e";

    #[test]
    fn what_a_later_version_says_is_passed_over() {
        assert_eq!(
            serde_json::from_str::<Order>(r#"{"order":"sleep","long":true}"#).unwrap(),
            Order::Unknown
        );
        let line = r#"{"order":"probe","control-targets":[],"new":1,"targets":[],"probes":[
            {"interval-ms":1000,"timeout-ms":800,"watch":false,"fall":3,"what":{"kind":"sonar","size":64}}]}"#;
        let Order::Probe(read) = serde_json::from_str(line).unwrap() else { panic!() };
        assert_eq!(read.probes[0].believed(), None);
    }

    #[test]
    fn an_agent_is_not_made_to_storm() {
        let mut hasty = OrderedProbe::of(&probe(ProbeKind::Tcp { port: 80 }));
        (hasty.interval_ms, hasty.fall) = (0, 0);
        let believed = hasty.believed().unwrap();
        assert_eq!((believed.interval, believed.thresholds.fall), (INTERVAL_MIN, 1));
    }

    #[test]
    fn a_name_is_sixteen_digits() {
        let name = TargetName(u64::MAX - 1);
        let text = serde_json::to_string(&name).unwrap();
        assert_eq!(text, "\"fffffffffffffffe\"");
        assert_eq!(serde_json::from_str::<TargetName>(&text).unwrap(), name);
        for odd in ["\"1\"", "\"+123456789abcdef\"", "\"zzzzzzzzzzzzzzzz\""] {
            assert!(serde_json::from_str::<TargetName>(odd).is_err(), "{odd}");
        }
    }
}
