//! What the vantages say together. A pure function of their votes and of nothing else.
//!
//! ```text
//!  votes of the vantages about one target         finding
//!  ---------------------------------------------  -----------------------------------------
//!  fewer than half of the configured eligible     frozen: keep the last verdict, alarm
//!  two thirds of the eligible fail
//!    - within one fault domain of several         frozen
//!    - and have not seen enough of it together    mixed
//!    - else                                       fails; corroborated if all of them do
//!  two thirds of the eligible reach it            works; proven if they have for long enough
//!  else                                           mixed: keep the last verdict
//! ```
//!
//! Why they must have seen enough *together*: that each vantage of a quorum has its three failures in a row says
//! less than it seems to. A failure brings rechecks from everywhere, so chance gets many draws at the same time,
//! and two vantages of three need only six unlucky ones. So the failures, less half of the passes, of all vantages that
//! agree are added up, of each no more than half of [`Thresholds::together`](super::streak::Thresholds::together),
//! and must come to that half times the vantages of a quorum: two of three need ten by default, four of five
//! twenty. No vantage counts for another, so the one that has been cut off for an hour and another's bad second
//! are no quorum. Of an endpoint that is really dead all vantages fail, and three times three are nearly there;
//! where only a quorum sees it, the same certainty takes each of these some more probes.

use std::fmt;
use std::time::Duration;

use super::rules::{FAULT_DOMAINS_MIN, HALF, Rules};
use super::vantage::{Tally, Vote};
use crate::time::Moment;

/// The votes of all vantages about one target, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// How many vantages there are.
    pub configured: u32,
    /// How many have a voice.
    pub eligible: u32,
    /// How many have an agent that is blind or lags; the caller's to fill in.
    pub blind: u32,
    /// How many were not heard yet since a recent start, and may yet contradict; the caller's to fill in.
    pub awaited: u32,
    /// How many see it fail.
    pub fails: u32,
    /// How many reach it.
    pub works: u32,
    /// How many have reached it for long enough.
    pub proven: u32,
    /// How many have an agent that saw any failure.
    pub troubled: u32,
    /// How many failures, less half of the passes, those saw together that see it fail; of each no more than counts.
    pub weight: u32,
    /// In how many fault domains it is seen to fail; counted up to [`FAULT_DOMAINS_MIN`].
    pub domains: usize,
    /// Whether it is in doubt: a recheck failed somewhere or a second vantage saw a failure, not too long ago;
    /// or half of the vantages are in trouble, however long.
    pub doubted: bool,
    /// When that has to be judged again without any news.
    pub ask_again: Option<Moment>,
}

/// What the votes amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The votes cannot carry a verdict.
    Frozen(Freeze),
    /// The quorum sees it fail; `corroborated` when every eligible vantage does.
    Fails {
        /// Every eligible vantage agrees.
        corroborated: bool,
    },
    /// The quorum reaches it; `proven` when it has for long enough to bring it back.
    Works {
        /// See [`super::vantage::Voice::Proven`].
        proven: bool,
    },
    /// No quorum either way, or one that has not seen enough together.
    Mixed,
}

/// Why the votes cannot carry a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// Too few vantages have a voice.
    TooFewEligible {
        /// How many have.
        eligible: u32,
        /// How many there are.
        configured: u32,
        /// How many are blind or lag.
        blind: u32,
    },
    /// The failure is seen from one fault domain only, where several are configured.
    OneFaultDomain,
}

impl Freeze {
    /// The same with another count of blind vantages.
    #[must_use]
    pub fn with_blind(self, blind: u32) -> Self {
        match self {
            Self::TooFewEligible { eligible, configured, .. } => {
                Self::TooFewEligible { eligible, configured, blind }
            }
            Self::OneFaultDomain => self,
        }
    }
}

/// Counts the votes of all vantages about one target; `domains` holds each vantage's fault domain, if named;
/// `together` is how many failures two vantages must have seen together.
#[must_use]
pub fn count(tallies: &[Tally], domains: &[Option<u16>], together: u8, rules: &Rules, now: Moment) -> Votes {
    let mut votes = Votes { configured: size(tallies), ..Votes::default() };
    let mut first_domain = None;
    let mut young = Young::default();
    for (tally, &domain) in tallies.iter().zip(domains) {
        let vote = tally.vote();
        votes.eligible += u32::from(vote != Vote::Silent);
        votes.works += u32::from(matches!(vote, Vote::Works { .. }));
        votes.proven += u32::from(vote == Vote::Works { proven: true });
        if vote == Vote::Fails {
            votes.fails += 1;
            votes.weight += tally.weight().min(half_of(together));
            match (domain, first_domain) {
                (Some(_), None) => (first_domain, votes.domains) = (domain, 1),
                (Some(domain), Some(first)) if domain != first => votes.domains = FAULT_DOMAINS_MIN,
                _ => {}
            }
        }
        if tally.troubled() > 0 {
            votes.troubled += 1;
            young.add(tally, rules.doubt_lasts, now);
        }
    }
    let lasting = HALF.is_reached(votes.troubled.into(), votes.eligible.into())
        && votes.troubled > 0
        && (young.rechecked_ever || votes.troubled > 1);
    votes.doubted = young.rechecked || young.vantages > 1 || lasting;
    votes.ask_again = young.until;
    votes
}

