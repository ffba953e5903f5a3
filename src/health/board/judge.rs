//! From tallies to verdicts: what single vantages do for their own clients, and what the quorum does for all.

use super::{Board, Change, Source, earliest};
use crate::health::evidence::{Evidence, FAILURES_TOLD, Move, Notice, Transition};
use crate::health::limit::{Past, Wanted, may_withdraw};
use crate::health::machine::{Heard, Why};
use crate::health::outcome::Failure;
use crate::health::quorum::{Finding, Votes, count, judge};
use crate::health::streak::Trail;
use crate::health::usable::Usable;
use crate::health::verdict::{Share, State};
use crate::ids::{EndpointId, TargetId, VantageId};
use crate::time::Moment;

impl Board {
    /// Judges targets in their order, each once; how many there were.
    pub(super) fn judge_all(&mut self, mut targets: Vec<usize>, now: Moment, change: &mut Change) -> usize {
        targets.sort_unstable();
        targets.dedup();
        for &target in &targets {
            self.judge(target, now, change);
        }
        targets.len()
    }

    /// Judges one target: moves of single vantages, then the verdict of each of its endpoints.
    fn judge(&mut self, target: usize, now: Moment, change: &mut Change) {
        let row = target * self.vantages.len()..(target + 1) * self.vantages.len();
        let awaited = self.awaited(now);
        let together = self.targets[target].thresholds.together;
        let counted = count(&self.tallies[row], &self.domains, together, &self.rules, now);
        let votes = Votes { blind: self.blind, awaited, ..counted };
        let finding = judge(&votes, self.domains_configured, together, &self.rules);
        let heard = Heard { finding, doubted: votes.doubted };
        let measured = self.measured(target, &votes, finding);
        let mut wake = earliest(votes.ask_again, self.move_clients(target, now, change));
        if awaited > 0 && (votes.fails > 0 || self.lessened[target] > 0) {
            wake = earliest(wake, Some(self.settled_at));
        }
        for position in 0..self.targets[target].endpoints.len() {
            let endpoint = self.targets[target].endpoints[position];
            self.note_freeze(endpoint, finding, change);
            let ask_again = self.advance(endpoint, heard, votes, now, change);
            self.follow_share(endpoint, measured, votes, now, change);
            let record = &self.records[endpoint.index()];
            let own = earliest(record.machine.wake(now), record.usable.wake(&self.rules.usable));
            wake = earliest(earliest(wake, ask_again), own);
        }
        self.targets[target].wake = wake;
        self.wake = earliest(self.wake, wake);
    }

    /// How many vantages were not heard since a recent start: a quorum must not come of who spoke first.
    fn awaited(&self, now: Moment) -> u32 {
        if now >= self.settled_at {
            return 0;
        }
        let heard = self.agents.chunk_by(|a, b| a.vantage == b.vantage).count();
        u32::try_from(self.vantages.len() - heard).expect("vantages are counted by a 16-bit id")
    }

    /// Lets each vantage move its own clients. Where it is the only one its word is the quorum's anyway.
    fn move_clients(&mut self, target: usize, now: Moment, change: &mut Change) -> Option<Moment> {
        let mut wake = None;
        if self.vantages.len() < 2 {
            return wake;
        }
        for vantage in (0..self.vantages.len()).map(VantageId::from_index) {
            let cell = self.cell(target, vantage);
            let together = self.targets[target].thresholds.together;
            let from =
                self.tallies[cell].moves_clients_from(self.rules.lone_wait, together, self.moved[cell]);
            let unreachable = from.is_some_and(|from| from <= now);
            wake = earliest(wake, from.filter(|&from| from > now));
            if unreachable != self.moved[cell] {
                self.moved[cell] = unreachable;
                let failures = self.failures(target, Some(vantage));
                change.moves.extend(self.targets[target].endpoints.iter().map(|&endpoint| Move {
                    vantage,
                    endpoint,
                    key: self.specs[endpoint.index()].key.clone(),
                    unreachable,
                    failures: failures.clone(),
                }));
            }
        }
        wake
    }

    fn note_freeze(&mut self, endpoint: EndpointId, finding: Finding, change: &mut Change) {
        let record = &mut self.records[endpoint.index()];
        let frozen = match finding {
            Finding::Frozen(freeze) => Some(freeze),
            _ => None,
        };
        match (record.frozen, frozen) {
            (None, Some(freeze)) if record.judged => change.notices.push(Notice::Frozen(endpoint, freeze)),
            (Some(_), None) if record.judged => change.notices.push(Notice::Thawed(endpoint)),
            _ => {}
        }
        record.frozen = frozen;
        record.judged |= frozen.is_none();
    }

