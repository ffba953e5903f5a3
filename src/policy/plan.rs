//! How the lots of a class are shared out among regions and addresses, and what each gets.

use super::draw::{Contender, winner};
use super::lots::{LOTS, LotOrder, mix};
use super::pool::{Pick, RegionPool};
use super::select::{Candidate, Outcome, Selection, Situation};
use super::service::{AnswerKind, Service};
use super::variant::{Layout, Reason, Variant};

/// What decides the answer to each lot.
pub(super) struct Plan<'a> {
    service: &'a Service,
    sharers: Vec<Sharer<'a>>,
    /// The first preferences, whatever works: their positions in the service, and how they would share the
    /// lots. Empty where every lot has its own.
    favourites: Vec<(usize, Contender)>,
    outcome: Outcome,
    /// A region gets only a share of lots.
    limited: bool,
    /// And that share moves: the region is on a ramp.
    shifting: bool,
}

/// A region that gets lots.
struct Sharer<'a> {
    candidate: &'a Candidate,
    pool: RegionPool,
    contender: Contender,
    /// Which group of regions it shares lots with by weight.
    group: usize,
    /// In which order a share of its gains lots.
    lot_order: LotOrder,
}

/// What a lot gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    sharer: usize,
    moved: bool,
    pick: Pick,
}

impl<'a> Plan<'a> {
    pub(super) fn new(situation: &Situation<'a>, selection: &'a Selection) -> Self {
        let Situation { service, class, .. } = *situation;
        let fail_open = selection.is_fail_open();
        let mut sharers = Vec::with_capacity(1);
        for (group, members) in selection.sharers(class).enumerate() {
            for at in members {
                let candidate = &selection.candidates[*at];
                sharers.push(Sharer {
                    candidate,
                    pool: RegionPool::new(situation, candidate.at, fail_open),
                    contender: candidate.contender(service),
                    group,
                    lot_order: LotOrder::of_region(service.salt, service.regions[candidate.at].key),
                });
            }
        }
        let any =
            |is: fn(&Candidate) -> bool| !fail_open && sharers.iter().any(|sharer| is(sharer.candidate));
        let limited = any(Candidate::is_limited);
        let shifting = any(|candidate| candidate.health.ramping);
        let favourites = match selection.outcome {
            Outcome::Preferred => &[],
            _ => selection.favourites(class),
        };
        let favourites = favourites.iter().map(|candidate| (candidate.at, candidate.contender(service)));
        Self {
            service,
            sharers,
            favourites: favourites.collect(),
            outcome: selection.outcome,
            limited,
            shifting,
        }
    }

    /// One answer for all where nothing is shared out, else one for each lot.
    pub(super) fn lay_out(&self) -> Layout {
        match self.sharers.as_slice() {
            [] => Layout { variants: Vec::new(), lots: None },
            [only] if !only.pool.differs_by_lot() && self.favourites.len() <= 1 => {
                Layout { variants: vec![self.variant(self.choice(0))], lots: None }
            }
            _ => self.share_out(),
        }
    }

    fn share_out(&self) -> Layout {
        let mut lots = Box::new([0; LOTS as usize]);
        let mut choices = Choices::default();
        for (lot, position) in (0..LOTS).zip(lots.iter_mut()) {
            *position = choices.position(self.choice(lot));
        }
        let variants: Vec<Variant> = choices.met.into_iter().map(|choice| self.variant(choice)).collect();
        let lots = (variants.len() > 1).then_some(lots);
        Layout { variants, lots }
    }

    fn choice(&self, lot: u16) -> Choice {
        let sharer = self.sharer_of(lot);
        let chosen = &self.sharers[sharer];
        Choice { sharer, moved: self.is_moved(chosen, lot), pick: chosen.pool.pick(lot) }
    }

