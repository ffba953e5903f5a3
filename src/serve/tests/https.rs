//! DNS over HTTPS: what RFC 8484 asks, and what HTTP/2 lets a client do to a server.

use std::io::{Read, Write};

use h2::client::SendRequest;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::certificate::{Shown, TlsClient};
use super::*;

const SHORT: Duration = Duration::from_millis(300);

/// A query of RFC 8484 section 4.1.1, for `www.example.com A`.
const QUERY: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
const ENCODED: &str = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";

/// Turns a query into a reply of its own octets; with one answer of 30 s where it holds a question.
fn answer(_: &AnswerTable, packet: &[u8], _: Envelope, reply: &mut [u8], _: &Counters) -> Action {
    if packet.len() < 12 || packet[2] & 0x80 != 0 {
        return Action::Ignore;
    }
    let mut octets = packet.to_vec();
    octets[2] |= 0x80;
    octets[7] = 1;
    octets.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x01");
    let length = octets.len().min(reply.len());
    reply[..length].copy_from_slice(&octets[..length]);
    Action::Send(length)
}

async fn connect(shown: &Shown, address: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(shown.client_config(b"h2")));
    let stream = connector.connect("ns.example.net".try_into().unwrap(), stream).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

async fn ask(
    client: &mut SendRequest<Bytes>,
    method: Method,
    target: &str,
    body: Option<(&str, Vec<u8>)>,
) -> (Response<()>, Vec<u8>) {
    let uri = format!("https://ns.example.net{target}");
    let mut request = Request::builder().method(method).uri(uri);
    if let Some((kind, _)) = &body {
        request = request.header("content-type", *kind);
    }
    let (response, mut stream) = client.send_request(request.body(()).unwrap(), body.is_none()).unwrap();
    if let Some((_, octets)) = body {
        stream.send_data(octets.into(), true).unwrap();
    }
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut octets = Vec::new();
    while let Some(chunk) = body.data().await {
        octets.extend_from_slice(&chunk.unwrap());
    }
    (Response::from_parts(head, ()), octets)
}

fn header<'r>(response: &'r Response<()>, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(HeaderValue::to_str).map(Result::unwrap)
}

fn start_https(limits: Limits) -> (Server, Shown, SocketAddr) {
    let (server, shown) = start_encrypted(limits, answer);
    let address = server.at(Transport::Https);
    (server, shown, address)
}

#[test]
fn get_and_post_have_the_same_reply_and_head_none() {
    let (server, shown, address) = start_https(limits());
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        let target = format!("/dns-query?dns={ENCODED}");
        let (got, by_get) = ask(&mut client, Method::GET, &target, None).await;
        let body = Some(("application/dns-message", QUERY.to_vec()));
        let (posted, by_post) = ask(&mut client, Method::POST, "/dns-query", body).await;
        assert_eq!(by_get, by_post);
        assert_eq!(by_get[..2], [0, 0]);
        for response in [&got, &posted] {
            assert_eq!(response.status(), 200);
            assert_eq!(header(response, "content-type"), Some("application/dns-message"));
            assert_eq!(header(response, "cache-control"), Some("max-age=30, private"));
            assert_eq!(header(response, "content-length"), Some(by_get.len().to_string().as_str()));
        }
        let (head, nothing) = ask(&mut client, Method::HEAD, &target, None).await;
        assert_eq!((head.status().as_u16(), nothing.len()), (200, 0));
        assert_eq!(header(&head, "content-length"), Some(by_get.len().to_string().as_str()));
    });
    assert_eq!(server.total(Transport::Https, |counters| counters.received.get()), 3);
}

#[test]
fn what_is_no_query_has_a_status_of_its_own() {
    let (server, shown, address) = start_https(limits());
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        let message = |octets: Vec<u8>| Some(("application/dns-message", octets));
        let mut reply = QUERY.to_vec();
        reply[2] |= 0x80;
        let cases = [
            (Method::GET, "/", None, 404),
            (Method::GET, "/dns-query", None, 400),
            (Method::GET, "/dns-query?dns=%", None, 400),
            (Method::GET, "/dns-query?dns=AAAA", None, 400),
            (Method::DELETE, "/dns-query", None, 405),
            (Method::POST, "/dns-query", Some(("text/plain", QUERY.to_vec())), 415),
            (Method::POST, "/dns-query", message(Vec::new()), 400),
            (Method::POST, "/dns-query", message(reply), 400),
            (Method::POST, "/dns-query", message(vec![0; 65_536]), 413),
            (Method::POST, "/dns-query", message(QUERY.to_vec()), 200),
        ];
        for (method, target, body, status) in cases {
            let told = format!("{method} {target} {body:?}");
            let (response, _) = ask(&mut client, method, target, body).await;
            assert_eq!(response.status(), status, "{told}");
            let cached = header(&response, "cache-control").unwrap();
            assert_eq!(cached == "no-store", status != 200, "{told}");
            assert_eq!(header(&response, "allow").is_some(), status == 405, "{told}");
        }
    });
}