    /// Steps one endpoint's machine until it rests; gives when the speed limit wants to be asked again.
    fn advance(
        &mut self,
        endpoint: EndpointId,
        heard: Heard,
        votes: Votes,
        now: Moment,
        change: &mut Change,
    ) -> Option<Moment> {
        let way_back = self.specs[endpoint.index()].way_back;
        for _ in 0..STEPS_MAX {
            let held_back_until = self.held_back_until(endpoint, heard, now);
            let record = &mut self.records[endpoint.index()];
            if held_back_until.is_some() && record.held_back_until.is_none() {
                change.notices.push(Notice::HeldBack(endpoint));
            }
            record.held_back_until = held_back_until;
            let from = record.machine.state();
            let Some(why) = record.machine.step(now, heard, way_back, &self.rules, held_back_until.is_none())
            else {
                break;
            };
            let target = self.specs[endpoint.index()].target.expect("only probed endpoints are judged");
            let evidence = Evidence { votes, failures: self.failures(target.index(), None) };
            let record = &mut self.records[endpoint.index()];
            record.evidence = evidence.clone();
            change.transitions.push(Transition {
                endpoint,
                key: self.specs[endpoint.index()].key.clone(),
                from,
                to: record.machine.state(),
                standing: record.standing(&self.rules),
                why,
                evidence,
            });
        }
        self.records[endpoint.index()].held_back_until
    }

    /// How much of a target is usable: the lower median over the vantages of the lower medians over their agents.
    fn measured(&self, target: usize, votes: &Votes, finding: Finding) -> Option<Share> {
        // Nor is it measured by who speaks first after a start.
        let silent = matches!(finding, Finding::Frozen(_)) || votes.awaited > 0;
        if silent || votes.fails >= votes.eligible {
            return None;
        }
        if self.lessened[target] == 0 {
            return Some(Share::WHOLE);
        }
        let vantages = self.agents.chunk_by(|a, b| a.vantage == b.vantage);
        let of_vantages = vantages.filter_map(|agents| {
            lower_median(agents.iter().filter_map(|agent| agent.said[target].measured()).collect())
        });
        lower_median(of_vantages.collect())
    }

    /// Lets the share in force of an endpoint follow what is measured.
    fn follow_share(
        &mut self,
        endpoint: EndpointId,
        measured: Option<Share>,
        votes: Votes,
        now: Moment,
        change: &mut Change,
    ) {
        let record = &mut self.records[endpoint.index()];
        let state = record.machine.state();
        let changed = match state {
            // What comes back from there is measured anew.
            State::Down => {
                record.usable = Usable::default();
                false
            }
            State::Unknown => record.usable.step(None, now, &self.rules.usable),
            State::Up | State::Suspect | State::Recovering => {
                record.usable.step(measured, now, &self.rules.usable)
            }
        };
        if changed {
            change.transitions.push(Transition {
                endpoint,
                key: self.specs[endpoint.index()].key.clone(),
                from: state,
                to: state,
                standing: record.standing(&self.rules),
                why: Why::Share,
                evidence: Evidence { votes, failures: Vec::new() },
            });
        }
    }

    /// Until when the speed limit forbids the withdrawal that the quorum asks for.
    fn held_back_until(&self, endpoint: EndpointId, heard: Heard, now: Moment) -> Option<Moment> {
        let machine = &self.records[endpoint.index()].machine;
        if !machine.wants_withdrawal(heard) {
            return None;
        }
        let spec = &self.specs[endpoint.index()];
        let (members, whole) = &self.services[spec.service.index()];
        let wanted = Wanted {
            region: spec.region,
            capacity: spec.counted_capacity(),
            since: machine.wanted_since().unwrap_or(now),
            corroborated: heard.finding == Finding::Fails { corroborated: true },
        };
        let past = members.iter().filter(|&&member| member != endpoint).filter_map(|member| {
            let spec = &self.specs[member.index()];
            let at = self.records[member.index()].machine.withdrawn_at()?;
            Some(Past { region: spec.region, capacity: spec.counted_capacity(), at })
        });
        may_withdraw(&wanted, past, *whole, &self.rules.speed, now).err()
    }

    /// What the agents see fail, the most frequent first; of one vantage or of all.
    fn failures(&self, target: usize, vantage: Option<VantageId>) -> Vec<(Trail, u32)> {
        let parts = match &self.targets[target].source {
            Source::Composed(check) => check.targets().into_iter().map(TargetId::index).collect(),
            _ => vec![target],
        };
        let mut failures = Vec::new();
        for agent in self.agents.iter().filter(|agent| vantage.is_none_or(|v| v == agent.vantage)) {
            for &part in parts.iter().filter(|part| agent.said[**part].voice.is_trouble()) {
                let known = &self.targets[part];
                let streak = if known.is_pushed { &known.pushed } else { &agent.streaks[part] };
                let Some(trail) = streak.trail(&known.thresholds) else { continue };
                let named = || Failure::Other(format!("{}: {}", known.probe, trail.failure));
                let failure = if part == target { trail.failure.clone() } else { named() };
                Evidence::add(&mut failures, Trail { failure, ..trail });
            }
        }
        failures.sort_by_key(|&(_, agents)| std::cmp::Reverse(agents));
        failures.truncate(FAILURES_TOLD);
        failures
    }
}

/// The middle one, of two in the middle the lesser; none of none.
fn lower_median(mut shares: Vec<Share>) -> Option<Share> {
    shares.sort_unstable();
    shares.get(shares.len().saturating_sub(1) / 2).copied()
}

/// More transitions than this at one moment are a loop: all the ramp's steps at once are fewer.
const STEPS_MAX: usize = 300;
