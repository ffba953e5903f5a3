//! The simulator at work: a thousand drawn worlds, the scenarios of tests/cases/simulate, and bugs put in on
//! purpose, each of which must be found.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be read fails the test")]

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rhumb::simulate::sabotage::BUGS;
use rhumb::simulate::scenario::Scenario;
use rhumb::simulate::{play, play_drawn};

const SEEDS: u64 = 1000;
/// Within so many seeds each bug is found.
const SEEDS_PER_BUG: u64 = 400;

/// Does `work` for each number below `count`, on all cores.
fn on_all_cores(count: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

#[test]
fn a_thousand_worlds_break_nothing() {
    on_all_cores(SEEDS, |seed| {
        if let Err(broken) = play_drawn(seed, None) {
            panic!("{broken}\nplay it again: rhumb simulate --seed {seed}");
        }
    });
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..5 {
        assert_eq!(play_drawn(seed, None), play_drawn(seed, None), "seed {seed}");
    }
}

#[test]
fn scenarios_go_as_they_say() {
    let mut count = 0;
    for entry in fs::read_dir("tests/cases/simulate").unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::parse(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        for seed in 0..5 {
            play(&scenario, seed).unwrap_or_else(|broken| panic!("{}: {broken}", path.display()));
        }
        count += 1;
    }
    assert!(count > 5, "the scenarios are found");
}

#[test]
fn every_bug_put_in_on_purpose_is_found() {
    on_all_cores(BUGS.len() as u64, |index| {
        let (bug, what) = BUGS[index as usize];
        let found = (0..SEEDS_PER_BUG).any(|seed| play_drawn(seed, Some(bug)).is_err());
        assert!(found, "not found within {SEEDS_PER_BUG} seeds: {what}");
    });
}
