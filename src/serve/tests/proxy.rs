//! Clients behind a load balancer, by the header that it sends.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use super::tcp::{framed, is_closed};
use super::*;

/// Replies with the address that the query seems to come from.
fn who(_: &AnswerTable, _: &[u8], envelope: Envelope, reply: &mut [u8], _: &Counters) -> Action {
    let text = envelope.source.to_string();
    reply[..text.len()].copy_from_slice(text.as_bytes());
    Action::Send(text.len())
}

fn behind_proxy(limits: Limits) -> (Server, certificate::Shown) {
    let shown = certificate::Shown::new("ns.example.net");
    let encrypted = Encrypted { quic: Listener::default(), ..encrypted(&shown, limits) };
    let settings = Settings {
        proxies: ["127.0.0.1/32".parse().unwrap()].into(),
        encrypted: Some(encrypted),
        ..settings(&["0.0.0.0:0"], limits)
    };
    (super::serve(&settings, who), shown)
}

fn header(client: [u8; 4]) -> Vec<u8> {
    let mut octets = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    octets.extend(client);
    octets.extend([198, 51, 100, 1, 0x30, 0x39, 0, 53]);
    octets
}

fn reply(stream: &mut impl Read) -> String {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets).unwrap();
    String::from_utf8(octets).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.addresses[0].port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn the_client_is_who_the_header_names_by_tcp_tls_and_https() {
    let (server, shown) = behind_proxy(limits());
    let mut stream = connect(&server);
    for octet in header([192, 0, 2, 7]) {
        stream.write_all(&[octet]).unwrap();
    }
    stream.write_all(&[framed(1, 12), framed(2, 12)].concat()).unwrap();
    assert_eq!([reply(&mut stream), reply(&mut stream)], ["192.0.2.7", "192.0.2.7"]);

    // The balancer itself, to see whether the server lives.
    let mut stream = connect(&server);
    stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").unwrap();
    stream.write_all(&framed(1, 12)).unwrap();
    assert_eq!(reply(&mut stream), "127.0.0.1");

    let mut stream = TcpStream::connect(server.at(Transport::Tls)).unwrap();
    stream.write_all(&header([192, 0, 2, 8])).unwrap();
    let mut stream = shown.wrap(stream, b"dot").unwrap();
    stream.write_all(&framed(1, 12)).unwrap();
    assert_eq!(reply(&mut stream), "192.0.2.8");

    let mut stream = TcpStream::connect(server.at(Transport::Https)).unwrap();
    stream.write_all(&header([192, 0, 2, 9])).unwrap();
    let mut stream = shown.wrap(stream, b"http/1.1").unwrap();
    stream.write_all(b"GET /dns-query?dns=AAAA HTTP/1.0\r\n\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.ends_with("\r\n192.0.2.9"), "{told}");
}

#[test]
fn a_proxy_without_its_header_is_not_served() {
    let (server, shown) = behind_proxy(limits());
    let mut stream = connect(&server);
    stream.write_all(&framed(1, 30)).unwrap();
    assert!(is_closed(&mut stream));
    assert!(shown.connect(server.at(Transport::Tls), b"dot").is_err());
    assert!(shown.connect(server.at(Transport::Https), b"h2").is_err());
    assert_eq!(server.connections(Transport::Tcp).broken_off, 1);
}

#[test]
fn a_header_from_elsewhere_is_no_header() {
    let (server, _shown) = behind_proxy(limits());
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], server.addresses[0].port())).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&framed(1, 12)).unwrap();
    assert_eq!(reply(&mut stream), "127.0.0.2");
}

#[test]
fn a_header_has_its_time() {
    let (server, _shown) = behind_proxy(Limits { handshake: Duration::from_millis(300), ..limits() });
    let mut stream = connect(&server);
    stream.write_all(&header([192, 0, 2, 7])[..10]).unwrap();
    assert!(is_closed(&mut stream));
    assert_eq!(server.connections(Transport::Tcp).timed_out, 1);
}

#[test]
fn a_client_behind_a_proxy_has_its_own_share_and_the_proxy_none() {
    let (server, _shown) = behind_proxy(Limits { connections_per_client: 2, ..limits() });
    let mut taken = Vec::new();
    for client in [7, 8, 9] {
        for _ in 0..2 {
            let mut stream = connect(&server);
            stream.write_all(&[header([192, 0, 2, client]), framed(1, 12)].concat()).unwrap();
            assert_eq!(reply(&mut stream), format!("192.0.2.{client}"));
            taken.push(stream);
        }
    }
    let mut third = connect(&server);
    third.write_all(&[header([192, 0, 2, 7]), framed(1, 12)].concat()).unwrap();
    assert!(is_closed(&mut third));
    assert_eq!(server.connections(Transport::Tcp).refused, 1);
    drop(taken);
    eventually("free", || server.connections(Transport::Tcp).open == 0);
    let mut again = connect(&server);
    again.write_all(&[header([192, 0, 2, 7]), framed(1, 12)].concat()).unwrap();
    assert_eq!(reply(&mut again), "192.0.2.7");
}

#[test]
fn datagrams_of_a_proxy_carry_their_client() {
    let (server, _shown) = behind_proxy(limits());
    let ask = |from: &str, octets: &[u8]| {
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket.send_to(octets, ("127.0.0.1", server.addresses[0].port())).unwrap();
        let mut reply = [0; 64];
        socket.recv(&mut reply).ok().map(|length| String::from_utf8(reply[..length].to_vec()).unwrap())
    };
    let headed = [&header([192, 0, 2, 7])[..], &[0; 12]].concat();
    assert_eq!(ask("127.0.0.1:0", &headed).as_deref(), Some("192.0.2.7"));
    assert_eq!(ask("127.0.0.1:0", &[0; 12]), None);
    assert_eq!(ask("127.0.0.2:0", &[0; 12]).as_deref(), Some("127.0.0.2"));
}
