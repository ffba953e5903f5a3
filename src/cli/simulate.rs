//! `rhumb simulate`: plays worlds in virtual time, and the tables of docs/evidence.md.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the shell speaks")]

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::clock;
use crate::health::streak::Thresholds;
use crate::simulate::false_alarms::{self, Alarms, Setting};
use crate::simulate::sabotage::BUGS;
use crate::simulate::scenario::Scenario;
use crate::simulate::subsets::{self, Count, Shape};
use crate::simulate::{Broken, Played, play, play_alone, play_drawn};

/// What can be asked.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many worlds to play, each drawn from a seed.
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// Play this seed alone.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Play the world of this file instead of drawn ones.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// How long each world is played, in hours; with --false-alarms, the agent-hours of each case.
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// Count what chance alone withdraws and moves.
    #[arg(long, group = "figure")]
    false_alarms: bool,
    /// With --false-alarms: weigh what vantages saw together by N instead of the settings' own.
    #[arg(long, value_name = "N", requires = "false_alarms")]
    together: Option<u8>,
    /// With --false-alarms: only this setting, "defaults" or "fast".
    #[arg(long, value_name = "NAME", requires = "false_alarms")]
    setting: Option<String>,
    /// Judge every set of cut paths between 5 vantages and 4 regions.
    #[arg(long, group = "figure")]
    subsets: bool,
    /// Measure virtual time per wall time in a world of 5 vantages, 4 regions, 20 services and 1,000 resolvers.
    #[arg(long, group = "figure")]
    speed: bool,
    /// Put each known bug in and count the seeds until it is found.
    #[arg(long, group = "figure")]
    bugs: bool,
}

/// Runs the verb.
#[must_use]
pub(super) fn run(asked: &Arguments, json: bool) -> ExitCode {
    if asked.false_alarms {
        print_false_alarms(asked);
    } else if asked.subsets {
        print_subsets();
    } else if asked.speed {
        return print_speed(asked.hours.unwrap_or(1.0));
    } else if asked.bugs {
        return print_bugs(asked.seeds);
    } else {
        return play_seeds(asked, json);
    }
    ExitCode::SUCCESS
}

