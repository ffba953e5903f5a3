//! What the board keeps of one agent.

use crate::health::outcome::Report;
use crate::health::streak::{Action, Condition, Streak};
use crate::health::vantage::{Blindness, Census, Sight, Voice};
use crate::ids::VantageId;
use crate::time::Moment;

use super::{Change, Refusal, Target};

/// An agent, with a streak and a voice per target.
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
    /// What the sight of the others was last compared with: whether it is live, and mostly sees failures.
    pub outline: (bool, bool),
    pub heard_at: Moment,
    pub streaks: Vec<Streak>,
    pub voices: Vec<Voice>,
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
            outline: (false, false),
            heard_at: Moment::START,
            streaks: vec![Streak::new(); targets],
            voices: vec![Voice::Silent; targets],
        }
    }

    /// The same agent, for a generation with other targets.
    pub(super) fn without_streaks(&self) -> Self {
        Self { streaks: Vec::new(), voices: Vec::new(), ..*self }
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
            let (Some(streak), Some(known)) = (self.streaks.get_mut(index), targets.get(index)) else {
                change.unknown_targets += 1;
                continue;
            };
            for outcome in streak.unseen(entry) {
                if outcome.age > known.age_limit {
                    change.late += 1;
                    continue;
                }
                let at = (now - outcome.age).max(streak.newest_at());
                match streak.record(at, &outcome.result, &known.thresholds, known.age_limit) {
                    Action::Recheck => change.rechecks.push(entry.target),
                    Action::Wait => {}
                }
            }
        }
    }

    /// Notes what the others' sight is compared with; whether that changed.
    pub(super) fn outline_changed(&mut self) -> bool {
        let outline = (self.is_live(), self.census.mostly_fails());
        std::mem::replace(&mut self.outline, outline) != outline
    }

    /// Whether its view of the world as a whole can be compared with others'.
    pub(super) fn is_live(&self) -> bool {
        self.census.tested > 0 && self.control != Some(false) && !self.lagging
    }

    /// Takes on a sight. Sight that came back by itself forgets what was seen blind: failures of a cut uplink
    /// must not count as soon as it heals, nor when all uplinks heal at once and each agent's memory confirms
    /// the others'. Where the others confirmed what it saw, or it lasted, it stays.
    pub(super) fn see(&mut self, sight: Sight) {
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
            for streak in self.streaks.iter_mut().filter(|streak| streak.condition() != Condition::Clear) {
                streak.forget();
            }
        }
        self.sight = sight;
    }
}
