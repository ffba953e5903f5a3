//! A signed server under the eyes of real validators, delv and unbound, while regions fail and come back: whatever
//! they are answered, at any moment, is secure. Only with `RHUMB_TEST_PEERS=1`, and then they must be there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rhumb::clock;
use tempfile::TempDir;

const ZONE: &str = r#"
@ 3600 SOA ns1 host 1 7200 900 1209600 60
@ 3600 NS ns1
@ 3600 MX 10 mail
ns1 3600 A 192.0.2.53
mail 60 A 192.0.2.25
plain 60 A 192.0.2.1
alias 60 CNAME plain
deep.ent 60 TXT "below"
*.wild 60 A 192.0.2.4
sub.wild 60 TXT "blocks"
dn 60 DNAME wild
secure 60 NS ns.secure
secure 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001
ns.secure 60 A 192.0.2.8
insecure 60 NS ns.insecure
ns.insecure 60 A 192.0.2.9
www 60 A 192.0.2.10
"#;

const SERVICES: &str = r#"
[regions.eu]
[regions.us]
[regions.ap]
[probes.file]
file = "health.state"
interval = "100ms"
fall = 1
rise = 1
[maps.world]
order = ["eu", "us", "ap"]
[maps.europe]
order = ["us"]
clients = { "default" = { regions = ["us"], fence = "hard" } }
[services.www]
names = ["www.example.com", "example.com"]
probe = "file"
map = "world"
https = ["1 . alpn=h2"]
svcb = ["1 . alpn=h3"]
hold = "100ms"
ramp = "300ms"
[services.www.regions]
eu = ["192.0.2.11", "2001:db8:1::1"]
us = ["192.0.2.21", "2001:db8:2::1"]
ap = ["192.0.2.31", "2001:db8:3::1"]
[services.app]
names = ["*.app.example.com"]
probe = "file"
map = "europe"
families = "independent"
[services.app.regions]
eu = ["192.0.2.41", "2001:db8:1::4"]
us = ["192.0.2.42"]
[services.shared]
names = ["shared.example.com"]
probe = "file"
map = "world"
answers = 1
hold = "100ms"
ramp = "300ms"
[services.shared.regions]
eu = ["192.0.2.51", "192.0.2.52"]
us = ["192.0.2.53"]
"#;

/// What is there, and what is not, of every kind.
const QUESTIONS: &[&str] = &[
    "www.example.com A",
    "www.example.com AAAA",
    "www.example.com HTTPS",
    "www.example.com SVCB",
    "www.example.com TXT",
    "example.com A",
    "example.com AAAA",
    "example.com MX",
    "example.com TXT",
    "example.com SOA",
    "example.com DNSKEY",
    "example.com CDS",
    "example.com CDNSKEY",
    "a.app.example.com A",
    "a.app.example.com AAAA",
    "b.c.app.example.com TXT",
    "app.example.com A",
    "shared.example.com A",
    "shared.example.com AAAA",
    "plain.example.com A",
    "plain.example.com AAAA",
    "alias.example.com A",
    "alias.example.com AAAA",
    "x.wild.example.com A",
    "x.wild.example.com AAAA",
    "y.x.wild.example.com A",
    "sub.wild.example.com A",
    "x.sub.wild.example.com A",
    "ent.example.com A",
    "x.ent.example.com A",
    "q.dn.example.com A",
    "dn.example.com A",
    "secure.example.com DS",
    "insecure.example.com DS",
    "nothing.example.com A",
    "a.b.nothing.example.com AAAA",
    "zzz.example.com MX",
    "www.example.com ANY",
    "plain.example.com ANY",
];
/// Those whose answers follow the verdicts, asked while these change.
const STEERED: &[&str] = &[
    "www.example.com A",
    "www.example.com AAAA",
    "www.example.com HTTPS",
    "www.example.com SVCB",
    "example.com A",
    "a.app.example.com A",
    "a.app.example.com AAAA",
    "shared.example.com A",
];
/// What of the world is down, one after another, and whose addresses www then has: each loss, two, all, none.
const DOWN: &[(&[&str], &str)] = &[
    (&[], "eu"),
    (&["eu"], "us"),
    (&["eu", "us"], "ap"),
    (&["eu", "us", "ap"], "eu"),
    (&["us"], "eu"),
    (&["ap"], "eu"),
    (&[], "eu"),
];
/// The address of www in each region, and its hints.
const WWW: &[(&str, [&str; 2])] = &[
    ("eu", ["192.0.2.11", "ipv4hint=192.0.2.11 ipv6hint=2001:db8:1::1"]),
    ("us", ["192.0.2.21", "ipv4hint=192.0.2.21 ipv6hint=2001:db8:2::1"]),
    ("ap", ["192.0.2.31", "ipv4hint=192.0.2.31 ipv6hint=2001:db8:3::1"]),
];

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    folder: TempDir,
    port: u16,
    unbound_port: u16,
    _processes: Vec<Process>,
}

