//! A flood of random subdomains at 80 % of what the server can do: what honest clients lose, and what it takes of memory.
//!
//! The bound is about a server that has its processor. Whoever shares the machine may take it away between the
//! measurement of capacity and the flood, or in the midst of it, and then 80 % are more than there is. So a try tells
//! what was taken while it lasted: one that misses where nothing was has failed, any other is made again.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::datagrams;
use crate::load::{self, Offer};
use crate::place::{Clients, Heard, Place, Server, query};
use crate::resident_kb;

/// Names that are asked for, over and over; none of them exists.
const NAMES: u32 = 200_000;
/// What the flood is of capacity.
const SHARE: f64 = 0.8;
/// Queries under way together while capacity is measured.
const OUTSTANDING: usize = 160;
/// How long capacity is measured before the first try, and after each.
const CAPACITY_TIME: Duration = Duration::from_secs(2);
/// Honest queries a second beside a flood.
const HONEST_RATE: u32 = 1_000;
/// Of so many honest queries one may be lost: 0.1 %.
const HONEST_PER_LOSS: u64 = 1_000;
/// What a flood may leave in memory: the rounding of an allocator.
const GROWTH_MAX_KB: u64 = 1024;
/// How often threads are told their processor, should one of them end meanwhile.
const PIN_TRIES: u32 = 5;
/// Tries, where the machine does not hold still.
const TRIES: u32 = 5;
/// What capacity may be after a try, in parts of what it was before, on a machine that held still.
const STILL: std::ops::RangeInclusive<f64> = 0.93..=1.07;
/// What may be taken of a processor, in parts of the time, on a machine that held still: as much as may be lost.
const TAKEN_MAX: f64 = 0.001;
/// How long what a flood left behind may wait for its turn.
const DRAINED_AFTER: Duration = Duration::from_millis(200);

/// One flood, and what it met.
struct Try {
    /// Queries a second that the server could answer, before and after.
    capacity: [f64; 2],
    flood: load::Heard,
    honest: Heard,
    taken: Taken,
    /// What the server had in memory, before and after, in kB.
    resident: [u64; 2],
}

/// How long something else had the processors.
#[derive(Clone, Copy, Default)]
struct Taken {
    /// Stolen by other guests of the host, as far as it tells.
    stolen: Duration,
    /// The server could have run and did not.
    server_waited: Duration,
    /// The generator stood still, whoever was at fault: afterwards it catches up faster than a flood may be.
    generator_stood: Duration,
}

/// Floods a server with one worker for so many seconds, as often as it takes.
pub(crate) fn run(seconds: u32, signed: bool) {
    let place = place(signed);
    let server = place.serve();
    pin_to_first(&server);
    datagrams::pin(1);
    let random = random_subdomains(NAMES, signed);
    println!("{}:", if signed { "signed" } else { "unsigned" });
    let mut capacity = capacity(server.address, &random);
    for number in 1..=TRIES {
        let found = flood(&server, &random, capacity, Duration::from_secs(seconds.into()));
        println!("  try {number}: {found}");
        assert!(found.resident[1] <= found.resident[0] + GROWTH_MAX_KB, "memory stays as it is");
        if found.holds() {
            return;
        }
        assert!(
            !found.machine_held_still(),
            "honest clients lose at most 0.1 %, and the machine is not to blame"
        );
        println!("  the machine did not hold still: what it could do changed, or was taken; once more");
        capacity = found.capacity[1];
    }
    panic!("in {TRIES} tries the machine never held still for {seconds} s; what holds on it is not known");
}

fn place(signed: bool) -> Place {
    let place = Place::new();
    let mut text = place.read("rhumb.toml").replacen("workers = 2", "workers = 1", 1);
    if signed {
        assert_eq!(place.run("dnssec make example.com --keys keys").0, 0);
        text += "[zones.\"example.com\".dnssec]\nkeys = \"keys\"\n";
    }
    place.write("rhumb.toml", &text);
    place
}

fn capacity(server: SocketAddr, queries: &[Vec<u8>]) -> f64 {
    let heard = load::run(server, queries, Offer::Outstanding(OUTSTANDING), CAPACITY_TIME);
    heard.answered as f64 / heard.seconds
}

