//! A fresh folder with a configuration that works, the real binary in it, and clients that count what they lose.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; what waits so long has failed.
pub(crate) const AMPLE: Duration = Duration::from_secs(30);

const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:0"]
workers = 2

[regions.eu-west]
[regions.us-east]

[probes.states]
file = "health/state"
interval = "100ms"

[maps.world]
order = ["eu-west", "us-east"]

[zones."example.com"]
file = "zones/example.com.zone"

[services.www]
names = ["www.example.com"]
probe = "states"
map = "world"

[services.www.regions]
eu-west = ["192.0.2.10"]
us-east = ["192.0.2.20"]
"#;

/// A folder in which the binary runs.
pub(crate) struct Place {
    folder: TempDir,
}

/// A server, killed with the test.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

/// What a client asked and heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
}

/// Clients that ask until they are told to stop.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// A configuration that works with `more` behind it.
    pub(crate) fn with(more: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write("rhumb.toml", &format!("{CONFIGURATION}{more}"));
        place.write("zones/example.com.zone", &zone(1));
        place.write("health/state", "* up\n");
        place
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file, which is there whole or not at all.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command.current_dir(self.folder.path()).args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// Runs a verb: its exit code, and all that it says.
    pub(crate) fn run(&self, line: &str) -> (i32, String) {
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap_or(-1), said)
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.command("status --json").output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Starts a process of `line` whose log is appended to `log`.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        self.spawn_with(line, |_| {})
    }

    pub(crate) fn spawn_with(&self, line: &str, arrange: impl FnOnce(&mut Command)) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(line);
        command.stdout(Stdio::null()).stderr(log);
        arrange(&mut command);
        command.spawn().unwrap()
    }

    /// A server that answers.
    pub(crate) fn serve(&self) -> Server {
        self.serve_by("serve")
    }

    pub(crate) fn serve_by(&self, line: &str) -> Server {
        let process = self.spawn(line);
        self.wait_for_server(process)
    }

    /// The server that `process` becomes.
    pub(crate) fn wait_for_server(&self, mut process: Child) -> Server {
        let address = self.eventually("an answer", || {
            assert!(process.try_wait().unwrap().is_none(), "it ended:\n{}", self.read("log"));
            let status = self.status()?;
            status["listen"][0].as_str()?.parse().ok()
        });
        Server { process, address }
    }

    /// Waits for what comes.
    pub(crate) fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < AMPLE, "{what} did not come; the log:\n{}", self.read("log"));
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the log says something.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.eventually(text, || self.read("log").contains(text).then_some(()));
    }
}

impl Server {
    /// Asks for the zone's serial, as a query of the client `from`.
    pub(crate) fn serial(&self) -> Option<u32> {
        let reply = exchange(self.address, &query("example.com", 6))?;
        // The last five numbers of an answer that has nothing behind it.
        let at = reply.len().checked_sub(20)?;
        Some(u32::from_be_bytes(reply[at..at + 4].try_into().unwrap()))
    }

    /// The address that the steered name has now.
    pub(crate) fn steered(&self) -> Option<[u8; 4]> {
        let reply = exchange(self.address, &query("www.example.com", 1))?;
        reply[reply.len().checked_sub(4)?..].try_into().ok()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < AMPLE, "it does not end");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Clients {
    /// Asks `server` for the steered name so often a second, from several sockets.
    pub(crate) fn start(server: SocketAddr, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || ask_until(&told, server, rate)) }
    }

    /// What they heard, late replies included.
    pub(crate) fn stop(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The zone with a serial.
pub(crate) fn zone(serial: u32) -> String {
    format!(
        "@ 1h SOA ns1 hostmaster {serial} 2h 15m 2w 1m\n@ 1h NS ns1\nns1 1h A 192.0.2.53\nserial 1h TXT \"{serial}\"\n"
    )
}

/// A query without EDNS.
pub(crate) fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut octets = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.extend([rtype.to_be_bytes(), [0, 1]].concat());
    octets
}

/// The reply to one query by UDP, if it comes within a second.
pub(crate) fn exchange(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send(query).ok()?;
    let mut reply = [0; 1500];
    let length = socket.recv(&mut reply).ok()?;
    (reply[3] & 0x0f == 0 && reply[7] > 0).then(|| reply[..length].to_vec())
}

fn ask_until(stop: &AtomicBool, server: SocketAddr, rate: u32) -> Heard {
    const SOCKETS: usize = 8;
    let sockets: Vec<UdpSocket> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let (begin, query) = (Instant::now(), query("www.example.com", 1));
    let (mut heard, mut reply) = (Heard::default(), [0; 512]);
    let listen = |heard: &mut Heard, reply: &mut [u8; 512]| {
        for socket in &sockets {
            while socket.recv(reply).is_ok() {
                heard.answered += 1;
            }
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while heard.sent < due {
            // An error is a query that nobody could take: it counts as sent.
            let _ = sockets[heard.sent as usize % SOCKETS].send(&query);
            heard.sent += 1;
        }
        listen(&mut heard, &mut reply);
        sleep(Duration::from_micros(500));
    }
    let end = Instant::now();
    while heard.answered < heard.sent && end.elapsed() < Duration::from_secs(2) {
        listen(&mut heard, &mut reply);
        sleep(Duration::from_millis(5));
    }
    heard
}

/// The value of a line of `/proc/PID/status`.
pub(crate) fn proc_status(process: u32, thread: Option<&Path>, key: &str) -> String {
    let path = thread.map_or_else(|| PathBuf::from(format!("/proc/{process}")), Path::to_owned);
    let text = fs::read_to_string(path.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
