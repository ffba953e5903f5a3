//! What all agents see in outline, counted by vantage, so that one agent's sight is compared with the others' in O(1)
//! however many there are, and only when there is something new to compare it with.

use crate::health::rules::HALF;
use crate::ids::VantageId;

/// What one agent sees in outline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// Its view can be compared with others'.
    pub live: bool,
    /// It is live, and over half of its targets fail.
    pub mostly_fails: bool,
}

/// What all agents see in outline.
#[derive(Clone, Debug)]
pub(super) struct Outlines {
    /// Live agents of each vantage, and those of them for whom most fails.
    vantages: Vec<(u32, u32)>,
    /// Vantages with a live agent, and those of them where most fails for most.
    sum: (u32, u32),
    /// Some vantage is not what it was when [`Outlines::is_news`] was asked last.
    changed: bool,
}

impl Outlines {
    pub(super) fn new(vantages: usize) -> Self {
        Self { vantages: vec![(0, 0); vantages], sum: (0, 0), changed: false }
    }

    /// Counts an agent of `vantage` as `to` rather than `from`.
    pub(super) fn replace(&mut self, vantage: VantageId, from: Outline, to: Outline) {
        if from == to {
            return;
        }
        let before = self.of(vantage);
        let (live, failing) = &mut self.vantages[vantage.index()];
        *live = *live + u32::from(to.live) - u32::from(from.live);
        *failing = *failing + u32::from(to.mostly_fails) - u32::from(from.mostly_fails);
        let now = self.of(vantage);
        self.sum = (self.sum.0 + now.0 - before.0, self.sum.1 + now.1 - before.1);
        self.changed |= now != before;
    }

    /// Whether any vantage changed since this was asked last.
    pub(super) fn is_news(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether most of the vantages beside this one see over half of everything fail.
    pub(super) fn others_mostly_fail(&self, vantage: VantageId) -> bool {
        let own = self.of(vantage);
        HALF.is_exceeded((self.sum.1 - own.1).into(), (self.sum.0 - own.0).into())
    }

    /// Whether a vantage has a live agent, and whether most fails for most of these; as numbers.
    fn of(&self, vantage: VantageId) -> (u32, u32) {
        let (live, failing) = self.vantages[vantage.index()];
        (u32::from(live > 0), u32::from(HALF.is_exceeded(failing.into(), live.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEES: Outline = Outline { live: true, mostly_fails: false };
    const FAILS: Outline = Outline { live: true, mostly_fails: true };
    const GONE: Outline = Outline { live: false, mostly_fails: false };

    #[test]
    fn a_vantage_is_compared_with_the_majorities_of_the_others() {
        let mut outlines = Outlines::new(3);
        for (vantage, outline) in [(0, FAILS), (1, FAILS), (1, FAILS), (1, SEES), (2, SEES)] {
            outlines.replace(VantageId(vantage), GONE, outline);
        }
        let others: Vec<_> = (0..3).map(|vantage| outlines.others_mostly_fail(VantageId(vantage))).collect();
        assert_eq!(others, [false, false, true], "half is no majority");
        outlines.replace(VantageId(2), SEES, GONE);
        assert!(outlines.others_mostly_fail(VantageId(0)));
    }

    #[test]
    fn only_what_changes_a_vantage_is_news() {
        let mut outlines = Outlines::new(2);
        outlines.replace(VantageId(0), GONE, SEES);
        assert!(outlines.is_news());
        outlines.replace(VantageId(0), GONE, SEES);
        outlines.replace(VantageId(0), SEES, FAILS);
        assert!(!outlines.is_news(), "one of two is no majority");
        outlines.replace(VantageId(0), SEES, FAILS);
        assert!(outlines.is_news());
        assert!(!outlines.is_news());
    }
}
