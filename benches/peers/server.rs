//! The servers compared: how each is configured to answer the same zone, with one worker and nothing else to do, and
//! what its processes cost. A server is a function that writes its configuration and gives its command.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::world;

/// What is asked of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Names that are there.
    Plain,
    /// Nine in ten are not there.
    Missing,
    /// One name, by the client's subnet.
    Steered,
    /// Names of a zone of a million that are there.
    Large,
    /// Names that are there, over connections.
    Tcp,
    /// Nothing: only the start of a server with a zone of a million names.
    Load,
}

/// What a server is given.
pub(crate) struct Setup {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) zone: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) steered: bool,
}

/// A server of the comparison.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    command: fn(&Setup) -> Command,
    /// Whether it can steer by a database.
    steers: bool,
}

/// All of them, the measures first: every ratio is to one of the first two.
pub(crate) const PEERS: [Peer; 6] = [
    Peer { name: "reflector", command: reflector, steers: true },
    Peer { name: "gdnsd", command: gdnsd, steers: true },
    Peer { name: "rhumb", command: rhumb, steers: true },
    Peer { name: "knot", command: knot, steers: true },
    Peer { name: "nsd", command: nsd, steers: false },
    Peer { name: "powerdns", command: powerdns, steers: false },
];

/// A server at work.
pub(crate) struct Running {
    child: Child,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
}

/// The processor of the servers.
const PROCESSOR: &str = "0";
/// How long a server may take to its first answer.
const READY_MAX: Duration = Duration::from_secs(120);

/// What the processes of a server have cost so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) nanoseconds: f64,
    /// Of the clock's ticks, the part in user mode.
    user_ticks: f64,
    all_ticks: f64,
}

/// What a thread has had of its processor, by the kernel's own account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    /// Nanoseconds on it.
    pub(crate) spent: f64,
    /// Nanoseconds in which it wanted it, and another had it.
    pub(crate) waited: f64,
    /// How often it got it.
    pub(crate) turns: f64,
}

impl Cost {
    /// What was spent since `earlier`: nanoseconds in all, and in user mode.
    pub(crate) fn since(self, earlier: Self) -> (f64, f64) {
        let all = self.nanoseconds - earlier.nanoseconds;
        let ticks = (self.all_ticks - earlier.all_ticks).max(1.0);
        (all, all * (self.user_ticks - earlier.user_ticks) / ticks)
    }
}

impl Turns {
    /// What was had since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            spent: self.spent - earlier.spent,
            waited: self.waited - earlier.waited,
            turns: self.turns - earlier.turns,
        }
    }
}

impl Peer {
    /// Whether it is a measure for this work, or has a part in it.
    pub(crate) fn does(&self, work: Work) -> bool {
        match work {
            Work::Plain | Work::Missing => self.name != "powerdns",
            Work::Steered => self.steers,
            Work::Large => matches!(self.name, "reflector" | "gdnsd" | "rhumb"),
            Work::Tcp | Work::Load => self.name != "reflector",
        }
    }

    /// Starts it and waits for its first answer to `probe`; nothing where it is not installed.
    pub(crate) fn start(&self, setup: &Setup, probe: &[u8]) -> Option<Running> {
        start(&(self.command)(setup), &setup.folder, setup.address, probe)
    }
}

