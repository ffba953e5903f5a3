//! Response rate limiting: how many replies of a kind a network may have by UDP from one worker. Whoever makes up
//! source addresses to have others flooded gets little out of this server, and real clients in that network still come
//! through: by TCP, which every so many limited replies tells them to use, or with a cookie.
//!
//! The table has a fixed size and one writer, like the counters that it stands beside. A network is found in one
//! cache line; a new one takes the place of the one that was idle longest.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::net::{Prefix, truncate};
use crate::time::WallTime;
use crate::wire::code::Rcode;
use crate::wire::siphash::siphash_2_4;

/// What the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Replies of one kind in a second to one network, from each worker.
    pub per_second: u32,
    /// How many seconds' worth may be had at once after a silence.
    pub burst_seconds: u32,
    /// Every so many limited replies one is sent, truncated; 1 is each of them, 0 none.
    pub slip: u32,
    /// Networks that are not limited.
    pub exempt: Box<[Prefix]>,
}

/// The kinds that are counted apart, so that a flood of one leaves the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// With records.
    Answer,
    /// The name, or the type at it, does not exist.
    Negative,
    /// Everything else: REFUSED, FORMERR and their like.
    Error,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is sent.
    Send,
    /// A truncated one is sent in its place.
    Slip,
    /// Nothing is sent.
    Drop,
}

/// What one worker remembers of the networks that it replied to. Empty for workers that limit nothing.
#[derive(Debug, Default)]
pub struct Rates {
    cells: Box<[AtomicU64]>,
    limited: AtomicU64,
    /// Not to be guessed, so that nobody can choose networks that fall together.
    key: [u8; 16],
}

/// Cells that a network may stand in: those of one cache line.
const WAYS: usize = 8;
/// Cells of one worker, 64 KiB: as many networks and kinds of reply are followed at once.
const CELLS: usize = 8192;
/// Networks are told apart by so many bits: what one customer usually has.
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 56;
/// How a cell's 64 bits are shared out: tag, second, credit.
const SECOND_BITS: u32 = 20;
const CREDIT_BITS: u32 = 20;
/// The most credit that a cell holds.
pub const CREDIT_MAX: u32 = (1 << CREDIT_BITS) - 1;

impl ReplyKind {
    /// The kind of a reply with so many records in its answer section.
    #[must_use]
    pub fn of(rcode: Rcode, answers: u16) -> Self {
        match rcode {
            Rcode::NOERROR if answers > 0 => Self::Answer,
            Rcode::NOERROR | Rcode::NXDOMAIN => Self::Negative,
            _ => Self::Error,
        }
    }
}

impl Rates {
    /// Room for a worker's networks. Which of them share a cache line depends on `key`, which nobody outside knows.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(), limited: AtomicU64::new(0), key }
    }

    /// Room as this has it, with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        if self.cells.is_empty() { Self::default() } else { Self::new(self.key) }
    }

    /// Judges a reply, and counts it. Only the owning worker may call it.
    #[must_use]
    pub fn judge(&self, limit: &RateLimit, client: IpAddr, kind: ReplyKind, at: WallTime) -> Judgement {
        if self.cells.is_empty() || limit.exempt.iter().any(|network| network.contains(client)) {
            return Judgement::Send;
        }
        let bits = if client.is_ipv4() { V4_BITS } else { V6_BITS };
        let hash = self.hash(truncate(client, bits), kind);
        let now = (at.0 / 1000) as u32 & ((1 << SECOND_BITS) - 1);
        if self.take(hash, now, limit) {
            return Judgement::Send;
        }
        let limited = self.limited.load(Ordering::Relaxed).wrapping_add(1);
        self.limited.store(limited, Ordering::Relaxed);
        match limit.slip {
            0 => Judgement::Drop,
            slip if limited.is_multiple_of(slip.into()) => Judgement::Slip,
            _ => Judgement::Drop,
        }
    }

    fn hash(&self, network: IpAddr, kind: ReplyKind) -> u64 {
        let mut message = [0; 17];
        message[0] = kind as u8;
        let octets = match network {
            IpAddr::V4(v4) => {
                message[1..5].copy_from_slice(&v4.octets());
                5
            }
            IpAddr::V6(v6) => {
                message[1..].copy_from_slice(&v6.octets());
                17
            }
        };
        siphash_2_4(&self.key, &message[..octets])
    }

    /// Takes one reply's worth of the credit of what hashes so, if there is any.
    fn take(&self, hash: u64, now: u32, limit: &RateLimit) -> bool {
        let first = hash as usize % (CELLS / WAYS) * WAYS;
        let tag = (hash >> (SECOND_BITS + CREDIT_BITS)) | 1;
        let full = limit.per_second.saturating_mul(limit.burst_seconds).min(CREDIT_MAX);
        let (mut victim, mut longest) = (first, 0);
        for at in first..first + WAYS {
            let cell = Cell(self.cells[at].load(Ordering::Relaxed));
            let idle = cell.idle(now);
            if cell.tag() == tag {
                let gained = idle.saturating_mul(limit.per_second);
                let credit = cell.credit().saturating_add(gained).min(full);
                let left = credit.saturating_sub(1);
                self.cells[at].store(Cell::of(tag, now, left).0, Ordering::Relaxed);
                return credit > 0;
            }
            let idle = if cell.0 == 0 { u32::MAX } else { idle };
            if idle >= longest {
                (victim, longest) = (at, idle);
            }
        }
        self.cells[victim].store(Cell::of(tag, now, full.saturating_sub(1)).0, Ordering::Relaxed);
        true
    }
}

