//! A TCP connection and a TLS handshake; and whose certificates are trusted, for this kind and for HTTPS.
//!
//! No session is ever resumed: a resumed one shows no certificate, and an expired or exchanged one would pass
//! until the backend forgot the session.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Finding, bounded, finding_of_io};
use crate::config::probe::{TlsProbe, TlsTrust};

/// A target of a TLS probe, made ready.
pub(super) struct TlsTarget {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
}

/// The authorities read so far: reading the system's takes milliseconds, and all probes share them.
#[derive(Default)]
pub(super) struct TrustCache(HashMap<TlsTrust, Result<Authorities, String>>);

/// Those whose certificates pass; none where any certificate does.
type Authorities = Option<Arc<WebPkiServerVerifier>>;

/// Which certificates pass. That the other side holds its key is checked in any case.
#[derive(Debug)]
struct Verifier {
    authorities: Authorities,
    /// The name that a certificate must be for, where that is not the one that the connection is made to.
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TlsTarget {
    pub(super) fn new(address: SocketAddr, spec: &TlsProbe, trust: &mut TrustCache) -> Result<Self, String> {
        let name = match &spec.server_name {
            Some(name) => server_name(name)?,
            None => ServerName::from(address.ip()),
        };
        let config = client_config(&spec.trust, None, trust)?;
        Ok(Self { address, name, connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn probe(&self) -> Finding {
        let handshake = async {
            let stream = TcpStream::connect(self.address).await?;
            self.connector.connect(self.name.clone(), stream).await
        };
        match handshake.await {
            Ok(_) => Finding::Pass,
            Err(error) => finding_of_io(&error),
        }
    }
}

/// The name or address that a certificate must be for.
pub(super) fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| format!("{text:?} is no server name"))
}

/// How a client shakes hands under `trust`. With `name`, the certificate must be for that one, whatever name
/// the connection is made to.
pub(super) fn client_config(
    trust: &TlsTrust,
    name: Option<ServerName<'static>>,
    cache: &mut TrustCache,
) -> Result<ClientConfig, String> {
    let authorities = cache.0.entry(trust.clone()).or_insert_with(|| authorities(trust)).clone()?;
    let algorithms = ring().signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { authorities, name, algorithms }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities(trust: &TlsTrust) -> Result<Authorities, String> {
    let authorities = match trust {
        TlsTrust::System => rustls_native_certs::load_native_certs().certs,
        TlsTrust::File(path) => read_authorities(path)?,
        TlsTrust::Anything => return Ok(None),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), ring())
        .build()
        .map_err(|_| "no certificate authority of the system can be read".to_owned())?;
    Ok(Some(verifier))
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |why: String| bounded(format!("{}: {why}", path.display()));
    let authorities: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?.collect();
    match authorities {
        Ok(none) if none.is_empty() => Err(fault("holds no certificate in PEM form".to_owned())),
        Ok(authorities) => Ok(authorities),
        Err(error) => Err(fault(error.to_string())),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        let name = self.name.as_ref().unwrap_or(asked);
        authorities.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::testing::{Certificate, Server, finding, finding_within, reset};
    use crate::config::probe::ProbeKind;
    use crate::health::outcome::Failure;

    async fn found(server: &Server, name: Option<&str>, trust: TlsTrust) -> Finding {
        let server_name = name.map(str::to_owned);
        finding(server.address, ProbeKind::Tls(TlsProbe { port: 1, server_name, trust })).await
    }

    fn is_tls_failure(finding: &Finding, word: &str) -> bool {
        matches!(finding, Finding::Fail(Failure::Tls(why)) if why.contains(word))
    }

    async fn server(certificate: &Certificate) -> Server {
        Server::https(certificate, "").await
    }

    #[tokio::test]
    async fn a_self_signed_certificate_passes_only_where_it_is_trusted() {
        let certificate = Certificate::of("www.example.com");
        let server = server(&certificate).await;
        let name = Some("www.example.com");
        let trusted = TlsTrust::File(certificate.path());
        assert_eq!(found(&server, name, trusted).await, Finding::Pass);
        assert_eq!(found(&server, name, TlsTrust::Anything).await, Finding::Pass);
        let other = TlsTrust::File(Certificate::of("www.example.com").path());
        // The folder of the other certificate is gone again: a file that cannot be read is no evidence.
        assert!(matches!(found(&server, name, other).await, Finding::Nothing(_)));
        let other = Certificate::of("www.example.com");
        let finding = found(&server, name, TlsTrust::File(other.path())).await;
        assert!(is_tls_failure(&finding, "invalid peer certificate"), "{finding:?}");
        // Nothing on a machine without authorities, a failure on all others.
        assert_ne!(found(&server, name, TlsTrust::System).await, Finding::Pass);
    }

    #[tokio::test]
    async fn the_name_is_checked_and_so_is_the_date() {
        let certificate = Certificate::of("www.example.com");
        let at = server(&certificate).await;
        let finding = found(&at, Some("www.example.net"), TlsTrust::File(certificate.path())).await;
        assert!(is_tls_failure(&finding, "not valid for name"), "{finding:?}");

        let finding = found(&at, None, TlsTrust::File(certificate.path())).await;
        assert!(is_tls_failure(&finding, "not valid for name"), "{finding:?}");

        let expired = Certificate::valid_until("www.example.com", 2020);
        let at = server(&expired).await;
        let finding = found(&at, Some("www.example.com"), TlsTrust::File(expired.path())).await;
        assert!(is_tls_failure(&finding, "expired"), "{finding:?}");
        assert_eq!(found(&at, Some("www.example.com"), TlsTrust::Anything).await, Finding::Pass);
    }

    #[tokio::test]
    async fn without_a_name_the_certificate_is_for_the_address() {
        let certificate = Certificate::of("127.0.0.1");
        let server = server(&certificate).await;
        assert_eq!(found(&server, None, TlsTrust::File(certificate.path())).await, Finding::Pass);
    }

    #[tokio::test]
    async fn what_speaks_no_tls_fails() {
        let plain = Server::start(|mut stream| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let _ = stream.write_all(b"220 ready when you are\r\n").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let finding = found(&plain, None, TlsTrust::Anything).await;
        assert!(is_tls_failure(&finding, ""), "{finding:?}");

        let broken = Server::start(|stream| async { reset(stream) }).await;
        assert_eq!(found(&broken, None, TlsTrust::Anything).await, Finding::Fail(Failure::Reset));

        let silent = Server::silent().await;
        let kind = ProbeKind::Tls(TlsProbe { port: 1, server_name: None, trust: TlsTrust::Anything });
        let finding = finding_within(Duration::from_millis(100), silent.address, kind).await;
        assert_eq!(finding, Finding::Fail(Failure::TimedOut));
    }

    #[tokio::test]
    async fn a_name_that_is_none_finds_nothing() {
        let server = Server::silent().await;
        let finding = found(&server, Some("not a name"), TlsTrust::Anything).await;
        assert!(matches!(finding, Finding::Nothing(_)), "{finding:?}");
    }
}
