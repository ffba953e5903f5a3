//! The verdict of one endpoint: what is believed, and how belief follows findings. Traffic is in the last column.
//!
//! ```text
//!               works            in doubt    quorum fails           time                        serves
//!  unknown      up               suspect     down (speed limit)     -                           whole
//!  waiting      up               -           down                   -                           nothing
//!  up           -                suspect     down (speed limit)     -                           whole
//!  suspect      up, if no doubt  -           down (speed limit)     -                           whole
//!  down         holding, if proven  -        -                      -                           nothing
//!  holding      -                hold anew   down                   hold over: ramping          nothing
//!  ramping      -                step waits  down (speed limit)     step over: next, last: up   the step's share
//! ```
//!
//! Frozen changes nothing, except that doubt still shortens TTLs, and that a verdict saved before a restart
//! ages to unknown. Waiting is the unknown of an endpoint that a reload added; holding and ramping are the two
//! halves of recovering. The hold is no shorter than the suppression of what flaps, and has no end where a person
//! must give the word; the word ends both. What is held works: it is the first last resort when nothing else does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::damping::Flaps;
use super::quorum::Finding;
use super::rules::{RAMP_STEPS_MAX, Rules};
use super::verdict::{Share, Standing, State};
use crate::time::Moment;

/// How an endpoint comes back once it works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailBack {
    /// After a hold, by a ramp.
    Automatic {
        /// How long it must have worked; 30 s by default.
        hold: Duration,
    },
    /// When a person says so, by a ramp.
    Manual,
}

impl Default for FailBack {
    fn default() -> Self {
        Self::Automatic { hold: Duration::from_secs(30) }
    }
}

/// The way back of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// What begins it.
    pub fail_back: FailBack,
    /// From one step of the ramp to the next: 30 s, one steady TTL, so that each step's load is felt before the
    /// next. From first traffic to whole takes 90 s by default.
    pub ramp_step: Duration,
}

impl Default for WayBack {
    fn default() -> Self {
        Self { fail_back: FailBack::default(), ramp_step: Duration::from_secs(30) }
    }
}

/// What the votes amount to, for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What the quorum says.
    pub finding: Finding,
    /// Whether anybody is in doubt.
    pub doubted: bool,
}

/// Why a verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What the vantages say.
    Votes,
    /// It worked for the whole hold, or a person let it come back.
    RampBegins,
    /// It bore the last step.
    RampStep,
    /// More of it is usable, or less.
    Share,
    /// It was saved before a restart, and no report came since.
    TooOld,
}

/// The verdict of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    phase: Phase,
    since: Moment,
    /// For how long the state had held before this process.
    held_before: Duration,
    flaps: Flaps,
    /// A person let it come back.
    allowed: bool,
    /// Until when a verdict from before a restart is worth something without news.
    saved_until: Option<Moment>,
    /// Since when the quorum asks for its withdrawal.
    wanted_since: Option<Moment>,
    withdrawn_at: Option<Moment>,
}

/// A verdict as the state file keeps it. Free of clocks: ages are relative to when it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SavedVerdict {
    /// The endpoint, "region/service/address".
    pub key: String,
    /// What was believed.
    pub state: State,
    /// For how long, in milliseconds.
    pub held_ms: u64,
    /// While recovering: the step of the ramp, or none during the hold.
    pub step: Option<u8>,
    /// The flap penalty.
    pub penalty: f64,
    /// For how much longer it is suppressed, in milliseconds.
    pub suppressed_ms: u64,
    /// A person let it come back.
    pub allowed: bool,
    /// How much of it was usable, in 1,024ths.
    #[serde(default = "whole")]
    pub usable: Share,
}

/// What earlier versions wrote said nothing of shares.
fn whole() -> Share {
    Share::WHOLE
}

impl SavedVerdict {
    /// Whether it says anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.state != State::Unknown
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unknown,
    Waiting,
    Up,
    Suspect,
    Down,
    /// `None` while it does not work as it should (the hold begins anew), and while a person's word is waited for.
    Holding {
        until: Option<Moment>,
    },
    Ramping {
        step: u8,
        next: Moment,
    },
}

impl Machine {
    /// Nothing known at a first start: serves.
    #[must_use]
    pub fn unknown(now: Moment) -> Self {
        Self::of_phase(Phase::Unknown, now)
    }

    /// Added by a reload beside others that serve: waits for its first quorum.
    #[must_use]
    pub fn waiting(now: Moment) -> Self {
        Self::of_phase(Phase::Waiting, now)
    }

