//! The knobs of evidence, each with its default and why. `config` fills them; nothing here is decided.

use std::time::Duration;

use super::usable::Following;
use super::verdict::Share;

/// What it takes to believe something of an endpoint, and how fast to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many of the eligible vantages must agree; 2/3.
    pub quorum: Ratio,
    /// How many of the configured vantages must be eligible, else everything stays as it is; 1/2.
    pub eligible: Ratio,
    /// An outcome older than so many intervals of its probe plus [`Rules::age_slack`] has no voice; 3.
    pub age_intervals: u32,
    /// See [`Rules::age_intervals`]; 2 s.
    pub age_slack: Duration,
    /// How long the only agent of a vantage must see a failure before it moves the clients near it, and the
    /// only vantage of all must see everything fail before that is believed; 5 s.
    pub lone_wait: Duration,
    /// For how long the trouble of a minority of vantages keeps an endpoint suspect for everybody. After that it
    /// is a matter of these vantages' own clients: a path cut for a week must not shorten TTLs for a week; 60 s.
    pub doubt_lasts: Duration,
    /// The shares of its lots that an endpoint gets as it comes back; 5, 25, 50, 100 %. At most
    /// [`RAMP_STEPS_MAX`].
    pub ramp: Vec<Share>,
    /// How endpoints that come and go are kept away.
    pub damping: Damping,
    /// How fast endpoints may be withdrawn.
    pub speed: SpeedLimit,
    /// How measured shares are followed.
    pub usable: Following,
    /// How old a saved verdict may grow before it is worth nothing; 10 min.
    pub saved_limit: Duration,
}

/// Flap damping (after RFC 2439): each fall adds a penalty that decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// What a fall adds; 1000.
    pub fall: u32,
    /// The time in which a penalty halves; 120 s.
    pub half_life: Duration,
    /// The penalty from which a fallen endpoint stays down though it works; 2500.
    pub suppress: u32,
    /// The penalty at which it may come back; 750.
    pub reuse: u32,
    /// The longest suppression, whatever the penalty; 15 min.
    pub suppressed_max: Duration,
}

/// The speed limit on withdrawal, per service. Lifted when every eligible vantage corroborates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedLimit {
    /// At most one region in this time; 10 s.
    pub region_every: Duration,
    /// At most [`SpeedLimit::capacity`] in this time; 60 s.
    pub capacity_every: Duration,
    /// The part of the service's capacity that may go in that time; 1/2.
    pub capacity: Ratio,
}

/// A ratio of whole numbers, so that two thirds are exactly two thirds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Above the line.
    pub numerator: u16,
    /// Below the line; not zero.
    pub denominator: u16,
}

impl Ratio {
    /// Whether `part` is at least this ratio of `whole`.
    #[must_use]
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        part.saturating_mul(self.denominator.into()) >= whole.saturating_mul(self.numerator.into())
    }

    /// The least part of `whole` that reaches this ratio.
    #[must_use]
    pub fn least_of(self, whole: u64) -> u64 {
        whole.saturating_mul(self.numerator.into()).div_ceil(self.denominator.into())
    }

    /// Whether `part` is more than this ratio of `whole`.
    #[must_use]
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        part.saturating_mul(self.denominator.into()) > whole.saturating_mul(self.numerator.into())
    }
}

/// One half; more than it is a majority.
pub const HALF: Ratio = Ratio { numerator: 1, denominator: 2 };

/// How many steps of a ramp are used; what is written beyond is as if it were not.
pub const RAMP_STEPS_MAX: usize = 64;

/// How many fault domains must see an endpoint fail, where that many are configured.
pub const FAULT_DOMAINS_MIN: usize = 2;

impl Rules {
    /// How old an outcome of a probe with this interval may be and still have a voice.
    #[must_use]
    pub fn age_limit(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.age_intervals).saturating_add(self.age_slack)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            quorum: Ratio { numerator: 2, denominator: 3 },
            eligible: HALF,
            age_intervals: 3,
            age_slack: Duration::from_secs(2),
            lone_wait: Duration::from_secs(5),
            doubt_lasts: Duration::from_secs(60),
            ramp: [0.05, 0.25, 0.5, 1.0].map(Share::of_ratio).to_vec(),
            damping: Damping::default(),
            speed: SpeedLimit::default(),
            usable: Following::default(),
            saved_limit: Duration::from_secs(600),
        }
    }
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            fall: 1000,
            half_life: Duration::from_secs(120),
            suppress: 2500,
            reuse: 750,
            suppressed_max: Duration::from_secs(900),
        }
    }
}

impl Default for SpeedLimit {
    fn default() -> Self {
        Self {
            region_every: Duration::from_secs(10),
            capacity_every: Duration::from_secs(60),
            capacity: HALF,
        }
    }
}