fn play_seeds(asked: &Arguments, json: bool) -> ExitCode {
    let scenario = match asked.scenario.as_ref().map(|path| (path, fs::read_to_string(path))) {
        None => None,
        Some((path, read)) => {
            match read.map_err(|error| error.to_string()).and_then(|text| Scenario::parse(&text)) {
                Ok(scenario) => Some(scenario),
                Err(fault) => {
                    eprintln!("{}: {fault}", path.display());
                    return ExitCode::from(78);
                }
            }
        }
    };
    let seeds = asked.seed.map_or(0..asked.seeds, |seed| seed..seed.saturating_add(1));
    let length = asked.hours.map(|hours| Duration::from_secs_f64(hours.clamp(0.0, 1e6) * 3600.0));
    let began = clock::now();
    let (played, broken) = on_all_cores(seeds.clone(), |seed| {
        let mut world = scenario.clone().unwrap_or_else(|| Scenario::drawn(seed));
        world.length = length.unwrap_or(world.length);
        play(&world, seed)
    });
    let seconds = clock::now().since(began).as_secs_f64();
    if json {
        let failed: Vec<_> =
            broken.iter().map(|one| serde_json::json!({"seed": one.seed, "what": one.what})).collect();
        println!(
            "{}",
            serde_json::json!({
                "seeds": seeds.end - seeds.start, "broken": failed, "seconds": seconds,
                "virtual_seconds": played.virtual_time.as_secs_f64(), "probes": played.probes,
                "reports": played.reports, "withdrawals": played.withdrawals, "wrong_seconds": played.wrong_seconds,
            })
        );
    } else {
        broken.iter().for_each(|one| println!("{one}  play it again: rhumb simulate --seed {}\n", one.seed));
        println!("{} worlds, {} broken, in {seconds:.1} s", seeds.end - seeds.start, broken.len());
        print_played(&played, seconds);
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_played(played: &Played, seconds: f64) {
    let virtual_seconds = played.virtual_time.as_secs_f64();
    println!(
        "{virtual_seconds:.0} virtual seconds, {:.0} per second of wall time",
        virtual_seconds / seconds
    );
    let Played { probes, reports, transitions, withdrawals, wrong_seconds, .. } = played;
    println!(
        "{probes} probes, {reports} reports, {transitions} changes of verdict, {withdrawals} withdrawals"
    );
    println!("{wrong_seconds:.1} s of wrong answers to the clients of an average resolver");
}

/// Plays each seed, as many at a time as there are cores. What broke is in the order of the seeds.
fn on_all_cores(
    seeds: Range<u64>,
    work: impl Fn(u64) -> Result<Played, Box<Broken>> + Sync,
) -> (Played, Vec<Broken>) {
    let next = AtomicU64::new(seeds.start);
    let one_core = || {
        let (mut played, mut broken) = (Played::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (played, broken);
            }
            match work(seed) {
                Ok(one) => played.add(&one),
                Err(one) => broken.push(*one),
            }
        }
    };
    let (mut played, mut broken) = (Played::default(), Vec::new());
    thread::scope(|scope| {
        let running: Vec<_> = (0..cores()).map(|_| scope.spawn(one_core)).collect();
        for (one, failed) in running.into_iter().map(|core| core.join().expect("a play ends")) {
            played.add(&one);
            broken.extend(failed);
        }
    });
    broken.sort_by_key(|one| one.seed);
    (played, broken)
}

fn cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

fn print_speed(hours: f64) -> ExitCode {
    let mut world = Scenario::calm(5, 4, 20, 2);
    world.resolvers = 1000;
    world.length = Duration::from_secs_f64(hours.clamp(0.0, 1e6) * 3600.0);
    for (loss, name) in [(0.0, "quiet"), (0.01, "1 % of probes fail")] {
        world.loss = loss;
        let began = clock::now();
        match play_alone(&world, 1) {
            Ok(played) => {
                println!("{name}: 5 vantages, 4 regions, 20 services, 2 servers, 1,000 resolvers, one core");
                print_played(&played, clock::now().since(began).as_secs_f64());
            }
            Err(broken) => {
                println!("{broken}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn print_bugs(seeds: u64) -> ExitCode {
    let mut missed = 0;
    for (bug, what) in BUGS {
        let began = clock::now();
        let found = (0..seeds).find_map(|seed| play_drawn(seed, Some(bug)).err());
        let seconds = clock::now().since(began).as_secs_f64();
        match found {
            Some(found) => {
                println!("found after {:3} seeds, {seconds:6.2} s: {what}: {}", found.seed + 1, found.what);
            }
            None => {
                println!("NOT FOUND in {seeds} seeds, {seconds:6.2} s: {what}");
                missed += 1;
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_subsets() {
    let shape = Shape { vantages: 5, regions: 4 };
    let began = clock::now();
    let part = shape.subsets() / cores();
    let begins: Vec<u32> = (0..cores()).map(|core| core * part).collect();
    let mut sums = [Count::default(); 4];
    thread::scope(|scope| {
        let running: Vec<_> = begins
            .iter()
            .map(|&begin| {
                let end = if begin == part * (cores() - 1) { shape.subsets() } else { begin + part };
                scope.spawn(move || subsets::count(shape, begin..end))
            })
            .collect();
        for counts in running.into_iter().map(|core| core.join().expect("counting ends")) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                sum.wrong += count.wrong;
                sum.missed += count.missed;
                sum.disputed += count.disputed;
                sum.kept += count.kept;
            }
        }
    });
    let seconds = clock::now().since(began).as_secs_f64();
    println!("5 vantages, 4 regions: 2^20 subsets times 5 (no region down, or one) in {seconds:.1} s");
    println!(
        "rule                                  wrong    missed  withdrawn though reached  kept though unreached"
    );
    let names = ["quorum (Rhumb)", "more than 18 % healthy", "majority of majorities", "a single observer"];
    for (name, sum) in names.iter().zip(sums) {
        println!("{name:33} {:9} {:9} {:25} {:22}", sum.wrong, sum.missed, sum.disputed, sum.kept);
    }
}

/// How many endpoints an agent probes.
const ENDPOINTS: u32 = 4;
/// The defaults, and the fast setting that docs/evidence.md names: interval, fall, and what is seen together.
const SETTINGS: [(&str, Duration, u8, u8); 2] =
    [("defaults", Duration::from_secs(1), 3, 10), ("fast", Duration::from_millis(100), 3, 10)];

fn print_false_alarms(asked: &Arguments) {
    let hours = asked.hours.unwrap_or(10_000.0);
    println!("{hours} agent-hours per case, {ENDPOINTS} endpoints per agent; in brackets upper 95 % bounds");
    println!(
        "setting   vantages  loss  withdrawals for all, per 10^6 h  moves by one vantage, per 10^6 h  seconds"
    );
    let wanted = |name: &str| asked.setting.as_ref().is_none_or(|setting| setting == name);
    for (name, interval, fall, default) in SETTINGS.into_iter().filter(|(name, ..)| wanted(name)) {
        let thresholds =
            Thresholds { fall, together: asked.together.unwrap_or(default), ..Thresholds::default() };
        for (vantages, loss) in [(3, 0.01), (3, 0.05), (5, 0.01), (5, 0.05)] {
            let began = clock::now();
            let setting = Setting { vantages, interval, thresholds, loss };
            let Alarms { for_all, by_one, .. } = play_endpoints(&setting, hours);
            let rate = |seen: u64| {
                let scale = 1e6 / hours;
                let bound = false_alarms::upper_bound(seen) * scale;
                format!("{seen} = {:.1} (< {bound:.1})", seen as f64 * scale)
            };
            let seconds = clock::now().since(began).as_secs_f64();
            let percent = loss * 100.0;
            println!(
                "{name:9} {vantages:8} {percent:4.0}% {:>32} {:>34} {seconds:8.1}",
                rate(for_all),
                rate(by_one)
            );
        }
    }
}

/// Plays every endpoint, in as many pieces as there are cores.
fn play_endpoints(setting: &Setting, agent_hours: f64) -> Alarms {
    let hours = agent_hours / f64::from(setting.vantages) / f64::from(cores());
    let play = |core: u32| {
        let seeds = core * ENDPOINTS..(core + 1) * ENDPOINTS;
        move || seeds.map(|seed| false_alarms::play(setting, hours, seed.into())).collect::<Vec<_>>()
    };
    let mut sum = Alarms::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..cores()).map(|core| scope.spawn(play(core))).collect();
        for alarms in running.into_iter().flat_map(|one| one.join().expect("a play ends")) {
            sum.for_all += alarms.for_all;
            sum.by_one += alarms.by_one;
            sum.probes += alarms.probes;
        }
    });
    sum
}
