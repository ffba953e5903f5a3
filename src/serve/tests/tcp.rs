//! TCP: pipelining, and every way in which a client may be slow, greedy or rude.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use super::*;

/// A time limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A message of `length` octets that begins with `id`, behind its length.
pub(super) fn framed(id: u16, length: u16) -> Vec<u8> {
    let mut octets = length.to_be_bytes().to_vec();
    octets.extend(id.to_be_bytes());
    octets.resize(2 + usize::from(length), 0);
    octets
}

/// A connection whose client has this address.
pub(super) fn connect_from(client: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(super) fn expect(stream: &mut impl Read, message: &[u8]) {
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).unwrap();
    assert!(reply == message, "another reply than expected");
}

/// Whether the server ended the connection, in whichever way, without another octet.
pub(super) fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

fn is_served(stream: &mut TcpStream) -> bool {
    let query = framed(1, 20);
    stream.write_all(&query).is_ok() && stream.read_exact(&mut [0; 22]).is_ok()
}

#[test]
fn a_hundred_queries_in_one_segment_are_answered_in_order() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let mut stream = connect(&server);
    let queries: Vec<u8> = (0..100).flat_map(|id| framed(id, 40 + id)).collect();
    for _ in 0..3 {
        stream.write_all(&queries).unwrap();
        expect(&mut stream, &queries);
    }
    assert_eq!(server.total(Transport::Tcp, |counters| counters.received.get()), 300);
}

#[test]
fn octets_may_come_one_by_one() {
    let server = start(&["[::1]:0"], limits(), echo);
    let mut stream = connect(&server);
    let queries: Vec<u8> = (0..3).flat_map(|id| framed(id, 12 + id)).collect();
    for octet in &queries {
        stream.write_all(&[*octet]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    expect(&mut stream, &queries);
}

#[test]
fn messages_of_any_length_pass_however_they_are_cut() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let mut stream = connect(&server);
    let lengths = [12, 1022, 1023, 4094, 65_535, 13, 65_535, 65_534, 12];
    let queries: Vec<u8> = lengths.iter().zip(0..).flat_map(|(length, id)| framed(id, *length)).collect();
    let mut writer = stream.try_clone().unwrap();
    for cut in [1, 1000, 70_000, queries.len()] {
        thread::scope(|scope| {
            let (writer, queries) = (&mut writer, &queries);
            scope.spawn(move || {
                let (head, tail) = queries.split_at(cut);
                writer.write_all(head).unwrap();
                thread::sleep(Duration::from_millis(20));
                writer.write_all(tail).unwrap();
            });
            expect(&mut stream, queries);
        });
    }
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_replies() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let mut stream = connect(&server);
    let queries: Vec<u8> = (0..50).flat_map(|id| framed(id, 5000)).collect();
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        let queries = &queries;
        scope.spawn(move || {
            writer.write_all(queries).unwrap();
            writer.write_all(&[0, 40, 1]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        expect(&mut stream, queries);
    });
    assert!(is_closed(&mut stream));
    eventually("the seat is free", || server.connections(Transport::Tcp).open == 0);
}

#[test]
fn after_its_queries_a_connection_is_ended_and_not_cut() {
    let server = start(&["127.0.0.1:0"], Limits { queries: 2, ..limits() }, echo);
    let mut stream = connect(&server);
    let queries: Vec<u8> = (0..3).flat_map(|id| framed(id, 20)).collect();
    stream.write_all(&queries).unwrap();
    expect(&mut stream, &queries[..44]);
    // Who has not heard of the end asks on; were the connection closed, that would reset it.
    for _ in 0..2 {
        stream.write_all(&queries).unwrap();
        thread::sleep(SHORT / 3);
    }
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    eventually("gone", || server.connections(Transport::Tcp).open == 0);
    assert_eq!(server.total(Transport::Tcp, |counters| counters.received.get()), 2);
    assert_eq!(server.connections(Transport::Tcp).broken_off, 1);
}

#[test]
fn the_last_query_of_a_connection_is_answered_as_such() {
    let tell = |_: &AnswerTable, _: &[u8], envelope: Envelope, reply: &mut [u8], _: &Counters| {
        reply[..12].fill(envelope.is_last.into());
        Action::Send(12)
    };
    let server = start(&["127.0.0.1:0"], Limits { queries: 3, ..limits() }, tell);
    let together: Vec<u8> = (0..4).flat_map(|id| framed(id, 20)).collect();
    let replies = [[0; 12], [0; 12], [1; 12]].map(|reply| [&[0, 12], &reply[..]].concat()).concat();
    let mut stream = connect(&server);
    stream.write_all(&together).unwrap();
    expect(&mut stream, &replies);
    let mut stream = connect(&server);
    for reply in replies.chunks(14) {
        stream.write_all(&framed(7, 20)).unwrap();
        expect(&mut stream, reply);
    }
}

#[test]
fn a_stream_out_of_step_is_closed_after_the_replies_before_it() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    for nonsense in [&[0, 0][..], &[0, 11, 1, 2, 3], &[0, 5, 1, 2, 3, 4, 5]] {
        let mut stream = connect(&server);
        let query = framed(7, 30);
        stream.write_all(&[&query, nonsense].concat()).unwrap();
        expect(&mut stream, &query);
        assert!(is_closed(&mut stream), "{nonsense:?}");
    }
}

#[test]
fn a_message_without_reply_leaves_no_gap() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let mut stream = connect(&server);
    stream
        .write_all(&[framed(0xff00, 20), framed(1, 20), framed(0xff00, 20), framed(2, 20)].concat())
        .unwrap();
    expect(&mut stream, &[framed(1, 20), framed(2, 20)].concat());
}

