//! A query's octets in, a reply's octets out. All transports call [`respond`]; how a question is answered, step
//! by step of RFC 1034 section 4.3.2, is in `resolve`.

use std::fmt;
use std::net::IpAddr;

use super::count::Counters;
use super::resolve::resolve;
use super::table::AnswerTable;
use crate::time::WallTime;
use crate::wire::code::Rcode;
use crate::wire::edns::ClientSubnet;
use crate::wire::query::{Message, Query, Reject};
use crate::wire::reply::{Reply, ReplyOptions};

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram; the reply is bounded by what the client advertises and by [`UDP_OCTETS_MAX`]. The one transport
    /// whose source address anybody can make up.
    Udp,
    /// A stream (RFC 7766); the reply is bounded by 65,535 octets.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

/// How a message came: from whom, over what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// The address that sent it, as the socket or a trusted proxy tells it.
    pub source: IpAddr,
    /// What it came by, and its reply goes by.
    pub transport: Transport,
    /// About when: one reading of the clock may serve a batch. Cookies are judged by it (RFC 9018), nothing else.
    pub at: WallTime,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say nothing.
    Ignore,
    /// Send the first so many octets of the reply buffer.
    Send(usize),
}

/// The largest reply by UDP, whatever a client advertises: fits an IPv6 packet of 1,280 octets, so that it is
/// not fragmented (DNS flag day 2020).
pub const UDP_OCTETS_MAX: usize = 1232;
/// The largest reply by UDP to a client without EDNS, and the least that one with it takes
/// (RFC 1035 section 2.3.4, RFC 6891 section 6.2.3).
const UDP_OCTETS_MIN: usize = 512;
/// The largest message of a stream.
const STREAM_OCTETS_MAX: usize = 65_535;

impl Transport {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic];

    /// Whether nobody but the client can read the reply, so that its length is worth hiding (RFC 8467).
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }

    /// Octets that a reply's buffer must have.
    #[must_use]
    pub fn reply_octets_max(self) -> usize {
        if self == Self::Udp { UDP_OCTETS_MAX } else { STREAM_OCTETS_MAX }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Https => "HTTPS",
            Self::Quic => "QUIC",
        })
    }
}

/// Answers one message: writes the reply at the start of `reply`, which has at least
/// [`Transport::reply_octets_max`] octets, and counts what was done. Never panics, whatever `packet` holds.
pub fn respond(
    table: &AnswerTable,
    packet: &[u8],
    envelope: Envelope,
    reply: &mut [u8],
    counters: &Counters,
) -> Action {
    let mut room = [0; 256];
    let (rcode, length) = match Message::parse(packet, &mut room) {
        Message::Ignore => {
            counters.ignored.add(1);
            return Action::Ignore;
        }
        Message::Reject(reject) => (reject.rcode, refuse(&reject, packet, reply)),
        Message::Query(query) => answer(table, &query, packet, envelope, reply, counters),
    };
    counters.reply(rcode);
    Action::Send(length)
}

fn answer(
    table: &AnswerTable,
    query: &Query<'_>,
    packet: &[u8],
    envelope: Envelope,
    octets: &mut [u8],
    counters: &Counters,
) -> (Rcode, usize) {
    let edns = query.edns.as_ref();
    let subnet = edns.and_then(|edns| edns.client_subnet.as_ref());
    counters.client_subnet.add(u64::from(subnet.is_some()));
    let client = subnet.and_then(ClientSubnet::address).unwrap_or(envelope.source);
    let mut options = ReplyOptions { edns, ..ReplyOptions::default() };
    let limit = reply_limit(query, envelope.transport);
    let mut reply = Reply::begin(octets, packet, query.question_octets(), limit, &options);
    let outcome = resolve(table, query, client, &mut reply);
    counters.truncated.add(u64::from(outcome.truncated));
    if let Some(counter) = outcome.counter {
        counters.answers[counter as usize].add(1);
    }
    options.scope = outcome.scope;
    options.extended_error = outcome.extended_error;
    (outcome.rcode, reply.finish(outcome.rcode, outcome.authoritative, outcome.truncated, &options))
}

fn reply_limit(query: &Query<'_>, transport: Transport) -> usize {
    match transport {
        Transport::Tcp | Transport::Tls | Transport::Https | Transport::Quic => STREAM_OCTETS_MAX,
        Transport::Udp => query.edns.as_ref().map_or(UDP_OCTETS_MIN, |edns| {
            usize::from(edns.udp_octets).clamp(UDP_OCTETS_MIN, UDP_OCTETS_MAX)
        }),
    }
}

/// A reply of a code and no records.
fn refuse(reject: &Reject<'_>, packet: &[u8], octets: &mut [u8]) -> usize {
    let options = ReplyOptions { edns: reject.edns.as_ref(), ..ReplyOptions::default() };
    let reply = Reply::begin(octets, packet, reject.question_octets, UDP_OCTETS_MIN, &options);
    reply.finish(reject.rcode, false, false, &options)
}
