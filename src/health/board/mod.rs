//! The whole of what is believed: reports in, changes of verdict out. Owned by whoever owns what changes; it
//! knows no sockets, clocks or logs.
//!
//! A report passes three levels, and each is touched only where the one before changed:
//!
//! ```text
//!  agents[a].streaks[t]    what agent a saw of target t          every outcome
//!  tallies[t][v]           the voices of vantage v about t       a voice changed
//!  records[e].machine      the verdict of endpoint e of t        a tally changed, or its time has come
//! ```
//!
//! Cost: a report without news is O(targets) over two dense arrays, without allocation; a changed voice costs
//! O(vantages) plus the endpoints of its target. Endpoints may share a target: streaks are per target, verdicts
//! per endpoint.

mod agent;
mod keep;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use self::agent::Agent;
use super::evidence::{Change, Evidence, FAILURES_TOLD, Move, Notice, Transition};
use super::limit::{Past, Wanted, may_withdraw};
use super::machine::{FailBack, Heard, Machine};
use super::outcome::Report;
use super::quorum::{Finding, Freeze, Votes, count, judge};
use super::rules::{HALF, Rules};
use super::streak::{Thresholds, Trail};
use super::vantage::{Blindness, Census, Sight, Tally, Voice, voice};
use super::verdict::{Share, Standing, State};
use crate::ids::{EndpointId, RegionId, ServiceId, TargetId, VantageId};
use crate::time::Moment;

/// What the board is about. Positions in the lists are the ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardConfig {
    /// The knobs.
    pub rules: Rules,
    /// Where agents stand.
    pub vantages: Vec<VantageSpec>,
    /// What is probed.
    pub targets: Vec<TargetSpec>,
    /// What verdicts are about.
    pub endpoints: Vec<EndpointSpec>,
}

/// Where agents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageSpec {
    /// Its name, by which it persists through a reload.
    pub name: String,
    /// What it shares its fate with: vantages of one fault domain count as one witness.
    pub fault_domain: Option<String>,
}

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// What it is, by which its streaks persist through a reload: address and probe.
    pub key: String,
    /// From one probe to the next; sets how old an outcome may be.
    pub interval: Duration,
    /// When it counts as failing.
    pub thresholds: Thresholds,
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// "region/service/address", by which its verdict persists through reloads and restarts.
    pub key: String,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The region it stands in.
    pub region: RegionId,
    /// What is probed for it; without one it is always up.
    pub target: Option<TargetId>,
    /// Its part of the service's capacity, for the speed limit; 0 counts as 1.
    pub capacity: u32,
    /// How it comes back.
    pub fail_back: FailBack,
}

/// Why a report was refused. Nothing changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such vantage.
    UnknownVantage,
    /// A report with this number or a later one was taken already.
    OldNumber {
        /// The newest taken.
        newest: u64,
    },
    /// The agent has been started anew since.
    FormerBoot,
    /// [`AGENTS_MAX`] agents have a voice already.
    TooManyAgents,
}

/// How many agents one board hears. Beyond it the longest silent one is forgotten; if none is silent the new
/// one is refused.
pub const AGENTS_MAX: usize = 4096;

/// What is believed.
#[derive(Clone, Debug)]
pub struct Board {
    rules: Rules,
    vantages: Vec<VantageSpec>,
    /// Each vantage's fault domain by number.
    domains: Vec<Option<u16>>,
    domains_configured: usize,
    targets: Vec<Target>,
    specs: Vec<EndpointSpec>,
    /// The endpoints of each service, and its capacity.
    services: Vec<(Vec<EndpointId>, u64)>,
    /// Ordered by vantage and id.
    agents: Vec<Agent>,
    /// How many vantages have an agent that is blind or lags.
    blind: u32,
    /// `targets` rows of `vantages` tallies.
    tallies: Vec<Tally>,
    /// Like `tallies`: whether the vantage moves its own clients away.
    moved: Vec<bool>,
    records: Vec<Record>,
    /// Nothing changes by time alone before this; it may be too early.
    wake: Option<Moment>,
}