#[test]
fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let server = start(&["127.0.0.1:0"], Limits { idle: SHORT, ..limits() }, echo);
    let (mut used, mut idle) = (connect(&server), connect(&server));
    for _ in 0..12 {
        assert!(is_served(&mut used));
        thread::sleep(SHORT / 4);
    }
    assert!(is_closed(&mut idle));
    assert_eq!(
        (server.connections(Transport::Tcp).timed_out, server.connections(Transport::Tcp).open),
        (1, 1)
    );
    assert!(is_closed(&mut used));
}

#[test]
fn a_message_has_its_time_however_its_octets_dribble() {
    let server = start(&["127.0.0.1:0"], Limits { message: SHORT, ..limits() }, echo);
    let mut stream = connect(&server);
    eventually("closed", || stream.write_all(&[1]).is_err());
    assert_eq!(server.connections(Transport::Tcp).timed_out, 1);
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_ended() {
    let server = start(&["127.0.0.1:0"], Limits { write: SHORT, ..limits() }, |_, _, _, reply, _| {
        Action::Send(reply.len())
    });
    let mut stream = connect(&server);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(id, 12)).collect();
    eventually("ended", || stream.write_all(&queries).is_err());
    assert_eq!(server.connections(Transport::Tcp).timed_out, 1);
    // 65 MB would have been due for the first burst alone; what was answered fits the buffers of the kernel and ours.
    assert!(server.total(Transport::Tcp, |counters| counters.received.get()) < 500);
}

#[test]
fn a_client_has_so_many_connections_and_another_client_its_own() {
    let server = start(&["0.0.0.0:0"], Limits { connections_per_client: 2, ..limits() }, echo);
    let port = server.addresses[0].port();
    let from = |client| connect_from(client, ([127, 0, 0, 1], port).into());
    let mut first = [from([127, 0, 0, 1]), from([127, 0, 0, 1])];
    assert!(first.iter_mut().all(is_served));
    assert!(is_closed(&mut from([127, 0, 0, 1])));
    assert!(is_served(&mut from([127, 0, 0, 2])));
    assert!(first.iter_mut().all(is_served));
    assert_eq!(server.connections(Transport::Tcp).refused, 1);
    drop(first);
    eventually("seats are free again", || server.connections(Transport::Tcp).open == 0);
    assert!(is_served(&mut from([127, 0, 0, 1])));
}

