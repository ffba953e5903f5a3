//! kill -9 while zones are reloaded and verdicts change: what is answered afterwards is never torn and never older
//! than what was answered before, and what is on disk is whole.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{AMPLE, Place, Server, zone};

/// Kills in the suite; the benchmark `reliability` does a thousand.
const KILLS: u32 = 20;

/// Every so many lives one is longer, until verdicts have changed in it.
const LONG_EVERY: u32 = 4;

/// What outlived a life, and what was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// The zone's serial, as last answered.
    serial: u32,
    /// From the start of each life to its first answer.
    pub(crate) first_answers: Vec<Duration>,
    /// Verdicts that the file had changed.
    pub(crate) verdicts_changed: u32,
    last_verdicts: Value,
}

#[test]
fn a_kill_at_any_moment_leaves_whole_and_newest_state() {
    let place = place();
    let mut lives = Lives::default();
    for life in 0..KILLS {
        live_and_die(&place, &mut lives, life);
    }
    assert_eq!(lives.first_answers.len(), KILLS as usize);
    assert!(lives.verdicts_changed > 0, "verdicts changed on disk");
}

/// Where verdicts change often.
pub(crate) fn place() -> Place {
    let place = Place::new();
    let text = place.read("rhumb.toml").replacen(
        "interval = \"100ms\"",
        "interval = \"100ms\"\nfall = 1\nrise = 1",
        1,
    );
    place.write("rhumb.toml", &text);
    place
}

/// One life: it answers, reloads and changes verdicts all the time, and is killed in the midst of it.
pub(crate) fn live_and_die(place: &Place, lives: &mut Lives, life: u32) {
    place.write("log", "");
    let begin = Instant::now();
    let process = place.spawn("serve");
    let address = place.eventually("an address", || listening(place));
    let mut server = Server { process, address };
    place.eventually("an answer", || server.serial());
    lives.first_answers.push(begin.elapsed());
    check(&server, lives, place);

    // Each life another moment.
    let moment = Duration::from_micros(u64::from(life).wrapping_mul(7_919) % 120_000);
    let mut end = Instant::now() + moment;
    let mut is_long = life.is_multiple_of(LONG_EVERY);
    while is_long || Instant::now() < end {
        assert!(begin.elapsed() < AMPLE, "verdicts do not change:\n{}", place.read("log"));
        if is_long && verdicts_on_disk(place).is_some_and(|found| lives.are_other_verdicts(&found)) {
            (is_long, end) = (false, Instant::now() + moment);
        }
        let serial = lives.serial + 1;
        place.write("zones/example.com.zone", &zone(serial));
        place.write(
            "health/state",
            // For long enough to be believed.
            if (serial / 8).is_multiple_of(2) { "* up\n" } else { "eu-west/* down\nus-east/* up\n" },
        );
        server.signal("HUP");
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < if is_long { until } else { until.min(end) } {
            if let Some(found) = server.serial() {
                assert!(
                    found >= lives.serial,
                    "the serial fell from {} to {found} in one life",
                    lives.serial
                );
                lives.serial = found;
            }
        }
    }
    let _ = server.process.kill();
    let _ = server.process.wait();
    check_verdicts(place, lives);
}

/// What a new life answers is no older than what the one before answered.
fn check(server: &Server, lives: &mut Lives, place: &Place) {
    let serial = place.eventually("another answer", || server.serial());
    assert!(
        serial >= lives.serial,
        "the serial fell from {} to {serial}\n{}",
        lives.serial,
        place.read("log")
    );
    lives.serial = serial;
    let log = place.read("log");
    assert!(!log.contains("cannot be read and are forgotten"), "{log}");
}

/// The file of verdicts is whole, after the kill and whatever was being written.
fn check_verdicts(place: &Place, lives: &mut Lives) {
    let Some(found) = verdicts_on_disk(place) else { return };
    let written = |file: &Value| file["written"].as_u64();
    assert!(written(&found) >= written(&lives.last_verdicts), "older verdicts came back");
    lives.verdicts_changed += u32::from(lives.are_other_verdicts(&found));
    lives.last_verdicts = found;
}

fn verdicts_on_disk(place: &Place) -> Option<Value> {
    let text = fs::read_to_string(place.path("state/verdicts.json")).ok()?;
    Some(serde_json::from_str(&text).expect("the file of verdicts is whole"))
}

impl Lives {
    /// Whether they differ from those at the end of the life before.
    fn are_other_verdicts(&self, found: &Value) -> bool {
        found["verdicts"] != self.last_verdicts["verdicts"]
    }
}

/// The address that the log tells.
fn listening(place: &Place) -> Option<std::net::SocketAddr> {
    let log = place.read("log");
    let at = log.split("listen=[").nth(1)?;
    at.split([',', ']']).next()?.parse().ok()
}