impl World {
    fn new(denial: &str, split: bool, algorithm: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, metrics, unbound_port] = [free_port(), free_port(), free_port()];
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("example.com.zone", ZONE);
        write("health.state", "* up\n");
        write(
            "rhumb.toml",
            &format!(
                "[server]\nlisten = [\"127.0.0.1:{port}\"]\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\
                 [zones.\"example.com\"]\nfile = \"example.com.zone\"\n\
                 [zones.\"example.com\".dnssec]\nkeys = \"keys\"\ndenial = \"{denial}\"\n{SERVICES}"
            ),
        );
        let mut make = vec!["dnssec", "make", "example.com", "--algorithm", algorithm];
        make.extend(split.then_some("--split"));
        rhumb(folder.path(), &make);
        rhumb(folder.path(), &["check"]);
        let served =
            Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("serve").current_dir(folder.path()).spawn();
        let mut world = Self { folder, port, unbound_port, _processes: vec![Process(served.unwrap())] };
        world.await_answers();
        world.start_unbound();
        world
    }

    fn await_answers(&self) {
        let until = clock::now() + Duration::from_secs(60);
        while !dig(self.port, "plain.example.com A").contains("NOERROR") {
            assert!(clock::now() < until, "the server answers");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The secure entry points as delv takes trust anchors, and as unbound does.
    fn anchors(&self) -> (String, String) {
        let ds = rhumb(self.folder.path(), &["dnssec", "ds", "example.com"]);
        let keys: Vec<&str> = ds.lines().filter(|line| line.contains("DNSKEY")).collect();
        let anchor = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!(
                "\"example.com.\" static-key {} {} {} \"{}\";",
                words[4],
                words[5],
                words[6],
                words[7..].concat()
            )
        };
        let for_delv = keys.iter().map(anchor).collect::<String>();
        (format!("trust-anchors {{ {for_delv} }};\n"), keys.join("\n"))
    }

    fn start_unbound(&mut self) {
        let place = self.folder.path().to_str().unwrap();
        let (delv, unbound) = self.anchors();
        fs::write(self.folder.path().join("delv.conf"), delv).unwrap();
        fs::write(self.folder.path().join("anchor.key"), unbound + "\n").unwrap();
        let configuration = format!(
            "server:\n interface: 127.0.0.1\n port: {}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n \
             directory: \"{place}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"{place}/unbound.log\"\n verbosity: 1\n \
             val-log-level: 2\n do-not-query-localhost: no\n trust-anchor-file: \"{place}/anchor.key\"\n \
             cache-max-ttl: 0\n cache-max-negative-ttl: 0\n do-ip6: no\n num-threads: 1\n \
             module-config: \"validator iterator\"\n\
             remote-control:\n control-enable: no\n\
             stub-zone:\n name: \"example.com\"\n stub-addr: 127.0.0.1@{}\n",
            self.unbound_port, self.port
        );
        let file = self.folder.path().join("unbound.conf");
        fs::write(&file, configuration).unwrap();
        let program =
            ["/usr/sbin/unbound", "/usr/local/sbin/unbound"].into_iter().find(|it| Path::new(it).exists());
        let program =
            program.expect("RHUMB_TEST_PEERS is set, so unbound must be there: apt-get install unbound");
        let mut command = Command::new(program);
        command.args(["-d", "-c"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        self._processes.push(Process(command.spawn().unwrap()));
        let until = clock::now() + Duration::from_secs(30);
        while !dig(self.unbound_port, "plain.example.com A").contains("NOERROR") {
            assert!(clock::now() < until, "unbound answers: {}", self.unbound_log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn unbound_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("unbound.log")).unwrap_or_default()
    }

    /// Lets these regions be down and all others up.
    fn lose(&self, regions: &[&str]) {
        let mut text = "* up\n".to_owned();
        for region in regions {
            text += &format!("{region}/* down\n");
        }
        fs::write(self.folder.path().join("health.new"), text).unwrap();
        fs::rename(self.folder.path().join("health.new"), self.folder.path().join("health.state")).unwrap();
    }

    /// delv validates the answer, and says so.
    fn delv(&self, question: &str, state: &str) {
        let port = self.port.to_string();
        let anchors = self.folder.path().join("delv.conf");
        let mut command = Command::new("delv");
        command.args(["@127.0.0.1", "-p", &port, "+root=example.com", "-a"]).arg(&anchors);
        let out = command.args(question.split(' ')).output();
        let out =
            out.expect("RHUMB_TEST_PEERS is set, so delv must be there: apt-get install bind9-dnsutils");
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(said.contains("fully validated"), "{state}: delv {question}\n{said}");
        assert!(!said.contains("unsigned"), "{state}: delv {question}\n{said}");
    }

    /// The regions whose addresses www has, and has as hints, as unbound hands them on, validated.
    fn regions_of_www(&self, state: &str) -> [Option<&'static str>; 3] {
        [("A", 0), ("HTTPS", 1), ("SVCB", 1)].map(|(rtype, at)| {
            let said = self.unbound(&format!("www.example.com {rtype}"), state);
            let found = WWW.iter().find(|(_, shown)| said.contains(shown[at]));
            found.map(|(region, _)| *region)
        })
    }

    /// unbound validates the answer, and says so; gives what it said.
    fn unbound(&self, question: &str, state: &str) -> String {
        let said = dig(self.unbound_port, question);
        let flags =
            said.lines().find(|line| line.contains("flags:") && line.contains("QUERY")).unwrap_or_default();
        let is_secure = flags.split_once("flags:").is_some_and(|(_, rest)| {
            rest.split(';').next().unwrap_or_default().split_whitespace().any(|flag| flag == "ad")
        });
        assert!(is_secure, "{state}: unbound on {question}\n{said}\n{}", self.unbound_log());
        said
    }
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn rhumb(folder: &Path, arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{arguments:?}\n{said}{}", String::from_utf8_lossy(&out.stderr));
    said
}

fn dig(port: u16, question: &str) -> String {
    let port = port.to_string();
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", &port, "+dnssec", "+time=2", "+tries=2"]).args(question.split(' '));
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Every question in every state, and the steered ones all the while that states change.
fn validates_in_every_state(denial: &str, split: bool, algorithm: &str) {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let world = World::new(denial, split, algorithm);
    for (down, home) in DOWN {
        let state = format!("{denial}, down: {down:?}");
        world.lose(down);
        let until = clock::now() + Duration::from_millis(1500);
        while clock::now() < until {
            for question in STEERED {
                world.delv(question, &format!("{state}, under way"));
                world.unbound(question, &format!("{state}, under way"));
            }
        }
        // Withdrawals and returns take their time; what they come to is what is asked.
        let until = clock::now() + Duration::from_secs(30);
        let settled = [Some(*home); 3];
        while world.regions_of_www(&state) != settled && clock::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(world.regions_of_www(&state), settled, "{state}");
        for question in QUESTIONS {
            world.delv(question, &state);
            // unbound answers ANY from what it has cached, and DS from above.
            if !question.ends_with(" DS") && !question.ends_with(" ANY") {
                world.unbound(question, &state);
            }
        }
    }
}

/// Challenges of a certificate authority, and what stands beside them.
fn validates_beside_challenges(denial: &str) {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let world = World::new(denial, false, "ecdsap256sha256");
    let beside = ["example.com", "www.example.com", "x.ent.example.com", "wild.example.com"];
    for name in ["example.com", "www.example.com", "ent.example.com", "plain.example.com"] {
        rhumb(world.folder.path(), &["challenge", "set", name, "value-of-an-authority"]);
        let challenged = format!("_acme-challenge.{name}");
        assert!(dig(world.port, &format!("{challenged} TXT")).contains("value-of-an-authority"));
        for question in [
            format!("{challenged} TXT"),
            format!("{challenged} A"),
            format!("x.{challenged} TXT"),
            format!("_acme.{name} A"),
        ] {
            world.delv(&question, denial);
            world.unbound(&question, denial);
        }
        for name in beside {
            world.delv(&format!("{name} CAA"), denial);
            world.unbound(&format!("{name} CAA"), denial);
        }
    }
    rhumb(world.folder.path(), &["challenge", "clear", "www.example.com"]);
    assert!(dig(world.port, "_acme-challenge.www.example.com TXT").contains("NXDOMAIN"));
    world.delv("_acme-challenge.www.example.com TXT", denial);
    world.unbound("_acme-challenge.www.example.com TXT", denial);
    let out = Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .args(["challenge", "set", "host.app.example.com", "value"])
        .current_dir(world.folder.path())
        .output();
    assert!(!out.unwrap().status.success(), "host.app would lose what the wildcard gives it");
}

#[test]
fn delv_and_unbound_validate_challenges_with_nsec() {
    validates_beside_challenges("nsec");
}

#[test]
fn delv_and_unbound_validate_challenges_with_nsec3() {
    validates_beside_challenges("nsec3");
}

#[test]
fn delv_and_unbound_validate_every_answer_in_every_state_with_nsec() {
    validates_in_every_state("nsec", false, "ecdsap256sha256");
}

#[test]
fn delv_and_unbound_validate_every_answer_in_every_state_with_nsec3_and_two_keys() {
    validates_in_every_state("nsec3", true, "ed25519");
}