/// What is probed, as the board uses it.
#[derive(Clone, Debug)]
struct Target {
    key: String,
    age_limit: Duration,
    thresholds: Thresholds,
    endpoints: Vec<EndpointId>,
    /// When its endpoints must be judged again without any news.
    wake: Option<Moment>,
}

/// What is believed of one endpoint, and around it.
#[derive(Clone, Debug)]
struct Record {
    machine: Machine,
    /// Why the votes carry no verdict.
    frozen: Option<Freeze>,
    /// Whether they ever did: before the first reports nothing is alarming about silence.
    judged: bool,
    /// Until when the speed limit holds a withdrawal back.
    held_back_until: Option<Moment>,
    evidence: Evidence,
}

/// All that `status` shows of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Status<'a> {
    /// Its name for people.
    pub key: &'a str,
    /// What is believed, before any override.
    pub standing: Standing,
    /// For how long the state has held.
    pub held: Duration,
    /// What the last change rested on.
    pub evidence: &'a Evidence,
    /// Why the votes carry no verdict now.
    pub frozen: Option<Freeze>,
    /// Until when the speed limit holds a withdrawal back.
    pub held_back_until: Option<Moment>,
    /// Until when flap damping keeps it down.
    pub suppressed_until: Option<Moment>,
}

impl Board {
    /// A board at a first start: of no endpoint anything is known, and all serve.
    #[must_use]
    pub fn new(config: BoardConfig, now: Moment) -> Self {
        let BoardConfig { rules, vantages, targets, endpoints } = config;
        let (domains, domains_configured) = number_domains(&vantages);
        let cells = targets.len() * vantages.len();
        let record = Record {
            machine: Machine::unknown(now),
            frozen: None,
            judged: false,
            held_back_until: None,
            evidence: Evidence::default(),
        };
        let mut board = Self {
            domains,
            domains_configured,
            services: group_services(&endpoints),
            targets: build_targets(targets, &endpoints, &rules),
            agents: Vec::new(),
            blind: 0,
            tallies: vec![Tally::default(); cells],
            moved: vec![false; cells],
            records: vec![record; endpoints.len()],
            wake: None,
            specs: endpoints,
            vantages,
            rules,
        };
        let every_target = (0..board.targets.len()).collect();
        board.judge_all(&every_target, now, &mut Change::default());
        board
    }

    /// Takes a report. One that was refused changes nothing.
    pub fn apply(&mut self, report: &Report, now: Moment) -> Result<Change, Refusal> {
        if report.vantage.index() >= self.vantages.len() {
            return Err(Refusal::UnknownVantage);
        }
        let index = self.agent_of(report)?;
        self.agents[index].check(report)?;
        let mut change = self.tick(now);
        self.agents[index].take(report, &self.targets, now, &mut change);
        let mut dirty = BTreeSet::new();
        self.review(index, now, &mut dirty, &mut change);
        self.judge_all(&dirty, now, &mut change);
        change.rechecks.sort_unstable();
        change.rechecks.dedup();
        Ok(change)
    }

    /// Lets time pass: what grew too old, what is due. Cheap when nothing is.
    pub fn tick(&mut self, now: Moment) -> Change {
        let mut change = Change::default();
        if self.wake.is_none_or(|wake| wake > now) {
            return change;
        }
        let mut dirty = BTreeSet::new();
        for index in 0..self.agents.len() {
            if self.agent_wake(index).is_some_and(|wake| wake <= now) {
                self.review(index, now, &mut dirty, &mut change);
            }
        }
        let due = |target: &Target| target.wake.is_some_and(|wake| wake <= now);
        dirty.extend((0..self.targets.len()).filter(|&index| due(&self.targets[index])));
        self.judge_all(&dirty, now, &mut change);
        let agents = (0..self.agents.len()).filter_map(|index| self.agent_wake(index));
        self.wake = agents.chain(self.targets.iter().filter_map(|target| target.wake)).min();
        change
    }

