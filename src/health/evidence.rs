//! What a change of verdict rests on, in full, so that one log line tells it.

use std::fmt;

use super::machine::Why;
use super::quorum::{Freeze, Votes};
use super::streak::Trail;
use super::vantage::Sight;
use super::verdict::{Standing, State};
use crate::ids::{EndpointId, TargetId, VantageId};

/// The votes and failures behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The votes, counted.
    pub votes: Votes,
    /// The most frequent failures, at most [`FAILURES_TOLD`], each with how many agents saw it.
    pub failures: Vec<(Trail, u32)>,
}

/// How many different failures a log line tells.
pub const FAILURES_TOLD: usize = 3;

/// A verdict changed, or the share of a ramp did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whose.
    pub endpoint: EndpointId,
    /// Its name for people, "region/service/address".
    pub key: String,
    /// What was believed.
    pub from: State,
    /// What is believed; the same as before where only the ramp went on.
    pub to: State,
    /// What it may serve now.
    pub standing: Standing,
    /// Why.
    pub why: Why,
    /// What it rests on.
    pub evidence: Evidence,
}

/// A vantage sees otherwise than the quorum, and its own clients are moved; or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The vantage.
    pub vantage: VantageId,
    /// Away from this endpoint, or back to it.
    pub endpoint: EndpointId,
    /// The endpoint's name for people.
    pub key: String,
    /// From there it cannot be reached.
    pub unreachable: bool,
    /// The most frequent failures seen from there.
    pub failures: Vec<(Trail, u32)>,
}

/// An alarm, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The votes of an endpoint cannot carry a verdict any more: the last one stays.
    Frozen(EndpointId, Freeze),
    /// They can again.
    Thawed(EndpointId),
    /// An agent's failures mean nothing, or mean something again.
    Sight {
        /// Where it stands.
        vantage: VantageId,
        /// Which of its agents.
        agent: u32,
        /// How it sees now.
        sight: Sight,
    },
    /// The quorum wants an endpoint withdrawn; the speed limit makes it wait.
    HeldBack(EndpointId),
}

/// What one event changed. Empty nearly always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Verdicts that changed, in the order in which they did.
    pub transitions: Vec<Transition>,
    /// Vantages that move their own clients.
    pub moves: Vec<Move>,
    /// Alarms.
    pub notices: Vec<Notice>,
    /// What every agent should probe again at once.
    pub rechecks: Vec<TargetId>,
    /// Outcomes that were too old to count.
    pub late: u32,
    /// Targets in a report that this generation does not know.
    pub unknown_targets: u32,
}

impl Change {
    /// Adds what a later event changed.
    pub fn absorb(&mut self, later: Change) {
        self.transitions.extend(later.transitions);
        self.moves.extend(later.moves);
        self.notices.extend(later.notices);
        self.rechecks.extend(later.rechecks);
        self.late += later.late;
        self.unknown_targets += later.unknown_targets;
    }

    /// Whether an answer may have changed.
    #[must_use]
    pub fn touches_answers(&self) -> bool {
        !self.transitions.is_empty() || !self.moves.is_empty()
    }
}

impl Evidence {
    /// What speaks for a state, in words.
    #[must_use]
    pub fn of(&self, state: State) -> impl fmt::Display + '_ {
        Told { to: state, evidence: self }
    }

    /// Adds what one agent saw.
    pub(super) fn add(failures: &mut Vec<(Trail, u32)>, trail: Trail) {
        match failures.iter_mut().find(|(known, _)| known.failure == trail.failure) {
            Some((known, agents)) => {
                *agents += 1;
                if trail.in_a_row > known.in_a_row {
                    *known = trail;
                }
            }
            None => failures.push((trail, 1)),
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to, standing, evidence, .. } = self;
        if from == to {
            write!(f, "{key} {to}: ")?;
        } else {
            write!(f, "{key} {from} -> {to}: ")?;
        }
        match self.why {
            Why::Votes => write!(f, "{}", Told { to: *to, evidence }),
            Why::RampBegins if *to == State::Up => f.write_str("comes back whole"),
            Why::RampBegins => write!(f, "comes back, ramp at {}", standing.ramp),
            Why::RampStep if *to == State::Up => f.write_str("the ramp is done"),
            Why::RampStep => write!(f, "ramp at {}", standing.ramp),
            Why::Share => write!(f, "{} of it is usable", standing.usable),
            Why::TooOld => f.write_str("no report since the restart, and the saved verdict is too old"),
        }
    }
}

struct Told<'a> {
    to: State,
    evidence: &'a Evidence,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let votes = &self.evidence.votes;
        let (count, word) = match self.to {
            State::Down => (votes.fails, "fail"),
            State::Suspect => (votes.troubled, "see failures"),
            _ => (votes.works, "reach it"),
        };
        let vantages = if votes.eligible == 1 { "vantage" } else { "vantages" };
        let word = match (count, word) {
            (1, "fail") => "fails",
            (1, "see failures") => "sees failures",
            (1, "reach it") => "reaches it",
            _ => word,
        };
        write!(f, "{count} of {} {vantages} {word}", votes.eligible)?;
        if votes.eligible < votes.configured {
            write!(f, " ({} configured)", votes.configured)?;
        }
        if matches!(self.to, State::Down | State::Suspect) {
            write_failures(&self.evidence.failures, f)?;
        }
        Ok(())
    }
}

fn write_failures(failures: &[(Trail, u32)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, (trail, _)) in failures.iter().enumerate() {
        write!(f, "{}{trail}", if index == 0 { ": " } else { ", " })?;
    }
    Ok(())
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unreachable {
            write!(f, "{} is unreachable from here", self.key)?;
            write_failures(&self.failures, f)
        } else {
            write!(f, "{} is no longer unreachable from here", self.key)
        }
    }
}
