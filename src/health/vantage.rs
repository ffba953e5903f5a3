//! What the agents of one vantage say together: each agent has a voice per target, their majority is the
//! vantage's vote. Also whether an agent sees at all.
//!
//! An agent is blind when its control targets fail, or when over half of its targets fail at once, twice in a row, and
//! the other vantages do not see that: most of the world rarely fails, and never for one observer alone. Then its
//! word that something fails is void; what it can reach, it can reach.
//!
//! Where a single vantage is configured there is nobody to compare with, and "over half" would forbid ever to
//! fail over between two regions. There a single pass proves that it sees, so it is blind only while *all* of
//! its targets fail (and it has several), and that only for [`Rules::lone_wait`](super::rules::Rules::lone_wait):
//! a hiccup of its uplink withdraws nothing, and what lasts is believed. That is safe, because a lone vantage
//! stands with its server: were it cut off for good, clients could not ask the server either.

use std::fmt;
use std::time::Duration;

use super::streak::{Condition, Streak};
use crate::time::Moment;

/// What one agent says of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Nothing that counts: untested, stale, blind or lagging.
    Silent,
    /// It works, as far as seen.
    Works,
    /// It works, and has for long enough to bring it back from down.
    Proven,
    /// One probe failed.
    Checks,
    /// A recheck failed too.
    Doubts,
    /// It fails, and so much speaks for that: see [`Streak::weight`].
    Fails(u8),
}

/// What a vantage says of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// No agent has a voice: the vantage is not eligible.
    Silent,
    /// A majority reaches it; `proven` when a majority has for long enough.
    Works {
        /// See [`Voice::Proven`].
        proven: bool,
    },
    /// Neither has a majority; a single failed probe says neither.
    Unsure,
    /// A majority sees it fail.
    Fails,
}

/// Whether an agent's failures mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// They do.
    Clear,
    /// They do not.
    Blind(Blindness),
    /// Nothing it says does: it runs late itself.
    Lagging,
}

/// Why an agent is blind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blindness {
    /// Its control targets fail.
    Control,
    /// Over half of its targets fail, and the other vantages do not see that.
    Alone,
    /// All of its targets fail, it is the only vantage, and that is news.
    Everything,
}

/// What an agent's targets look like together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Targets with an outcome young enough to count.
    pub tested: u32,
    /// Those whose newest outcome failed.
    pub failing: u32,
    /// Those whose newest two outcomes failed. Not the threshold, since blindness must show before the first one is
    /// passed; nor the newest alone, since of two regions of which one is dead a single chance failure of the other
    /// would make most of the world fail, and the dead one be forgotten.
    pub failing_again: u32,
    /// When the first of them grows too old.
    pub stale_at: Option<Moment>,
}

/// The voices of one vantage's agents about one target, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    works: u16,
    proven: u16,
    checks: u16,
    doubts: u16,
    fails: u16,
    /// The sum of what speaks for the failures.
    weight: u32,
    /// When the newest of the present troubles began.
    troubled_since: Moment,
}

/// What an agent says, given how it sees.
#[must_use]
pub fn voice(streak: &Streak, sight: Sight, now: Moment, age_limit: Duration) -> Voice {
    if sight == Sight::Lagging || streak.is_stale(now, age_limit) {
        return Voice::Silent;
    }
    match streak.condition() {
        Condition::Clear if streak.is_proven() => Voice::Proven,
        Condition::Clear => Voice::Works,
        _ if sight != Sight::Clear => Voice::Silent,
        Condition::Untested => Voice::Silent,
        Condition::Checking => Voice::Checks,
        Condition::Doubtful => Voice::Doubts,
        Condition::Failing => Voice::Fails(streak.weight()),
    }
}

/// What an agent says of a target whose outcomes are turned round, of which `streak` was made. A blind agent reaches
/// nothing, so its failures prove nothing here either; what it reaches it reaches.
#[must_use]
pub fn negated_voice(streak: &Streak, sight: Sight, now: Moment, age_limit: Duration) -> Voice {
    match voice(streak, if sight == Sight::Lagging { sight } else { Sight::Clear }, now, age_limit) {
        Voice::Works | Voice::Proven if sight != Sight::Clear => Voice::Silent,
        said => said,
    }
}

