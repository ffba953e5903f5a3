//! A world in virtual time: servers, agents, paths and resolvers, one queue of events, one seed. Every change is
//! held against the invariants at once; the first that does not hold ends the play.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::agent::Agent;
use super::build::{TIMEOUT, client, generation};
use super::invariants::{WITHDRAWN_WITHIN, Witness};
use super::resolvers::{Resolver, given};
use super::sabotage::Bug;
use super::scenario::{Believed, Expectation, Fault, Health, Mood, Scenario};
use super::truth::Truth;
use super::{Broken, Played};
use crate::agent::chance::Chance;
use crate::agent::plan::Pace;
use crate::answer::table::AnswerTable;
use crate::control::arrival::{Arrivals, Stamp};
use crate::control::state::{self, State};
use crate::health::evidence::Change;
use crate::health::outcome::{Failure, Report};
use crate::health::verdict::{Share, Standing, State as Verdict};
use crate::ids::{EndpointId, TargetId, VantageId};
use crate::time::Moment;

/// How long a report or the word for a recheck travels.
const WAY: Duration = Duration::from_millis(25);
/// What is mended must be back after this: the longest suppression, the hold, the ramp, and some more.
const BACK_WITHIN: Duration = Duration::from_secs(1200);
/// How often it is looked whether all is back.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The longest that a table is applied late, by [`Bug::DelayedApplier`].
const LATE_MILLIS: u64 = 3_000;
/// How much of the history is kept for a failure.
const HISTORY_LINES: usize = 60;

mod agents;
mod faults;
mod holders;
mod servers;

enum Event {
    Probes(usize),
    ProbeEnds { agent: usize, target: usize, failed: Option<Failure> },
    Reports(usize),
    Arrives { server: usize, agent: usize, clock: Duration, report: Arc<Report> },
    Recheck { agent: usize, targets: Arc<[TargetId]> },
    Ticks(usize),
    Befalls(Fault),
    Reloaded(usize),
    MustBeWithdrawn { region: usize, since: Moment },
    Expected(Expectation),
    Asks { resolver: usize, service: usize },
    Applies { server: usize, table: Arc<AnswerTable> },
    AllMends,
    IsBack,
}

struct Due {
    at: Moment,
    number: u64,
    event: Event,
}

/// A name server, and a twin that hears the same.
struct Server {
    state: State,
    twin: Option<State>,
    /// What it answers from.
    table: Arc<AnswerTable>,
    witness: Witness,
    /// By agent: when its reports came.
    arrivals: Vec<Option<Arrivals>>,
    started: Moment,
    ticks_at: Moment,
}

/// A world.
pub(super) struct World<'s> {
    scenario: &'s Scenario,
    bug: Option<Bug>,
    now: Moment,
    queue: BinaryHeap<Reverse<Due>>,
    queued: u64,
    chance: Chance,
    truth: Truth,
    agents: Vec<Agent>,
    servers: Vec<Server>,
    resolvers: Vec<Resolver>,
    history: VecDeque<String>,
    played: Played,
    /// Resolvers and services that hand out what does not work, and since when that count holds.
    wrong: u64,
    wrong_since: Moment,
    mended_at: Option<Moment>,
    ended: bool,
}

impl<'s> World<'s> {
    pub(super) fn new(scenario: &'s Scenario, seed: u64, bug: Option<Bug>, twins: bool) -> Self {
        let mut chance = Chance::seeded(seed);
        let mut world = Self {
            scenario,
            bug,
            now: Moment::from_millis(1),
            queue: BinaryHeap::new(),
            queued: 0,
            truth: Truth::new(scenario),
            agents: Vec::new(),
            servers: Vec::new(),
            resolvers: Vec::new(),
            history: VecDeque::new(),
            played: Played::default(),
            wrong: 0,
            wrong_since: Moment::START,
            mended_at: None,
            ended: false,
            chance: chance.split(),
        };
        for server in 0..scenario.servers {
            let server = world.start(server, twins && server == 0);
            world.servers.push(server);
        }
        let probe = &world.servers[0].state.generation().config.probes[0];
        let pace = Pace { interval: probe.interval, fall: probe.thresholds.rechecked() };
        let paces = vec![pace; scenario.services * scenario.regions];
        for vantage in 0..scenario.vantages {
            world.agents.push(Agent::new(vantage, &paces, chance.split(), world.now));
        }
        for number in 0..scenario.resolvers {
            let Scenario { regions, servers, services, .. } = *scenario;
            world.resolvers.push(Resolver::new(number, regions, servers, services, &mut chance));
        }
        world.plan_all();
        world
    }

    fn plan_all(&mut self) {
        for agent in 0..self.agents.len() {
            self.plan_probes(agent);
            self.plan_report(agent);
        }
        for &(at, fault) in &self.scenario.events {
            self.push(Moment::START + at, Event::Befalls(fault));
        }
        for &expected in &self.scenario.expectations {
            self.push(Moment::START + expected.at, Event::Expected(expected));
        }
        self.push(Moment::START + self.scenario.length, Event::AllMends);
        for resolver in 0..self.resolvers.len() {
            for service in 0..self.scenario.services {
                self.ask_next(resolver, service);
            }
        }
    }

    /// Plays to the end.
    pub(super) fn play(mut self, seed: u64) -> Result<Played, Box<Broken>> {
        while let Some(Reverse(due)) = self.queue.pop() {
            debug_assert!(due.at >= self.now, "time goes on");
            self.now = due.at;
            self.played.events += 1;
            if let Err(what) = self.take(due.event) {
                let history = self.history.into_iter().collect();
                return Err(Box::new(Broken { seed, at: self.now.since(Moment::START), what, history }));
            }
            if self.ended {
                break;
            }
        }
        self.count_wrong(0);
        self.played.virtual_time = self.now.since(Moment::START);
        Ok(self.played)
    }

    fn push(&mut self, at: Moment, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Due { at: at.max(self.now), number: self.queued, event }));
    }

    fn note(&mut self, line: String) {
        if self.history.len() == HISTORY_LINES {
            self.history.pop_front();
        }
        self.history.push_back(format!("{:10.3} {line}", self.now.since(Moment::START).as_secs_f64()));
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Probes(agent) => self.probe(agent),
            Event::ProbeEnds { agent, target, failed } => {
                self.agents[agent].done(target, failed.map(Err), self.now);
                self.plan_probes(agent);
                self.plan_report(agent);
            }
            Event::Reports(agent) => self.report(agent),
            Event::Arrives { server, agent, clock, report } => {
                return self.arrives(server, agent, clock, &report);
            }
            Event::Recheck { agent, targets } => {
                targets.iter().for_each(|target| self.agents[agent].plan.hurry(target.index(), self.now));
                self.plan_probes(agent);
            }
            Event::Ticks(server) => return self.step(server, None),
            Event::Befalls(fault) => return self.befall(fault),
            Event::Reloaded(server) => return self.reload(server),
            Event::MustBeWithdrawn { region, since } => return self.must_be_withdrawn(region, since),
            Event::Expected(expected) => return self.expected(expected),
            Event::Asks { resolver, service } => self.asks(resolver, service),
            Event::Applies { server, table } => return self.apply(server, table),
            Event::AllMends => self.all_mends(),
            Event::IsBack => return self.is_back(),
        }
        Ok(())
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
