//! The real binary with every transport on ports of its own, in a fresh folder, with a certificate that it signed
//! itself.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// The name that the certificate is for.
pub(crate) const NAME: &str = "ns.example.net";

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const ZONE: &str = "\
@ 1h SOA ns1 hostmaster 7 2h 15m 2w 1m
@ 1h NS ns1
ns1 1h A 192.0.2.53
";

/// The binary that is started: the one just built, unless `RHUMB_BINARY` names another.
fn binary() -> OsString {
    std::env::var_os("RHUMB_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_rhumb").into())
}

/// A server at work; ended when dropped.
pub(crate) struct Server {
    folder: TempDir,
    child: Child,
    /// UDP and TCP.
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) quic: SocketAddr,
    pub(crate) metrics: SocketAddr,
    /// What it shows.
    pub(crate) certificate: CertificateDer<'static>,
}

impl Server {
    /// Starts a server with `limits` in the table of each transport, `extra` in `[server]`, and as many open files as
    /// `files` says.
    pub(crate) fn start(limits: &str, extra: &str, files: Option<u32>) -> Self {
        Self::start_with([limits; 4], extra, files)
    }

    /// Starts a server with other limits for TCP, TLS, HTTPS and QUIC.
    pub(crate) fn start_with(limits: [&str; 4], extra: &str, files: Option<u32>) -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = write_certificate(&folder);
        let metrics = free_port();
        fs::write(folder.path().join("rhumb.toml"), configuration(limits, extra, metrics)).unwrap();
        fs::write(folder.path().join("example.com.zone"), ZONE).unwrap();
        fs::write(folder.path().join("health.state"), "* up\n").unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let limit = files.map(|files| format!("ulimit -n {files} && ")).unwrap_or_default();
        let child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" serve")])
            .arg(binary())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let told = await_start(&folder);
        let at = |what: &str| told.split(what).nth(1).unwrap().split(']').next().unwrap().parse().unwrap();
        Self {
            plain: at("answering version=\"0.1.0\" listen=["),
            tls: at("transport=TLS listen=["),
            https: at("transport=HTTPS listen=["),
            quic: at("transport=QUIC listen=["),
            metrics,
            certificate,
            folder,
            child,
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Runs a verb beside the server.
    pub(crate) fn run(&self, verb: &str) -> Output {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path()).args(verb.split_whitespace()).output().unwrap()
    }

    /// Starts another server with the same files, and a state and a log (`other.log`) of its own.
    pub(crate) fn start_beside(&self) -> Beside {
        let source = fs::read_to_string(self.path("rhumb.toml")).unwrap();
        let own = "[server]\nstate-directory = \"other\"\ncontrol-socket = \"other/rhumb.sock\"\n";
        let source = source
            .replacen("[server]\n", own, 1)
            .replace(&self.metrics.to_string(), &free_port().to_string());
        fs::write(self.path("other.toml"), source).unwrap();
        let log = fs::File::create(self.path("other.log")).unwrap();
        let mut command = Command::new(binary());
        command.args(["serve", "-c", "other.toml"]).current_dir(self.folder.path()).stdin(Stdio::null());
        Beside(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// A server beside another; ended when dropped.
pub(crate) struct Beside(pub(crate) Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a fresh certificate and its key where the server looks for them.
fn write_certificate(folder: &TempDir) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = folder.path().join("server.key");
    fs::write(folder.path().join("server.pem"), cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    cert.der().clone()
}

fn configuration([tcp, tls, https, quic]: [&str; 4], extra: &str, metrics: SocketAddr) -> String {
    let listen = "listen = [\"127.0.0.1:0\"]";
    format!(
        r#"
[server]
{listen}
{extra}
[server.tcp]
{tcp}
[server.tls]
{listen}
certificate = "server.pem"
key = "server.key"
{tls}
[server.https]
{listen}
{https}
[server.quic]
{listen}
{quic}
[metrics]
listen = "{metrics}"
[regions.eu-west]
[regions.us-east]
[probes.states]
file = "health.state"
[maps.world]
order = ["eu-west", "us-east"]
[maps.world.clients]
"net:198.51.100.0/24" = {{ regions = ["us-east"] }}
[zones."example.com"]
file = "example.com.zone"
[services.www]
names = ["www.example.com"]
probe = "states"
map = "world"
[services.www.regions]
eu-west = ["192.0.2.10"]
us-east = ["192.0.2.20"]
"#
    )
}

/// A port that nobody has at the moment.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What the server said until it answered.
fn await_start(folder: &TempDir) -> String {
    for _ in 0..1000 {
        let told = fs::read_to_string(folder.path().join("log")).unwrap();
        if told.lines().any(|line| line.contains("answering version=") && line.ends_with(']')) {
            return told;
        }
        thread::sleep(PATIENCE / 1000);
    }
    panic!("the server does not start: {}", fs::read_to_string(folder.path().join("log")).unwrap());
}

/// The question for `www.example.com A` with this id, without EDNS.
pub(crate) fn question(id: u16) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01");
    octets
}

/// Whether the server answers a query by UDP.
pub(crate) fn answers_by_udp(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&question(7), server).unwrap();
    let mut reply = [0; 512];
    socket.recv(&mut reply).is_ok_and(|length| reply[..2] == [0, 7] && length > 33)
}

/// How a client that trusts this certificate alone speaks one protocol inside TLS.
pub(crate) fn client_config(certificate: &CertificateDer<'static>, protocol: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}
