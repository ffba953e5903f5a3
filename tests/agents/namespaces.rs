//! Three agents, two servers and three backends, each in a network namespace of its own, and links between them that
//! are cut. It takes root and iproute2, so it runs where RHUMB_TEST_PEERS=1 asks for it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::world::{AMPLE, Backend, VANTAGES};

const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-southeast"];
const SERVERS: [&str; 2] = ["ns1", "ns2"];
/// Tells a copy of this program that it is a backend.
const BACKEND: &str = "RHUMB_TEST_BACKEND";
const BACKEND_PORT: u16 = 8080;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Namespaces on one bridge, and what runs in them.
struct Net {
    folder: TempDir,
    /// Begins the name of every namespace.
    prefix: String,
    spaces: Vec<String>,
    processes: Vec<(String, Child)>,
}

/// The address of a node: agents from 1, servers from 11, backends from 21.
fn address(node: &str) -> Ipv4Addr {
    let place = |names: &[&str]| names.iter().position(|name| *name == node).map(|at| at as u8);
    let last = place(&VANTAGES).map(|at| at + 1);
    let last = last.or_else(|| place(&SERVERS).map(|at| at + 11));
    Ipv4Addr::new(10, 77, 0, last.or_else(|| place(&REGIONS).map(|at| at + 21)).unwrap())
}

