//! What reaches the board otherwise than by agents: gauges, whose word counts for every agent alike.

use super::agent::record;
use super::{Board, Change, Source, earliest};
use crate::health::outcome::Failure;
use crate::health::vantage::Vote;
use crate::health::verdict::Share;
use crate::ids::TargetId;
use crate::time::Moment;

/// What the vantages say of one target, whether it has a vote or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// How many vantages reach it.
    pub works: u32,
    /// How many see it fail.
    pub fails: u32,
    /// How many have a voice, and neither.
    pub unsure: u32,
    /// How many have none.
    pub silent: u32,
    /// How much of it is usable, the least that an agent says.
    pub usable: Option<Share>,
}

impl Opinion {
    /// What most of those say that have a voice.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let voices = self.works + self.fails + self.unsure;
        if voices == 0 {
            "silent"
        } else if self.fails * 2 > voices {
            "fails"
        } else if self.works * 2 > voices {
            "works"
        } else {
            "unsure"
        }
    }
}

impl Board {
    /// Takes an outcome of a target whose outcomes are pushed; of any other it means nothing.
    pub fn push(
        &mut self,
        target: TargetId,
        result: &Result<(), Failure>,
        usable: Share,
        now: Moment,
    ) -> Change {
        let mut change = self.tick(now);
        let is_pushed = |known: &super::Target| matches!(known.source, Source::Pushed { .. });
        if !self.targets.get(target.index()).is_some_and(is_pushed) {
            change.unknown_targets += 1;
            return change;
        }
        for row in [Some(target.index()), self.targets[target.index()].negation].into_iter().flatten() {
            let known = &mut self.targets[row];
            let mut streak = known.pushed.clone();
            // No agent can look again.
            let _ = record(&mut streak, now, result, known);
            if result.is_ok() && !matches!(known.source, Source::Negated(_)) {
                streak.note_share(usable);
            }
            known.pushed = streak;
            // The nanosecond after the limit is the first at which the outcome is too old.
            known.stale_at = Some(now + known.age_limit + std::time::Duration::from_nanos(1));
            self.wake = earliest(self.wake, known.stale_at);
        }
        let mut dirty = Vec::new();
        self.all_speak(now, &mut dirty);
        self.judge_all(dirty, now, &mut change);
        change
    }

    /// What was pushed and grew too old has no voice any more.
    pub(super) fn expire(&mut self, now: Moment, dirty: &mut Vec<usize>) {
        let mut expired = false;
        for target in &mut self.targets {
            if target.stale_at.take_if(|at| *at <= now).is_some() {
                expired = true;
            }
        }
        if expired {
            self.all_speak(now, dirty);
        }
    }

    fn all_speak(&mut self, now: Moment, dirty: &mut Vec<usize>) {
        for agent in 0..self.agents.len() {
            self.speak(agent, now, dirty);
        }
    }

    /// What the vantages say of a target.
    #[must_use]
    pub fn opinion(&self, target: TargetId) -> Opinion {
        let row = target.index() * self.vantages.len();
        let said = self.agents.iter().filter_map(|agent| agent.said[target.index()].measured());
        let mut opinion = Opinion { usable: said.min(), ..Opinion::default() };
        for tally in &self.tallies[row..row + self.vantages.len()] {
            match tally.vote() {
                Vote::Works { .. } => opinion.works += 1,
                Vote::Fails => opinion.fails += 1,
                Vote::Unsure => opinion.unsure += 1,
                Vote::Silent => opinion.silent += 1,
            }
        }
        opinion
    }
}
