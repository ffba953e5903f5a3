//! What the intake remembers of an agent between two of its reports, so that the second costs only what is new in it:
//! where its targets are, and how far their outcomes were taken. Some 28 octets per target.

use super::known::Known;
use super::refusal::Refusal;
use crate::control::arrival::{Arrivals, Stamp};
use crate::exchange::order::TargetName;
use crate::exchange::report::Place;
use crate::health::outcome::TargetReport;
use crate::ids::TargetId;
use crate::time::Moment;

/// What is remembered of one agent.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When its reports came; none before the first.
    arrivals: Option<Arrivals>,
    /// The configuration that `places` and `seen` count targets of, and the boot that `seen` counts outcomes of.
    of: Option<(u64, u64)>,
    /// The targets of its last report in their order; those not known here have no id.
    places: Vec<(TargetName, Option<TargetId>)>,
    /// By target: the number of the newest outcome that was taken.
    seen: Vec<u64>,
}

impl Memory {
    /// Whether a report comes when it should. The first one sets the measure.
    pub(super) fn check_time(&mut self, stamp: Stamp, now: Moment) -> Result<(), Refusal> {
        match &mut self.arrivals {
            Some(arrivals) => Ok(arrivals.take(stamp, now)?),
            None => {
                self.arrivals = Some(Arrivals::new(stamp, now));
                Ok(())
            }
        }
    }

    /// A report on the targets of this configuration, of this boot, is read next. What was remembered of another
    /// counts for nothing.
    pub(super) fn begin(&mut self, configuration: u64, boot: u64) {
        if self.of != Some((configuration, boot)) {
            self.of = Some((configuration, boot));
            self.places.clear();
            self.seen.clear();
        }
    }

    /// What is known of the target of this name, the next in its report. Agents tell of targets in the same order
    /// each time, so that the name need hardly ever be looked up.
    pub(super) fn find(&mut self, position: usize, name: TargetName, known: &Known) -> Option<Place> {
        let remembered = self.places.get(position).filter(|(there, _)| *there == name);
        let target = match remembered {
            Some((_, target)) => *target,
            None => {
                let target = known.target(name);
                // Positions count up from zero.
                self.places.truncate(position);
                self.places.push((name, target));
                target
            }
        };
        target.map(|target| Place { target, seen: self.seen.get(target.index()).copied().unwrap_or(0) })
    }

    /// The outcomes of a report were handed on.
    pub(super) fn taken(&mut self, targets: &[TargetReport]) {
        for entry in targets {
            let index = entry.target.index();
            if index >= self.seen.len() {
                self.seen.resize(index + 1, 0);
            }
            self.seen[index] = self.seen[index].max(entry.newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the example configuration means to agents.
    fn known() -> Known {
        let text = include_str!("../../../rhumb.toml");
        Known::new(1, &crate::config::parse(text, "rhumb.toml").unwrap().0)
    }

    fn entry(target: u32, newest: u64) -> TargetReport {
        TargetReport { target: TargetId(target), newest, outcomes: Vec::new() }
    }

    #[test]
    fn what_was_taken_is_seen_until_the_agent_or_the_configuration_is_another() {
        let known = known();
        let (name, target) = known.any_target();
        let mut memory = Memory::default();
        for of in [(1, 7), (1, 8), (2, 8)] {
            memory.begin(of.0, of.1);
            assert_eq!(memory.find(0, name, &known), Some(Place { target, seen: 0 }));
            memory.taken(&[entry(target.0, 5)]);
            memory.taken(&[entry(target.0, 3)]);
            memory.begin(of.0, of.1);
            assert_eq!(memory.find(0, name, &known), Some(Place { target, seen: 5 }));
        }
    }

    #[test]
    fn targets_may_come_in_another_order() {
        let known = known();
        let (name, target) = known.any_target();
        let stranger = TargetName(1);
        let mut memory = Memory::default();
        memory.begin(1, 1);
        for order in [[name, stranger], [stranger, name], [stranger, stranger]] {
            for (position, told) in order.into_iter().enumerate() {
                let found = memory.find(position, told, &known).map(|place| place.target);
                assert_eq!(found, (told == name).then_some(target));
            }
        }
    }
}
