//! A query's octets in, a reply's octets out. All transports call [`respond`]; how a question is answered, step
//! by step of RFC 1034 section 4.3.2, is in `resolve`.

use std::net::IpAddr;

use super::count::Counters;
use super::resolve::resolve;
use super::table::AnswerTable;
use crate::wire::code::Rcode;
use crate::wire::edns::ClientSubnet;
use crate::wire::query::{Message, Query, Reject};
use crate::wire::reply::{Reply, ReplyOptions};

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram; the reply is bounded by what the client advertises and by [`UDP_OCTETS_MAX`].
    Udp,
    /// A stream; the reply is bounded by 65,535 octets.
    Tcp,
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

/// Answers one message: writes the reply at the start of `reply`, which has at least [`UDP_OCTETS_MAX`] octets
/// for UDP and 65,535 for TCP, and counts what was done. Never panics, whatever `packet` holds.
pub fn respond(
    table: &AnswerTable,
    packet: &[u8],
    source: IpAddr,
    transport: Transport,
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
        Message::Query(query) => answer(table, &query, packet, source, transport, reply, counters),
    };
    counters.reply(rcode);
    Action::Send(length)
}

fn answer(
    table: &AnswerTable,
    query: &Query<'_>,
    packet: &[u8],
    source: IpAddr,
    transport: Transport,
    octets: &mut [u8],
    counters: &Counters,
) -> (Rcode, usize) {
    let edns = query.edns.as_ref();
    let subnet = edns.and_then(|edns| edns.client_subnet.as_ref());
    counters.client_subnet.add(u64::from(subnet.is_some()));
    let client = subnet.and_then(ClientSubnet::address).unwrap_or(source);
    let mut options = ReplyOptions { edns, ..ReplyOptions::default() };
    let limit = reply_limit(query, transport);
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
        Transport::Tcp => STREAM_OCTETS_MAX,
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
