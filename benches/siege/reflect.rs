//! Who does nothing but send back what came, at the same processor as the server and as readily: how long its replies
//! take is how long the machine takes, whatever the server is.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use rhumb::process::priority;

/// The process, ended when dropped.
pub(crate) struct Reflector {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// Reflects until killed.
pub(crate) fn run() -> ! {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    println!("{}", socket.local_addr().unwrap());
    priority::take_short_turns();
    priority::go_ahead();
    let mut room = [0; 512];
    loop {
        if let Ok((octets, from)) = socket.recv_from(&mut room) {
            let _ = socket.send_to(&room[..octets], from);
        }
    }
}

impl Reflector {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("reflect")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        super::pin(child.id(), 0);
        Self { child, address: told.trim_end().parse().unwrap() }
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