    /// When to call [`Board::tick`] next, if no report comes before. May be earlier than needed.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        self.wake
    }

    /// A person's word that an endpoint may come back; it is kept until the endpoint works, and void unless it
    /// is down.
    pub fn allow(&mut self, endpoint: EndpointId, now: Moment) -> Change {
        let mut change = self.tick(now);
        self.records[endpoint.index()].machine.allow();
        let target = self.specs[endpoint.index()].target.map(TargetId::index);
        self.judge_all(&target.into_iter().collect(), now, &mut change);
        change
    }

    /// What is believed of an endpoint.
    #[must_use]
    pub fn standing(&self, endpoint: EndpointId) -> Standing {
        match self.specs[endpoint.index()].target {
            Some(_) => self.records[endpoint.index()].machine.standing(&self.rules),
            None => Standing::UP,
        }
    }

    /// What holds for the clients of a vantage: what is believed, less what that vantage cannot reach. It only
    /// removes.
    #[must_use]
    pub fn standing_from(&self, vantage: VantageId, endpoint: EndpointId) -> Standing {
        let standing = self.standing(endpoint);
        match self.specs[endpoint.index()].target {
            Some(target) if self.moved[self.cell(target.index(), vantage)] => {
                Standing { state: State::Down, usable: Share::NONE, ramp: Share::NONE, ..standing }
            }
            _ => standing,
        }
    }

    /// All there is to show of an endpoint.
    #[must_use]
    pub fn status(&self, endpoint: EndpointId, now: Moment) -> Status<'_> {
        let record = &self.records[endpoint.index()];
        Status {
            key: &self.specs[endpoint.index()].key,
            standing: self.standing(endpoint),
            held: record.machine.held(now),
            evidence: &record.evidence,
            frozen: record.frozen.map(|freeze| freeze.with_blind(self.blind)),
            held_back_until: record.held_back_until,
            suppressed_until: record.machine.suppressed_until(now),
        }
    }

    /// How many probed endpoints no quorum has judged yet: at a start, the sockets may open once it is 0.
    #[must_use]
    pub fn unjudged(&self) -> usize {
        let probed = self.specs.iter().zip(&self.records).filter(|(spec, _)| spec.target.is_some());
        probed.filter(|(_, r)| matches!(r.machine.state(), State::Unknown | State::Suspect)).count()
    }

    /// The agents heard so far with how they see and when they were last heard, by vantage and id.
    pub fn agents(&self) -> impl Iterator<Item = (VantageId, u32, Sight, Moment)> + '_ {
        self.agents.iter().map(|agent| (agent.vantage, agent.id, agent.sight, agent.heard_at))
    }

    /// The position of the report's agent, made room for where it is new.
    fn agent_of(&mut self, report: &Report) -> Result<usize, Refusal> {
        let place = (report.vantage, report.agent);
        let found = self.agents.binary_search_by_key(&place, Agent::place);
        if found.is_err() && self.agents.len() >= AGENTS_MAX {
            let silent = |agent: &&Agent| agent.voices.iter().all(|&voice| voice == Voice::Silent);
            let forgotten =
                self.agents.iter().filter(silent).min_by_key(|agent| (agent.heard_at, agent.place()));
            let forgotten = forgotten.map(Agent::place).ok_or(Refusal::TooManyAgents)?;
            self.agents.retain(|agent| agent.place() != forgotten);
            return self.agent_of(report);
        }
        Ok(found.unwrap_or_else(|index| {
            self.agents.insert(index, Agent::new(report, self.targets.len()));
            index
        }))
    }

    /// Counts what an agent sees, judges its sight, and puts its changed voices into the tallies. Where it
    /// changes what others' sight is compared with, theirs is judged too.
    fn review(&mut self, index: usize, now: Moment, dirty: &mut BTreeSet<usize>, change: &mut Change) {
        self.take_census(index, now);
        let agent = &mut self.agents[index];
        if !agent.census.wholly_fails() {
            agent.wholly_since = None;
        } else if agent.wholly_since.is_none() {
            agent.wholly_since = Some(now);
        }
        self.look(index, now, dirty, change);
        if self.agents[index].outline_changed() && self.vantages.len() > 1 {
            for other in (0..self.agents.len()).filter(|&other| other != index) {
                self.look(other, now, dirty, change);
            }
        }
        self.speak(index, now, dirty);
        self.wake = earliest(self.wake, self.agent_wake(index));
    }

    fn take_census(&mut self, index: usize, now: Moment) {
        let agent = &mut self.agents[index];
        let limits = self.targets.iter().map(|target| target.age_limit);
        agent.census = Census::of(&agent.streaks, limits, now);
    }

    /// Judges an agent's sight; if it changed, all it says may have.
    fn look(&mut self, index: usize, now: Moment, dirty: &mut BTreeSet<usize>, change: &mut Change) {
        let sight = self.sight(index, now);
        let agent = &mut self.agents[index];
        if sight == agent.sight {
            return;
        }
        let (vantage, id) = agent.place();
        change.notices.push(Notice::Sight { vantage, agent: id, sight });
        agent.see(sight);
        self.count_blind();
        self.take_census(index, now);
        self.speak(index, now, dirty);
    }

    fn count_blind(&mut self) {
        let vantages = self.agents.chunk_by(|a, b| a.vantage == b.vantage);
        let blind = vantages.filter(|agents| agents.iter().any(|agent| agent.sight != Sight::Clear)).count();
        self.blind = u32::try_from(blind).expect("vantages are counted by a 16-bit id");
    }

    fn sight(&self, index: usize, now: Moment) -> Sight {
        let agent = &self.agents[index];
        if agent.lagging {
            return Sight::Lagging;
        }
        if agent.control == Some(false) {
            return Sight::Blind(Blindness::Control);
        }
        if self.vantages.len() > 1 {
            let alone = agent.census.mostly_fails() && !self.others_mostly_fail(agent.vantage);
            return if alone { Sight::Blind(Blindness::Alone) } else { Sight::Clear };
        }
        // Control targets that pass prove that a lone vantage sees.
        let news = agent.wholly_since.is_some_and(|since| now < since + self.rules.lone_wait);
        if news && agent.control.is_none() { Sight::Blind(Blindness::Everything) } else { Sight::Clear }
    }

    /// Whether most of the other vantages see over half of everything fail too.
    fn others_mostly_fail(&self, vantage: VantageId) -> bool {
        let (mut others, mut failing) = (0, 0);
        for agents in self.agents.chunk_by(|a, b| a.vantage == b.vantage) {
            let live = agents.iter().filter(|agent| agent.is_live());
            let count = live.clone().count() as u64;
            if agents[0].vantage != vantage && count > 0 {
                let mostly = live.filter(|agent| agent.census.mostly_fails()).count() as u64;
                others += 1;
                failing += u64::from(HALF.is_exceeded(mostly, count));
            }
        }
        HALF.is_exceeded(failing, others)
    }

    /// Puts the changed voices of an agent into the tallies.
    fn speak(&mut self, index: usize, now: Moment, dirty: &mut BTreeSet<usize>) {
        let vantages = self.vantages.len();
        let agent = &mut self.agents[index];
        let row = agent.streaks.iter().zip(&mut agent.voices).zip(&self.targets).enumerate();
        for (target, ((streak, known), spec)) in row {
            let said = voice(streak, agent.sight, now, spec.age_limit);
            if said != *known {
                let tally = &mut self.tallies[target * vantages + agent.vantage.index()];
                tally.replace(*known, said, streak.troubled_since());
                *known = said;
                dirty.insert(target);
            }
        }
    }

    /// When an agent's words change by time alone.
    fn agent_wake(&self, index: usize) -> Option<Moment> {
        let agent = &self.agents[index];
        let believed = agent.wholly_since.map(|since| since + self.rules.lone_wait);
        let waits = agent.sight == Sight::Blind(Blindness::Everything);
        earliest(agent.census.stale_at, believed.filter(|_| waits))
    }

    fn judge_all(&mut self, targets: &BTreeSet<usize>, now: Moment, change: &mut Change) {
        for &target in targets {
            self.judge(target, now, change);
        }
    }

    /// Judges one target: moves of single vantages, then the verdict of each of its endpoints.
    fn judge(&mut self, target: usize, now: Moment, change: &mut Change) {
        let row = target * self.vantages.len()..(target + 1) * self.vantages.len();
        let votes = Votes { blind: self.blind, ..count(&self.tallies[row], &self.domains, &self.rules, now) };
        let finding = judge(&votes, self.domains_configured, &self.rules);
        let heard = Heard { finding, doubted: votes.doubted };
        let mut wake = earliest(votes.ask_again, self.move_clients(target, now, change));
        for position in 0..self.targets[target].endpoints.len() {
            let endpoint = self.targets[target].endpoints[position];
            self.note_freeze(endpoint, finding, change);
            let ask_again = self.advance(endpoint, heard, votes, now, change);
            let machine = &self.records[endpoint.index()].machine;
            wake = earliest(earliest(wake, ask_again), machine.wake(now));
        }
        self.targets[target].wake = wake;
        self.wake = earliest(self.wake, wake);
    }

    /// Lets each vantage move its own clients. Where it is the only one its word is the quorum's anyway.
    fn move_clients(&mut self, target: usize, now: Moment, change: &mut Change) -> Option<Moment> {
        let mut wake = None;
        if self.vantages.len() < 2 {
            return wake;
        }
        for vantage in (0..self.vantages.len()).map(VantageId::from_index) {
            let cell = self.cell(target, vantage);
            let from = self.tallies[cell].moves_clients_from(self.rules.lone_wait);
            let unreachable = from.is_some_and(|from| from <= now);
            wake = earliest(wake, from.filter(|&from| from > now));
            if unreachable != self.moved[cell] {
                self.moved[cell] = unreachable;
                let failures = self.failures(target, Some(vantage), now);
                change.moves.extend(self.targets[target].endpoints.iter().map(|&endpoint| Move {
                    vantage,
                    endpoint,
                    key: self.specs[endpoint.index()].key.clone(),
                    unreachable,
                    failures: failures.clone(),
                }));
            }
        }
        wake
    }

    fn note_freeze(&mut self, endpoint: EndpointId, finding: Finding, change: &mut Change) {
        let record = &mut self.records[endpoint.index()];
        let frozen = match finding {
            Finding::Frozen(freeze) => Some(freeze),
            _ => None,
        };
        match (record.frozen, frozen) {
            (None, Some(freeze)) if record.judged => change.notices.push(Notice::Frozen(endpoint, freeze)),
            (Some(_), None) if record.judged => change.notices.push(Notice::Thawed(endpoint)),
            _ => {}
        }
        record.frozen = frozen;
        record.judged |= frozen.is_none();
    }

    /// Steps one endpoint's machine until it rests; gives when the speed limit wants to be asked again.
    fn advance(
        &mut self,
        endpoint: EndpointId,
        heard: Heard,
        votes: Votes,
        now: Moment,
        change: &mut Change,
    ) -> Option<Moment> {
        let fail_back = self.specs[endpoint.index()].fail_back;
        for _ in 0..STEPS_MAX {
            let held_back_until = self.held_back_until(endpoint, heard, now);
            let record = &mut self.records[endpoint.index()];
            if held_back_until.is_some() && record.held_back_until.is_none() {
                change.notices.push(Notice::HeldBack(endpoint));
            }
            record.held_back_until = held_back_until;
            let from = record.machine.state();
            let Some(why) =
                record.machine.step(now, heard, fail_back, &self.rules, held_back_until.is_none())
            else {
                break;
            };
            let target = self.specs[endpoint.index()].target.expect("only probed endpoints are judged");
            let evidence = Evidence { votes, failures: self.failures(target.index(), None, now) };
            let record = &mut self.records[endpoint.index()];
            record.evidence = evidence.clone();
            change.transitions.push(Transition {
                endpoint,
                key: self.specs[endpoint.index()].key.clone(),
                from,
                to: record.machine.state(),
                standing: record.machine.standing(&self.rules),
                why,
                evidence,
            });
        }
        self.records[endpoint.index()].held_back_until
    }

    /// Until when the speed limit forbids the withdrawal that the quorum asks for.
    fn held_back_until(&self, endpoint: EndpointId, heard: Heard, now: Moment) -> Option<Moment> {
        let machine = &self.records[endpoint.index()].machine;
        if !machine.wants_withdrawal(heard) {
            return None;
        }
        let spec = &self.specs[endpoint.index()];
        let (members, whole) = &self.services[spec.service.index()];
        let wanted = Wanted {
            region: spec.region,
            capacity: capacity(spec),
            since: machine.wanted_since().unwrap_or(now),
            corroborated: heard.finding == Finding::Fails { corroborated: true },
        };
        let past = members.iter().filter(|&&member| member != endpoint).filter_map(|member| {
            let spec = &self.specs[member.index()];
            let at = self.records[member.index()].machine.withdrawn_at()?;
            Some(Past { region: spec.region, capacity: capacity(spec), at })
        });
        may_withdraw(&wanted, past, *whole, &self.rules.speed, now).err()
    }

    /// What the agents see fail, the most frequent first; of one vantage or of all.
    fn failures(&self, target: usize, vantage: Option<VantageId>, now: Moment) -> Vec<(Trail, u32)> {
        let known = &self.targets[target];
        let mut failures = Vec::new();
        for agent in self.agents.iter().filter(|agent| vantage.is_none_or(|v| v == agent.vantage)) {
            let said = voice(&agent.streaks[target], agent.sight, now, known.age_limit);
            let trail = said.is_trouble().then(|| agent.streaks[target].trail(&known.thresholds)).flatten();
            if let Some(trail) = trail {
                Evidence::add(&mut failures, trail);
            }
        }
        failures.sort_by_key(|&(_, agents)| std::cmp::Reverse(agents));
        failures.truncate(FAILURES_TOLD);
        failures
    }

    fn cell(&self, target: usize, vantage: VantageId) -> usize {
        target * self.vantages.len() + vantage.index()
    }
}

