//! DNS over TLS: what TCP promises, inside TLS; who shows what certificate; and clients that never finish.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};

use super::certificate::{TlsClient, files, write};
use super::tcp::{framed, is_closed};
use super::*;
use crate::credentials::{Contents, follow};

const SHORT: Duration = Duration::from_millis(300);

fn expect(stream: &mut TlsClient, message: &[u8]) {
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).unwrap();
    assert!(reply == message, "another reply than expected");
}

#[test]
fn a_hundred_queries_at_once_are_answered_in_order() {
    let (server, shown) = start_encrypted(limits(), echo);
    let mut stream = shown.connect(server.at(Transport::Tls), b"dot").unwrap();
    let queries: Vec<u8> = (0..100).flat_map(|id| framed(id, 40 + id)).collect();
    for _ in 0..3 {
        stream.write_all(&queries).unwrap();
        expect(&mut stream, &queries);
    }
    assert_eq!(server.total(Transport::Tls, |counters| counters.received.get()), 300);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
}

#[test]
fn messages_of_any_length_pass() {
    let (server, shown) = start_encrypted(limits(), echo);
    let mut stream = shown.connect(server.at(Transport::Tls), b"dot").unwrap();
    for (length, id) in [12, 16_384, 16_385, 65_535, 13].into_iter().zip(0..) {
        let query = framed(id, length);
        stream.write_all(&query).unwrap();
        expect(&mut stream, &query);
    }
}

#[test]
fn the_end_is_said_inside_tls() {
    let (server, shown) = start_encrypted(Limits { queries: 2, ..limits() }, echo);
    let mut stream = shown.connect(server.at(Transport::Tls), b"dot").unwrap();
    let queries: Vec<u8> = (0..3).flat_map(|id| framed(id, 20)).collect();
    stream.write_all(&queries).unwrap();
    expect(&mut stream, &queries[..44]);
    // An end without a word would be an error of its own kind.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(server.connections(Transport::Tls).broken_off, 1);
}

#[test]
fn the_end_is_said_to_who_was_silent_for_too_long_too() {
    let (server, shown) = start_encrypted(Limits { idle: SHORT, ..limits() }, echo);
    for (transport, protocol) in [(Transport::Tls, &b"dot"[..]), (Transport::Https, b"http/1.1")] {
        let mut stream = shown.connect(server.at(transport), protocol).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "{transport}");
        assert_eq!(server.connections(transport).timed_out, 1, "{transport}");
    }
}

#[test]
fn both_versions_are_spoken_and_other_protocols_are_not() {
    let (server, shown) = start_encrypted(limits(), echo);
    let address = server.at(Transport::Tls);
    for version in [&TLS12, &TLS13] {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(shown.certificate.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(ring)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "ns.example.net".try_into().unwrap();
        let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap());
        stream.write_all(&framed(1, 20)).unwrap();
        expect(&mut stream, &framed(1, 20));
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
    assert!(shown.connect(address, b"").is_ok(), "clients of RFC 7858 need not name the protocol");
    let no_such_protocol = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    for (transport, other) in [(Transport::Tls, &b"h2"[..]), (Transport::Https, b"dot")] {
        let refused = shown.connect(server.at(transport), other).expect_err("another protocol");
        let error = refused.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        assert_eq!(error, Some(&no_such_protocol), "{transport}");
    }
}

#[test]
fn a_handshake_has_its_time_whether_silent_or_dribbling() {
    let (server, _shown) = start_encrypted(Limits { handshake: SHORT, ..limits() }, echo);
    for transport in [Transport::Tls, Transport::Https] {
        let mut silent = TcpStream::connect(server.at(transport)).unwrap();
        let mut dribbling = TcpStream::connect(server.at(transport)).unwrap();
        // The beginning of a greeting of 512 octets.
        dribbling.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).unwrap();
        eventually("ended", || dribbling.write_all(&[3]).is_err());
        assert!(is_closed(&mut silent));
        assert_eq!(server.connections(transport).timed_out, 2);
        eventually("free", || server.connections(transport).open == 0);
    }
}

#[test]
fn a_session_is_resumed_and_takes_no_early_data() {
    use rustls::HandshakeKind::{Full, Resumed};
    let (server, shown) = start_encrypted(limits(), echo);
    let mut config = shown.client_config(b"dot");
    config.enable_early_data = true;
    let config = Arc::new(config);
    for kind in [Full, Resumed] {
        let name = "ns.example.net".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        assert!(client.early_data().is_none());
        let socket = TcpStream::connect(server.at(Transport::Tls)).unwrap();
        let mut stream = rustls::StreamOwned::new(client, socket);
        stream.write_all(&framed(1, 20)).unwrap();
        expect(&mut stream, &framed(1, 20));
        assert_eq!(stream.conn.handshake_kind(), Some(kind));
    }
}