/// What counted votes amount to. `domains_configured` is how many fault domains the vantages name, `together`
/// is that of [`count`].
#[must_use]
pub fn judge(votes: &Votes, domains_configured: usize, together: u8, rules: &Rules) -> Finding {
    let eligible = u64::from(votes.eligible);
    let agree = |count: u32| count > 0 && rules.quorum.is_reached(count.into(), eligible);
    let needed = rules.quorum.least_of(eligible + u64::from(votes.awaited));
    let enough = votes.configured == 1 || u64::from(votes.weight) >= needed * u64::from(half_of(together));
    let withdraw = enough && u64::from(votes.fails) >= needed;
    if votes.eligible == 0 || !rules.eligible.is_reached(eligible, votes.configured.into()) {
        let Votes { eligible, configured, blind, .. } = *votes;
        Finding::Frozen(Freeze::TooFewEligible { eligible, configured, blind })
    } else if agree(votes.fails) {
        if domains_configured >= FAULT_DOMAINS_MIN && votes.domains < FAULT_DOMAINS_MIN {
            Finding::Frozen(Freeze::OneFaultDomain)
        } else if !withdraw {
            Finding::Mixed
        } else {
            Finding::Fails { corroborated: votes.fails == votes.eligible + votes.awaited }
        }
    } else if agree(votes.works) {
        Finding::Works { proven: agree(votes.proven) }
    } else {
        Finding::Mixed
    }
}

/// The most that one vantage's failures count for.
fn half_of(together: u8) -> u32 {
    together.div_ceil(2).into()
}

/// The troubles that are young enough to put an endpoint in doubt for everybody.
#[derive(Default)]
struct Young {
    vantages: u32,
    rechecked: bool,
    rechecked_ever: bool,
    until: Option<Moment>,
}

impl Young {
    fn add(&mut self, tally: &Tally, doubt_lasts: Duration, now: Moment) {
        self.rechecked_ever |= tally.doubting() > 0;
        let until = tally.troubled_since() + doubt_lasts;
        if until > now {
            self.vantages += 1;
            self.rechecked |= tally.doubting() > 0;
            self.until = Some(self.until.map_or(until, |earliest| earliest.min(until)));
        }
    }
}

