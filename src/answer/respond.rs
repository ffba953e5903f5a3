//! A query's octets in, a reply's octets out. All transports call this.

use std::net::IpAddr;

use super::count::Counters;
use super::table::AnswerTable;

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
    let _ = (table, packet, source, transport, reply, counters);
    Action::Ignore
}