#[test]
fn many_streams_are_answered_each_for_itself() {
    let (server, shown, address) = start_https(limits());
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        // A client that has not heard yet how many streams it may have opens more, and is refused some.
        ask(&mut client, Method::GET, "/", None).await;
        let tasks: Vec<_> = (0..200u16)
            .map(|id| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let mut query = QUERY.to_vec();
                    query[..2].copy_from_slice(&id.to_be_bytes());
                    client = client.ready().await.unwrap();
                    let body = Some(("application/dns-message", query));
                    let (_, reply) = ask(&mut client, Method::POST, "/dns-query", body).await;
                    assert_eq!(reply[..2], id.to_be_bytes());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn http_1_1_is_answered_too() {
    let (server, shown, address) = start_https(limits());
    for protocol in [&b"http/1.1"[..], b""] {
        let mut stream = shown.connect(address, protocol).unwrap();
        let ask = format!("GET /dns-query?dns={ENCODED} HTTP/1.1\r\nhost: ns.example.net\r\n\r\n");
        for _ in 0..2 {
            stream.write_all(ask.as_bytes()).unwrap();
            let mut reply = vec![0; 15];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, b"HTTP/1.1 200 OK");
            while !reply.ends_with(&[192, 0, 2, 1]) {
                let mut octet = [0];
                stream.read_exact(&mut octet).unwrap();
                reply.push(octet[0]);
            }
        }
    }
    assert_eq!(server.total(Transport::Https, |counters| counters.received.get()), 4);
}

#[test]
fn http_1_1_wants_one_host_and_no_compression() {
    let (_server, shown, address) = start_https(limits());
    let status = |head: String| {
        let mut stream = shown.connect(address, b"http/1.1").unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).unwrap();
        String::from_utf8(reply[9..].to_vec()).unwrap()
    };
    let get = |version: &str, lines: &str| {
        status(format!("GET /dns-query?dns={ENCODED} HTTP/{version}\r\n{lines}\r\n"))
    };
    assert_eq!(get("1.1", "host: ns.example.net\r\n"), "200");
    assert_eq!(get("1.1", ""), "400");
    assert_eq!(get("1.1", "host: ns.example.net\r\nhost: ns.example.org\r\n"), "400");
    assert_eq!(get("1.0", ""), "200");
    let coded = "content-type: application/dns-message\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n";
    assert_eq!(status(format!("POST /dns-query HTTP/1.1\r\nhost: x\r\n{coded}\r\n")), "415");
}

#[test]
fn http_1_1_has_so_many_queries_however_they_are_sent() {
    let (server, shown, address) = start_https(Limits { queries: 3, ..limits() });
    let mut stream = shown.connect(address, b"http/1.1").unwrap();
    let ask = format!("GET /dns-query?dns={ENCODED} HTTP/1.1\r\nhost: ns.example.net\r\n\r\n");
    stream.write_all(ask.repeat(50).as_bytes()).unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told);
    assert_eq!(told.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(told.matches("connection: close").count(), 1);
    assert_eq!(server.total(Transport::Https, |counters| counters.received.get()), 3);
}

#[test]
fn after_its_queries_a_connection_says_goodbye() {
    let (server, shown, address) = start_https(Limits { queries: 3, ..limits() });
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        for _ in 0..3 {
            let (response, _) =
                ask(&mut client, Method::GET, &format!("/dns-query?dns={ENCODED}"), None).await;
            assert_eq!(response.status(), 200);
        }
    });
    eventually("ended", || server.connections(Transport::Https).open == 0);
    assert_eq!(server.total(Transport::Https, |counters| counters.received.get()), 3);
}

#[test]
fn a_body_has_its_time() {
    let (server, shown, address) = start_https(Limits { message: SHORT, ..limits() });
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        let request = Request::post("https://ns.example.net/dns-query")
            .header("content-type", "application/dns-message")
            .body(())
            .unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(&QUERY[..5]), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 408);
    });
}

#[test]
fn a_body_that_is_refused_is_read_to_its_end_before_that_is_said() {
    let (server, shown, address) = start_https(limits());
    server.runtime.block_on(async {
        let mut client = connect(&shown, address).await;
        for (kind, first, status) in [("text/plain", 5, 415), ("application/dns-message", 65_536, 413)] {
            let request = Request::post("https://ns.example.net/dns-query").header("content-type", kind);
            let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
            body.send_data(vec![0; first].into(), false).unwrap();
            tokio::time::sleep(SHORT).await;
            // A stream that was reset takes nothing more.
            body.send_data(Bytes::from_static(&[0]), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status);
            let mut told = response.into_body();
            while let Some(chunk) = told.data().await {
                chunk.unwrap();
            }
        }
    });
}

