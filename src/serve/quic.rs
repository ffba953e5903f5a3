//! DNS over QUIC (RFC 9250): each query has a stream of its own, with its length before it; the id of every message
//! is zero. What the RFC calls an error of the protocol ends the connection, as it demands.
//!
//! Every datagram is as long as the path takes, so that nobody on the way sees how long an answer is (section 5.4).
//!
//! 0-RTT is off: a first flight that is replayed would be answered twice, and saves a client one round trip at best.
//! Connections have seats as those by TCP do; a newcomer proves its address by a Retry (RFC 9000 section 8.1.2) once
//! a part of the seats is taken.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ReadToEndError, RecvStream, Runtime, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::office::{LENGTH_OCTETS, MESSAGE_OCTETS_MAX, Office};
use super::quic_socket::Shared;
use super::seats::{Limits, Phase, Seat, Seats};
use super::{Responder, skim};
use crate::credentials::PublicSide;
use crate::wire::code::OptionCode;
use crate::wire::{HEADER_OCTETS, u16_at};

/// The codes that a connection or a stream ends with (RFC 9250 section 4.3).
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);

/// A query with its length.
const FRAMED_OCTETS_MAX: usize = LENGTH_OCTETS + MESSAGE_OCTETS_MAX;
/// What a client may send on all streams of a connection before we take it, in octets.
const WINDOW_OCTETS: u32 = 256 * 1024;
/// Replies of one connection that wait for their acknowledgement, in octets.
const SEND_OCTETS_MAX: u64 = 256 * 1024;
/// Octets of a handshake that came before what should be before them.
const CRYPTO_OCTETS_MAX: usize = 16 * 1024;
/// Connections that wait to be looked at, and what they may have sent meanwhile, each and all together, in octets.
const INCOMING_MAX: usize = 1024;
const INCOMING_OCTETS_MAX: u64 = 16 * 1024;
const INCOMING_OCTETS_TOTAL_MAX: u64 = 4 * 1024 * 1024;
/// Streams in a row that were opened and asked nothing; one more ends the connection.
const STREAMS_UNANSWERED_MAX: u64 = 1000;

/// What the connections share.
pub(super) struct Door<R> {
    pub(super) seats: Arc<Seats>,
    pub(super) office: Arc<Office<R>>,
    /// Nothing is read from the socket any more.
    pub(super) stop: Arc<AtomicBool>,
}

/// One client's connection.
struct Visit<R> {
    connection: Connection,
    seat: Seat,
    office: Arc<Office<R>>,
    /// Streams since the last answer.
    unanswered: AtomicU64,
}

/// What the client did against the protocol (RFC 9250 section 4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    /// The stream does not hold one message and its length.
    Framing,
    /// The id is not zero.
    Id,
    /// The message has an option of TCP.
    Keepalive,
}

/// Takes connections until aborted.
pub(super) fn listen<R: Responder>(
    socket: UdpSocket,
    door: &Arc<Door<R>>,
    mut side: watch::Receiver<Arc<PublicSide>>,
    runtime: &Handle,
) -> io::Result<AbortHandle> {
    let _context = runtime.enter();
    let (door, limits) = (Arc::clone(door), *door.seats.limits());
    let first = server_config(&side.borrow_and_update(), &limits)?;
    let socket = Shared::new(TokioRuntime.wrap_udp_socket(socket)?, Arc::clone(&door.stop));
    let runs_on = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(
        EndpointConfig::default(),
        Some(first),
        Arc::new(socket),
        runs_on,
    )?;
    let task = async move {
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => door.admit(incoming),
                    None => return,
                },
                Ok(()) = side.changed() => {
                    // Made ready once already, by the same rules.
                    if let Ok(config) = server_config(&side.borrow_and_update(), &limits) {
                        endpoint.set_server_config(Some(config));
                    }
                }
            }
        }
    };
    Ok(runtime.spawn(task).abort_handle())
}

fn server_config(side: &PublicSide, limits: &Limits) -> io::Result<ServerConfig> {
    let crypto = QuicServerConfig::try_from(Arc::clone(&side.doq)).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.streams.into())
        // A client that opens one breaks the protocol, and QUIC itself ends the connection for it.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(limits.idle.try_into().map_err(io::Error::other)?))
        .stream_receive_window(VarInt::from_u32(FRAMED_OCTETS_MAX as u32))
        .receive_window(VarInt::from_u32(WINDOW_OCTETS))
        .send_window(SEND_OCTETS_MAX)
        .crypto_buffer_size(CRYPTO_OCTETS_MAX)
        .pad_to_mtu(true)
        .datagram_receive_buffer_size(None);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_OCTETS_MAX)
        .incoming_buffer_size_total(INCOMING_OCTETS_TOTAL_MAX);
    Ok(config)
}

impl<R: Responder> Door<R> {
    fn admit(&self, incoming: Incoming) {
        if !incoming.remote_address_validated() && incoming.may_retry() && self.seats.is_crowded() {
            let _ = incoming.retry();
            return;
        }
        let client = incoming.remote_address().ip();
        let office = Arc::clone(&self.office);
        // Without a seat the connection is refused, by being dropped.
        self.seats.admit(Some(client), Phase::Handshake, |seat| serve(incoming, seat, office));
    }
}

async fn serve<R: Responder>(incoming: Incoming, seat: Seat, office: Arc<Office<R>>) {
    let shaken = match incoming.accept() {
        Ok(connecting) => connecting.await,
        Err(error) => Err(error),
    };
    let Ok(connection) = shaken else {
        seat.break_off();
        return;
    };
    seat.enter(Phase::Idle);
    let visit = Visit { connection, seat, office, unanswered: AtomicU64::new(0) };
    Arc::new(visit).converse().await;
}

