//! A supervisor's protocol, by a small fake of it: readiness, reloads, the watchdog, sockets that it opened.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::place::{AMPLE, Place, exchange, query};

/// What a supervisor hears.
struct Ear {
    socket: UnixDatagram,
    place: Place,
}

impl Ear {
    fn new() -> Self {
        let place = Place::new();
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(AMPLE)).unwrap();
        Self { socket, place }
    }

    fn arrange(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.place.path("notify"));
    }

    /// What is said next, but for signs of life.
    fn hear(&self) -> String {
        loop {
            let said = self.hear_all();
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }

    fn hear_all(&self) -> String {
        let mut octets = [0; 4096];
        let length = self.socket.recv(&mut octets).unwrap();
        String::from_utf8(octets[..length].to_vec()).unwrap()
    }
}

#[test]
fn readiness_reloads_and_the_end_are_told() {
    let ear = Ear::new();
    let process = ear.place.spawn_with("serve", |command| ear.arrange(command));
    let id = process.id();
    assert_eq!(ear.hear(), format!("READY=1\nMAINPID={id}"));
    let mut server = ear.place.wait_for_server(process);
    assert!(server.steered().is_some(), "who is ready answers");

    server.signal("HUP");
    let reloading = ear.hear();
    let when = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(when.parse::<u64>().unwrap() > 0, "{reloading}");
    assert!(ear.hear().starts_with("READY=1\n"));
    ear.place.write("rhumb.toml", "[server");
    server.signal("HUP");
    assert!(ear.hear().starts_with("RELOADING=1\n"));
    assert!(ear.hear().starts_with("READY=1\n"), "a reload that fails is over too");

    server.signal("TERM");
    assert_eq!(ear.hear(), "STOPPING=1");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn signs_of_life_come_several_times_within_the_supervisors_patience() {
    let ear = Ear::new();
    let process = ear.place.spawn_with("serve", |command| {
        ear.arrange(command);
        command.env("WATCHDOG_USEC", "1000000");
    });
    let server = ear.place.wait_for_server(process);
    let begin = Instant::now();
    let mut signs = 0;
    while begin.elapsed() < Duration::from_secs(4) {
        signs += u32::from(ear.hear_all() == "WATCHDOG=1");
    }
    assert!(signs >= 8, "{signs} in four seconds of four each");
    drop(server);
}

#[test]
fn sockets_of_the_supervisor_are_served_and_shared_among_workers() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = [
        udp.try_clone().unwrap().into(),
        tcp.try_clone().unwrap().into(),
        metrics.try_clone().unwrap().into(),
    ];
    let place = Place::with(&format!("[metrics]\nlisten = \"{}\"\n", metrics.local_addr().unwrap()));
    let text = place.read("rhumb.toml");
    place.write("rhumb.toml", &text.replacen("127.0.0.1:0", &address.to_string(), 1));
    let process = handed(&place.path("."), sockets, "dns:dns:metrics");
    // The supervisor's own copies stay open, as systemd's do.
    let server = place.wait_for_server(process);
    assert_eq!(server.address, address);
    for _ in 0..50 {
        assert!(server.steered().is_some());
    }
    assert!(tcp_answers(address));
    assert!(std::net::TcpStream::connect(metrics.local_addr().unwrap()).is_ok());
    assert!(exchange(address, &query("www.example.com", 1)).is_some());
}

/// Starts a server that is handed these at the numbers 3, 4 and 5. They travel as the standard streams of a shell,
/// which moves them: so no other process inherits them.
pub(crate) fn handed(folder: &Path, sockets: [OwnedFd; 3], names: &str) -> Child {
    let [third, fourth, fifth] = sockets;
    let script = "exec 3<&0 4<&1 5<&2 </dev/null >/dev/null 2>>log; export LISTEN_PID=$$; exec \"$0\" serve";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_rhumb")]).current_dir(folder);
    shell.env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", names);
    shell.stdin(third).stdout(fourth).stderr(fifth).spawn().unwrap()
}

fn tcp_answers(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(AMPLE)).unwrap();
    let query = query("www.example.com", 1);
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    connection.write_all(&[&length, &query[..]].concat()).unwrap();
    connection.read_exact(&mut [0; 14]).is_ok()
}
