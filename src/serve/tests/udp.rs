//! UDP: every client gets its own replies, from the address that it asked.

use std::net::UdpSocket;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;

use super::*;

fn client(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends `query` to `server` and checks that it comes back from there.
fn exchange(socket: &UdpSocket, server: SocketAddr, query: &[u8]) {
    socket.send_to(query, server).unwrap();
    let mut reply = [0; 4096];
    let (length, from) = socket.recv_from(&mut reply).unwrap();
    assert_eq!((&reply[..length], from), (query, server));
}

#[test]
fn many_clients_each_get_their_own_replies_in_both_families() {
    const CLIENTS: u16 = 20;
    const WINDOW: u16 = 40;
    let server = start(&["127.0.0.1:0", "[::1]:0"], limits(), echo);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let address = server.addresses[usize::from(number) % 2];
            scope.spawn(move || {
                let socket = client(if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
                for round in 0..10u16 {
                    for id in 0..WINDOW {
                        let query: Vec<u8> =
                            [number, round, id].iter().flat_map(|part| part.to_be_bytes()).collect();
                        socket.send_to(&query, address).unwrap();
                    }
                    for id in 0..WINDOW {
                        let mut reply = [0; 64];
                        let (length, from) = socket.recv_from(&mut reply).unwrap();
                        let expected: Vec<u8> =
                            [number, round, id].iter().flat_map(|part| part.to_be_bytes()).collect();
                        assert_eq!((&reply[..length], from), (&expected[..], address));
                    }
                }
            });
        }
    });
    let sent = u64::from(CLIENTS * WINDOW * 10);
    eventually("counted", || server.total(Transport::Udp, |counters| counters.received.get()) == sent);
}

#[test]
fn a_wildcard_socket_replies_from_the_address_that_was_asked() {
    let server = start(&["0.0.0.0:0", "[::]:0"], limits(), echo);
    let [v4, v6] = server.addresses[..] else { unreachable!() };
    let socket = client("0.0.0.0:0");
    for asked in ["127.0.0.1", "127.0.0.2", "127.200.3.4"] {
        exchange(&socket, SocketAddr::new(asked.parse().unwrap(), v4.port()), b"from there");
    }
    exchange(&client("[::]:0"), SocketAddr::new("::1".parse().unwrap(), v6.port()), b"from there");
}

#[test]
fn what_deserves_no_reply_gets_none_and_keeps_none_from_others() {
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let address = server.addresses[0];
    let socket = client("127.0.0.1:0");
    for round in 0..20u8 {
        for query in [&[0xff, round][..], &[1, round], &[0xff], &[2, round]] {
            socket.send_to(query, address).unwrap();
        }
        for number in [1, 2] {
            let mut reply = [0; 64];
            assert_eq!(socket.recv(&mut reply).unwrap(), 2);
            assert_eq!(reply[..2], [number, round]);
        }
    }
    exchange(&socket, address, &[7; 1232]);
}

#[test]
fn an_empty_datagram_reaches_the_responder_and_of_the_longest_the_start() {
    let server = start(&["127.0.0.1:0"], limits(), |_, packet, _, reply, _| {
        reply[..2].copy_from_slice(&(packet.len() as u16).to_be_bytes());
        Action::Send(2)
    });
    let socket = client("127.0.0.1:0");
    for (sent, taken) in [(0, 0_u16), (4096, 4096), (4097, 4096), (65_507, 4096)] {
        socket.send_to(&vec![7; sent], server.addresses[0]).unwrap();
        let mut reply = [9; 3];
        assert_eq!(socket.recv(&mut reply).unwrap(), 2, "{sent}");
        assert_eq!(reply[..2], taken.to_be_bytes(), "{sent}");
    }
}

#[test]
fn swaps_under_load_lose_no_query_and_the_publisher_frees_every_table() {
    const QUERIES: u32 = 4_000;
    let server = start(&["127.0.0.1:0"], limits(), echo);
    let address = server.addresses[0];
    let swaps = AtomicU64::new(0);
    let tables = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let socket = client("127.0.0.1:0");
                    (0..QUERIES).for_each(|number| exchange(&socket, address, &number.to_be_bytes()));
                })
            })
            .collect();
        let mut tables: Vec<Weak<AnswerTable>> = Vec::new();
        while !clients.iter().all(|client| client.is_finished()) {
            let table = Arc::new(AnswerTable::default());
            tables.push(Arc::downgrade(&table));
            server.published.publish(table);
            swaps.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_micros(200));
        }
        tables
    });
    assert!(swaps.into_inner() > 10);
    // An idle worker lets go at its next datagram, or its next look around.
    eventually("freed", || {
        let held = server.published.reap();
        let alive = tables.iter().filter(|table| table.strong_count() > 0).count();
        assert!(alive <= held + 1);
        held == 0
    });
}
