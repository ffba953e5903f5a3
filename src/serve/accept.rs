//! Takes connections at one door: seats them, learns from a proxy who they are, and hands them to what is spoken
//! there.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, unconstrained, yield_now};
use tokio::time::sleep;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::closing::Closing;
use super::office::Office;
use super::seats::{Phase, Seat, Seats};
use super::{Responder, framed, https, proxy};
use crate::credentials::PublicSide;
use crate::net::Prefix;

/// How long accepting rests after the process ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// So many connections are accepted at most before others have the processor.
const ACCEPT_IN_A_ROW: usize = 4096;

/// What all connections of one transport share.
pub(super) struct Door<R> {
    pub(super) seats: Arc<Seats>,
    pub(super) office: Arc<Office<R>>,
    /// Whose connections begin with who the client is.
    pub(super) proxies: Arc<[Prefix]>,
    pub(super) speech: Speech,
}

/// What is spoken over a connection.
pub(super) enum Speech {
    /// Messages behind their length, in clear (RFC 7766).
    Plain,
    /// The same inside TLS (RFC 7858).
    Tls(watch::Receiver<Arc<PublicSide>>),
    /// HTTP inside TLS (RFC 8484), with the path that messages are taken at.
    Https(watch::Receiver<Arc<PublicSide>>, Arc<str>),
}

/// Accepts connections until aborted.
pub(super) fn listen<R: Responder>(
    listener: StdListener,
    door: &Arc<Door<R>>,
    runtime: &Handle,
) -> io::Result<AbortHandle> {
    let _context = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    let door = Arc::clone(door);
    Ok(runtime.spawn(async move { accept(&listener, &door).await }).abort_handle())
}

async fn accept<R: Responder>(listener: &TcpListener, door: &Arc<Door<R>>) {
    let mut well = true;
    // Each is looked at once, and may say what it has to say, before those behind it could push it out.
    let most = (door.seats.limits().handshakes / 2).clamp(1, ACCEPT_IN_A_ROW);
    let mut in_a_row = 0;
    loop {
        // Whoever comes behind thousands is not to wait until all others that are ready have had the processor, again
        // and again, as the runtime would have it.
        in_a_row = (in_a_row + 1) % most;
        if in_a_row == 0 {
            yield_now().await;
        }
        match unconstrained(listener.accept()).await {
            Ok((stream, peer)) => {
                well = true;
                door.admit(stream, peer);
            }
            Err(error) if is_passing(&error) => {}
            // Out of descriptors or memory: the connection stays in the queue and accepting would fail at once
            // again. An idle connection makes room; the pause keeps the processor for UDP.
            Err(error) => {
                if well {
                    let transport = door.office.transport();
                    warn!(%error, %transport, "accepting connections fails; closing idle ones and trying on");
                }
                well = false;
                door.seats.accept_failed();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl<R: Responder> Door<R> {
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let behind_proxy = proxy::is_proxy(&self.proxies, peer.ip());
        let client = (!behind_proxy).then(|| peer.ip());
        let plain = client.is_some() && matches!(self.speech, Speech::Plain);
        let phase = if plain { Phase::Idle } else { Phase::Handshake };
        self.seats.admit(client, phase, |seat| Arc::clone(self).serve(stream, peer, seat));
    }

    /// Serves a connection until either side ends it. How it failed is the client's business; it is closed either
    /// way.
    async fn serve(self: Arc<Self>, mut stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let client = if proxy::is_proxy(&self.proxies, peer.ip()) {
            // What few connections need lies on the heap, so that the many others are small.
            let Some(client) = Box::pin(introduced(&mut stream, peer, &seat)).await else { return };
            client
        } else {
            peer.ip()
        };
        match &self.speech {
            Speech::Plain => {
                seat.enter(Phase::Idle);
                framed::serve(stream, client, seat, &self.office).await;
            }
            Speech::Tls(side) => {
                let config = Arc::clone(&side.borrow().dot);
                if let Some(stream) = Box::pin(shake_hands(stream, config, &seat)).await {
                    Box::pin(framed::serve(Closing(stream), client, seat, &self.office)).await;
                }
            }
            Speech::Https(side, path) => {
                let config = Arc::clone(&side.borrow().https);
                let seat = Arc::new(seat);
                let metered = https::Metered::new(stream, Arc::clone(&seat));
                let meter = metered.meter();
                if let Some(stream) = Box::pin(shake_hands(metered, config, &seat)).await {
                    Box::pin(https::serve(stream, meter, client, seat, &self.office, path)).await;
                }
            }
        }
    }
}

/// Who the client is, by the word of its proxy; none when that is no header, or the client has all it may have.
async fn introduced(stream: &mut TcpStream, peer: SocketAddr, seat: &Seat) -> Option<IpAddr> {
    let Ok(client) = proxy::read(stream, peer.ip()).await else {
        seat.break_off();
        return None;
    };
    seat.introduce(client).then_some(client)
}

/// The handshake of TLS; the keeper of the seats watches its time.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: Arc<rustls::ServerConfig>,
    seat: &Seat,
) -> Option<TlsStream<S>> {
    let shaken = seat.by_turns(async {
        let greeted = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        seat.has_greeted();
        greeted.into_stream(config).await
    });
    let Ok(stream) = shaken.await else {
        seat.break_off();
        return None;
    };
    seat.enter(Phase::Idle);
    Some(stream)
}

/// Whether the error came with one connection, which the kernel has dropped from its queue (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
        PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}