fn size(tallies: &[Tally]) -> u32 {
    u32::try_from(tallies.len()).expect("vantages are counted by a 16-bit id")
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewEligible { eligible, configured, blind } => {
                write!(f, "{eligible} of {configured} vantages can judge, {blind} blind or lagging")
            }
            Self::OneFaultDomain => f.write_str("the failure is seen from one fault domain only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::vantage::Voice;
    use proptest::prelude::*;

    /// One lone agent per vantage: `f`ails, `d`oubts, `c`hecks, `w`orks, `p`roven, `-` silent; trouble began
    /// at second 100.
    fn tallies(voices: &str) -> Vec<Tally> {
        let voice = |letter| match letter {
            'f' => Voice::Fails(5),
            'd' => Voice::Doubts,
            'c' => Voice::Checks,
            'w' => Voice::Works,
            'p' => Voice::Proven,
            _ => Voice::Silent,
        };
        let one = |letter| {
            let mut tally = Tally::default();
            tally.replace(Voice::Silent, voice(letter), Moment::from_millis(100_000));
            tally
        };
        voices.chars().map(one).collect()
    }

    fn votes(voices: &str, second: u64) -> Votes {
        let tallies = tallies(voices);
        count(&tallies, &vec![None; tallies.len()], 10, &Rules::default(), Moment::from_millis(second * 1000))
    }

    fn finding(voices: &str) -> Finding {
        judge(&votes(voices, 101), 0, 10, &Rules::default())
    }

    #[test]
    fn two_thirds_withdraw() {
        assert_eq!(finding("f"), Finding::Fails { corroborated: true });
        assert_eq!(finding("ffw"), Finding::Fails { corroborated: false });
        assert_eq!(finding("fff"), Finding::Fails { corroborated: true });
        assert_eq!(finding("ffww"), Finding::Mixed);
        assert_eq!(finding("fffww"), Finding::Mixed, "three of five are not two thirds");
        assert_eq!(finding("ffffw"), Finding::Fails { corroborated: false });
        assert_eq!(finding("fww"), Finding::Works { proven: false });
        assert_eq!(finding("fpp"), Finding::Works { proven: true });
        assert_eq!(finding("wwp"), Finding::Works { proven: false });
    }

    #[test]
    fn only_the_eligible_count_but_half_must_be() {
        assert_eq!(finding("ff--"), Finding::Fails { corroborated: true });
        assert_eq!(
            finding("f--"),
            Finding::Frozen(Freeze::TooFewEligible { eligible: 1, configured: 3, blind: 0 })
        );
        assert_eq!(
            finding("-"),
            Finding::Frozen(Freeze::TooFewEligible { eligible: 0, configured: 1, blind: 0 })
        );
        assert_eq!(
            finding(""),
            Finding::Frozen(Freeze::TooFewEligible { eligible: 0, configured: 0, blind: 0 })
        );
    }

    #[test]
    fn one_fault_domain_of_several_withdraws_nothing() {
        let judged = |domains: &[Option<u16>]| {
            let votes = count(&tallies("ffw"), domains, 10, &Rules::default(), Moment::START);
            judge(&votes, 2, 10, &Rules::default())
        };
        let frozen = Finding::Frozen(Freeze::OneFaultDomain);
        assert_eq!(judged(&[Some(0), Some(0), Some(1)]), frozen);
        assert_eq!(judged(&[Some(0), None, Some(1)]), frozen, "an unnamed domain may be any");
        assert_eq!(judged(&[Some(0), Some(1), Some(1)]), Finding::Fails { corroborated: false });
    }

    #[test]
    fn no_vantage_counts_for_another() {
        let finding = |weights: &[u8], passing: usize| {
            let said = weights.iter().map(|weight| Voice::Fails(*weight));
            let tallies: Vec<Tally> = said
                .chain(std::iter::repeat_n(Voice::Works, passing))
                .map(|voice| {
                    let mut tally = Tally::default();
                    tally.replace(Voice::Silent, voice, Moment::START);
                    tally
                })
                .collect();
            let (domains, rules) = (vec![None; tallies.len()], Rules::default());
            judge(&count(&tallies, &domains, 10, &rules, Moment::START), 0, 10, &rules)
        };
        assert_eq!(finding(&[32, 3], 1), Finding::Mixed);
        assert_eq!(finding(&[32, 5], 1), Finding::Fails { corroborated: false });
        assert_eq!(finding(&[3, 3, 3], 0), Finding::Mixed);
        assert_eq!(finding(&[3, 3, 4], 0), Finding::Fails { corroborated: true });
        assert_eq!(finding(&[32, 32, 32, 3], 1), Finding::Mixed);
        assert_eq!(finding(&[4, 4, 4, 4, 4], 0), Finding::Fails { corroborated: true });
        assert_eq!(finding(&[1], 0), Finding::Fails { corroborated: true }, "a lone vantage has its fall");
    }

    #[test]
    fn a_failed_recheck_or_a_second_vantage_puts_in_doubt() {
        assert!(!votes("www", 101).doubted);
        assert!(!votes("cww", 101).doubted, "one failure is none");
        assert!(votes("dww", 101).doubted);
        assert!(votes("ccw", 101).doubted);
    }

    #[test]
    fn the_lasting_trouble_of_a_minority_is_its_own() {
        assert!(votes("fww", 159).doubted);
        assert_eq!(votes("fww", 159).ask_again, Some(Moment::from_millis(160_000)));
        assert!(!votes("fww", 160).doubted);
        assert!(votes("ffww", 160).doubted, "half is no minority");
        assert!(!votes("c", 160).doubted);
    }

    proptest! {
        #[test]
        fn a_withdrawal_has_its_quorum(voices in "[fdcwp-]{0,9}") {
            let votes = votes(&voices, 101);
            if let Finding::Fails { corroborated } = judge(&votes, 0, 10, &Rules::default()) {
                prop_assert!(votes.fails * 3 >= votes.eligible * 2);
                prop_assert!(votes.eligible * 2 >= votes.configured);
                prop_assert_eq!(corroborated, !voices.contains(['d', 'c', 'w', 'p']));
            }
        }
    }
}
