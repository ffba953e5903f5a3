//! A world in virtual time: servers, agents, paths and resolvers, one queue of events, one seed. Every change is
//! held against the invariants at once; the first that does not hold ends the play.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::agent::Agent;
use super::build::{TIMEOUT, generation};
use super::invariants::{WITHDRAWN_WITHIN, Witness};
use super::resolvers::Resolver;
use super::sabotage::Bug;
use super::scenario::{Believed, Expectation, Fault, Health, Mood, Scenario};
use super::truth::Truth;
use super::{Broken, Played};
use crate::agent::chance::Chance;
use crate::agent::plan::Pace;
use crate::answer::table::AnswerTable;
use crate::control::state::{self, State};
use crate::health::evidence::Change;
use crate::health::outcome::{Failure, Report};
use crate::health::verdict::{Standing, State as Verdict};
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

enum Event {
    Probes(usize),
    ProbeEnds { agent: usize, target: usize, failed: Option<Failure> },
    Reports(usize),
    Arrives { server: usize, agent: usize, report: Rc<Report> },
    Recheck { agent: usize, targets: Rc<[TargetId]> },
    Ticks(usize),
    Befalls(Fault),
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
            Event::Arrives { server, agent, report } => return self.arrives(server, agent, &report),
            Event::Recheck { agent, targets } => {
                targets.iter().for_each(|target| self.agents[agent].plan.hurry(target.index(), self.now));
                self.plan_probes(agent);
            }
            Event::Ticks(server) => return self.step(server, None),
            Event::Befalls(fault) => return self.befall(fault),
            Event::MustBeWithdrawn { region, since } => return self.must_be_withdrawn(region, since),
            Event::Expected(expected) => return self.expected(expected),
            Event::Asks { resolver, service } => self.asks(resolver, service),
            Event::Applies { server, table } => return self.apply(server, table),
            Event::AllMends => self.all_mends(),
            Event::IsBack => return self.is_back(),
        }
        Ok(())
    }

    // Agents.

    fn plan_probes(&mut self, agent: usize) {
        let Some(wake) = self.agents[agent].plan.next_wake() else { return };
        let wake = wake.max(self.now);
        if wake < self.agents[agent].probes_at {
            self.agents[agent].probes_at = wake;
            self.push(wake, Event::Probes(agent));
        }
    }

    fn probe(&mut self, agent: usize) {
        if self.now != self.agents[agent].probes_at {
            return;
        }
        self.agents[agent].probes_at = Moment(u64::MAX);
        if matches!(self.truth.mood(agent), Mood::Stalled | Mood::Frozen) {
            let later = self.now + Duration::from_millis(100);
            self.agents[agent].probes_at = later;
            return self.push(later, Event::Probes(agent));
        }
        while let Some(target) = self.agents[agent].plan.due(self.now) {
            self.played.probes += 1;
            match self.outcome(agent, target % self.scenario.regions) {
                Some(Failure::TimedOut) => {
                    let failed = (self.bug != Some(Bug::HangsUnseen)).then_some(Failure::TimedOut);
                    self.push(self.now + TIMEOUT, Event::ProbeEnds { agent, target, failed });
                }
                failed => self.agents[agent].done(target, Some(failed.map_or(Ok(()), Err)), self.now),
            }
        }
        self.plan_probes(agent);
        self.plan_report(agent);
    }

    /// How a probe that begins now fails, if it does.
    fn outcome(&mut self, agent: usize, region: usize) -> Option<Failure> {
        let lost = self.truth.path(agent, region).value;
        let late = self.truth.mood(agent) == Mood::Lags;
        let lost = if late { lost.max(0.5) } else { lost.max(self.truth.loss) };
        if self.truth.isolated(agent) || lost > 0.0 && self.chance.ratio() < lost {
            return Some(Failure::TimedOut);
        }
        match self.truth.health(region).value {
            Health::Works => None,
            Health::Killed => Some(Failure::Refused),
            Health::Hangs => Some(Failure::TimedOut),
            Health::Errs if self.bug == Some(Bug::ErrorsPass) => None,
            Health::Errs => Some(Failure::Status(500)),
        }
    }

    fn plan_report(&mut self, agent: usize) {
        let due = self.agents[agent].report_due(self.now);
        if due < self.agents[agent].reports_at {
            self.agents[agent].reports_at = due;
            self.push(due, Event::Reports(agent));
        }
    }

    fn report(&mut self, agent: usize) {
        if self.now != self.agents[agent].reports_at {
            return;
        }
        self.agents[agent].reports_at = Moment(u64::MAX);
        let mood = self.truth.mood(agent);
        if mood == Mood::Frozen {
            self.agents[agent].tell_all = true;
            let later = self.now + Duration::from_millis(250);
            self.agents[agent].reports_at = later;
            return self.push(later, Event::Reports(agent));
        }
        if self.truth.parted_somewhere(agent) {
            self.agents[agent].tell_all = true;
        }
        let control = (self.bug != Some(Bug::ControlIgnored)).then(|| !self.truth.isolated(agent));
        let lagging = mood == Mood::Lags && self.bug != Some(Bug::LaggingIgnored);
        if let Some(mut report) = self.agents[agent].report(control, lagging, self.now) {
            if self.bug == Some(Bug::OffByOneTarget) {
                let count = self.scenario.services * self.scenario.regions;
                let next = |target: TargetId| TargetId::from_index((target.index() + 1) % count);
                report.targets.iter_mut().for_each(|entry| entry.target = next(entry.target));
            }
            self.send(agent, report);
        }
        self.plan_report(agent);
    }

    fn send(&mut self, agent: usize, report: Report) {
        let report = Rc::new(report);
        for server in 0..self.servers.len() {
            if !self.truth.parted(agent, server) {
                self.played.reports += 1;
                self.push(self.now + WAY, Event::Arrives { server, agent, report: Rc::clone(&report) });
            } else if self.bug == Some(Bug::SilenceIsDown) {
                let mut taken = Report::clone(&report);
                let failed = |one: &mut crate::health::outcome::Outcome| one.result = Err(Failure::TimedOut);
                taken.targets.iter_mut().for_each(|entry| entry.outcomes.iter_mut().for_each(failed));
                self.push(self.now + WAY, Event::Arrives { server, agent, report: Rc::new(taken) });
            }
        }
    }

    // Servers.

    fn start(&mut self, server: usize, with_twin: bool) -> Server {
        let made = || state::State::new(generation(self.scenario, self.bug), &[], Duration::ZERO, self.now);
        let state = made();
        let twin = with_twin.then(|| {
            let mut generation = generation(self.scenario, self.bug);
            if self.bug == Some(Bug::SaltPerNode) {
                generation.plan.services.iter_mut().for_each(|service| service.salt += 1);
            }
            State::new(generation, &[], Duration::ZERO, self.now)
        });
        Server {
            table: Arc::clone(state.table()),
            witness: Witness::new(server, self.scenario.vantages, self.scenario.regions),
            started: self.now,
            ticks_at: Moment(u64::MAX),
            state,
            twin,
        }
    }

    fn arrives(&mut self, server: usize, agent: usize, report: &Rc<Report>) -> Result<(), String> {
        // What was on its way when the connection broke is lost.
        if self.truth.parted(agent, server) && self.bug != Some(Bug::SilenceIsDown) {
            return Ok(());
        }
        self.step(server, Some(report))?;
        if self.bug == Some(Bug::VotesTwice) {
            let mut second = Report::clone(report);
            second.vantage = VantageId::from_index((agent + 1) % self.scenario.vantages);
            second.agent = 1;
            self.step(server, Some(&Rc::new(second)))?;
        }
        Ok(())
    }

    /// Gives a server a report, or the time.
    fn step(&mut self, server: usize, report: Option<&Rc<Report>>) -> Result<(), String> {
        let now = self.now;
        let one = &mut self.servers[server];
        if report.is_none() && one.ticks_at == now {
            one.ticks_at = Moment(u64::MAX);
        }
        let give = |state: &mut State| {
            let event = match report {
                Some(report) => {
                    state::Event::Report { generation: state.number(), report: Report::clone(report) }
                }
                None => state::Event::Tick,
            };
            state.step(event, now)
        };
        let effects = give(&mut one.state);
        if let Some(twin) = &mut one.twin {
            let twins = give(twin);
            if effects.table.is_some() != twins.table.is_some() {
                return Err("of two nodes that heard the same one made a new table".to_owned());
            }
        }
        self.follow(server, effects.change, effects.table)?;
        self.plan_tick(server);
        Ok(())
    }

    fn plan_tick(&mut self, server: usize) {
        let Some(wake) = self.servers[server].state.wake() else { return };
        let wake = wake.max(self.now);
        if wake < self.servers[server].ticks_at {
            self.servers[server].ticks_at = wake;
            self.push(wake, Event::Ticks(server));
        }
    }

    /// What a step brought.
    fn follow(
        &mut self,
        server: usize,
        change: Change,
        table: Option<Arc<AnswerTable>>,
    ) -> Result<(), String> {
        for one in &change.transitions {
            self.note(format!("s{server} {one}"));
            self.played.transitions += 1;
            self.played.withdrawals += u64::from(one.to == Verdict::Down && one.from != Verdict::Down);
            self.servers[server].witness.transition(one, &self.truth, self.now)?;
        }
        for one in &change.moves {
            self.note(format!("s{server} v{}: {one}", one.vantage.0));
            self.servers[server].witness.moved(one, &self.truth, self.now)?;
        }
        if !change.notices.is_empty() {
            self.note(format!("s{server} {:?}", change.notices));
        }
        if !change.rechecks.is_empty() {
            let targets: Rc<[TargetId]> = change.rechecks.into();
            let heard: Vec<usize> =
                (0..self.agents.len()).filter(|agent| !self.truth.parted(*agent, server)).collect();
            for agent in heard {
                self.push(self.now + WAY, Event::Recheck { agent, targets: Rc::clone(&targets) });
            }
        }
        match table {
            Some(table) if self.bug == Some(Bug::DelayedApplier) => {
                let late = Duration::from_millis(self.chance.bits() % LATE_MILLIS);
                self.push(self.now + late, Event::Applies { server, table });
                Ok(())
            }
            Some(table) => self.apply(server, table),
            None => Ok(()),
        }
    }

    /// A server answers from a new table from now on.
    fn apply(&mut self, server: usize, table: Arc<AnswerTable>) -> Result<(), String> {
        let services = self.scenario.services;
        let table = if self.bug == Some(Bug::RotatingLots) { self.with_other_lots(server) } else { table };
        let one = &mut self.servers[server];
        let old = std::mem::replace(&mut one.table, Arc::clone(&table));
        one.witness.table(&old, &table, services, one.state.board())?;
        if let Some(twin) = &one.twin {
            Witness::alike(one.state.table(), twin.table(), services)?;
        }
        for resolver in 0..self.resolvers.len() {
            if self.resolvers[resolver].server == server {
                (0..services).for_each(|service| self.ask_next(resolver, service));
            }
        }
        Ok(())
    }

    /// The table of the moment if lots fell otherwise in each generation.
    fn with_other_lots(&self, server: usize) -> Arc<AnswerTable> {
        let state = &self.servers[server].state;
        let mut generation = generation(self.scenario, self.bug);
        let number = state.table().generation();
        generation.plan.services.iter_mut().for_each(|service| service.salt = number * 0x9e37);
        let mut counters = Default::default();
        Arc::new(generation.plan.table(number, &state::Believed(state.board()), &mut counters))
    }

    // What befalls.

    fn befall(&mut self, fault: Fault) -> Result<(), String> {
        if self.mended_at.is_some() {
            return Ok(());
        }
        self.note(format!("{fault:?}"));
        self.truth.befall(fault, self.now);
        match fault {
            Fault::Region(region, health) => self.falls(region, health),
            Fault::Restart(server) => self.restart(server)?,
            Fault::Reload(server) => self.reload(server)?,
            _ => {}
        }
        Ok(())
    }

    fn falls(&mut self, region: usize, health: Health) {
        self.recount_wrong();
        if health == Health::Works {
            return;
        }
        let since = self.truth.health(region).since;
        self.push(self.now + WITHDRAWN_WITHIN, Event::MustBeWithdrawn { region, since });
        if health == Health::Killed {
            // Who held a connection notices that it broke.
            let of_region =
                (0..self.scenario.services).map(|s| TargetId::from_index(s * self.scenario.regions + region));
            let targets: Rc<[TargetId]> = of_region.collect();
            for agent in 0..self.agents.len() {
                let path = self.truth.path(agent, region).value;
                if path < 1.0 && !self.truth.isolated(agent) && self.truth.mood(agent) == Mood::Well {
                    let targets = Rc::clone(&targets);
                    self.push(self.now + WAY / 10, Event::Recheck { agent, targets });
                }
            }
        }
    }

    fn restart(&mut self, server: usize) -> Result<(), String> {
        let one = &self.servers[server];
        let with_twin = one.twin.is_some();
        let before = self.standings(server);
        let forgets = self.bug == Some(Bug::ForgottenVerdicts);
        let saved = if forgets { Vec::new() } else { one.state.board().saved(self.now) };
        let again = || State::new(generation(self.scenario, self.bug), &saved, Duration::ZERO, self.now);
        let state = again();
        let twin = with_twin.then(again);
        let witness = Witness::new(server, self.scenario.vantages, self.scenario.regions);
        let table = Arc::clone(state.table());
        let started = self.now;
        self.servers[server] = Server { table, state, twin, witness, started, ticks_at: Moment(u64::MAX) };
        self.agents.iter_mut().for_each(|agent| agent.tell_all = true);
        self.plan_tick(server);
        let serves = |standing: &Standing| standing.state != Verdict::Down && standing.ramp.parts() > 0;
        let idle = before.iter().enumerate().filter(|(_, standing)| !serves(standing));
        let idle = idle.map(|(endpoint, _)| EndpointId::from_index(endpoint));
        self.servers[server].witness.knows_idle(idle);
        for (endpoint, (was, is)) in before.iter().zip(self.standings(server)).enumerate() {
            if serves(was) != serves(&is) {
                return Err(format!(
                    "endpoint {endpoint} was {} and is {} after a restart",
                    was.state, is.state
                ));
            }
        }
        Ok(())
    }

    fn reload(&mut self, server: usize) -> Result<(), String> {
        let now = self.now;
        let before = self.standings(server);
        let (scenario, bug) = (self.scenario, self.bug);
        let one = &mut self.servers[server];
        let anew = || state::Event::Reload(Box::new(generation(scenario, bug)));
        let effects = one.state.step(anew(), now);
        if let Some(twin) = &mut one.twin {
            let _ = twin.step(anew(), now);
        }
        if before != self.standings(server) {
            return Err("a reload that changes nothing changed a verdict".to_owned());
        }
        self.follow(server, effects.change, effects.table)?;
        self.plan_tick(server);
        Ok(())
    }

    fn standings(&self, server: usize) -> Vec<Standing> {
        let count = self.scenario.services * self.scenario.regions;
        let board = self.servers[server].state.board();
        (0..count).map(|endpoint| board.standing(EndpointId::from_index(endpoint))).collect()
    }

    fn must_be_withdrawn(&mut self, region: usize, since: Moment) -> Result<(), String> {
        let health = self.truth.health(region);
        if health.value == Health::Works || health.since != since {
            return Ok(());
        }
        for server in &self.servers {
            if self.now.since(server.started) < WITHDRAWN_WITHIN {
                continue;
            }
            for service in 0..self.scenario.services {
                let endpoint = EndpointId::from_index(service * self.scenario.regions + region);
                server.witness.is_withdrawn(endpoint, server.state.board(), &self.truth, self.now)?;
            }
        }
        Ok(())
    }

    fn expected(&mut self, expected: Expectation) -> Result<(), String> {
        for server in 0..self.servers.len() {
            for service in 0..self.scenario.services {
                let endpoint = service * self.scenario.regions + expected.region;
                let state = self.standings(server)[endpoint].state;
                let is = match expected.believed {
                    Believed::Down => state == Verdict::Down,
                    Believed::Up => state == Verdict::Up,
                    Believed::Serving => matches!(state, Verdict::Up | Verdict::Suspect | Verdict::Unknown),
                };
                if !is {
                    return Err(format!("{expected:?}, but s{server} believes {state}"));
                }
            }
        }
        Ok(())
    }

    fn all_mends(&mut self) {
        self.note("all is mended".to_owned());
        self.truth.mend(self.now);
        self.mended_at = Some(self.now);
        self.recount_wrong();
        self.push(self.now + LOOK_EVERY, Event::IsBack);
    }

    fn is_back(&mut self) -> Result<(), String> {
        let mended = self.mended_at.expect("it is looked only after the mending");
        let up = |standing: &Standing| standing.state == Verdict::Up;
        if (0..self.servers.len()).all(|server| self.standings(server).iter().all(up)) {
            self.ended = true;
        } else if self.now.since(mended) > BACK_WITHIN && self.scenario.loss < 0.01 {
            return Err(format!("all works for {BACK_WITHIN:?}, and not all is up"));
        } else if self.now.since(mended) > BACK_WITHIN {
            // Where probes fail now and then something is always in doubt.
            self.ended = true;
        }
        self.push(self.now + LOOK_EVERY, Event::IsBack);
        Ok(())
    }

    // Resolvers.

    fn ask_next(&mut self, resolver: usize, service: usize) {
        if let Some(at) = self.resolvers[resolver].asks_next(service, self.now) {
            self.push(at, Event::Asks { resolver, service });
        }
    }

    fn asks(&mut self, resolver: usize, service: usize) {
        let one = &mut self.resolvers[resolver];
        let before = one.held[service].region;
        let region = one.ask(service, &self.servers[one.server].table, self.now);
        let wrong = |region: Option<usize>| {
            i64::from(region.is_some_and(|region| self.truth.health(region).value != Health::Works))
        };
        let difference = wrong(region) - wrong(before);
        self.count_wrong(difference);
    }

    fn recount_wrong(&mut self) {
        let held = self.resolvers.iter().flat_map(|resolver| &resolver.held);
        let dead = |region: usize| self.truth.health(region).value != Health::Works;
        let wrong = held.filter(|held| held.region.is_some_and(dead)).count() as i64;
        self.count_wrong(wrong - self.wrong as i64);
    }

    /// Adds up what was handed out wrongly until now, and changes the count.
    fn count_wrong(&mut self, difference: i64) {
        let span = self.now.since(self.wrong_since).as_secs_f64();
        let holders = (self.resolvers.len() * self.scenario.services).max(1);
        self.played.wrong_seconds += span * self.wrong as f64 / holders as f64;
        self.wrong_since = self.now;
        self.wrong = self.wrong.saturating_add_signed(difference);
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
