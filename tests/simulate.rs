//! The simulator at work: drawn worlds, the scenarios of tests/cases/simulate, and bugs put in on purpose. Without
//! optimisation it plays a few of each; `rhumb simulate --seeds 1000` and `--bugs --seeds 400` of a release build,
//! which .ci/run calls, play the thousand and find every bug.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be read fails the test")]

use std::fs;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use rhumb::simulate::sabotage::BUGS;
use rhumb::simulate::scenario::Scenario;
use rhumb::simulate::{play, play_drawn};

const SEEDS: u64 = 40;
/// Within so many seeds ...
const SEEDS_PER_BUG: u64 = 6;
/// ... so many of the bugs are found.
const BUGS_MIN: usize = 10;

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
fn drawn_worlds_break_nothing() {
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
        for seed in 0..2 {
            play(&scenario, seed).unwrap_or_else(|broken| panic!("{}: {broken}", path.display()));
        }
        count += 1;
    }
    assert!(count > 5, "the scenarios are found");
}

#[test]
fn a_few_seeds_find_many_of_the_bugs_put_in_on_purpose() {
    let found = AtomicUsize::new(0);
    on_all_cores(BUGS.len() as u64, |index| {
        let (bug, _) = BUGS[index as usize];
        let breaks = (0..SEEDS_PER_BUG).any(|seed| play_drawn(seed, Some(bug)).is_err());
        found.fetch_add(usize::from(breaks), Ordering::Relaxed);
    });
    assert!(found.into_inner() >= BUGS_MIN);
}