#[test]
fn a_connection_without_a_query_is_closed_whatever_else_it_says() {
    let (server, shown, address) = start_https(Limits { idle: SHORT, ..limits() });
    let mut flood = Flood::open(&shown, address);
    eventually("ended", || {
        thread::sleep(SHORT / 20);
        flood.send(&frame(PING, 0, 0, &[0; 8])).is_err()
    });
    assert_eq!(server.connections(Transport::Https).timed_out, 1);
}

/// A client of HTTP/2 that writes frames as it pleases and reads none.
struct Flood(TlsClient);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// The head of a GET of the message, in literal fields that no table keeps (RFC 7541).
fn request() -> Vec<u8> {
    let mut head = vec![0x82, 0x87];
    for (index, value) in [(4, format!("/dns-query?dns={ENCODED}")), (1, "ns.example.net".to_owned())] {
        head.extend([index, value.len() as u8]);
        head.extend(value.bytes());
    }
    head
}

impl Flood {
    fn open(shown: &Shown, address: SocketAddr) -> Self {
        let mut stream = shown.connect(address, b"h2").unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        Self(stream)
    }

    fn send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.0.write_all(octets)
    }
}

/// Sends what `next` makes until the server ends it; how many octets that took.
fn flood(shown: &Shown, address: SocketAddr, mut next: impl FnMut(u32) -> Vec<u8>) -> usize {
    let mut flood = Flood::open(shown, address);
    let mut sent = 0;
    for stream in (1..).step_by(2) {
        let octets = next(stream);
        sent += octets.len();
        if flood.send(&octets).is_err() {
            break;
        }
        assert!(sent < 64 << 20, "the flood is not ended");
    }
    sent
}

/// What the kernel's buffers of both sides may hold beyond what was taken.
const BUFFERED: usize = 16 << 20;

#[test]
fn floods_of_frames_that_ask_nothing_end_the_connection() {
    let (server, shown, address) = start_https(Limits { write: SHORT, ..limits() });
    let many = |one: Vec<u8>| one.repeat(64);
    let pings = flood(&shown, address, |_| many(frame(PING, 0, 0, &[7; 8])));
    let settings = flood(&shown, address, |_| many(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])));
    let empty = {
        let mut opened = false;
        flood(&shown, address, |_| {
            let mut head = vec![0x83, 0x87, 4, 10];
            head.extend(b"/dns-query");
            head.extend([0x0f, 0x10, 23]);
            head.extend(b"application/dns-message");
            let mut octets = if opened { Vec::new() } else { frame(HEADERS, END_HEADERS, 1, &head) };
            opened = true;
            octets.extend(many(frame(DATA, 0, 1, &[])));
            octets
        })
    };
    let headers = {
        let mut opened = false;
        flood(&shown, address, |_| {
            let part = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100);
            let kind = if opened { CONTINUATION } else { HEADERS };
            opened = true;
            frame(kind, 0, 1, &part)
        })
    };
    for (name, octets) in [("pings", pings), ("settings", settings), ("empty", empty), ("headers", headers)] {
        assert!(octets < BUFFERED, "{name}: {octets} octets");
    }
    eventually("all are gone", || server.connections(Transport::Https).open == 0);
    let counts = server.connections(Transport::Https);
    assert_eq!(counts.broken_off + counts.timed_out, 4, "{counts:?}");
}

#[test]
fn pings_have_a_limit_though_their_answers_are_read() {
    let (server, shown, address) = start_https(limits());
    server.runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(shown.client_config(b"h2")));
        let stream = connector.connect("ns.example.net".try_into().unwrap(), stream).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        writer.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        let pings = frame(PING, 0, 0, &[7; 8]).repeat(64);
        let flood = async { while writer.write_all(&pings).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, flood).await.unwrap();
    });
    eventually("gone", || server.connections(Transport::Https).open == 0);
    let counts = server.connections(Transport::Https);
    assert_eq!((counts.broken_off, counts.timed_out), (1, 0), "{counts:?}");
}

#[test]
fn rapid_resets_cost_no_more_than_queries_and_end_with_them() {
    let (server, shown, address) = start_https(Limits { queries: 2000, write: SHORT, ..limits() });
    let head = request();
    flood(&shown, address, |stream| {
        let reset = frame(RESET, 0, stream, &[0, 0, 0, 8]);
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, &head), reset].concat()
    });
    eventually("gone", || server.connections(Transport::Https).open == 0);
    assert!(server.total(Transport::Https, |counters| counters.received.get()) <= 2100);
}

#[test]
fn a_client_that_opens_no_window_keeps_few_replies_waiting() {
    let limits = Limits { streams: 10, idle: SHORT, ..limits() };
    let (server, shown, address) = start_https(limits);
    let mut flood = Flood::open(&shown, address);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    flood.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    for stream in (1..200).step_by(2) {
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &request());
        if flood.send(&head).is_err() {
            break;
        }
    }
    eventually("ended", || server.connections(Transport::Https).open == 0);
    assert!(server.total(Transport::Https, |counters| counters.received.get()) <= 10);
}
