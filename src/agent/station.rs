//! An agent as a process of its own: the prober, a link to each server, and what the agent knows of its own sight,
//! put together. It holds no policy: what it probes it is told, and what it may probe its operator says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::assemble::{Assembled, assemble};
use super::chance::Chance;
use super::link::{self, Outgoing};
use super::metrics::Metrics;
use super::record::Telling;
use super::run::{self, Recheck, Snapshot};
use super::sight::{self, ControlTarget};
use crate::clock;
use crate::config::agent::AgentConfig;
use crate::credentials::{self, AgentSide, Contents};
use crate::exchange::order::{Assignment, Order};

/// Orders that wait to be followed; links wait beyond.
const ORDERS_MAX: usize = 64;
/// Rechecks that wait for the prober; what is dropped is probed in its turn.
const RECHECKS_MAX: usize = 64;
/// Snapshots between the prober and the links; each is whole, so the oldest may go.
const SNAPSHOTS_MAX: usize = 4;
/// A certificate that ends sooner is warned of, at the start and every day.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs an agent until it is dropped. `side` was made ready from `contents`, `metrics` for `config`.
pub async fn run(config: AgentConfig, contents: Contents, side: AgentSide, metrics: Arc<Metrics>) {
    let mut chance = Chance::of_system();
    let mut tasks = JoinSet::new();
    let (side_sender, side) = watch::channel(Arc::new(side));
    let (heard_sender, mut heard) = mpsc::channel(ORDERS_MAX);
    let (outgoing, latest) = watch::channel(None);
    for (number, server) in config.servers.iter().enumerate() {
        let (latest, metrics) = (latest.clone(), Arc::clone(&metrics));
        let report = link::report(number, server.clone(), side.clone(), latest, metrics, chance.split());
        let listen = link::listen(number, server.clone(), side.clone(), heard_sender.clone(), chance.split());
        tasks.spawn(report);
        tasks.spawn(listen);
    }
    tasks.spawn(credentials::follow(config.files.clone(), contents, AgentSide::new, side_sender));
    tasks.spawn(tell_expiry(side, Arc::clone(&metrics)));

    let mut orders = Orders::new(&config);
    let (control_targets, wanted) = watch::channel(orders.control_targets());
    let (seen, control) = watch::channel(None);
    tasks.spawn(sight::watch(wanted, config.allow.clone(), seen));
    let (targets, of_prober) = watch::channel(Arc::clone(&orders.assembled.targets));
    let (rechecks, hurries) = mpsc::channel(RECHECKS_MAX);
    let (reports, mut snapshots) = broadcast::channel(SNAPSHOTS_MAX);
    tasks.spawn(run::run(of_prober, Telling::All, reports, hurries, Arc::clone(&metrics), chance.split()));
    loop {
        tokio::select! {
            order = heard.recv() => {
                let Some((server, order)) = order else { return };
                metrics.heard(server, clock::now());
                match order {
                    Order::Probe(assignment) => if orders.take(server, assignment, &config) {
                        targets.send_replace(Arc::clone(&orders.assembled.targets));
                        control_targets.send_replace(orders.control_targets());
                    },
                    Order::Recheck { targets } => {
                        let found = orders.assembled.find(&targets);
                        let recheck = Recheck { of: Arc::clone(&orders.assembled.targets), targets: found };
                        let _ = rechecks.try_send(recheck);
                    }
                    Order::Wait | Order::Unknown => {}
                }
            }
            snapshot = snapshots.recv() => match snapshot {
                Ok(snapshot) => {
                    let control = *control.borrow();
                    metrics.illness().sees(control);
                    orders.send(snapshot, control, &outgoing);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}

/// What the servers want, as far as they were heard.
struct Orders {
    /// By server; what a server wanted last holds while it is away.
    assignments: Vec<Assignment>,
    assembled: Assembled,
    own_control_targets: Vec<ControlTarget>,
}

impl Orders {
    fn new(config: &AgentConfig) -> Self {
        let own = config.control_targets.iter();
        Self {
            assignments: vec![Assignment::default(); config.servers.len()],
            assembled: assemble(std::iter::empty(), &config.allow),
            own_control_targets: own.map(|url| ControlTarget { url: url.clone(), foreign: false }).collect(),
        }
    }

    /// Takes what a server wants; whether anything is new.
    fn take(&mut self, server: usize, assignment: Assignment, config: &AgentConfig) -> bool {
        if self.assignments[server] == assignment {
            return false;
        }
        self.assignments[server] = assignment;
        self.assembled = assemble(self.assignments.iter(), &config.allow);
        let Assembled { names, forbidden, unknown, .. } = &self.assembled;
        let server = &config.servers[server].name;
        tracing::info!(server, targets = names.len(), "new orders");
        if *forbidden > 0 {
            tracing::warn!(forbidden, "targets that [allow] does not permit are not probed");
        }
        if *unknown > 0 {
            tracing::warn!(unknown, "targets are too many, or of a later version, and are not probed");
        }
        true
    }

    fn control_targets(&self) -> Vec<ControlTarget> {
        let mut all = self.own_control_targets.clone();
        for url in self.assignments.iter().flat_map(|assignment| &assignment.control_targets) {
            if all.iter().all(|known| known.url != *url) {
                all.push(ControlTarget { url: url.clone(), foreign: true });
            }
        }
        all
    }

    /// Makes a snapshot the newest, unless new orders overtook it.
    fn send(
        &self,
        snapshot: Arc<Snapshot>,
        control: Option<bool>,
        outgoing: &watch::Sender<Option<Outgoing>>,
    ) {
        if Arc::ptr_eq(&snapshot.targets, &self.assembled.targets) {
            let names = Arc::clone(&self.assembled.names);
            outgoing.send_replace(Some(Outgoing { snapshot, names, control }));
        }
    }
}

async fn tell_expiry(mut side: watch::Receiver<Arc<AgentSide>>, metrics: Arc<Metrics>) {
    loop {
        let expires = side.borrow_and_update().expires;
        metrics.certificate(expires);
        let left = expires.since(clock::wall());
        if left < EXPIRY_WARNING {
            tracing::warn!(days = left.as_secs() / DAY.as_secs(), "the agent's certificate ends soon");
        }
        tokio::select! {
            changed = side.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(DAY) => {}
        }
    }
}