/// Starts a server on the processor of the servers and waits for its first answer to `probe`. What it says is kept in
/// `folder`.
pub(crate) fn start(command: &Command, folder: &Path, address: SocketAddr, probe: &[u8]) -> Option<Running> {
    let begin = Instant::now();
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", PROCESSOR]).arg(command.get_program()).args(command.get_args());
    pinned.stdin(Stdio::null()).stdout(Stdio::null());
    pinned.stderr(fs::File::create(folder.join("stderr")).ok()?);
    let mut child = pinned.spawn().ok()?;
    while !answers(address, probe) {
        if child.try_wait().ok()?.is_some() || begin.elapsed() > READY_MAX {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(Running { child, ready: begin.elapsed() })
}

/// The part of their time that processes spend in user mode during a run, sampled by `perf` 4,000 times a second; the
/// kernel's own clock ticks too seldom to tell.
pub(crate) struct Samples {
    file: PathBuf,
    recorder: Child,
}

impl Samples {
    /// Begins to take them; nothing where there is no `perf`.
    pub(crate) fn begin(running: &Running, folder: &Path) -> Option<Self> {
        let file = folder.join("samples");
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-e", "cpu-clock", "-F", "3999", "-o"]).arg(&file);
        command.args(["-p", &running.numbers()]).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { file, recorder: command.spawn().ok()? })
    }

    /// The part in user mode.
    pub(crate) fn end(mut self) -> Option<f64> {
        // It writes what it has when it is asked to end.
        let _ = Command::new("kill").args(["-INT", &self.recorder.id().to_string()]).status();
        let _ = self.recorder.wait();
        let mut command = Command::new("perf");
        command.args(["script", "-F", "ip", "-i"]).arg(&self.file).stderr(Stdio::null());
        let addresses = String::from_utf8(command.output().ok()?.stdout).ok()?;
        let (mut user, mut all) = (0.0, 0.0);
        for address in addresses.lines().filter_map(|line| u64::from_str_radix(line.trim(), 16).ok()) {
            all += 1.0;
            // Addresses of the kernel have the highest bit set.
            user += f64::from(u8::from(address >> 63 == 0));
        }
        (all > 0.0).then(|| user / all)
    }
}

fn answers(server: SocketAddr, probe: &[u8]) -> bool {
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.send_to(probe, server)?;
        let mut reply = [0; 1500];
        let (length, _) = socket.recv_from(&mut reply)?;
        Ok::<_, std::io::Error>(length > 12 && reply[3] & 0x0f == 0)
    };
    ask().unwrap_or(false)
}

impl Running {
    /// What it has cost.
    pub(crate) fn cost(&self) -> Cost {
        let mut cost = Cost { nanoseconds: 0.0, user_ticks: 0.0, all_ticks: 0.0 };
        for process in self.processes() {
            for task in entries(&process.join("task")) {
                let first = |text: String| text.split_whitespace().next()?.parse::<f64>().ok();
                let spent = fs::read_to_string(task.join("schedstat")).ok().and_then(first);
                cost.nanoseconds += spent.unwrap_or(0.0);
            }
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            let fields = stat.rsplit(") ").next().unwrap_or_default();
            let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
            cost.user_ticks += ticks.first().copied().unwrap_or(0.0);
            cost.all_ticks += ticks.iter().sum::<f64>();
        }
        cost
    }

    /// The numbers of its processes, as `perf` takes them.
    pub(crate) fn numbers(&self) -> String {
        let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.processes().into_iter().filter_map(name).collect::<Vec<_>>().join(",")
    }

    /// What the worker by UDP has had so far.
    pub(crate) fn worker(&self) -> Turns {
        let text = self.threads().into_iter().filter(|(_, name)| is_worker(name)).find_map(|(task, _)| {
            let path = Path::new("/proc").join(task.to_string()).join("schedstat");
            fs::read_to_string(path).ok()
        });
        let text = text.expect("the server has a worker");
        let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        Turns { spent: next(), waited: next(), turns: next() }
    }

    /// Moves all threads but the worker to a processor; threads that they start follow them.
    pub(crate) fn move_others(&self, processor: usize) {
        let mut set = CpuSet::new();
        set.set(processor);
        // Twice: the first time one that was not moved yet may just start another.
        for (task, name) in (0..2).flat_map(|_| self.threads()) {
            if !is_worker(&name) {
                // It may have ended.
                let _ = sched_setaffinity(Pid::from_raw(task), &set);
            }
        }
    }

    /// Numbers and names of all threads.
    fn threads(&self) -> Vec<(i32, String)> {
        let tasks = self.processes().into_iter().flat_map(|process| entries(&process.join("task")));
        let thread = |task: PathBuf| {
            let name = fs::read_to_string(task.join("comm")).ok()?;
            Some((task.file_name()?.to_str()?.parse().ok()?, name))
        };
        tasks.filter_map(thread).collect()
    }

    /// Its process number.
    pub(crate) fn number(&self) -> u32 {
        self.child.id()
    }

