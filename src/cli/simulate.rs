//! `rhumb simulate`: plays worlds in virtual time, and the tables of docs/evidence.md.

#![expect(clippy::print_stdout, reason = "the shell speaks")]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::clock;
use crate::health::streak::Thresholds;
use crate::simulate::false_alarms::{self, Alarms, Setting};

/// Play worlds of servers, agents and faults in virtual time; a seed is a history, and a failing one replays.
#[derive(Debug, Args)]
pub struct Simulate {
    /// Count withdrawals and moves when nothing is wrong but chance, over HOURS agent-hours per case.
    #[arg(long)]
    false_alarms: bool,
    /// With --false-alarms: agent-hours per case, otherwise hours of virtual time per seed.
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// With --false-alarms: only the failures that vantages must have seen together, instead of the settings' own.
    #[arg(long, value_name = "N")]
    together: Option<u8>,
}

/// Runs the verb.
#[must_use]
pub fn run(asked: &Simulate) -> ExitCode {
    if asked.false_alarms {
        print_false_alarms(asked.hours.unwrap_or(100_000.0), asked.together);
    }
    ExitCode::SUCCESS
}

/// How many endpoints an agent probes.
const ENDPOINTS: u32 = 4;
/// The defaults, and the fast setting that docs/evidence.md names.
const SETTINGS: [(&str, Duration, u8, u8); 2] =
    [("defaults", Duration::from_secs(1), 3, 10), ("fast", Duration::from_millis(100), 2, 6)];

fn print_false_alarms(agent_hours: f64, together: Option<u8>) {
    println!(
        "{agent_hours} agent-hours per case, {ENDPOINTS} endpoints per agent; upper 95 % bounds in brackets"
    );
    println!(
        "setting   vantages  loss  withdrawals for all, per 10^6 h  moves by one vantage, per 10^6 h  seconds"
    );
    for (name, interval, fall, default) in SETTINGS {
        let thresholds = Thresholds { fall, together: together.unwrap_or(default), ..Thresholds::default() };
        for (vantages, loss) in [(3, 0.01), (3, 0.05), (5, 0.01), (5, 0.05)] {
            let began = clock::now();
            let setting = Setting { vantages, interval, thresholds, loss };
            let Alarms { for_all, by_one, .. } = play_on_all_cores(&setting, agent_hours);
            let rate = |seen: u64| {
                let scale = 1e6 / agent_hours;
                let bound = false_alarms::upper_bound(seen) * scale;
                format!("{seen} = {:.4} (< {bound:.4})", seen as f64 * scale)
            };
            let seconds = clock::now().since(began).as_secs_f64();
            println!(
                "{name:9} {vantages:8} {:4.0}% {:>32} {:>34} {seconds:8.1}",
                loss * 100.0,
                rate(for_all),
                rate(by_one)
            );
        }
    }
}

/// Plays every endpoint, and each in pieces, as many at a time as there are cores.
fn play_on_all_cores(setting: &Setting, agent_hours: f64) -> Alarms {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pieces = u32::try_from(cores).unwrap_or(1) * ENDPOINTS;
    let hours = agent_hours / f64::from(setting.vantages) * f64::from(ENDPOINTS) / f64::from(pieces);
    let mut sum = Alarms::default();
    thread::scope(|scope| {
        let play = |core: u32| {
            move || {
                (0..ENDPOINTS)
                    .map(|part| false_alarms::play(setting, hours, (core * ENDPOINTS + part).into()))
                    .collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..pieces / ENDPOINTS).map(|core| scope.spawn(play(core))).collect();
        for alarms in running.into_iter().flat_map(|one| one.join().expect("a play ends")) {
            sum.for_all += alarms.for_all;
            sum.by_one += alarms.by_one;
            sum.probes += alarms.probes;
        }
    });
    sum
}
