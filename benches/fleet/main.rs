//! What a large fleet costs a server: `cargo bench --bench fleet`, with `-- --agents 1000 --endpoints 1000 --seconds 20`
//! to say how large.
//!
//! One `rhumb serve` takes the reports of agents that this program plays: each with a certificate and two connections
//! of its own, one for reports and one for orders, as `rhumb agent` has. Every report is whole: each target with its
//! last 16 outcomes, of a probe a second, four times a second. First nothing fails, then every outcome of every target
//! is another than the one before (*flapping*), then all fail and pass by turns of six (*waves*), so that verdicts
//! change. What the server's process spent is read from /proc.
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, reason = "it speaks to people")]
#![allow(clippy::unwrap_used, reason = "a rig that breaks shall say where")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs};

use rhumb::config::CertificateFiles;
use rhumb::credentials::{AgentSide, Contents};
use rhumb::exchange::order::{Order, TargetName};
use rhumb::exchange::report::{Head, write};
use rhumb::exchange::{ORDERS_PATH, REPORT_PATH};
use rhumb::health::outcome::{Failure, OUTCOMES_MAX, Outcome, Report, TargetReport};
use rhumb::health::verdict::Share;
use rhumb::ids::{TargetId, VantageId};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep_until;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TICK: Duration = Duration::from_millis(250);
/// Agents are spread over the tick in so many groups; those of one group see the same at the same time.
const GROUPS: usize = 20;
const ENDPOINTS_PER_SERVICE: usize = 4;
const AGENTS_PORT: u16 = 18_453;
const QUERIES_PORT: u16 = 15_399;
/// Until everybody has connected, those who have report once in so many ticks.
const TICKS_UNTIL_ALL_STAND: u64 = 20;
/// Before figures are taken everybody has connected, and what the first reports cost is over.
const SETTLE: Duration = Duration::from_secs(5);

/// How outcomes follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Quiet,
    Flapping,
    Waves,
}

impl Mood {
    fn passes(self, number: u64) -> bool {
        match self {
            Self::Quiet => true,
            Self::Flapping => number.is_multiple_of(2),
            Self::Waves => (number / 6).is_multiple_of(2),
        }
    }
}

/// What all agents share.
struct Fleet {
    folder: PathBuf,
    names: Vec<TargetName>,
    began: Instant,
    /// The body of each group's newest report, with its tick.
    bodies: Vec<Mutex<(u64, Arc<Vec<u8>>)>>,
    /// What each outcome was, newest last, as far as any report tells of it.
    mood: Mutex<Vec<(u64, Mood)>>,
    sent: AtomicU64,
    refused: AtomicU64,
    heard: AtomicU64,
    times: Mutex<Vec<Duration>>,
    connected: AtomicUsize,
    /// Everybody has connected.
    stands: AtomicBool,
    over: AtomicBool,
    /// Taken for each handshake: two cores do some hundred a second, and the server waits five seconds for each.
    handshakes: Semaphore,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let number = |name: &str, default: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(default, |at| arguments[at + 1].parse().unwrap())
    };
    let (agents, endpoints) = (number("--agents", 1000), number("--endpoints", 1000));
    let (vantages, seconds) = (number("--vantages", 20).min(agents), number("--seconds", 20));
    let folder = env::temp_dir().join(format!("rhumb-fleet-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let all: Vec<String> =
        (0..agents).map(|agent| format!("v{}/{}", agent % vantages, agent / vantages + 1)).collect();
    let mut made = rhumb(&folder);
    made.args(["cert", "init", "fleet", "--server", "ns1=127.0.0.1"]);
    made.args(all.iter().map(|agent| format!("--agent={agent}")));
    assert!(made.output().unwrap().status.success());
    let zone = "$TTL 1h\n@ IN SOA ns1 hostmaster 1 2h 15m 2w 1m\n@ IN NS ns1\nns1 IN A 127.0.0.1\n";
    fs::write(folder.join("example.com.zone"), zone).unwrap();
    fs::write(folder.join("rhumb.toml"), configuration(vantages, endpoints)).unwrap();
    let log = fs::File::create(folder.join("server.log")).unwrap();
    let mut server = rhumb(&folder).arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(&folder, &all, &server, seconds));
    let _ = server.kill();
    let _ = server.wait();
    if env::var_os("KEEP").is_none() {
        let _ = fs::remove_dir_all(&folder);
    }
}

fn rhumb(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
    command.current_dir(folder);
    command
}

