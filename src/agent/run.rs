//! The agent's one task: it owns the plan and the records, sends probes out and takes them back, and tells what
//! it sees at every tick. Dropping the task's future ends all that it started.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch as channel};
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::sleep;

use super::chance::Chance;
use super::plan::{Pace, Plan};
use super::probe::{Finding, Prober, Shared, uses_tcp};
use super::record::{Cadence, Past, Record};
use super::watch;
use crate::clock;
use crate::config::probe::{Probe, ProbeKind, Target};
use crate::health::outcome::Report;
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

/// A report with the targets that its ids count, since a reload gives the same ids to other targets.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration that the report is about; compare by [`Arc::ptr_eq`].
    pub targets: Arc<Targets>,
    /// What the agent sees.
    pub report: Report,
}

/// The most probes that are out at a time; what is due beyond waits.
pub const PROBES_OUT_MAX: usize = 1024;
/// The most addresses to which a connection is watched; those beyond are probed in their turn only.
pub const WATCHES_MAX: usize = 4096;
/// The most losses of watched connections that wait to be looked at.
pub const LOSSES_MAX: usize = 1024;
/// An agent that wakes later than this cannot tell a slow target from its own slowness.
pub const LATENESS_MAX: Duration = Duration::from_millis(250);
/// So long after it woke late an agent counts as lagging.
pub const LAG_MEMORY: Duration = Duration::from_secs(1);

/// Probes the latest of `targets` and sends a snapshot at every tick, until their sender is gone. A receiver of
/// `reports` that is too slow misses the oldest and is told how many.
pub async fn run(
    mut targets: channel::Receiver<Arc<Targets>>,
    reports: broadcast::Sender<Arc<Snapshot>>,
    chance: Chance,
) {
    let (lost, mut losses) = mpsc::channel(LOSSES_MAX);
    let mut agent = Agent::new(lost, chance);
    let mut preparing = prepare(targets.borrow_and_update().clone());
    let mut is_preparing = true;
    loop {
        let now = clock::now();
        agent.send_probes(now);
        agent.send_report(now, &reports);
        let wake = agent.next_wake();
        tokio::select! {
            () = sleep(wake.since(now)) => {}
            Some(back) = agent.out.join_next_with_id() => agent.take_back(back),
            Some(address) = losses.recv() => agent.hurry(address),
            ready = &mut preparing, if is_preparing => {
                is_preparing = false;
                match ready {
                    Ok(ready) => agent.install(ready),
                    Err(error) => tracing::error!(%error, "targets were not made ready; the old ones stay"),
                }
            }
            changed = targets.changed(), if !is_preparing => {
                if changed.is_err() {
                    return;
                }
                preparing = prepare(targets.borrow_and_update().clone());
                is_preparing = true;
            }
        }
        agent.note_lateness(wake, clock::now());
    }
}

/// Targets with all that could be built ahead for them.
struct Ready {
    targets: Arc<Targets>,
    probers: Vec<Arc<Prober>>,
}

