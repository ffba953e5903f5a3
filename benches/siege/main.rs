//! Besieges the real binary and watches what becomes of everybody else: crowds of connections that ask nothing, ask
//! slowly or do not read, and floods by HTTP/2 and QUIC, beside queries by UDP and an honest client.
//!
//!     cargo bench --bench siege              # all of it, some minutes
//!     cargo bench --bench siege -- tls       # what has "tls" in its name
//!     cargo bench --bench siege -- tls-deaf 7     # seven rounds of it instead of three
//!
//! Each round has a server of its own, of which peace before and after tells what is usual. Delays are the medians of those
//! of the seconds of all rounds. Beside what was lost stands what the kernel dropped, at sockets and at processors: those of
//! attackers and other processes too, so that it may be more. Beside the server stands a reflector, on the same processor
//! and asked as often: what befalls its queries too is not the server's doing.
//!
//! Everything shares one machine. The server has the first processor, its besiegers, the queries and the honest client have
//! the second; attackers are a process of their own that runs when nobody else wants to, since in life they would have
//! machines of their own. Ends with 1 where what should hold whatever the machine does not: losses, memory, descriptors.

#![allow(unsafe_code, reason = "what the kernel stamps datagrams with has no safe form")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]

mod attack;
mod flood;
mod honest;
mod load;
mod machine;
mod reflect;
#[path = "../../tests/encrypted/server.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod server;
mod stamped;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use load::Delays;
use machine::{Dropped, Holding, accepted};
use reflect::Reflector;
use rhumb::time::Moment;
use server::Server;
use stamped::now;

/// Connections of a crowd.
const CROWD: usize = 10_000;
/// Connections of a flood, each of which comes back when it is thrown out.
const FLOOD: usize = 50;
/// How long a crowd may take to gather.
const GATHER_MAX: Duration = Duration::from_secs(25);
/// How long everybody is watched once it has.
const WATCH: Duration = Duration::from_secs(8);
/// How long what is usual is measured before it comes, and again when it has left.
const PEACE: Duration = Duration::from_secs(5);
/// What a change of the load may take to be over.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often threads are told their processor, should one of them end meanwhile.
const PIN_TRIES: u32 = 5;
/// How often each siege is laid, unless a number is given.
const ROUNDS: u32 = 3;
/// How long the server has to be as before: longer than a connection may be idle, since the kernel may drop what says
/// that the other side is gone.
const RECOVER_MAX: Duration = Duration::from_secs(70);

const SMALL: &str = "connections = 100";
/// Room for all of a crowd, so that it may do its worst.
const ROOM: &str =
    "connections = 12000\nconnections-per-address = 50\nhandshakes = 12000\nidle-timeout = \"1m\"";

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

/// What one round of a siege came to.
struct Round {
    sent: u64,
    lost: u64,
    lost_by_reflector: u64,
    dropped: Dropped,
    /// Before the crowd came and after it had left, from the same server.
    peace: Delays,
    gathering: Delays,
    siege: Delays,
    /// Of the reflector, at the same time.
    reflected: Delays,
    /// How many of how many were served.
    honest: (u32, u32),
    /// Connections of attackers that were taken.
    taken: u64,
    /// Before, at most, after.
    holding: [Holding; 3],
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, kind, address, certificate, connections] = arguments.as_slice()
        && mode == "attack"
    {
        attack::run(kind, address.parse().unwrap(), certificate.as_ref(), connections.parse().unwrap());
    }
    if arguments.first().is_some_and(|mode| mode == "reflect") {
        reflect::run();
    }
    let number = |argument: &String| argument.parse().ok();
    let rounds = arguments.iter().find_map(number).unwrap_or(ROUNDS);
    let wanted = |siege: &Siege| {
        let words = || arguments.iter().filter(|word| !word.starts_with('-') && number(word).is_none());
        words().next().is_none() || words().any(|word| siege.name.contains(word.as_str()))
    };
    pin(std::process::id(), 1);
    println!(
        "| siege | connections | held | UDP sent | lost | dropped | p50 | p99 | p99 reflected | p99 in peace | p99 gathering | honest | memory | descriptors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let held: Vec<bool> =
        sieges().iter().filter(|siege| wanted(siege)).map(|siege| lay(siege, rounds)).collect();
    if held.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Binds all threads of a process, and those to come, to a processor; where there is one only, to that.
fn pin(process: u32, processor: usize) {
    let there = thread::available_parallelism().map_or(1, usize::from);
    let (process, processor) = (process.to_string(), (processor % there).to_string());
    // A thread that ends while they are told is none to be told.
    let is_told = || {
        let done = Command::new("taskset").args(["-a", "-p", "-c", &processor, &process]).output().unwrap();
        done.status.success()
    };
    assert!((0..PIN_TRIES).any(|_| is_told()), "taskset is of util-linux");
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
        beyond("tls-half-beyond-the-limits"),
        flood("https-resets"),
        flood("https-settings"),
        flood("https-pings"),
        flood("https-empty"),
        flood("https-headers"),
        flood("quic-streams"),
    ]
}

/// Lays it so often, and tells; whether all held that should, whatever the machine is.
fn lay(siege: &Siege, rounds: u32) -> bool {
    let rounds: Vec<Round> = (0..rounds).map(|_| round(siege)).collect();
    tell(siege, &rounds)
}

