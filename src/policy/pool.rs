//! The addresses of one region that may be answered, and which of them a lot gets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::health::verdict::{Share, Standing, State};
use crate::net::Family;

use super::draw::{CONTENDERS_MAX, Contender, winners};
use super::fitness::{Fitness, endpoints_of};
use super::lots::{LotOrder, key_of_address};
use super::select::Situation;
use super::service::{AnswerKind, Endpoint};

/// The addresses of a region that may be answered.
pub(super) struct RegionPool {
    v4: Pool,
    v6: Pool,
}

/// Which addresses of a region an answer holds: bits by position in its pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) v4: u64,
    pub(super) v6: u64,
}

impl RegionPool {
    /// The pool of the service's region at position `at`. As a last resort, each family gives the best that it
    /// has left, and shares of lots do not count.
    pub(super) fn new(situation: &Situation<'_>, at: usize, last_resort: bool) -> Self {
        let pool = |family| match situation.family {
            Some(asked) if asked != family => Pool::default(),
            _ => Pool::new(situation, at, family, last_resort),
        };
        Self { v4: pool(Family::V4), v6: pool(Family::V6) }
    }

    /// Whether lots get different addresses.
    pub(super) fn differs_by_lot(&self) -> bool {
        self.v4.differs_by_lot() || self.v6.differs_by_lot()
    }

    /// Whether an endpoint in it is on a ramp.
    pub(super) fn is_ramping(&self) -> bool {
        self.v4.ramping || self.v6.ramping
    }

    pub(super) fn pick(&self, lot: u16) -> Pick {
        Pick { v4: self.v4.pick(lot), v6: self.v6.pick(lot) }
    }

    /// Whether an endpoint of the pick is suspect.
    pub(super) fn is_suspect(&self, pick: Pick) -> bool {
        self.v4.suspects & pick.v4 != 0 || self.v6.suspects & pick.v6 != 0
    }

    /// The addresses of the pick, in the order written.
    pub(super) fn addresses(&self, pick: Pick) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
        let v4 = self.v4.picked(pick.v4).filter_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let v6 = self.v6.picked(pick.v6).filter_map(|address| match address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        (v4.collect(), v6.collect())
    }
}

/// The addresses of one family. Those beyond the first [`CONTENDERS_MAX`] wait until one before them fails.
#[derive(Default)]
struct Pool {
    addresses: Vec<IpAddr>,
    /// One per address; none where no draw is needed.
    contenders: Vec<Contender>,
    /// One per address, which lots it gets; none where each gets all.
    shares: Vec<Share>,
    /// Bits of those that are suspect.
    suspects: u64,
    /// The most addresses in an answer.
    limit: usize,
    ramping: bool,
    lot_order: LotOrder,
}

impl Pool {
    fn new(situation: &Situation<'_>, at: usize, family: Family, last_resort: bool) -> Self {
        let service = situation.service;
        let named = service.answer == AnswerKind::Cname;
        let limit = if named { CONTENDERS_MAX } else { service.count.limit() };
        let lot_order = LotOrder::of_region(service.salt, service.regions[at].key);
        let mut pool = Self { limit, lot_order, ..Self::default() };
        let members = members(situation, at, family, last_resort);
        // An answer by host name holds them all, or none: endpoints have no lots of their own.
        let of_lots = !named && !last_resort;
        pool.ramping = of_lots && members.iter().any(|(_, standing)| standing.ramp < Share::WHOLE);
        let shared = of_lots && members.iter().any(|(_, standing)| standing.lots() < Share::WHOLE);
        for (bit, (endpoint, standing)) in members.iter().enumerate() {
            pool.addresses.push(endpoint.address);
            pool.suspects |= u64::from(standing.state == State::Suspect) << bit;
            if shared {
                pool.shares.push(standing.lots());
            }
            if members.len() > limit {
                // What is usable of it has its part in the share of lots, and none in the draw.
                let (key, weight) = (key_of_address(endpoint.address), u64::from(endpoint.weight));
                pool.contenders.push(Contender::new(key, weight, service.salt));
            }
        }
        pool
    }

    fn differs_by_lot(&self) -> bool {
        !self.shares.is_empty() || !self.contenders.is_empty()
    }

    fn pick(&self, lot: u16) -> u64 {
        let all = u64::MAX.checked_shr(64 - self.addresses.len() as u32).unwrap_or(0);
        let covered = if self.shares.is_empty() { all } else { self.covered(lot) };
        // Where shares leave a lot without an address, they do not count.
        let covered = if covered == 0 { all } else { covered };
        if covered.count_ones() as usize <= self.limit {
            return covered;
        }
        winners(&self.contenders, covered, self.limit, lot)
    }

    fn covered(&self, lot: u16) -> u64 {
        let bit = |(at, share): (usize, &Share)| u64::from(self.lot_order.covers(*share, lot)) << at;
        self.shares.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
    }

    fn picked(&self, bits: u64) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .enumerate()
            .filter(move |(at, _)| bits >> at & 1 == 1)
            .map(|(_, address)| *address)
    }
}

/// The endpoints that may be answered: the usable ones, or the best of a last resort; those of weight 0 only
/// where no other is among them.
fn members<'a>(
    situation: &Situation<'a>,
    at: usize,
    family: Family,
    last_resort: bool,
) -> Vec<(&'a Endpoint, Standing)> {
    let region = &situation.service.regions[at];
    let mut all: Vec<_> =
        endpoints_of(region, family).map(|endpoint| (endpoint, (situation.standings)(endpoint.id))).collect();
    let best = all.iter().map(|(_, standing)| Fitness::of(*standing)).max().unwrap_or(Fitness::Absent);
    let wanted = if last_resort { best.max(Fitness::Down) } else { Fitness::Usable };
    all.retain(|(_, standing)| Fitness::of(*standing) == wanted);
    if all.iter().any(|(endpoint, _)| endpoint.weight > 0) {
        all.retain(|(endpoint, _)| endpoint.weight > 0);
    }
    all.truncate(CONTENDERS_MAX);
    all
}