impl Net {
    fn new() -> Self {
        let prefix = format!("rhumb{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let mut net = Self { folder, prefix, spaces: Vec::new(), processes: Vec::new() };
        let hub = net.space("hub");
        net.ip(&format!("-n {hub} link add bridge type bridge"));
        net.ip(&format!("-n {hub} link set bridge up"));
        for node in VANTAGES.iter().chain(&SERVERS).chain(&REGIONS) {
            let space = net.space(node);
            let port = format!("to-{}", address(node).octets()[3]);
            net.ip(&format!("-n {hub} link add {port} type veth peer name uplink netns {space}"));
            net.ip(&format!("-n {hub} link set {port} master bridge up"));
            net.ip(&format!("-n {space} addr add {}/24 dev uplink", address(node)));
            net.ip(&format!("-n {space} link set uplink up"));
            net.ip(&format!("-n {space} link set lo up"));
        }
        net
    }

    fn space(&mut self, node: &str) -> String {
        let name = self.name(node);
        self.ip(&format!("netns add {name}"));
        self.spaces.push(name.clone());
        name
    }

    fn name(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn ip(&self, arguments: &str) {
        let out = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(out.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// What one node sends to another is lost.
    fn cut(&self, from: &str, to: &str) {
        self.ip(&format!("-n {} route add blackhole {}/32", self.name(from), address(to)));
    }

    fn heal(&self, from: &str, to: &str) {
        self.ip(&format!("-n {} route del blackhole {}/32", self.name(from), address(to)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a program in the namespace of a node.
    fn start(&mut self, node: &str, program: &str, arguments: &[&str], folder: &str, backend: bool) {
        let log = fs::File::create(self.path(&format!("{node}.log"))).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(node), program]).args(arguments);
        if backend {
            command.env(BACKEND, address(node).to_string());
        }
        command.current_dir(self.path(folder)).stdout(Stdio::null()).stderr(log);
        self.processes.push((node.to_owned(), command.spawn().unwrap()));
    }

    fn start_backend(&mut self, region: &str) {
        let own = std::env::current_exe().unwrap();
        let arguments = ["namespaces::serve_as_a_backend", "--exact"];
        self.start(region, own.to_str().unwrap(), &arguments, ".", true);
    }

    fn kill(&mut self, node: &str) {
        let at = self.processes.iter().position(|(name, _)| name == node).unwrap();
        let (_, mut process) = self.processes.remove(at);
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn rhumb(&self, arguments: &[&str], folder: &str) -> Option<Vec<u8>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let out = command.args(arguments).current_dir(self.path(folder)).output().unwrap();
        out.status.success().then_some(out.stdout)
    }

    /// Everything at work: backends, servers, agents.
    fn at_work() -> Self {
        let mut net = Self::new();
        let servers = SERVERS.map(|server| format!("--server={server}={}", address(server)));
        let agents = VANTAGES.map(|vantage| format!("--agent={vantage}"));
        let named = servers.iter().chain(&agents).map(String::as_str);
        let arguments: Vec<&str> = ["cert", "init", "fleet"].into_iter().chain(named).collect();
        net.rhumb(&arguments, ".").unwrap();
        for region in REGIONS {
            net.start_backend(region);
        }
        let rhumb = env!("CARGO_BIN_EXE_rhumb");
        for server in SERVERS {
            fs::create_dir(net.path(server)).unwrap();
            fs::write(net.path(server).join("rhumb.toml"), configuration(server)).unwrap();
            let zone = "$TTL 1h\n@ IN SOA ns1 hostmaster 1 2h 15m 2w 1m\n@ IN NS ns1\nns1 IN A 10.77.0.11\n";
            fs::write(net.path(server).join("example.com.zone"), zone).unwrap();
            net.start(server, rhumb, &["serve"], server, false);
        }
        for vantage in VANTAGES {
            let file = format!("{vantage}.toml");
            fs::write(net.path(&file), agent_configuration(vantage)).unwrap();
            net.start(vantage, rhumb, &["agent", "--config", &file], ".", false);
        }
        net.until("everything is up", |net| SERVERS.iter().all(|server| net.states(server) == ["up"; 3]));
        net
    }

    /// What a server believes of each region's endpoint; nothing while it does not answer.
    fn states(&self, server: &str) -> Vec<String> {
        let Some(out) = self.rhumb(&["status", "--json"], server) else { return Vec::new() };
        let status: Value = serde_json::from_slice(&out).unwrap();
        let endpoints = status["services"][0]["endpoints"].as_array().unwrap();
        endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..AMPLE.as_millis() / LOOK_EVERY.as_millis() {
            if holds(self) {
                return;
            }
            sleep(LOOK_EVERY);
        }
        let states = SERVERS.map(|server| self.states(server));
        panic!("it never came to be that {what}: {states:?}\n{}", self.logs());
    }

    fn logs(&self) -> String {
        let log = |node: &str| fs::read_to_string(self.path(&format!("{node}.log"))).unwrap_or_default();
        VANTAGES.iter().chain(&SERVERS).map(|node| format!("--- {node}\n{}", log(node))).collect()
    }

    /// Nothing was withdrawn on any server so far.
    fn nothing_withdrawn(&self) {
        for server in SERVERS {
            let log = fs::read_to_string(self.path(&format!("{server}.log"))).unwrap();
            assert!(!log.contains("-> down"), "{}", self.logs());
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for (_, process) in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for space in &self.spaces {
            let _ = Command::new("ip").args(["netns", "del", space]).output();
        }
    }
}

fn configuration(server: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:5300\"]\nworkers = 1\n\
         [agents]\nlisten = \"{}:8453\"\ncertificate = \"../fleet/servers/{server}.pem\"\n\
         key = \"../fleet/servers/{server}.key\"\nauthorities = [\"../fleet/authority.pem\"]\n\
         [probes.web]\nhttp = {{ port = {BACKEND_PORT} }}\ninterval = \"500ms\"\n\
         [zones.\"example.com\"]\nfile = \"example.com.zone\"\n[maps.world]\norder = [\"eu-west\"]\n\
         [services.www]\nnames = [\"www.example.com\"]\nprobe = \"web\"\nmap = \"world\"\n",
        address(server)
    );
    for (vantage, region) in VANTAGES.iter().zip(REGIONS) {
        text += &format!("[regions.{region}]\n[vantages.{vantage}]\nregion = \"{region}\"\n");
    }
    text += "[services.www.regions]\n";
    REGIONS.iter().fold(text, |text, region| text + &format!("{region} = [\"{}\"]\n", address(region)))
}

fn agent_configuration(vantage: &str) -> String {
    let mut text = format!(
        "[agent]\ncertificate = \"fleet/agents/{vantage}-1.pem\"\nkey = \"fleet/agents/{vantage}-1.key\"\n\
         authorities = [\"fleet/authority.pem\"]\n[allow]\nnetworks = [\"10.77.0.0/24\"]\nports = [{BACKEND_PORT}]\n"
    );
    for server in SERVERS {
        text += &format!("[servers.{server}]\naddress = \"{}:8453\"\n", address(server));
    }
    text
}

/// Not a test of its own: in a namespace, this program is a backend.
#[test]
fn serve_as_a_backend() {
    let Ok(address) = std::env::var(BACKEND) else { return };
    let address: Ipv4Addr = address.parse().unwrap();
    let _backend = Backend::start(SocketAddr::from((address, BACKEND_PORT)));
    loop {
        std::thread::park();
    }
}

#[test]
fn links_that_are_cut_withdraw_nothing_and_what_is_dead_is_withdrawn_everywhere() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let long_enough = || sleep(Duration::from_secs(8));
    let mut net = Net::at_work();

    net.cut("dublin", "us-east");
    long_enough();
    net.nothing_withdrawn();
    net.cut("dublin", "ns1");
    long_enough();
    net.nothing_withdrawn();
    net.heal("dublin", "us-east");
    net.heal("dublin", "ns1");
    net.until("everything is up again", |net| SERVERS.iter().all(|server| net.states(server) == ["up"; 3]));

    // An agent that reaches nobody but the servers is blind, not right.
    for region in REGIONS {
        net.cut("singapore", region);
    }
    long_enough();
    net.nothing_withdrawn();
    for region in REGIONS {
        net.heal("singapore", region);
    }
    net.until("everything is up again", |net| SERVERS.iter().all(|server| net.states(server) == ["up"; 3]));

    net.kill("ap-southeast");
    net.until("both servers withdraw it", |net| {
        SERVERS.iter().all(|server| net.states(server) == ["up", "up", "down"])
    });
    net.start_backend("ap-southeast");
    net.until("it comes back on both", |net| {
        SERVERS.iter().all(|server| matches!(&*net.states(server)[2], "recovering" | "up"))
    });
}
