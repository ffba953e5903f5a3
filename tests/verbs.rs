//! The real binary in a fresh folder: what it says, where, and with which exit code it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rhumb::answer::dig;
use rhumb::wire::ask;
use rhumb::wire::code::RecordType;
use serde_json::Value;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:0"]

[regions.eu-west]
[regions.us-east]

[probes.states]
file = "health.state"
interval = "100ms"

[maps.world]
order = ["eu-west", "us-east"]

[maps.world.clients]
"net:198.51.100.0/24" = { regions = ["us-east"] }

[zones."example.com"]
file = "example.com.zone"

[services.www]
names = ["www.example.com"]
probe = "states"
map = "world"
fail-back = "manual"

[services.www.regions]
eu-west = ["192.0.2.10"]
us-east = ["192.0.2.20"]
"#;

const ZONE: &str = "\
@ 1h SOA ns1 hostmaster 7 2h 15m 2w 1m
@ 1h NS ns1
ns1 1h A 192.0.2.53
";

/// A fresh folder with a configuration that works, in which the binary runs.
struct Place(TempDir);

/// What a run said, and how it ended.
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("rhumb.toml", CONFIGURATION);
        place.write("example.com.zone", ZONE);
        place.write("health.state", "* up\n");
        place
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(file), text).unwrap();
    }

    /// A working configuration with `old` replaced by `new`.
    fn written(old: &str, new: &str) -> Self {
        assert!(CONFIGURATION.contains(old));
        let place = Self::new();
        place.write("rhumb.toml", CONFIGURATION.replace(old, new));
        place
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.current_dir(self.0.path()).args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Run {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// The one line of JSON that a run prints.
    fn json(&self, line: &str) -> (i32, Value) {
        let run = self.run(&format!("{line} --json"));
        assert_eq!(run.err, "", "programs are told everything in one place");
        assert_eq!(run.out.lines().count(), 1);
        (run.code, serde_json::from_str(&run.out).unwrap())
    }

    /// A server that answers the verbs already.
    fn serve(&self) -> Serving {
        let log = fs::File::create(self.path("log")).unwrap();
        let serving = Serving(self.command("serve").stderr(log).spawn().unwrap());
        self.wait_for("status", |run| run.code == 0);
        serving
    }

    /// Repeats a run until it ends as it must.
    fn wait_for(&self, line: &str, holds: impl Fn(&Run) -> bool) -> Run {
        for _ in 0..300 {
            let run = self.run(line);
            if holds(&run) {
                return run;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("rhumb {line}: not within 30 s; the log:\n{}", fs::read_to_string(self.path("log")).unwrap());
    }
}

/// A server that is killed with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

#[test]
fn a_good_configuration_is_counted() {
    let place = Place::new();
    let run = place.run("check");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(
        run.out,
        "rhumb.toml: 1 zone, 1 steered name of 1 service with 2 endpoints, 2 client classes, 0 networks in \
         databases\n"
    );
    let (code, told) = place.json("check");
    assert_eq!((code, &told["done"], &told["counts"]["endpoints"]), (0, &true.into(), &2.into()));
    assert_eq!(place.run(&format!("check -c {}", place.path("rhumb.toml").display())).code, 0);
}

#[test]
fn every_fault_of_a_configuration_is_listed_with_its_place() {
    let place = Place::written("interval = \"100ms\"", "interval = 5\nfal = 3");
    let run = place.run("check");
    assert_eq!((run.code, run.out.as_str()), (78, ""));
    assert!(run.err.contains("error: a duration is wanted here, not an integer\n --> rhumb.toml:10:12"));
    assert!(run.err.contains("error: unknown key \"fal\"\n --> rhumb.toml:11:1"));
    assert!(run.err.ends_with("2 errors\n"));
    let (code, told) = place.json("check");
    assert_eq!((code, told["faults"].as_array().unwrap().len()), (78, 2));
    assert_eq!(
        (&told["faults"][1]["line"], &told["faults"][1]["help"]),
        (&11.into(), &"write \"fall\"".into())
    );
}

#[test]
fn faults_of_the_files_that_a_configuration_names_are_its_own() {
    let place = Place::new();
    place.write("example.com.zone", format!("{ZONE}bad A 192.0.2.300\nworse 1h MX mail\n"));
    let run = place.run("check");
    assert_eq!(run.code, 78);
    assert!(run.err.contains(" --> example.com.zone:4:") && run.err.contains(" --> example.com.zone:5:"));
    fs::remove_file(place.path("example.com.zone")).unwrap();
    assert!(place.run("check").err.contains("the zone file cannot be read"));
    fs::remove_file(place.path("rhumb.toml")).unwrap();
    let run = place.run("check");
    assert_eq!(run.code, 78);
    assert!(run.err.contains("the file cannot be opened") && run.err.contains("rhumb.toml"));
}

#[test]
fn a_user_that_is_not_there_is_a_fault_of_the_configuration() {
    let place = Place::new();
    let hardening = |line: &str| format!("{CONFIGURATION}\n[hardening]\n{line}\n");
    for (line, told) in [
        ("user = \"no-such-user\"", "there is no user \"no-such-user\""),
        ("group = \"no-such-group\"", "there is no group \"no-such-group\""),
    ] {
        place.write("rhumb.toml", hardening(line));
        for verb in ["check", "serve"] {
            let run = place.run(verb);
            assert_eq!(run.code, 78, "{verb}: {}", run.err);
            assert!(run.err.contains(told), "{verb}: {}", run.err);
        }
    }
    place.write("rhumb.toml", hardening("user = \"65534\""));
    assert_eq!(place.run("check").code, 0, "a number needs no entry");
}

#[test]
fn a_warning_passes_unless_it_may_not() {
    let place = Place::written("fail-back = \"manual\"", "fail-back = \"manual\"\nhold = \"5s\"");
    let run = place.run("check");
    assert_eq!(run.code, 0);
    assert!(run.err.starts_with("warning: a hold means nothing") && run.out.contains("1 zone"));
    let run = place.run("check --strict");
    assert_eq!((run.code, run.out.as_str()), (78, ""));
    assert!(run.err.ends_with("1 warning\n"));
}

#[test]
fn one_zone_file_is_checked_alone() {
    let place = Place::new();
    let run = place.run("check --zone example.com example.com.zone");
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "example.com.zone: zone example.com. with serial 7: 3 records at 2 names\n")
    );
    place.write("none.zone", "www 1h A 192.0.2.1\nwww 1h CNAME x\n");
    let run = place.run("check --zone example.com none.zone");
    assert_eq!((run.code, run.out.as_str()), (78, ""));
    assert!(run.err.contains("SOA") && run.err.contains("CNAME"), "{}", run.err);
    assert_eq!(place.run("check --zone example..com example.com.zone").code, 2);
    assert_eq!(place.run("check --zone example.com").code, 2);
    assert_eq!(place.run("check --zone example.com nothing.zone").code, 78);
}

#[test]
fn one_database_is_checked_alone() {
    let place = Place::new();
    let (code, told) =
        place.json(&format!("check --geoip {}", fixture("tests/fixtures/geo/nested-city.mmdb")));
    assert_eq!(code, 0);
    assert_eq!(
        (&told["counts"]["type"], &told["counts"]["built"]),
        (&"Test-City".into(), &"2026-01-01".into())
    );
    let run = place.run(&format!("check --geoip {}", fixture("tests/fixtures/geo/asn.mmdb")));
    assert_eq!(run.code, 0);
    assert!(run.out.ends_with("Test-ASN, built 2026-01-01: 2 networks of IPv4 and IPv6, which tell asn\n"));
}

#[test]
fn broken_databases_are_refused() {
    let place = Place::new();
    let whole = fs::read(fixture("tests/fixtures/geo/nested-city.mmdb")).unwrap();
    place.write("empty.mmdb", "");
    place.write("text.mmdb", "country,IE\n");
    place.write("page.mmdb", "<html>404</html>");
    place.write("short.mmdb", &whole[..whole.len() / 2]);
    place.write("tail.mmdb", &whole[whole.len() / 2..]);
    fs::copy(fixture("tests/fixtures/geo/hollow.mmdb"), place.path("hollow.mmdb")).unwrap();
    for file in ["empty", "text", "page", "short", "tail", "hollow", "missing", "."] {
        let run = place.run(&format!("check --geoip {file}.mmdb"));
        assert_eq!((run.code, run.out.as_str()), (78, ""), "{file}");
        assert!(run.err.starts_with("error: ") && run.err.contains(&format!("{file}.mmdb")), "{}", run.err);
    }
}

#[test]
fn an_answer_is_explained_by_the_files_alone() {
    let place = Place::new();
    let run = place.run("explain www.example.com a --client 198.51.100.7 --down us-east --offline");
    assert_eq!(run.err, "note: the files alone were asked; every endpoint is taken for up\n");
    let expected = "\
www.example.com. A for 198.51.100.7
  name      a name of service www
  client    no database knows it
  map       world: rule net:198.51.100.0/24, as listed
  class     us-east > eu-west (the same within /24)
  lot       273 of 1,024
  - us-east       down
      192.0.2.20 down
  + eu-west       serves
      192.0.2.10 up
  outcome   moved from the first choice

;; status: NOERROR, flags: qr aa
; CLIENT-SUBNET: 198.51.100.7/32/24
; EDE: 0: www: us-east withdrawn, eu-west is the second choice
;; ANSWER SECTION:
www.example.com. 10 IN A 192.0.2.10
";
    assert_eq!((run.code, run.out.as_str()), (0, expected));
    let (code, told) = place.json("explain www.example.com A --client 198.51.100.7");
    assert_eq!((code, &told["source"]), (0, &"files".into()), "no server runs");
    assert_eq!(told["explanation"]["reply"]["answer"][0], "www.example.com. 30 IN A 192.0.2.20");
}

#[test]
fn words_that_are_not_understood_are_answered_with_those_that_are() {
    let place = Place::new();
    for (line, help) in [
        ("", "Usage: rhumb"),
        ("bogus", "unrecognized subcommand"),
        ("check --bogus", "--bogus"),
        ("explain www.example.com", "TYPE"),
        ("explain www.example.com A", "--client"),
        ("explain www.example.com BOGUS --client 192.0.2.1", "AAAA"),
        ("explain www..example.com A --client 192.0.2.1", "a label is empty"),
        ("explain www.example.com A --client here", "--client"),
        ("explain www.example.com A --client 192.0.2.1 --down us-west", "known here: eu-west, us-east"),
        ("explain www.example.org A --client 192.0.2.1", "its zones are example.com."),
        ("demo --port 65536", "--port"),
    ] {
        let run = place.run(line);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{line}");
        assert!(run.err.contains(help), "{line}: {}", run.err);
    }
    assert_eq!(place.run("help").code, 0);
    assert_eq!(place.run("--version").out, format!("rhumb {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_server_verbs_say_so() {
    let place = Place::new();
    for line in ["status", "reload", "fail-back www"] {
        let run = place.run(line);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{line}");
        assert!(
            run.err.starts_with("error: no server runs here: nobody listens at state/rhumb.sock\nhelp: ")
        );
        let (code, told) = place.json(line);
        assert_eq!(
            (code, &told["done"], &told["faults"][0]["rendered"]),
            (1, &false.into(), &run.err.trim_end().into())
        );
    }
    let run = place.run("explain www.example.com A --client 192.0.2.1 --socket elsewhere.sock");
    assert_eq!(run.code, 1, "whoever names a server wants that one's word");
    fs::remove_file(place.path("rhumb.toml")).unwrap();
    assert_eq!(place.run("status").code, 78);
    assert_eq!(place.run("serve").code, 78);
}

#[test]
fn a_server_is_asked_reloaded_and_told_to_fail_back() {
    let place = Place::new();
    let serving = place.serve();
    place.wait_for("status", |run| run.out.contains("  eu-west  192.0.2.10  up"));
    assert!(place.run("explain www.example.com A --client 192.0.2.1").out.contains(" 30 IN A 192.0.2.10\n"));

    place.write("health.state", "eu-west/* down\nus-east/* up\n");
    place.wait_for("status", |run| run.out.contains("192.0.2.10  down"));
    let (code, told) = place.json("explain www.example.com A --client 192.0.2.1");
    assert_eq!((code, &told["source"]), (0, &"server".into()));
    assert_eq!(told["explanation"]["reply"]["answer"][0], "www.example.com. 10 IN A 192.0.2.20");

    assert_eq!(place.run("fail-back bogus").code, 2);
    assert_eq!(place.run("fail-back www bogus").code, 2);
    place.write("health.state", "* up\n");
    place.wait_for("fail-back www eu-west", |run| run.code == 0);

    place.write("rhumb.toml", CONFIGURATION.replace("interval = \"100ms\"", "interval = 5"));
    let run = place.run("reload");
    assert_eq!((run.code, run.out.as_str()), (78, ""));
    assert!(run.err.contains("error: a duration is wanted here, not an integer\n --> "), "{}", run.err);
    assert_eq!(place.run("status").code, 0, "the old state runs on, and a faulty file does not hide it");
    place.write("rhumb.toml", CONFIGURATION);
    let run = place.run("reload");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(run.out.starts_with("reloaded: generation "));
    drop(serving);
    assert_eq!(place.run("status").code, 1, "the socket of a dead server is no server");
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let place = Place::new();
    let mut child = place.command("check").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The code of a reply by UDP, and its answers.
fn asked(place: &Place, name: &str, rtype: RecordType) -> (String, Vec<String>) {
    // The verbs are answered before queries are.
    place.wait_for("status --json", |run| run.out.contains("\"127.0.0.1:"));
    let (_, status) = place.json("status");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let question = ask::question(1, &name.parse().unwrap(), rtype, None);
    socket.send_to(&question, status["listen"][0].as_str().unwrap()).unwrap();
    let mut reply = [0; 1232];
    let length = socket.recv(&mut reply).unwrap();
    let shown = dig::show(&reply[..length]).unwrap();
    (shown.status, shown.answer)
}

/// A reply by TCP to a question that asks how long the connection may be idle.
fn asked_for_idle_time(place: &Place) -> String {
    place.wait_for("status --json", |run| run.out.contains("\"127.0.0.1:"));
    let (_, status) = place.json("status");
    let mut question = ask::question(1, &"example.com".parse().unwrap(), RecordType::SOA, None);
    question.truncate(question.len() - 2);
    question.extend([0, 4, 0, 11, 0, 0]);
    let mut stream = TcpStream::connect(status["listen"][0].as_str().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let framed = [&(question.len() as u16).to_be_bytes()[..], &question].concat();
    stream.write_all(&framed).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).unwrap();
    dig::show(&reply).unwrap().to_string()
}

/// Connections keep the limits of the start, so that is what clients are told (RFC 7828 section 3.3.2).
#[test]
fn an_idle_time_that_takes_a_restart_is_not_told_after_a_reload() {
    let with = |time: &str| {
        CONFIGURATION.replace(
            "[regions.eu-west]",
            &format!("[server.tcp]\nidle-timeout = {time:?}\n[regions.eu-west]"),
        )
    };
    let place = Place::new();
    place.write("rhumb.toml", with("7s"));
    let _serving = place.serve();
    assert!(asked_for_idle_time(&place).contains("TCP-KEEPALIVE: 7.0 s"));
    place.write("rhumb.toml", with("9s"));
    assert_eq!(place.run("reload").code, 0);
    let told = asked_for_idle_time(&place);
    assert!(told.contains("TCP-KEEPALIVE: 7.0 s"), "{told}");
}

#[test]
fn a_challenge_is_answered_until_it_ends_or_is_cleared() {
    let place = Place::new();
    let _serving = place.serve();
    let name = "_acme-challenge.www.example.com";
    assert_eq!(asked(&place, name, RecordType::TXT).0, "NXDOMAIN");

    assert_eq!(place.run("challenge set www.example.com one-1_=").code, 0);
    let second = place.run("challenge set *.www.example.com two --for 2s");
    assert_eq!(
        (second.code, second.out.as_str()),
        (0, "2 values are set at _acme-challenge.www.example.com.\n")
    );
    let both = ["one-1_=", "two"].map(|value| format!("{name}. 1 IN TXT \"{value}\""));
    assert_eq!(asked(&place, name, RecordType::TXT), ("NOERROR".to_owned(), both.to_vec()));
    assert_eq!(asked(&place, name, RecordType::A), ("NOERROR".to_owned(), Vec::new()), "the name exists");
    assert_eq!(place.run("reload").code, 0);
    assert_eq!(asked(&place, name, RecordType::TXT).1.len(), 2, "a reload keeps them");
    assert!(place.run("status").out.contains("one-1_="));

    place.wait_for("challenge list", |run| !run.out.contains("two"));
    assert_eq!(asked(&place, name, RecordType::TXT).1.len(), 1, "one has ended");
    assert_eq!(place.run("challenge clear www.example.com").code, 0);
    assert_eq!(asked(&place, name, RecordType::TXT).0, "NXDOMAIN");
}

#[test]
fn a_challenge_that_could_not_be_answered_is_refused_with_the_reason() {
    let place = Place::new();
    let _serving = place.serve();
    for (line, reason) in [
        ("challenge set www.example.org token", "in no zone"),
        ("challenge set www.example.com to\"ken", "letters"),
        ("challenge set www.example.com token --for 25h", "24 hours"),
    ] {
        let run = place.run(line);
        assert_eq!(run.code, 1, "{line}");
        assert!(run.err.contains(reason), "{line}: {}", run.err);
    }
    assert_eq!(place.run("challenge set www.example.com token --for ten").code, 2);
}

/// A place whose zone is signed here, by keys that `dnssec make` made.
fn signed_place(make: &str) -> Place {
    let place = Place::new();
    place.write("rhumb.toml", format!("{CONFIGURATION}\n[zones.\"example.com\".dnssec]\nkeys = \"keys\"\n"));
    let run = place.run(&format!("dnssec make example.com {make}"));
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    place
}

/// The files of the keys with these flags, without their endings.
fn keys_with(place: &Place, flags: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(place.path("keys")).unwrap().map(|entry| entry.unwrap().path());
    let public = files.filter(|file| file.extension().is_some_and(|extension| extension == "key"));
    let flagged = |file: &PathBuf| fs::read_to_string(file).unwrap().contains(&format!(" DNSKEY {flags} 3 "));
    public.filter(flagged).map(|file| file.with_extension("")).collect()
}

fn tag_of(file: &Path) -> u16 {
    file.display().to_string().rsplit('+').next().unwrap().parse().unwrap()
}

#[test]
fn a_zone_is_not_signed_by_what_its_parent_does_not_name() {
    let place = signed_place("--split");
    assert_eq!(place.run("check").code, 0);
    let entry = format!("{}.", keys_with(&place, "257").remove(0).display());
    fs::rename(format!("{entry}private"), place.path("elsewhere")).unwrap();
    let run = place.run("check");
    assert_ne!(run.code, 0);
    let said = run.out + &run.err;
    let name = Path::new(&format!("{entry}key")).file_name().unwrap().to_str().unwrap().to_owned();
    assert!(said.contains(&format!("{name}: its private half is not beside it")), "{said}");
    assert!(!said.contains("dnssec make"), "a new key would make the zone bogus: {said}");
    fs::remove_file(format!("{entry}key")).unwrap();
    let run = place.run("check");
    assert_ne!(run.code, 0);
    let said = run.out + &run.err;
    assert!(said.contains("no key that the parent may name signs the keys of example.com"), "{said}");
}

#[test]
fn a_roll_that_waits_for_the_parent_is_not_begun_again() {
    let place = signed_place("");
    let old = tag_of(&keys_with(&place, "257")[0]);
    assert_eq!(place.run("dnssec roll example.com").code, 0);
    let waiting = keys_with(&place, "257").iter().map(|file| tag_of(file)).find(|tag| *tag != old).unwrap();
    let run = place.run("dnssec roll example.com");
    assert_ne!(run.code, 0);
    assert!(run.err.contains(&format!("waits for the parent already: {waiting};")), "{}", run.err);
    assert!(run.err.contains("--ds-seen"), "{}", run.err);
    assert_eq!(keys_with(&place, "257").len(), 2, "no key was made");
    let run = place.run("dnssec roll example.com --ds-seen");
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with(&format!("{waiting} signs from")), "{}", run.out);
}

#[test]
fn among_several_that_wait_for_the_parent_one_is_named() {
    let place = signed_place("");
    let old = tag_of(&keys_with(&place, "257")[0]);
    assert_eq!(place.run("dnssec roll example.com").code, 0);
    // As another maker of keys might leave it.
    let first = keys_with(&place, "257").into_iter().find(|file| tag_of(file) != old).unwrap();
    let aside = |ending: &str| place.path(&format!("aside{ending}"));
    for ending in [".key", ".private"] {
        fs::rename(format!("{}{ending}", first.display()), aside(ending)).unwrap();
    }
    assert_eq!(place.run("dnssec roll example.com").code, 0);
    for ending in [".key", ".private"] {
        fs::rename(aside(ending), format!("{}{ending}", first.display())).unwrap();
    }
    let run = place.run("dnssec roll example.com --ds-seen");
    assert!(run.code != 0 && run.err.contains("several keys wait for the parent"), "{}", run.err);
    let named = tag_of(&first);
    let run = place.run(&format!("dnssec roll example.com --ds-seen --key {named}"));
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with(&format!("{named} signs from")), "{}", run.out);
}

/// When the key retires, and when it goes, in seconds since 1970.
fn end_of(place: &Place, tag: u16) -> [u32; 2] {
    let file = keys_with(place, "256").into_iter().find(|file| tag_of(file) == tag).unwrap();
    let text = fs::read_to_string(format!("{}.private", file.display())).unwrap();
    ["Inactive: ", "Delete: "].map(|date| {
        let written = text.lines().find_map(|line| line.strip_prefix(date)).unwrap();
        rhumb::zone::rdata::parse_time(written.as_bytes()).unwrap()
    })
}

#[test]
fn signatures_over_steered_names_count_while_a_key_retires_and_in_what_is_warned_of() {
    let place = signed_place("--split");
    let configuration = fs::read_to_string(place.path("rhumb.toml")).unwrap();
    let steady = "[services.www.ttl]\nsteady = \"20h\"\n[services.www.regions]";
    let slow = configuration.replace("[services.www.regions]", steady);
    place.write("rhumb.toml", &slow);
    let tag = tag_of(&keys_with(&place, "256")[0]);
    let run = place.run(&format!("dnssec roll example.com --key {tag}"));
    assert_eq!(run.code, 0, "{}", run.err);
    let [inactive, delete] = end_of(&place, tag);
    assert_eq!(delete - inactive, 21 * 3600, "an answer may be held for 20 hours, the zone's own for one");
    let warns = |configuration: &str, ttl: &str| {
        place.write("rhumb.toml", configuration);
        let run = place.run("check");
        let said = run.out + &run.err;
        assert_eq!(run.code, 0, "{said}");
        said.contains(&format!("a TTL of example.com. is {ttl} seconds"))
    };
    let short = "keys = \"keys\"\nrenew-before = \"19h\"\nvalidity = \"14d\"\ndnskey-ttl = \"1h\"";
    assert!(warns(&slow.replace("keys = \"keys\"", short), "72000"));
    let long = "keys = \"keys\"\nrenew-before = \"19h\"\nvalidity = \"14d\"\ndnskey-ttl = \"19h\"";
    assert!(warns(&configuration.replace("keys = \"keys\"", long), "68400"));
    assert!(!warns(&configuration.replace("keys = \"keys\"", short), "3600"));
}
