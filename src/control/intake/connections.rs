//! Takes agents' connections: TLS with our own acceptor, so that the certificate of the other side is seen and
//! looked at again whenever the files of trust change.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Shared, router};
use crate::credentials::ServerSide;
use crate::credentials::certificate::Certificate;
use crate::exchange::identity::Identity;
use crate::health::board::AGENTS_MAX;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    chain: Vec<CertificateDer<'static>>,
}

/// Connections in all: an agent has one for its reports and one for its orders, and both anew when it reconnects.
const CONNECTIONS_MAX: usize = AGENTS_MAX * 4;
/// Connections of one agent; one more and its oldest is closed, which is one that it gave up.
const CONNECTIONS_PER_AGENT_MAX: usize = 4;
/// Handshakes under way, those of strangers among them; more wait their turn.
const HANDSHAKES_MAX: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle, and the head of a request take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request in octets; a body is read through a buffer of that size.
const HEAD_OCTETS_MAX: usize = 64 * 1024;
/// Certificates that grow too old are noticed by then.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Pause after a connection could not be taken, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections of each agent, the oldest first; whoever drops the sender closes the connection.
type Seats = Mutex<HashMap<Identity, VecDeque<(u64, oneshot::Sender<()>)>>>;

/// Takes connections until it is dropped.
pub(super) async fn accept(
    listener: TcpListener,
    side: watch::Receiver<Arc<ServerSide>>,
    shared: Arc<Shared>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let seats = Arc::new(Seats::default());
    let tell_expiry = async {
        let mut side = side.clone();
        loop {
            shared.metrics.own_certificate(side.borrow_and_update().expires);
            if side.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    let take = async {
        for number in 0.. {
            let handshake = Arc::clone(&handshakes).acquire_owned().await;
            let connection = Arc::clone(&connections).acquire_owned().await;
            let (Ok(handshake), Ok(connection)) = (handshake, connection) else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an agent's connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (side, shared, seats) = (side.clone(), Arc::clone(&shared), Arc::clone(&seats));
            tokio::spawn(async move {
                let taken = shake_hands(stream, &side).await;
                drop(handshake);
                match taken {
                    Ok((stream, peer)) => serve(number, stream, peer, side, &shared, &seats).await,
                    Err(reason) => shared.metrics.refused_agent(reason),
                }
                drop(connection);
            });
        }
    };
    tokio::select! {
        () = take => {}
        () = tell_expiry => {}
    }
}

/// The stream and who is at its other end, or the reason why it is refused.
async fn shake_hands(
    stream: TcpStream,
    side: &watch::Receiver<Arc<ServerSide>>,
) -> Result<(TlsStream<TcpStream>, Peer), &'static str> {
    let config = Arc::clone(&side.borrow().config);
    // Reports are small and urgent.
    stream.set_nodelay(true).map_err(|_| "broken")?;
    let shaken = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await;
    let stream = shaken.map_err(|_| "slow-handshake")?.map_err(|error| reason(&error))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let certificate = chain.first().and_then(|own| Certificate::of(own).ok()).ok_or("no-certificate")?;
    let identity = certificate.identity.map_err(|fault| {
        tracing::warn!(fault, "a certificate of a known authority is refused");
        "no-identity"
    })?;
    Ok((stream, Peer { identity, chain }))
}

/// Why a handshake failed, as a label.
fn reason(error: &io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => "no-certificate",
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            CertificateError::Revoked => "revoked",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::UnknownIssuer => "unknown-authority",
            _ => "bad-certificate",
        },
        Some(_) => "bad-handshake",
        None => "broken",
    }
}

/// Serves one agent until it goes, is pushed out by its own newer connections, or is not believed any more.
async fn serve(
    number: u64,
    stream: TlsStream<TcpStream>,
    peer: Peer,
    mut side: watch::Receiver<Arc<ServerSide>>,
    shared: &Arc<Shared>,
    seats: &Seats,
) {
    // The certificate may have been revoked during the handshake.
    if !side.borrow_and_update().accepts(&peer.chain) {
        shared.metrics.refused_agent("revoked");
        return;
    }
    if let Ok(certificate) = Certificate::of(&peer.chain[0]) {
        shared.metrics.agent_certificate(&peer.identity, certificate.expires);
    }
    let peer = Arc::new(peer);
    let mut leave = sit_down(seats, &peer.identity, number);
    let service = TowerToHyperService::new(router(Arc::clone(shared), Arc::clone(&peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_OCTETS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            // How a connection ends is the agent's affair; it comes back.
            _ = &mut connection => break,
            _ = &mut leave => break,
            changed = side.changed() => if changed.is_err() { break },
            () = sleep(LOOK_AGAIN) => {}
        }
        if !side.borrow_and_update().accepts(&peer.chain) {
            tracing::warn!(agent = %peer.identity, "the certificate is not believed any more; disconnected");
            shared.metrics.refused_agent("revoked");
            break;
        }
    }
    stand_up(seats, &peer.identity, number);
}

fn sit_down(seats: &Seats, identity: &Identity, number: u64) -> oneshot::Receiver<()> {
    let (stay, leave) = oneshot::channel();
    let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
    let own = seats.entry(identity.clone()).or_default();
    if own.len() >= CONNECTIONS_PER_AGENT_MAX {
        own.pop_front();
    }
    own.push_back((number, stay));
    leave
}

fn stand_up(seats: &Seats, identity: &Identity, number: u64) {
    let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = seats.get_mut(identity) {
        own.retain(|(seated, _)| *seated != number);
        if own.is_empty() {
            seats.remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_oldest_connection_makes_room_and_nobody_elses_does() {
        let seats = Seats::default();
        let (dublin, ashburn) = ("dublin/1".parse().unwrap(), "ashburn/1".parse().unwrap());
        let mut other = sit_down(&seats, &ashburn, 0);
        let mut seated: Vec<_> = (1..=CONNECTIONS_PER_AGENT_MAX as u64 + 1)
            .map(|number| sit_down(&seats, &dublin, number))
            .collect();
        let closed =
            |leave: &mut oneshot::Receiver<()>| leave.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        let left: Vec<bool> = seated.iter_mut().map(closed).collect();
        assert_eq!(left, [true, false, false, false, false]);
        assert!(!closed(&mut other));
    }

    #[test]
    fn who_left_leaves_nothing_behind() {
        let seats = Seats::default();
        let dublin = "dublin/1".parse().unwrap();
        let _first = sit_down(&seats, &dublin, 1);
        let _second = sit_down(&seats, &dublin, 2);
        stand_up(&seats, &dublin, 1);
        stand_up(&seats, &dublin, 1);
        assert_eq!(seats.lock().unwrap()[&dublin].len(), 1);
        stand_up(&seats, &dublin, 2);
        assert!(seats.lock().unwrap().is_empty());
    }

    #[test]
    fn a_handshake_that_fails_has_its_reason() {
        let of = |fault| reason(&io::Error::other(rustls::Error::InvalidCertificate(fault)));
        assert_eq!(of(CertificateError::Revoked), "revoked");
        assert_eq!(of(CertificateError::UnknownIssuer), "unknown-authority");
        assert_eq!(of(CertificateError::BadEncoding), "bad-certificate");
        assert_eq!(reason(&io::Error::other(rustls::Error::NoCertificatesPresented)), "no-certificate");
        assert_eq!(reason(&io::ErrorKind::UnexpectedEof.into()), "broken");
    }
}
