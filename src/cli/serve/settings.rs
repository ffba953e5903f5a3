//! How the listeners are to be, as the configuration says, and what they show to clients of encrypted transports.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{self, CertificateFiles, Config};
use crate::control::metrics::Metrics;
use crate::control::secret;
use crate::credentials::{self, Contents, PublicSide};
use crate::serve::{ClientNames, Encrypted, Limits, Listener, Settings};

/// What clients of encrypted transports are shown, with the files that it was made of.
#[derive(Debug)]
pub(super) struct Shown {
    files: CertificateFiles,
    contents: Contents,
    side: watch::Sender<Arc<PublicSide>>,
}

impl Shown {
    /// Reads the certificate, if there is to be one.
    pub(super) fn read(config: &Config) -> Result<Option<Self>, String> {
        let Some(certificate) = &config.server.encrypted.certificate else { return Ok(None) };
        let contents = Contents::read(&certificate.files)?;
        let side = watch::Sender::new(Arc::new(PublicSide::new(&contents)?));
        Ok(Some(Self { files: certificate.files.clone(), contents, side }))
    }

    /// Follows the files, and tells when the latest certificate ends.
    pub(super) async fn follow(self, metrics: Arc<Metrics>) {
        let mut shown = self.side.subscribe();
        let tell = async move {
            loop {
                metrics.public_certificate(shown.borrow_and_update().expires);
                if shown.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(tell, credentials::follow(self.files, self.contents, PublicSide::new, self.side));
    }
}

/// How the listeners are to be.
pub(super) fn settings(config: &Config, shown: Option<&Shown>) -> Settings {
    let server = &config.server;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = server.workers.and_then(|workers| NonZeroUsize::new(workers.into()));
    let clients = if config.log.shorten_clients { ClientNames::Shortened } else { ClientNames::Whole };
    let encrypted = &server.encrypted;
    Settings {
        listen: server.listen.clone(),
        workers: workers.unwrap_or(cores),
        pin_workers: false,
        tcp: limits(&server.tcp),
        proxies: server.proxies.as_slice().into(),
        encrypted: shown.map(|shown| Encrypted {
            side: shown.side.subscribe(),
            tls: listener(&encrypted.tls),
            https: listener(&encrypted.https),
            path: encrypted.path.as_str().into(),
            quic: listener(&encrypted.quic),
        }),
        clients,
        network_key: secret::made_up(),
    }
}

fn listener(written: &config::Listener) -> Listener {
    Listener { listen: written.listen.clone(), limits: limits(&written.limits) }
}

fn limits(written: &config::Limits) -> Limits {
    Limits {
        connections: written.connections as usize,
        connections_per_client: written.connections_per_address as usize,
        handshakes: written.handshakes as usize,
        queries: written.queries_per_connection.into(),
        streams: written.streams,
        idle: written.idle_timeout,
        lifetime: written.lifetime,
        ..Limits::default()
    }
}
