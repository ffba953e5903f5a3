//! One agent of a world: the real plan and records around a pretended probe.

use std::time::Duration;

use crate::agent::chance::Chance;
use crate::agent::plan::{Pace, Plan};
use crate::agent::record::{Cadence, Past, Record};
use crate::health::outcome::{Failure, Report};
use crate::health::verdict::Share;
use crate::ids::{TargetId, VantageId};
use crate::time::Moment;

/// An agent that has seen only passes for this long can change nobody's mind by telling of more of them: from
/// then on its reports come every [`CALM_TICK`], which keeps what it said fresh.
const CALM_AFTER: Duration = Duration::from_secs(20);
const CALM_TICK: Duration = Duration::from_secs(1);

/// An agent.
pub(super) struct Agent {
    pub(super) plan: Plan,
    records: Vec<Record>,
    cadence: Cadence,
    vantage: VantageId,
    number: u64,
    /// The targets with outcomes that were not told yet. Of the others a server would skip all it is told.
    news: Vec<TargetId>,
    /// The next report tells everything: an earlier one may not have arrived.
    pub(super) tell_all: bool,
    troubled_at: Moment,
    /// Its control targets failed when it last looked.
    blind: bool,
    /// When the world will next let it probe and report.
    pub(super) probes_at: Moment,
    pub(super) reports_at: Moment,
}

impl Agent {
    pub(super) fn new(vantage: usize, paces: &[Pace], chance: Chance, now: Moment) -> Self {
        Self {
            plan: Plan::new(paces, now, chance),
            records: vec![Record::default(); paces.len()],
            cadence: Cadence::new(now),
            vantage: VantageId::from_index(vantage),
            number: 0,
            news: Vec::new(),
            tell_all: true,
            troubled_at: now,
            blind: false,
            probes_at: Moment(u64::MAX),
            reports_at: Moment(u64::MAX),
        }
    }

    /// A probe ended; `None` if it learned nothing.
    pub(super) fn done(&mut self, target: usize, result: Option<Result<Share, Failure>>, now: Moment) {
        let passed = result.as_ref().map(Result::is_ok);
        let urgent = self.plan.done(target, passed, now);
        let Some(result) = result else { return };
        if result.is_err() {
            self.troubled_at = now;
        }
        let usable = *result.as_ref().unwrap_or(&Share::NONE);
        let result = result.map(|_| ());
        let changed = self.records[target].push(Past { ended: now, latency: Duration::ZERO, result, usable });
        if changed || urgent {
            self.cadence.hurry();
        }
        let target = TargetId::from_index(target);
        if !self.news.contains(&target) {
            self.news.push(target);
        }
    }

    /// Something is wrong with it: it reports at its full pace.
    pub(super) fn is_troubled(&mut self, now: Moment) {
        self.troubled_at = now;
        self.tell_all = true;
    }

    /// When it reports next.
    pub(super) fn report_due(&self, now: Moment) -> Moment {
        let due = self.cadence.due().max(now);
        let calm = now.since(self.troubled_at) > CALM_AFTER && due > now + CALM_TICK / 5;
        if calm { due.max(now + CALM_TICK) } else { due }
    }

    /// What it reports now; `None` if nobody would learn anything by it.
    pub(super) fn report(&mut self, control: Option<bool>, lagging: bool, now: Moment) -> Option<Report> {
        self.cadence.sent(now, Duration::ZERO);
        if control == Some(true) && self.blind {
            self.records.iter_mut().for_each(Record::forget);
        }
        self.blind = control == Some(false);
        if self.tell_all {
            self.news = (0..self.records.len()).map(TargetId::from_index).collect();
            self.tell_all = false;
        }
        if self.news.is_empty() {
            return None;
        }
        self.number += 1;
        let told = self.news.drain(..).map(|target| self.records[target.index()].tell(target, now));
        Some(Report {
            vantage: self.vantage,
            agent: 0,
            boot: 1,
            number: self.number,
            control,
            lagging,
            targets: told.collect(),
        })
    }
}
