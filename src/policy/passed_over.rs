//! Why a region was passed over, for people: `explain` prints one line per candidate.

use std::fmt;

use crate::health::verdict::Share;
use crate::ids::RegionId;

use super::fitness::Fitness;
use super::map::Class;
use super::select::{Candidate, Reach, Selection};
use super::service::{Service, Tier};

/// Why a region does not answer a class, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassedOver {
    /// The class may not be given it.
    Fenced,
    /// The fence prefers a region inside it that is still usable.
    Outside,
    /// Nothing of it is usable: what its best endpoints are, in the family that is worst off.
    Unusable(Fitness),
    /// Too little of it is usable.
    BelowThreshold {
        /// How much is.
        usable: Share,
        /// How much is wanted.
        threshold: Share,
    },
    /// It comes back, or leaves, by a ramp; the other lots go on to the next.
    Ramping(Share),
    /// So much of it is usable, and so many lots it gets; the others go on to the next.
    Partly(Share),
    /// It has no weight, and others have.
    Weightless,
    /// An earlier tier is usable.
    LaterTier(Tier),
    /// A region that suits better is usable.
    Behind,
}

impl Selection {
    /// Each region that does not get every lot that prefers it, with the reason, in the order of preference.
    #[must_use]
    pub fn passed_over(&self, service: &Service, class: &Class) -> Vec<(RegionId, PassedOver)> {
        let sharers: Vec<usize> = self.sharers(class).flatten().copied().collect();
        let chosen = sharers.first().map(|at| self.candidates[*at]);
        let reasons = self.candidates.iter().enumerate().filter_map(|(at, candidate)| {
            let reason = reason(candidate, chosen.as_ref(), sharers.contains(&at), service, class)?;
            Some((candidate.region, reason))
        });
        reasons.collect()
    }
}

/// Why `candidate` is passed over in favour of `chosen`, the first that gets lots; `None` when it is not.
fn reason(
    candidate: &Candidate,
    chosen: Option<&Candidate>,
    shares: bool,
    service: &Service,
    class: &Class,
) -> Option<PassedOver> {
    let health = candidate.health;
    let below = PassedOver::BelowThreshold { usable: health.usable, threshold: service.threshold };
    if candidate.reach == Reach::Barred {
        return Some(PassedOver::Fenced);
    }
    if shares {
        let limited = health.weakest == Fitness::Usable && candidate.is_limited();
        let why = if health.ramping { PassedOver::Ramping } else { PassedOver::Partly };
        return limited.then(|| why(health.lots));
    }
    if health.weakest < Fitness::Usable {
        return Some(PassedOver::Unusable(health.weakest));
    }
    Some(match chosen {
        Some(chosen) if class.prefers_inside() && candidate.reach > chosen.reach => PassedOver::Outside,
        _ if candidate.degraded => below,
        Some(chosen) if candidate.weightless && !chosen.weightless => PassedOver::Weightless,
        Some(chosen) if candidate.tier > chosen.tier => PassedOver::LaterTier(candidate.tier),
        _ => PassedOver::Behind,
    })
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("outside the fence"),
            Self::Outside => f.write_str("outside the preferred regions, one of which is usable"),
            Self::Unusable(fitness) => fmt::Display::fmt(fitness, f),
            Self::BelowThreshold { usable, threshold } => write!(f, "usable {usable} < {threshold}"),
            Self::Ramping(share) => write!(f, "ramping, {share} of the lots"),
            Self::Partly(share) => write!(f, "share {share}: so much is usable, and so many lots it gets"),
            Self::Weightless => f.write_str("weight 0, and another has weight"),
            Self::LaterTier(tier) => write!(f, "{tier}, and an earlier tier is usable"),
            Self::Behind => f.write_str("a region that suits better is usable"),
        }
    }
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no address of this family",
            Self::ForcedDown => "forced down",
            Self::Down => "down",
            Self::Drained => "drained",
            Self::Held => "recovering, on hold",
            Self::Usable => "usable",
        })
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Warm => "warm",
            Self::LastResort => "last resort",
        })
    }
}
