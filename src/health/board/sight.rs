//! From an agent's streaks to its voices: what it sees as a whole, and whether that can be believed.

use super::{Board, Change, Source, earliest};
use crate::health::check::Said;
use crate::health::evidence::Notice;
use crate::health::streak::Streak;
use crate::health::vantage::{Blindness, Census, Sight, Voice, negated_voice, voice};
use crate::health::verdict::Share;
use crate::time::Moment;

impl Board {
    /// Counts what an agent sees, judges its sight, and puts its changed voices into the tallies. Where it
    /// changes what others' sight is compared with, theirs is judged too.
    pub(super) fn review(&mut self, index: usize, now: Moment, dirty: &mut Vec<usize>, change: &mut Change) {
        self.take_census(index, now);
        let agent = &mut self.agents[index];
        if !agent.census.wholly_fails() {
            agent.wholly_since = None;
        } else if agent.wholly_since.is_none() {
            agent.wholly_since = Some(now);
        }
        self.look(index, now, dirty, change);
        if self.outlines.is_news() && self.vantages.len() > 1 {
            for other in (0..self.agents.len()).filter(|&other| other != index) {
                self.look(other, now, dirty, change);
            }
        }
        self.speak(index, now, dirty);
        self.wake = earliest(self.wake, self.agent_wake(index));
    }

    pub(super) fn take_census(&mut self, index: usize, now: Moment) {
        let agent = &mut self.agents[index];
        let limits = self
            .targets
            .iter()
            .map(|target| (target.age_limit, matches!(target.source, Source::Probed { shows_sight: true })));
        agent.census = Census::of(&agent.streaks, limits, now);
        let outline = agent.drawn();
        let before = std::mem::replace(&mut agent.outline, outline);
        self.outlines.replace(agent.vantage, before, outline);
    }

    /// Judges an agent's sight; if it changed, all it says may have.
    pub(super) fn look(&mut self, index: usize, now: Moment, dirty: &mut Vec<usize>, change: &mut Change) {
        let sight = self.sight(index, now);
        let agent = &mut self.agents[index];
        if sight == agent.sight {
            return;
        }
        let (vantage, id) = agent.place();
        change.notices.push(Notice::Sight { vantage, agent: id, sight });
        agent.see(sight, &self.targets);
        self.count_blind();
        self.take_census(index, now);
        self.speak(index, now, dirty);
    }

    pub(super) fn count_blind(&mut self) {
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
            let alone = agent.census.mostly_fails() && !self.outlines.others_mostly_fail(agent.vantage);
            return if alone { Sight::Blind(Blindness::Alone) } else { Sight::Clear };
        }
        // Control targets that pass prove that a lone vantage sees.
        let news = agent.wholly_since.is_some_and(|since| now < since + self.rules.lone_wait);
        if news && agent.control.is_none() { Sight::Blind(Blindness::Everything) } else { Sight::Clear }
    }

    /// Puts the changed voices of an agent into the tallies.
    pub(super) fn speak(&mut self, index: usize, now: Moment, dirty: &mut Vec<usize>) {
        let vantages = self.vantages.len();
        let agent = &mut self.agents[index];
        let sight = agent.sight;
        let mut is_news = false;
        for (target, spec) in self.targets.iter().enumerate() {
            let streak = if spec.is_pushed { &spec.pushed } else { &agent.streaks[target] };
            let heard = match &spec.source {
                // What it rests on stands before it.
                Source::Composed(_) if !is_news => continue,
                Source::Composed(check) => {
                    let parts = &agent.said;
                    check.judge(&|part| parts[part.index()])
                }
                Source::Negated(_) => streak.said(negated_voice(streak, sight, now, spec.age_limit)),
                Source::Probed { .. } | Source::Pushed { .. } => {
                    streak.said(voice(streak, sight, now, spec.age_limit))
                }
            };
            let known = &mut agent.said[target];
            if (heard.voice, heard.share) == (known.voice, known.share) {
                continue;
            }
            let tally = &mut self.tallies[target * vantages + agent.vantage.index()];
            tally.replace(known.voice, heard.voice, heard.since);
            let is_less = |said: &Said| said.measured().is_some_and(|share| share < Share::WHOLE);
            self.lessened[target] += u32::from(is_less(&heard));
            self.lessened[target] -= u32::from(is_less(known));
            *known = heard;
            is_news = true;
            dirty.push(target);
        }
    }

    /// When an agent's words change by time alone.
    pub(super) fn agent_wake(&self, index: usize) -> Option<Moment> {
        let agent = &self.agents[index];
        let believed = agent.wholly_since.map(|since| since + self.rules.lone_wait);
        let waits = agent.sight == Sight::Blind(Blindness::Everything);
        earliest(agent.census.stale_at, believed.filter(|_| waits))
    }
}

impl Streak {
    /// What goes with a voice that was made of it.
    fn said(&self, voice: Voice) -> Said {
        Said::of(voice, self.troubled_since(), self.share())
    }
}
