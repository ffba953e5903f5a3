//! What the server and the system tell: connections, descriptors, memory, and datagrams that the kernel dropped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use super::server::Server;

/// The metrics may wait for whoever besieges the server, and not for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server has of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) descriptors: usize,
    pub(crate) megabytes: f64,
}

/// Packets that the kernel has dropped since its start; what is lost there never reached a process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Dropped {
    /// Because a socket's buffer was full.
    pub(crate) at_sockets: u64,
    /// Because too many waited for a processor to look at them, before they had a socket.
    pub(crate) at_processors: u64,
}

impl Holding {
    pub(crate) fn of(server: &Server) -> Self {
        let process = PathBuf::from(format!("/proc/{}", server.pid()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { descriptors: descriptors(&process.join("fd")), megabytes: kilobytes / 1024.0 }
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            megabytes: self.megabytes.max(other.megabytes),
        }
    }
}

/// How many connections by a transport the server has taken since its start.
pub(crate) fn accepted(server: &Server, transport: &str) -> u64 {
    let mut stream = TcpStream::connect_timeout(&server.metrics, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let name = format!("rhumb_connections{{transport=\"{transport}\",what=\"accepted\"}} ");
    let count = page.lines().find_map(|line| line.strip_prefix(&name));
    count.unwrap_or_else(|| panic!("no {name}in {page}")).parse().unwrap()
}

/// The size of the folder since Linux 6.2. To list ten thousand takes the kernel milliseconds, in which it lets nobody
/// else have the processor: that would be measured as the server's delay.
fn descriptors(folder: &std::path::Path) -> usize {
    match fs::metadata(folder).unwrap().len() {
        0 => fs::read_dir(folder).unwrap().count(),
        count => count as usize,
    }
}

impl Dropped {
    pub(crate) fn so_far() -> Self {
        Self { at_sockets: at_sockets().unwrap_or_default(), at_processors: at_processors() }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            at_sockets: self.at_sockets - before.at_sockets,
            at_processors: self.at_processors - before.at_processors,
        }
    }
}

/// `RcvbufErrors` of UDP, in the second of two lines of which the first has the names.
fn at_sockets() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/snmp").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == "RcvbufErrors")?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

/// The second number of each processor's line, which are hexadecimal.
fn at_processors() -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    text.lines().filter_map(dropped).sum()
}
