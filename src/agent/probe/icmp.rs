//! An ICMP echo request (RFC 792, RFC 4443 section 4.1) and its reply. First by a ping socket, which takes no privilege
//! where `net.ipv4.ping_group_range` holds the agent's group; else by a raw one, which takes CAP_NET_RAW. Where neither
//! is permitted the fault is the agent's own: it says so once in its log, and nothing of any target.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use super::{Finding, finding_of_io};

/// What all echo probes of an agent share.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// Numbers the requests, so that no reply is taken for another's.
    number: AtomicU64,
    /// That nothing is permitted was told already.
    told: AtomicBool,
}

/// A request as it goes out, for comparison with what comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    version: Version,
    identifier: u16,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

/// How the socket sees messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The kernel keeps the identifier and hands over the messages alone.
    Ping,
    /// Every message of that kind comes; IPv4 with its header before it.
    Raw,
}

/// What marks our own payload, before the request's number.
const MARK: [u8; 8] = *b"rhumb ok";
/// Type, code, checksum, identifier and sequence number.
const HEADER_OCTETS: usize = 8;
/// The shortest header of IPv4 (RFC 791 section 3.1).
const IP_HEADER_OCTETS_MIN: usize = 20;
/// More than any reply to such a request has.
const REPLY_OCTETS_MAX: usize = 1500;

impl Echoes {
    /// Asks once; `identifier` is any number. The caller limits the time.
    pub(super) async fn probe(&self, address: SocketAddr, identifier: u16) -> Finding {
        let (socket, way) = match open(address.ip()) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return self.refused(),
            Err(error) => return finding_of_io(&error),
        };
        let version = if address.is_ipv4() { Version::V4 } else { Version::V6 };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let request = Request { version, identifier, number };
        match exchange(socket, way, address.ip(), &request).await {
            Ok(()) => Finding::Pass,
            Err(error) => finding_of_io(&error),
        }
    }

    fn refused(&self) -> Finding {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "ICMP is not permitted to this process, so no ICMP probe learns anything: put its group into \
                 net.ipv4.ping_group_range, or give it CAP_NET_RAW"
            );
        }
        // It is told above, and once is enough.
        Finding::Nothing(String::new())
    }
}

/// A socket for echo requests; permission is denied only where both kinds are.
fn open(address: IpAddr) -> io::Result<(Socket, Way)> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let (socket, way) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, Way::Ping),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, Way::Raw),
    };
    socket.set_nonblocking(true)?;
    Ok((socket, way))
}

async fn exchange(socket: Socket, way: Way, address: IpAddr, request: &Request) -> io::Result<()> {
    // Connected, it hears nobody else.
    socket.connect(&SockAddr::from(SocketAddr::new(address, 0)))?;
    // Whatever is sent by it, a socket of datagrams is one to the runtime.
    let socket = UdpSocket::from_std(socket.into())?;
    socket.send(&request.octets()).await?;
    let mut reply = [0; REPLY_OCTETS_MAX];
    loop {
        let length = socket.recv(&mut reply).await?;
        if request.is_answered_by(&reply[..length], way) {
            return Ok(());
        }
    }
}

impl Request {
    fn octets(&self) -> Vec<u8> {
        let kind = if self.version == Version::V4 { 8 } else { 128 };
        let mut octets = vec![kind, 0, 0, 0];
        octets.extend(self.identifier.to_be_bytes());
        octets.extend(self.sequence().to_be_bytes());
        octets.extend(self.payload());
        // Of version 6 the kernel fills it in, since it covers the addresses.
        if self.version == Version::V4 {
            let sum = checksum(&octets);
            octets[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        octets
    }

    fn payload(&self) -> Vec<u8> {
        [MARK, self.number.to_be_bytes()].concat()
    }

    fn sequence(&self) -> u16 {
        self.number as u16 // The low bits; the payload has them all.
    }

    /// Whether a message is the reply to this request and to no other.
    fn is_answered_by(&self, message: &[u8], way: Way) -> bool {
        let with_header = way == Way::Raw && self.version == Version::V4;
        // The header's length in words of four octets stands in its low half octet (RFC 791 section 3.1).
        let before = message.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        if with_header && before < IP_HEADER_OCTETS_MIN {
            return false;
        }
        let Some(message) = message.get(if with_header { before } else { 0 }..) else { return false };
        let Some((header, payload)) = message.split_at_checked(HEADER_OCTETS) else { return false };
        let kind = if self.version == Version::V4 { 0 } else { 129 };
        let identifier = u16::from_be_bytes([header[4], header[5]]);
        let sequence = u16::from_be_bytes([header[6], header[7]]);
        // A ping socket has an identifier of the kernel's choice, by which the kernel itself sorts replies.
        let is_ours = way == Way::Ping || identifier == self.identifier;
        header[..2] == [kind, 0] && is_ours && sequence == self.sequence() && payload == self.payload()
    }
}

/// The sum of the Internet protocols (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let words =
        octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |o| u32::from(*o)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16) // Folded above.
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::agent::testing::{finding, finding_within};
    use crate::config::probe::ProbeKind;
    use crate::health::outcome::Failure;

