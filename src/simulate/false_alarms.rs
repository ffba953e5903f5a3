//! False alarms: how often nothing but chance withdraws an endpoint, over more hours than a whole world could
//! be played. Only what chance can move is here, but that is real: streaks, voices, tallies, the quorum.
//!
//! What is left out, and why it may be. Each endpoint is played for itself: endpoints meet only in blindness and
//! speed limits, which can but prevent withdrawals. While every streak is clear and nothing is rechecked, nothing
//! comes of passes; so the next failure is drawn at once, and the passes before it are recorded in one.

use std::time::Duration;

use crate::agent::chance::Chance;
use crate::agent::plan::{JITTER, Pace};
use crate::health::outcome::Failure;
use crate::health::quorum::{Finding, count, judge};
use crate::health::rules::Rules;
use crate::health::streak::{Action, Condition, Streak, Thresholds};
use crate::health::vantage::{Sight, Tally, Voice, voice};
use crate::time::Moment;

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How many vantages, with one agent each.
    pub vantages: u16,
    /// From one probe to the next.
    pub interval: Duration,
    /// When a target counts as failing.
    pub thresholds: Thresholds,
    /// The part of probes that fail though nothing is wrong.
    pub loss: f64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Withdrawals for everybody.
    pub for_all: u64,
    /// Times that a single vantage moved the clients near it.
    pub by_one: u64,
    /// Probes played, those that were skipped included.
    pub probes: u64,
}

/// From a failure to the rechecks of the other agents, in nanoseconds: the report comes at most 20 ms later, and
/// travels.
const WORD_TRAVELS: u64 = 30_000_000;
/// No agent probes again sooner, in nanoseconds.
const PROBES_APART: u64 = 1_000_000;
/// Nothing grows too old here: reports flow.
const NEVER: Duration = Duration::MAX;

/// Plays one endpoint for `hours`.
#[must_use]
pub fn play(setting: &Setting, hours: f64, seed: u64) -> Alarms {
    let mut endpoint = Endpoint::new(setting, seed);
    let end = Moment::START + Duration::from_secs_f64(hours * 3600.0);
    while endpoint.now < end {
        endpoint.skip_to_failure();
        endpoint.play_trouble();
    }
    endpoint.alarms
}

/// The upper end of the one-sided 95 % confidence interval of a Poisson count.
#[must_use]
pub fn upper_bound(seen: u64) -> f64 {
    let below = |mean: f64| {
        let terms = (1..=seen).scan(1.0, |term, k| {
            *term *= mean / k as f64;
            Some(*term)
        });
        (1.0 + terms.sum::<f64>()) * (-mean).exp()
    };
    if seen > 100 {
        // The exact sum overflows; by then the normal approximation is good to a percent.
        return seen as f64 + 1.0 + 1.645 * (seen as f64 + 1.0).sqrt();
    }
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * seen as f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// An agent's view of the endpoint.
struct View {
    streak: Streak,
    said: Voice,
    /// When it probes next, and when it began its last regular probe.
    due: Moment,
    started: Moment,
    failures: u8,
    moved: bool,
}

struct Endpoint<'s> {
    setting: &'s Setting,
    /// From one probe to the next, and to a recheck, in nanoseconds: this is played some 10^11 times.
    interval: u64,
    recheck: u64,
    /// The logarithm of the part of probes that pass.
    passes_ln: f64,
    rules: Rules,
    views: Vec<View>,
    tallies: Vec<Tally>,
    domains: Vec<Option<u16>>,
    chance: Chance,
    now: Moment,
    /// It is withdrawn: counted once until all is clear.
    withdrawn: bool,
    alarms: Alarms,
}

impl<'s> Endpoint<'s> {
    fn new(setting: &'s Setting, seed: u64) -> Self {
        let mut chance = Chance::seeded(seed);
        let pace = Pace { interval: setting.interval, fall: setting.thresholds.rechecked() };
        let interval = nanos(setting.interval);
        let vantages = usize::from(setting.vantages);
        let mut view = || {
            let started = Moment((interval as f64 * chance.ratio()) as u64);
            let streak = Streak::new();
            View { streak, said: Voice::Silent, due: started, started, failures: 0, moved: false }
        };
        Self {
            views: (0..vantages).map(|_| view()).collect(),
            tallies: vec![Tally::default(); vantages],
            domains: (0..setting.vantages).map(Some).collect(),
            rules: Rules::default(),
            chance,
            now: Moment::START,
            withdrawn: false,
            alarms: Alarms::default(),
            interval,
            recheck: nanos(pace.recheck()),
            passes_ln: (1.0 - setting.loss).ln(),
            setting,
        }
    }

    /// From a calm moment to the next failure.
    fn skip_to_failure(&mut self) {
        let interval = self.interval;
        let (mut first, mut at) = (0, Moment(u64::MAX));
        for index in 0..self.views.len() {
            let failure = Moment(self.views[index].due.0 + interval * self.passes_before_failure());
            if failure < at {
                (first, at) = (index, failure);
            }
        }
        for index in 0..self.views.len() {
            let due = self.views[index].due;
            let passes = if due < at || index == first {
                (at.0 - due.0) / interval + u64::from(index != first)
            } else {
                0
            };
            self.alarms.probes += passes;
            let last = Moment(due.0 + interval * passes.saturating_sub(1));
            self.pass(index, u32::try_from(passes).unwrap_or(u32::MAX), last);
            let jitter = if index == first { 0.0 } else { interval as f64 * JITTER * self.chance.ratio() };
            let next = Moment(due.0 + interval * passes + jitter as u64);
            let view = &mut self.views[index];
            (view.due, view.started) = (next, next);
        }
        self.now = at;
        self.probed(first, false);
    }

