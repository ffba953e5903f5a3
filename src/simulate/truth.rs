//! What is really so in a world, and since when: what servers and agents only ever guess at.

use std::time::Duration;

use super::scenario::{Fault, Health, Mood, Scenario};
use crate::health::verdict::Share;
use crate::time::Moment;

/// Something that holds since a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting<T> {
    pub(super) value: T,
    pub(super) since: Moment,
    /// How long it had been otherwise before.
    pub(super) former: Duration,
}

/// What is really so.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    vantages: usize,
    regions: usize,
    servers: usize,
    pub(super) loss: f64,
    health: Vec<Lasting<Health>>,
    usable: Vec<Lasting<Share>>,
    paths: Vec<Lasting<f64>>,
    isolated: Vec<Lasting<bool>>,
    parted: Vec<Lasting<bool>>,
    slow: Vec<Lasting<Duration>>,
    /// By how many seconds an agent's clock is off.
    clocks: Vec<Lasting<i64>>,
    moods: Vec<Lasting<Mood>>,
}

/// A path that loses no more than this can be judged rightly at any time.
const LOSS_CALM: f64 = 0.05;
/// What has been so for this long has reached every streak: five passes, a report and an age limit.
pub(super) const SETTLED: Duration = Duration::from_secs(12);
/// From then on a vantage that is not heard has no voice: the age limit, and the last report's way.
const FORGOTTEN: Duration = Duration::from_secs(7);
/// That a vantage fell ill is known after its control targets were probed, and a report.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

impl<T: PartialEq> Lasting<T> {
    fn of(value: T) -> Self {
        Self { value, since: Moment::START, former: Duration::MAX }
    }

    fn set(&mut self, value: T, now: Moment) {
        if self.value != value {
            *self = Self { value, since: now, former: now.since(self.since) };
        }
    }

    fn settled(&self, now: Moment) -> bool {
        now.since(self.since) >= SETTLED
    }
}