    /// Its memory in mebibytes, shared pages counted once.
    pub(crate) fn memory(&self) -> f64 {
        let of = |process: PathBuf| {
            let text = fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?.to_owned();
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        self.processes().into_iter().filter_map(of).sum::<f64>() / 1024.0
    }

    /// The process and its descendants.
    fn processes(&self) -> Vec<PathBuf> {
        let (mut found, mut next) = (Vec::new(), vec![self.child.id().to_string()]);
        while let Some(process) = next.pop() {
            let path = Path::new("/proc").join(&process);
            for task in entries(&path.join("task")) {
                let children = fs::read_to_string(task.join("children")).unwrap_or_default();
                next.extend(children.split_whitespace().map(str::to_owned));
            }
            found.push(path);
        }
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A server with children ends them when it is asked to end, not when it is killed.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn is_worker(thread: &str) -> bool {
    thread.starts_with("udp ")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn write(path: PathBuf, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
    fs::write(&path, text).expect("files can be written");
    path
}

/// Every country in lower case, with its continent and its address.
fn regions() -> Vec<(String, &'static str, Ipv4Addr)> {
    let countries = world::countries().into_iter().enumerate();
    countries.map(|(at, (code, continent))| (code.to_lowercase(), continent, world::address_of(at))).collect()
}

fn reflector(setup: &Setup) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the benchmark has a file"));
    command.args(["--reflect", &setup.address.to_string()]);
    command
}

fn rhumb(setup: &Setup) -> Command {
    let (folder, zone, database) = (setup.folder.display(), setup.zone.display(), setup.database.display());
    let mut text = format!(
        "[server]\nlisten = [\"{}\"]\nworkers = 1\nstate-directory = \"{folder}/state\"\n\
         control-socket = \"{folder}/rhumb.sock\"\n[metrics]\nlisten = \"127.0.0.1:{}\"\n\
         [zones.\"{}\"]\nfile = \"{zone}\"\n",
        setup.address,
        setup.address.port() + 1000,
        world::ZONE,
    );
    if setup.steered {
        let _ = write!(text, "[geoip]\ncountry = \"{database}\"\n");
        let (mut clients, mut endpoints) = (String::new(), String::new());
        for (region, _, address) in regions() {
            let _ = writeln!(text, "[regions.{region}]");
            let _ =
                writeln!(clients, "\"country:{}\" = {{ regions = [\"{region}\"] }}", region.to_uppercase());
            let _ = writeln!(endpoints, "{region} = [\"{address}\"]");
        }
        let _ = write!(
            text,
            "[regions.other]\n[maps.world]\norder = [\"other\"]\n[maps.world.clients]\n{clients}[services.geo]\n\
             names = [\"geo.{}\"]\nmap = \"world\"\n[services.geo.regions]\n{endpoints}other = [\"{}\"]\n",
            world::ZONE,
            world::ELSEWHERE,
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.args(["serve", "-c"]).arg(write(setup.folder.join("rhumb.toml"), &text));
    command
}

fn gdnsd(setup: &Setup) -> Command {
    let folder = setup.folder.display();
    let mut text = format!(
        "options => {{ listen => [ {} ], udp_threads => 1, tcp_threads => 1, run_dir => {folder}/run, \
         state_dir => {folder}/state, lock_mem => false }}\n",
        setup.address,
    );
    let mut zone = fs::read_to_string(&setup.zone).expect("the zone was written");
    if setup.steered {
        let of_zone = format!("\ngeo 60 IN A {}\n", world::ELSEWHERE);
        zone = zone.replace(&of_zone, "\ngeo 60 DYNA geoip!res\n");
        let (mut centers, mut addresses, mut map) = (String::new(), String::new(), String::new());
        for (continent, countries) in world::COUNTRIES {
            let of = |code: &str| format!("{code} => [dc-{}]", code.to_lowercase());
            let list: Vec<String> = countries.split(' ').map(of).collect();
            let _ = writeln!(map, "{continent} => {{ {}, default => [dc-def] }}", list.join(", "));
        }
        for (region, _, address) in regions() {
            let _ = write!(centers, ", dc-{region}");
            let _ = write!(addresses, ", dc-{region} => {address}");
        }
        let _ = write!(
            text,
            "plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => {}, datacenters => [ dc-def{centers} ], \
             map => {{ default => [dc-def]\n{map} }} }} }}, resources => {{ res => {{ map => m, dcmap => {{ \
             dc-def => {}{addresses} }} }} }} }} }}\n",
            setup.database.display(),
            world::ELSEWHERE,
        );
    }
    for folder in ["run", "state"] {
        let _ = fs::create_dir_all(setup.folder.join(folder));
    }
    write(setup.folder.join("config"), &text);
    write(setup.folder.join("zones").join(world::ZONE), &zone);
    let mut command = Command::new("gdnsd");
    command.arg("-c").arg(&setup.folder).arg("start");
    command
}

fn knot(setup: &Setup) -> Command {
    let (folder, address) = (setup.folder.display(), setup.address);
    let (mut module, mut uses) = (String::new(), "");
    if setup.steered {
        let mut countries = format!("geo.{}:\n", world::ZONE);
        for (region, _, address) in regions() {
            let _ = write!(countries, "  - geo: \"{}\"\n    A: {address}\n", region.to_uppercase());
        }
        let file = write(setup.folder.join("geo.conf"), &countries);
        let (file, database) = (file.display(), setup.database.display());
        module = format!(
            "mod-geoip:\n  - id: geo\n    config-file: \"{file}\"\n    ttl: 60\n    mode: geodb\n    geodb-file: \
             \"{database}\"\n    geodb-key: \"country/iso_code\"\n"
        );
        uses = "    module: mod-geoip/geo\n";
    }
    let text = format!(
        "server:\n    rundir: \"{folder}\"\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 1\n    \
         background-workers: 1\n    edns-client-subnet: on\nlog:\n  - target: stderr\n    any: error\n\
         database:\n    storage: \"{folder}/db\"\n{module}zone:\n  - domain: {}\n    file: \"{}\"\n    \
         zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\n    semantic-checks: off\n{uses}",
        address.ip(),
        address.port(),
        world::ZONE,
        setup.zone.display(),
    );
    let mut command = Command::new("knotd");
    command.arg("-c").arg(write(setup.folder.join("knot.conf"), &text));
    command
}

fn nsd(setup: &Setup) -> Command {
    let (folder, address) = (setup.folder.display(), setup.address);
    let text = format!(
        "server:\n  server-count: 1\n  ip-address: {}@{}\n  do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \
         \"{folder}\"\n  database: \"\"\n  xfrdfile: \"{folder}/xfrd.state\"\n  xfrdir: \"{folder}\"\n  zonelistfile: \
         \"{folder}/zone.list\"\n  pidfile: \"\"\n  rrl-ratelimit: 0\n  minimal-responses: yes\n  verbosity: 0\n\
         remote-control:\n  control-enable: no\nzone:\n  name: {}\n  zonefile: \"{}\"\n",
        address.ip(),
        address.port(),
        world::ZONE,
        setup.zone.display(),
    );
    let mut command = Command::new("nsd");
    command.args(["-d", "-c"]).arg(write(setup.folder.join("nsd.conf"), &text));
    command
}

fn powerdns(setup: &Setup) -> Command {
    let zone = format!("zone \"{}\" {{ type master; file \"{}\"; }};\n", world::ZONE, setup.zone.display());
    let zones = write(setup.folder.join("named.conf"), &zone);
    let mut command = Command::new("pdns_server");
    command.arg(format!("--config-dir={}", setup.folder.display()));
    command.arg(format!("--socket-dir={}", setup.folder.display()));
    command.arg(format!("--local-address={}", setup.address.ip()));
    command.arg(format!("--local-port={}", setup.address.port()));
    command.arg(format!("--bind-config={}", zones.display()));
    command.args(["--launch=bind", "--receiver-threads=1", "--distributor-threads=1", "--daemon=no"]);
    command.args([
        "--guardian=no",
        "--write-pid=no",
        "--disable-syslog=yes",
        "--loglevel=3",
        "--webserver=no",
    ]);
    command.arg("--security-poll-suffix=");
    command
}
