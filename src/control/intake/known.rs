//! What the configuration in force means to agents: which vantages there are, what the names of targets stand for,
//! and the line that tells an agent what to probe.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::watch;

use crate::config::Config;
use crate::control::run::InForce;
use crate::exchange::TARGETS_MAX;
use crate::exchange::order::{Assignment, Order, TargetName};
use crate::ids::{TargetId, VantageId};

/// What one configuration means to agents.
#[derive(Debug)]
pub(super) struct Known {
    /// Counts configurations.
    pub(super) number: u64,
    vantages: HashMap<String, VantageId>,
    /// The first order to an agent of each vantage; vantages with the same control targets share one.
    lines: Vec<Bytes>,
    names: Vec<TargetName>,
    targets: HashMap<TargetName, TargetId>,
}

impl Known {
    pub(super) fn new(number: u64, config: &Config) -> Self {
        let targets = &config.targets[..config.targets.len().min(TARGETS_MAX)];
        if targets.len() < config.targets.len() {
            tracing::warn!(limit = TARGETS_MAX, "more targets than agents probe; the last ones are left out");
        }
        let plain = Assignment::new(&config.probes, targets, &[]);
        let mut shared: HashMap<&[String], Bytes> = HashMap::new();
        let lines = config.vantages.iter().map(|vantage| {
            let line = shared.entry(&vantage.control_targets).or_insert_with(|| {
                let control_targets = vantage.control_targets.clone();
                Order::Probe(Assignment { control_targets, ..plain.clone() }).line().into()
            });
            line.clone()
        });
        let lines = lines.collect();
        let names: Vec<_> = plain.targets.iter().map(|target| target.name).collect();
        let vantages = config.vantages.iter().map(|vantage| vantage.name.clone());
        Self {
            number,
            vantages: vantages.zip((0..).map(VantageId::from_index)).collect(),
            lines,
            targets: names.iter().copied().zip((0..).map(TargetId::from_index)).collect(),
            names,
        }
    }

    pub(super) fn vantage(&self, name: &str) -> Option<VantageId> {
        self.vantages.get(name).copied()
    }

    pub(super) fn target(&self, name: TargetName) -> Option<TargetId> {
        self.targets.get(&name).copied()
    }

    /// Any target there is.
    #[cfg(test)]
    pub(super) fn any_target(&self) -> (TargetName, TargetId) {
        (self.names[0], TargetId(0))
    }

    /// The order that tells an agent of this vantage what to probe, if there is such a vantage.
    pub(super) fn line(&self, vantage: &str) -> Option<Bytes> {
        self.vantage(vantage).map(|vantage| self.lines[vantage.index()].clone())
    }

    /// The order that makes agents probe `targets` again at once.
    pub(super) fn recheck(&self, targets: &[TargetId]) -> Bytes {
        let names = targets.iter().filter_map(|target| self.names.get(target.index()).copied());
        Order::Recheck { targets: names.collect() }.line().into()
    }
}

/// Follows the configuration in force until nobody listens, or there is no more.
pub(super) async fn follow(mut in_force: watch::Receiver<InForce>, known: watch::Sender<Arc<Known>>) {
    while in_force.changed().await.is_ok() && !known.is_closed() {
        let latest = in_force.borrow_and_update().clone();
        if latest.number != known.borrow().number {
            known.send_replace(Arc::new(Known::new(latest.number, &latest.config)));
        }
    }
}
