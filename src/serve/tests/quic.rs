//! DNS over QUIC, by RFC 9250: a stream a query, zero ids, and the codes that a connection ends with.

use std::net::UdpSocket;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ReadError, ReadToEndError, VarInt};

use super::certificate::Shown;
use super::tcp::framed;
use super::*;

const SHORT: Duration = Duration::from_millis(300);

async fn connect(shown: &Shown, address: SocketAddr, protocol: &[u8]) -> Result<Connection, ConnectionError> {
    let crypto = QuicClientConfig::try_from(shown.client_config(protocol)).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(address, "ns.example.net").unwrap().await
}

async fn ask(connection: &Connection, octets: &[u8]) -> Option<Vec<u8>> {
    let (mut query, mut reply) = connection.open_bi().await.ok()?;
    query.write_all(octets).await.ok()?;
    query.finish().unwrap();
    reply.read_to_end(70_000).await.ok()
}

fn ended_with(connection: &Connection) -> Option<VarInt> {
    match connection.close_reason()? {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code),
        _ => None,
    }
}

fn start_quic(limits: Limits) -> (Server, Shown, SocketAddr) {
    let (server, shown) = start_encrypted(limits, echo);
    let address = server.at(Transport::Quic);
    (server, shown, address)
}

#[test]
fn each_query_has_its_stream_and_its_reply() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        for length in [12, 13, 1200, 40_000, 65_535] {
            let query = framed(0, length);
            assert_eq!(ask(&connection, &query).await, Some(query));
        }
        let together = (0..50).map(|more| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let query = framed(0, 20 + more);
                assert_eq!(ask(&connection, &query).await, Some(query));
            })
        });
        for task in together.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    assert_eq!(server.total(Transport::Quic, |counters| counters.received.get()), 55);
    assert_eq!(server.connections(Transport::Quic).accepted, 1);
}

#[test]
fn breaches_of_the_protocol_end_the_connection_with_their_code() {
    let (server, shown, address) = start_quic(limits());
    let keepalive = {
        let mut octets = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1];
        octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0]);
        [&(octets.len() as u16).to_be_bytes(), &octets[..]].concat()
    };
    let two = [framed(0, 20), framed(0, 20)].concat();
    let short = framed(0, 11);
    for breach in [framed(7, 20), framed(0, 20)[..10].to_vec(), vec![], vec![0], two, short, keepalive] {
        server.runtime.block_on(async {
            let connection = connect(&shown, address, b"doq").await.unwrap();
            assert_eq!(ask(&connection, &breach).await, None, "{breach:?}");
            assert_eq!(ended_with(&connection), Some(VarInt::from_u32(2)), "{breach:?}");
        });
    }
    assert_eq!(server.connections(Transport::Quic).broken_off, 7);
}

#[test]
fn a_stream_that_gets_no_reply_is_reset_and_the_connection_goes_on() {
    let say_nothing = |_: &AnswerTable, packet: &[u8], _: Envelope, reply: &mut [u8], _: &Counters| {
        let wanted = packet[2] == 0;
        reply[..12].copy_from_slice(&packet[..12]);
        if wanted { Action::Send(12) } else { Action::Ignore }
    };
    let (server, shown) = start_encrypted(limits(), say_nothing);
    let mut answer = framed(0, 12);
    answer[4] = 0x80;
    server.runtime.block_on(async {
        let connection = connect(&shown, server.at(Transport::Quic), b"doq").await.unwrap();
        let code = |error| match error {
            ReadToEndError::Read(ReadError::Reset(code)) => u64::from(code),
            other => panic!("{other:?}"),
        };
        let (mut query, mut reply) = connection.open_bi().await.unwrap();
        query.write_all(&answer).await.unwrap();
        query.finish().unwrap();
        assert_eq!(code(reply.read_to_end(10).await.unwrap_err()), 5, "what deserves no reply");
        let (mut query, mut reply) = connection.open_bi().await.unwrap();
        query.write_all(&framed(0, 12)[..5]).await.unwrap();
        query.reset(VarInt::from_u32(3)).unwrap();
        assert_eq!(code(reply.read_to_end(10).await.unwrap_err()), 3, "a query that was taken back");
        // Whose reply is not wanted any more is not read to its end.
        let (mut query, mut reply) = connection.open_bi().await.unwrap();
        query.write_all(&framed(0, 12)[..5]).await.unwrap();
        reply.stop(VarInt::from_u32(3)).unwrap();
        let stopped = tokio::time::timeout(PATIENCE, query.stopped()).await.unwrap();
        assert_eq!(stopped, Ok(Some(VarInt::from_u32(3))));
        assert_eq!(ask(&connection, &framed(0, 12)).await, Some(framed(0, 12)));
    });
    assert_eq!(server.total(Transport::Quic, |counters| counters.received.get()), 2);
}

