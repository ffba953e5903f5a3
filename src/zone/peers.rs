//! Every type in use, read by us and by the tools of BIND and NLnet Labs. Asked for with `RHUMB_TEST_PEERS=1`;
//! a tool that is then missing is a failure. What peers show differently from `dig` is made equal first.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::tests::lines;
use super::*;

const EVERY_TYPE: &[u8] = include_bytes!("testdata/every-type.zone");

fn origin() -> Name {
    "example.com".parse().unwrap()
}

fn zone(octets: &[u8]) -> Zone {
    let read = read(&origin(), Path::new("every-type.zone"), octets, &mut |_| unreachable!());
    let fail =
        |faults: Vec<Fault>| panic!("{}", faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"));
    read.unwrap_or_else(fail).0
}

/// What a tool makes of a zone on its standard input.
fn output(tool: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{tool} is asked for: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn asked_for() -> bool {
    std::env::var("RHUMB_TEST_PEERS").is_ok_and(|value| value == "1")
}

#[test]
fn what_we_show_reads_as_the_same_zone() {
    let first = zone(EVERY_TYPE);
    let text = lines(&first).join("\n");
    assert_eq!(lines(&zone(text.as_bytes())), lines(&first));
    assert!(first.record_count() > 100);
}

/// `named-checkzone` reads the file as written, and what we show of it, and we read what it shows.
#[test]
fn bind_reads_the_same_records() {
    if !asked_for() {
        return;
    }
    let arguments = ["-i", "none", "-k", "ignore", "-D", "-q", "example.com", "/dev/stdin"];
    let ours = lines(&zone(EVERY_TYPE));
    let from_file = shown_by_bind(&output("named-checkzone", &arguments, EVERY_TYPE));
    let from_ours = shown_by_bind(&output("named-checkzone", &arguments, ours.join("\n").as_bytes()));
    assert_eq!((from_file.len(), from_ours.len()), (ours.len(), ours.len()));
    for ((line, theirs), theirs_of_ours) in sorted(ours).into_iter().zip(from_file).zip(from_ours) {
        assert_eq!((&line, &line), (&theirs, &theirs_of_ours));
    }
}

/// What BIND 9.18 shows, sorted, in our order of columns and with the names that are newer than it.
fn shown_by_bind(text: &str) -> Vec<String> {
    let text = text.replace("TALINK\ta. .", "TYPE58 \\# 4 01610000").replace("key7=", "dohpath=");
    let record = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [owner, ttl, "IN", rtype] = columns[..4] else { panic!("{line}") };
        let data = line.split_once(&format!(" IN {rtype}")).unwrap().1.trim_start();
        format!("{} {ttl} {rtype} {data}", owner.to_ascii_lowercase())
    };
    sorted(text.lines().filter(|line| !line.starts_with(';')).map(record).collect())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// `ldns-read-zone` reads what we show, but for the types that it does not know.
#[test]
fn ldns_reads_the_same_records() {
    if !asked_for() {
        return;
    }
    let unknown = [" AMTRELAY ", " RESINFO ", " WALLET ", " AVC ", " TYPE58 ", " WKS ", "\\# 0"];
    let ours: Vec<String> = lines(&zone(EVERY_TYPE))
        .into_iter()
        .filter(|line| !unknown.iter().any(|rtype| line.contains(rtype)))
        .collect();
    let theirs = output("ldns-read-zone", &["/dev/stdin"], ours.join("\n").as_bytes());
    let (ours, theirs) = (lines(&zone(ours.join("\n").as_bytes())), lines(&zone(theirs.as_bytes())));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        assert_eq!(ours, theirs);
    }
}
