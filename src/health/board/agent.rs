//! What the board keeps of one agent.

use crate::health::check::Said;
use crate::health::outcome::{Failure, Report, TargetReport};
use crate::health::streak::{Action, Condition, Streak};
use crate::health::vantage::{Blindness, Census, Sight};
use crate::ids::VantageId;
use crate::time::Moment;

use super::outline::Outline;
use super::{Change, Refusal, Source, Target};

/// An agent, with a streak and what it says per target.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub vantage: VantageId,
    pub id: u32,
    pub boot: u64,
    /// Former boots, so that their belated reports do not start the count anew.
    pub former: [Option<u64>; BOOTS_REMEMBERED],
    pub number: Option<u64>,
    pub control: Option<bool>,
    pub lagging: bool,
    pub census: Census,
    /// Since when all of its targets fail.
    pub wholly_since: Option<Moment>,
    pub sight: Sight,
    /// What of it is counted among the others: whether it is live, and mostly sees failures.
    pub outline: Outline,
    pub heard_at: Moment,
    pub streaks: Vec<Streak>,
    pub said: Vec<Said>,
}

/// How many former boots of an agent are remembered.
const BOOTS_REMEMBERED: usize = 4;

impl Agent {
    pub(super) fn new(report: &Report, targets: usize) -> Self {
        Self {
            vantage: report.vantage,
            id: report.agent,
            boot: report.boot,
            former: [None; BOOTS_REMEMBERED],
            number: None,
            control: None,
            lagging: false,
            census: Census::default(),
            wholly_since: None,
            sight: Sight::Clear,
            outline: Outline::default(),
            heard_at: Moment::START,
            streaks: vec![Streak::new(); targets],
            said: vec![Said::NOTHING; targets],
        }
    }

    /// The same agent, for a generation with other targets.
    pub(super) fn without_streaks(&self) -> Self {
        Self { streaks: Vec::new(), said: Vec::new(), outline: Outline::default(), ..*self }
    }

    /// The order in which agents are kept.
    pub(super) fn place(&self) -> (VantageId, u32) {
        (self.vantage, self.id)
    }

    /// Whether a report is news.
    pub(super) fn check(&self, report: &Report) -> Result<(), Refusal> {
        if self.former.contains(&Some(report.boot)) {
            return Err(Refusal::FormerBoot);
        }
        match self.number {
            Some(newest) if report.boot == self.boot && report.number <= newest => {
                Err(Refusal::OldNumber { newest })
            }
            _ => Ok(()),
        }
    }

    /// Takes a report that is news; a new boot starts anew.
    pub(super) fn take(&mut self, report: &Report, targets: &[Target], now: Moment, change: &mut Change) {
        if report.boot != self.boot {
            self.former.rotate_right(1);
            self.former[0] = Some(self.boot);
            self.boot = report.boot;
            self.streaks.fill(Streak::new());
        }
        self.number = Some(report.number);
        self.control = report.control;
        self.lagging = report.lagging;
        self.heard_at = now;
        for entry in &report.targets {
            let index = entry.target.index();
            let Some(known) =
                targets.get(index).filter(|known| matches!(known.source, Source::Probed { .. }))
            else {
                change.unknown_targets += 1;
                continue;
            };
            if let Some(negation) = known.negation {
                hear(&mut self.streaks[negation], entry, &targets[negation], now, &mut Change::default());
            }
            hear(&mut self.streaks[index], entry, known, now, change);
        }
    }

    /// What the sight of others may be compared with.
    pub(super) fn drawn(&self) -> Outline {
        let live = self.is_live();
        Outline { live, mostly_fails: live && self.census.mostly_fails() }
    }

    /// Whether its view of the world as a whole can be compared with others'.
    pub(super) fn is_live(&self) -> bool {
        self.census.tested > 0 && self.control != Some(false) && !self.lagging
    }

    /// Takes on a sight. Sight that came back by itself forgets what was seen blind: failures of a cut uplink
    /// must not count as soon as it heals, nor when all uplinks heal at once and each agent's memory confirms
    /// the others'. Where the others confirmed what it saw, or it lasted, it stays.
    pub(super) fn see(&mut self, sight: Sight, targets: &[Target]) {
        let clear = sight == Sight::Clear;
        let void = match self.sight {
            Sight::Clear => false,
            Sight::Blind(Blindness::Alone) => clear && !self.census.mostly_fails(),
            Sight::Blind(Blindness::Everything) => clear && !self.census.wholly_fails(),
            Sight::Blind(Blindness::Control) | Sight::Lagging => {
                !matches!(sight, Sight::Blind(Blindness::Control) | Sight::Lagging)
            }
        };
        if void {
            for (streak, target) in self.streaks.iter_mut().zip(targets) {
                // Turned round, it is the passes that were seen blind.
                if streak.condition() != Condition::Clear || matches!(target.source, Source::Negated(_)) {
                    streak.forget();
                }
            }
        }
        self.sight = sight;
    }
}

/// Takes the outcomes of `entry` that are new to `streak`, which is that of `known`.
fn hear(streak: &mut Streak, entry: &TargetReport, known: &Target, now: Moment, change: &mut Change) {
    for outcome in streak.unseen(entry) {
        if outcome.age > known.age_limit {
            change.late += 1;
            continue;
        }
        let at = (now - outcome.age).max(streak.newest_at());
        match record(streak, at, &outcome.result, known) {
            Action::Recheck => change.rechecks.push(entry.target),
            Action::Wait => {}
        }
        // Behind the outcome, which may begin the streak anew.
        if outcome.result.is_ok() && !matches!(known.source, Source::Negated(_)) {
            streak.note_share(outcome.usable);
        }
    }
}

/// Takes one outcome into the streak of `known`, turned round where that is wanted.
pub(super) fn record(
    streak: &mut Streak,
    at: Moment,
    result: &Result<(), Failure>,
    known: &Target,
) -> Action {
    let Target { source, thresholds, age_limit, .. } = known;
    if !matches!(source, Source::Negated(_)) {
        return streak.record(at, result, thresholds, *age_limit);
    }
    let turned = match result {
        Ok(()) => Err(Failure::Other("passes, and must not".to_owned())),
        Err(_) => Ok(()),
    };
    streak.record(at, &turned, thresholds, *age_limit)
}