#[test]
fn datagrams_do_not_show_how_long_replies_are() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        assert!(ask(&connection, &framed(0, 12)).await.is_some());
        let before = connection.stats().udp_rx;
        for _ in 0..20 {
            assert!(ask(&connection, &framed(0, 12)).await.is_some());
        }
        let after = connection.stats().udp_rx;
        let (octets, datagrams) = (after.bytes - before.bytes, after.datagrams - before.datagrams);
        // A probe for a loss, or for what the path takes, may be of another length.
        assert!(octets > (datagrams - 2) * 1200, "{octets} octets in {datagrams} datagrams");
    });
}

#[test]
fn who_moves_is_answered_where_it_is() {
    let who = |_: &AnswerTable, _: &[u8], envelope: Envelope, reply: &mut [u8], _: &Counters| {
        let IpAddr::V4(source) = envelope.source else { panic!("this test speaks IPv4") };
        reply[..4].copy_from_slice(&source.octets());
        Action::Send(4)
    };
    let (server, shown) = start_encrypted(limits(), who);
    server.runtime.block_on(async {
        let crypto = QuicClientConfig::try_from(shown.client_config(b"doq")).unwrap();
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(server.at(Transport::Quic), "ns.example.net").unwrap();
        let connection = connecting.await.unwrap();
        assert_eq!(ask(&connection, &framed(0, 12)).await.unwrap()[2..], [127, 0, 0, 1]);
        endpoint.rebind(std::net::UdpSocket::bind("127.0.0.2:0").unwrap()).unwrap();
        assert_eq!(ask(&connection, &framed(0, 12)).await.unwrap()[2..], [127, 0, 0, 2]);
    });
}

#[test]
fn a_session_is_resumed_and_takes_no_early_data() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        let mut config = shown.client_config(b"doq");
        config.enable_early_data = true;
        let crypto = QuicClientConfig::try_from(config).unwrap();
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        for _ in 0..2 {
            let connecting = endpoint.connect(address, "ns.example.net").unwrap();
            let Err(connecting) = connecting.into_0rtt() else { panic!("early data may be sent") };
            let connection = connecting.await.unwrap();
            assert!(ask(&connection, &framed(0, 20)).await.is_some());
        }
    });
}

#[test]
fn only_doq_is_spoken() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        assert!(connect(&shown, address, b"h3").await.is_err());
        assert!(connect(&shown, address, b"").await.is_err());
        assert!(connect(&shown, address, b"doq").await.is_ok());
    });
}

#[test]
fn streams_of_one_direction_are_not_to_be_had() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        assert!(tokio::time::timeout(SHORT, connection.open_uni()).await.is_err());
    });
}

#[test]
fn a_connection_has_so_many_queries_and_ends_without_an_error() {
    let (server, shown, address) = start_quic(Limits { queries: 3, ..limits() });
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        for _ in 0..3 {
            assert!(ask(&connection, &framed(0, 20)).await.is_some());
        }
        connection.closed().await;
        assert_eq!(ended_with(&connection), Some(VarInt::from_u32(0)));
    });
}

#[test]
fn an_idle_connection_is_closed_however_it_is_kept_alive() {
    let (server, shown, address) = start_quic(Limits { idle: SHORT, ..limits() });
    server.runtime.block_on(async {
        let crypto = QuicClientConfig::try_from(shown.client_config(b"doq")).unwrap();
        let mut config = ClientConfig::new(Arc::new(crypto));
        let mut transport = quinn::TransportConfig::default();
        transport.keep_alive_interval(Some(SHORT / 10));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connection = endpoint.connect_with(config, address, "ns.example.net").unwrap().await.unwrap();
        assert!(tokio::time::timeout(PATIENCE, connection.closed()).await.is_ok());
    });
    assert_eq!(server.connections(Transport::Quic).timed_out, 1);
}

