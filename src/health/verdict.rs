//! What is believed of an endpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share in [0, 1], counted in 1,024ths, the same grain as the lots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(u16);

/// The word for what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is known yet, or what was known is too old. Served.
    Unknown,
    /// Works. Served.
    Up,
    /// In doubt: a recheck failed too, or a second vantage saw it fail. Served, with a short TTL.
    Suspect,
    /// Withdrawn.
    Down,
    /// Works again, and comes back by a ramp after a hold.
    Recovering,
}

/// What the choice of an answer needs to know of an endpoint: its state, how much of it is usable, and how
/// far its ramp has come. A drain, a forced state and a vantage's own view are already applied to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is believed, or what the operator put over it.
    pub state: State,
    /// How much of the endpoint is usable; less than whole when it is degraded.
    pub usable: Share,
    /// The share of its lots that it may serve: whole unless recovering or draining.
    pub ramp: Share,
    /// Forced down by the operator: not even the last resort.
    pub forced_down: bool,
}

impl Share {
    /// Nothing.
    pub const NONE: Share = Share(0);
    /// All of it.
    pub const WHOLE: Share = Share(1024);

    /// So many 1,024ths; more than the whole is the whole.
    #[must_use]
    pub const fn of_1024(parts: u16) -> Self {
        Self(if parts > 1024 { 1024 } else { parts })
    }

    /// The nearest share to a ratio; what is no number is nothing.
    #[must_use]
    pub fn of_ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * 1024.0).round() as u16)
    }

    /// How many 1,024ths.
    #[must_use]
    pub const fn parts(self) -> u16 {
        self.0
    }
}

impl Standing {
    /// Works, wholly.
    pub const UP: Standing =
        Standing { state: State::Up, usable: Share::WHOLE, ramp: Share::WHOLE, forced_down: false };

    /// The share of its lots that it gets: as far as its ramp has come, and no more than is usable.
    #[must_use]
    pub fn lots(&self) -> Share {
        self.ramp.min(self.usable)
    }
}

impl State {
    /// The word in configuration, metrics, logs and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Recovering => "recovering",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (f64::from(self.0) / 10.24).round())
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/1024", self.0)
    }
}
