//! Every way in which paths between vantages and regions can be cut, times which region is truly down, through
//! the real board; and what three other rules would have done. Asked is what is concluded once things are as
//! they are, not how fast: the speed limit is off.

use std::ops::Range;
use std::time::Duration;

use crate::health::board::{Board, BoardConfig, EndpointSpec, Source, TargetSpec, VantageSpec};
use crate::health::machine::WayBack;
use crate::health::outcome::{Failure, Outcome, Report, TargetReport};
use crate::health::rules::{Ratio, Rules, SpeedLimit};
use crate::health::streak::Thresholds;
use crate::health::verdict::{Share, State};
use crate::ids::{EndpointId, RegionId, ServiceId, TargetId, VantageId};
use crate::time::Moment;

/// How many vantages look at how many regions.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// With one agent each.
    pub vantages: u32,
    /// With one endpoint each.
    pub regions: u32,
}

/// How something concludes from what the vantages reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// This project's.
    Quorum,
    /// Healthy while more than 18 % of all checkers say so.
    Eighteen,
    /// Each vantage has the word of its majority, and the majority of vantages decides.
    Majorities,
    /// The first vantage decides.
    Single,
}

/// All rules, this project's first.
pub const RULES: [Rule; 4] = [Rule::Quorum, Rule::Eighteen, Rule::Majorities, Rule::Single];

/// What came of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Withdrawn for all though more than one third of the vantages reach it.
    pub wrong: u64,
    /// Dead and not withdrawn though two thirds of the vantages reach most other regions.
    pub missed: u64,
    /// Withdrawn though some vantage reaches it: not wrong, but worth knowing.
    pub disputed: u64,
    /// Alive, reached by nobody, and yet kept; or dead and kept: what caution costs.
    pub kept: u64,
}

impl Shape {
    /// How many subsets of the paths there are.
    #[must_use]
    pub fn subsets(self) -> u32 {
        1 << (self.vantages * self.regions)
    }

    /// Whether a vantage reaches a region, given the paths that stand.
    fn reaches(self, paths: u32, vantage: u32, region: u32) -> bool {
        paths >> (vantage * self.regions + region) & 1 == 1
    }

    fn reached_by(self, paths: u32, region: u32) -> u32 {
        (0..self.vantages).map(|vantage| u32::from(self.reaches(paths, vantage, region))).sum()
    }

    /// The paths that still lead somewhere when `down` is.
    fn without(self, paths: u32, down: Option<u32>) -> u32 {
        let column = (0..self.vantages).fold(0, |mask, vantage| mask | 1 << (vantage * self.regions));
        down.map_or(paths, |region| paths & !(column << region))
    }
}

/// Counts what each of [`RULES`] does on a part of the subsets, no region being down or any single one.
#[must_use]
pub fn count(shape: Shape, subsets: Range<u32>) -> [Count; 4] {
    let table = Concluded::new(shape);
    let mut counts = [Count::default(); 4];
    for paths in subsets {
        for down in (0..shape.regions).map(Some).chain([None]) {
            let standing = shape.without(paths, down);
            for (rule, count) in RULES.into_iter().zip(&mut counts) {
                // A dead region's paths do not matter: each such case is judged once, and counts for all alike.
                if down.is_some() && standing != paths {
                    continue;
                }
                let alike = if down.is_some() { 1 << shape.vantages } else { 1 };
                table.judge(rule, standing, down, alike, count);
            }
        }
    }
    counts
}

/// A board on which all is well, from which each case begins.
struct Concluded {
    shape: Shape,
    calm: Board,
}

impl Concluded {
    fn new(shape: Shape) -> Self {
        let mut calm = Board::new(config(shape), Moment::START);
        for round in 1..=2 {
            look(&mut calm, shape, u32::MAX, round);
        }
        Self { shape, calm }
    }

    fn judge(&self, rule: Rule, paths: u32, down: Option<u32>, alike: u64, count: &mut Count) {
        let Shape { vantages, regions } = self.shape;
        let withdrawn = self.withdrawn(rule, paths);
        for region in 0..regions {
            let is_withdrawn = withdrawn >> region & 1 == 1;
            let reached = self.shape.reached_by(paths, region);
            count.wrong += alike * u64::from(is_withdrawn && reached * 3 > vantages);
            count.disputed += alike * u64::from(is_withdrawn && reached > 0);
            count.kept += alike * u64::from(!is_withdrawn && reached == 0);
            let seeing = (0..vantages).filter(|&vantage| {
                let others = (0..regions).filter(|&other| other != region);
                others.filter(|&other| self.shape.reaches(paths, vantage, other)).count() * 2
                    > (regions - 1) as usize
            });
            let missed = down == Some(region) && !is_withdrawn && seeing.count() as u32 * 3 >= vantages * 2;
            count.missed += alike * u64::from(missed);
        }
    }

