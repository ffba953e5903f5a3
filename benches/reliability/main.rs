//! The figures of docs/reliability.md that are about processes: `cargo bench --bench reliability -- WHAT`, with
//!
//! - `mutate [1000000]`: so many mutated queries by UDP, and as many by TCP; every reply is judged;
//! - `kill [1000]`: kill -9 during reloads and verdict changes; the state afterwards, and the first answer;
//! - `start [30]`: the first answer after kill -9, with 10,000 steered names and the shipped country database;
//! - `take-over [20] [50000]`: restarts for an upgrade under so many queries a second; what is lost;
//! - `flood [20]`: a flood of random subdomains at 80 % of what the server can do for so many seconds, of an unsigned zone
//!   and of a signed one; what honest clients lose, and what it takes of memory. Tried again, up to five times, where the
//!   machine did not hold still.
//!
//! What does not hold ends it with a message, but for times, which are told. The server runs on the first processor where the load has the second.
#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and sched_setaffinity have no safe form")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "it measures time, and what fails ends it"
)]
#![allow(clippy::print_stdout, reason = "it speaks to people")]
#![allow(dead_code, reason = "what the tests share with it is more than it needs")]

#[path = "../../tests/answers/ask.rs"]
mod ask;
#[path = "../../tests/hardening/crash.rs"]
mod crash;
#[path = "../peers/datagrams.rs"]
mod datagrams;
mod flood;
#[path = "../peers/load.rs"]
mod load;
mod mutate;
#[path = "../../tests/answers/mutation.rs"]
mod mutation;
#[path = "../../tests/answers/oracle.rs"]
mod oracle;
#[path = "../../tests/hardening/place.rs"]
mod place;

use std::fmt::Write;
use std::process::Child;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use load::{Offer, run};
use place::{Place, proc_status, query};

/// How long one who waits for a first answer rests between two questions.
const BETWEEN_ASKS: Duration = Duration::from_micros(500);
/// Services of the start, and names of each.
const SERVICES: usize = 1_000;
const NAMES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |at: usize, usual: u32| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(usual);
    match arguments.first().map(String::as_str) {
        Some("mutate") => mutate::run(number(1, 1_000_000) as usize),
        Some("kill") => kill(number(1, 1_000)),
        Some("start") => start(number(1, 30)),
        Some("take-over") => take_over(number(1, 20), number(2, 50_000)),
        Some("flood") => [false, true].into_iter().for_each(|signed| flood::run(number(1, 20), signed)),
        _ => println!("say what: mutate, kill, start, take-over or flood"),
    }
}

fn kill(count: u32) {
    let place = crash::place();
    let mut lives = crash::Lives::default();
    for life in 0..count {
        crash::live_and_die(&place, &mut lives, life);
    }
    println!(
        "{count} kills: no torn and no older state; {} times other verdicts on disk",
        lives.verdicts_changed
    );
    assert!(lives.verdicts_changed * 10 >= count, "verdicts change in lives");
    tell_delays("first answer of a life", &mut lives.first_answers);
}

fn start(count: u32) {
    let place = large_place();
    let server = place.serve();
    place.eventually("verdicts on disk", || place.path("state/verdicts.json").exists().then_some(()));
    let address = server.address;
    let text = place.read("rhumb.toml").replacen("127.0.0.1:0", &address.to_string(), 1);
    place.write("rhumb.toml", &text);
    drop(server);
    let asked = query("n5.s7.example.com", 1);
    let mut first_answers = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        let mut process = place.spawn("serve");
        while exchange_soon(address, &asked).is_none() {
            // Who asks without a pause has one of the two processors that a start is made with.
            sleep(BETWEEN_ASKS);
            assert!(begin.elapsed() < place::AMPLE, "no answer:\n{}", place.read("log"));
        }
        first_answers.push(begin.elapsed());
        process.kill().unwrap();
        process.wait().unwrap();
    }
    tell_delays("first answer after kill -9", &mut first_answers);
}

fn take_over(count: u32, rate: u32) {
    let place = Place::new();
    let mut server = place.serve();
    let address = server.address;
    // Room for the load to end of itself: it is told a time, not when to stop.
    let time = Duration::from_secs(u64::from(count) + 2);
    let load = thread::spawn(move || {
        datagrams::pin(1);
        run(address, &[query("www.example.com", 1)], Offer::Rate(f64::from(rate)), time)
    });
    let begin = Instant::now();
    for restart in 0..count {
        sleep(
            (begin + Duration::from_secs(u64::from(restart) + 1)).saturating_duration_since(Instant::now()),
        );
        let successor = place.spawn("serve --take-over");
        assert_eq!(server.ended().code(), Some(0), "{}", place.read("log"));
        server = place.wait_for_server(successor);
    }
    let heard = load.join().unwrap();
    let lost = heard.sent - heard.answered;
    println!(
        "{count} restarts at {:.0} queries/s over {:.1} s: {} sent, {lost} lost; p50 {:?}, p99 {:?}",
        heard.sent as f64 / heard.seconds,
        heard.seconds,
        heard.sent,
        heard.p50,
        heard.p99
    );
    assert_eq!(lost, 0, "a restart for an upgrade loses nothing");
}

/// What the process has in memory.
fn resident_kb(process: &Child) -> u64 {
    let told = proc_status(process.id(), None, "VmRSS");
    told.trim_end_matches(" kB").parse().unwrap()
}

/// 10,000 steered names, and the country database.
fn large_place() -> Place {
    let place = Place::new();
    let database = concat!(env!("CARGO_MANIFEST_DIR"), "/geoip/country.mmdb");
    let mut text = place.read("rhumb.toml").split("[maps.world]").next().unwrap().to_owned();
    text = text
        .replace("[regions.eu-west]\n", "[regions.eu-west]\ncontinent = \"EU\"\nlocation = [53.35, -6.26]\n")
        .replace(
            "[regions.us-east]\n",
            "[regions.us-east]\ncontinent = \"NA\"\nlocation = [39.04, -77.49]\n",
        );
    write!(text, "[geoip]\ncountry = \"{database}\"\n[maps.world]\norder = \"nearest\"\n").unwrap();
    text += "[zones.\"example.com\"]\nfile = \"zones/example.com.zone\"\n";
    for service in 0..SERVICES {
        let names: Vec<_> = (0..NAMES).map(|name| format!("\"n{name}.s{service}.example.com\"")).collect();
        write!(
            text,
            "[services.s{service}]\nnames = [{}]\nprobe = \"states\"\nmap = \"world\"\n",
            names.join(", ")
        )
        .unwrap();
        let at = |base: usize| format!("192.{base}.{}.{}", service / 250, service % 250 + 1);
        let (first, second) = (at(0), at(1));
        write!(text, "[services.s{service}.regions]\neu-west = [\"{first}\"]\nus-east = [\"{second}\"]\n")
            .unwrap();
    }
    place.write("rhumb.toml", &text);
    place
}

/// A reply that comes at once, or none.
fn exchange_soon(server: std::net::SocketAddr, query: &[u8]) -> Option<usize> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket.send(query).ok()?;
    socket.recv(&mut [0; 512]).ok()
}

fn tell_delays(what: &str, delays: &mut [Duration]) {
    delays.sort_unstable();
    let at = |part: usize| delays[(delays.len() - 1) * part / 100];
    println!("{what}: p50 {:?}, p90 {:?}, longest {:?} of {}", at(50), at(90), at(100), delays.len());
}
