//! The whole of what is believed: reports in, changes of verdict out. Owned by whoever owns what changes; it
//! knows no sockets, clocks or logs.
//!
//! A report passes three levels, and each is touched only where the one before changed:
//!
//! ```text
//!  agents[a].streaks[t]    what agent a saw of target t          every outcome
//!  agents[a].said[t]       what a says of t, composed or not     a streak changed
//!  tallies[t][v]           the voices of vantage v about t       a voice changed
//!  records[e].machine      the verdict of endpoint e of t        a tally changed, or its time has come
//! ```
//!
//! Cost: a report without news is O(targets) over two dense arrays, without allocation; a changed voice costs
//! O(vantages) plus the endpoints of its target. Endpoints may share a target: streaks are per target, verdicts
//! per endpoint. A [`check`](super::check) is a target that is judged from others, and a gauge one whose outcomes come
//! from outside rather than from agents.

mod agent;
mod judge;
mod keep;
mod outline;
mod push;
mod sight;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use self::agent::Agent;
use self::outline::{Outline, Outlines};
pub use self::push::Opinion;
pub use self::spec::{BoardConfig, EndpointSpec, Source, TargetSpec, VantageSpec};
use self::spec::{build_targets, group_services, number_domains};
use super::evidence::{Change, Evidence};
use super::machine::Machine;
use super::outcome::Report;
use super::quorum::Freeze;
use super::rules::Rules;
use super::streak::{Streak, Thresholds};
use super::usable::Usable;
use super::vantage::{Sight, Tally, Voice};
use super::verdict::{Share, Standing, State};
use crate::ids::{EndpointId, TargetId, VantageId};
use crate::time::Moment;

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

/// So long after a start no quorum is made without the vantages that were not heard yet: reports come several
/// times a second, and each has the last outcomes.
const START_WAIT: Duration = Duration::from_secs(2);

/// Votes of single vantages about single targets that may be judged without a rest afterwards: some dozens of
/// endpoints that fail at once, in a fleet of any size.
pub const VOTES_WITHOUT_REST: usize = 1024;
/// The rest after each vote beyond that. Judging takes some ten nanoseconds per vote, so that it cannot come to more
/// than a few hundredths of the time, whatever flaps.
pub const REST_PER_VOTE: Duration = Duration::from_nanos(500);
/// The longest rest, which is how often a changed outcome may bring a report forward.
pub const REST_MAX: Duration = Duration::from_millis(20);

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
    /// What they see in outline.
    outlines: Outlines,
    /// How many vantages have an agent that is blind or lags.
    blind: u32,
    /// `targets` rows of `vantages` tallies.
    tallies: Vec<Tally>,
    /// Like `tallies`: whether the vantage moves its own clients away.
    moved: Vec<bool>,
    /// By target: how many agents say that it is usable in part.
    lessened: Vec<u32>,
    records: Vec<Record>,
    /// What was heard and is not judged yet: targets about which something was said anew, and what changed.
    unsettled: (Vec<usize>, Change),
    /// Until then vantages that were not heard yet are waited for.
    settled_at: Moment,
    /// Until then [`Board::settle_in_turn`] judges nothing.
    rests_until: Moment,
    /// Nothing changes by time alone before this; it may be too early.
    wake: Option<Moment>,
}

/// What is probed, as the board uses it.
#[derive(Clone, Debug)]
struct Target {
    key: String,
    probe: String,
    age_limit: Duration,
    thresholds: Thresholds,
    source: Source,
    /// The target that has its outcomes turned round.
    negation: Option<usize>,
    /// Its outcomes, or those that it turns round, are pushed: they are kept here and not with the agents.
    is_pushed: bool,
    pushed: Streak,
    /// When what was pushed grows too old.
    stale_at: Option<Moment>,
    endpoints: Vec<EndpointId>,
    /// When its endpoints must be judged again without any news.
    wake: Option<Moment>,
}

/// What is believed of one endpoint, and around it.
#[derive(Clone, Debug)]
struct Record {
    machine: Machine,
    usable: Usable,
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
    /// It works, and comes back when a person says so.
    pub awaits_word: bool,
}

impl Board {
    /// A board at a first start: of no endpoint anything is known, and all serve.
    #[must_use]
    pub fn new(config: BoardConfig, now: Moment) -> Self {
        let BoardConfig { rules, vantages, targets, endpoints } = config;
        let (domains, domains_configured) = number_domains(&vantages);
        let rows = targets.len();
        let cells = rows * vantages.len();
        let record = Record {
            machine: Machine::unknown(now),
            usable: Usable::default(),
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
            outlines: Outlines::new(vantages.len()),
            blind: 0,
            tallies: vec![Tally::default(); cells],
            moved: vec![false; cells],
            lessened: vec![0; rows],
            records: vec![record; endpoints.len()],
            unsettled: (Vec::new(), Change::default()),
            settled_at: now + START_WAIT,
            rests_until: now,
            wake: None,
            specs: endpoints,
            vantages,
            rules,
        };
        let every_target = (0..board.targets.len()).collect();
        board.judge_all(every_target, now, &mut Change::default());
        board
    }

    /// Takes a report and judges what it says. One that was refused changes nothing.
    pub fn apply(&mut self, report: &Report, now: Moment) -> Result<Change, Refusal> {
        self.hear(report, now)?;
        Ok(self.settle(now))
    }