    fn request(version: Version) -> Request {
        Request { version, identifier: 0x1234, number: 0x01_0007 }
    }

    /// The reply that a host makes of a request.
    fn reply(request: &Request) -> Vec<u8> {
        let mut octets = request.octets();
        octets[0] = if request.version == Version::V4 { 0 } else { 129 };
        octets
    }

    #[test]
    fn only_the_reply_to_this_very_request_counts() {
        for version in [Version::V4, Version::V6] {
            let ours = request(version);
            assert!(ours.is_answered_by(&reply(&ours), Way::Ping));
            assert!(!ours.is_answered_by(&ours.octets(), Way::Ping), "a request is no reply");
            for other in [
                Request { number: ours.number + 1, ..ours.clone() },
                Request { number: ours.number + 0x1_0000, ..ours.clone() },
            ] {
                assert!(!ours.is_answered_by(&reply(&other), Way::Ping), "{other:?}");
            }
        }
        let (ours, header) = (request(Version::V4), [&[0x46][..], &[0; 23]].concat());
        let whole = [header.clone(), reply(&ours)].concat();
        assert!(ours.is_answered_by(&whole, Way::Raw));
        let other = Request { identifier: 9, ..ours.clone() };
        assert!(!ours.is_answered_by(&[header, reply(&other)].concat(), Way::Raw));
        assert!(!ours.is_answered_by(&reply(&ours), Way::Raw), "a header is missing");
    }

    #[test]
    fn a_message_with_its_sum_sums_up_to_nothing() {
        assert_eq!(checksum(&request(Version::V4).octets()), 0);
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2,
            "RFC 1071, section 3"
        );
    }

    proptest! {
        #[test]
        fn no_message_panics(message in prop::collection::vec(any::<u8>(), 0..80)) {
            for (version, way) in [(Version::V4, Way::Raw), (Version::V4, Way::Ping), (Version::V6, Way::Raw)] {
                prop_assert!(!request(version).is_answered_by(&message, way));
            }
        }
    }

    /// Takes a permission that not every machine gives: the sockets of this test run where peers do.
    #[tokio::test]
    async fn a_host_that_answers_passes_and_one_that_does_not_times_out() {
        if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
            return;
        }
        for up in ["127.0.0.1:0", "127.0.0.77:0", "[::1]:0"] {
            assert_eq!(finding(up.parse().unwrap(), ProbeKind::Icmp).await, Finding::Pass, "{up}");
        }
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        raw.set_nonblocking(true).unwrap();
        let done = exchange(raw, Way::Raw, "127.0.0.1".parse().unwrap(), &request(Version::V4)).await;
        assert!(done.is_ok(), "{done:?}");
        // Nobody has the network for documentation. Of IPv6, since there are machines behind networks that answer for any
        // address of IPv4.
        let silent =
            finding_within(Duration::from_millis(200), "[2001:db8::1]:0".parse().unwrap(), ProbeKind::Icmp);
        let silent = silent.await;
        assert!(
            matches!(silent, Finding::Fail(Failure::TimedOut | Failure::Unreachable(_))),
            "nobody answers there: {silent:?}"
        );
    }

    #[test]
    fn what_is_not_permitted_is_no_evidence_and_told_once() {
        let echoes = Echoes::default();
        assert_eq!(echoes.refused(), Finding::Nothing(String::new()));
        assert!(echoes.told.load(Ordering::Relaxed));
    }
}
