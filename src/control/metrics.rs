//! What Prometheus is told. Events are counted as they happen. What is so at the moment (verdicts, alarms, TTLs, the
//! workers' counters) is written when somebody asks, from what the control task left here: a change of verdict costs
//! the task no more with ten thousand services than with ten, and what is gone from the configuration is gone from
//! the page.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{collections::BTreeMap, collections::HashMap, fmt};

use metrics::{Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::events::Events;
use super::http::Shown;
use super::page::Current;
use super::state::{Refused, State};
use crate::answer::compile::CounterKey;
use crate::answer::count::{Counter, Counters, Registry};
use crate::answer::respond::Transport;
use crate::config::Config;
use crate::config::generation::OWN_VANTAGE;
use crate::exchange::identity::Identity;
use crate::exposition::Page;
use crate::health::board::{AGENTS_MAX, Refusal};
use crate::health::outcome::Report;
use crate::ids::VantageId;
use crate::name::Name;
use crate::time::WallTime;
use crate::wire::code::Rcode;

/// All numbers of one server.
pub struct Metrics {
    recorder: Events,
    /// The workers' numbers, once there are workers.
    registry: OnceLock<Arc<Registry>>,
    /// Connections by what became of them, once there are listeners.
    connections: OnceLock<Box<CountByName>>,
    /// What is so at the moment; none before there is a state.
    current: Mutex<Option<Arc<Current>>>,
    /// What the counters of steered answers count. They only become more.
    answers: Mutex<Vec<CounterKey>>,
    /// The number of the newest outcome of each target that each agent told of, so that each is told once.
    newest: Mutex<HashMap<(VantageId, u32), Vec<u64>>>,
    /// The latencies of each probe of the configuration in force, of those that failed and those that passed: found
    /// by name a million times a second they would cost more than all the rest of a report.
    latencies: Mutex<Vec<[Histogram; 2]>>,
}

/// Asks for counts, each with its transport and its name.
type CountByName = dyn Fn() -> Vec<(Transport, &'static str, u64)> + Send + Sync;

/// A name, its meaning, and which counter of each worker is summed.
type Summed = (&'static str, &'static str, fn(&Counters) -> &Counter);

/// What cookies are worth, in the order in which they are counted.
const COOKIES: [&str; 3] = ["client-only", "valid", "invalid"];

impl Default for Metrics {
    fn default() -> Self {
        let recorder = Events::default();
        metrics::with_local_recorder(&recorder, describe_events);
        Self {
            recorder,
            registry: OnceLock::new(),
            connections: OnceLock::new(),
            current: Mutex::default(),
            answers: Mutex::default(),
            newest: Mutex::default(),
            latencies: Mutex::default(),
        }
    }
}

fn describe_events() {
    describe_histogram!("rhumb_probe_seconds", "How long probes took, by probe and result.");
    describe_histogram!("rhumb_table_build_seconds", "How long it took to build and publish answer tables.");
    describe_counter!(
        "rhumb_reports_missed_total",
        "Reports of agents that came faster than they were read."
    );
    describe_counter!("rhumb_reports_refused_total", "Reports of agents that were not taken, by reason.");
    describe_counter!("rhumb_reports_total", "Reports that were taken, by vantage and agent.");
    describe_counter!(
        "rhumb_report_targets_unknown_total",
        "Targets in reports that the configuration in force does not have."
    );
    describe_counter!("rhumb_outcomes_late_total", "Outcomes that were too old to count when they came.");
    describe_counter!("rhumb_agents_refused_total", "Agents' connections refused or cut off, by reason.");
    describe_gauge!(
        "rhumb_certificate_expiry_timestamp_seconds",
        "When the certificate shown to agents ends."
    );
    describe_gauge!(
        "rhumb_tls_certificate_expiry_timestamp_seconds",
        "When the certificate shown to clients of encrypted transports ends."
    );
    describe_gauge!(
        "rhumb_agent_certificate_expiry_timestamp_seconds",
        "When the certificate of an agent ends."
    );
    describe_gauge!("rhumb_signing_failed", "1 while a zone that is due cannot be signed anew.");
    describe_counter!("rhumb_reloads_total", "Reloads, by result.");
    describe_counter!("rhumb_verdict_writes_failed_total", "Failures to write the last verdicts to disk.");
}

impl Metrics {
    /// From now on the workers' numbers are told too.
    pub fn of_workers(
        &self,
        registry: Arc<Registry>,
        connections: impl Fn() -> Vec<(Transport, &'static str, u64)> + Send + Sync + 'static,
    ) {
        let _ = self.registry.set(registry);
        let _ = self.connections.set(Box::new(connections));
    }

    /// Whether there are workers, that is, whether queries are answered.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.registry.get().is_some()
    }

    /// What is shown by HTTP. A server serves once queries are answered, not yet during the first round of probes.
    #[must_use]
    pub fn shown(self: &Arc<Self>) -> Shown {
        let (page, is_serving) = (Arc::clone(self), Arc::clone(self));
        Shown {
            page: Box::new(move || page.render()),
            is_serving: Box::new(move || is_serving.is_answering()),
        }
    }

    /// Everything in Prometheus' text format. Takes milliseconds per thousand services; not for a task that others
    /// wait for.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = Page::default();
        self.recorder.tell(&mut page);
        let current = lock(&self.current).clone();
        if let Some(current) = current {
            current.tell(&mut page);
        }
        if let Some(registry) = self.registry.get() {
            self.tell_workers(registry, &mut page);
        }
        if let Some(connections) = self.connections.get() {
            let name = "rhumb_connections";
            page.family(name, "gauge", "Connections, open now or by what became of them.");
            for (transport, what, count) in connections() {
                page.sample(name, &[("transport", transport_name(transport)), ("what", what)], count);
            }
        }
        page.0
    }

    fn tell_workers(&self, registry: &Registry, page: &mut Page) {
        let all = registry.counters();
        let families: [Summed; 7] = [
            ("rhumb_queries_total", "Messages taken from the sockets.", |counters| &counters.received),
            ("rhumb_ignored_total", "Messages that deserve no reply.", |counters| &counters.ignored),
            ("rhumb_truncated_total", "Replies with TC set.", |counters| &counters.truncated),
            ("rhumb_send_failed_total", "Replies that the socket did not take.", |counters| {
                &counters.send_failed
            }),
            ("rhumb_client_subnet_queries_total", "Queries with a client subnet option.", |counters| {
                &counters.client_subnet
            }),
            ("rhumb_rate_limited_total", "Replies not sent since their network had its share.", |counters| {
                &counters.rate_limited
            }),
            ("rhumb_slipped_total", "Truncated replies sent in place of limited ones.", |counters| {
                &counters.slipped
            }),
        ];
        for (name, help, of) in families {
            page.family(name, "counter", help);
            for transport in Transport::ALL {
                let of_transport = all.iter().filter(|(known, _)| *known == transport);
                let sum: u64 = of_transport.map(|(_, counters)| of(counters).get()).sum();
                page.sample(name, &[("transport", transport_name(transport))], sum);
            }
        }
        page.family("rhumb_cookies_total", "counter", "Queries with a cookie, by what it was worth.");
        for (at, worth) in COOKIES.into_iter().enumerate() {
            let sum: u64 = all.iter().map(|(_, counters)| counters.cookies[at].get()).sum();
            page.sample("rhumb_cookies_total", &[("cookie", worth)], sum);
        }
        let mut replies: BTreeMap<(&str, usize), u64> = BTreeMap::new();
        for (transport, counters) in &all {
            for (rcode, counter) in counters.replies.iter().enumerate().filter(|(_, count)| count.get() > 0) {
                *replies.entry((transport_name(*transport), rcode)).or_default() += counter.get();
            }
        }
        page.family("rhumb_replies_total", "counter", "Replies by response code.");
        for ((transport, rcode), sum) in replies {
            // There are a few dozen of them.
            let rcode = Rcode(rcode as u16).to_string();
            page.sample("rhumb_replies_total", &[("transport", transport), ("rcode", &rcode)], sum);
        }
        page.family("rhumb_answers_total", "counter", "Steered answers, by why they were what they were.");
        for (number, key) in lock(&self.answers).iter().enumerate() {
            let counted = all.iter().filter_map(|(_, counters)| counters.answers.get(number));
            let sum: u64 = counted.map(Counter::get).sum();
            if sum > 0 {
                let (region, reason) = (key.region.as_deref().unwrap_or_default(), key.special.to_string());
                let labels = [("service", &*key.service), ("region", region), ("reason", &reason)];
                page.sample("rhumb_answers_total", &labels, sum);
            }
        }
    }

    /// Takes note of what is so now.
    pub(super) fn follow(&self, state: &State) {
        let replaced = lock(&self.current).replace(Arc::new(Current::of(state)));
        drop(replaced);
        let mut answers = lock(&self.answers);
        let told = answers.len();
        answers.extend_from_slice(&state.counters().keys()[told..]);
    }

    /// The targets are those of another configuration: what was told of those that persist is not told again.
    pub(super) fn renumber_targets(&self, old: &Config, new: &Config) {
        lock(&self.latencies).clear();
        for newest in lock(&self.newest).values_mut() {
            let known: HashMap<_, u64> = identities(old).zip(newest.iter().copied()).collect();
            let persisting = identities(new).map(|identity| known.get(&identity).copied());
            *newest = persisting.map(Option::unwrap_or_default).collect();
        }
    }

    /// Takes the latencies of outcomes that are new in a report on the targets of this configuration.
    pub(super) fn report(&self, report: &Report, config: &Config) {
        let mut newest = lock(&self.newest);
        let agent = (report.vantage, report.agent);
        // Agents that are gone stay until there is no room; then a few latencies may be told twice.
        if newest.len() >= AGENTS_MAX && !newest.contains_key(&agent) {
            newest.clear();
        }
        let newest = newest.entry(agent).or_default();
        newest.resize(config.targets.len(), 0);
        metrics::with_local_recorder(&self.recorder, || {
            let vantage = config.vantages.get(report.vantage.index());
            let vantage = vantage.map_or(OWN_VANTAGE, |vantage| &vantage.name).to_owned();
            counter!("rhumb_reports_total", "vantage" => vantage, "agent" => report.agent.to_string())
                .increment(1);
            let mut latencies = lock(&self.latencies);
            if latencies.is_empty() {
                latencies.extend(config.probes.iter().map(|probe| {
                    ["fail", "pass"].map(|result| {
                        histogram!("rhumb_probe_seconds", "probe" => probe.name.clone(), "result" => result)
                    })
                }));
            }
            for entry in &report.targets {
                let Some(target) = config.targets.get(entry.target.index()) else { continue };
                let told = &mut newest[entry.target.index()];
                let fresh = entry.newest.saturating_sub(*told).min(entry.outcomes.len() as u64) as usize;
                *told = entry.newest;
                let latencies = &latencies[target.probe.index()];
                for outcome in &entry.outcomes[entry.outcomes.len() - fresh..] {
                    latencies[usize::from(outcome.result.is_ok())].record(outcome.latency.as_secs_f64());
                }
            }
        });
    }

    pub(super) fn write_failed(&self) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_verdict_writes_failed_total").increment(1);
        });
    }

    pub(super) fn missed_reports(&self, count: u64) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_reports_missed_total").increment(count)
        });
    }

    pub(super) fn refused(&self, refused: Refused) {
        let reason = match refused {
            Refused::OtherGeneration => "other-generation",
            Refused::Board(Refusal::UnknownVantage) => "unknown-vantage",
            Refused::Board(Refusal::OldNumber { .. }) => "old-number",
            Refused::Board(Refusal::FormerBoot) => "former-boot",
            Refused::Board(Refusal::TooManyAgents) => "too-many-agents",
        };
        self.refused_report(reason);
    }

    /// A report was refused.
    pub(super) fn refused_report(&self, reason: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_reports_refused_total", "reason" => reason).increment(1);
        });
    }

    /// An agent's connection, or its wish for orders, was refused.
    pub(super) fn refused_agent(&self, reason: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_agents_refused_total", "reason" => reason).increment(1);
        });
    }

    /// So many targets of a report are not known here.
    pub(super) fn unknown_targets(&self, count: u32) {
        if count > 0 {
            metrics::with_local_recorder(&self.recorder, || {
                counter!("rhumb_report_targets_unknown_total").increment(count.into());
            });
        }
    }

    /// So many outcomes were too old to count when they came.
    pub(super) fn late_outcomes(&self, count: u32) {
        if count > 0 {
            metrics::with_local_recorder(&self.recorder, || {
                counter!("rhumb_outcomes_late_total").increment(count.into());
            });
        }
    }

    /// When the certificate that agents are shown ends.
    pub(super) fn own_certificate(&self, expires: WallTime) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!("rhumb_certificate_expiry_timestamp_seconds").set(expires.0 as f64 / 1000.0);
        });
    }

    /// When the certificate that clients of encrypted transports are shown ends.
    pub fn public_certificate(&self, expires: WallTime) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!("rhumb_tls_certificate_expiry_timestamp_seconds").set(expires.0 as f64 / 1000.0);
        });
    }

    /// When the certificate of an agent ends.
    pub(super) fn agent_certificate(&self, agent: &Identity, expires: WallTime) {
        metrics::with_local_recorder(&self.recorder, || {
            let (vantage, agent) = (agent.vantage.clone(), agent.agent.to_string());
            gauge!("rhumb_agent_certificate_expiry_timestamp_seconds", "vantage" => vantage, "agent" => agent)
                .set(expires.0 as f64 / 1000.0);
        });
    }

    /// A table took so long to be built.
    pub(super) fn built(&self, took: std::time::Duration) {
        metrics::with_local_recorder(&self.recorder, || {
            histogram!("rhumb_table_build_seconds").record(took.as_secs_f64());
        });
    }

    /// Whether a zone that is due could not be signed anew.
    pub(super) fn signing_failed(&self, zone: &Name, failed: bool) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!("rhumb_signing_failed", "zone" => zone.to_string()).set(if failed { 1.0 } else { 0.0 });
        });
    }

    pub(super) fn reloaded(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_reloads_total", "result" => result).increment(1);
        });
    }
}

/// What makes a target the same target in two configurations.
fn identities(config: &Config) -> impl Iterator<Item = (std::net::SocketAddr, &str, &str)> {
    config.targets.iter().map(|target| {
        (target.address, config.probes[target.probe.index()].name.as_str(), target.key.as_str())
    })
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Https => "https",
        Transport::Quic => "quic",
    }
}

/// Nothing under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
