//! The agent's one task: it owns the plan and the records, sends probes out and takes them back, and tells what
//! it sees at every tick. Dropping the task's future ends all that it started.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch as channel};
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::sleep;

use super::chance::Chance;
use super::metrics::Metrics;
use super::probe::Finding;
use super::record::{Cadence, Past, Telling};
use super::watch;
use super::world::{Ready, Targets, World, prepare};
use crate::clock;
use crate::config::probe::Target;
use crate::health::outcome::Report;
use crate::health::verdict::Share;
use crate::ids::TargetId;
use crate::time::Moment;

/// A report with the targets that its ids count, since a reload gives the same ids to other targets.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration that the report is about; compare by [`Arc::ptr_eq`].
    pub targets: Arc<Targets>,
    /// What the agent sees, or what is new in it. With thousands of targets it is large, so it is handed on, never
    /// copied.
    pub report: Arc<Report>,
    /// When it saw it.
    pub made: Moment,
}

/// Targets that are to be probed again at once.
#[derive(Clone, Debug)]
pub struct Recheck {
    /// What the ids count; compare by [`Arc::ptr_eq`].
    pub of: Arc<Targets>,
    /// The targets.
    pub targets: Vec<TargetId>,
}

/// The most probes that are out at a time; what is due beyond waits.
pub const PROBES_OUT_MAX: usize = 1024;
/// The most addresses to which a connection is watched; those beyond are probed in their turn only.
pub const WATCHES_MAX: usize = 4096;
/// The most losses of watched connections that wait to be looked at.
pub const LOSSES_MAX: usize = 1024;
/// Probes the latest of `targets` and sends a snapshot at every tick, until their sender is gone. A receiver of
/// `reports` that is too slow misses the oldest and is told how many; with [`Telling::News`] the next one brings what
/// those it missed had told.
pub async fn run(
    mut targets: channel::Receiver<Arc<Targets>>,
    telling: Telling,
    reports: broadcast::Sender<Arc<Snapshot>>,
    mut rechecks: mpsc::Receiver<Recheck>,
    metrics: Arc<Metrics>,
    chance: Chance,
) {
    let (lost, mut losses) = mpsc::channel(LOSSES_MAX);
    let mut agent = Agent::new(telling, lost, metrics, chance);
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
            Some(recheck) = rechecks.recv() => agent.recheck(&recheck, clock::now()),
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
                let changed = targets.borrow_and_update().clone();
                if agent.world.as_mut().is_some_and(|world| world.begins_anew_with(&changed)) {
                    continue;
                }
                preparing = prepare(changed);
                is_preparing = true;
            }
        }
        agent.metrics.illness().woke(wake, clock::now());
    }
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
    /// And how much.
    telling: Telling,
    /// What is counted, and what is known of the agent's own illness.
    metrics: Arc<Metrics>,
    /// Names this life of the agent.
    boot: u64,
    /// The number of the last report.
    number: u64,
    chance: Chance,
}

