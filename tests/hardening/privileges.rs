//! What a server gives up. What takes root runs where RHUMB_TEST_PEERS=1 asks for it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rhumb::config::Hardening;
use rhumb::process::{self, Enforced, Needs};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit, set_dumpable_behavior};

use crate::place::{Place, Server, proc_status, zone};

/// The user and group that every system has for nobody.
const NOBODY: u32 = 65_534;

/// `key` of every thread of the server.
fn of_threads(server: &Server, key: &str) -> Vec<String> {
    let process = server.process.id();
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.map(|thread| proc_status(process, Some(&thread.unwrap().path()), key)).collect()
}

fn holds_in_all(server: &Server, key: &str, value: &str) {
    let found = of_threads(server, key);
    assert!(found.len() > 3 && found.iter().all(|found| found == value), "{key}: {found:?}");
}

fn asked_for_root() -> bool {
    std::env::var("RHUMB_TEST_PEERS").as_deref() == Ok("1")
}

fn give_to_nobody(folder: &Path) {
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            give_to_nobody(&path);
        } else {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

#[test]
fn every_thread_gives_up_what_it_does_not_need() {
    let place = Place::new();
    let server = place.serve();
    holds_in_all(&server, "NoNewPrivs", "1");
    let log = place.read("log");
    let filtered = !log.contains("key=\"hardening.system-call-filter\"");
    holds_in_all(&server, "Seccomp", if filtered { "2" } else { "0" });
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    holds_in_all(&server, "CapInh", "0000000000000000");
    holds_in_all(&server, "CapAmb", "0000000000000000");
    let effective = of_threads(&server, "CapEff");
    // What root keeps: to read and write files as people expect, and raw sockets for ICMP.
    assert!(
        effective.iter().all(|set| u64::from_str_radix(set, 16).unwrap() & !0x2006 == 0),
        "{effective:?}"
    );
}

#[test]
fn each_means_has_its_switch() {
    let place = Place::with("[hardening]\nlandlock = false\nsystem-call-filter = false\n");
    let server = place.serve();
    holds_in_all(&server, "Seccomp", "0");
    assert!(place.read("log").contains("landlock=off system_call_filter=off"), "{}", place.read("log"));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("zone"), zone(3)).unwrap();
    let text = place
        .read("rhumb.toml")
        .replace("zones/example.com.zone", elsewhere.path().join("zone").to_str().unwrap());
    place.write("rhumb.toml", &text);
    assert_eq!(place.run("reload").0, 0);
    assert_eq!(server.serial(), Some(3));
}

#[test]
fn files_outside_of_what_the_configuration_named_are_out_of_reach_and_a_reload_says_so() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("zone"), zone(3)).unwrap();
    let place = Place::new();
    let server = place.serve();
    let before = place.read("rhumb.toml");
    let outside = elsewhere.path().join("zone");
    place.write("rhumb.toml", &before.replace("zones/example.com.zone", outside.to_str().unwrap()));
    let (code, said) = place.run("reload");
    if place.read("log").contains("key=\"hardening.landlock\"") {
        assert_eq!(code, 0, "a kernel without Landlock: {said}");
        return;
    }
    assert_eq!(code, 78);
    assert!(said.contains("since its start the server can read below"), "{said}");
    assert_eq!(server.serial(), Some(1), "the old state runs on");
    // A folder that was there at the start may be exchanged for another as a whole.
    place.write("rhumb.toml", &before);
    fs::rename(place.path("zones"), place.path("zones.old")).unwrap();
    place.write("zones/example.com.zone", &zone(4));
    let (code, said) = place.run("reload");
    assert_eq!((code, server.serial()), (0, Some(4)), "{said}");
}

