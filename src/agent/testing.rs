//! Small servers on loopback that work, fail and misbehave on purpose.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::probe::{Finding, Prober, Shared};
use crate::config::probe::{HttpProbe, Probe, ProbeKind, Target};
use crate::health::streak::Thresholds;
use crate::ids::ProbeId;

/// A time-out that no probe reaches that is going to end at all, on the slowest machine.
pub(super) const AMPLE: Duration = Duration::from_secs(5);

/// A probe of `kind` once a second.
pub(super) fn probe(kind: ProbeKind) -> Probe {
    let thresholds = Thresholds { fall: 3, rise: 2, window: 10, window_failures: 6, together: 10 };
    let interval = Duration::from_secs(1);
    Probe { name: "test".to_owned(), kind, interval, timeout: AMPLE, watch: false, thresholds }
}

/// What one probe of `kind` finds at `address`, with time enough.
pub(super) async fn finding(address: SocketAddr, kind: ProbeKind) -> Finding {
    finding_within(AMPLE, address, kind).await
}

/// What one probe of `kind` finds at `address`.
pub(super) async fn finding_within(timeout: Duration, address: SocketAddr, kind: ProbeKind) -> Finding {
    let probe = Probe { timeout, ..probe(kind) };
    let target = Target { address, probe: ProbeId(0), key: "eu/www/192.0.2.1".to_owned() };
    Prober::new(&target, &probe, &mut Shared::default()).probe(4711, false).await
}

/// A plain HTTP probe of "/" at `address` that wants status 200.
pub(super) fn http_at(address: SocketAddr) -> HttpProbe {
    HttpProbe {
        tls: None,
        port: address.port(),
        path: "/".to_owned(),
        host: None,
        status: vec![200],
        body_contains: None,
    }
}

/// A server that counts the connections it took; it ends when dropped, and so do its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) taken: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes connections and lets `handle` deal with each.
    pub(super) async fn start<F, W>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), handle).await
    }

    pub(super) async fn start_at<F, W>(address: SocketAddr, handle: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(handle(stream));
            }
        });
        Self { address, taken, task }
    }

    /// Answers every HTTP request with `reply`, status line and all, then closes.
    pub(super) async fn http(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::start(move |stream| answer_http(stream, reply.clone())).await
    }

    /// The same over TLS.
    pub(super) async fn https(certificate: &Certificate, reply: &'static str) -> Self {
        let acceptor = certificate.acceptor();
        Self::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_http(stream, reply.into()).await;
                }
            }
        })
        .await
    }

    /// Takes connections and says nothing.
    pub(super) async fn silent() -> Self {
        Self::start(|stream| async move {
            let _held = stream;
            std::future::pending().await
        })
        .await
    }

    pub(super) fn count(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) async fn answer_http(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: Vec<u8>) {
    if !read_head(&mut stream).await.is_empty() {
        let _ = stream.write_all(&reply).await;
        let _ = stream.shutdown().await;
    }
}

/// The head of an HTTP request; nothing when the other side closes before its end.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A reply of status 200 with `body`.
pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Breaks the connection rather than end it.
pub(super) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// An address that refuses connections for as long as the socket is held.
pub(super) fn refusing() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// A listener whose queue is full, so that the kernel drops what would connect, and what fills it.
pub(super) async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        held.push(stream.unwrap());
    }
    (address, listener, held)
}

/// A self-signed certificate, its key, and a file that holds it for those who trust it.
pub(super) struct Certificate {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
    folder: tempfile::TempDir,
}

impl Certificate {
    /// One that is good today for `name`, or for an address.
    pub(super) fn of(name: &str) -> Self {
        Self::valid_until(name, 4096)
    }

    pub(super) fn valid_until(name: &str, year: i32) -> Self {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        Self { certificate, key, folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
