//! The header by which a load balancer says who the client is: version 2 of the PROXY protocol. It is taken from named
//! networks alone, and there it must come: who may leave it out could forge it. Version 1, which is text, is refused.
//!
//! Source: haproxy, doc/proxy-protocol.txt, section 2.2.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::net::Prefix;

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and protocol, and the length of what follows.
const FIXED_OCTETS: usize = 16;
/// The longest header in octets, its fixed part included: addresses and the extensions that balancers are known to
/// send fit many times.
const HEADER_OCTETS_MAX: usize = 2048;

/// Octets that are no header, or one that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It does not begin as a header does, or is of another version.
    Signature,
    /// Neither PROXY nor LOCAL.
    Command,
    /// A family or a protocol that has no meaning.
    Family,
    /// The addresses do not fit into the length told.
    Length,
    /// Longer than [`HEADER_OCTETS_MAX`].
    TooLong,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Octets of all of it.
    pub(super) octets: usize,
    /// The client; none when the proxy speaks for itself, as it does to see whether the server lives.
    pub(super) client: Option<IpAddr>,
}

/// Whether a connection from here begins with a header.
#[inline]
pub(super) fn is_proxy(proxies: &[Prefix], peer: IpAddr) -> bool {
    proxies.iter().any(|proxy| proxy.contains(peer.to_canonical()))
}

/// Reads the header from the start of a stream, and no octet more: who the client is, or the proxy at `peer` when
/// it speaks for itself.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), peer: IpAddr) -> io::Result<IpAddr> {
    let mut octets = [0; HEADER_OCTETS_MAX];
    stream.read_exact(&mut octets[..FIXED_OCTETS]).await?;
    let total = total_octets(&octets)?;
    stream.read_exact(&mut octets[FIXED_OCTETS..total]).await?;
    Ok(parse(&octets[..total])?.client.unwrap_or(peer))
}

/// Who sent a datagram, and what: from a proxy, the client that its header names and what stands behind the header.
/// Balancers of DNS put it before each datagram; the reply goes back to them as it is.
pub(super) fn unwrap<'o>(
    proxies: &[Prefix],
    peer: IpAddr,
    octets: &'o [u8],
) -> Result<(IpAddr, &'o [u8]), Malformed> {
    if !is_proxy(proxies, peer) {
        return Ok((peer, octets));
    }
    let header = parse(octets)?;
    Ok((header.client.unwrap_or(peer), &octets[header.octets..]))
}

/// The header at the start of `octets`, which hold all of it.
pub(super) fn parse(octets: &[u8]) -> Result<Header, Malformed> {
    let total = total_octets(octets)?;
    let addresses = octets.get(FIXED_OCTETS..total).ok_or(Malformed::Length)?;
    let client = match (octets[12] & 0x0f, octets[13] >> 4, octets[13] & 0x0f) {
        // LOCAL: whatever addresses there are do not count.
        (0, _, _) => None,
        (1, 1, 1 | 2) => Some(IpAddr::from(source::<4>(addresses, 12)?)),
        (1, 2, 1 | 2) => Some(IpAddr::from(source::<16>(addresses, 36)?).to_canonical()),
        // A client of a Unix socket, or of no known family or protocol: the proxy stands for it.
        (1, 0..=3, 0..=2) => None,
        (1, _, _) => return Err(Malformed::Family),
        _ => return Err(Malformed::Command),
    };
    Ok(Header { octets: total, client })
}

/// How long a header is by its fixed part.
fn total_octets(octets: &[u8]) -> Result<usize, Malformed> {
    let fixed = octets.get(..FIXED_OCTETS).ok_or(Malformed::Length)?;
    if !fixed.starts_with(&SIGNATURE) || fixed[12] >> 4 != 2 {
        return Err(Malformed::Signature);
    }
    let total = FIXED_OCTETS + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if total > HEADER_OCTETS_MAX { Err(Malformed::TooLong) } else { Ok(total) }
}

/// The source address, where both addresses and both ports take `least` octets.
fn source<const N: usize>(addresses: &[u8], least: usize) -> Result<[u8; N], Malformed> {
    if addresses.len() < least {
        return Err(Malformed::Length);
    }
    addresses.first_chunk().copied().ok_or(Malformed::Length)
}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, format!("no header of a proxy: {malformed:?}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([0x20 | command, family]);
        octets.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        octets.extend(body);
        octets
    }

    fn client(octets: &[u8]) -> Result<Option<String>, Malformed> {
        parse(octets).map(|header| header.client.map(|client| client.to_string()))
    }

    #[test]
    fn the_client_is_the_source_of_either_family() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 53];
        assert_eq!(client(&header(1, 0x11, &v4)), Ok(Some("192.0.2.7".to_owned())));
        assert_eq!(client(&header(1, 0x12, &v4)), Ok(Some("192.0.2.7".to_owned())));
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        v6[15] = 1;
        assert_eq!(client(&header(1, 0x21, &v6)), Ok(Some("2001:db8::1".to_owned())));
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
        assert_eq!(client(&header(1, 0x21, &mapped)), Ok(Some("192.0.2.7".to_owned())));
    }

    #[test]
    fn extensions_are_skipped_with_the_header() {
        let mut body = vec![192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 53];
        body.extend([4, 0, 3, 0, 0, 0]);
        let mut octets = header(1, 0x11, &body);
        let length = octets.len();
        octets.extend(b"what follows");
        assert_eq!(parse(&octets).unwrap().octets, length);
    }

    #[test]
    fn a_proxy_may_speak_for_itself_or_for_who_has_no_address() {
        assert_eq!(client(&header(0, 0, &[])), Ok(None));
        assert_eq!(client(&header(0, 0x11, &[1; 12])), Ok(None));
        assert_eq!(
            client(&header(0, 0xff, &[1; 3])),
            Ok(None),
            "the family of a LOCAL header does not count"
        );
        assert_eq!(client(&header(1, 0, &[])), Ok(None));
        assert_eq!(client(&header(1, 0x10, &[1; 12])), Ok(None), "nor do addresses of an unknown protocol");
        assert_eq!(client(&header(1, 0x31, &[0; 216])), Ok(None));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(client(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 53\r\n"), Err(Malformed::Signature));
        assert_eq!(client(&[]), Err(Malformed::Length));
        assert_eq!(client(&header(1, 0x11, &[1; 11])), Err(Malformed::Length));
        assert_eq!(client(&header(1, 0x21, &[1; 35])), Err(Malformed::Length));
        for command in 2..16 {
            assert_eq!(client(&header(command, 0x11, &[1; 12])), Err(Malformed::Command));
        }
        for family in [0x41, 0xf1, 0x13, 0x2f, 0x03] {
            assert_eq!(client(&header(1, family, &[1; 216])), Err(Malformed::Family), "{family:#x}");
        }
        assert_eq!(client(&header(1, 0x11, &[1; 2033])), Err(Malformed::TooLong));
        let whole = header(1, 0x11, &[1; 12]);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(mut octets in prop::collection::vec(any::<u8>(), 0..300), headed in any::<bool>()) {
            if headed {
                octets.splice(0..0, SIGNATURE);
            }
            if let Ok(header) = parse(&octets) {
                prop_assert!(header.octets <= octets.len());
            }
        }
    }
}
