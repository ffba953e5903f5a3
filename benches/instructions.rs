//! How many instructions a query takes, counted by callgrind: a figure that does not depend on what else the
//! machine does. Compares with `benches/instructions.txt` and fails when a case takes over three in a hundred more.
//!
//!     cargo bench --bench instructions               compare
//!     cargo bench --bench instructions -- --update   keep the figures of this run
//!
//! The figures change with the compiler and the processor's features, so compare only what one machine counted.
#![allow(clippy::print_stdout, reason = "it speaks to people")]

mod world;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Action, Envelope, Transport, UDP_OCTETS_MAX, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::time::WallTime;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const CASES: [&str; 5] = ["plain", "missing", "steered", "outside", "malformed"];
/// How much more than kept is no failure.
const TOLERANCE: f64 = 1.03;
/// How many queries are counted.
const COUNTED: usize = 10_000;
/// Names in the zone: few, since callgrind is slow and the count does not depend on it.
const NAMES: usize = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().position(|argument| argument == "--case") {
        Some(at) => {
            run(&arguments[at + 1]);
            ExitCode::SUCCESS
        }
        None => compare(arguments.iter().any(|argument| argument == "--update")),
    }
}

fn compare(update: bool) -> ExitCode {
    let kept = kept();
    let (mut worse, mut lines) = (false, String::new());
    for case in CASES {
        let Some(count) = count(case) else {
            println!("valgrind is needed for this; nothing was counted");
            return ExitCode::SUCCESS;
        };
        let before = kept.get(case).copied();
        let ratio = before.map_or(1.0, |before| count / before);
        worse |= ratio > TOLERANCE;
        println!("{case:10} {count:8.1} instructions per query, {ratio:.3} of what is kept");
        lines.push_str(&format!("{case} {count:.1}\n"));
    }
    if update {
        fs::write(KEPT, lines).expect("the figures can be written");
        return ExitCode::SUCCESS;
    }
    if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn kept() -> BTreeMap<String, f64> {
    let text = fs::read_to_string(KEPT).unwrap_or_default();
    let figure = |line: &str| line.split_once(' ').map(|(case, count)| (case.to_owned(), count.parse().ok()));
    text.lines().filter_map(figure).filter_map(|(case, count)| Some((case, count?))).collect()
}

/// Instructions per query of a case, or nothing without valgrind.
fn count(case: &str) -> Option<f64> {
    let out = env::temp_dir().join(format!("rhumb-instructions-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*ask_all*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().ok()?)
        .args(["--case", case])
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let total = total(&out);
    let _ = fs::remove_file(&out);
    total.map(|total| total as f64 / COUNTED as f64)
}

fn total(profile: &Path) -> Option<u64> {
    let text = fs::read_to_string(profile).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn run(case: &str) {
    let networks = world::networks(5_000);
    let plan = world::plan(vec![world::zone(NAMES)], &networks, 1);
    let mut packets = match case {
        "plain" => world::plain_queries(NAMES),
        "missing" => world::missing_queries(NAMES),
        "steered" => world::steered_queries(&networks),
        "outside" => world::outside_queries(),
        _ => world::malformed_queries(),
    };
    packets.truncate(COUNTED);
    let sent = ask_all(&world::table(&plan), &packets);
    assert!(black_box(sent) > 0, "they are answered");
}

/// What is counted, by this name.
#[inline(never)]
fn ask_all(table: &AnswerTable, packets: &[Vec<u8>]) -> usize {
    let counters = Counters::new(table.answer_counters());
    let mut reply = [0; UDP_OCTETS_MAX];
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    let envelope = Envelope { source, transport: Transport::Udp, at: WallTime::default(), is_last: false };
    let mut sent = 0;
    for packet in packets {
        if let Action::Send(length) = respond(table, packet, envelope, black_box(&mut reply), &counters) {
            sent += length;
        }
    }
    sent
}
