//! What agents do in a world: probe, and report.

use super::*;

/// What the clocks of agents show as the world begins.
const CLOCKS_SHOW: Duration = Duration::from_secs(1_000_000);

impl World<'_> {
    pub(super) fn plan_probes(&mut self, agent: usize) {
        let Some(wake) = self.agents[agent].plan.next_wake() else { return };
        let wake = wake.max(self.now);
        if wake < self.agents[agent].probes_at {
            self.agents[agent].probes_at = wake;
            self.push(wake, Event::Probes(agent));
        }
    }

    pub(super) fn probe(&mut self, agent: usize) {
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
                failed => {
                    let usable = self.truth.usable(target % self.scenario.regions);
                    self.agents[agent].done(target, Some(failed.map_or(Ok(usable), Err)), self.now);
                }
            }
        }
        self.plan_probes(agent);
        self.plan_report(agent);
    }

    /// How a probe that begins now fails, if it does.
    pub(super) fn outcome(&mut self, agent: usize, region: usize) -> Option<Failure> {
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

    pub(super) fn plan_report(&mut self, agent: usize) {
        let due = self.agents[agent].report_due(self.now);
        if due < self.agents[agent].reports_at {
            self.agents[agent].reports_at = due;
            self.push(due, Event::Reports(agent));
        }
    }

    pub(super) fn report(&mut self, agent: usize) {
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
        if self.truth.unsure_somewhere(agent, self.now) {
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

    pub(super) fn send(&mut self, agent: usize, report: Report) {
        let report = Arc::new(report);
        let clock = self.clock(agent);
        for server in 0..self.servers.len() {
            if !self.truth.parted(agent, server) {
                self.played.reports += 1;
                let arrives = self.now + self.way(agent, server);
                self.push(arrives, Event::Arrives { server, agent, clock, report: Arc::clone(&report) });
            } else if self.bug == Some(Bug::SilenceIsDown) {
                let mut taken = Report::clone(&report);
                let failed = |one: &mut crate::health::outcome::Outcome| one.result = Err(Failure::TimedOut);
                taken.targets.iter_mut().for_each(|entry| entry.outcomes.iter_mut().for_each(failed));
                self.push(self.now + WAY, Event::Arrives { server, agent, clock, report: Arc::new(taken) });
            }
        }
    }

    /// How long a report travels.
    fn way(&mut self, agent: usize, server: usize) -> Duration {
        let slow = self.truth.slow(agent, server);
        if slow.is_zero() { WAY } else { WAY + slow.mul_f64(self.chance.ratio()) }
    }

    /// What the agent's clock shows.
    fn clock(&self, agent: usize) -> Duration {
        let seconds = self.truth.clock(agent);
        let shown = CLOCKS_SHOW + self.now.since(Moment::START);
        let off = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { shown.saturating_sub(off) } else { shown + off }
    }
}
