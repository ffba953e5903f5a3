//! One generation of targets, what is known of them, and how it passes to the next generation.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::{self, JoinHandle};

use super::chance::Chance;
use super::plan::{Pace, Plan};
use super::probe::{Prober, Shared};
use super::record::{Record, Telling};
use crate::clock;
use crate::config::probe::{Probe, ProbeKind, Target};
use crate::health::outcome::TargetReport;
use crate::ids::{TargetId, VantageId};
use crate::time::Moment;

/// What an agent probes, and as whom.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The probes, by [`ProbeId`](crate::ids::ProbeId).
    pub probes: Vec<Probe>,
    /// The targets, by [`TargetId`].
    pub targets: Vec<Target>,
    /// Where the agent stands.
    pub vantage: VantageId,
    /// Which of the vantage's agents it is.
    pub agent: u32,
}

/// Targets with all that could be built ahead for them.
pub(super) struct Ready {
    targets: Arc<Targets>,
    probers: Vec<Arc<Prober>>,
}

/// Makes targets ready beside the loop: certificate files are read, which may block.
pub(super) fn prepare(targets: Arc<Targets>) -> JoinHandle<Ready> {
    task::spawn_blocking(move || {
        let mut shared = Shared::default();
        let probers = targets.targets.iter().map(|target| {
            let probe = &targets.probes[target.probe.index()];
            Arc::new(Prober::new(target, probe, &mut shared))
        });
        Ready { probers: probers.collect(), targets }
    })
}

/// One generation of targets and what is known of them; all lists by [`TargetId`].
pub(super) struct World {
    /// What is probed.
    pub(super) targets: Arc<Targets>,
    /// How, made ready.
    pub(super) probers: Vec<Arc<Prober>>,
    /// What was found.
    pub(super) records: Vec<Record>,
    /// When the next probes are due.
    pub(super) plan: Plan,
    /// The targets that hurry when the watched connection to their address is lost.
    pub(super) watched: HashMap<SocketAddr, Vec<usize>>,
}

impl World {
    pub(super) fn new(Ready { targets, probers }: Ready, chance: Chance) -> Self {
        let mut paces = Vec::with_capacity(targets.targets.len());
        let mut watched: HashMap<_, Vec<_>> = HashMap::new();
        for (position, target) in targets.targets.iter().enumerate() {
            let probe = &targets.probes[target.probe.index()];
            paces.push(Pace { interval: probe.interval, fall: probe.thresholds.rechecked() });
            if probe.watch && probe.kind.uses_tcp() {
                watched.entry(target.address).or_default().push(position);
            }
        }
        let plan = Plan::new(&paces, clock::now(), chance);
        Self { records: vec![Record::default(); targets.targets.len()], targets, probers, plan, watched }
    }

    /// Takes over what was known of the targets that persist (address, kind of probe and key are the same):
    /// their outcomes and their place in the plan. Gives where each of them was and is.
    pub(super) fn inherit(&mut self, mut older: World) -> HashMap<usize, usize> {
        let same: HashMap<_, usize> = identities(&older.targets).zip(0..).collect();
        let mut moves = HashMap::new();
        for (target, identity) in identities(&self.targets).enumerate() {
            // Of two targets that are alike, only one can take what was known over.
            let Some(&position) = same.get(&identity).filter(|at| !moves.contains_key(*at)) else { continue };
            self.plan.adopt(target, &older.plan, position);
            self.records[target] = std::mem::take(&mut older.records[position]);
            // Reports on the older targets that are under way are passed over.
            self.records[target].begin_anew();
            moves.insert(position, target);
        }
        moves
    }

    /// Whether these are the targets that it has: then there is nothing to be made ready, but whoever takes reports
    /// may have passed over some that were under way.
    pub(super) fn begins_anew_with(&mut self, targets: &Arc<Targets>) -> bool {
        let same = Arc::ptr_eq(&self.targets, targets);
        if same {
            self.records.iter_mut().for_each(Record::begin_anew);
        }
        same
    }

    /// What a report tells that is made now; `was_taken` says whether all before it were.
    pub(super) fn tell(&mut self, telling: Telling, now: Moment, was_taken: bool) -> Vec<TargetReport> {
        let records = self.records.iter_mut().enumerate();
        let told = records.filter_map(|(target, record)| {
            let target = TargetId::from_index(target);
            match telling {
                Telling::All => Some(record.tell(target, now)),
                Telling::News => record.tell_news(target, now, was_taken),
            }
        });
        told.collect()
    }
}

/// What makes a target the same target in two configurations.
fn identities(targets: &Targets) -> impl Iterator<Item = (SocketAddr, &ProbeKind, &str)> {
    targets
        .targets
        .iter()
        .map(|target| (target.address, &targets.probes[target.probe.index()].kind, target.key.as_str()))
}
