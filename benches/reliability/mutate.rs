//! Mutated queries through real sockets: what a stranger may send by UDP and by TCP, and what comes back.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rhumb::agent::chance::Chance;
use rhumb::answer::respond::Transport;

use crate::ask::Asked;
use crate::mutation::{CONFIGURATION, ZONE, below, corpus, mutate};
use crate::oracle;
use crate::place::{Place, Server};
use crate::resident_kb;

/// Packets that are under way together.
const BATCH: usize = 64;
/// What is not answered by then is not answered; longer than a machine is away for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches of one connection.
const BATCHES_PER_CONNECTION: usize = 100;
/// A message is at least a header.
const HEADER_OCTETS: usize = 12;
/// What the server may grow by while it answers the last nine tenths, in kB: the rounding of its allocator.
const GROWTH_MAX_KB: u64 = 1024;

/// Packets without end, and what came of them.
struct Packets {
    corpus: Vec<Vec<u8>>,
    chance: Chance,
    number: usize,
    told: BTreeMap<String, u64>,
}

/// Sends `count` packets by each transport; ends at the first reply that is not as it should be.
pub(crate) fn run(count: usize) {
    let place = Place::new();
    place.write("zone", ZONE);
    place.write(
        "rhumb.toml",
        &format!(
            "server.listen = [\"127.0.0.1:0\"]\nserver.workers = 1\nregions.eu = {{}}\nregions.us = {{}}\n\
             zones.\"example.com\" = {{ file = \"zone\" }}\n{CONFIGURATION}"
        ),
    );
    for (transport, send) in [(Transport::Udp, by_udp as fn(_, &mut _, _)), (Transport::Tcp, by_tcp)] {
        let mut server = place.serve();
        let mut packets = Packets {
            corpus: corpus(),
            chance: Chance::seeded(20_261_121),
            number: 0,
            told: BTreeMap::new(),
        };
        // The first tenth warms it up.
        send(server.address, &mut packets, count / 10);
        let before = resident_kb(&server.process);
        send(server.address, &mut packets, count);
        let after = resident_kb(&server.process);
        println!(
            "{transport}: {} packets, {:?}; no SERVFAIL, no reply to a reply, every reply is read; resident {before} kB \
             after a tenth, {after} kB at the end",
            packets.number, packets.told
        );
        assert!(!packets.told.contains_key("SERVFAIL"));
        assert!(is_alive(&mut server), "{}", place.read("log"));
        assert!(after <= before + GROWTH_MAX_KB, "memory grew from {before} to {after} kB");
    }
}

fn is_alive(server: &mut Server) -> bool {
    server.process.try_wait().unwrap().is_none()
}

impl Packets {
    fn next(&mut self) -> Vec<u8> {
        let mut packet = self.corpus[self.number % self.corpus.len()].clone();
        let other = self.corpus[below(&mut self.chance, self.corpus.len())].clone();
        for _ in 0..below(&mut self.chance, 6) {
            mutate(&mut packet, &other, &mut self.chance);
        }
        // Replies are told apart by it.
        if let Some(id) = packet.get_mut(..2) {
            id.copy_from_slice(&(self.number as u16).to_be_bytes());
        }
        self.number += 1;
        packet
    }

    fn hear(&mut self, asked: &mut HashMap<[u8; 2], Vec<u8>>, transport: Transport, reply: &[u8]) {
        let packet = asked.remove(&reply[..2]).expect("nobody asked what this reply answers");
        let source = [127, 0, 0, 1].into();
        let shown = oracle::judge(&Asked { packet, source, transport }, reply);
        *self.told.entry(shown.status.clone()).or_default() += 1;
    }

    fn note_silence(&mut self) {
        *self.told.entry("no reply, rightly".to_owned()).or_default() += 1;
    }
}

fn deserves_reply(packet: &[u8]) -> bool {
    packet.len() >= HEADER_OCTETS && packet[2] & 0x80 == 0
}

fn by_udp(server: SocketAddr, packets: &mut Packets, count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut room = vec![0; 65_536];
    while packets.number < count {
        let mut asked = HashMap::new();
        for _ in 0..BATCH {
            let packet = packets.next();
            socket.send(&packet).unwrap();
            if deserves_reply(&packet) {
                asked.insert([packet[0], packet[1]], packet);
            } else {
                packets.note_silence();
            }
        }
        while !asked.is_empty() {
            let octets = socket.recv(&mut room);
            let octets = octets.unwrap_or_else(|error| panic!("{error}; without a reply: {asked:02x?}"));
            packets.hear(&mut asked, Transport::Udp, &room[..octets]);
        }
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut room).is_err(), "a reply to what deserves none");
}

fn by_tcp(server: SocketAddr, packets: &mut Packets, count: usize) {
    while packets.number < count {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..BATCHES_PER_CONNECTION {
            if let Some(short) = exchange(&mut stream, packets) {
                expect_end(&mut stream, &short);
                break;
            }
        }
    }
}

/// Sends messages and reads their replies, up to one that is too short to be a message, which it returns.
fn exchange(stream: &mut TcpStream, packets: &mut Packets) -> Option<Vec<u8>> {
    let (mut asked, mut octets, mut short) = (HashMap::new(), Vec::new(), None);
    for _ in 0..BATCH {
        let packet = packets.next();
        if packet.len() < HEADER_OCTETS {
            packets.note_silence();
            short = Some(packet);
            break;
        }
        octets.extend((packet.len() as u16).to_be_bytes());
        octets.extend(&packet);
        if deserves_reply(&packet) {
            asked.insert([packet[0], packet[1]], packet);
        } else {
            packets.note_silence();
        }
    }
    stream.write_all(&octets).unwrap();
    while !asked.is_empty() {
        let mut length = [0; 2];
        let read = stream.read_exact(&mut length);
        read.unwrap_or_else(|error| panic!("{error}; without a reply: {asked:02x?}"));
        let mut reply = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut reply).unwrap();
        packets.hear(&mut asked, Transport::Tcp, &reply);
    }
    short
}

/// Who is out of step is hung up on.
fn expect_end(stream: &mut TcpStream, short: &[u8]) {
    let octets = [&(short.len() as u16).to_be_bytes(), short].concat();
    stream.write_all(&octets).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(count) => assert_eq!(count, 0, "a reply to {short:02x?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "after {short:02x?}"),
    }
}
