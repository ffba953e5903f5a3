//! The encrypted transports of the real binary: asked by programs of others, and besieged.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod oracle;
mod peers;
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use server::{PATIENCE, Server, answers_by_udp, question};
use socket2::{Domain, Socket, Type};

/// Connects from an address of loopback.
fn connect_from(client: [u8; 4], server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((client, 0)).into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn is_served(stream: &mut TcpStream) -> bool {
    let query = question(9);
    let framed = [&(query.len() as u16).to_be_bytes(), &query[..]].concat();
    let mut reply = [0; 40];
    stream.write_all(&framed).is_ok() && stream.read_exact(&mut reply).is_ok() && reply[2..4] == [0, 9]
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// So many connections that say nothing, from clients of their own, by turns to TCP, TLS and HTTPS.
fn crowd(server: &Server, count: u16) -> Vec<TcpStream> {
    let addresses = [server.plain, server.tls, server.https];
    let connect = |number: u16| {
        let client = [127, 1, (number / 100) as u8, (number % 100 + 1) as u8];
        connect_from(client, addresses[usize::from(number) % 3]).ok()
    };
    (0..count).filter_map(connect).collect()
}

fn metrics(server: &Server) -> String {
    let mut page = TcpStream::connect(server.metrics).unwrap();
    page.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).unwrap();
    text
}

/// What the metrics of all transports say of their connections, together.
fn connections(server: &Server, what: &str) -> u32 {
    let told = format!("what=\"{what}\"}} ");
    metrics(server).lines().filter_map(|line| line.split_once(&told)?.1.parse::<u32>().ok()).sum()
}

#[test]
fn a_quarter_of_the_descriptors_is_left_to_others_by_all_transports_together() {
    let server = Server::start("handshakes = 1000", "", Some(400));
    let crowd = crowd(&server, 450);
    let settled = (0..1000).any(|_| {
        thread::sleep(PATIENCE / 1000);
        connections(&server, "accepted") == 450
    });
    assert!(settled, "{} connections were made, {} taken", crowd.len(), connections(&server, "accepted"));
    assert_eq!(connections(&server, "open"), 300);
}

#[test]
fn without_descriptors_udp_the_operator_and_metrics_go_on() {
    let server = Server::start("connections-per-address = 50", "", Some(160));
    let before = descriptors(&server);
    let crowd = crowd(&server, 300);
    assert!(crowd.len() > 200, "{} connections", crowd.len());
    // What is evicted is closed by a task of its own, which has to have its turn first.
    let within = || (before + 51..160).contains(&descriptors(&server));
    let settled = (0..1000).any(|_| {
        thread::sleep(PATIENCE / 1000);
        within()
    });
    assert!(settled, "{before} descriptors, then {}", descriptors(&server));
    for _ in 0..100 {
        assert!(answers_by_udp(server.plain));
    }
    let status = server.run("status");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let text = metrics(&server);
    assert!(text.contains("rhumb_connections{transport=\"tls\",what=\"evicted\"}"), "{text}");
    assert!(is_served(&mut connect_from([127, 2, 0, 1], server.plain).unwrap()));
    drop(crowd);
    for _ in 0..1000 {
        if descriptors(&server) <= before {
            return;
        }
        thread::sleep(PATIENCE / 1000);
    }
    panic!("{before} descriptors before, {} after", descriptors(&server));
}

#[test]
fn a_certificate_that_clients_refuse_for_its_dates_is_a_warning() {
    let server = Server::start("", "", None);
    let told = |begin: i32, end: i32| {
        let mut parameters = rcgen::CertificateParams::new([server::NAME.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(begin, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(end, 1, 1);
        let key =
            rcgen::KeyPair::from_pem(&std::fs::read_to_string(server.path("server.key")).unwrap()).unwrap();
        std::fs::write(server.path("server.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        let check = server.run("check");
        assert_eq!(check.status.code(), Some(0));
        String::from_utf8_lossy(&check.stderr).into_owned()
    };
    assert_eq!(told(2001, 4000), "");
    let ended = "server.pem: the certificate ended on 2002-01-01: the other side refuses it";
    let warned = told(2001, 2002);
    assert!(warned.starts_with("warning: ") && warned.contains(ended), "{warned}");
    assert!(told(3000, 4000).contains("the certificate begins on 3000-01-01: the other side refuses it"));
    told(2001, 2002);
    let is_told = |log: &str| {
        let log = std::fs::read_to_string(server.path(log)).unwrap_or_default();
        log.lines().any(|line| line.contains(" WARN ") && line.contains(ended))
    };
    eventually("a renewal that makes it worse is told", || is_told("log"));
    let _other = server.start_beside();
    eventually("a start with it is told", || is_told("other.log"));
}

#[test]
fn a_key_that_others_may_read_keeps_the_server_from_starting() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start("", "", None);
    std::fs::set_permissions(server.path("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let check = server.run("check");
    assert_eq!(check.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&check.stderr)
            .contains("server.key: others than its owner may open this secret")
    );
    let mut other = server.start_beside();
    assert_eq!(other.0.wait().unwrap().code(), Some(78), "the supervisor need not try again");
    std::fs::remove_file(server.path("server.key")).unwrap();
    let mut other = server.start_beside();
    assert_eq!(other.0.wait().unwrap().code(), Some(78));
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let settled = (0..1000).any(|_| {
        thread::sleep(PATIENCE / 1000);
        holds()
    });
    assert!(settled, "{what}");
}
