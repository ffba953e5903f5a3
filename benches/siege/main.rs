//! Besieges the real binary and watches what becomes of everybody else: crowds of connections that ask nothing, ask
//! slowly or do not read, and floods by HTTP/2 and QUIC, beside queries by UDP and an honest client.
//!
//!     cargo bench --bench siege              # all of it, some minutes
//!     cargo bench --bench siege -- tls       # what has "tls" in its name
//!
//! Everything shares one machine. The server has the first processor, its besiegers, the queries and the honest client have
//! the second; attackers are a process of their own that runs when nobody else wants to, since in life they would have
//! machines of their own. Ends with 1 where what should hold whatever the machine does not: losses, memory, descriptors.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "this is what it is for")]

mod attack;
mod flood;
mod honest;
mod load;
#[path = "../../tests/encrypted/server.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod server;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use load::Heard;
use rhumb::clock;
use rhumb::time::Moment;
use server::Server;

/// Connections of a crowd.
const CROWD: usize = 10_000;
/// Connections of a flood, each of which comes back when it is thrown out.
const FLOOD: usize = 50;
/// How long a crowd may take to gather.
const GATHER_MAX: Duration = Duration::from_secs(25);
/// How long everybody is watched once it has.
const WATCH: Duration = Duration::from_secs(6);
/// How often the server is looked at: counting ten thousand descriptors is work of its own.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the server has to be as before.
const RECOVER_MAX: Duration = Duration::from_secs(20);

const SMALL: &str = "connections = 100";
/// Room for all of a crowd, so that it may do its worst.
const ROOM: &str = "connections = 12000\nconnections-per-address = 50\nidle-timeout = \"1m\"";

