//! The world of these tests: three regions with a backend each, three vantages, one server, agents.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const VANTAGES: [&str; 3] = ["dublin", "ashburn", "singapore"];
const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-southeast"];
/// What comes at all comes within this, on the slowest machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Processes and backends in a folder of their own; all end with it.
pub(crate) struct World {
    folder: TempDir,
    /// For agents, for metrics, for queries, for gauges.
    ports: [u16; 4],
    pub(crate) backends: Vec<Backend>,
    server: Option<Process>,
    agents: Vec<(String, Process)>,
    /// How endpoints are probed, beside the port.
    probe: &'static str,
}

/// Probed twice a second.
const PROBE: &str = "interval = \"500ms\"";

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A backend that answers every request with 200.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let task = thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                held.push(stream.try_clone().unwrap());
                held.retain(|stream: &TcpStream| stream.peer_addr().is_ok());
                thread::spawn(move || answer(stream));
            }
        });
        Self { address, over, task: Some(task) }
    }

    /// Closes the listener and every connection.
    pub(crate) fn kill(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(task) = self.task.take() {
            task.join().unwrap();
        }
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = [0; 1024];
    while matches!(stream.read(&mut head), Ok(1..)) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

impl World {
    /// A server and agents at every vantage; everything is up.
    pub(crate) fn whole() -> Self {
        Self::probed(PROBE)
    }

    /// The same, probed otherwise.
    pub(crate) fn probed(probe: &'static str) -> Self {
        let mut world = Self::with_server_that_wants(probe);
        for vantage in VANTAGES {
            world.start_agent(vantage);
        }
        world.until("everything is up", |world| world.states() == ["up"; 3]);
        world
    }

    /// A server that nobody reports to.
    pub(crate) fn with_server() -> Self {
        Self::with_server_that_wants(PROBE)
    }

    pub(crate) fn with_server_that_wants(probe: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Every endpoint has an address of its own, and all share the port of the probe.
        let first = Backend::start((Ipv4Addr::new(127, 0, 77, 1), 0).into());
        let port = first.address.port();
        let other = |last| Backend::start((Ipv4Addr::new(127, 0, 77, last), port).into());
        let backends = vec![first, other(2), other(3)];
        let ports = [(); 4].map(|()| free_port());
        let mut world = Self { folder, ports, backends, server: None, agents: Vec::new(), probe };
        let agents: Vec<String> = VANTAGES.iter().map(|vantage| format!("--agent={vantage}")).collect();
        let mut arguments = vec!["cert", "init", "fleet", "--server", "ns1=127.0.0.1"];
        arguments.extend(agents.iter().map(String::as_str));
        world.rhumb(&arguments);
        fs::copy(world.path("fleet/authority.pem"), world.path("trust.pem")).unwrap();
        fs::copy(world.path("fleet/servers/ns1.pem"), world.path("ns1.pem")).unwrap();
        fs::copy(world.path("fleet/servers/ns1.key"), world.path("ns1.key")).unwrap();
        world.write(
            "example.com.zone",
            "$TTL 1h\n@ IN SOA ns1 hostmaster 1 2h 15m 2w 1m\n@ IN NS ns1\nns1 IN A 127.0.0.1\n",
        );
        world.write("rhumb.toml", &world.configuration());
        world.start_server();
        world
    }

    fn configuration(&self) -> String {
        let [agents, metrics, queries, gauges] = self.ports;
        let port = self.backends[0].address.port();
        let judge = if self.probe.contains("[probes.whole]") { "whole" } else { "web" };
        let mut text = format!(
            "[server]\nlisten = [\"127.0.0.1:{queries}\"]\nworkers = 1\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\
             [gauges]\nlisten = \"127.0.0.1:{gauges}\"\n\
             [agents]\nlisten = \"127.0.0.1:{agents}\"\ncertificate = \"ns1.pem\"\nkey = \"ns1.key\"\n\
             authorities = [\"trust.pem\"]\nrevocations = [\"fleet/revoked.pem\"]\n\
             [probes.web]\nhttp = {{ port = {port} }}\n{}\n\
             [zones.\"example.com\"]\nfile = \"example.com.zone\"\n\
             [maps.world]\norder = [\"eu-west\", \"us-east\"]\n\
             [services.www]\nnames = [\"www.example.com\"]\nprobe = \"{judge}\"\nmap = \"world\"\nhold = \"1s\"\nramp = \"3s\"\n",
            self.probe.replace("PORT", &port.to_string())
        );
        for (vantage, region) in VANTAGES.iter().zip(REGIONS) {
            text += &format!("[regions.{region}]\n[vantages.{vantage}]\nregion = \"{region}\"\n");
        }
        text += "[services.www.regions]\n";
        for (region, backend) in REGIONS.iter().zip(&self.backends) {
            text += &format!("{region} = [\"{}\"]\n", backend.address.ip());
        }
        text
    }

    pub(crate) fn start_server(&mut self) {
        self.server = None;
        self.server = Some(self.spawn(&["serve"], "server.log"));
        self.until("the server answers its operator", |world| world.status().is_some());
    }

    /// Starts the agent of a vantage, which may probe what the backends listen on.
    pub(crate) fn start_agent(&mut self, vantage: &str) {
        self.start_agent_allowed(vantage, "127.0.77.0/24");
    }

    pub(crate) fn start_agent_allowed(&mut self, vantage: &str, network: &str) {
        self.start_agent_with(vantage, network, "");
    }

    /// Starts the agent of a vantage with more lines in its file: further keys of `[agent]`, then tables.
    pub(crate) fn start_agent_with(&mut self, vantage: &str, network: &str, lines: &str) {
        let own = self.path(vantage);
        for extension in ["pem", "key"] {
            let made = self.path(&format!("fleet/agents/{vantage}-1.{extension}"));
            fs::copy(made, own.with_extension(extension)).unwrap();
        }
        let text = format!(
            "[agent]\ncertificate = \"{vantage}.pem\"\nkey = \"{vantage}.key\"\nauthorities = [\"trust.pem\"]\n\
             {lines}\n[servers.ns1]\naddress = \"127.0.0.1:{}\"\n\
             [allow]\nnetworks = [\"{network}\"]\nports = [\"1024-65535\"]\n",
            self.ports[0]
        );
        let file = format!("{vantage}.toml");
        self.write(&file, &text);
        let process = self.spawn(&["agent", "--config", &file], &format!("{vantage}.log"));
        self.agents.push((vantage.to_owned(), process));
    }

    pub(crate) fn stop_agent(&mut self, vantage: &str) {
        self.agents.retain(|(name, _)| name != vantage);
    }

    /// Sends a signal to an agent, by its name such as "STOP".
    pub(crate) fn signal_agent(&self, vantage: &str, signal: &str) {
        let (_, process) = self.agents.iter().find(|(name, _)| name == vantage).unwrap();
        let done = Command::new("kill").arg(format!("-{signal}")).arg(process.0.id().to_string()).status();
        assert!(done.unwrap().success());
    }

    fn spawn(&self, arguments: &[&str], log: &str) -> Process {
        let log = fs::File::create(self.path(log)).unwrap();
        let mut command = self.command(arguments);
        Process(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs a verb that must succeed; what it prints.
    pub(crate) fn rhumb(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file so that it is there whole or not at all, and nobody else may read it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.path(&format!("{name}.new"));
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn agents_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let out = self.command(&["status", "--json"]).output().unwrap();
        out.status.success().then(|| serde_json::from_slice(&out.stdout).unwrap())
    }

    /// What is believed of the endpoint of each region.
    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.status().unwrap();
        let endpoints = status["services"][0]["endpoints"].as_array().unwrap();
        endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The sum of a metric's series whose labels hold all of `labels`; nothing yet is zero.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric_at(self.ports[1], name, labels)
    }

    /// Tells gauges by HTTP; the answer.
    pub(crate) fn post_gauges(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[3])).unwrap();
        let head = format!(
            "POST /gauges HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            lines.len()
        );
        stream.write_all((head + lines).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// How many reports of a vantage were taken.
    pub(crate) fn reports(&self, vantage: &str) -> f64 {
        self.metric("rhumb_reports_total", &[&format!("vantage=\"{vantage}\"")])
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let tries = AMPLE.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..tries {
            if holds(self) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
        panic!("it never came to be that {what}\n{}", self.logs());
    }

    /// Waits until reports of a vantage come, those on their way not counted.
    pub(crate) fn until_heard(&self, vantage: &str) {
        let before = self.reports(vantage);
        self.until("the agent is heard", |world| world.reports(vantage) >= before + 3.0);
    }

    pub(crate) fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path: PathBuf| format!("--- {}\n{}", name(&path), fs::read_to_string(&path).unwrap()))
            .collect()
    }
}

/// The same, of the process that shows its metrics at `port`.
pub(crate) fn metric_at(port: u16, name: &str, labels: &[&str]) -> f64 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A port that nobody has and that no outgoing connection is given while it waits to be bound: those come from
/// above 32,768.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = (std::process::id() % 500) as u16 * 40;
    loop {
        let port = 10_000 + (of_process + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