    /// Lets one step pass, at most one transition; call it until it gives `None`. `may_withdraw` is the word of
    /// the speed limit, asked for where [`Machine::wants_withdrawal`].
    pub fn step(
        &mut self,
        now: Moment,
        heard: Heard,
        way: WayBack,
        rules: &Rules,
        may_withdraw: bool,
    ) -> Option<Why> {
        self.note(now, heard, way.fail_back);
        let (next, why) = self.next(now, heard, way, rules, may_withdraw)?;
        if next == Phase::Down {
            self.fall(now, rules);
        }
        if matches!(self.phase, Phase::Holding { .. }) && why == Why::RampBegins {
            self.allowed = false;
        }
        if state_of(next) != self.state() {
            self.since = now;
            self.held_before = Duration::ZERO;
        }
        self.phase = next;
        Some(why)
    }

    /// Whether the quorum wants traffic taken from it, which the speed limit must allow.
    #[must_use]
    pub fn wants_withdrawal(&self, heard: Heard) -> bool {
        matches!(heard.finding, Finding::Fails { .. }) && self.serves()
    }

    /// When it wants to be asked again without any news; always later than `now`.
    #[must_use]
    pub fn wake(&self, now: Moment) -> Option<Moment> {
        let phase = match self.phase {
            Phase::Holding { until } => until,
            Phase::Ramping { next, .. } => Some(next),
            _ => None,
        };
        [phase, self.saved_until].into_iter().flatten().filter(|&at| at > now).min()
    }

    /// A person's word that it may come back once it works; void unless it is down or held.
    pub fn allow(&mut self) {
        self.allowed = matches!(self.phase, Phase::Down | Phase::Holding { .. });
    }

    /// Whether it works and only a person's word is wanting.
    #[must_use]
    pub fn awaits_word(&self, fail_back: FailBack) -> bool {
        matches!(self.phase, Phase::Holding { .. }) && fail_back == FailBack::Manual && !self.allowed
    }

    /// What is believed.
    #[must_use]
    pub fn state(&self) -> State {
        state_of(self.phase)
    }

    /// For how long, restarts included.
    #[must_use]
    pub fn held(&self, now: Moment) -> Duration {
        now.since(self.since) + self.held_before
    }

    /// Since when the quorum asks for its withdrawal, while the speed limit holds it back.
    #[must_use]
    pub fn wanted_since(&self) -> Option<Moment> {
        self.wanted_since
    }

    /// When traffic was last taken from it.
    #[must_use]
    pub fn withdrawn_at(&self) -> Option<Moment> {
        self.withdrawn_at
    }

    /// Until when flap damping keeps it down.
    #[must_use]
    pub fn suppressed_until(&self, now: Moment) -> Option<Moment> {
        self.flaps.suppressed_until(now)
    }

    /// What the choice of an answer needs to know.
    #[must_use]
    pub fn standing(&self, rules: &Rules) -> Standing {
        let (usable, ramp) = match self.phase {
            Phase::Unknown | Phase::Up | Phase::Suspect => (Share::WHOLE, Share::WHOLE),
            Phase::Waiting | Phase::Holding { .. } => (Share::WHOLE, Share::NONE),
            Phase::Ramping { step, .. } => (Share::WHOLE, share_of(step, rules)),
            Phase::Down => (Share::NONE, Share::NONE),
        };
        Standing { state: self.state(), usable, ramp, forced_down: false }
    }

    /// The verdict as the state file keeps it.
    #[must_use]
    pub fn saved(&self, key: &str, usable: Share, now: Moment, rules: &Rules) -> SavedVerdict {
        let suppressed = self.flaps.suppressed_until(now).map_or(Duration::ZERO, |until| until.since(now));
        SavedVerdict {
            key: key.to_owned(),
            state: self.state(),
            held_ms: millis(self.held(now)),
            step: match self.phase {
                Phase::Ramping { step, .. } => Some(step),
                _ => None,
            },
            penalty: self.flaps.penalty(now, &rules.damping),
            suppressed_ms: millis(suppressed),
            allowed: self.allowed,
            usable,
        }
    }

    /// A verdict saved `age` ago; unknown if that is too long. It stands until there is news, or it is too old.
    #[must_use]
    pub fn restored(saved: &SavedVerdict, age: Duration, way: WayBack, rules: &Rules, now: Moment) -> Self {
        let Some(left) = rules.saved_limit.checked_sub(age).filter(|left| !left.is_zero()) else {
            return Self::unknown(now);
        };
        let phase = match (saved.state, saved.step) {
            (State::Unknown, _) => return Self::unknown(now),
            (State::Up, _) => Phase::Up,
            (State::Suspect, _) => Phase::Suspect,
            (State::Down, _) => Phase::Down,
            (State::Recovering, None) => Phase::Holding { until: None },
            (State::Recovering, Some(step)) => Phase::Ramping { step, next: now + way.ramp_step },
        };
        let suppressed = Duration::from_millis(saved.suppressed_ms).min(rules.damping.suppressed_max);
        let suppressed_until = suppressed.checked_sub(age).map(|left| now + left);
        Self {
            held_before: Duration::from_millis(saved.held_ms).saturating_add(age),
            flaps: Flaps::restored(saved.penalty, suppressed_until, now),
            allowed: saved.allowed,
            saved_until: Some(now + left),
            ..Self::of_phase(phase, now)
        }
    }