    /// The regions that a rule withdraws, a bit each.
    fn withdrawn(&self, rule: Rule, paths: u32) -> u32 {
        if rule == Rule::Quorum {
            return self.concluded(paths);
        }
        let vantages = self.shape.vantages;
        let fails = |&region: &u32| {
            let reached = self.shape.reached_by(paths, region);
            match rule {
                Rule::Eighteen => reached * 100 <= vantages * 18,
                Rule::Majorities => (vantages - reached) * 2 > vantages,
                Rule::Single | Rule::Quorum => !self.shape.reaches(paths, 0, region),
            }
        };
        (0..self.shape.regions).filter(fails).fold(0, |bits, region| bits | 1 << region)
    }

    /// What the board has concluded after a few looks at paths that stay as they are.
    fn concluded(&self, paths: u32) -> u32 {
        let mut board = self.calm.clone();
        for round in 3..=5 {
            look(&mut board, self.shape, paths, round);
        }
        let down = |region: &u32| board.standing(EndpointId(*region)).state == State::Down;
        (0..self.shape.regions).filter(down).fold(0, |bits, region| bits | 1 << region)
    }
}

/// How many outcomes an agent tells of each region in a round: enough for every threshold.
const OUTCOMES: u32 = 10;

/// Every agent tells what it sees.
fn look(board: &mut Board, shape: Shape, paths: u32, round: u64) {
    for vantage in 0..shape.vantages {
        let entry = |region| {
            let passes = shape.reaches(paths, vantage, region);
            let result = if passes { Ok(()) } else { Err(Failure::TimedOut) };
            let outcome = |ago| Outcome {
                age: Duration::from_millis(50) * ago,
                latency: Duration::ZERO,
                result: result.clone(),
                usable: Share::WHOLE,
            };
            let outcomes = (0..OUTCOMES).rev().map(outcome).collect();
            TargetReport { target: TargetId(region), newest: round * u64::from(OUTCOMES), outcomes }
        };
        let report = Report {
            vantage: VantageId::from_index(vantage as usize),
            agent: 0,
            boot: 1,
            number: round,
            control: None,
            lagging: false,
            targets: (0..shape.regions).map(entry).collect(),
        };
        let now = Moment::from_millis(round * 1000 + u64::from(vantage));
        board.apply(&report, now).expect("the numbers grow");
    }
}

fn config(shape: Shape) -> BoardConfig {
    let no_limit = SpeedLimit {
        region_every: Duration::ZERO,
        capacity_every: Duration::ZERO,
        capacity: Ratio { numerator: 1, denominator: 1 },
    };
    let vantage = |vantage| {
        let name = format!("v{vantage}");
        VantageSpec { fault_domain: Some(name.clone()), name }
    };
    let target = |region| TargetSpec {
        key: format!("r{region}"),
        probe: "web".to_owned(),
        source: Source::Probed { shows_sight: true },
        interval: Duration::from_secs(1),
        thresholds: Thresholds::default(),
    };
    let endpoint = |region| EndpointSpec {
        key: format!("r{region}/www/192.0.2.{region}"),
        service: ServiceId(0),
        region: RegionId::from_index(region as usize),
        target: Some(TargetId(region)),
        capacity: 1,
        way_back: WayBack::default(),
    };
    BoardConfig {
        rules: Rules { speed: no_limit, ..Rules::default() },
        vantages: (0..shape.vantages).map(vantage).collect(),
        targets: (0..shape.regions).map(target).collect(),
        endpoints: (0..shape.regions).map(endpoint).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_vantages_and_three_regions_are_never_judged_wrongly() {
        let shape = Shape { vantages: 3, regions: 3 };
        let [ours, _, majorities, single] = count(shape, 0..shape.subsets());
        assert_eq!((ours.wrong, ours.missed), (0, 0), "{ours:?}");
        assert!(single.wrong > 0);
        assert_eq!(majorities.missed, 0);
    }

    #[test]
    fn five_vantages_and_four_regions_are_judged_rightly_where_sampled() {
        let shape = Shape { vantages: 5, regions: 4 };
        for begin in (0..shape.subsets()).step_by(1 << 14) {
            let [ours, ..] = count(shape, begin..begin + 8);
            assert_eq!((ours.wrong, ours.missed), (0, 0), "from {begin}: {ours:?}");
        }
    }
}