fn flood(server: &Server, queries: &[Vec<u8>], capacity_before: f64, time: Duration) -> Try {
    let before = resident_kb(&server.process);
    let taken_before = Taken::so_far(server);
    let clients = Clients::start(server.address, HONEST_RATE);
    let flood = load::run(server.address, queries, Offer::Rate(SHARE * capacity_before), time);
    let honest = clients.stop();
    let taken = Taken { generator_stood: flood.stood, ..Taken::so_far(server).since(taken_before) };
    let resident = [before, resident_kb(&server.process)];
    sleep(DRAINED_AFTER);
    let capacity = [capacity_before, capacity(server.address, queries)];
    Try { capacity, flood, honest, taken, resident }
}

impl Try {
    /// Whether a flood of 80 % of capacity cost honest clients no more than it may.
    fn holds(&self) -> bool {
        let is_whole = self.capacity[1] <= self.capacity[0] * STILL.end();
        is_whole && self.honest_lost() * HONEST_PER_LOSS <= self.honest.sent
    }

    fn honest_lost(&self) -> u64 {
        self.honest.sent - self.honest.answered
    }

    fn machine_held_still(&self) -> bool {
        let most = self.flood.seconds * TAKEN_MAX;
        let Taken { stolen, server_waited, generator_stood } = self.taken;
        let nothing_taken =
            [stolen, server_waited, generator_stood].iter().all(|taken| taken.as_secs_f64() <= most);
        nothing_taken && STILL.contains(&(self.capacity[1] / self.capacity[0]))
    }
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity: [before, after], flood, honest, taken, resident } = self;
        let percent = |part: u64, all: u64| 100.0 * part as f64 / all as f64;
        write!(
            f,
            "capacity {before:.0} queries/s before, {after:.0} after; flood of {:.0}/s for {:.1} s, {:.3} % of it lost\n    \
             honest clients: {} sent, {} lost ({:.3} %); resident {} kB before, {} kB after\n    \
             taken by others: stolen {:?}, the server waited {:?}, the generator stood {:?}",
            flood.sent as f64 / flood.seconds,
            flood.seconds,
            percent(flood.sent - flood.answered, flood.sent),
            honest.sent,
            self.honest_lost(),
            percent(self.honest_lost(), honest.sent),
            resident[0],
            resident[1],
            taken.stolen,
            taken.server_waited,
            taken.generator_stood,
        )
    }
}

impl Taken {
    /// All since the machine and the server started; where the kernel does not tell, nothing.
    fn so_far(server: &Server) -> Self {
        Self {
            stolen: stolen().unwrap_or_default(),
            server_waited: waited(server).unwrap_or_default(),
            generator_stood: Duration::ZERO,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            stolen: self.stolen - before.stolen,
            server_waited: self.server_waited - before.server_waited,
            generator_stood: Duration::ZERO,
        }
    }
}

/// What other guests took of all processors: the eighth number of proc_stat(5), in hundredths of a second.
fn stolen() -> Option<Duration> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let hundredths: u64 = text.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
    Some(Duration::from_millis(10 * hundredths))
}

/// How long the worker was ready and had no processor: the second number of its schedstat, in nanoseconds.
fn waited(server: &Server) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.process.id())).ok()?;
    let worker = threads
        .flatten()
        .map(|thread| thread.path())
        .find(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("udp ")))?;
    let text = fs::read_to_string(worker.join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().nth(1)?.parse().ok()?))
}

fn random_subdomains(count: u32, signed: bool) -> Vec<Vec<u8>> {
    // What a resolver that validates adds: OPT, 1232 octets, DO.
    const OPT: [u8; 11] = [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0];
    // Any generator will do: the names must differ, not surprise.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut query = query(&format!("{:x}.example.com", state >> 16), 1);
            if signed {
                query[11] = 1;
                query.extend(OPT);
            }
            query
        })
        .collect()
}

fn pin_to_first(server: &Server) {
    let id = server.process.id().to_string();
    // A thread that ends while they are told is none to be told.
    let is_told =
        || Command::new("taskset").args(["-a", "-p", "-c", "0", &id]).output().unwrap().status.success();
    assert!((0..PIN_TRIES).any(|_| is_told()), "taskset is of util-linux");
}
