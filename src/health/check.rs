//! Composed checks: several targets judged as one. This is the one place where that happens, for each agent by
//! itself and from what the agent says of each part, so that every part keeps its own pace, its own streak and its
//! own thresholds, and no failure counts twice.
//!
//! The voices of an agent have an order, and "at least k of n" is the k-th best of n:
//!
//! ```text
//!  worst                                                     best
//!  fails (much speaks for it ... little)  doubts  checks  silent  works  proven
//!
//!  all = at least n: the worst     any = at least 1: the best     not: each target's outcomes turned round
//! ```
//!
//! With silence in the middle that is the three-valued logic of Kleene: what fails anyhow fails, whoever is silent;
//! what hangs on the silent one is unknown. A negation stands at the targets only (by De Morgan's laws `not` of "at
//! least k of n" is "at least n - k + 1 of n" of the negated), since a streak can be turned round and a voice cannot.
//!
//! Blindness is judged by the targets, never by what is composed of them.

use std::cmp::Reverse;

use super::vantage::Voice;
use super::verdict::Share;
use crate::ids::TargetId;
use crate::time::Moment;

/// The most parts of one check, those of parts not counted: sixteen, and those that must pass apart.
pub const PARTS_MAX: usize = 17;
/// How deep checks may stand in each other.
pub const DEPTH_MAX: usize = 8;

/// At least so many of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How many must work; from 1 to the number of parts.
    pub least: usize,
    /// The parts that vote; at least one, at most [`PARTS_MAX`].
    pub of: Vec<Part>,
}

/// A part of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is probed, or another row of the board that is no check.
    Target(TargetId),
    /// Another check.
    Check(Check),
}

/// What an agent says of something, with what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it says.
    pub voice: Voice,
    /// When the present trouble began; of no meaning where there is none.
    pub since: Moment,
    /// How much of it is usable; nothing of a target that fails or of which nothing is said.
    pub share: Share,
}

impl Check {
    /// What an agent says of the whole, given what it says of the targets.
    #[must_use]
    pub fn judge(&self, said: &dyn Fn(TargetId) -> Said) -> Said {
        let mut all = [Said::NOTHING; PARTS_MAX];
        let parts = &mut all[..self.of.len().min(PARTS_MAX)];
        for (place, part) in parts.iter_mut().zip(&self.of) {
            *place = match part {
                Part::Target(target) => said(*target),
                Part::Check(check) => check.judge(said),
            };
        }
        let since = self.troubled_since(parts);
        parts.sort_unstable_by_key(|part| Reverse(part.voice.goodness()));
        let voice = parts[self.least - 1].voice;
        parts.sort_unstable_by_key(|part| Reverse(part.share));
        Said { voice, since, share: parts[self.least - 1].share }
    }

    /// Since when so many are in trouble that the whole is.
    fn troubled_since(&self, parts: &[Said]) -> Moment {
        let mut since = [Moment::START; PARTS_MAX];
        let mut troubled = 0;
        for part in parts.iter().filter(|part| part.voice.is_trouble()) {
            since[troubled] = part.since;
            troubled += 1;
        }
        let since = &mut since[..troubled];
        since.sort_unstable();
        since.get(parts.len() - self.least).or(since.last()).copied().unwrap_or(Moment::START)
    }

    /// The targets that it rests on.
    pub fn targets(&self) -> Vec<TargetId> {
        let of_part = |part: &Part| match part {
            Part::Target(target) => vec![*target],
            Part::Check(check) => check.targets(),
        };
        self.of.iter().flat_map(of_part).collect()
    }
}

impl Said {
    /// Nothing.
    pub const NOTHING: Said = Said { voice: Voice::Silent, since: Moment::START, share: Share::NONE };

    /// What is said of a target, of which so much was usable when it last passed.
    #[must_use]
    pub fn of(voice: Voice, since: Moment, share: Share) -> Self {
        Self { voice, since, share: if voice.serves() { share } else { Share::NONE } }
    }

