//! A query's octets in, a reply's octets out. All transports call [`respond`]; how a question is answered, step
//! by step of RFC 1034 section 4.3.2, is in `resolve`.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use super::count::Counters;
use super::extensions::{Amplification, Given, rcode_of_cookie};
use super::limit::{Judgement, RateLimit, ReplyKind};
use super::resolve::{resolve, zone_of};
use super::table::AnswerTable;
use crate::time::WallTime;
use crate::wire::HEADER_OCTETS;
use crate::wire::code::Rcode;
use crate::wire::cookie::Standing;
use crate::wire::edns::{ClientSubnet, Edns};
use crate::wire::options::ReplyOptions;
use crate::wire::query::{Message, Query, Reject, Room};
use crate::wire::reply::{Reply, TC};
use crate::wire::tsig::Tsig;

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
    /// Whether its connection takes none after it.
    pub is_last: bool,
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
    let mut room = Room::default();
    let written = match Message::parse(packet, &mut room) {
        Message::Ignore => {
            counters.ignored.add(1);
            return Action::Ignore;
        }
        Message::Reject(reject) => refuse(table, &reject, packet, envelope, reply, counters),
        Message::CookieOnly(edns) => confirm(table, edns, packet, envelope, reply, counters),
        Message::Query(query) => answer(table, &query, packet, envelope, reply, counters),
    };
    if let Some(limit) = &table.extensions().rate_limit
        && written.cookie != Some(Standing::Valid)
        && envelope.transport == Transport::Udp
    {
        return send_within(limit, &written, envelope, reply, counters);
    }
    counters.reply(written.rcode);
    Action::Send(written.octets)
}

/// A reply that lies ready.
struct Written {
    octets: usize,
    rcode: Rcode,
    /// Where its records stand, but for OPT and TSIG, which follow them.
    records: Range<usize>,
    /// What the query's cookie was worth.
    cookie: Option<Standing>,
}

fn answer(
    table: &AnswerTable,
    query: &Query<'_>,
    packet: &[u8],
    envelope: Envelope,
    octets: &mut [u8],
    counters: &Counters,
) -> Written {
    let edns = query.edns;
    let question_octets = query.question_octets();
    let subnet = edns.and_then(|edns| edns.client_subnet.as_ref());
    counters.client_subnet.add(u64::from(subnet.is_some()));
    let client = subnet.and_then(ClientSubnet::address).unwrap_or(envelope.source);
    let mut given = given(table, edns, envelope, counters);
    let cookie = given.as_ref().and_then(|given| given.cookie);
    if cookie.is_some() && table.extensions().turns_away(cookie, envelope.transport) {
        let given = given.map(Given::without_zone);
        let reject = Reject { edns: query.edns, ..Reject::new(Rcode::BADCOOKIE, question_octets) };
        return write_refusal(&reject, packet, envelope.transport, octets, given);
    }
    let (advertised, unsigned, signed) = limits(table, query, packet, envelope.transport, cookie);
    let limit = if edns.is_some_and(|edns| edns.dnssec_ok) { signed } else { unsigned }.min(advertised);
    let mut reply = Reply::begin(octets, packet, question_octets, limit, &options(edns, &given));
    let outcome = resolve(table, query, client, &mut reply);
    counters.truncated.add(u64::from(outcome.truncated));
    if let Some(counter) = outcome.counter {
        counters.answers[counter as usize].add(1);
    }
    if let Some(given) = &mut given {
        given.fit(table, query, &outcome);
    }
    let options = ReplyOptions {
        scope: outcome.scope,
        extended_error: outcome.extended_error,
        ..options(edns, &given)
    };
    let records = HEADER_OCTETS + question_octets..reply.end();
    let length = reply.finish(outcome.rcode, outcome.authoritative, outcome.truncated, &options);
    let mut written = Written { octets: length, rcode: outcome.rcode, records, cookie };
    if length > unsigned && !is_signed(table, query) {
        written.octets = truncate(octets, &written);
        written.records.end = written.records.start;
        counters.truncated.add(1);
    }
    written
}

/// Whether what is answered comes from a signed zone. DO promises a longer reply than an unsigned one may be.
#[cold]
fn is_signed(table: &AnswerTable, query: &Query<'_>) -> bool {
    zone_of(&table.lead(query)).is_some_and(|zone| table.zone(zone).signed.is_some())
}

#[inline]
fn options<'o>(edns: Option<&'o Edns<'o>>, given: &'o Option<Given<'o>>) -> ReplyOptions<'o> {
    let extras = given.as_ref().map(|given| &given.extras);
    ReplyOptions { edns, extras, ..ReplyOptions::default() }
}

/// What the reply gets beyond records; for nearly every query nothing.
#[inline]
fn given<'t>(
    table: &'t AnswerTable,
    edns: Option<&Edns<'_>>,
    envelope: Envelope,
    counters: &Counters,
) -> Option<Given<'t>> {
    let edns = edns.filter(|edns| table.extensions().may_give(edns))?;
    let given = table.extensions().give(edns, envelope);
    if let Some(standing) = given.cookie {
        counters.cookie(standing);
    }
    Some(given)
}