#[test]
fn nonsense_is_no_handshake() {
    let (server, _shown) = start_encrypted(limits(), echo);
    let mut stream = TcpStream::connect(server.at(Transport::Tls)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&framed(1, 20)).unwrap();
    eventually("ended", || stream.write_all(&[0]).is_err());
    assert_eq!(server.connections(Transport::Tls).broken_off, 1);
    assert_eq!(server.total(Transport::Tls, |counters| counters.received.get()), 0);
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_ended() {
    let (server, shown) =
        start_encrypted(Limits { write: SHORT, ..limits() }, |_, _, _, reply, _| Action::Send(reply.len()));
    let mut stream = shown.connect(server.at(Transport::Tls), b"dot").unwrap();
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(id, 12)).collect();
    eventually("ended", || stream.write_all(&queries).is_err());
    assert_eq!(server.connections(Transport::Tls).timed_out, 1);
    assert!(server.total(Transport::Tls, |counters| counters.received.get()) < 500);
}

#[test]
fn a_connection_ends_after_its_lifetime_however_busy() {
    let limits = Limits { lifetime: SHORT, message: SHORT, ..limits() };
    let (server, shown) = start_encrypted(limits, echo);
    let mut stream = shown.connect(server.at(Transport::Tls), b"dot").unwrap();
    eventually("ended", || {
        let asked = stream.write_all(&framed(1, 20)).and_then(|()| stream.read_exact(&mut [0; 22]));
        thread::sleep(SHORT / 10);
        asked.is_err()
    });
    assert_eq!(server.connections(Transport::Tls).timed_out, 1);
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_a_bad_one_to_nobody() {
    let (server, mut shown) = start_encrypted(limits(), echo);
    let address = server.at(Transport::Tls);
    let contents = Contents::read(&files(&shown.folder)).unwrap();
    let task = follow(files(&shown.folder), contents, PublicSide::new, shown.side.clone());
    server.runtime.spawn(task);
    let mut old = shown.connect(address, b"dot").unwrap();

    let first = std::mem::replace(&mut shown.certificate, write(&shown.folder, "ns.example.net"));
    assert_ne!(first, shown.certificate);
    eventually("renewed", || shown.connect(address, b"dot").is_ok());
    // Who is connected goes on.
    old.write_all(&framed(1, 20)).unwrap();
    expect(&mut old, &framed(1, 20));

    // A key that belongs to another certificate.
    let key = std::fs::read(files(&shown.folder).key).unwrap();
    write(&shown.folder, "ns.example.net");
    std::fs::write(files(&shown.folder).key, key).unwrap();
    thread::sleep(crate::credentials::LOOK_EVERY * 4);
    assert!(shown.connect(address, b"dot").is_ok(), "the old certificate stays");
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let shown = certificate::Shown::new("ns.example.net");
    let files = files(&shown.folder);
    for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o666, false)] {
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = Contents::read(&files);
        assert_eq!(read.is_ok(), taken, "{mode:o}: {read:?}");
    }
}

#[test]
fn of_unfinished_handshakes_beyond_the_limit_the_oldest_goes_and_no_connection_that_is_served() {
    let (server, shown) = start_encrypted(Limits { handshakes: 2, ..limits() }, echo);
    let address = server.at(Transport::Tls);
    // Who has got an answer has shaken hands for the server too.
    let served = || {
        let mut stream = shown.connect(address, b"dot").unwrap();
        stream.write_all(&framed(1, 20)).unwrap();
        expect(&mut stream, &framed(1, 20));
        stream
    };
    let mut first = served();
    let mut half_open: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert!(is_closed(&mut half_open[0]));
    assert_eq!(server.connections(Transport::Tls).evicted, 1);
    // Who finishes makes room for another.
    let _newcomers: Vec<_> = (0..4).map(|_| served()).collect();
    assert_eq!(server.connections(Transport::Tls).evicted, 2);
    first.write_all(&framed(2, 20)).unwrap();
    expect(&mut first, &framed(2, 20));
}

#[test]
fn unfinished_handshakes_make_room_for_newcomers() {
    let (server, shown) = start_encrypted(Limits { connections: 4, ..limits() }, echo);
    let address = server.at(Transport::Tls);
    let _half_open: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut stream = shown.connect(address, b"dot").unwrap();
    stream.write_all(&framed(1, 20)).unwrap();
    expect(&mut stream, &framed(1, 20));
    eventually("bounded", || server.connections(Transport::Tls).open <= 4);
}