fn configuration(vantages: usize, endpoints: usize) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:{QUERIES_PORT}\"]\nworkers = 1\n\
         [agents]\nlisten = \"127.0.0.1:{AGENTS_PORT}\"\ncertificate = \"fleet/servers/ns1.pem\"\n\
         key = \"fleet/servers/ns1.key\"\nauthorities = [\"fleet/authority.pem\"]\n\
         [log]\nlevel = \"error\"\n[probes.web]\nhttp = {{ port = 80 }}\n\
         [zones.\"example.com\"]\nfile = \"example.com.zone\"\n[maps.world]\norder = [\"r0\"]\n"
    );
    for region in 0..ENDPOINTS_PER_SERVICE {
        text += &format!("[regions.r{region}]\n");
    }
    for vantage in 0..vantages {
        text += &format!("[vantages.v{vantage}]\nregion = \"r{}\"\n", vantage % ENDPOINTS_PER_SERVICE);
    }
    for service in 0..endpoints / ENDPOINTS_PER_SERVICE {
        text += &format!(
            "[services.s{service}]\nnames = [\"s{service}.example.com\"]\nprobe = \"web\"\nmap = \"world\"\n\
             [services.s{service}.regions]\n"
        );
        for region in 0..ENDPOINTS_PER_SERVICE {
            text += &format!("r{region} = [\"10.{}.{}.{}\"]\n", service / 250, service % 250, region + 1);
        }
    }
    text
}