fn round(siege: &Siege) -> Round {
    let server = Server::start_with(siege.limits, "", None);
    pin(server.pid(), 0);
    let reflector = Reflector::start();
    let before = Holding::of(&server);
    let transport = siege.name.split('-').next().unwrap();
    let attacked = match transport {
        "tcp" => server.plain,
        "tls" => server.tls,
        "https" => server.https,
        _ => server.quic,
    };
    let certificate = server.path("certificate.der");
    std::fs::write(&certificate, &*server.certificate).unwrap();

    let (mut peak, done) = (before, AtomicBool::new(false));
    let dropped = Dropped::so_far();
    thread::scope(|scope| {
        let (plain, tls, quic) = (server.plain, server.tls, server.quic);
        let der = server.certificate.clone();
        let done = &done;
        let load = scope.spawn(move || load::run(plain, || done.load(Ordering::Relaxed)));
        let at_reflector = reflector.address;
        let reflected = scope.spawn(move || load::run(at_reflector, || done.load(Ordering::Relaxed)));
        sleep(SETTLE);
        let begin = now();
        sleep(PEACE);
        let came = now();
        let taken_before = accepted(&server, transport);
        // Whatever fails from here on, those who attack and those who ask are told to end.
        let mut attackers = Attackers { process: launch(siege, attacked, &certificate), done };
        let gathered = gather(&server, siege, before, &mut peak);
        // The honest client comes when the crowd is there.
        let asks = scope.spawn(move || match transport {
            "tcp" => honest::by_tcp(plain),
            "quic" => honest::by_quic(quic, &der),
            _ => honest::by_tls(tls, &der),
        });
        let end = gathered + WATCH;
        while now() < end || !asks.is_finished() {
            sleep(LOOK_EVERY);
            peak = peak.most(Holding::of(&server));
        }
        let honest = asks.join().unwrap();
        let left = now();
        let own = if transport == "https" { 0 } else { u64::from(honest.1) };
        let taken = (accepted(&server, transport) - taken_before).saturating_sub(own);
        attackers.leave();
        let after = recovered(&server, before);
        sleep(SETTLE);
        let alone = now();
        sleep(PEACE);
        let end = now();
        done.store(true, Ordering::Relaxed);
        let (heard, reflected) = (load.join().unwrap(), reflected.join().unwrap());
        Round {
            sent: heard.sent,
            lost: heard.lost(),
            dropped: Dropped::so_far().since(dropped),
            peace: heard.between(begin, came).and(heard.between(alone, end)),
            gathering: heard.between(came, gathered),
            siege: heard.between(gathered, left),
            reflected: reflected.between(gathered, left),
            lost_by_reflector: reflected.lost(),
            honest,
            taken,
            holding: [before, peak, after],
        }
    })
}

/// A process that goes, and with it all that waits for it, when nobody looks after it any more.
struct Attackers<'a> {
    process: Child,
    done: &'a AtomicBool,
}

impl Attackers<'_> {
    fn leave(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Attackers<'_> {
    fn drop(&mut self) {
        self.leave();
        self.done.store(true, Ordering::Relaxed);
    }
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
    let begin = now();
    let patience = if siege.gathers { GATHER_MAX } else { WATCH / 2 };
    loop {
        let (now, held) = (now(), Holding::of(server));
        *peak = peak.most(held);
        let all = held.descriptors >= before.descriptors + siege.connections * 98 / 100;
        if all || now.since(begin) >= patience {
            return now;
        }
        sleep(LOOK_EVERY);
    }
}

fn recovered(server: &Server, before: Holding) -> Holding {
    let begin = now();
    loop {
        let after = Holding::of(server);
        if after.descriptors <= before.descriptors || now().since(begin) > RECOVER_MAX {
            return after;
        }
        sleep(Duration::from_millis(100));
    }
}

/// Whether all held that should, whatever the machine is.
fn tell(siege: &Siege, rounds: &[Round]) -> bool {
    let sum = |of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let delays = |of: fn(&Round) -> &Delays| rounds.iter().map(of).cloned().reduce(Delays::and).unwrap();
    let (sent, lost) = (sum(|round| round.sent), sum(|round| round.lost));
    let dropped = [sum(|round| round.dropped.at_sockets), sum(|round| round.dropped.at_processors)];
    let (served, asked) = (sum(|round| round.honest.0.into()), sum(|round| round.honest.1.into()));
    let [peace, gathering, at_siege, reflected] = [
        delays(|round| &round.peace),
        delays(|round| &round.gathering),
        delays(|round| &round.siege),
        delays(|round| &round.reflected),
    ];
    let lost_by_reflector = sum(|round| round.lost_by_reflector);
    let taken = sum(|round| round.taken);
    let holding = |at: usize| rounds.iter().map(|round| round.holding[at]).reduce(Holding::most).unwrap();
    let [before, peak, after] = [holding(0), holding(1), holding(2)];
    let grown =
        rounds.iter().map(|Round { holding: [before, peak, _], .. }| peak.megabytes - before.megabytes);
    let memory = grown.fold(0.0, f64::max);
    println!(
        "| {} | {taken} | {} | {sent} | {lost}, {lost_by_reflector} | {}, {} | {:?} | {:?} | {:?} | {:?} | {:?} | {served}/{asked} | +{memory:.1} MB | {}, {}, {} |",
        siege.name,
        peak.descriptors - before.descriptors,
        dropped[0],
        dropped[1],
        at_siege.p50(),
        at_siege.p99(),
        reflected.p99(),
        peace.p99(),
        gathering.p99(),
        before.descriptors,
        peak.descriptors,
        after.descriptors,
    );
    let is_quick = if siege.floods {
        at_siege.p99() <= Duration::from_millis(5)
    } else {
        at_siege.p99() <= peace.p99() * 2
    };
    let mut all = true;
    for (claim, is_firm, holds) in [
        ("attackers come in", true, taken >= (rounds.len() * FLOOD) as u64),
        ("UDP loses nothing", true, lost == 0),
        ("UDP's p99 at most doubles, or is at most 5 ms beside a flood", false, is_quick),
        ("99 of 100 honest clients are served", true, served * 100 >= asked * 99),
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