impl Agent {
    fn new(
        telling: Telling,
        lost: mpsc::Sender<SocketAddr>,
        metrics: Arc<Metrics>,
        mut chance: Chance,
    ) -> Self {
        Self {
            world: None,
            out: JoinSet::new(),
            target_of: HashMap::new(),
            watches: HashMap::new(),
            lost,
            cadence: Cadence::new(clock::now()),
            telling,
            metrics,
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
        let is_ill = self.metrics.illness().is_ill(now);
        while self.out.len() < PROBES_OUT_MAX
            && let Some(target) = world.plan.due(now)
        {
            let prober = world.probers[target].clone();
            let id = self.chance.bits() as u16; // Sixteen of the bits, whichever.
            let task = self.out.spawn(async move {
                let began = clock::now();
                let finding = prober.probe(id, is_ill).await;
                let ended = clock::now();
                Back { finding, ended, latency: ended.since(began) }
            });
            self.target_of.insert(task.id(), target);
        }
    }

    fn take_back(&mut self, back: Result<(task::Id, Back), JoinError>) {
        let id = back.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let (Some(target), Some(world)) = (self.target_of.remove(&id), &mut self.world) else { return };
        let past = back.map_err(|error| error.to_string()).and_then(|(_, back)| back.into_past());
        self.metrics.probed(past.as_ref().ok().map(|past| &past.result));
        let passed = past.as_ref().ok().map(|past| past.result.is_ok());
        let record = &mut world.records[target];
        let is_change = match past {
            Ok(past) => record.push(past),
            Err(why) => {
                if record.pass_over() && !why.is_empty() {
                    let Target { address, key, .. } = &world.targets.targets[target];
                    tracing::warn!(%address, key, why, "probes learn nothing of a target; it is left unknown");
                }
                false
            }
        };
        let is_urgent = world.plan.done(target, passed, clock::now());
        if is_change || is_urgent {
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

    /// Somebody else saw these fail. Orders for other targets than the present ones come too late.
    fn recheck(&mut self, recheck: &Recheck, now: Moment) {
        let Some(world) = &mut self.world else { return };
        if Arc::ptr_eq(&world.targets, &recheck.of) {
            for target in &recheck.targets {
                world.plan.recheck(target.index(), now);
            }
        }
    }

    fn send_report(&mut self, now: Moment, reports: &broadcast::Sender<Arc<Snapshot>>) {
        if self.cadence.due() > now {
            return;
        }
        let Some(world) = &mut self.world else { return self.cadence.sent(now, Duration::ZERO) };
        self.number += 1;
        let report = Report {
            vantage: world.targets.vantage,
            agent: world.targets.agent,
            boot: self.boot,
            number: self.number,
            // Who sends it knows: this task hears nothing of control targets.
            control: None,
            lagging: self.metrics.illness().is_lagging(now),
            // What waits may be dropped for what comes behind it; what does not wait was taken.
            targets: world.tell(self.telling, now, reports.is_empty()),
        };
        self.cadence.sent(now, clock::now().since(now));
        // Without a receiver there is no one to tell, and that is not our affair.
        let (targets, report) = (world.targets.clone(), Arc::new(report));
        let _ = reports.send(Arc::new(Snapshot { targets, report, made: now }));
    }

    /// Puts new targets in the place of the old ones. A target that persists keeps the probe that is out, too.
    fn install(&mut self, ready: Ready) {
        let mut world = World::new(ready, self.chance.split());
        let moves = self.world.take().map(|older| world.inherit(older)).unwrap_or_default();
        self.target_of.retain(|_, target| match moves.get(target) {
            Some(moved) => {
                *target = *moved;
                true
            }
            None => false,
        });
        self.watch(&world);
        self.metrics.probes(world.records.len());
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

impl Back {
    /// The outcome; why there is none when nothing was learned.
    fn into_past(self) -> Result<Past, String> {
        let result = match self.finding {
            Finding::Pass => (Ok(()), Share::WHOLE),
            Finding::PassInPart(usable) => (Ok(()), usable),
            Finding::Fail(failure) => (Err(failure), Share::NONE),
            Finding::Nothing(why) => return Err(why),
        };
        let (result, usable) = result;
        Ok(Past { ended: self.ended, latency: self.latency, result, usable })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::agent::plan::FIRST_ROUND;
    use crate::agent::testing::{AMPLE, Server, answer_http, http_at, ok, probe, read_head, refusing};
    use crate::config::probe::{Probe, ProbeKind};
    use crate::health::outcome::{Failure, TargetReport};
    use crate::ids::{ProbeId, VantageId};

    const RARELY: Duration = Duration::from_secs(60);

    /// One HTTP probe per address.
    fn targets(addresses: &[SocketAddr], interval: Duration, watch: bool) -> Arc<Targets> {
        let http =
            |address: &SocketAddr| Probe { interval, watch, ..probe(ProbeKind::Http(http_at(*address))) };
        let target = |(position, address): (usize, &SocketAddr)| Target {
            address: *address,
            probe: ProbeId::from_index(position),
            key: format!("eu/www/{address}"),
        };
        Arc::new(Targets {
            probes: addresses.iter().map(http).collect(),
            targets: addresses.iter().enumerate().map(target).collect(),
            vantage: VantageId(2),
            agent: 7,
        })
    }

    /// A running agent.
    struct Running {
        targets: channel::Sender<Arc<Targets>>,
        reports: broadcast::Receiver<Arc<Snapshot>>,
        rechecks: mpsc::Sender<Recheck>,
        task: JoinHandle<()>,
    }

    fn start(targets: Arc<Targets>) -> Running {
        let (targets, of_agent) = channel::channel(targets);
        let (to_us, reports) = broadcast::channel(16);
        let (rechecks, hurries) = mpsc::channel(4);
        let task =
            tokio::spawn(run(of_agent, Telling::All, to_us, hurries, Arc::default(), Chance::seeded(1)));
        Running { targets, reports, rechecks, task }
    }

    impl Running {
        /// The first snapshot for which `wanted` holds.
        async fn snapshot(&mut self, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
            let search = async {
                loop {
                    match self.reports.recv().await {
                        Ok(snapshot) if wanted(&snapshot) => return snapshot,
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            };
            tokio::time::timeout(AMPLE, search).await.expect("the agent reports it in time")
        }

        /// Waits for the first snapshot in which the last outcome of a target is this.
        async fn sees(&mut self, target: usize, result: Result<(), Failure>) -> Arc<Snapshot> {
            self.snapshot(|snapshot| last(snapshot, target) == Some(&result)).await
        }
    }

    fn of(snapshot: &Snapshot, target: usize) -> &TargetReport {
        &snapshot.report.targets[target]
    }

    fn last(snapshot: &Snapshot, target: usize) -> Option<&Result<(), Failure>> {
        snapshot.report.targets.get(target)?.outcomes.last().map(|outcome| &outcome.result)
    }

    /// Answers each request and leaves the connection open, until `idle` passes without one.
    async fn keep_alive(mut stream: TcpStream, requests: Arc<AtomicUsize>, idle: Duration) {
        while let Ok(head) = tokio::time::timeout(idle, read_head(&mut stream)).await
            && !head.is_empty()
        {
            requests.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(ok("").as_bytes()).await;
        }
    }

    async fn backend(idle: Duration) -> (Server, Arc<AtomicUsize>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        (Server::start(move |stream| keep_alive(stream, count.clone(), idle)).await, requests)
    }

    async fn until(holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(AMPLE, wait).await.expect("it comes to hold in time");
    }

    #[tokio::test]
    async fn a_watched_backend_that_dies_is_reported_at_once_though_its_turn_is_far() {
        let (server, _) = backend(RARELY).await;
        let mut agent = start(targets(&[server.address], RARELY, true));
        agent.sees(0, Ok(())).await;
        until(|| server.count() == 2).await; // The probe and the watch.
        let killed = clock::now();
        drop(server);
        let snapshot = agent.sees(0, Err(Failure::Refused)).await;
        // The aim is 150 ms, and on an idle machine it takes 20; the rest is for a busy one.
        assert!(clock::now().since(killed) < Duration::from_secs(1));
        assert_eq!((snapshot.report.vantage, snapshot.report.agent), (VantageId(2), 7));
        let snapshot = agent.snapshot(|snapshot| of(snapshot, 0).newest == 4).await;
        assert_eq!(of(&snapshot, 0).outcomes.len(), 4, "one that passed, and rechecks until fall");
    }

    #[tokio::test]
    async fn what_others_saw_fail_is_probed_again_at_once_but_no_faster_than_a_recheck() {
        let (server, requests) = backend(RARELY).await;
        let mut agent = start(targets(&[server.address], RARELY, false));
        let of = agent.sees(0, Ok(())).await.targets.clone();
        for _ in 0..20 {
            agent.rechecks.send(Recheck { of: of.clone(), targets: vec![TargetId(0)] }).await.unwrap();
        }
        agent.snapshot(|snapshot| of_target(snapshot) == 2).await;
        sleep(Duration::from_millis(300)).await;
        let requests = requests.load(Ordering::SeqCst);
        assert!((2..=3).contains(&requests), "{requests} probes");
    }

    fn of_target(snapshot: &Snapshot) -> u64 {
        of(snapshot, 0).newest
    }

    #[tokio::test]
    async fn a_backend_that_closes_idle_connections_is_not_stormed() {
        let (server, requests) = backend(Duration::from_millis(20)).await;
        let mut agent = start(targets(&[server.address], RARELY, true));
        agent.sees(0, Ok(())).await;
        sleep(Duration::from_millis(1500)).await;
        let requests = requests.load(Ordering::SeqCst);
        assert!((2..=6).contains(&requests), "{requests} probes");
        assert!(server.count() <= 12, "{} connections", server.count());
    }

    #[tokio::test]
    async fn without_a_watch_no_connection_is_held() {
        let (server, _) = backend(RARELY).await;
        let mut agent = start(targets(&[server.address], RARELY, false));
        agent.sees(0, Ok(())).await;
        sleep(watch::FIRST_PAUSE_MAX).await;
        assert_eq!(server.count(), 1);
    }

    #[tokio::test]
    async fn snapshots_are_numbered_and_come_at_every_tick() {
        let mut agent = start(targets(&[], RARELY, false));
        let began = clock::now();
        for number in 1..=4 {
            let snapshot = agent.snapshot(|_| true).await;
            assert_eq!(snapshot.report.number, number);
        }
        assert!(clock::now().since(began) >= Duration::from_millis(750));
    }

    #[tokio::test]
    async fn a_target_that_persists_through_a_reload_keeps_its_outcomes() {
        let (first, _) = backend(RARELY).await;
        let (second, _) = backend(RARELY).await;
        let (third, _) = backend(RARELY).await;
        let mut agent = start(targets(&[first.address, second.address], RARELY, true));
        agent.sees(0, Ok(())).await;
        agent.sees(1, Ok(())).await;

        let newer = targets(&[second.address, third.address], RARELY, true);
        agent.targets.send(newer.clone()).unwrap();
        let snapshot = agent.snapshot(|snapshot| Arc::ptr_eq(&snapshot.targets, &newer)).await;
        assert_eq!(of(&snapshot, 0).newest, 1);
        assert_eq!(last(&snapshot, 0), Some(&Ok(())));
        let snapshot = agent.sees(1, Ok(())).await;
        assert_eq!(of(&snapshot, 0).newest, 1, "it was not probed again");

        let changed = targets(&[second.address, third.address], RARELY, true);
        let mut changed = Targets::clone(&changed);
        changed.probes[0].kind = ProbeKind::File { path: "no such file".into(), shares: true };
        agent.targets.send(Arc::new(changed)).unwrap();
        let snapshot = agent.snapshot(|snapshot| !Arc::ptr_eq(&snapshot.targets, &newer)).await;
        assert_eq!(of(&snapshot, 0).newest, 0, "another kind of probe begins anew");
    }

    #[tokio::test]
    async fn a_probe_that_is_out_at_a_reload_still_counts() {
        let slow = Server::start(|stream| async {
            sleep(Duration::from_millis(600)).await;
            answer_http(stream, ok("").into()).await;
        })
        .await;
        let mut agent = start(targets(&[slow.address], RARELY, false));
        until(|| slow.count() == 1).await;
        let (closed, _socket) = refusing();
        agent.targets.send(targets(&[closed, slow.address], RARELY, false)).unwrap();
        agent.sees(1, Ok(())).await;
        sleep(FIRST_ROUND).await;
        assert_eq!(slow.count(), 1, "no second probe was sent beside it");
    }

    #[tokio::test]
    async fn an_agent_that_was_held_up_says_that_it_lags_and_recovers() {
        let mut agent = start(targets(&[], RARELY, false));
        assert!(!agent.snapshot(|_| true).await.report.lagging);
        std::thread::sleep(TICK_AND_MORE);
        agent.snapshot(|snapshot| snapshot.report.lagging).await;
        agent.snapshot(|snapshot| !snapshot.report.lagging).await;
    }

    /// Longer than a tick and the lateness that is let pass.
    const TICK_AND_MORE: Duration = Duration::from_millis(600);

    #[tokio::test]
    async fn probes_that_are_out_are_bounded_and_the_rest_waits_without_spinning() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let many = targets(&[address; PROBES_OUT_MAX + 100], Duration::from_millis(1), false);
        let (lost, _losses) = mpsc::channel(1);
        let mut agent = Agent::new(Telling::All, lost, Arc::default(), Chance::seeded(1));
        agent.install(prepare(many).await.unwrap());
        let later = clock::now() + Duration::from_secs(2);
        agent.send_probes(later);
        assert_eq!(agent.out.len(), PROBES_OUT_MAX);
        assert_eq!(agent.next_wake(), agent.cadence.due());
    }

    #[tokio::test]
    async fn the_agent_and_its_connections_end_with_the_sender_of_targets() {
        let (server, _) = backend(RARELY).await;
        let mut agent = start(targets(&[server.address], RARELY, true));
        agent.sees(0, Ok(())).await;
        drop(agent.targets);
        tokio::time::timeout(AMPLE, agent.task).await.expect("it ends").unwrap();
    }
}
