//! A certificate that signs itself, and clients that believe it.

use std::net::TcpStream;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::*;
use crate::config::CertificateFiles;
use crate::credentials::Contents;

/// What a server shows, in files as an operator would have them.
pub(super) struct Shown {
    pub(super) side: watch::Sender<Arc<PublicSide>>,
    pub(super) folder: TempDir,
    pub(super) certificate: CertificateDer<'static>,
}

/// A client's connection inside TLS.
pub(super) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

impl Shown {
    pub(super) fn new(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = write(&folder, name);
        let contents = Contents::read(&files(&folder)).unwrap();
        let side = watch::Sender::new(Arc::new(PublicSide::new(&contents).unwrap()));
        Self { side, folder, certificate }
    }

    pub(super) fn client_config(&self, protocol: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = if protocol.is_empty() { Vec::new() } else { vec![protocol.to_vec()] };
        config
    }

    /// Connects and shakes hands.
    pub(super) fn connect(&self, address: SocketAddr, protocol: &[u8]) -> std::io::Result<TlsClient> {
        self.wrap(TcpStream::connect(address)?, protocol)
    }

    pub(super) fn wrap(&self, stream: TcpStream, protocol: &[u8]) -> std::io::Result<TlsClient> {
        let name = "ns.example.net".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(self.client_config(protocol)), name).unwrap();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

pub(super) fn files(folder: &TempDir) -> CertificateFiles {
    CertificateFiles {
        certificate: folder.path().join("certificate.pem"),
        key: folder.path().join("certificate.key"),
        authorities: Vec::new(),
        revocations: Vec::new(),
    }
}

/// Writes a fresh certificate for `name` and its key.
pub(super) fn write(folder: &TempDir, name: &str) -> CertificateDer<'static> {
    use std::os::unix::fs::PermissionsExt;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let files = files(folder);
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    cert.der().clone()
}
