//! The listeners from outside, by real sockets on loopback, with stand-ins for `respond`.

mod certificate;
mod https;
mod proxy;
mod quic;
mod tcp;
mod tls;
mod turns;
mod udp;

use std::time::Duration;

use tokio::runtime::Runtime;

use super::*;

/// Longer than anything here takes on a busy machine; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server at work; ended when dropped.
struct Server {
    running: Option<Running>,
    addresses: Vec<SocketAddr>,
    encrypted: Vec<(Transport, SocketAddr)>,
    published: Arc<Published>,
    runtime: Runtime,
}

/// Limits that no test waits for; each names the one that it is about.
fn limits() -> Limits {
    let never = PATIENCE * 10;
    Limits {
        connections: 64,
        connections_per_client: 64,
        handshake: never,
        idle: never,
        message: never,
        write: never,
        ..Limits::default()
    }
}

fn settings(listen: &[&str], tcp: Limits) -> Settings {
    Settings {
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        workers: NonZeroUsize::new(2).unwrap(),
        pin_workers: true,
        tcp,
        proxies: Arc::default(),
        encrypted: None,
        clients: ClientNames::Whole,
        network_key: *b"a key of a test.",
    }
}

fn start(listen: &[&str], tcp: Limits, respond: impl Responder) -> Server {
    serve(&settings(listen, tcp), respond)
}

/// Listeners on loopback for all encrypted transports, with the same limits.
fn encrypted(shown: &certificate::Shown, limits: Limits) -> Encrypted {
    let listener = || Listener { listen: vec!["127.0.0.1:0".parse().unwrap()], limits };
    Encrypted {
        side: shown.side.subscribe(),
        tls: listener(),
        https: listener(),
        path: "/dns-query".into(),
        quic: listener(),
    }
}

/// A server on loopback with the same limits on all transports, and the certificate that it shows.
fn start_encrypted(limits: Limits, respond: impl Responder) -> (Server, certificate::Shown) {
    let shown = certificate::Shown::new("ns.example.net");
    let encrypted = Some(encrypted(&shown, limits));
    let settings = Settings { encrypted, ..settings(&["127.0.0.1:0"], limits) };
    (serve(&settings, respond), shown)
}

fn serve(settings: &Settings, respond: impl Responder) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let published = Arc::new(Published::new(Arc::new(AnswerTable::default())));
    let listeners = Listeners::bind(settings).unwrap();
    let addresses = listeners.local_addrs();
    let encrypted = [Transport::Tls, Transport::Https, Transport::Quic]
        .into_iter()
        .flat_map(|transport| listeners.encrypted_addrs(transport).into_iter().map(move |a| (transport, a)))
        .collect();
    let running = listeners.start_with(respond, &published, runtime.handle()).unwrap();
    Server { running: Some(running), addresses, encrypted, published, runtime }
}

/// Says nothing to a message that begins with 0xff, else replies with the message itself.
fn echo(_: &AnswerTable, packet: &[u8], _: Envelope, reply: &mut [u8], _: &Counters) -> Action {
    if packet.first() == Some(&0xff) {
        return Action::Ignore;
    }
    let length = packet.len().min(reply.len());
    reply[..length].copy_from_slice(&packet[..length]);
    Action::Send(length)
}

/// Asks again and again until it is so.
fn eventually(claim: &str, mut is_so: impl FnMut() -> bool) {
    let begin = crate::clock::now();
    let mut so = false;
    while !so {
        so = is_so();
        // It may itself have waited, for what should have come sooner.
        assert!(crate::clock::now().since(begin) < PATIENCE * 2, "not in time: {claim}");
        thread::sleep(PATIENCE / 1000);
    }
}

impl Server {
    fn total(&self, transport: Transport, number: impl Fn(&Counters) -> u64) -> u64 {
        let registry = self.running.as_ref().unwrap().registry();
        registry
            .counters()
            .iter()
            .filter(|(of, _)| *of == transport)
            .map(|(_, counters)| number(counters))
            .sum()
    }

    fn connections(&self, transport: Transport) -> ConnectionCounts {
        self.running.as_ref().unwrap().connections(transport)
    }

    /// Where an encrypted transport is served.
    fn at(&self, transport: Transport) -> SocketAddr {
        self.encrypted.iter().find(|(of, _)| *of == transport).unwrap().1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

#[test]
fn stopping_is_prompt_and_frees_the_ports_and_the_table() {
    let mut server = start(&["127.0.0.1:0", "[::1]:0"], limits(), echo);
    let _idle = std::net::TcpStream::connect(server.addresses[0]).unwrap();
    eventually("connected", || server.connections(Transport::Tcp).open == 1);
    let begun = crate::clock::now();
    server.running.take().unwrap().stop();
    assert!(crate::clock::now().0 - begun.0 < 1_000_000_000);
    let settings = Settings { listen: server.addresses.clone(), ..settings(&[], limits()) };
    eventually("bound again", || Listeners::bind(&settings).is_ok());
    server.published.publish(Arc::default());
    assert_eq!(server.published.reap(), 0);
    server.running =
        Some(Listeners::bind(&settings).unwrap().start(&server.published, server.runtime.handle()).unwrap());
}
