//! The units of systemd hold what the code relies on, and systemd understands them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::place::Place;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/systemd");
/// Where a unit looks for the binary.
const INSTALLED: &str = "/usr/local/bin/rhumb";

struct Unit(String);

impl Unit {
    fn read(name: &str) -> Self {
        Self(fs::read_to_string(Path::new(FOLDER).join(name)).unwrap())
    }

    /// What stands behind the key, in the order of the file.
    fn all(&self, key: &str) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.collect()
    }

    fn one(&self, key: &str) -> &str {
        match self.all(key)[..] {
            [value] => value,
            ref others => panic!("{key} is said {} times", others.len()),
        }
    }

    fn words(&self, key: &str) -> Vec<&str> {
        self.all(key).into_iter().flat_map(str::split_whitespace).collect()
    }
}

/// What holds of whatever speaks the protocol of `sd_notify(3)` as the code does.
fn notifies(unit: &Unit) {
    // It says by itself when it is ready, by its main process alone.
    assert_eq!((unit.one("Type"), unit.one("NotifyAccess")), ("notify", "main"));
    // A panic ends the process; a configuration at fault does not heal.
    assert_eq!(unit.one("Restart"), "on-failure");
    let place = Place::new();
    place.write("rhumb.toml", "[server");
    assert_eq!(unit.one("RestartPreventExitStatus"), place.run("serve").0.to_string());
    for needed in ["AF_INET", "AF_INET6", "AF_UNIX"] {
        assert!(unit.words("RestrictAddressFamilies").contains(&needed), "{needed}");
    }
    // What a process calls to shut itself in, though it belongs to what is denied.
    for needed in
        ["capset", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"]
    {
        assert!(unit.words("SystemCallFilter").contains(&needed), "{needed}");
    }
    assert_eq!(unit.one("SystemCallErrorNumber"), "EPERM", "a call that is denied ends no server");
}

#[test]
fn the_servers_unit_holds_what_the_server_relies_on() {
    let unit = Unit::read("rhumb@.service");
    notifies(&unit);
    let (start, reload) = (unit.one("ExecStart"), unit.one("ExecReload"));
    let configuration = "--config /etc/rhumb/rhumb.toml";
    assert_eq!(start, format!("{INSTALLED} serve --take-over {configuration}"), "an upgrade loses no query");
    assert_eq!(reload, format!("{INSTALLED} reload {configuration}"), "it reaches the server that runs");
    // A watchdog there is, and it is more patient than the largest configurations take to compile.
    assert!(unit.one("WatchdogSec").parse::<u32>().unwrap() >= 30);
    // Ten seconds for connections after a take-over, and what ends take.
    assert!(unit.one("TimeoutStopSec").parse::<u32>().unwrap() >= 15);
    // Port 53, and nothing that the server would keep.
    for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(unit.one(key), "CAP_NET_BIND_SERVICE", "{key}");
    }
    // `process/priority.rs`: workers go so far ahead, connections step back, workers ask for short turns.
    assert_eq!(unit.one("LimitNICE"), "-15");
    assert_eq!(unit.one("LimitRTPRIO"), "1", "they go before all turns");
    assert!(unit.all("RestrictRealtime").is_empty(), "it would keep them from it, whatever the limit");
    for needed in ["setpriority", "sched_setattr"] {
        assert!(unit.words("SystemCallFilter").contains(&needed), "{needed}");
    }
    // Both instances share them, and who leaves must not take them away; the book names the same.
    let book = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md")).unwrap();
    assert!(book.contains(&format!("\"/var/lib/{}\"", unit.one("StateDirectory"))));
    assert!(book.contains(&format!("\"/run/{}/", unit.one("RuntimeDirectory"))));
    assert_eq!(unit.one("RuntimeDirectoryPreserve"), "yes");
    assert_eq!(Unit::read("rhumb.socket").one("Service"), "rhumb@a.service");
}

#[test]
fn the_agents_unit_holds_what_the_agent_relies_on() {
    let unit = Unit::read("rhumb-agent.service");
    notifies(&unit);
    assert!(unit.all("WatchdogSec").is_empty(), "an agent gives no sign of life");
    assert!(unit.words("RestrictAddressFamilies").contains(&"AF_NETLINK"), "names are looked up");
}

#[test]
fn systemd_understands_the_units() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() || Command::new("systemd-analyze").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let units = ["rhumb@.service", "rhumb-agent.service", "rhumb.socket"];
    for name in units {
        // What a unit runs must be there.
        let text = Unit::read(name).0.replace(INSTALLED, env!("CARGO_BIN_EXE_rhumb"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units.map(|name| folder.path().join(name)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It tells of other units of the system too, and ends well where it only ignores what it does not know.
    let of_ours = said.lines().find(|line| line.contains("rhumb"));
    assert_eq!((of_ours, verified.status.code()), (None, Some(0)), "{said}");
}
