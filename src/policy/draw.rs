//! The draw: who gets a lot, in proportion to weights. Weighted rendezvous hashing (Thaler and Ravishankar
//! 1998, weighted as by Schindler and Mostefaoui): each contender scores each lot, the least score wins.
//! Taking a contender away moves its lots only; adding weight to one moves lots only towards it.
//!
//! A score is `-log2(hash) / weight` in fixed point. Floating logarithms differ between platforms in their last
//! bit, and then two nodes would give one client two answers.

use super::lots::mix;
use super::service::ADDRESSES_MAX;

/// How many contenders one draw has at most: they are told apart by the bits of a word.
pub const CONTENDERS_MAX: usize = 64;

/// One of those among whom lots are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    seed: u64,
    /// `u64::MAX / weight`: a multiplication in place of a division for each lot.
    inverse_weight: u64,
}

impl Contender {
    /// A contender known by `key`; a weight of 0 is taken as 1, since who has none is not in the draw.
    #[must_use]
    pub fn new(key: u64, weight: u64, salt: u64) -> Self {
        Self { seed: mix(key ^ mix(salt)), inverse_weight: u64::MAX / weight.max(1) }
    }

    /// What it scores for a lot; the least wins.
    #[must_use]
    pub fn score(self, lot: u16) -> u128 {
        let hash = mix(self.seed.wrapping_add(u64::from(lot)));
        u128::from(surprise(hash)) * u128::from(self.inverse_weight)
    }
}

/// The position of the contender who gets the lot, the first of equals; `None` of none.
#[must_use]
pub fn winner<'a>(contenders: impl IntoIterator<Item = (usize, &'a Contender)>, lot: u16) -> Option<usize> {
    let (mut least, mut best) = (u128::MAX, None);
    for (at, contender) in contenders {
        let score = contender.score(lot);
        // No score is as high as the first bound, so the first contender always holds.
        if score < least {
            (least, best) = (score, Some(at));
        }
    }
    best
}

/// The `count` best for the lot, at most [`ADDRESSES_MAX`], among those contenders whose bit is set in
/// `among`; as bits too.
///
/// Complexity is O(contenders x count), and both are small.
#[must_use]
pub fn winners(contenders: &[Contender], among: u64, count: usize, lot: u16) -> u64 {
    let asked = || contenders.iter().enumerate().filter(|(at, _)| among >> at & 1 == 1);
    if count == 1 {
        return winner(asked(), lot).map_or(0, |at| 1 << at);
    }
    let count = count.min(ADDRESSES_MAX);
    let mut best = [(u128::MAX, 0); ADDRESSES_MAX];
    let mut held = 0;
    for (at, contender) in asked() {
        let score = contender.score(lot);
        let place = best[..held].iter().position(|(other, _)| score < *other).unwrap_or(held);
        if place < count {
            held = (held + 1).min(count);
            best[place..held].rotate_right(1);
            best[place] = (score, at);
        }
    }
    best[..held].iter().fold(0, |bits, (_, at)| bits | 1 << at)
}

/// `-log2(hash / 2^64)` with 32 fractional bits: below `65 << 32`.
fn surprise(hash: u64) -> u64 {
    let hash = hash | 1;
    let zeros = hash.leading_zeros();
    let mantissa = hash << zeros << 1;
    let index = (mantissa >> 56) as usize;
    let rest = mantissa >> 24 & 0xffff_ffff;
    let (low, high) = (LOG2[index], LOG2[index + 1]);
    let log = low + (((high - low) * rest) >> 32);
    (u64::from(zeros + 1) << 32) - log
}

/// `log2(1 + n / 256)` with 32 fractional bits, for n from 0 to 256.
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut n = 0;
    while n < 257 {
        table[n as usize] = log2_of_256ths(256 + n);
        n += 1;
    }
    table
};