async fn play(folder: &Path, all: &[String], server: &Child, seconds: usize) {
    let names = ordered(folder, &all[0]).await;
    println!("{} agents, {} targets in each report", all.len(), names.len());
    let fleet = Arc::new(Fleet {
        folder: folder.to_owned(),
        names,
        began: Instant::now(),
        bodies: (0..GROUPS).map(|_| Mutex::default()).collect(),
        mood: Mutex::new(vec![(0, Mood::Quiet)]),
        sent: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        heard: AtomicU64::new(0),
        times: Mutex::default(),
        connected: AtomicUsize::new(0),
        stands: AtomicBool::new(false),
        over: AtomicBool::new(false),
        handshakes: Semaphore::new(16),
    });
    for (number, agent) in all.iter().enumerate() {
        tokio::spawn(Arc::clone(&fleet).report(number, agent.clone()));
        tokio::spawn(Arc::clone(&fleet).listen(agent.clone()));
    }
    while fleet.connected.load(Ordering::Relaxed) < all.len() * 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fleet.stands.store(true, Ordering::Relaxed);
    println!(
        "mood       server's cores  memory in MB  reports/s  refused  answered in ms: p50, p99  orders heard/s  rig's cores"
    );
    for mood in [Mood::Quiet, Mood::Flapping, Mood::Waves] {
        fleet.mood.lock().unwrap().push((fleet.outcomes() + 1, mood));
        tokio::time::sleep(SETTLE).await;
        fleet.times.lock().unwrap().clear();
        let counts =
            || [&fleet.sent, &fleet.refused, &fleet.heard].map(|count| count.load(Ordering::Relaxed));
        let (counted, spent, own, from) =
            (counts(), cpu(server.id()), cpu(std::process::id()), Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
        let wall = from.elapsed().as_secs_f64();
        let after = counts();
        let per_second = |at: usize| (after[at] - counted[at]) as f64 / wall;
        let mut times = std::mem::take(&mut *fleet.times.lock().unwrap());
        times.sort_unstable();
        let at = |part: f64| {
            times.get((times.len() as f64 * part) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "{:10} {:14.2} {:13} {:10.0} {:8} {:17.1}, {:5.1} {:15.0} {:12.2}",
            format!("{mood:?}"),
            (cpu(server.id()) - spent) / wall,
            memory(server.id()),
            per_second(0),
            after[1] - counted[1],
            at(0.5),
            at(0.99),
            per_second(2),
            (cpu(std::process::id()) - own) / wall,
        );
    }
    fleet.over.store(true, Ordering::Relaxed);
    tokio::time::sleep(TICK * 2).await;
}

/// Sends a report; whether it was taken.
async fn post(stream: &mut TlsStream<TcpStream>, head: &[u8], body: &[u8]) -> std::io::Result<bool> {
    stream.write_all(head).await?;
    stream.write_all(body).await?;
    let mut reply = Vec::with_capacity(256);
    while !reply.windows(4).any(|octets| octets == b"\r\n\r\n") {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(reply.starts_with(b"HTTP/1.1 204"))
}

/// The names of the targets that an agent is told to probe.
async fn ordered(folder: &Path, agent: &str) -> Vec<TargetName> {
    let mut tries = 0;
    loop {
        if let Some(mut stream) = connect(folder, agent).await {
            let ask = format!("GET {ORDERS_PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            while !text.ends_with(b"}\n") && !text.ends_with(b"}\n\r\n") {
                assert!(stream.read_buf(&mut text).await.unwrap() > 0);
            }
            let line = text.split(|octet| *octet == b'\n').find(|line| line.starts_with(b"{")).unwrap();
            let Order::Probe(assignment) = serde_json::from_slice(line).unwrap() else { panic!("no orders") };
            return assignment.targets.iter().map(|target| target.name).collect();
        }
        tries += 1;
        assert!(tries < 100, "the server takes no connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connect(folder: &Path, agent: &str) -> Option<TlsStream<TcpStream>> {
    let own = folder.join(format!("fleet/agents/{}.pem", agent.replace('/', "-")));
    let files = CertificateFiles {
        key: own.with_extension("key"),
        certificate: own,
        authorities: vec![folder.join("fleet/authority.pem")],
        revocations: Vec::new(),
    };
    let side = AgentSide::new(&Contents::read(&files).unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", AGENTS_PORT)).await.ok()?;
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(side.config)).connect(name, stream).await.ok()
}

impl Fleet {
    /// How many outcomes each target had by now, of the slowest group.
    fn outcomes(&self) -> u64 {
        self.began.elapsed().as_secs() + OUTCOMES_MAX as u64
    }

    async fn join(&self, agent: &str) -> TlsStream<TcpStream> {
        let _turn = self.handshakes.acquire().await.unwrap();
        loop {
            if let Some(stream) = connect(&self.folder, agent).await {
                return stream;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn report(self: Arc<Self>, number: usize, agent: String) {
        let group = number % GROUPS;
        let mut stream = self.join(&agent).await;
        self.connected.fetch_add(1, Ordering::Relaxed);
        let offset = TICK * group as u32 / GROUPS as u32;
        for tick in self.began.elapsed().as_millis() as u64 / TICK.as_millis() as u64 + 1.. {
            let due = self.began + TICK * tick as u32 + offset;
            sleep_until(due.into()).await;
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            // Handshakes come first, or on a busy machine the reports of those who stand let nobody else in.
            if !self.stands.load(Ordering::Relaxed) && !tick.is_multiple_of(TICKS_UNTIL_ALL_STAND) {
                continue;
            }
            let body = self.body(group, tick);
            let head = header(&agent, number as u64 + 1, tick, self.began.elapsed());
            let length = head.len() + body.len();
            let mut request =
                format!("POST {REPORT_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
                    .into_bytes();
            request.extend(head);
            let sent = Instant::now();
            match post(&mut stream, &request, &body).await {
                Ok(taken) => {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                    self.refused.fetch_add(u64::from(!taken), Ordering::Relaxed);
                    self.times.lock().unwrap().push(sent.elapsed());
                }
                // As an agent does, it comes back.
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    stream = self.join(&agent).await;
                }
            }
        }
    }

    /// Takes orders and does nothing about them.
    async fn listen(self: Arc<Self>, agent: String) {
        let ask = format!("GET {ORDERS_PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut octets = vec![0; 16 * 1024];
        let mut is_new = true;
        while !self.over.load(Ordering::Relaxed) {
            let mut stream = self.join(&agent).await;
            if stream.write_all(ask.as_bytes()).await.is_err() {
                continue;
            }
            self.connected.fetch_add(usize::from(std::mem::take(&mut is_new)), Ordering::Relaxed);
            while let Ok(1..) = stream.read(&mut octets).await {
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What follows the head in all reports of a group at a tick.
    fn body(&self, group: usize, tick: u64) -> Arc<Vec<u8>> {
        let mut kept = self.bodies[group].lock().unwrap();
        if kept.0 != tick || kept.1.is_empty() {
            let moods = self.mood.lock().unwrap().clone();
            let targets = (0..self.names.len()).map(|target| outcomes(target, tick, &moods));
            let report = Report { targets: targets.collect(), ..nothing(1, 1) };
            let head = Head { agent: String::new(), clock: Duration::ZERO, control: None, lagging: false };
            let octets = write(&report, &head, &self.names, Duration::ZERO);
            let empty = write(&nothing(1, 1), &head, &[], Duration::ZERO).len() - 2;
            *kept = (tick, Arc::new(octets[empty..].to_vec()));
        }
        Arc::clone(&kept.1)
    }
}

fn nothing(boot: u64, number: u64) -> Report {
    Report {
        vantage: VantageId(0),
        agent: 0,
        boot,
        number,
        control: None,
        lagging: false,
        targets: Vec::new(),
    }
}

/// The octets of a report before its texts and targets.
fn header(agent: &str, boot: u64, number: u64, clock: Duration) -> Vec<u8> {
    let head = Head { agent: agent.to_owned(), clock, control: None, lagging: false };
    let mut octets = write(&nothing(boot, number), &head, &[], Duration::ZERO);
    // The counts of texts and targets, both zero.
    octets.truncate(octets.len() - 2);
    octets
}

/// The last outcomes of a target, of a probe a second: a quarter of all targets has a new one at each tick.
fn outcomes(target: usize, tick: u64, moods: &[(u64, Mood)]) -> TargetReport {
    let per_second = 4;
    let since = (tick + target as u64) % per_second;
    let newest = (tick - since.min(tick)) / per_second + OUTCOMES_MAX as u64;
    let outcome = |back: u64| {
        let number = newest - back;
        let mood =
            moods.iter().rev().find(|(from, _)| *from <= number).map_or(Mood::Quiet, |(_, mood)| *mood);
        Outcome {
            age: TICK * since as u32 + Duration::from_secs(back) + Duration::from_millis(target as u64 % 250),
            latency: Duration::from_micros(2_000 + number * 37 % 1_000),
            result: if mood.passes(number) { Ok(()) } else { Err(Failure::Refused) },
            usable: if mood.passes(number) { Share::WHOLE } else { Share::NONE },
        }
    };
    let outcomes = (0..OUTCOMES_MAX as u64).rev().map(outcome).collect();
    TargetReport { target: TargetId::from_index(target), newest, outcomes }
}

/// Seconds of processor time that a process has spent.
fn cpu(process: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
}

/// The memory that a process holds, in MB.
fn memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
