//! Whether this agent can see at all: it tries what it must reach to be believed, the control targets. They are
//! URLs, and of all probes only these look names up, since they are not on the way to anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::allow::permits_address;
use super::chance::Chance;
use super::probe::{Finding, Prober, Shared};
use crate::config::agent::Allow;
use crate::config::probe::{DnsProbe, HttpProbe, Probe, ProbeKind, Target, TlsTrust};
use crate::health::streak::Thresholds;
use crate::ids::ProbeId;
use crate::name::Name;
use crate::wire::code::{Rcode, RecordType};

/// A control target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlTarget {
    /// Where, and what is done there.
    pub url: String,
    /// A server named it, so the allow-list holds for it.
    pub foreign: bool,
}

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);
/// One packet that is lost does not make an agent blind.
const TRIES: u32 = 2;

/// Looks at the latest of `targets` each second, and says whether at least half of them are reached; `None` where
/// there is none. Ends when nobody asks.
pub async fn watch(
    mut targets: watch::Receiver<Vec<ControlTarget>>,
    allow: Allow,
    seen: watch::Sender<Option<bool>>,
) {
    let allow = Arc::new(allow);
    loop {
        let wanted = targets.borrow_and_update().clone();
        let mut looks = JoinSet::new();
        for target in wanted {
            looks.spawn(reaches(target, Arc::clone(&allow)));
        }
        let reached: Vec<bool> = looks.join_all().await.into_iter().flatten().collect();
        let passing = reached.iter().filter(|reached| **reached).count();
        let sees = (!reached.is_empty()).then_some(passing * 2 >= reached.len());
        seen.send_if_modified(|before| std::mem::replace(before, sees) != sees);
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            changed = targets.changed() => if changed.is_err() { return },
            () = seen.closed() => return,
        }
    }
}

/// Whether a control target is reached; nothing where it may not be tried.
async fn reaches(target: ControlTarget, allow: Arc<Allow>) -> Option<bool> {
    let kind = kind_of(&target.url)?;
    let url = Url::parse(&target.url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = kind.port().unwrap_or(0);
    for _ in 0..TRIES {
        let Some(address) = look_up(&host, port).await else { continue };
        if target.foreign && !permits_address(&allow, address) {
            return None;
        }
        if passes(address, kind.clone()).await {
            return Some(true);
        }
    }
    Some(false)
}

async fn look_up(host: &str, port: u16) -> Option<SocketAddr> {
    timeout(PROBE_TIMEOUT, lookup_host((host, port))).await.ok()?.ok()?.next()
}

async fn passes(address: SocketAddr, kind: ProbeKind) -> bool {
    let probe = Probe {
        name: String::new(),
        kind,
        interval: LOOK_EVERY,
        timeout: PROBE_TIMEOUT,
        watch: false,
        thresholds: Thresholds::default(),
    };
    let made = tokio::task::spawn_blocking(move || {
        let target = Target { address, probe: ProbeId(0), key: String::new() };
        Prober::new(&target, &probe, &mut Shared::default())
    });
    match made.await {
        // Only the lower bits are used, whichever.
        Ok(prober) => prober.probe(Chance::of_system().bits() as u16, false).await == Finding::Pass,
        Err(_) => false,
    }
}

/// What is done to reach a URL. Any answer at all shows that the agent sees; whose it is must be right.
fn kind_of(text: &str) -> Option<ProbeKind> {
    let url = Url::parse(text).ok()?;
    let http = |tls, port| {
        ProbeKind::Http(HttpProbe {
            tls,
            port: url.port().unwrap_or(port),
            path: url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path())),
            host: url.host_str().map(str::to_owned),
            status: (100..600).collect(),
            body_contains: None,
        })
    };
    Some(match url.scheme() {
        "http" => http(None, 80),
        "https" => http(Some(TlsTrust::System), 443),
        "tcp" => ProbeKind::Tcp { port: url.port()? },
        "dns" => ProbeKind::Dns(DnsProbe {
            port: url.port().unwrap_or(53),
            name: Name::root(),
            rtype: RecordType::NS,
            rcodes: (0..16).map(Rcode).collect(),
            answer_required: false,
            tcp: false,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::agent::testing::{AMPLE, Server, ok, refusing};

    async fn sees(urls: &[String], foreign: bool, allow: Allow) -> Option<bool> {
        let targets = urls.iter().map(|url| ControlTarget { url: url.clone(), foreign }).collect();
        let (_targets, receiver) = watch::channel(targets);
        let (sender, mut seen) = watch::channel(None);
        let task = tokio::spawn(super::watch(receiver, allow, sender));
        let _ = timeout(Duration::from_millis(700), seen.changed()).await;
        task.abort();
        *seen.borrow()
    }

    #[tokio::test]
    async fn half_of_the_control_targets_are_enough() {
        let server = Server::http(ok("")).await;
        let up = format!("http://{}/any", server.address);
        let (closed, _socket) = refusing();
        let down = format!("tcp://{closed}");
        assert_eq!(sees(from_ref(&up), false, Allow::default()).await, Some(true));
        assert_eq!(sees(&[up.clone(), down.clone()], false, Allow::default()).await, Some(true));
        assert_eq!(sees(from_ref(&down), false, Allow::default()).await, Some(false));
        assert_eq!(sees(&[up, down.clone(), down], false, Allow::default()).await, Some(false));
        assert!(AMPLE > LOOK_EVERY);
    }

    #[tokio::test]
    async fn what_servers_name_is_tried_only_where_it_is_permitted() {
        let (closed, _socket) = refusing();
        assert_eq!(sees(&[format!("tcp://{closed}")], true, Allow::default()).await, None);
    }

    #[test]
    fn each_scheme_has_its_probe() {
        assert!(
            matches!(kind_of("https://control.example.net/a?b"), Some(ProbeKind::Http(http)) if http.path == "/a?b" && http.port == 443)
        );
        assert_eq!(kind_of("tcp://192.0.2.1:443"), Some(ProbeKind::Tcp { port: 443 }));
        assert_eq!(kind_of("tcp://192.0.2.1"), None, "a port is wanted");
        assert!(matches!(kind_of("dns://192.0.2.1"), Some(ProbeKind::Dns(dns)) if dns.port == 53));
    }
}
