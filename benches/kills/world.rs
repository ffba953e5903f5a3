//! The world of one kill: its processes, its addresses, and the client that asks.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) const VANTAGES: [&str; 3] = ["dublin", "ashburn", "singapore"];
const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-southeast"];
const BACKEND_PORT: u16 = 8080;
const READY_MAX: Duration = Duration::from_secs(30);
/// From one question of the client to the next.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// All processes of one kill; they end with it.
pub(crate) struct World {
    folder: PathBuf,
    number: usize,
    pub(crate) backends: Vec<Backend>,
    others: Vec<Child>,
}

/// A backend and the way to tell it what to do.
pub(crate) struct Backend {
    pub(crate) process: Child,
}

impl Backend {
    fn start(address: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["backend", &format!("{address}:{BACKEND_PORT}")]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self { process }
    }

    pub(crate) fn tell(&mut self, word: &str) {
        self.process.stdin.as_mut().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
    }
}

impl World {
    /// Starts everything; the fleet's certificates are in `fleet`.
    pub(crate) fn new(fleet: &Path, number: usize, probe: &str) -> Self {
        let folder = fleet.join(format!("world-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let mut world = Self { folder, number, backends: Vec::new(), others: Vec::new() };
        world.backends = (1..=3).map(|last| Backend::start(&world.address(last))).collect();
        let zone = "$TTL 1h\n@ IN SOA ns1 hostmaster 1 2h 15m 2w 1m\n@ IN NS ns1\nns1 IN A 192.0.2.53\n";
        fs::write(world.folder.join("example.com.zone"), zone).unwrap();
        fs::write(world.folder.join("rhumb.toml"), world.configuration(probe)).unwrap();
        world.start("server", &["serve"]);
        for vantage in VANTAGES {
            let file = format!("{vantage}.toml");
            fs::write(world.folder.join(&file), world.agent_configuration(vantage)).unwrap();
            world.start(vantage, &["agent", "--config", &file]);
        }
        world
    }

    /// The address of a backend, from 1, or of the server, 9.
    pub(crate) fn address(&self, last: usize) -> String {
        format!("127.{}.{}.{last}", 16 + self.number / 250, 1 + self.number % 250)
    }

    fn start(&mut self, name: &str, arguments: &[&str]) {
        let log = fs::File::create(self.folder.join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.args(arguments).current_dir(&self.folder).stdout(Stdio::null()).stderr(log);
        self.others.push(command.spawn().unwrap());
    }

    fn configuration(&self, probe: &str) -> String {
        let server = self.address(9);
        let mut text = format!(
            "[server]\nlisten = [\"{server}:5300\"]\nworkers = 1\n[metrics]\nlisten = \"{server}:9153\"\n\
             [agents]\nlisten = \"{server}:8453\"\ncertificate = \"../fleet/servers/ns1.pem\"\n\
             key = \"../fleet/servers/ns1.key\"\nauthorities = [\"../fleet/authority.pem\"]\n\
             [probes.web]\nhttp = {{ port = {BACKEND_PORT} }}\n{probe}\n\
             [zones.\"example.com\"]\nfile = \"example.com.zone\"\n[maps.world]\norder = [\"eu-west\", \"us-east\"]\n\
             [services.www]\nnames = [\"www.example.com\"]\nprobe = \"web\"\nmap = \"world\"\n"
        );
        for (vantage, region) in VANTAGES.iter().zip(REGIONS) {
            text += &format!("[regions.{region}]\n[vantages.{vantage}]\nregion = \"{region}\"\n");
        }
        text += "[services.www.regions]\n";
        let endpoints = REGIONS.iter().zip(1..);
        endpoints
            .fold(text, |text, (region, last)| text + &format!("{region} = [\"{}\"]\n", self.address(last)))
    }

    fn agent_configuration(&self, vantage: &str) -> String {
        let pem = format!("../fleet/agents/{vantage}-1");
        format!(
            "[agent]\ncertificate = \"{pem}.pem\"\nkey = \"{pem}.key\"\nauthorities = [\"../fleet/authority.pem\"]\n\
             [servers.ns1]\naddress = \"{}:8453\"\nserver-name = \"ns1.example.com\"\n\
             [allow]\nnetworks = [\"127.0.0.0/8\"]\nports = [{BACKEND_PORT}]\n",
            self.address(9)
        )
    }

    /// Waits until every vantage is heard and every endpoint is up.
    pub(crate) fn until_up(&self) {
        let began = Instant::now();
        loop {
            let page = self.metrics().unwrap_or_default();
            let up = page.lines().filter(|line| {
                line.starts_with("rhumb_verdict{") && line.contains("state=\"up\"") && line.ends_with(" 1")
            });
            let heard = page.lines().filter(|line| line.starts_with("rhumb_reports_total{"));
            if up.count() == REGIONS.len() && heard.count() == VANTAGES.len() {
                return;
            }
            assert!(began.elapsed() < READY_MAX, "it never came up\n{}", self.logs());
            sleep(Duration::from_millis(50));
        }
    }

    fn metrics(&self) -> Option<String> {
        let mut stream = TcpStream::connect((self.address(9), 9153)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    pub(crate) fn client(&self) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect((self.address(9), 5300)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let dead = self.address(1).split('.').map(|part| part.parse().unwrap()).collect();
        Client { socket, dead }
    }

    pub(crate) fn logs(&self) -> String {
        let read =
            |name: &str| fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        VANTAGES.iter().chain(&["server"]).map(|name| format!("--- {name}\n{}", read(name))).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let backends = self.backends.iter_mut().map(|backend| &mut backend.process);
        for process in backends.chain(&mut self.others) {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Asks for the service, over and over.
pub(crate) struct Client {
    socket: UdpSocket,
    /// The address that is killed.
    dead: Vec<u8>,
}

impl Client {
    /// Whether the answer, now, has the address that is killed.
    pub(crate) fn names_the_dead(&self) -> bool {
        let mut question = vec![0x17, 0x17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in ["www", "example", "com"] {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        self.socket.send(&question).unwrap();
        let mut reply = [0; 1500];
        let length = self.socket.recv(&mut reply).expect("the server answers");
        let answer = &reply[..length];
        assert!(answer[3] & 0x0f == 0 && answer[7] > 0, "there is an answer");
        answer.windows(4).any(|octets| octets == self.dead)
    }

    /// How long after `began` the first answer without the dead address came.
    pub(crate) fn until_right(&self, began: Instant, patience: Duration) -> Option<Duration> {
        while began.elapsed() < patience {
            if !self.names_the_dead() {
                return Some(began.elapsed());
            }
            sleep(ASK_EVERY);
        }
        None
    }
}
