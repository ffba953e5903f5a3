//! Encrypted transports and gauges of a server that is shut in and replaced.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::place::{AMPLE, Place, Server, proc_status, query};
use crate::supervisor::handed;

const NAME: &str = "ns.example.net";

/// The nice value that judging has (`process/priority.rs`).
const GIVES_WAY: i32 = 5;
/// The nice value that serving connections has.
const STEPPED_BACK: i32 = 10;

/// Sooner than the predecessor gives up its last connection.
const SOON: Duration = Duration::from_secs(5);

/// A place whose certificate and secrets lie in a folder of their own, out of reach unless they are asked for.
struct Keyed {
    place: Place,
    keys: TempDir,
}

impl Keyed {
    fn new() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let at = |file: &str| keys.path().join(file).display().to_string();
        let listen = "listen = [\"127.0.0.1:0\"]";
        let place = Place::with(&format!(
            "[server.tls]\n{listen}\ncertificate = {:?}\nkey = {:?}\n[server.https]\n{listen}\n[server.quic]\n{listen}\n\
             [server.cookies]\nsecrets = {:?}\n[gauges]\nlisten = \"127.0.0.1:0\"\n",
            at("tls/certificate.pem"),
            at("tls/certificate.key"),
            at("cookies/secrets"),
        ));
        let keyed = Self { place, keys };
        keyed.write_secret("cookies/secrets", &"0123456789abcdef".repeat(2));
        keyed
    }

    /// Writes a file that its owner alone may read, whole.
    fn write_secret(&self, file: &str, text: &str) {
        let path = self.keys.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn write_certificate(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        self.write_secret("tls/certificate.key", &signing_key.serialize_pem());
        self.write_secret("tls/certificate.pem", &cert.pem());
        cert.der().clone()
    }

    /// Where the latest server answers over a transport.
    fn at(&self, transport: &str) -> SocketAddr {
        // The log is written by a thread of its own, a little later.
        self.place.eventually("the address of a transport", || {
            let log = self.place.read("log");
            let (_, told) = log.rsplit_once(&format!("transport={transport} listen=["))?;
            told.split_once(']')?.0.parse().ok()
        })
    }
}

