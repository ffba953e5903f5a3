//! How agents and servers know each other, and what a server shows to those who ask it over TLS: certificates, keys,
//! authorities and revocations, read from files and made ready for rustls. All sides [`follow`] their files, so that a renewal, a rotation or a revocation takes
//! no restart. Who may do what is not decided here.

pub mod certificate;
mod files;

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio::sync::watch;

use crate::clock;
use crate::config::CertificateFiles;
use crate::exchange::identity::Identity;
use crate::time::WallTime;
pub use certificate::revoked;
use certificate::{Certificate, Purpose};
pub use files::Contents;
use files::Material;

/// What a server needs to take agents' connections.
#[derive(Debug)]
pub struct ServerSide {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// When the server's certificate ends.
    pub expires: WallTime,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// What a server shows to everybody who asks it over an encrypted transport. Nobody is asked for a certificate.
#[derive(Debug)]
pub struct PublicSide {
    /// For DNS over TLS (RFC 7858): TLS 1.2 and 1.3.
    pub dot: Arc<ServerConfig>,
    /// For DNS over HTTPS (RFC 8484): TLS 1.2 and 1.3.
    pub https: Arc<ServerConfig>,
    /// For DNS over QUIC (RFC 9250): TLS 1.3 alone.
    pub doq: Arc<ServerConfig>,
    /// When the certificate ends.
    pub expires: WallTime,
}

/// What an agent needs to connect to servers.
#[derive(Clone, Debug)]
pub struct AgentSide {
    /// For new connections.
    pub config: ClientConfig,
    /// Who the agent is.
    pub identity: Identity,
    /// When its certificate ends.
    pub expires: WallTime,
}

/// How often the files are looked at. A change is taken once it stood still between two looks: certificate and key
/// are two files, and cannot be replaced at the same moment.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// HTTP as agents and servers speak it.
const PROTOCOL: &[u8] = b"http/1.1";

impl ServerSide {
    /// Makes ready what the files hold.
    pub fn new(contents: &Contents) -> Result<Self, String> {
        let Material { chain, key, authorities, revocations } = Material::of(contents)?;
        let certificate = Certificate::of(&chain[0])?;
        certificate.check_purpose(Purpose::Server)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), ring())
            .with_crls(revocations)
            // An authority without a list has revoked nothing. Nor does a list that is overdue shut the fleet
            // out: silence of all agents would be the larger harm.
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| error.to_string())?;
        let mut config = ServerConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(chain, key)
            .map_err(|error| error.to_string())?;
        // A resumed session shows no certificate, and so would outlive its revocation.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { config: Arc::new(config), expires: certificate.expires, verifier })
    }

    /// Whether a certificate that was shown before would still be accepted.
    #[must_use]
    pub fn accepts(&self, chain: &[CertificateDer<'static>]) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_millis(clock::wall().0));
        match chain.split_first() {
            Some((own, between)) => self.verifier.verify_client_cert(own, between, now).is_ok(),
            None => false,
        }
    }
}

impl PublicSide {
    /// Makes ready what the files hold: a chain and its key, of which nobody but the owner may read the latter.
    pub fn new(contents: &Contents) -> Result<Self, String> {
        let Material { chain, key, .. } = Material::of(contents)?;
        let Certificate { expires, .. } = Certificate::of(&chain[0])?;
        let chain = CertifiedKey::from_der(chain, key, &ring()).map_err(|error| error.to_string())?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(chain));
        // Sealed with a key that every renewal replaces: a client resumes without state of ours. There are no early
        // data: `max_early_data_size` is 0.
        let tickets = Ticketer::new().map_err(|error| error.to_string())?;
        let config = |versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]| {
            let mut config = ServerConfig::builder_with_provider(ring())
                .with_protocol_versions(versions)
                .expect("ring speaks these versions")
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&resolver));
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = Arc::clone(&tickets);
            config.send_tls13_tickets = 1;
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            dot: config(&[&TLS12, &TLS13], &[b"dot"]),
            https: config(&[&TLS12, &TLS13], &[b"h2", b"http/1.1"]),
            doq: config(&[&TLS13], &[b"doq"]),
            expires,
        })
    }
}

impl AgentSide {
    /// Makes ready what the files hold.
    pub fn new(contents: &Contents) -> Result<Self, String> {
        let Material { chain, key, authorities, revocations } = Material::of(contents)?;
        let certificate = Certificate::of(&chain[0])?;
        certificate.check_purpose(Purpose::Agent)?;
        let identity = certificate.identity?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), ring())
            .with_crls(revocations)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| error.to_string())?;
        let mut config = ClientConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(|error| error.to_string())?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { config, identity, expires: certificate.expires })
    }
}

/// Follows `files`, of which `contents` were made ready last: sends what `ready` makes of each change, until nobody
/// listens. What cannot be used leaves the old in place and is told once; a certificate that the other side will refuse
/// for its dates is used, and told of.
pub async fn follow<T>(
    files: CertificateFiles,
    mut contents: Contents,
    ready: fn(&Contents) -> Result<T, String>,
    sender: watch::Sender<Arc<T>>,
) {
    let mut seen = Ok(contents.clone());
    if let Some(fault) = contents.untimely(clock::wall()) {
        tracing::warn!(fault, "the certificate is in force all the same; renew it");
    }
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let read = {
            let files = files.clone();
            tokio::task::spawn_blocking(move || Contents::read(&files)).await
        };
        let Ok(read) = read else { continue };
        if read != seen {
            seen = read;
            continue;
        }
        let made = match &seen {
            Ok(read) if *read == contents => continue,
            Ok(read) => {
                contents = read.clone();
                ready(read)
            }
            // A file that is being replaced is away for a moment; one that stays away is told of here.
            Err(fault) if contents != Contents::default() => {
                contents = Contents::default();
                Err(fault.clone())
            }
            Err(_) => continue,
        };
        match made {
            Ok(made) => {
                match contents.untimely(clock::wall()) {
                    Some(fault) => tracing::warn!(fault, "new certificate files are in force all the same"),
                    None => tracing::info!("certificates, keys and lists were read anew"),
                }
                sender.send_replace(Arc::new(made));
            }
            Err(fault) => {
                tracing::error!(fault, "new certificate files cannot be used; the old ones stay in force");
            }
        }
    }
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