/// What is done to the server.
struct Siege {
    name: &'static str,
    /// The limits of TCP, TLS, HTTPS and QUIC.
    limits: [&'static str; 4],
    connections: usize,
    /// Whether the limits let all of them in.
    gathers: bool,
    /// Whether it is one of frames and streams: bounded are memory and UDP's p99 as such.
    floods: bool,
}

/// What the server has of the machine.
#[derive(Clone, Copy)]
struct Holding {
    descriptors: usize,
    megabytes: f64,
}

/// How long queries by UDP took: p99 but for one.
struct Delays {
    before: Duration,
    gathering: Duration,
    p50: Duration,
    p99: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, kind, address, certificate, connections] = arguments.as_slice()
        && mode == "attack"
    {
        attack::run(kind, address.parse().unwrap(), certificate.as_ref(), connections.parse().unwrap());
    }
    let wanted = |siege: &Siege| {
        let words = || arguments.iter().filter(|argument| !argument.starts_with('-'));
        words().next().is_none() || words().any(|word| siege.name.contains(word.as_str()))
    };
    pin(std::process::id(), 1);
    println!(
        "| siege | held | UDP sent | lost | p50 | p99 | p99 before | p99 while gathering | honest | memory | descriptors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let held: Vec<bool> = sieges().iter().filter(|siege| wanted(siege)).map(lay).collect();
    if held.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Binds all threads of a process, and those to come, to a processor; where there is one only, to that.
fn pin(process: u32, processor: usize) {
    let there = thread::available_parallelism().map_or(1, usize::from);
    let (process, processor) = (process.to_string(), (processor % there).to_string());
    let done = Command::new("taskset").args(["-a", "-p", "-c", &processor, &process]).output().unwrap();
    assert!(done.status.success(), "taskset is of util-linux");
}

fn sieges() -> Vec<Siege> {
    let crowd = |name, limits| Siege { name, limits, connections: CROWD, gathers: true, floods: false };
    let beyond = |name| Siege { gathers: false, ..crowd(name, [""; 4]) };
    let flood = |name| Siege { connections: FLOOD, gathers: false, floods: true, ..crowd(name, [""; 4]) };
    let tcp = [ROOM, SMALL, SMALL, SMALL];
    let tls = [SMALL, ROOM, SMALL, SMALL];
    vec![
        crowd("tcp-idle", tcp),
        crowd("tcp-half", tcp),
        crowd("tcp-dribble", tcp),
        crowd("tcp-deaf", tcp),
        crowd("tls-idle", tls),
        crowd("tls-half", tls),
        crowd("tls-dribble", tls),
        crowd("tls-deaf", tls),
        beyond("tcp-idle-beyond-the-limits"),
        beyond("tls-idle-beyond-the-limits"),
        flood("https-resets"),
        flood("https-settings"),
        flood("https-pings"),
        flood("https-empty"),
        flood("https-headers"),
        flood("quic-streams"),
    ]
}

/// Whether all held that should.
fn lay(siege: &Siege) -> bool {
    let server = Server::start_with(siege.limits, "", None);
    pin(server.pid(), 0);
    let begin = clock::now();
    let calm = load::run(server.plain, || false, WATCH);
    let calm = calm.delays(begin, clock::now()).1;
    let before = holding(&server);
    let transport = siege.name.split('-').next().unwrap();
    let attacked = match transport {
        "tcp" => server.plain,
        "tls" => server.tls,
        "https" => server.https,
        _ => server.quic,
    };
    let certificate = server.path("certificate.der");
    std::fs::write(&certificate, &*server.certificate).unwrap();

    let came = clock::now();
    let mut attackers = launch(siege, attacked, &certificate);
    let (mut peak, done) = (before, AtomicBool::new(false));
    let (heard, honest, gathered, left) = thread::scope(|scope| {
        let (plain, tls) = (server.plain, server.tls);
        let der = server.certificate.clone();
        let done = &done;
        let load = scope.spawn(move || load::run(plain, || done.load(Ordering::Relaxed), GATHER_MAX * 2));
        let gathered = gather(&server, siege, before, &mut peak);
        // The honest client comes when the crowd is there.
        let asks =
            scope.spawn(
                move || if transport == "tcp" { honest::by_tcp(plain) } else { honest::by_tls(tls, &der) },
            );
        let end = gathered + WATCH;
        while clock::now() < end || !asks.is_finished() {
            sleep(LOOK_EVERY);
            peak = peak.most(holding(&server));
        }
        let honest = asks.join().unwrap();
        let left = clock::now();
        done.store(true, Ordering::Relaxed);
        (load.join().unwrap(), honest, gathered, left)
    });
    let _ = attackers.kill();
    let _ = attackers.wait();
    let after = recovered(&server, before);
    let (p50, p99) = heard.delays(gathered, left);
    let delays = Delays { before: calm, gathering: heard.delays(came, gathered).1, p50, p99 };
    tell(siege, &heard, delays, honest, [before, peak, after])
}

fn launch(siege: &Siege, server: SocketAddr, certificate: &std::path::Path) -> Child {
    let mut child = Command::new("chrt")
        .args(["--idle", "0"])
        .arg(std::env::current_exe().unwrap())
        .args(["attack", siege.name, &server.to_string()])
        .arg(certificate)
        .arg(siege.connections.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    child
}

/// Waits until the crowd is there, or as much of it as the limits let in; when that was.
fn gather(server: &Server, siege: &Siege, before: Holding, peak: &mut Holding) -> Moment {
    let begin = clock::now();
    let patience = if siege.gathers { GATHER_MAX } else { WATCH / 2 };
    loop {
        let (now, held) = (clock::now(), holding(server));
        *peak = peak.most(held);
        let all = held.descriptors >= before.descriptors + siege.connections * 98 / 100;
        if all || now.since(begin) >= patience {
            return now;
        }
        sleep(LOOK_EVERY);
    }
}

fn recovered(server: &Server, before: Holding) -> Holding {
    let begin = clock::now();
    loop {
        let after = holding(server);
        if after.descriptors <= before.descriptors || clock::now().since(begin) > RECOVER_MAX {
            return after;
        }
        sleep(Duration::from_millis(100));
    }
}

fn holding(server: &Server) -> Holding {
    let process = format!("/proc/{}", server.pid());
    let descriptors = std::fs::read_dir(format!("{process}/fd")).unwrap().count();
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    Holding { descriptors, megabytes: kilobytes / 1024.0 }
}

impl Holding {
    fn most(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            megabytes: self.megabytes.max(other.megabytes),
        }
    }
}

/// Whether all held that should, whatever the machine is.
fn tell(
    siege: &Siege,
    heard: &Heard,
    delays: Delays,
    honest: (u32, u32),
    [before, peak, after]: [Holding; 3],
) -> bool {
    let lost = heard.lost();
    let memory = peak.megabytes - before.megabytes;
    println!(
        "| {} | {} | {} | {lost} | {:?} | {:?} | {:?} | {:?} | {}/{} | +{memory:.1} MB | {} -> {} -> {} |",
        siege.name,
        peak.descriptors - before.descriptors,
        heard.sent,
        delays.p50,
        delays.p99,
        delays.before,
        delays.gathering,
        honest.0,
        honest.1,
        before.descriptors,
        peak.descriptors,
        after.descriptors,
    );
    let is_quick =
        if siege.floods { delays.p99 <= Duration::from_millis(5) } else { delays.p99 <= delays.before * 2 };
    let mut all = true;
    for (claim, is_firm, holds) in [
        ("UDP loses nothing", true, lost == 0),
        ("UDP's p99 at most doubles, or is at most 5 ms beside a flood", false, is_quick),
        ("99 of 100 honest clients are served", true, honest.0 * 100 >= honest.1 * 99),
        ("memory stays within 20 MB", true, !siege.floods || memory <= 20.0),
        ("descriptors come back", true, after.descriptors <= before.descriptors),
    ] {
        if !holds {
            println!("    missed: {}: {claim}", siege.name);
        }
        all &= holds || !is_firm;
    }
    all
}