impl<R: Responder> Visit<R> {
    /// Answers stream by stream until either side ends the connection. Ended from outside, it takes its streams with
    /// it.
    async fn converse(self: Arc<Self>) {
        let mut streams = JoinSet::new();
        for _ in 0..self.seat.limits().queries {
            let Ok((reply, query)) = self.connection.accept_bi().await else { return };
            if self.unanswered.fetch_add(1, Ordering::Relaxed) >= STREAMS_UNANSWERED_MAX {
                return self.break_off(EXCESSIVE_LOAD, b"many streams and no query");
            }
            while streams.try_join_next().is_some() {}
            streams.spawn(Arc::clone(&self).answer(query, reply));
        }
        while streams.join_next().await.is_some() {}
        self.break_off(NO_ERROR, b"enough queries for one connection");
    }

    async fn answer(self: Arc<Self>, mut query: RecvStream, mut reply: SendStream) {
        let limits = self.seat.limits();
        let octets = tokio::select! {
            read = timeout(limits.message, query.read_to_end(FRAMED_OCTETS_MAX)) => read,
            // The client wants no reply any more.
            _ = reply.stopped() => return give_up(&mut query, &mut reply, REQUEST_CANCELLED),
        };
        let octets = match octets {
            Ok(Ok(octets)) => octets,
            Ok(Err(ReadToEndError::TooLong)) => return self.breach(Breach::Framing),
            // The client gave it up, or the connection is gone.
            Ok(Err(ReadToEndError::Read(_))) => return give_up(&mut query, &mut reply, REQUEST_CANCELLED),
            Err(_) => return give_up(&mut query, &mut reply, EXCESSIVE_LOAD),
        };
        let message = match message(&octets) {
            Ok(message) => message,
            Err(breach) => return self.breach(breach),
        };
        let framed = self.office.answer_one(message, self.client(), |octets| {
            let length = u16::try_from(octets.len()).expect("a reply is no longer than its buffer");
            [&length.to_be_bytes(), octets].concat()
        });
        // What deserves no reply: a stream that ended without one would be a breach of ours.
        let Some(octets) = framed else { return give_up(&mut query, &mut reply, UNSPECIFIED_ERROR) };
        self.unanswered.store(0, Ordering::Relaxed);
        self.seat.enter(Phase::Idle);
        let sent = timeout(limits.write, async {
            if reply.write_all(&octets).await.is_ok() && reply.finish().is_ok() {
                // Until it is acknowledged: the end of a connection takes what is under way with it.
                let _ = reply.stopped().await;
            }
        });
        if sent.await.is_err() {
            let _ = reply.reset(EXCESSIVE_LOAD);
        }
    }

    /// Where the client is now: a connection outlives a change of its address (RFC 9000 section 9).
    fn client(&self) -> IpAddr {
        self.connection.remote_address().ip()
    }

    fn breach(&self, breach: Breach) {
        let reason: &[u8] = match breach {
            Breach::Framing => b"a stream holds one message behind its length",
            Breach::Id => b"the message id is zero",
            Breach::Keepalive => b"edns-tcp-keepalive is for TCP",
        };
        self.break_off(PROTOCOL_ERROR, reason);
    }

    fn break_off(&self, code: VarInt, reason: &[u8]) {
        self.seat.break_off();
        self.connection.close(code, reason);
    }
}

/// Ends both directions of a stream without a reply.
fn give_up(query: &mut RecvStream, reply: &mut SendStream, code: VarInt) {
    // Where a direction has ended already there is nothing left to say.
    let _ = (query.stop(code), reply.reset(code));
}

/// The one message of a stream.
fn message(octets: &[u8]) -> Result<&[u8], Breach> {
    let (length, message) = octets.split_first_chunk::<LENGTH_OCTETS>().ok_or(Breach::Framing)?;
    if usize::from(u16::from_be_bytes(*length)) != message.len() {
        return Err(Breach::Framing);
    }
    if message.len() < HEADER_OCTETS {
        return Err(Breach::Framing);
    }
    match u16_at(message, 0) {
        Some(0) if skim::has_option(message, OptionCode::TCP_KEEPALIVE) => Err(Breach::Keepalive),
        Some(0) => Ok(message),
        Some(_) => Err(Breach::Id),
        None => Err(Breach::Framing),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes(), message].concat()
    }

    /// A query for `a.` with an OPT record that holds `options`.
    fn query(id: u8, options: &[u8]) -> Vec<u8> {
        let mut octets = vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1];
        octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
        octets.extend(options);
        octets
    }

    #[test]
    fn a_stream_holds_one_message_and_its_length() {
        let whole = query(0, &[]);
        assert_eq!(message(&framed(&whole)), Ok(&whole[..]));
        for octets in [&[][..], &[0], &[0, 5, 1], &[&framed(&whole)[..], &[0]].concat()] {
            assert_eq!(message(octets), Err(Breach::Framing), "{octets:?}");
        }
        for length in 0..12 {
            assert_eq!(message(&framed(&whole[..length])), Err(Breach::Framing), "no header");
        }
    }

    #[test]
    fn an_id_and_an_option_of_tcp_are_breaches() {
        assert_eq!(message(&framed(&query(1, &[]))), Err(Breach::Id));
        assert_eq!(message(&framed(&query(0, &[0, 11, 0, 0]))), Err(Breach::Keepalive));
        assert_eq!(message(&framed(&query(0, &[0, 3, 0, 0, 0, 11, 0, 2, 0, 5]))), Err(Breach::Keepalive));
        assert!(message(&framed(&query(0, &[0, 3, 0, 2, 0, 11]))).is_ok());
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = message(&framed(&octets));
            let _ = message(&octets);
        }
    }
}