#[test]
fn a_stream_that_dribbles_is_given_up_and_others_go_on() {
    let (server, shown, address) = start_quic(Limits { message: SHORT, ..limits() });
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        let (mut slow, mut never) = connection.open_bi().await.unwrap();
        slow.write_all(&[0, 20, 0]).await.unwrap();
        assert!(ask(&connection, &framed(0, 20)).await.is_some());
        assert!(never.read_to_end(10).await.is_err());
        assert!(ask(&connection, &framed(0, 20)).await.is_some());
    });
}

#[test]
fn a_flood_of_streams_that_ask_nothing_ends_the_connection() {
    let (server, shown, address) = start_quic(limits());
    server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        let flood = async {
            while let Ok((mut query, _)) = connection.open_bi().await {
                let _ = query.write_all(&[0]).await;
                let _ = query.reset(VarInt::from_u32(3));
            }
        };
        tokio::time::timeout(PATIENCE, flood).await.unwrap();
        assert_eq!(ended_with(&connection), Some(VarInt::from_u32(4)));
    });
}

#[test]
fn a_crowd_must_prove_its_address_and_is_bounded() {
    let (server, shown, address) = start_quic(Limits { connections: 8, ..limits() });
    server.runtime.block_on(async {
        assert!(!is_sent_back(&shown, address).await, "nobody is there yet");
        let mut connections = Vec::new();
        for _ in 0..20 {
            let connection = connect(&shown, address, b"doq").await.unwrap();
            assert!(ask(&connection, &framed(0, 20)).await.is_some());
            connections.push(connection);
        }
        assert!(is_sent_back(&shown, address).await);
    });
    let counts = server.connections(Transport::Quic);
    assert!(counts.open <= 8 && counts.accepted >= 20, "{counts:?}");
}

/// Whether the server's first word to a newcomer is a Retry (RFC 9000 section 17.2.5), seen on the way.
async fn is_sent_back(shown: &Shown, address: SocketAddr) -> bool {
    let between = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (way, mut octets) = (between.local_addr().unwrap(), [0; 2048]);
    let newcomer = connect(shown, way, b"doq");
    let first_word = async {
        let (length, _) = between.recv_from(&mut octets).await.unwrap();
        between.send_to(&octets[..length], address).await.unwrap();
        between.recv_from(&mut octets).await.unwrap();
        octets[0] & 0b1111_0000 == 0b1111_0000
    };
    tokio::select! {
        told = first_word => told,
        _ = newcomer => panic!("it heard nothing"),
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_connections() {
    let (server, mut shown, address) = start_quic(limits());
    let renewed = Shown::new("ns.example.net");
    server.runtime.block_on(async {
        assert!(connect(&shown, address, b"doq").await.is_ok());
        shown.side.send_replace(Arc::clone(&renewed.side.borrow()));
        shown.certificate = renewed.certificate.clone();
        for _ in 0..100 {
            if connect(&shown, address, b"doq").await.is_ok() {
                return;
            }
            tokio::time::sleep(PATIENCE / 1000).await;
        }
        panic!("the old certificate is still shown");
    });
}

#[test]
fn a_server_that_has_stopped_answers_nothing_and_its_port_becomes_free() {
    let (mut server, shown, address) = start_quic(limits());
    let connection = server.runtime.block_on(async {
        let connection = connect(&shown, address, b"doq").await.unwrap();
        assert!(ask(&connection, &framed(0, 20)).await.is_some());
        connection
    });
    // In a version that nobody speaks: its sender is told at once which are spoken.
    let mut strange = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a];
    strange.extend([[8; 9], [8; 9]].concat());
    strange.resize(1200, 0);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(&strange).unwrap();
    assert!(client.recv(&mut [0; 1500]).is_ok());

    server.running.take().unwrap().stop();
    client.set_read_timeout(Some(SHORT)).unwrap();
    // The port may be closed already.
    let answered = client.send(&strange).and_then(|_| client.recv(&mut [0; 1500]));
    assert!(answered.is_err(), "{answered:?}");
    eventually("the port is free", || UdpSocket::bind(address).is_ok());
    drop(connection);
}