    fn of_phase(phase: Phase, now: Moment) -> Self {
        Self {
            phase,
            since: now,
            held_before: Duration::ZERO,
            flaps: Flaps::default(),
            allowed: false,
            saved_until: None,
            wanted_since: None,
            withdrawn_at: None,
        }
    }

    /// Takes in what is no transition: that there is news, that a withdrawal is wanted, that a hold begins.
    fn note(&mut self, now: Moment, heard: Heard, fail_back: FailBack) {
        if !matches!(heard.finding, Finding::Frozen(_)) {
            self.saved_until = None;
        }
        self.wanted_since = self.wants_withdrawal(heard).then(|| self.wanted_since.unwrap_or(now));
        if let Phase::Holding { until } = self.phase {
            let steady = heard.finding == Finding::Works { proven: true } && !heard.doubted;
            let until = if steady { self.hold_ends(until, now, fail_back) } else { None };
            self.phase = Phase::Holding { until };
        }
    }

    /// When the hold of what works ends, if it was to end at `until`.
    fn hold_ends(&self, until: Option<Moment>, now: Moment, fail_back: FailBack) -> Option<Moment> {
        match fail_back {
            _ if self.allowed => Some(now),
            FailBack::Manual => None,
            FailBack::Automatic { hold } => {
                let suppressed = self.flaps.suppressed_until(now).unwrap_or(now);
                Some(until.unwrap_or_else(|| suppressed.max(now + hold)))
            }
        }
    }

    fn next(
        &self,
        now: Moment,
        heard: Heard,
        way: WayBack,
        rules: &Rules,
        may_withdraw: bool,
    ) -> Option<(Phase, Why)> {
        let works = matches!(heard.finding, Finding::Works { .. });
        let frozen = matches!(heard.finding, Finding::Frozen(_));
        let fails = matches!(heard.finding, Finding::Fails { .. });
        if fails && self.phase != Phase::Down && (may_withdraw || !self.serves()) {
            return Some((Phase::Down, Why::Votes));
        }
        if frozen && self.saved_until.is_some_and(|until| until <= now) {
            return (self.phase != Phase::Unknown).then_some((Phase::Unknown, Why::TooOld));
        }
        match self.phase {
            Phase::Unknown | Phase::Up if heard.doubted => Some((Phase::Suspect, Why::Votes)),
            Phase::Unknown | Phase::Waiting if works => Some((Phase::Up, Why::Votes)),
            Phase::Suspect if !heard.doubted && !frozen => Some((Phase::Up, Why::Votes)),
            Phase::Down if heard.finding == (Finding::Works { proven: true }) => {
                Some((Phase::Holding { until: None }, Why::Votes))
            }
            Phase::Holding { until: Some(until) } if until <= now => {
                Some((ramp_from(0, now, way, rules), Why::RampBegins))
            }
            Phase::Ramping { step, next } if next <= now && works && !heard.doubted => {
                Some((ramp_from(step.saturating_add(1), now, way, rules), Why::RampStep))
            }
            _ => None,
        }
    }

    fn fall(&mut self, now: Moment, rules: &Rules) {
        if self.serves() {
            self.withdrawn_at = Some(now);
        }
        // What was never known to work does not fall.
        if self.serves() && self.phase != Phase::Unknown {
            self.flaps.fall(now, &rules.damping);
        }
        self.wanted_since = None;
    }

    fn serves(&self) -> bool {
        !matches!(self.phase, Phase::Waiting | Phase::Down | Phase::Holding { .. })
    }
}

/// The ramp at `step`; past the last step or at a whole share it is simply up.
fn ramp_from(step: u8, now: Moment, way: WayBack, rules: &Rules) -> Phase {
    match rules.ramp.iter().take(RAMP_STEPS_MAX).nth(step.into()) {
        Some(&share) if share < Share::WHOLE => Phase::Ramping { step, next: now + way.ramp_step },
        _ => Phase::Up,
    }
}

/// The share of a step. The largest so far, so that a ramp written out of order never takes lots back.
fn share_of(step: u8, rules: &Rules) -> Share {
    rules.ramp.iter().take(usize::from(step) + 1).copied().max().unwrap_or(Share::WHOLE)
}

fn state_of(phase: Phase) -> State {
    match phase {
        Phase::Unknown | Phase::Waiting => State::Unknown,
        Phase::Up => State::Up,
        Phase::Suspect => State::Suspect,
        Phase::Down => State::Down,
        Phase::Holding { .. } | Phase::Ramping { .. } => State::Recovering,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
