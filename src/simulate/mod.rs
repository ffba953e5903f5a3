//! The simulator: the real pure parts of servers and agents in a world of virtual time that tries to fool them.
//! It opens no socket and reads no clock; one seed is one history, and a history that breaks an invariant can be
//! played again.
//!
//! [`scenario`] is what a world is made of and what befalls it; `world` plays it; `truth` is what is really so;
//! `invariants` holds every change against the truth. [`sabotage`] puts bugs in on purpose. [`false_alarms`]
//! plays chance alone, over more hours than a whole world could; [`subsets`] every set of cut paths.

pub mod false_alarms;
pub mod sabotage;
pub mod scenario;
pub mod subsets;

mod agent;
mod build;
mod invariants;
mod resolvers;
mod truth;
mod world;

use std::fmt;
use std::time::Duration;

use sabotage::Bug;
use scenario::Scenario;

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Played {
    /// How long, in the world's time.
    pub virtual_time: Duration,
    /// Events of the world.
    pub events: u64,
    /// Probes made.
    pub probes: u64,
    /// Reports that arrived.
    pub reports: u64,
    /// Verdicts that changed, over all servers.
    pub transitions: u64,
    /// Those that withdrew something.
    pub withdrawals: u64,
    /// For how long a client of an average resolver was given an address that did not work.
    pub wrong_seconds: f64,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Which world: the same seed breaks it again.
    pub seed: u64,
    /// When, in the world's time.
    pub at: Duration,
    /// What.
    pub what: String,
    /// What went before.
    pub history: Vec<String>,
}

/// Plays a scenario; the seed draws all that is left to chance.
pub fn play(scenario: &Scenario, seed: u64) -> Result<Played, Box<Broken>> {
    world::World::new(scenario, seed, None, true).play(seed)
}

/// Plays the world that a seed draws, with a bug or without.
pub fn play_drawn(seed: u64, bug: Option<Bug>) -> Result<Played, Box<Broken>> {
    world::World::new(&Scenario::drawn(seed), seed, bug, true).play(seed)
}

/// Plays a scenario without the twins that prove that equal inputs make equal tables, for the measure of speed.
pub fn play_alone(scenario: &Scenario, seed: u64) -> Result<Played, Box<Broken>> {
    world::World::new(scenario, seed, None, false).play(seed)
}

impl Played {
    /// Adds another play.
    pub fn add(&mut self, other: &Played) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.probes += other.probes;
        self.reports += other.reports;
        self.transitions += other.transitions;
        self.withdrawals += other.withdrawals;
        self.wrong_seconds += other.wrong_seconds;
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks at {:.3} s: {}", self.seed, self.at.as_secs_f64(), self.what)?;
        self.history.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
