//! A server is replaced under load: nothing is lost, whatever happens to the successor.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::place::{Clients, Heard, Place, query, zone};

/// Queries a second during a take-over; the machine does other things beside.
const RATE: u32 = 4_000;

#[test]
fn a_restart_for_an_upgrade_loses_no_query() {
    let place = Place::new();
    let mut server = place.serve();
    let clients = Clients::start(server.address, RATE);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(300));
        let address = server.address;
        let successor = place.spawn("serve --take-over");
        assert_eq!(server.ended().code(), Some(0), "{}", place.read("log"));
        server = place.wait_for_server(successor);
        assert_eq!(server.address, address);
    }
    let Heard { sent, answered } = clients.stop();
    assert!(sent > u64::from(RATE), "{sent} queries");
    assert_eq!(answered, sent, "every query is answered");
}

#[test]
fn a_successor_serves_what_is_on_disk_and_all_verbs_reach_it() {
    let place = Place::new();
    let mut first = place.serve();
    place.write("health/state", "us-east/* up\neu-west/* down\n");
    place.eventually("the withdrawal", || (first.steered() == Some([192, 0, 2, 20])).then_some(()));
    place.write("zones/example.com.zone", &zone(2));
    // Of the other region nobody says anything any more: only what was known stands against it.
    place.write("health/state", "us-east/* up\n");
    let successor = place.spawn("serve --take-over");
    assert_eq!(first.ended().code(), Some(0));
    let second = place.wait_for_server(successor);
    assert_eq!(second.serial(), Some(2), "it has read the files anew");
    assert_eq!(second.steered(), Some([192, 0, 2, 20]), "and knows who was down a moment ago");
    assert_eq!(place.run("reload").0, 0);
    let (code, said) = place.run("serve");
    assert_eq!(code, 1);
    assert!(said.contains("another server keeps its state there"), "{said}");
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let place = Place::new();
    let server = place.serve();
    let clients = Clients::start(server.address, RATE);
    let good = place.read("rhumb.toml");
    // It cannot be read; it cannot have an address; nor become the user, or not read as him what is this one's.
    for (old, new, code) in [
        ("[server]", "[server", 78),
        ("listen = [\"127.0.0.1:0\"]", "listen = [\"127.0.0.1:0\", \"192.0.2.1:53\"]", 1),
        ("[server]", "[hardening]\nuser = \"65534\"\n[server]", 1),
    ] {
        place.write("rhumb.toml", &good.replacen(old, new, 1));
        let (ended, said) = place.run("serve --take-over");
        assert_eq!(ended, code, "{said}");
    }
    place.write("rhumb.toml", &good);
    // It asks and goes away, and asks and says nonsense.
    for word in ["", "{\"verb\":\"taken-over", "nonsense\n"] {
        let mut asking = UnixStream::connect(place.path("state/rhumb.sock")).unwrap();
        asking.write_all(b"{\"verb\":\"take-over\"}\n").unwrap();
        let mut labels = [0; 20];
        asking.read_exact(&mut labels).unwrap();
        asking.write_all(word.as_bytes()).unwrap();
    }
    place.wait_for_log("the successor did not take over; this server goes on");
    place.eventually("its socket", || place.status());
    let Heard { sent, answered } = clients.stop();
    assert_eq!(answered, sent);
    let written = std::fs::metadata(place.path("state/verdicts.json")).unwrap().modified().unwrap();
    place.write("health/state", "us-east/* up\neu-west/* down\n");
    place.eventually("verdicts on disk", || {
        let now = std::fs::metadata(place.path("state/verdicts.json")).unwrap().modified().unwrap();
        (now > written).then_some(())
    });
    drop(server);
}

#[test]
fn connections_that_are_open_are_finished() {
    let place = Place::new();
    let mut first = place.serve();
    let mut connection = TcpStream::connect(first.address).unwrap();
    connection.set_read_timeout(Some(crate::place::AMPLE)).unwrap();
    let successor = place.spawn("serve --take-over");
    place.wait_for_log("a successor answers; finishing the open connections");
    let query = query("www.example.com", 1);
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    connection.write_all(&[&length, &query[..]].concat()).unwrap();
    let mut reply = [0; 14];
    connection.read_exact(&mut reply).unwrap();
    assert_eq!(reply[2..4], query[..2]);
    assert!(first.process.try_wait().unwrap().is_none(), "it stays for the connection");
    drop(connection);
    assert_eq!(first.ended().code(), Some(0));
    drop(place.wait_for_server(successor));
}

#[test]
fn where_nobody_runs_a_successor_starts_as_usual() {
    let place = Place::new();
    let server = place.serve_by("serve --take-over");
    assert_eq!(server.steered(), Some([192, 0, 2, 10]));
}

#[test]
fn two_servers_do_not_share_a_state_folder() {
    let place = Place::new();
    let _server = place.serve();
    let other = place.read("rhumb.toml").replacen("[server]", "[server]\ncontrol-socket = \"other.sock\"", 1);
    place.write("other.toml", &other);
    let (code, said) = place.run("serve -c other.toml");
    assert_eq!(code, 1);
    assert!(said.contains("another server keeps its state there"), "{said}");
}

#[test]
fn a_start_that_still_waits_for_verdicts_answers_verbs_and_ends_when_told() {
    let place = Place::new();
    // Nothing is said of any endpoint, so none is judged.
    std::fs::remove_file(place.path("health/state")).unwrap();
    let mut process = place.spawn("serve");
    let begin = std::time::Instant::now();
    place.eventually("a status", || place.status());
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(0), "{}", place.read("log"));
    assert!(!place.read("log").contains("answering"), "it ended before it answered: {:?}", begin.elapsed());
}