    /// Takes a report, to be judged by [`Board::settle_in_turn`]: of reports that come together, each is heard, and
    /// every target that they say something new about is judged once. One that was refused changes nothing.
    pub fn hear(&mut self, report: &Report, now: Moment) -> Result<(), Refusal> {
        if report.vantage.index() >= self.vantages.len() {
            return Err(Refusal::UnknownVantage);
        }
        let index = self.agent_of(report)?;
        self.agents[index].check(report)?;
        let ticked = self.tick(now);
        let (mut dirty, mut change) = std::mem::take(&mut self.unsettled);
        change.absorb(ticked);
        self.agents[index].take(report, &self.targets, now, &mut change);
        self.review(index, now, &mut dirty, &mut change);
        self.unsettled = (dirty, change);
        Ok(())
    }

    /// Judges what was heard, unless so much was judged a moment ago that [`Board::tick`] is to do it when
    /// [`Board::wake`] says. Where many agents see many targets change all the time, each report would otherwise have
    /// a good part of all targets judged, by the votes of all vantages.
    pub fn settle_in_turn(&mut self, now: Moment) -> Change {
        if now < self.rests_until && !self.unsettled.0.is_empty() {
            self.wake = earliest(self.wake, Some(self.rests_until));
            return Change::default();
        }
        self.settle(now)
    }

    /// Judges what was heard.
    fn settle(&mut self, now: Moment) -> Change {
        let (dirty, mut change) = std::mem::take(&mut self.unsettled);
        let votes = self.judge_all(dirty, now, &mut change) * self.vantages.len();
        if votes > VOTES_WITHOUT_REST {
            let rest = REST_PER_VOTE * u32::try_from(votes).unwrap_or(u32::MAX);
            self.rests_until = now + rest.min(REST_MAX);
        }
        change.rechecks.sort_unstable();
        change.rechecks.dedup();
        change
    }

    /// Lets time pass: what grew too old, what is due. Cheap when nothing is.
    pub fn tick(&mut self, now: Moment) -> Change {
        let mut change = Change::default();
        if self.wake.is_none_or(|wake| wake > now) {
            return change;
        }
        let mut dirty = Vec::new();
        if self.rests_until <= now && !self.unsettled.0.is_empty() {
            change = self.settle(now);
        }
        for index in 0..self.agents.len() {
            if self.agent_wake(index).is_some_and(|wake| wake <= now) {
                self.review(index, now, &mut dirty, &mut change);
            }
        }
        self.expire(now, &mut dirty);
        let due = |target: &Target| target.wake.is_some_and(|wake| wake <= now);
        dirty.extend((0..self.targets.len()).filter(|&index| due(&self.targets[index])));
        self.judge_all(dirty, now, &mut change);
        let agents = (0..self.agents.len()).filter_map(|index| self.agent_wake(index));
        let targets = self.targets.iter().flat_map(|target| [target.wake, target.stale_at]).flatten();
        let rest = (!self.unsettled.0.is_empty()).then_some(self.rests_until);
        self.wake = agents.chain(targets).chain(rest).min();
        change
    }

    /// When to call [`Board::tick`] next, if no report comes before. May be earlier than needed.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        self.wake
    }

    /// A person's word that an endpoint may come back; it is kept until the endpoint works, and void unless it
    /// is down or held.
    pub fn allow(&mut self, endpoint: EndpointId, now: Moment) -> Change {
        let mut change = self.tick(now);
        self.records[endpoint.index()].machine.allow();
        let target = self.specs[endpoint.index()].target.map(TargetId::index);
        self.judge_all(Vec::from_iter(target), now, &mut change);
        change
    }

    /// What is believed of an endpoint.
    #[must_use]
    pub fn standing(&self, endpoint: EndpointId) -> Standing {
        match self.specs[endpoint.index()].target {
            Some(_) => self.records[endpoint.index()].standing(&self.rules),
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
            awaits_word: record.machine.awaits_word(self.specs[endpoint.index()].way_back.fail_back),
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
            let silent = |agent: &&Agent| agent.said.iter().all(|said| said.voice == Voice::Silent);
            let forgotten =
                self.agents.iter().filter(silent).min_by_key(|agent| (agent.heard_at, agent.place()));
            let forgotten = forgotten.map(Agent::place).ok_or(Refusal::TooManyAgents)?;
            let outlines = &mut self.outlines;
            self.agents.retain(|agent| {
                let stays = agent.place() != forgotten;
                if !stays {
                    outlines.replace(agent.vantage, agent.outline, Outline::default());
                }
                stays
            });
            return self.agent_of(report);
        }
        Ok(found.unwrap_or_else(|index| {
            self.agents.insert(index, Agent::new(report, self.targets.len()));
            index
        }))
    }

    fn cell(&self, target: usize, vantage: VantageId) -> usize {
        target * self.vantages.len() + vantage.index()
    }
}

impl Record {
    /// What the choice of answers reads: the verdict, and no more than is usable.
    fn standing(&self, rules: &Rules) -> Standing {
        let standing = self.machine.standing(rules);
        Standing { usable: standing.usable.min(self.usable.share()), ..standing }
    }
}

fn earliest(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    a.into_iter().chain(b).min()
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