impl Truth {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let Scenario { vantages, regions, servers, loss, .. } = *scenario;
        Self {
            vantages,
            regions,
            servers,
            loss,
            health: vec![Lasting::of(Health::Works); regions],
            usable: vec![Lasting::of(Share::WHOLE); regions],
            paths: vec![Lasting::of(0.0); vantages * regions],
            isolated: vec![Lasting::of(false); vantages],
            parted: vec![Lasting::of(false); vantages * servers],
            slow: vec![Lasting::of(Duration::ZERO); vantages * servers],
            clocks: vec![Lasting::of(0); vantages],
            moods: vec![Lasting::of(Mood::Well); vantages],
        }
    }

    /// Lets a fault befall; those of servers are the world's.
    pub(super) fn befall(&mut self, fault: Fault, now: Moment) {
        match fault {
            // What is dead in another way is dead since it was.
            Fault::Region(region, health)
                if health != Health::Works && self.health[region].value != Health::Works =>
            {
                self.health[region].value = health;
            }
            Fault::Region(region, health) => self.health[region].set(health, now),
            Fault::Degraded(region, usable) => self.usable[region].set(usable, now),
            Fault::Path(vantage, region, part) => self.paths[vantage * self.regions + region].set(part, now),
            Fault::Isolated(vantage, isolated) => self.isolated[vantage].set(isolated, now),
            Fault::Parted(vantage, server, parted) => {
                self.parted[vantage * self.servers + server].set(parted, now);
            }
            Fault::Agent(vantage, mood) => self.moods[vantage].set(mood, now),
            Fault::Slow(vantage, server, late) => {
                self.slow[vantage * self.servers + server].set(late, now);
            }
            Fault::Jump(vantage, seconds) => {
                let clock = &mut self.clocks[vantage];
                clock.set(clock.value + seconds, now);
            }
            Fault::Restart(_) | Fault::Reload(..) => {}
        }
    }

    /// Ends all that befell.
    pub(super) fn mend(&mut self, now: Moment) {
        self.health.iter_mut().for_each(|one| one.set(Health::Works, now));
        self.usable.iter_mut().for_each(|one| one.set(Share::WHOLE, now));
        self.paths.iter_mut().for_each(|one| one.set(0.0, now));
        self.isolated.iter_mut().chain(&mut self.parted).for_each(|one| one.set(false, now));
        self.slow.iter_mut().for_each(|one| one.set(Duration::ZERO, now));
        self.moods.iter_mut().for_each(|one| one.set(Mood::Well, now));
    }

    pub(super) fn health(&self, region: usize) -> Lasting<Health> {
        self.health[region]
    }

    /// How much of a region's endpoints is usable.
    pub(super) fn usable(&self, region: usize) -> Share {
        self.usable[region].value
    }

    pub(super) fn path(&self, vantage: usize, region: usize) -> Lasting<f64> {
        self.paths[vantage * self.regions + region]
    }

    pub(super) fn isolated(&self, vantage: usize) -> bool {
        self.isolated[vantage].value
    }

    pub(super) fn parted(&self, vantage: usize, server: usize) -> bool {
        self.parted[vantage * self.servers + server].value
    }

    /// Whether some server may not have taken the last report.
    pub(super) fn unsure_somewhere(&self, vantage: usize, now: Moment) -> bool {
        (0..self.servers).any(|server| !self.surely_heard(vantage, server, now))
    }

    /// The longest that a report takes beyond the usual.
    pub(super) fn slow(&self, vantage: usize, server: usize) -> Duration {
        self.slow[vantage * self.servers + server].value
    }

    /// By how many seconds the agent's clock is off.
    pub(super) fn clock(&self, vantage: usize) -> i64 {
        self.clocks[vantage].value
    }

    pub(super) fn mood(&self, vantage: usize) -> Mood {
        self.moods[vantage].value
    }

    /// Whether the vantage has reached the region for so long that it cannot rightly say otherwise; what it saw
    /// while it was cut off does not count.
    pub(super) fn surely_reaches(&self, vantage: usize, region: usize, now: Moment) -> bool {
        let (health, path, mood) = (self.health(region), self.path(vantage, region), self.moods[vantage]);
        health.value == Health::Works
            && health.settled(now)
            && path.value <= LOSS_CALM
            && path.settled(now)
            && !self.isolated(vantage)
            && mood.value == Mood::Well
            && mood.settled(now)
    }

    /// Whether the agent has been well and connected to the world for long enough.
    pub(super) fn surely_sees(&self, vantage: usize, now: Moment) -> bool {
        let (isolated, mood) = (self.isolated[vantage], self.moods[vantage]);
        !isolated.value && isolated.settled(now) && mood.value == Mood::Well && mood.settled(now)
    }

    /// Whether its word reaches the server, and has for long enough.
    pub(super) fn surely_heard(&self, vantage: usize, server: usize, now: Moment) -> bool {
        let path = vantage * self.servers + server;
        let (parted, slow, clock) = (self.parted[path], self.slow[path], self.clocks[vantage]);
        !parted.value
            && parted.settled(now)
            && slow.value == Duration::ZERO
            && slow.settled(now)
            && clock.settled(now)
    }

    /// Whether the vantage's failures must not count: it is cut off or lags, and knows it, or is long silent.
    pub(super) fn has_no_say(&self, vantage: usize, now: Moment) -> bool {
        let mood = self.moods[vantage];
        let silent = matches!(mood.value, Mood::Stalled | Mood::Frozen) && mood.settled(now);
        self.isolated(vantage) || mood.value == Mood::Lags || silent
    }

    /// Whether the vantage lost its say a moment ago, and what it saw of the region before was true: its votes
    /// stand until it is known that it fell ill.
    pub(super) fn saw_it_before(&self, vantage: usize, region: usize, now: Moment) -> bool {
        let (health, path) = (self.health(region), self.path(vantage, region));
        let (isolated, mood) = (self.isolated[vantage], self.moods[vantage]);
        let ill_since = [(isolated.value, isolated.since), (mood.value != Mood::Well, mood.since)]
            .into_iter()
            .filter_map(|(ill, since)| ill.then_some(since))
            .min();
        let broken =
            |since: Moment| ill_since.is_some_and(|ill| since < ill && now.since(ill) < KNOWN_WITHIN);
        (health.value != Health::Works && broken(health.since))
            || (path.value > LOSS_CALM && broken(path.since))
    }

    /// How many vantages can be eligible at the server, at most.
    pub(super) fn audible(&self, server: usize, now: Moment) -> usize {
        let audible = |&vantage: &usize| {
            let parted = self.parted[vantage * self.servers + server];
            let mood = self.moods[vantage];
            let lost = parted.value && now.since(parted.since) >= FORGOTTEN;
            let silent =
                matches!(mood.value, Mood::Stalled | Mood::Frozen) && now.since(mood.since) >= FORGOTTEN;
            !lost && !silent
        };
        (0..self.vantages).filter(audible).count()
    }

    /// Whether every path of the vantage has been whole for long enough, so that it can see who else is dead.
    pub(super) fn sees_all(&self, vantage: usize, now: Moment) -> bool {
        let whole = |region| {
            let path = self.path(vantage, region);
            path.value == 0.0 && path.settled(now)
        };
        self.surely_sees(vantage, now) && (0..self.regions).all(whole)
    }

    /// How many regions do not work.
    pub(super) fn dead_regions(&self) -> usize {
        self.health.iter().filter(|health| health.value != Health::Works).count()
    }
}