/// The longest reply: what the client takes, and what one may have that is not signed, and one that is.
#[inline]
fn limits(
    table: &AnswerTable,
    query: &Query<'_>,
    packet: &[u8],
    transport: Transport,
    cookie: Option<Standing>,
) -> (usize, usize, usize) {
    if transport != Transport::Udp {
        return (STREAM_OCTETS_MAX, STREAM_OCTETS_MAX, STREAM_OCTETS_MAX);
    }
    let advertised = advertised(query.edns);
    if cookie == Some(Standing::Valid) {
        return (advertised, advertised, advertised);
    }
    let Amplification { unsigned, signed } = table.extensions().amplification;
    (advertised, packet.len() * usize::from(unsigned), packet.len() * usize::from(signed))
}

/// How much a client takes by UDP.
#[inline]
fn advertised(edns: Option<&Edns<'_>>) -> usize {
    edns.map_or(UDP_OCTETS_MIN, |edns| usize::from(edns.udp_octets).clamp(UDP_OCTETS_MIN, UDP_OCTETS_MAX))
}

/// A reply of a code and no records.
#[cold]
fn refuse(
    table: &AnswerTable,
    reject: &Reject<'_>,
    packet: &[u8],
    envelope: Envelope,
    octets: &mut [u8],
    counters: &Counters,
) -> Written {
    let given = given(table, reject.edns, envelope, counters).map(Given::without_zone);
    write_refusal(reject, packet, envelope.transport, octets, given)
}

fn write_refusal(
    reject: &Reject<'_>,
    packet: &[u8],
    transport: Transport,
    octets: &mut [u8],
    mut given: Option<Given<'_>>,
) -> Written {
    let by_udp = transport == Transport::Udp;
    // It would make the reply longer than its query, for whoever has not so much as a cookie.
    if let Some(given) = &mut given
        && by_udp
        && reject.edns.is_some_and(|edns| edns.cookie.is_none())
    {
        given.extras.nsid = None;
    }
    let options = options(reject.edns, &given);
    let reply = Reply::begin(octets, packet, reject.question_octets, UDP_OCTETS_MIN, &options);
    let mut end = reply.finish(reject.rcode, false, false, &options);
    let signature = if reject.signed { Tsig::find(packet, reject.question_octets) } else { None };
    let limit = if by_udp { advertised(reject.edns) } else { STREAM_OCTETS_MAX };
    match signature {
        None => {}
        Some(tsig) if end + tsig.reply_octets() <= limit => {
            tsig.write_unknown_key(&mut octets[end..]);
            end += tsig.reply_octets();
            let additionals = 1 + u16::from(reject.edns.is_some());
            octets[10..12].copy_from_slice(&additionals.to_be_bytes());
        }
        Some(_) => octets[2] |= TC,
    }
    let records = HEADER_OCTETS + reject.question_octets;
    let cookie = given.as_ref().and_then(|given| given.cookie);
    Written { octets: end, rcode: reject.rcode, records: records..records, cookie }
}

/// The reply to a query that is nothing but a cookie.
#[cold]
fn confirm(
    table: &AnswerTable,
    edns: &Edns<'_>,
    packet: &[u8],
    envelope: Envelope,
    octets: &mut [u8],
    counters: &Counters,
) -> Written {
    let given = given(table, Some(edns), envelope, counters).map(Given::without_zone);
    let cookie = given.as_ref().and_then(|given| given.cookie);
    let reject = Reject { edns: Some(edns), ..Reject::new(rcode_of_cookie(cookie), 0) };
    write_refusal(&reject, packet, envelope.transport, octets, given)
}

/// Sends a reply, or a truncated one, or none, by what its network had of late.
#[cold]
fn send_within(
    limit: &RateLimit,
    written: &Written,
    envelope: Envelope,
    reply: &mut [u8],
    counters: &Counters,
) -> Action {
    let answers = u16::from_be_bytes([reply[6], reply[7]]);
    let kind = ReplyKind::of(written.rcode, answers);
    match counters.rates.judge(limit, envelope.source, kind, envelope.at) {
        Judgement::Send => {
            counters.reply(written.rcode);
            Action::Send(written.octets)
        }
        Judgement::Drop => {
            counters.rate_limited.add(1);
            Action::Ignore
        }
        Judgement::Slip => {
            counters.rate_limited.add(1);
            counters.slipped.add(1);
            Action::Send(truncate(reply, written))
        }
    }
}

/// Takes the records out of a reply and says TC instead; gives its length. OPT stays, and the cookie in it.
fn truncate(reply: &mut [u8], written: &Written) -> usize {
    let Written { octets, records, .. } = written;
    reply[2] |= TC;
    if !records.is_empty() {
        reply.copy_within(records.end..*octets, records.start);
        reply[6..10].fill(0);
        let has_opt = u16::from(records.end < *octets);
        reply[10..HEADER_OCTETS].copy_from_slice(&has_opt.to_be_bytes());
    }
    octets - records.len()
}
