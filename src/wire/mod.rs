//! DNS messages as octets: the numbers of the protocol, queries parsed in place, replies written in place.
//! Nothing here knows zones, regions or sockets.

pub mod ask;
pub mod code;
pub mod cookie;
pub mod edns;
pub mod options;
pub mod query;
pub mod reply;
pub mod siphash;
pub mod tsig;

/// Octets of the header of a message (RFC 1035 section 4.1.1).
pub const HEADER_OCTETS: usize = 12;

/// The two octets at `at`, in network order.
pub(crate) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