/// More transitions than this at one moment are a loop: all the ramp's steps at once are fewer.
const STEPS_MAX: usize = 300;

fn earliest(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    a.into_iter().chain(b).min()
}

fn capacity(spec: &EndpointSpec) -> u64 {
    spec.capacity.max(1).into()
}

/// Numbers the fault domains in the order of their first mention.
fn number_domains(vantages: &[VantageSpec]) -> (Vec<Option<u16>>, usize) {
    let mut names: Vec<&str> = Vec::new();
    let domains = vantages.iter().map(|vantage| {
        let name = vantage.fault_domain.as_deref()?;
        let known = names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        Some(VantageId::from_index(index).0)
    });
    let domains = domains.collect();
    (domains, names.len())
}

fn group_services(endpoints: &[EndpointSpec]) -> Vec<(Vec<EndpointId>, u64)> {
    let count = endpoints.iter().map(|spec| spec.service.index() + 1).max().unwrap_or(0);
    let mut services = vec![(Vec::new(), 0); count];
    for (index, spec) in endpoints.iter().enumerate() {
        let (members, whole) = &mut services[spec.service.index()];
        members.push(EndpointId::from_index(index));
        *whole += capacity(spec);
    }
    services
}

/// # Panics
/// When an endpoint names a target that is not there.
fn build_targets(specs: Vec<TargetSpec>, endpoints: &[EndpointSpec], rules: &Rules) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::with_capacity(specs.len());
    targets.extend(specs.into_iter().map(|spec| Target {
        key: spec.key,
        age_limit: rules.age_limit(spec.interval),
        thresholds: spec.thresholds,
        endpoints: Vec::new(),
        wake: None,
    }));
    for (index, spec) in endpoints.iter().enumerate() {
        if let Some(target) = spec.target {
            targets[target.index()].endpoints.push(EndpointId::from_index(index));
        }
    }
    targets
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVantage => f.write_str("no such vantage is configured"),
            Self::OldNumber { newest } => write!(f, "report {newest} or a later one was taken already"),
            Self::FormerBoot => f.write_str("the agent has been started anew since"),
            Self::TooManyAgents => write!(f, "{AGENTS_MAX} agents report already"),
        }
    }
}