#[test]
fn when_all_seats_are_taken_the_longest_idle_makes_room() {
    let server = start(&["127.0.0.1:0"], Limits { connections: 3, ..limits() }, echo);
    let mut streams = [connect(&server), connect(&server), connect(&server)];
    eventually("all connected", || server.connections(Transport::Tcp).open == 3);
    thread::sleep(SHORT);
    assert!(is_served(&mut streams[0]) && is_served(&mut streams[2]));
    let mut newcomer = connect(&server);
    assert!(is_served(&mut newcomer));
    assert!(is_closed(&mut streams[1]));
    assert!(is_served(&mut streams[0]) && is_served(&mut streams[2]) && is_served(&mut newcomer));
    let counts = server.connections(Transport::Tcp);
    assert_eq!((counts.open, counts.accepted, counts.evicted, counts.refused), (3, 4, 1, 0));
}

#[test]
fn whoever_has_most_connections_makes_room_however_long_others_have_been_idle() {
    let server = start(&["0.0.0.0:0"], Limits { connections: 3, ..limits() }, echo);
    let port = server.addresses[0].port();
    let from = |host| connect_from([127, 0, 0, host], ([127, 0, 0, 1], port).into());
    let mut alone = from(2);
    assert!(is_served(&mut alone));
    thread::sleep(SHORT);
    let mut crowd = [from(1), from(1)];
    assert!(crowd.iter_mut().all(is_served));
    let mut newcomer = from(3);
    assert!(is_served(&mut newcomer));
    assert!(is_closed(&mut crowd[0]));
    assert!(is_served(&mut alone) && is_served(&mut crowd[1]) && is_served(&mut newcomer));
    // One each: now it is the time that tells.
    assert!(is_served(&mut from(4)));
    assert!(is_served(&mut crowd[1]) && is_served(&mut newcomer));
    assert!(is_closed(&mut alone));
}

#[test]
fn of_clients_that_never_finish_the_slowest_makes_room() {
    let server = start(&["127.0.0.1:0"], Limits { connections: 2, ..limits() }, echo);
    let mut streams = [connect(&server), connect(&server)];
    for stream in &mut streams {
        stream.write_all(&[0, 20, 1]).unwrap();
        thread::sleep(SHORT);
    }
    assert!(is_served(&mut connect(&server)));
    assert!(is_closed(&mut streams[0]));
}

/// Set in the process that [`without_descriptors_idle_connections_make_room_and_udp_goes_on`] starts of itself.
const FEW_DESCRIPTORS: &str = "RHUMB_TEST_FEW_DESCRIPTORS";

/// Serves until the parent closes the pipe, then tells what became of connections.
fn serve_with_few_descriptors() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    println!("\nlistening {}", server.addresses[0]);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("\nfailed {}", server.connections(Transport::Tcp).accept_failed);
}

#[test]
fn without_descriptors_idle_connections_make_room_and_udp_goes_on() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        return serve_with_few_descriptors();
    }
    let name = "serve::tests::tcp::without_descriptors_idle_connections_make_room_and_udp_goes_on";
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FEW_DESCRIPTORS, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut value = |key: &str| said.find_map(|line| line.strip_prefix(key).map(str::to_owned)).unwrap();
    let address: SocketAddr = value("listening ").parse().unwrap();

    let idle: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..100 {
        socket.send_to(b"still there?", address).unwrap();
        assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 12);
    }
    let mut newcomer = TcpStream::connect(address).unwrap();
    newcomer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(is_served(&mut newcomer));
    drop(child.stdin.take());
    let failed: u64 = value("failed ").parse().unwrap();
    assert!((1..200).contains(&failed), "accepting failed {failed} times: never, or without a pause");
    assert!(child.wait().unwrap().success());
    drop(idle);
}
