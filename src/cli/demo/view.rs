//! What clients see: real queries over UDP, with the client's network as EDNS Client Subnet, and the answers read.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::world::{Client, NAME, Region};
use crate::answer::dig;
use crate::name::Name;
use crate::wire::ask::question;
use crate::wire::code::RecordType;

/// The answer that a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The region whose address it is.
    pub(super) region: &'static str,
    pub(super) address: IpAddr,
    /// For how many seconds resolvers may keep it.
    pub(super) ttl: u32,
    /// What extended errors say (RFC 8914).
    pub(super) extended_errors: Vec<String>,
}

/// How clients ask.
#[derive(Debug)]
pub(super) struct Asker {
    socket: UdpSocket,
    id: u16,
}

/// How long an answer may take until the question is asked again.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How often a question is asked until nobody is believed to answer.
const TRIES: usize = 6;
/// The longest answer over UDP.
const ANSWER_OCTETS_MAX: usize = 1232;

impl Asker {
    /// Asks the server at `server`.
    pub(super) fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((server.ip(), 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { socket, id: 0 })
    }

    /// What a client gets when it asks for the steered name.
    pub(super) fn ask(&mut self, client: &Client) -> Result<View, String> {
        let name: Name = NAME.parse().expect("the name of the demo is well-formed");
        for _ in 0..TRIES {
            self.id = self.id.wrapping_add(1);
            let asked = question(self.id, &name, RecordType::A, Some(client.prefix()));
            self.socket.send(&asked).map_err(|error| format!("the server cannot be asked: {error}"))?;
            if let Some(answer) = self.receive() {
                return read(&answer);
            }
        }
        Err(format!("the server does not answer {}", client.who))
    }

    /// The answer to the question asked last; answers to earlier ones came too late.
    fn receive(&self) -> Option<Vec<u8>> {
        let mut octets = [0; ANSWER_OCTETS_MAX];
        loop {
            let length = self.socket.recv(&mut octets).ok()?;
            if octets[..length].starts_with(&self.id.to_be_bytes()) {
                return Some(octets[..length].to_vec());
            }
        }
    }
}

fn read(answer: &[u8]) -> Result<View, String> {
    let shown = dig::show(answer).map_err(|dig::Unreadable| "the answer is no DNS message".to_owned())?;
    let [record] = shown.answer.as_slice() else {
        return Err(format!("one address is wanted, but the answer is\n{shown}"));
    };
    let fields: Vec<&str> = record.split(' ').collect();
    let told = match fields.as_slice() {
        [_, ttl, "IN", "A", address] => ttl.parse().ok().zip(address.parse().ok()),
        _ => None,
    };
    let view = told.and_then(|(ttl, address): (u32, IpAddr)| {
        let region = Region::name_at(address)?;
        Some(View { region, address, ttl, extended_errors: shown.extended_errors })
    });
    view.ok_or_else(|| format!("{record} is no answer of the demo"))
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {}  TTL {:>2}", self.region, self.address, self.ttl)?;
        self.extended_errors.iter().try_for_each(|error| write!(f, "  EDE {error}"))
    }
}