    /// How many probes pass before one fails: geometrically distributed.
    fn passes_before_failure(&mut self) -> u64 {
        let passes = (1.0 - self.chance.ratio()).ln() / self.passes_ln;
        // A run that long ends any play.
        passes.min(1e9) as u64
    }

    /// Probe by probe until all is clear.
    fn play_trouble(&mut self) {
        while !self.is_calm() {
            let next = (0..self.views.len()).min_by_key(|&index| self.views[index].due);
            let index = next.expect("there is a vantage");
            self.now = self.views[index].due;
            self.move_clients();
            let passed = self.chance.ratio() >= self.setting.loss;
            self.views[index].started = self.now;
            self.probed(index, passed);
        }
        self.withdrawn = false;
        self.views.iter_mut().for_each(|view| view.moved = false);
    }

    fn is_calm(&self) -> bool {
        let beyond = Moment(self.now.0 + self.interval / 2);
        let calm = |view: &View| {
            view.streak.condition() == Condition::Clear && (view.due >= beyond || view.due <= self.now)
                || view.streak.condition() == Condition::Untested
        };
        self.views.iter().all(calm)
    }

    /// A probe of an agent ended now.
    fn probed(&mut self, index: usize, passed: bool) {
        self.alarms.probes += 1;
        let asked = self.record(index, passed);
        let view = &mut self.views[index];
        view.failures = if passed { 0 } else { view.failures.saturating_add(1) };
        let rapid = !passed && view.failures < self.setting.thresholds.rechecked();
        let span = if rapid { self.recheck } else { self.interval };
        let span = span as f64 * (1.0 + JITTER * (2.0 * self.chance.ratio() - 1.0));
        view.due = Moment((view.started.0 + span as u64).max(self.now.0 + PROBES_APART));
        if asked == Action::Recheck {
            let hurried = Moment(self.now.0 + WORD_TRAVELS);
            self.views.iter_mut().for_each(|other| other.due = other.due.min(hurried));
        }
        self.judge();
    }

    fn record(&mut self, index: usize, passed: bool) -> Action {
        let result = if passed { Ok(()) } else { Err(Failure::TimedOut) };
        let streak = &mut self.views[index].streak;
        let asked = streak.record(self.now, &result, &self.setting.thresholds, NEVER);
        self.say(index, self.now);
        asked
    }

    fn pass(&mut self, index: usize, count: u32, last: Moment) {
        self.views[index].streak.record_passes(count, last, &self.setting.thresholds, NEVER);
        self.say(index, last);
    }

    fn say(&mut self, index: usize, at: Moment) {
        let view = &mut self.views[index];
        let said = voice(&view.streak, Sight::Clear, at, NEVER);
        if said != view.said {
            self.tallies[index].replace(view.said, said, view.streak.troubled_since());
            view.said = said;
        }
    }

    fn judge(&mut self) {
        if self.withdrawn || self.views.iter().all(|view| !matches!(view.said, Voice::Fails(_))) {
            return;
        }
        let together = self.setting.thresholds.together;
        let votes = count(&self.tallies, &self.domains, together, &self.rules, self.now);
        let finding = judge(&votes, self.domains.len(), together, &self.rules);
        self.withdrawn = matches!(finding, Finding::Fails { .. });
        self.alarms.for_all += u64::from(self.withdrawn);
    }

    /// What came true while time passed until now: vantages that move the clients near them.
    fn move_clients(&mut self) {
        for (view, tally) in self.views.iter_mut().zip(&self.tallies) {
            let together = self.setting.thresholds.together;
            let from = tally.moves_clients_from(self.rules.lone_wait, together, view.moved);
            let moved = from.is_some_and(|from| from <= self.now);
            self.alarms.by_one += u64::from(moved && !view.moved);
            view.moved = moved;
        }
    }
}

/// Whole nanoseconds, of which five centuries fit.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(loss: f64, together: u8, hours: f64) -> Alarms {
        let thresholds = Thresholds { together, ..Thresholds::default() };
        play(&Setting { vantages: 3, interval: Duration::from_secs(1), thresholds, loss }, hours, 1)
    }

    #[test]
    fn every_probe_is_counted() {
        let probes = alarms(0.01, 10, 100.0).probes as f64 / (100.0 * 3600.0 * 3.0);
        assert!((0.98..1.12).contains(&probes), "{probes} per second and agent, rechecks included");
    }

    #[test]
    fn what_was_seen_together_keeps_chance_from_withdrawing() {
        assert!(alarms(0.2, 0, 20.0).for_all > 10);
        assert_eq!(alarms(0.1, 10, 200.0).for_all, 0);
    }

    #[test]
    fn bounds_are_those_of_the_tables() {
        assert!((upper_bound(0) - 2.996).abs() < 0.001);
        assert!((upper_bound(3) - 7.754).abs() < 0.001);
        assert!((upper_bound(10) - 16.962).abs() < 0.001);
    }
}