/// Makes targets ready beside the loop: certificates and state files are read, which may block.
fn prepare(targets: Arc<Targets>) -> JoinHandle<Ready> {
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
struct World {
    targets: Arc<Targets>,
    probers: Vec<Arc<Prober>>,
    records: Vec<Record>,
    plan: Plan,
    /// The targets that hurry when the watched connection to their address is lost.
    watched: HashMap<SocketAddr, Vec<usize>>,
}

/// A probe that came back.
struct Back {
    finding: Finding,
    ended: Moment,
    latency: Duration,
}

/// A watch that ends when it is no longer wanted.
struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Agent {
    /// What is probed; nothing until the first targets are ready.
    world: Option<World>,
    /// The probes that are out, those of targets that are gone among them.
    out: JoinSet<Back>,
    /// Which target each of them is for.
    target_of: HashMap<task::Id, usize>,
    /// The watched connections.
    watches: HashMap<SocketAddr, Watch>,
    /// Handed to each watch, to tell that its connection was lost.
    lost: mpsc::Sender<SocketAddr>,
    /// When to report.
    cadence: Cadence,
    /// Until when the agent counts as lagging.
    lagging_until: Moment,
    /// Names this life of the agent.
    boot: u64,
    /// The number of the last report.
    number: u64,
    chance: Chance,
}

impl Agent {
    fn new(lost: mpsc::Sender<SocketAddr>, mut chance: Chance) -> Self {
        Self {
            world: None,
            out: JoinSet::new(),
            target_of: HashMap::new(),
            watches: HashMap::new(),
            lost,
            cadence: Cadence::new(clock::now()),
            lagging_until: Moment::START,
            boot: chance.bits(),
            number: 0,
            chance,
        }
    }

    /// When there is something to do next, if nothing happens before.
    fn next_wake(&self) -> Moment {
        let plan = self.world.as_ref().and_then(|world| world.plan.next_wake());
        let report = self.cadence.due();
        // With no room for another probe, the next thing to wait for is one that comes back.
        plan.filter(|_| self.out.len() < PROBES_OUT_MAX).map_or(report, |due| due.min(report))
    }

    fn send_probes(&mut self, now: Moment) {
        let Some(world) = &mut self.world else { return };
        while self.out.len() < PROBES_OUT_MAX
            && let Some(target) = world.plan.due(now)
        {
            let prober = world.probers[target].clone();
            let id = self.chance.bits() as u16; // Sixteen of the bits, whichever.
            let task = self.out.spawn(async move {
                let began = clock::now();
                let finding = prober.probe(id).await;
                let ended = clock::now();
                Back { finding, ended, latency: ended.since(began) }
            });
            self.target_of.insert(task.id(), target);
        }
    }

    fn take_back(&mut self, back: Result<(task::Id, Back), JoinError>) {
        let (id, back) = match back {
            Ok((id, back)) => (id, Some(back)),
            Err(error) => (error.id(), None),
        };
        let (Some(target), Some(world)) = (self.target_of.remove(&id), &mut self.world) else { return };
        let result = match back.as_ref().map(|back| &back.finding) {
            Some(Finding::Pass) => Some(Ok(())),
            Some(Finding::Fail(failure)) => Some(Err(failure.clone())),
            Some(Finding::Nothing(_)) | None => None,
        };
        let mut urgent = world.plan.done(target, result.as_ref().map(Result::is_ok), clock::now());
        if let (Some(result), Some(Back { ended, latency, .. })) = (result, back) {
            urgent |= world.records[target].push(Past { ended, latency, result });
        }
        if urgent {
            self.cadence.hurry();
        }
    }

    /// The watched connection to `address` was lost.
    fn hurry(&mut self, address: SocketAddr) {
        let Some(world) = &mut self.world else { return };
        for &target in world.watched.get(&address).into_iter().flatten() {
            world.plan.hurry(target, clock::now());
        }
    }

    fn send_report(&mut self, now: Moment, reports: &broadcast::Sender<Arc<Snapshot>>) {
        if self.cadence.due() > now {
            return;
        }
        self.cadence.sent(now);
        let Some(world) = &self.world else { return };
        self.number += 1;
        let told = world.records.iter().enumerate();
        let report = Report {
            vantage: world.targets.vantage,
            agent: world.targets.agent,
            boot: self.boot,
            number: self.number,
            control: None,
            lagging: now < self.lagging_until,
            targets: told.map(|(target, record)| record.tell(TargetId::from_index(target), now)).collect(),
        };
        // Without a receiver there is no one to tell, and that is not our affair.
        let _ = reports.send(Arc::new(Snapshot { targets: world.targets.clone(), report }));
    }

    fn note_lateness(&mut self, wake: Moment, now: Moment) {
        if now.since(wake) > LATENESS_MAX {
            self.lagging_until = now + LAG_MEMORY;
        }
    }

    /// Puts new targets in the place of the old ones. A target that persists (address, kind of probe and key
    /// are the same) keeps its outcomes, its place in the plan and the probe that is out.
    fn install(&mut self, ready: Ready) {
        let older = self.world.take();
        let mut world = World::new(ready, self.chance.split());
        let mut moves = HashMap::new();
        if let Some(mut older) = older {
            let same = identities(&older.targets).zip(0..).collect::<HashMap<_, usize>>();
            for (target, identity) in identities(&world.targets).enumerate() {
                // Of two targets that are alike, only one can take what was known over.
                let Some(&position) = same.get(&identity).filter(|at| !moves.contains_key(*at)) else {
                    continue;
                };
                world.plan.adopt(target, &older.plan, position);
                world.records[target] = std::mem::take(&mut older.records[position]);
                moves.insert(position, target);
            }
        }
        self.target_of.retain(|_, target| match moves.get(target) {
            Some(moved) => {
                *target = *moved;
                true
            }
            None => false,
        });
        self.watch(&world);
        self.world = Some(world);
    }

    fn watch(&mut self, world: &World) {
        self.watches.retain(|address, _| world.watched.contains_key(address));
        let left = WATCHES_MAX - self.watches.len();
        let wanted: Vec<_> =
            world.watched.keys().filter(|address| !self.watches.contains_key(*address)).collect();
        if wanted.len() > left {
            tracing::warn!(
                limit = WATCHES_MAX,
                "too many addresses to watch; some are probed in their turn only"
            );
        }
        for address in wanted.into_iter().take(left) {
            let task = task::spawn(watch::hold(*address, self.lost.clone(), self.chance.split()));
            self.watches.insert(*address, Watch(task));
        }
    }
}

impl World {
    fn new(Ready { targets, probers }: Ready, chance: Chance) -> Self {
        let unready = probers.iter().filter_map(|prober| prober.unready()).collect::<HashSet<_>>();
        for why in unready {
            tracing::warn!(why, "some targets cannot be probed as configured and stay unknown");
        }
        let mut paces = Vec::with_capacity(targets.targets.len());
        let mut watched: HashMap<_, Vec<_>> = HashMap::new();
        for (position, target) in targets.targets.iter().enumerate() {
            let probe = &targets.probes[target.probe.index()];
            paces.push(Pace { interval: probe.interval, fall: probe.thresholds.fall });
            if probe.watch && uses_tcp(&probe.kind) {
                watched.entry(target.address).or_default().push(position);
            }
        }
        let plan = Plan::new(&paces, clock::now(), chance);
        Self { records: vec![Record::default(); targets.targets.len()], targets, probers, plan, watched }
    }
}

/// What makes a target the same target in two configurations.
fn identities(targets: &Targets) -> impl Iterator<Item = (SocketAddr, &ProbeKind, &str)> {
    targets
        .targets
        .iter()
        .map(|target| (target.address, &targets.probes[target.probe.index()].kind, target.key.as_str()))
}
