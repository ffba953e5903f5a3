//! What outlives a generation: verdicts and streaks through a reload, verdicts through a restart. Ids mean
//! nothing across either, keys do.

use std::collections::HashMap;
use std::time::Duration;

use super::{Agent, Board, BoardConfig, Change, earliest};
use crate::health::check::Said;
use crate::health::machine::{Machine, SavedVerdict};
use crate::health::streak::Streak;
use crate::health::usable::Usable;
use crate::ids::{EndpointId, VantageId};
use crate::time::Moment;

impl Board {
    /// The board of a new configuration that goes on where `old` stands. Verdicts persist by the endpoint's
    /// key, streaks by the vantage's and the target's. An endpoint that is new waits for its first quorum,
    /// unless nobody in its service persists: a service must not start with nothing.
    #[must_use]
    pub fn rebuilt(config: BoardConfig, old: &Board, now: Moment) -> (Self, Change) {
        let mut board = Self::new(config, now);
        board.carry_verdicts(old, now);
        board.carry_pushed(old);
        board.carry_agents(old);
        let mut change = Change::default();
        let mut dirty: Vec<usize> = (0..board.targets.len()).collect();
        for index in 0..board.agents.len() {
            board.review(index, now, &mut dirty, &mut change);
        }
        board.carry_moves(old);
        board.judge_all(dirty, now, &mut change);
        (board, change)
    }

    /// Verdicts as the state file keeps them, in the order of the endpoints; those of which nothing is known
    /// are left out.
    #[must_use]
    pub fn saved(&self, now: Moment) -> Vec<SavedVerdict> {
        let probed = self.specs.iter().zip(&self.records).filter(|(spec, _)| spec.target.is_some());
        let saved = probed
            .map(|(spec, record)| record.machine.saved(&spec.key, record.usable.share(), now, &self.rules));
        saved.filter(SavedVerdict::is_known).collect()
    }

    /// Takes verdicts that were saved `age` ago in place of knowing nothing. They stand until there is news or
    /// they grow too old. Endpoints that are not among them stay as they are; call it before the first report.
    pub fn restore(&mut self, saved: &[SavedVerdict], age: Duration, now: Moment) {
        let by_key: HashMap<&str, &SavedVerdict> = saved.iter().map(|one| (one.key.as_str(), one)).collect();
        for (spec, record) in self.specs.iter().zip(&mut self.records) {
            if let Some(one) = by_key.get(spec.key.as_str()) {
                record.machine = Machine::restored(one, age, spec.way_back, &self.rules, now);
                record.usable = Usable::restored(one.usable);
            }
        }
        let every_target = (0..self.targets.len()).collect();
        self.judge_all(every_target, now, &mut Change::default());
    }

    fn carry_verdicts(&mut self, old: &Board, now: Moment) {
        let by_key: HashMap<&str, usize> =
            old.specs.iter().enumerate().map(|(index, spec)| (spec.key.as_str(), index)).collect();
        let from: Vec<Option<usize>> =
            self.specs.iter().map(|spec| by_key.get(spec.key.as_str()).copied()).collect();
        for (members, _) in &self.services {
            let alone = members.iter().all(|member| from[member.index()].is_none());
            for member in members {
                let record = &mut self.records[member.index()];
                match from[member.index()] {
                    Some(index) => *record = old.records[index].clone(),
                    None if alone => {}
                    None => record.machine = Machine::waiting(now),
                }
            }
        }
    }

    fn carry_pushed(&mut self, old: &Board) {
        for (row, from) in self.targets_in(old).into_iter().enumerate() {
            let Some(from) = from.map(|from| &old.targets[from]).filter(|from| from.is_pushed) else {
                continue;
            };
            (self.targets[row].pushed, self.targets[row].stale_at) = (from.pushed.clone(), from.stale_at);
            self.wake = earliest(self.wake, from.stale_at);
        }
    }

    fn carry_agents(&mut self, old: &Board) {
        let targets = self.targets_in(old);
        let mut agents: Vec<Agent> = Vec::with_capacity(old.agents.len());
        for agent in &old.agents {
            let Some(vantage) = self.vantage_named(&old.vantages[agent.vantage.index()].name) else {
                continue;
            };
            let streak =
                |from: &Option<usize>| from.map_or_else(Streak::new, |index| agent.streaks[index].clone());
            agents.push(Agent {
                vantage,
                streaks: targets.iter().map(streak).collect(),
                said: vec![Said::NOTHING; targets.len()],
                ..agent.without_streaks()
            });
        }
        agents.sort_by_key(Agent::place);
        self.agents = agents;
        self.count_blind();
    }

    fn carry_moves(&mut self, old: &Board) {
        let targets = self.targets_in(old);
        for (index, vantage) in old.vantages.iter().enumerate() {
            let Some(here) = self.vantage_named(&vantage.name) else { continue };
            for (target, from) in targets.iter().enumerate() {
                let cell = self.cell(target, here);
                let there = from.map(|from| old.cell(from, VantageId::from_index(index)));
                self.moved[cell] = there.is_some_and(|there| old.moved[there]);
            }
        }
    }

    /// Where each target stands in `old`.
    fn targets_in(&self, old: &Board) -> Vec<Option<usize>> {
        let by_key: HashMap<&str, usize> =
            old.targets.iter().enumerate().map(|(index, target)| (target.key.as_str(), index)).collect();
        self.targets.iter().map(|target| by_key.get(target.key.as_str()).copied()).collect()
    }

    fn vantage_named(&self, name: &str) -> Option<VantageId> {
        self.vantages.iter().position(|vantage| vantage.name == name).map(VantageId::from_index)
    }

    /// The endpoint with this key.
    #[must_use]
    pub fn endpoint_named(&self, key: &str) -> Option<EndpointId> {
        self.specs.iter().position(|spec| spec.key == key).map(EndpointId::from_index)
    }
}
