//! The main path as people check it: the real binary, asked by the real `dig`. Needs the program `dig`, so it runs
//! where RHUMB_TEST_PEERS is set; there a missing `dig` fails the test.
#![allow(clippy::unwrap_used, reason = "a test that cannot set the scene fails")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:PORT", "[::1]:PORT"]

[geoip]
country = "DATABASE"

[regions.eu-west]
continent = "EU"
location = [53.35, -6.26]

[regions.us-east]
continent = "NA"
location = [39.04, -77.49]

[probes.states]
file = "states"
interval = "200ms"
timeout = "100ms"

[zones."example.com"]
file = "example.com.zone"

[maps.world]
order = "nearest"

[services.www]
names = ["www.example.com"]
probe = "states"
map = "world"
hold = "200ms"
ramp = "300ms"

[services.www.regions]
eu-west = ["192.0.2.10", "2001:db8:1::10"]
us-east = ["198.51.100.10", "2001:db8:2::10"]
"#;

const ZONE: &str = "\
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 60
@ NS ns1
ns1 A 192.0.2.53
alias CNAME static
static A 192.0.2.99
sub NS ns.sub
ns.sub A 192.0.2.54
big TXT LONG
";

/// A server in a folder of its own, ended when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
        let configuration =
            CONFIGURATION.replace("PORT", &port.to_string()).replace("DATABASE", database.to_str().unwrap());
        fs::write(folder.path().join("rhumb.toml"), configuration).unwrap();
        let long = vec![format!("\"{}\"", "x".repeat(250)); 8].join(" ");
        fs::write(folder.path().join("example.com.zone"), ZONE.replace("LONG", &long)).unwrap();
        fs::write(folder.path().join("states"), "*/*/* up\n").unwrap();
        let checked =
            Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("check").current_dir(folder.path()).status();
        assert!(checked.unwrap().success(), "the configuration of this test is right");
        let child = Command::new(env!("CARGO_BIN_EXE_rhumb"))
            .args(["serve", "-c", "rhumb.toml"])
            .current_dir(folder.path())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { child, folder, port };
        server.wait_for("the first answer", || !server.short("@127.0.0.1", "www.example.com A").is_empty());
        server
    }

    /// What `dig` prints.
    fn dig(&self, at: &str, words: &str) -> String {
        let output = Command::new("dig")
            .args([at, "-p", &self.port.to_string(), "+tries=1", "+time=2"])
            .args(words.split_whitespace())
            .output()
            .expect("RHUMB_TEST_PEERS is set, so `dig` must be installed");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The data of the answer section, one record a line.
    fn short(&self, at: &str, words: &str) -> String {
        let all = self.dig(at, &format!("+short {words}"));
        all.lines().filter(|line| !line.starts_with(';')).collect::<Vec<_>>().join("\n")
    }

    fn verb(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_rhumb"))
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn wait_for(&self, what: &str, come: impl Fn() -> bool) {
        // An unoptimised build takes several seconds to read the whole country database.
        for _ in 0..1_200 {
            if come() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("{what} did not come within a minute; the server says:\n{log}");
    }

    fn states(&self, text: &str) {
        fs::write(self.folder.path().join("states"), text).unwrap();
    }
}

/// A port that is free for UDP and TCP alike.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const IRELAND: &str = "+subnet=87.32.0.0/24";
const AMERICA: &str = "+subnet=8.8.8.0/24";

#[test]
fn dig_sees_what_the_readme_promises() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let server = Server::start();
    steering_and_transports(&server);
    zone_data(&server);
    failover(&server);
    reload(&server);
}

fn steering_and_transports(server: &Server) {
    for at in ["@127.0.0.1", "@::1"] {
        for transport in ["+notcp", "+tcp"] {
            let ask = |words: &str| server.short(at, &format!("{transport} www.example.com {words}"));
            assert_eq!(ask(&format!("A {IRELAND}")), "192.0.2.10");
            assert_eq!(ask(&format!("A {AMERICA}")), "198.51.100.10");
            assert_eq!(ask(&format!("AAAA {AMERICA}")), "2001:db8:2::10");
        }
    }
    let reply = server.dig("@127.0.0.1", &format!("www.example.com A {IRELAND}"));
    assert!(reply.contains("flags: qr aa rd;"), "{reply}");
    assert!(reply.contains("CLIENT-SUBNET: 87.32.0.0/24/"), "{reply}");
    assert!(!reply.contains("CLIENT-SUBNET: 87.32.0.0/24/0"), "the answer depends on the client: {reply}");
    let reply = server.dig("@127.0.0.1", "+subnet=0 www.example.com A");
    assert!(reply.contains("CLIENT-SUBNET: 0.0.0.0/0/0"), "{reply}");
}

fn zone_data(server: &Server) {
    let reply = |words: &str| server.dig("@127.0.0.1", words);
    assert_eq!(server.short("@127.0.0.1", "alias.example.com A"), "static.example.com.\n192.0.2.99");
    let referral = reply("host.sub.example.com A +norec");
    assert!(referral.contains("flags: qr;") && referral.contains("192.0.2.54"), "{referral}");
    let missing = reply("missing.example.com A");
    assert!(missing.contains("status: NXDOMAIN") && missing.contains("60\tIN\tSOA"), "{missing}");
    assert!(reply("example.org A").contains("status: REFUSED"));
    let truncated = reply("+ignore +bufsize=1232 big.example.com TXT");
    assert!(truncated.contains("flags: qr aa tc rd;"), "{truncated}");
    let whole = reply("big.example.com TXT");
    assert!(whole.contains("Truncated, retrying in TCP mode") && whole.contains("(TCP)"), "{whole}");
}

fn failover(server: &Server) {
    let ireland = || server.dig("@127.0.0.1", &format!("+noall +answer www.example.com A {IRELAND}"));
    assert!(ireland().contains("\t30\tIN\tA\t192.0.2.10"), "{}", ireland());
    server.states("*/*/* up\neu-west/*/* down\n");
    server.wait_for("the withdrawal", || ireland().contains("\t10\tIN\tA\t198.51.100.10"));
    let (code, status) = server.verb(&["status"]);
    assert_eq!(code, Some(0), "{status}");
    assert!(status.contains("down"), "{status}");
    server.states("*/*/* up\n");
    server.wait_for("the recovery", || ireland().contains("\t30\tIN\tA\t192.0.2.10"));
}

fn reload(server: &Server) {
    let zone = server.folder.path().join("example.com.zone");
    let text = fs::read_to_string(&zone).unwrap();
    fs::write(&zone, text.replace("192.0.2.99", "192.0.2.100")).unwrap();
    assert_eq!(server.short("@127.0.0.1", "static.example.com A"), "192.0.2.99");
    let (code, said) = server.verb(&["reload"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(server.short("@127.0.0.1", "static.example.com A"), "192.0.2.100");

    fs::write(&zone, "@ A not-an-address\nbroken\n").unwrap();
    let (code, said) = server.verb(&["reload"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("example.com.zone") && said.contains("not-an-address"), "{said}");
    assert_eq!(server.short("@127.0.0.1", "static.example.com A"), "192.0.2.100", "the old zone stays");
}