impl Voice {
    /// Its place in the order from the worst to the best; see [`check`](super::check).
    #[must_use]
    pub fn goodness(self) -> u16 {
        match self {
            Self::Fails(weight) => u16::from(u8::MAX - weight),
            Self::Doubts => 256,
            Self::Checks => 257,
            Self::Silent => 258,
            Self::Works => 259,
            Self::Proven => 260,
        }
    }

    /// Whether what it is about may serve, as far as this agent goes.
    #[must_use]
    pub fn serves(self) -> bool {
        !matches!(self, Self::Silent | Self::Fails(_))
    }

    fn weight(self) -> u32 {
        match self {
            Self::Fails(weight) => weight.into(),
            _ => 0,
        }
    }

    /// Whether it tells of a failure.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Checks | Self::Doubts | Self::Fails(_))
    }
}

impl Census {
    /// Counts `streaks`, each with its age limit and whether it tells of the agent's sight.
    #[must_use]
    pub fn of(streaks: &[Streak], age_limits: impl Iterator<Item = (Duration, bool)>, now: Moment) -> Self {
        let mut census = Self::default();
        for (streak, (limit, counts)) in streaks.iter().zip(age_limits) {
            if streak.is_stale(now, limit) {
                continue;
            }
            census.tested += u32::from(counts);
            census.failing += u32::from(counts && streak.newest_failed());
            census.failing_again += u32::from(counts && streak.failed_again());
            // The nanosecond after the limit is the first at which the outcome is too old.
            let stale_at = streak.newest_at() + limit + Duration::from_nanos(1);
            census.stale_at = Some(census.stale_at.map_or(stale_at, |at| at.min(stale_at)));
        }
        census
    }

    /// Whether over half of several targets fail, and did when they were tried again.
    #[must_use]
    pub fn mostly_fails(&self) -> bool {
        self.tested > 1 && self.failing_again * 2 > self.tested
    }

    /// Whether all of several targets fail.
    #[must_use]
    pub fn wholly_fails(&self) -> bool {
        self.tested > 1 && self.failing == self.tested
    }
}

impl Tally {
    /// Puts one agent's changed voice in the place of its former one.
    pub fn replace(&mut self, from: Voice, to: Voice, troubled_since: Moment) {
        if let Some(count) = self.count(from) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
        self.weight = self.weight - from.weight() + to.weight();
        if to.is_trouble() && !from.is_trouble() {
            self.troubled_since = self.troubled_since.max(troubled_since);
        }
        if self.troubled() == 0 {
            self.troubled_since = Moment::START;
        }
    }

    /// What the vantage says.
    #[must_use]
    pub fn vote(&self) -> Vote {
        let voices = self.voices();
        let majority = |count: u16| u32::from(count) * 2 > voices;
        if voices == 0 {
            Vote::Silent
        } else if majority(self.fails) {
            Vote::Fails
        } else if majority(self.works.saturating_add(self.proven)) {
            Vote::Works { proven: majority(self.proven) }
        } else {
            Vote::Unsure
        }
    }

    /// How many agents have a voice.
    #[must_use]
    pub fn voices(&self) -> u32 {
        [self.works, self.proven, self.checks, self.doubts, self.fails].into_iter().map(u32::from).sum()
    }

    /// How many agents see any failure.
    #[must_use]
    pub fn troubled(&self) -> u32 {
        u32::from(self.checks) + u32::from(self.doubts) + u32::from(self.fails)
    }

    /// How many agents saw a recheck fail too.
    #[must_use]
    pub fn doubting(&self) -> u32 {
        u32::from(self.doubts) + u32::from(self.fails)
    }

    /// How many failures, less half of the passes, those agents saw together that see it fail.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// When the newest of the present troubles began.
    #[must_use]
    pub fn troubled_since(&self) -> Moment {
        self.troubled_since
    }

    /// From when on the vantage's own clients are moved away, if its vote is that the target fails: at once by
    /// a majority of several agents, after `lone_wait` by a lone one; and only when it saw more than half of
    /// what it takes to withdraw `together`, so that a lone agent's bad second does not count for five. What has `moved`
    /// stays so while the vote does.
    #[must_use]
    pub fn moves_clients_from(&self, lone_wait: Duration, together: u8, moved: bool) -> Option<Moment> {
        let wait = if self.voices() == 1 { lone_wait } else { Duration::ZERO };
        let enough = moved || self.weight * 2 > together.into();
        (self.vote() == Vote::Fails && enough).then(|| self.troubled_since + wait)
    }

