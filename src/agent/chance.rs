//! Chance as an argument: a small generator with a seed, so that a plan can be played again. It spreads work
//! and numbers DNS queries; nothing secret comes from it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A generator after SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The generator that always gives the same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator that differs from process to process and from call to call.
    #[must_use]
    pub fn of_system() -> Self {
        // The keys of a new hasher are the standard library's one way to the system's random numbers.
        Self(RandomState::new().build_hasher().finish())
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1).
    pub fn ratio(&mut self) -> f64 {
        // The upper 53 bits: all that the mantissa holds, so the quotient is exact and never 1.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `span`, up to `part` of it longer or shorter.
    pub fn around(&mut self, span: Duration, part: f64) -> Duration {
        span.mul_f64(1.0 + part * (2.0 * self.ratio() - 1.0))
    }

    /// Another generator whose numbers do not follow these.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.bits())
    }
}
