//! What an agent process counts, as a page for Prometheus. Nothing is decided by it and nothing is ordered by it, so
//! every access is relaxed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::illness::{Illness, STRETCH};
use crate::config::agent::AgentConfig;
use crate::exposition::Page;
use crate::health::outcome::Failure;
use crate::time::{Moment, WallTime};

/// What an agent process counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By the position in [`OUTCOMES`].
    probes: [AtomicU64; OUTCOMES.len()],
    /// In the order of the configuration.
    servers: Vec<OfServer>,
    /// How many targets are probed.
    targets: AtomicU64,
    /// When the agent's certificate ends, in milliseconds of wall time.
    expires: AtomicU64,
    illness: Arc<Illness>,
}

/// What is counted of one server.
#[derive(Debug)]
struct OfServer {
    name: String,
    /// By the position in [`SENT`].
    reports: [AtomicU64; SENT.len()],
    /// When it last gave an order, be it to wait; zero before the first.
    heard_at: AtomicU64,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The server took it.
    Taken,
    /// The server was reached and did not.
    Refused,
    /// Nothing was heard in time.
    TimedOut,
    /// There was no connection.
    Failed,
}

/// Words for what became of reports, in the order of [`Sent`].
const SENT: [&str; 4] = ["taken", "refused", "timed-out", "failed"];
/// Words for what became of probes; the last one is that of probes which learned nothing.
const OUTCOMES: [&str; 12] = [
    "pass",
    "timed-out",
    "refused",
    "reset",
    "body",
    "status",
    "unreachable",
    "tls",
    "dns",
    "file",
    "other",
    "nothing",
];

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(config: &AgentConfig) -> Self {
        let of = |name: &String| OfServer {
            name: name.clone(),
            reports: Default::default(),
            heard_at: AtomicU64::default(),
        };
        Self { servers: config.servers.iter().map(|server| of(&server.name)).collect(), ..Self::default() }
    }

    /// What the agent knows of its own illness, which is told here too.
    #[must_use]
    pub fn illness(&self) -> &Arc<Illness> {
        &self.illness
    }

    /// A probe came back; `None` where it learned nothing.
    pub fn probed(&self, result: Option<&Result<(), Failure>>) {
        self.probes[position_of(result)].fetch_add(1, Ordering::Relaxed);
    }

    /// So many targets are probed from now on.
    pub fn probes(&self, targets: usize) {
        self.targets.store(targets as u64, Ordering::Relaxed);
    }

    /// A report to a server came to this.
    pub fn reported(&self, server: usize, sent: Sent) {
        self.servers[server].reports[sent as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A server gave an order, be it to wait.
    pub fn heard(&self, server: usize, now: Moment) {
        self.servers[server].heard_at.store(now.0.max(1), Ordering::Relaxed);
    }

    /// The agent's certificate ends then.
    pub fn certificate(&self, expires: WallTime) {
        self.expires.store(expires.0, Ordering::Relaxed);
    }

    /// Whether any server gave orders since the start.
    #[must_use]
    pub fn has_orders(&self) -> bool {
        self.servers.iter().any(|server| server.heard_at.load(Ordering::Relaxed) > 0)
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self, now: Moment) -> String {
        let mut page = Page::default();
        let name = "rhumb_agent_probes_total";
        page.family(name, "counter", "Probes that came back, by outcome.");
        for (outcome, count) in OUTCOMES.iter().zip(&self.probes) {
            page.sample(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
        let name = "rhumb_agent_targets";
        page.family(name, "gauge", "Targets that are probed.");
        page.sample(name, &[], self.targets.load(Ordering::Relaxed));
        self.tell_servers(&mut page, now);
        self.tell_illness(&mut page, now);
        let name = "rhumb_certificate_expiry_timestamp_seconds";
        page.family(name, "gauge", "When the certificate that servers are shown ends.");
        page.sample(name, &[], self.expires.load(Ordering::Relaxed) / 1000);
        page.0
    }

    fn tell_servers(&self, page: &mut Page, now: Moment) {
        let name = "rhumb_agent_reports_total";
        page.family(name, "counter", "Reports to a server, by what became of them.");
        for server in &self.servers {
            for (result, count) in SENT.iter().zip(&server.reports) {
                let labels = [("server", server.name.as_str()), ("result", result)];
                page.sample(name, &labels, count.load(Ordering::Relaxed));
            }
        }
        let name = "rhumb_agent_orders_age_seconds";
        page.family(
            name,
            "gauge",
            "For how long a server has not been heard; no series before its first word.",
        );
        for server in &self.servers {
            let heard_at = Moment(server.heard_at.load(Ordering::Relaxed));
            if heard_at > Moment::START {
                page.sample(name, &[("server", &server.name)], now.since(heard_at).as_secs_f64());
            }
        }
    }

    fn tell_illness(&self, page: &mut Page, now: Moment) {
        let name = "rhumb_agent_ill";
        page.family(name, "gauge", "1 while the agent is ill in this way, and its vote is void.");
        for (how, is_so) in [
            ("lagging", self.illness.is_lagging(now)),
            ("blind", self.illness.is_blind()),
            ("lossy-link", self.illness.has_lossy_link()),
        ] {
            page.sample(name, &[("how", how)], u8::from(is_so));
        }
        let name = "rhumb_agent_timeout_stretch";
        page.family(name, "gauge", "How many times as long as configured probes wait, up to their interval.");
        page.sample(name, &[], if self.illness.is_ill(now) { STRETCH } else { 1 });
    }
}

fn position_of(result: Option<&Result<(), Failure>>) -> usize {
    let word = match result {
        None => "nothing",
        Some(Ok(())) => "pass",
        Some(Err(failure)) => match failure {
            Failure::TimedOut => "timed-out",
            Failure::Refused => "refused",
            Failure::Reset => "reset",
            Failure::Body => "body",
            Failure::Status(_) => "status",
            Failure::Unreachable(_) => "unreachable",
            Failure::Tls(_) => "tls",
            Failure::Dns(_) => "dns",
            Failure::File(_) => "file",
            Failure::Other(_) => "other",
        },
    };
    OUTCOMES.iter().position(|outcome| *outcome == word).expect("every outcome has its word")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn metrics() -> Metrics {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/agent.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let (config, _) = crate::config::agent::parse(&text, "agent.toml").unwrap();
        Metrics::new(&config)
    }

    fn tells(metrics: &Metrics, now: Moment, line: &str) -> bool {
        metrics.render(now).lines().any(|told| told == line)
    }

    #[test]
    fn every_outcome_is_counted_under_its_own_word() {
        let metrics = metrics();
        let text = String::new;
        let results = [
            Ok(()),
            Err(Failure::TimedOut),
            Err(Failure::Refused),
            Err(Failure::Reset),
            Err(Failure::Body),
            Err(Failure::Status(503)),
            Err(Failure::Unreachable(text())),
            Err(Failure::Tls(text())),
            Err(Failure::Dns(text())),
            Err(Failure::File(text())),
            Err(Failure::Other(text())),
        ];
        results.iter().for_each(|result| metrics.probed(Some(result)));
        metrics.probed(None);
        for outcome in OUTCOMES {
            let line = format!("rhumb_agent_probes_total{{outcome=\"{outcome}\"}} 1");
            assert!(tells(&metrics, at(0), &line), "{outcome}");
        }
    }

    #[test]
    fn a_server_that_falls_silent_shows_by_the_age_of_its_orders() {
        let metrics = metrics();
        assert!(!metrics.has_orders() && !metrics.render(at(5_000)).contains("orders_age_seconds{"));
        metrics.heard(0, at(5_000));
        assert!(metrics.has_orders());
        assert!(tells(&metrics, at(7_500), "rhumb_agent_orders_age_seconds{server=\"ns1\"} 2.5"));
    }

    #[test]
    fn what_became_of_reports_is_told_by_server() {
        let metrics = metrics();
        metrics.reported(0, Sent::Taken);
        metrics.reported(0, Sent::Failed);
        metrics.reported(0, Sent::Failed);
        for (result, count) in [("taken", 1), ("refused", 0), ("timed-out", 0), ("failed", 2)] {
            let line = format!("rhumb_agent_reports_total{{server=\"ns1\",result=\"{result}\"}} {count}");
            assert!(tells(&metrics, at(0), &line), "{result}");
        }
    }

    #[test]
    fn illness_is_told_by_its_kind_with_the_stretch_that_it_brings() {
        let metrics = metrics();
        assert!(tells(&metrics, at(0), "rhumb_agent_timeout_stretch 1"));
        metrics.illness().sees(Some(false));
        assert!(tells(&metrics, at(0), "rhumb_agent_ill{how=\"blind\"} 1"));
        assert!(tells(&metrics, at(0), "rhumb_agent_ill{how=\"lagging\"} 0"));
        assert!(tells(&metrics, at(0), "rhumb_agent_timeout_stretch 2"));
    }
}