    fn count(&mut self, voice: Voice) -> Option<&mut u16> {
        match voice {
            Voice::Silent => None,
            Voice::Works => Some(&mut self.works),
            Voice::Proven => Some(&mut self.proven),
            Voice::Checks => Some(&mut self.checks),
            Voice::Doubts => Some(&mut self.doubts),
            Voice::Fails(_) => Some(&mut self.fails),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "sees",
            Self::Blind(Blindness::Control) => "is blind: its control targets fail",
            Self::Blind(Blindness::Alone) => {
                "is blind: over half of its targets fail and other vantages do not see that"
            }
            Self::Blind(Blindness::Everything) => {
                "may be blind: all of its targets fail at once and there is no other vantage to ask"
            }
            Self::Lagging => "is ill: it runs late itself, or its reports are lost on their way",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(voices: &[Voice]) -> Tally {
        let mut tally = Tally::default();
        for (second, &voice) in voices.iter().enumerate() {
            tally.replace(Voice::Silent, voice, Moment::from_millis(second as u64 * 1000));
        }
        tally
    }

    #[test]
    fn the_majority_of_agents_is_the_vote() {
        use Voice::*;
        const FAILS: Voice = Fails(3);
        assert_eq!(tally(&[]).vote(), Vote::Silent);
        assert_eq!(tally(&[FAILS]).vote(), Vote::Fails);
        assert_eq!(tally(&[FAILS, FAILS, Works]).vote(), Vote::Fails);
        assert_eq!(tally(&[Works, Works, Checks]).vote(), Vote::Works { proven: false });
        assert_eq!(tally(&[Checks]).vote(), Vote::Unsure);
        assert_eq!(tally(&[Proven, Proven, Works]).vote(), Vote::Works { proven: true });
        assert_eq!(tally(&[Proven, Works]).vote(), Vote::Works { proven: false });
        assert_eq!(tally(&[Doubts]).vote(), Vote::Unsure);
    }

    #[test]
    fn half_of_the_agents_is_no_majority() {
        assert_eq!(tally(&[Voice::Fails(3), Voice::Works]).vote(), Vote::Unsure);
    }

    #[test]
    fn a_lone_agent_waits_before_it_moves_clients() {
        let wait = Duration::from_secs(5);
        assert_eq!(
            tally(&[Voice::Fails(6)]).moves_clients_from(wait, 10, false),
            Some(Moment::from_millis(5000))
        );
        assert_eq!(
            tally(&[Voice::Fails(3), Voice::Fails(3)]).moves_clients_from(wait, 10, false),
            Some(Moment::from_millis(1000))
        );
        assert_eq!(tally(&[Voice::Doubts]).moves_clients_from(wait, 10, false), None);
        assert_eq!(tally(&[Voice::Fails(5)]).moves_clients_from(wait, 10, false), None, "a bad second");
        assert!(tally(&[Voice::Fails(0)]).moves_clients_from(wait, 10, true).is_some(), "it moved already");
    }

    #[test]
    fn a_voice_replaced_leaves_no_trace() {
        let mut tally = tally(&[Voice::Works]);
        tally.replace(Voice::Works, Voice::Fails(3), Moment::from_millis(9));
        assert_eq!(tally.troubled_since(), Moment::from_millis(9));
        tally.replace(Voice::Fails(3), Voice::Silent, Moment::START);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn a_blind_agent_is_heard_only_where_it_reaches() {
        let blind = Sight::Blind(Blindness::Control);
        let limit = Duration::from_secs(5);
        let mut streak = Streak::new();
        let thresholds = super::super::streak::Thresholds::default();
        let _ = streak.record(Moment::START, &Ok(()), &thresholds, limit);
        assert_eq!(voice(&streak, blind, Moment::START, limit), Voice::Works);
        assert_eq!(voice(&streak, Sight::Lagging, Moment::START, limit), Voice::Silent);
        let _ = streak.record(Moment::START, &Err(super::super::outcome::Failure::Reset), &thresholds, limit);
        assert_eq!(voice(&streak, blind, Moment::START, limit), Voice::Silent);
        assert_eq!(voice(&streak, Sight::Clear, Moment::START, limit), Voice::Checks);
        let late = Moment::START + limit + Duration::from_nanos(1);
        assert_eq!(voice(&streak, Sight::Clear, late, limit), Voice::Silent);
    }
}
