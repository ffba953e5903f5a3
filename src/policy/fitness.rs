//! What is believed of a region, from the standings of its endpoints.

use std::net::IpAddr;

use crate::health::verdict::{Share, Standing, State};
use crate::ids::EndpointId;
use crate::net::Family;

use super::service::{Endpoint, ServiceRegion};

/// What an endpoint is good for; the later, the better. All but the last serve only when nothing else is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fitness {
    /// No address of the family.
    Absent,
    /// Forced down: not even the last resort.
    ForcedDown,
    /// Down, or nothing of it is usable.
    Down,
    /// Works, but was drained by the operator.
    Drained,
    /// Works again, and waits out its hold.
    Held,
    /// Serves.
    Usable,
}

/// What is believed of a region for the families that share a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The best endpoint of the family that is worst off.
    pub weakest: Fitness,
    /// The best endpoint of the family that is best off.
    pub strongest: Fitness,
    /// How much of the region is usable, by weight, in the family that is worst off.
    pub usable: Share,
    /// The share of lots that it may have: less than whole when it is usable only thanks to endpoints that
    /// are on a ramp or degraded.
    pub lots: Share,
    /// That share moves by itself: an endpoint is on a ramp.
    pub ramping: bool,
}

impl Fitness {
    /// What an endpoint of this standing is good for.
    #[must_use]
    pub fn of(standing: Standing) -> Self {
        if standing.forced_down {
            Self::ForcedDown
        } else if standing.state == State::Down || standing.usable == Share::NONE {
            Self::Down
        } else if standing.ramp > Share::NONE {
            Self::Usable
        } else if standing.state == State::Recovering {
            Self::Held
        } else {
            Self::Drained
        }
    }
}

impl Health {
    /// Judges a region, for one choice shared by `families`; not an empty list.
    #[must_use]
    pub fn of(
        region: &ServiceRegion,
        families: &[Family],
        threshold: Share,
        standings: &dyn Fn(EndpointId) -> Standing,
    ) -> Self {
        let mut health = Self {
            weakest: Fitness::Usable,
            strongest: Fitness::Absent,
            usable: Share::WHOLE,
            lots: Share::WHOLE,
            ramping: false,
        };
        let mut steady = Share::WHOLE;
        for family in families {
            let sum = Sum::over(region, *family, standings);
            health.weakest = health.weakest.min(sum.best);
            health.strongest = health.strongest.max(sum.best);
            health.usable = health.usable.min(sum.share(sum.usable));
            steady = steady.min(sum.share(sum.steady));
            health.ramping |= sum.ramping;
            if sum.lots > Share::NONE {
                health.lots = health.lots.min(sum.lots);
            }
        }
        // Without its endpoints that have only a share of lots: still enough, or no worse off than with them.
        if steady >= threshold.min(health.usable) && steady > Share::NONE {
            health.lots = Share::WHOLE;
        }
        health.ramping &= health.lots < Share::WHOLE;
        health
    }
}

/// Weights of one family in a region.
struct Sum {
    total: u64,
    /// Weight times usable 1,024ths.
    usable: u64,
    /// The same of the endpoints that may have all lots.
    steady: u64,
    best: Fitness,
    /// The widest share of lots that is not whole.
    lots: Share,
    /// Whether an endpoint is on a ramp.
    ramping: bool,
}

impl Sum {
    fn over(region: &ServiceRegion, family: Family, standings: &dyn Fn(EndpointId) -> Standing) -> Self {
        let mut sum =
            Self { total: 0, usable: 0, steady: 0, best: Fitness::Absent, lots: Share::NONE, ramping: false };
        // Endpoints of weight 0 count only where no other is.
        let spare = endpoints_of(region, family).all(|endpoint| endpoint.weight == 0);
        for endpoint in endpoints_of(region, family) {
            let standing = standings(endpoint.id);
            let fitness = Fitness::of(standing);
            let weight = if spare { 1 } else { u64::from(endpoint.weight) };
            sum.total += weight;
            sum.best = sum.best.max(fitness);
            if fitness == Fitness::Usable {
                let parts = weight * u64::from(standing.usable.parts());
                sum.usable += parts;
                sum.ramping |= standing.ramp < Share::WHOLE;
                match standing.lots() {
                    Share::WHOLE => sum.steady += parts,
                    lots => sum.lots = sum.lots.max(lots),
                }
            }
        }
        sum
    }

    /// To the nearest 1,024th, as thresholds are written.
    fn share(&self, parts: u64) -> Share {
        let ratio = (parts + self.total / 2).checked_div(self.total).unwrap_or(0);
        Share::of_1024(u16::try_from(ratio).unwrap_or(u16::MAX))
    }
}

/// The endpoints of a region that have an address of a family, in the order written.
pub(super) fn endpoints_of(region: &ServiceRegion, family: Family) -> impl Iterator<Item = &Endpoint> {
    region.endpoints.iter().filter(move |endpoint| match endpoint.address {
        IpAddr::V4(_) => family == Family::V4,
        IpAddr::V6(_) => family == Family::V6,
    })
}
