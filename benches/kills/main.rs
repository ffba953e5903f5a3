//! From a kill to the first right answer, on real sockets: `cargo bench --bench kills`, with
//! `-- --setting fast --kills 1000 --what killed` to say how. It takes root, unshare (util-linux), iproute2 and nft.
//!
//! Every kill has a world of its own: a server, three agents of three vantages and three backends, all of them fresh
//! processes on addresses that no other kill uses, in one network namespace of this program's own. Once everything is
//! up, and after a pause drawn anew each time, one backend is killed, and a client that asks each millisecond notes
//! when its address is first missing from an answer. One monotonic clock tells both.
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]
#![allow(clippy::unwrap_used, reason = "a rig that breaks shall say where")]

mod backend;
mod world;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use world::World;

/// What befalls the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// The process gets SIGKILL.
    Killed,
    /// Its listener is closed; the process lives, and so do connections that stand.
    Refused,
    /// Packets from and to it are dropped.
    BlackHole,
    /// The process gets SIGSTOP: the kernel takes connections still, and nobody answers.
    Hung,
    /// Every request is answered with 500.
    Status500,
    /// Of the packets to it and from it, each way, three in ten are dropped.
    Loss,
    /// Of the packets from it three in ten are dropped.
    LossBack,
}

const KILLS: [(&str, Kill); 7] = [
    ("killed", Kill::Killed),
    ("refused", Kill::Refused),
    ("black-hole", Kill::BlackHole),
    ("hung", Kill::Hung),
    ("status-500", Kill::Status500),
    ("loss", Kill::Loss),
    ("loss-back", Kill::LossBack),
];

/// How endpoints are probed.
struct Setting {
    name: &'static str,
    /// Keys of the probe.
    probe: &'static str,
    /// From everything up to the kill, at least, and at most twice as much.
    pause: Duration,
    /// So long a right answer is waited for.
    patience: Duration,
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "fast",
        probe: "interval = \"100ms\"",
        pause: Duration::from_millis(500),
        patience: Duration::from_secs(20),
    },
    Setting {
        name: "defaults",
        probe: "",
        pause: Duration::from_millis(1_500),
        patience: Duration::from_secs(180),
    },
];

/// Tells a copy of this program that it runs in the namespace.
const INSIDE: &str = "RHUMB_KILLS_INSIDE";
/// What drops packets. Only what arrives is looked at: what is dropped as it is sent is told to the sender.
const RULES: &str = "
table ip kills {
    set hole { type ipv4_addr; }
    set lossy { type ipv4_addr; }
    set lossy_back { type ipv4_addr; }
    chain arrivals {
        type filter hook input priority 0;
        ip daddr @hole drop
        ip saddr @hole drop
        ip daddr @lossy numgen random mod 100 < 30 drop
        ip saddr @lossy numgen random mod 100 < 30 drop
        ip saddr @lossy_back numgen random mod 100 < 30 drop
    }
}";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "backend") {
        return backend::serve(&arguments[1]);
    }
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} wants a value")).as_str())
    };
    let number = |name: &str, default: usize| option(name).map_or(default, |text| text.parse().unwrap());
    if env::var_os(INSIDE).is_none() {
        let own = env::current_exe().unwrap();
        let mut inside = Command::new("unshare");
        inside.arg("--net").arg(own).args(&arguments).env(INSIDE, "1");
        std::process::exit(inside.status().unwrap().code().unwrap_or(1));
    }
    run("ip", &["link", "set", "lo", "up"]);
    run("nft", &[RULES]);
    let wanted = option("--what").unwrap_or("all");
    let setting = option("--setting").unwrap_or("fast");
    let setting = SETTINGS.iter().find(|known| known.name == setting).expect("fast or defaults");
    let kills = number("--kills", 100);
    let worlds = number("--worlds", 6);
    let fleet = Fleet::new();
    println!("setting {}, {kills} kills of each kind, {worlds} worlds at a time; times in ms", setting.name);
    println!(
        "{:12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}  machine idle",
        "what", "least", "p50", "p90", "p99", "max", "never"
    );
    let mut first = number("--first", 0);
    for (what, kill) in
        KILLS.into_iter().filter(|(what, _)| wanted == "all" || wanted.split(',').any(|one| one == *what))
    {
        let before = idle();
        let mut found = play(&fleet, kill, setting, first..first + kills, worlds);
        first += kills;
        let after = idle();
        found.sort_by(|a, b| a.unwrap_or(f64::MAX).total_cmp(&b.unwrap_or(f64::MAX)));
        let at = |part: f64| {
            let rank = (part * found.len() as f64).ceil() as usize;
            found[rank.clamp(1, found.len()) - 1].map_or("never".to_owned(), |ms| format!("{ms:.1}"))
        };
        let never = found.iter().filter(|one| one.is_none()).count();
        let share = 100.0 * (after.0 - before.0) / (after.1 - before.1).max(1.0);
        println!(
            "{what:12} {:>8} {:>8} {:>8} {:>8} {:>8} {never:6}  {share:.0} %",
            at(0.0),
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
    }
}

