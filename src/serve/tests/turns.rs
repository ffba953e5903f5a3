//! By turns: while one connection is at work the others wait, handshakes among them, and fewest connections go first. The
//! runtime has two threads, so there is one turn.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};

use rustls::ClientConnection;

use super::tcp::{connect_from, expect, framed};
use super::*;

const GREEDY: [u8; 4] = [127, 0, 0, 1];
const HONEST: [u8; 4] = [127, 0, 0, 2];
/// Connections of the greedy client that wait.
const CROWD: usize = 20;
/// How often whatever can go on is let go on, so that nobody does any more.
const ROUNDS: u32 = 100;

/// Whose questions were taken, in their order.
type Asked = Arc<Mutex<Vec<IpAddr>>>;

/// A responder that is at its first question until it is let go on, and by it the connection that asked.
fn held_up() -> (impl Responder, Asked, Sender<()>) {
    let asked = Asked::default();
    let (let_go, gate) = mpsc::channel();
    let (gate, noted) = (Arc::new(Mutex::new(gate)), Arc::clone(&asked));
    let respond = move |table: &AnswerTable,
                        packet: &[u8],
                        envelope: Envelope,
                        reply: &mut [u8],
                        counters: &Counters| {
        let mut asked = noted.lock().unwrap();
        asked.push(envelope.source);
        let is_first = asked.len() == 1;
        drop(asked);
        if is_first {
            // A test that fails does not let it go.
            let _ = gate.lock().unwrap().recv_timeout(PATIENCE);
        }
        echo(table, packet, envelope, reply, counters)
    };
    (respond, asked, let_go)
}

/// Lets everything that can go on go on, by the thread that is not held up. It may sleep while the other would look for what
/// has become ready, so it is woken.
fn settle(server: &Server) {
    let rounds = server.runtime.spawn(async {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
    });
    server.runtime.block_on(rounds).unwrap();
}

/// Waits until so many are seated and have done all that they can.
fn seated(server: &Server, transport: Transport, connections: usize) {
    eventually("seated", || {
        settle(server);
        server.connections(transport).open == connections as u64
    });
    settle(server);
}

#[test]
fn while_one_is_answered_others_wait_and_who_has_fewest_connections_goes_first() {
    let (respond, asked, let_go) = held_up();
    let server = start(&["127.0.0.1:0"], limits(), respond);
    let query = framed(1, 20);
    let ask = |client| {
        let mut stream = connect_from(client, server.addresses[0]);
        stream.write_all(&query).unwrap();
        stream
    };
    let first = ask(GREEDY);
    eventually("one is being answered", || asked.lock().unwrap().len() == 1);
    let crowd = (0..CROWD).map(|_| ask(GREEDY));
    let mut streams: Vec<_> = [first].into_iter().chain(crowd).collect();
    streams.push(ask(HONEST));
    seated(&server, Transport::Tcp, CROWD + 2);
    assert_eq!(asked.lock().unwrap().len(), 1, "nobody else works meanwhile");
    let_go.send(()).unwrap();
    streams.iter_mut().for_each(|stream| expect(stream, &query));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[1], IpAddr::from(HONEST), "who came last goes first");
    let greedy = asked.iter().filter(|source| **source == Ipv4Addr::from(GREEDY)).count();
    assert_eq!((greedy, asked.len()), (CROWD + 1, CROWD + 2));
}

#[test]
fn a_handshake_waits_for_its_turn() {
    let (respond, asked, let_go) = held_up();
    let (server, shown) = start_encrypted(limits(), respond);
    let address = server.at(Transport::Tls);
    let mut at_work = shown.connect(address, b"dot").unwrap();
    at_work.write_all(&framed(1, 20)).unwrap();
    eventually("one is being answered", || asked.lock().unwrap().len() == 1);

    let config = Arc::new(shown.client_config(b"dot"));
    let mut greeting = ClientConnection::new(config, "ns.example.net".try_into().unwrap()).unwrap();
    let mut waiting = TcpStream::connect(address).unwrap();
    greeting.write_tls(&mut waiting).unwrap();
    seated(&server, Transport::Tls, 2);
    waiting.set_nonblocking(true).unwrap();
    let nothing = waiting.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock), "its greeting has no reply yet");
    let_go.send(()).unwrap();
    waiting.set_nonblocking(false).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    while greeting.is_handshaking() {
        greeting.complete_io(&mut waiting).unwrap();
    }
    expect(&mut at_work, &framed(1, 20));
}