    /// How much of it is usable, if that can be said.
    #[must_use]
    pub fn measured(&self) -> Option<Share> {
        Some(self.share).filter(|share| self.voice.serves() && *share > Share::NONE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(of: Vec<Part>) -> Check {
        Check { least: of.len(), of }
    }

    fn any(of: Vec<Part>) -> Check {
        Check { least: 1, of }
    }

    fn parts(count: usize) -> Vec<Part> {
        (0..count).map(|at| Part::Target(TargetId::from_index(at))).collect()
    }

    fn judge(check: &Check, said: &[Said]) -> Said {
        check.judge(&|target| said[target.index()])
    }

    fn of(voice: Voice) -> Said {
        Said { voice, since: Moment::START, share: Share::WHOLE }
    }

    fn voices(check: &Check, voices: &[Voice]) -> Voice {
        judge(check, &voices.iter().map(|voice| of(*voice)).collect::<Vec<_>>()).voice
    }

    #[test]
    fn what_fails_anyhow_fails_and_what_hangs_on_the_silent_is_unknown() {
        use Voice::*;
        let (both, either) = (all(parts(2)), any(parts(2)));
        assert_eq!(voices(&both, &[Fails(3), Silent]), Fails(3));
        assert_eq!(voices(&both, &[Works, Silent]), Silent);
        assert_eq!(voices(&both, &[Proven, Works]), Works);
        assert_eq!(voices(&both, &[Fails(3), Fails(9)]), Fails(9), "the stronger evidence");
        assert_eq!(voices(&both, &[Checks, Proven]), Checks);
        assert_eq!(voices(&either, &[Fails(3), Silent]), Silent);
        assert_eq!(voices(&either, &[Works, Silent]), Works);
        assert_eq!(voices(&either, &[Fails(3), Fails(9)]), Fails(3), "the weaker, for it takes both");
        assert_eq!(voices(&either, &[Fails(3), Doubts]), Doubts);
        let two_of_three = Check { least: 2, of: parts(3) };
        assert_eq!(voices(&two_of_three, &[Works, Fails(3), Silent]), Silent);
        assert_eq!(voices(&two_of_three, &[Works, Fails(3), Works]), Works);
        assert_eq!(voices(&two_of_three, &[Silent, Fails(3), Fails(5)]), Fails(3));
    }

    #[test]
    fn the_worst_share_of_those_that_are_needed_holds() {
        let half = Said { share: Share::of_1024(512), ..of(Voice::Works) };
        let third = Said { share: Share::of_1024(341), ..of(Voice::Works) };
        let said = [half, third, of(Voice::Works), Said { share: Share::NONE, ..of(Voice::Fails(3)) }];
        assert_eq!(judge(&all(parts(3)), &said).share, third.share);
        assert_eq!(judge(&any(parts(3)), &said).share, Share::WHOLE);
        assert_eq!(judge(&Check { least: 2, of: parts(3) }, &said).share, half.share);
        assert_eq!(judge(&Check { least: 3, of: parts(4) }, &said).share, third.share);
    }

    #[test]
    fn trouble_began_when_so_many_were_in_trouble_that_it_mattered() {
        let since = |second: u64| Said { since: Moment::from_millis(second * 1000), ..of(Voice::Fails(3)) };
        let said = [since(5), since(9), of(Voice::Works)];
        assert_eq!(judge(&all(parts(3)), &said).since, since(5).since);
        assert_eq!(judge(&any(parts(2)), &said).since, since(9).since);
        assert_eq!(judge(&Check { least: 2, of: parts(3) }, &said).since, since(9).since);
    }

    fn voice() -> impl Strategy<Value = Voice> {
        prop_oneof![
            Just(Voice::Silent),
            Just(Voice::Works),
            Just(Voice::Proven),
            Just(Voice::Checks),
            Just(Voice::Doubts),
            (1..=32_u8).prop_map(Voice::Fails),
        ]
    }

    fn said() -> impl Strategy<Value = Said> {
        (voice(), 0..100_u64, 1..=1024_u16).prop_map(|(voice, second, parts)| Said {
            voice,
            since: Moment::from_millis(second * 1000),
            share: Share::of_1024(parts),
        })
    }

    /// False, unknown, true.
    fn truth(voice: Voice) -> i8 {
        match voice {
            Voice::Fails(_) => -1,
            Voice::Works | Voice::Proven => 1,
            Voice::Silent | Voice::Checks | Voice::Doubts => 0,
        }
    }

    proptest! {
        #[test]
        fn all_and_any_are_those_of_kleene(said in prop::collection::vec(said(), 1..=PARTS_MAX)) {
            let truths = || said.iter().map(|one| truth(one.voice));
            prop_assert_eq!(truth(judge(&all(parts(said.len())), &said).voice), truths().min().unwrap());
            prop_assert_eq!(truth(judge(&any(parts(said.len())), &said).voice), truths().max().unwrap());
        }

        #[test]
        fn order_and_grouping_do_not_matter(said in prop::collection::vec(said(), 3), turn in 0..3_usize) {
            for of_two in [all as fn(Vec<Part>) -> Check, any] {
                let nested = of_two(vec![Part::Check(of_two(parts(2))), Part::Target(TargetId(2))]);
                let flat = judge(&of_two(parts(3)), &said);
                prop_assert_eq!((judge(&nested, &said).voice, judge(&nested, &said).share), (flat.voice, flat.share));
                let mut turned = said.clone();
                turned.rotate_left(turn);
                prop_assert_eq!(judge(&of_two(parts(3)), &turned), flat);
            }
        }

        #[test]
        fn each_distributes_over_the_other(said in prop::collection::vec(said(), 3)) {
            let target = |at| Part::Target(TargetId(at));
            let two = |least, a, b| Check { least, of: vec![a, b] };
            for (outer, inner) in [(1, 2), (2, 1)] {
                let factored = two(outer, target(0), Part::Check(two(inner, target(1), target(2))));
                let spread = two(
                    inner,
                    Part::Check(two(outer, target(0), target(1))),
                    Part::Check(two(outer, target(0), target(2))),
                );
                let (a, b) = (judge(&factored, &said), judge(&spread, &said));
                prop_assert_eq!((a.voice, a.share), (b.voice, b.share));
            }
        }

        #[test]
        fn a_part_that_gets_better_never_makes_the_whole_worse(
            before in prop::collection::vec(said(), 1..8), better in said(),
            at: prop::sample::Index, least: prop::sample::Index,
        ) {
            let at = at.index(before.len());
            prop_assume!(better.voice.goodness() >= before[at].voice.goodness());
            prop_assume!(better.share >= before[at].share);
            let check = Check { least: least.index(before.len()) + 1, of: parts(before.len()) };
            let mut after = before.clone();
            after[at] = better;
            let (before, after) = (judge(&check, &before), judge(&check, &after));
            prop_assert!(after.voice.goodness() >= before.voice.goodness());
            prop_assert!(after.share >= before.share);
        }

        #[test]
        fn the_more_must_work_the_worse_it_stands(said in prop::collection::vec(said(), 2..8)) {
            let of_least = |least| judge(&Check { least, of: parts(said.len()) }, &said);
            for least in 1..said.len() {
                let (fewer, more) = (of_least(least), of_least(least + 1));
                prop_assert!(fewer.voice.goodness() >= more.voice.goodness() && fewer.share >= more.share);
            }
        }
    }
}