fn client(certificate: &CertificateDer<'static>, protocol: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}

/// A connection by TLS, if what the server shows is this certificate.
fn connect(
    server: SocketAddr,
    certificate: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let config = Arc::new(client(certificate, protocol));
    let session = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(AMPLE))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn framed(mut query: Vec<u8>) -> Vec<u8> {
    // The id of a message by QUIC is zero; elsewhere it is as good as any.
    query[..2].fill(0);
    [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()
}

fn is_served(stream: &mut (impl Read + Write)) -> bool {
    let mut reply = [0; 14];
    stream.write_all(&framed(query("www.example.com", 1))).is_ok() && stream.read_exact(&mut reply).is_ok()
}

async fn connect_by_quic(
    server: SocketAddr,
    certificate: &CertificateDer<'static>,
) -> Option<quinn::Connection> {
    let crypto = QuicClientConfig::try_from(client(certificate, "doq")).unwrap();
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(server, NAME).unwrap().await.ok()
}

async fn is_served_by_quic(connection: &quinn::Connection) -> bool {
    let Ok((mut asked, mut reply)) = connection.open_bi().await else { return false };
    let _ = asked.write_all(&framed(query("www.example.com", 1))).await;
    let _ = asked.finish();
    reply.read_to_end(1_000).await.is_ok_and(|reply| reply.len() > 14)
}

#[test]
fn certificates_and_secrets_of_cookies_are_renewed_by_a_server_that_is_shut_in() {
    let keyed = Keyed::new();
    let first = keyed.write_certificate();
    let _server = keyed.place.serve();
    assert!(is_served(&mut connect(keyed.at("TLS"), &first, "dot").unwrap()));
    let second = keyed.write_certificate();
    keyed.place.eventually("the new certificate", || connect(keyed.at("TLS"), &second, "dot").ok());
    keyed.write_secret("cookies/secrets", &"fedcba9876543210".repeat(2));
    let (code, said) = keyed.place.run("reload");
    assert_eq!(code, 0, "{said}");
    // Read anew it was: what is no secret is told.
    keyed.write_secret("cookies/secrets", "none");
    assert_eq!(keyed.place.run("reload").0, 78);
}

#[test]
fn sockets_of_encrypted_transports_and_gauges_go_to_the_successor() {
    let keyed = Keyed::new();
    let certificate = keyed.write_certificate();
    let mut server = keyed.place.serve();
    let transports = ["TLS", "HTTPS", "QUIC"];
    let before = transports.map(|transport| keyed.at(transport));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut held = connect(before[0], &certificate, "dot").unwrap();
    let by_quic = runtime.block_on(connect_by_quic(before[2], &certificate)).unwrap();
    assert!(is_served(&mut held) && runtime.block_on(is_served_by_quic(&by_quic)));

    let successor = keyed.place.spawn("serve --take-over");
    keyed.place.wait_for_log("a successor answers; finishing the open connections");
    assert_eq!(transports.map(|transport| keyed.at(transport)), before);
    // Connections by QUIC share a socket, so they end at once, and their clients are told.
    let why = runtime.block_on(async { tokio::time::timeout(AMPLE, by_quic.closed()).await.unwrap() });
    assert!(matches!(why, quinn::ConnectionError::ApplicationClosed(_)), "{why:?}");
    // While the predecessor is there still, the successor alone takes what is new.
    for _ in 0..10 {
        let served = async {
            let connection = connect_by_quic(before[2], &certificate).await.unwrap();
            is_served_by_quic(&connection).await
        };
        let timely = runtime.block_on(async { tokio::time::timeout(SOON, served).await });
        assert_eq!(timely, Ok(true));
    }
    assert!(connect(before[1], &certificate, "h2").is_ok());
    assert!(server.process.try_wait().unwrap().is_none(), "it stays for the connection by TLS");
    assert!(is_served(&mut held));
    drop(held);
    assert_eq!(server.ended().code(), Some(0), "{}", keyed.place.read("log"));
    let successor = keyed.place.wait_for_server(successor);
    assert!(successor.steered().is_some());
    assert!(!keyed.place.read("log").contains("it is closed"), "{}", keyed.place.read("log"));
}

#[test]
fn sockets_of_the_supervisor_serve_encrypted_transports_by_their_names() {
    let keyed = Keyed::new();
    let certificate = keyed.write_certificate();
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (quic, tls, https) = (UdpSocket::bind("127.0.0.1:0").unwrap(), listener(), listener());
    let addresses = [tls.local_addr(), https.local_addr(), quic.local_addr()].map(Result::unwrap);
    let mut text = keyed.place.read("rhumb.toml");
    for (table, address) in ["[server.tls]", "[server.https]", "[server.quic]"].iter().zip(addresses) {
        text = text.replace(
            &format!("{table}\nlisten = [\"127.0.0.1:0\"]"),
            &format!("{table}\nlisten = [\"{address}\"]"),
        );
    }
    keyed.place.write("rhumb.toml", &text);
    let copies = [
        quic.try_clone().unwrap().into(),
        tls.try_clone().unwrap().into(),
        https.try_clone().unwrap().into(),
    ];
    // Were a socket not taken, its address would be in use by this test.
    let process = handed(&keyed.place.path("."), copies, "quic:tls:https");
    let _server = keyed.place.wait_for_server(process);
    assert!(is_served(&mut connect(addresses[0], &certificate, "dot").unwrap()));
    assert!(connect(addresses[1], &certificate, "h2").is_ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = connect_by_quic(addresses[2], &certificate).await.unwrap();
        assert!(is_served_by_quic(&connection).await);
    });
}

#[test]
fn threads_step_back_and_files_are_opened_after_privileges_have_gone() {
    let keyed = Keyed::new();
    let certificate = keyed.write_certificate();
    let limited = keyed.place.spawn_with("serve", |command| {
        let program = command.get_program().to_owned();
        *command = std::process::Command::new("sh");
        command.arg("-c").arg("ulimit -S -n 200; exec \"$0\" serve").arg(program);
        command.current_dir(keyed.place.path("."));
        let log = fs::File::options().create(true).append(true).open(keyed.place.path("log")).unwrap();
        command.stderr(log);
    });
    let server = keyed.place.wait_for_server(limited);
    assert!(is_served(&mut connect(keyed.at("TLS"), &certificate, "dot").unwrap()));
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process.id())).unwrap();
    let files: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "as many as the process may");
    assert_ne!(files[3], "200");
    let threads = scheduling(&server);
    let of = |name: &str| -> Vec<&Scheduling> {
        let named = threads.iter().filter(|(of, _)| of.starts_with(name));
        named.map(|(_, place)| place).collect()
    };
    let (clients, workers, judges) = (of("clients"), of("udp"), of("tokio"));
    assert!(!judges.is_empty() && judges.iter().all(|place| place.nice == GIVES_WAY), "{threads:?}");
    assert!(!clients.is_empty() && clients.iter().all(|place| place.nice == STEPPED_BACK), "{threads:?}");
    // Ahead where that is permitted, as it is for root: before all turns or by their weight.
    assert!(!workers.is_empty() && workers.iter().all(|place| place.nice <= 0), "{threads:?}");
    if may_go_before_turns() {
        assert!(workers.iter().all(|place| place.policy == libc::SCHED_FIFO), "{threads:?}");
    }
    let others = threads.iter().filter(|(name, _)| !name.starts_with("udp"));
    assert!(others.map(|(_, place)| place.policy).all(|policy| policy == libc::SCHED_OTHER), "{threads:?}");
}

/// Whether this system lets who runs the tests go before all turns.
fn may_go_before_turns() -> bool {
    let tried = std::process::Command::new("chrt").args(["--fifo", "1", "true"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// How a thread is scheduled.
#[derive(Debug)]
struct Scheduling {
    nice: i32,
    policy: i32,
}

/// The name of every thread, and how it is scheduled.
fn scheduling(server: &Server) -> Vec<(String, Scheduling)> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.process.id())).unwrap();
    let look = |thread: &Path| {
        let name = proc_status(server.process.id(), Some(thread), "Name");
        // Behind the name in brackets, which may hold spaces, by proc(5): the 19th field and the 41st.
        let line = fs::read_to_string(thread.join("stat")).unwrap();
        let fields: Vec<_> = line.rsplit(')').next().unwrap().split_whitespace().collect();
        let [nice, policy] = [19, 41].map(|field| fields[field - 3].parse().unwrap());
        (name, Scheduling { nice, policy })
    };
    threads.map(|thread| look(&thread.unwrap().path())).collect()
}