    /// Who gets a lot: in the first group that has such, the best of those whose share covers it. Where shares
    /// leave a lot to nobody, they do not count: somebody must answer.
    fn sharer_of(&self, lot: u16) -> usize {
        let covered = if self.limited {
            let covers = |sharer: &Sharer<'_>| sharer.lot_order.covers(sharer.candidate.health.lots, lot);
            self.best_of(lot, covers)
        } else {
            None
        };
        covered.or_else(|| self.best_of(lot, |_| true)).expect("a plan that shares lots has sharers")
    }

    fn best_of(&self, lot: u16, may: impl Fn(&Sharer<'_>) -> bool) -> Option<usize> {
        let mut from = 0;
        for group in self.sharers.chunk_by(|a, b| a.group == b.group) {
            let best = match group {
                [only] => may(only).then_some(0),
                _ => {
                    let members = group.iter().enumerate().filter(|(_, sharer)| may(sharer));
                    winner(members.map(|(at, sharer)| (at, &sharer.contender)), lot)
                }
            };
            if let Some(at) = best {
                return Some(from + at);
            }
            from += group.len();
        }
        None
    }

    fn is_moved(&self, chosen: &Sharer<'_>, lot: u16) -> bool {
        match self.favourites.as_slice() {
            [] => false,
            [(at, _)] => *at != chosen.candidate.at,
            several => {
                let contenders = several.iter().map(|(_, contender)| contender);
                winner(contenders.enumerate(), lot).is_some_and(|best| several[best].0 != chosen.candidate.at)
            }
        }
    }

    fn variant(&self, choice: Choice) -> Variant {
        let sharer = &self.sharers[choice.sharer];
        let suspect = sharer.pool.is_suspect(choice.pick);
        let reason = self.reason(sharer, choice.moved, suspect);
        let named = self.service.answer == AnswerKind::Cname;
        let (v4, v6) = if named { Default::default() } else { sharer.pool.addresses(choice.pick) };
        Variant {
            region: Some(sharer.candidate.region),
            v4,
            v6,
            cname: self.service.regions[sharer.candidate.at].cname.clone().filter(|_| named),
            ttl: self.service.ttl.seconds(reason, choice.moved, suspect || self.is_shifting(sharer)),
            reason,
        }
    }

    fn is_shifting(&self, sharer: &Sharer<'_>) -> bool {
        self.shifting || sharer.pool.is_ramping()
    }

    fn reason(&self, sharer: &Sharer<'_>, moved: bool, suspect: bool) -> Reason {
        match self.outcome {
            Outcome::FailOpen(_) => Reason::FailOpen,
            _ if sharer.candidate.degraded => Reason::Degraded,
            _ if moved => Reason::Moved,
            _ if self.is_shifting(sharer) => Reason::Shifting,
            _ if suspect => Reason::Suspect,
            _ => Reason::Steady,
        }
    }
}

/// Distinct choices, found by hash: a draw among many addresses makes hundreds, and each lot asks.
struct Choices {
    met: Vec<Choice>,
    /// Positions in `met` plus one, by hash; 0 is free. Twice as many as there can be choices.
    slots: [u16; 2 * LOTS as usize],
}

impl Default for Choices {
    fn default() -> Self {
        Self { met: Vec::new(), slots: [0; 2 * LOTS as usize] }
    }
}

impl Choices {
    fn position(&mut self, choice: Choice) -> u16 {
        let Pick { v4, v6 } = choice.pick;
        let number = (choice.sharer as u64) << 1 | u64::from(choice.moved);
        let mut slot = mix(v4 ^ v6.rotate_left(24) ^ number.rotate_right(16)) as usize % self.slots.len();
        while self.slots[slot] != 0 {
            if self.met[usize::from(self.slots[slot]) - 1] == choice {
                return self.slots[slot] - 1;
            }
            slot = (slot + 1) % self.slots.len();
        }
        self.met.push(choice);
        self.slots[slot] = u16::try_from(self.met.len()).expect("there are no more choices than lots");
        self.slots[slot] - 1
    }
}