/// The logarithm of a number of 256ths in [1, 2], bit by bit: squaring doubles it, so each overflow beyond 2 is
/// its next bit.
const fn log2_of_256ths(parts: u64) -> u64 {
    let mut square = (parts as u128) << 55;
    let mut log = 0;
    let mut bit = 0;
    if parts == 512 {
        return 1 << 32;
    }
    while bit < 32 {
        square = (square * square) >> 63;
        log <<= 1;
        if square >> 64 != 0 {
            log |= 1;
            square >>= 1;
        }
        bit += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lots::LOTS;

    /// Contenders known by their position, with these weights.
    fn contenders(weights: &[u64], salt: u64) -> Vec<Contender> {
        weights.iter().enumerate().map(|(key, weight)| Contender::new(key as u64, *weight, salt)).collect()
    }

    fn draw(contenders: &[Contender]) -> Vec<usize> {
        (0..LOTS).map(|lot| winner(contenders.iter().enumerate(), lot).unwrap()).collect()
    }

    #[test]
    fn the_logarithm_is_one() {
        for hash in [1, 3, 1 << 20, 0x1234_5678_9abc_def0, 1 << 63, (1 << 63) + 12345, u64::MAX] {
            let exact = 64.0 - (hash as f64).log2();
            let ours = surprise(hash) as f64 / 4_294_967_296.0;
            assert!((exact - ours).abs() < 1e-5, "{hash}: {exact} {ours}");
        }
        assert!(surprise(0) < 65 << 32);
        assert_eq!(LOG2[128], 2_512_394_809, "log2(1.5), so that no platform differs");
    }

    #[test]
    fn scores_are_those_of_every_other_version() {
        assert_eq!(draw(&contenders(&[1, 2, 3], 42))[..16], [1, 2, 1, 2, 0, 2, 2, 0, 2, 2, 0, 0, 0, 1, 2, 2]);
    }

    #[test]
    fn lots_fall_by_weight() {
        for weights in
            [&[1, 1][..], &[1, 2, 5], &[10, 10, 10, 70], &[1, 1023], &[4_000_000_000, 4_000_000_000]]
        {
            let mut counts = vec![0.0; weights.len()];
            for salt in 0..200 {
                draw(&contenders(weights, salt)).into_iter().for_each(|at| counts[at] += 1.0);
            }
            let total = weights.iter().sum::<u64>() as f64;
            for (weight, count) in weights.iter().zip(counts) {
                let (share, expected) = (count / (200.0 * f64::from(LOTS)), *weight as f64 / total);
                let tolerance = (0.03 * expected).max(0.000_3);
                assert!((share - expected).abs() < tolerance, "{weights:?}: {share} for {expected}");
            }
        }
    }

    #[test]
    fn who_leaves_gives_only_its_own_lots_away() {
        let all = contenders(&[3, 1, 2, 2], 11);
        let without: Vec<Contender> = all[..3].to_vec();
        for (before, after) in draw(&all).into_iter().zip(draw(&without)) {
            assert!(before == after || before == 3);
        }
    }

    #[test]
    fn more_weight_only_draws_lots_near() {
        let (before, after) = (draw(&contenders(&[3, 1, 2], 5)), draw(&contenders(&[3, 4, 2], 5)));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(!moved.is_empty() && moved.iter().all(|(_, after)| **after == 1));
    }

    #[test]
    fn the_best_of_several_hold_the_best_of_fewer() {
        let all = contenders(&[1; 10], 3);
        for lot in 0..LOTS {
            let mut held = 0;
            for count in 1..=ADDRESSES_MAX {
                let bits = winners(&all, 0x3ff, count, lot);
                assert_eq!(bits.count_ones() as usize, count);
                assert_eq!(bits & held, held);
                held = bits;
            }
            assert_eq!(winners(&all, 0x3ff, 1, lot), 1 << winner(all.iter().enumerate(), lot).unwrap());
            assert_eq!(winners(&all, 0b101, 3, lot), 0b101, "those not asked for are not drawn");
        }
    }
}