/// A network's and a kind's state; zero is nobody's.
#[derive(Clone, Copy)]
struct Cell(u64);

impl Cell {
    fn of(tag: u64, second: u32, credit: u32) -> Self {
        Self(tag << (SECOND_BITS + CREDIT_BITS) | u64::from(second) << CREDIT_BITS | u64::from(credit))
    }

    fn tag(self) -> u64 {
        self.0 >> (SECOND_BITS + CREDIT_BITS)
    }

    fn credit(self) -> u32 {
        self.0 as u32 & CREDIT_MAX
    }

    /// Seconds since it was touched. A clock that was set back reads as a long time: the network gains a burst.
    fn idle(self, now: u32) -> u32 {
        let second = (self.0 >> CREDIT_BITS) as u32 & ((1 << SECOND_BITS) - 1);
        now.wrapping_sub(second) & ((1 << SECOND_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> RateLimit {
        RateLimit { per_second: 5, burst_seconds: 2, slip: 2, exempt: Box::default() }
    }

    fn judge(rates: &Rates, limit: &RateLimit, client: &str, millis: u64) -> Judgement {
        rates.judge(limit, client.parse().unwrap(), ReplyKind::Answer, WallTime(1_700_000_000_000 + millis))
    }

    fn sent(rates: &Rates, client: &str, millis: u64, tries: usize) -> usize {
        let sent = |_: &usize| judge(rates, &limit(), client, millis) == Judgement::Send;
        (0..tries).filter(sent).count()
    }

    #[test]
    fn a_network_gets_its_burst_then_its_rate() {
        let rates = Rates::new(*b"a key of a test.");
        assert_eq!(sent(&rates, "192.0.2.1", 0, 100), 10);
        assert_eq!(sent(&rates, "192.0.2.250", 900, 100), 0, "the same /24 in the same second");
        assert_eq!(sent(&rates, "192.0.2.1", 1000, 100), 5);
        assert_eq!(sent(&rates, "192.0.2.1", 60_000, 100), 10, "a silence earns a burst and no more");
        assert_eq!(sent(&rates, "192.0.3.1", 60_000, 100), 10, "the next /24 is another");
        assert_eq!(sent(&rates, "2001:db8:0:1::1", 0, 100), 10);
        assert_eq!(sent(&rates, "2001:db8:0:ff::1", 0, 100), 0, "the same /56");
        assert_eq!(sent(&rates, "2001:db8:0:100::1", 0, 100), 10);
    }

    #[test]
    fn kinds_are_counted_apart() {
        let rates = Rates::new(*b"a key of a test.");
        assert_eq!(sent(&rates, "192.0.2.1", 0, 100), 10);
        let client = "192.0.2.1".parse().unwrap();
        let at = WallTime(1_700_000_000_000);
        assert_eq!(rates.judge(&limit(), client, ReplyKind::Negative, at), Judgement::Send);
    }

    #[test]
    fn every_so_many_limited_replies_slip() {
        let count = |slip: u32| {
            let (rates, limit) = (Rates::new(*b"a key of a test."), RateLimit { slip, ..limit() });
            let judged: Vec<_> = (0..110).map(|_| judge(&rates, &limit, "192.0.2.1", 0)).collect();
            let count = |what| judged.iter().filter(|judged| **judged == what).count();
            (count(Judgement::Send), count(Judgement::Slip), count(Judgement::Drop))
        };
        assert_eq!([count(0), count(1), count(4)], [(10, 0, 100), (10, 100, 0), (10, 25, 75)]);
    }

    #[test]
    fn who_is_exempt_is_never_limited() {
        let exempt = Box::new(["192.0.2.0/24".parse().unwrap()]);
        let (rates, limit) = (Rates::new(*b"a key of a test."), RateLimit { exempt, ..limit() });
        assert!((0..100).all(|_| judge(&rates, &limit, "192.0.2.1", 0) == Judgement::Send));
    }

    #[test]
    fn a_flood_of_many_networks_does_not_free_the_one_that_is_limited() {
        let rates = Rates::new(*b"a key of a test.");
        assert_eq!(sent(&rates, "192.0.2.1", 0, 20), 10);
        for network in 0..CELLS as u32 / 4 {
            let client = std::net::Ipv4Addr::from_bits(0x0a00_0000 | network << 8).to_string();
            judge(&rates, &limit(), &client, 0);
        }
        assert_eq!(sent(&rates, "192.0.2.1", 500, 20), 0);
    }
}
