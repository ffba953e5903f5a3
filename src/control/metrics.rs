//! What Prometheus is told. Workers count for themselves; their numbers are summed when somebody asks. Verdicts and
//! tables are told as they change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::state::{Refused, State};
use crate::answer::compile::CounterKey;
use crate::answer::count::{Counter, Registry};
use crate::answer::respond::Transport;
use crate::exchange::identity::Identity;
use crate::health::board::Refusal;
use crate::health::outcome::Report;
use crate::health::verdict::State as Verdict;
use crate::ids::{ServiceId, VantageId};
use crate::time::WallTime;
use crate::wire::code::Rcode;

/// All numbers of one server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// The workers' numbers, once there are workers.
    registry: OnceLock<Arc<Registry>>,
    /// TCP connections by what became of them, once there are listeners.
    connections: OnceLock<Box<CountByName>>,
    seen: Mutex<Seen>,
}

/// Asks for counts, each with its name.
type CountByName = dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync;

/// What is remembered between two events.
#[derive(Debug, Default)]
struct Seen {
    /// What the counters of steered answers count.
    answers: Vec<CounterKey>,
    /// The newest outcome of each target that each agent told of, so that each is told once.
    newest: HashMap<(VantageId, u32), Vec<u64>>,
    /// The endpoints told last, so that those that are gone are set to nothing.
    verdicts: Vec<Vec<Label>>,
}

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
const STATES: [Verdict; 5] =
    [Verdict::Unknown, Verdict::Up, Verdict::Suspect, Verdict::Down, Verdict::Recovering];

impl Default for Metrics {
    fn default() -> Self {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the bounds are a list that is not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self {
            recorder,
            handle,
            registry: OnceLock::new(),
            connections: OnceLock::new(),
            seen: Mutex::default(),
        }
    }
}

impl Metrics {
    /// From now on the workers' numbers are told too.
    pub fn of_workers(
        &self,
        registry: Arc<Registry>,
        connections: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) {
        let _ = self.registry.set(registry);
        let _ = self.connections.set(Box::new(connections));
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || self.sum_workers());
        self.handle.run_upkeep();
        self.handle.render()
    }

    fn sum_workers(&self) {
        let Some(registry) = self.registry.get() else { return };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = vec![0; seen.answers.len()];
        let mut sums: HashMap<(&'static str, &'static str, String), u64> = HashMap::new();
        for (transport, counters) in registry.counters() {
            let transport = match transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            };
            let mut add = |name, label: String, counter: &Counter| {
                *sums.entry((name, transport, label)).or_default() += counter.get();
            };
            add("rhumb_queries_total", String::new(), &counters.received);
            add("rhumb_ignored_total", String::new(), &counters.ignored);
            add("rhumb_truncated_total", String::new(), &counters.truncated);
            add("rhumb_send_failed_total", String::new(), &counters.send_failed);
            add("rhumb_client_subnet_queries_total", String::new(), &counters.client_subnet);
            for (rcode, counter) in counters.replies.iter().enumerate() {
                if counter.get() > 0 {
                    add("rhumb_replies_total", Rcode(rcode as u16).to_string(), counter);
                }
            }
            for (sum, counter) in answers.iter_mut().zip(&counters.answers) {
                *sum += counter.get();
            }
        }
        for ((name, transport, rcode), sum) in sums {
            if rcode.is_empty() {
                counter!(name, "transport" => transport).absolute(sum);
            } else {
                counter!(name, "transport" => transport, "rcode" => rcode).absolute(sum);
            }
        }
        for (key, sum) in seen.answers.iter().zip(answers).filter(|(_, sum)| *sum > 0) {
            let region = key.region.clone().unwrap_or_default();
            counter!(
                "rhumb_answers_total",
                "service" => key.service.clone(), "region" => region, "reason" => key.reason.clone()
            )
            .absolute(sum);
        }
        for (what, count) in self.connections.get().map(|connections| connections()).unwrap_or_default() {
            gauge!("rhumb_tcp_connections", "what" => what).set(count as f64);
        }
    }

    /// Tells the state anew.
    pub(super) fn follow(&self, state: &State) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!("rhumb_generation").set(state.table().generation() as f64);
            gauge!("rhumb_configuration").set(state.number() as f64);
            self.tell_verdicts(state);
            tell_services(state);
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answers = state.counters().keys().to_vec();
    }

    fn tell_verdicts(&self, state: &State) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for labels in std::mem::take(&mut seen.verdicts) {
            gauge!("rhumb_verdict", labels).set(0.0);
        }
        let config = &state.generation().config;
        for service in &config.services {
            for region in &service.regions {
                for endpoint in &region.endpoints {
                    let believed = state.board().standing(endpoint.id).state;
                    for verdict in STATES {
                        let labels = vec![
                            Label::new("service", service.name.clone()),
                            Label::new("region", config.regions[region.region.index()].name.clone()),
                            Label::new("address", endpoint.address.to_string()),
                            Label::from_static_parts("state", verdict.as_str()),
                        ];
                        gauge!("rhumb_verdict", labels.clone()).set(f64::from(u8::from(verdict == believed)));
                        seen.verdicts.push(labels);
                    }
                }
            }
        }
    }

    /// Takes the latencies of outcomes that are new in a report.
    pub(super) fn report(&self, report: &Report, state: &State) {
        let config = &state.generation().config;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = seen.newest.entry((report.vantage, report.agent)).or_default();
        newest.resize(config.targets.len(), 0);
        metrics::with_local_recorder(&self.recorder, || {
            let vantage = state.generation().board.vantages.get(report.vantage.index());
            let vantage = vantage.map(|vantage| vantage.name.clone()).unwrap_or_default();
            counter!("rhumb_reports_total", "vantage" => vantage, "agent" => report.agent.to_string())
                .increment(1);
            for entry in &report.targets {
                let Some(target) = config.targets.get(entry.target.index()) else { continue };
                let newest = &mut newest[entry.target.index()];
                let fresh = entry.newest.saturating_sub(*newest).min(entry.outcomes.len() as u64) as usize;
                *newest = entry.newest;
                let probe = &config.probes[target.probe.index()].name;
                for outcome in &entry.outcomes[entry.outcomes.len() - fresh..] {
                    let result = if outcome.result.is_ok() { "pass" } else { "fail" };
                    histogram!("rhumb_probe_seconds", "probe" => probe.clone(), "result" => result)
                        .record(outcome.latency.as_secs_f64());
                }
            }
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

    pub(super) fn reloaded(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        metrics::with_local_recorder(&self.recorder, || {
            counter!("rhumb_reloads_total", "result" => result).increment(1);
        });
    }
}

/// Alarms and TTLs of every service.
fn tell_services(state: &State) {
    for (index, service) in state.generation().config.services.iter().enumerate() {
        let steering = state.table().service(ServiceId::from_index(index));
        gauge!("rhumb_all_down", "service" => service.name.clone())
            .set(f64::from(u8::from(steering.all_down)));
        let shortest = steering.variants.iter().filter_map(|variant| variant.ttl()).min();
        gauge!("rhumb_ttl_seconds", "service" => service.name.clone()).set(f64::from(shortest.unwrap_or(0)));
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