/// The same for what the configuration names in passing: what the system says of a file out of reach is no help.
#[test]
fn every_kind_of_file_out_of_reach_is_told_as_such() {
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |file: &str| elsewhere.path().join(file).to_str().unwrap().to_owned();
    fs::create_dir(at("keys")).unwrap();
    let secret = |file: &str, text: &str| {
        fs::write(at(file), text).unwrap();
        fs::set_permissions(at(file), fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("cookie.secrets", "00112233445566778899aabbccddeeff\n");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/geoip/country.mmdb"), at("country.mmdb")).unwrap();
    let place = Place::new();
    let make = format!("dnssec make example.com --keys {}", at("keys"));
    assert_eq!(place.run(&make).0, 0);
    let _server = place.serve();
    if place.read("log").contains("key=\"hardening.landlock\"") {
        return;
    }
    let before = place.read("rhumb.toml");
    for (more, file) in [
        (format!("[zones.\"example.com\".dnssec]\nkeys = {:?}\n", at("keys")), "keys"),
        (format!("[server.cookies]\nsecrets = {:?}\n", at("cookie.secrets")), "cookie.secrets"),
        (format!("[server.cookies]\nsecrets = {:?}\n", at("missing.secrets")), "missing.secrets"),
        (format!("[geoip]\ncountry = {:?}\n", at("country.mmdb")), "country.mmdb"),
        (format!("[zones.\"example.org\"]\nfile = {:?}\n", at("missing.zone")), "missing.zone"),
    ] {
        place.write("rhumb.toml", &format!("{before}{more}"));
        let (code, said) = place.run("reload");
        assert_eq!(code, 78, "{file}: {said}");
        assert!(said.contains(&at(file)), "{said}");
        assert!(said.contains("help: since its start the server can read below"), "{file}: {said}");
    }
    // A fault of a file that was read is another matter.
    place.write("zones/broken.zone", "www A bogus\n");
    place.write("rhumb.toml", &format!("{before}[zones.\"example.org\"]\nfile = \"zones/broken.zone\"\n"));
    let (code, said) = place.run("reload");
    assert!(code == 78 && !said.contains("since its start"), "{said}");
}

#[test]
fn keys_of_zones_are_read_anew_by_a_server_that_is_shut_in() {
    let keys = tempfile::tempdir().unwrap();
    let folder = keys.path().to_str().unwrap();
    let place = Place::with(&format!("[zones.\"example.com\".dnssec]\nkeys = {folder:?}\n"));
    let make = format!("dnssec make example.com --keys {folder}");
    assert_eq!(place.run(&make).0, 0);
    let _server = place.serve();
    // A successor of the key, which was not there at the start.
    let (code, said) = place.run("dnssec roll example.com");
    assert_eq!(code, 0, "{said}");
    let (code, said) = place.run("reload");
    assert_eq!(code, 0, "{said}");
    for entry in fs::read_dir(keys.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let (code, said) = place.run("reload");
    assert_eq!(code, 78);
    assert_eq!(said.matches("others than its owner may open this secret").count(), 2, "{said}");
}

#[test]
fn root_becomes_the_user_that_is_named_and_all_goes_on() {
    if !asked_for_root() {
        return;
    }
    let place = Place::with("[hardening]\nuser = \"nobody\"\ngroup = \"65534\"\n");
    // A port that takes a privilege.
    let text = place.read("rhumb.toml").replacen("127.0.0.1:0", "127.77.53.1:953", 1);
    place.write("rhumb.toml", &text);
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    give_to_nobody(&place.path("."));
    let mut server = place.serve();
    for (key, value) in [
        ("Uid", "65534 65534 65534 65534"),
        ("Gid", "65534 65534 65534 65534"),
        ("Groups", ""),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        holds_in_all(&server, key, value);
    }
    let socket = fs::metadata(place.path("state/rhumb.sock")).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (NOBODY, 0o600));
    place.write("zones/example.com.zone", &zone(2));
    assert_eq!(place.run("reload").0, 0);
    assert_eq!(server.serial(), Some(2));
    // A new version, started as root again, takes the port over from who could not open it any more.
    let successor = place.spawn("serve --take-over");
    assert_eq!(server.ended().code(), Some(0));
    server = place.wait_for_server(successor);
    holds_in_all(&server, "Uid", "65534 65534 65534 65534");
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    assert_eq!(fs::metadata(place.path("state/verdicts.json")).unwrap().uid(), NOBODY);
    assert!(!place.path("state/rhumb.sock").exists());
}

#[test]
fn root_is_told_at_the_start_what_the_user_could_not_read_or_write_later() {
    if !asked_for_root() {
        return;
    }
    let place = Place::with("[hardening]\nuser = \"nobody\"\n");
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path("state")).unwrap();
    let (code, said) = place.run("serve");
    assert_eq!(code, 1);
    assert!(
        said.contains("user nobody could not go on: ") && said.contains("state cannot be written to"),
        "{said}"
    );
    give_to_nobody(&place.path("."));
    chown(place.path("zones/example.com.zone"), Some(0), Some(0)).unwrap();
    fs::set_permissions(place.path("zones/example.com.zone"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = place.run("serve");
    assert_eq!(code, 1);
    assert!(said.contains("zones/example.com.zone cannot be read"), "{said}");
}

#[test]
fn a_user_that_is_not_there_is_a_fault() {
    let place = Place::with("[hardening]\nuser = \"nobody-of-that-name\"\n");
    let (code, said) = place.run("serve");
    assert_eq!(code, 78);
    assert!(said.contains("there is no user \"nobody-of-that-name\""), "{said}");
}

/// Tells a copy of this program what to switch on.
const COPY: &str = "RHUMB_TEST_HARDENED";

#[test]
fn what_is_denied_fails_and_what_is_needed_works() {
    if let Ok(told) = std::env::var(COPY) {
        let (what, folder) = told.split_once(':').unwrap();
        return try_it(what, Path::new(folder));
    }
    for what in ["landlock", "filter", "both"] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["what_is_denied_fails_and_what_is_needed_works", "--nocapture"])
            .env(COPY, format!("{what}:{}", folder.path().display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn try_it(what: &str, place: &Path) {
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    let (read, written) = (place.join("read"), place.join("written"));
    fs::create_dir(&read).unwrap();
    fs::write(read.join("file"), "here").unwrap();
    fs::write(place.join("outside"), "secret").unwrap();
    let hardening = Hardening {
        user: None,
        group: None,
        landlock: what != "filter",
        system_call_filter: what != "landlock",
    };
    let needs = Needs { files: vec![read.join("file")], folders: Vec::new(), written: vec![written.clone()] };
    set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    let hardened = process::harden(&hardening, &needs).unwrap();
    assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable), "its memory is nobody else's");
    assert_eq!(getrlimit(Resource::Core).maximum, Some(0), "and is not written to disk");
    let shut_in = matches!(hardened.landlock, Enforced::Holds(_));
    let filtered = matches!(hardened.filter, Enforced::Holds(_));

    let refused = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let program = refused(Command::new("/bin/true").status().map(drop));
    let expected = if filtered { Some(EPERM) } else { shut_in.then_some(EACCES) };
    assert_eq!(program, expected, "no other program");
    let own = nix::unistd::getuid();
    let user = refused(nix::unistd::setuid(own).map_err(Into::into));
    assert_eq!(user, filtered.then_some(EPERM), "no other user, be it the same");
    let device = mknodat(CWD, written.join("pipe"), FileType::Fifo, Mode::RUSR, 0);
    assert_eq!(refused(device.map_err(Into::into)), expected, "no special files");
    let outside = refused(fs::read(place.join("outside")).map(drop));
    assert_eq!(outside, shut_in.then_some(EACCES), "nothing outside is read");
    let changed = refused(fs::write(read.join("file"), "new"));
    assert_eq!(changed, shut_in.then_some(EACCES), "what is read is not written");
    fs::read(read.join("file")).unwrap();
    fs::write(written.join("new"), "state").unwrap();
    fs::rename(written.join("new"), written.join("state")).unwrap();
    std::os::unix::net::UnixListener::bind(written.join("socket")).unwrap();
    fs::remove_file(written.join("socket")).unwrap();
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    std::thread::spawn(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).join().unwrap();
}