/// Plays kills, each in a world of its own; milliseconds to the first right answer, or none.
fn play(
    fleet: &Fleet,
    kill: Kill,
    setting: &Setting,
    numbers: std::ops::Range<usize>,
    worlds: usize,
) -> Vec<Option<f64>> {
    let left = Mutex::new(numbers.collect::<VecDeque<_>>());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..worlds {
            scope.spawn(|| {
                loop {
                    let Some(number) = left.lock().unwrap().pop_front() else { return };
                    let took = one(fleet, kill, setting, number);
                    found.lock().unwrap().push(took);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn one(fleet: &Fleet, kill: Kill, setting: &Setting, number: usize) -> Option<f64> {
    let mut world = World::new(&fleet.0, number, setting.probe);
    world.until_up();
    // Where in their intervals and ticks the kill meets everybody must be chance; and watches want to stand.
    thread::sleep(setting.pause + chance(number, setting.pause));
    let client = world.client();
    for _ in 0..5 {
        assert!(client.names_the_dead(), "before the kill it is answered\n{}", world.logs());
        thread::sleep(Duration::from_millis(1));
    }
    let address = world.address(1);
    let began = Instant::now();
    match kill {
        Kill::Killed => world.backends[0].process.kill().unwrap(),
        Kill::Refused => world.backends[0].tell("refuse"),
        Kill::Status500 => world.backends[0].tell("500"),
        Kill::Hung => run("kill", &["-STOP", &world.backends[0].process.id().to_string()]),
        Kill::BlackHole => drop_packets("hole", &address),
        Kill::Loss => drop_packets("lossy", &address),
        Kill::LossBack => drop_packets("lossy_back", &address),
    }
    let took = client.until_right(began, setting.patience);
    if took.is_none() {
        eprintln!("{kill:?} {number} was never answered rightly\n{}", world.logs());
    }
    took.map(|took| took.as_secs_f64() * 1000.0)
}

fn drop_packets(set: &str, address: &str) {
    run("nft", &["add", "element", "ip", "kills", set, &format!("{{ {address} }}")]);
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).status();
    assert!(done.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

/// Some time below `most`, another for each number.
fn chance(number: usize, most: Duration) -> Duration {
    const GOLDEN_SECTION: f64 = 0.618_033_988_749_894_9;
    most.mul_f64((number as f64 * GOLDEN_SECTION).fract())
}

/// Ticks of the machine that were idle, and all.
fn idle() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let ticks: Vec<f64> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|tick| tick.parse().unwrap()).collect();
    (ticks[3] + ticks[4], ticks[..8].iter().sum())
}

/// A folder with the certificates of all worlds, removed at the end.
struct Fleet(PathBuf);

impl Fleet {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("rhumb-kills-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let fleet = Self(folder);
        let mut made = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        made.args(["cert", "init", "fleet", "--server", "ns1=ns1.example.com"]);
        made.args(world::VANTAGES.map(|vantage| format!("--agent={vantage}")));
        assert!(made.current_dir(&fleet.0).output().unwrap().status.success());
        fleet
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
