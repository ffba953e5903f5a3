//! Addresses and prefixes. A [`Prefix`] is canonical by construction, so no tree or rule ever wonders about
//! host bits or mapped addresses. [`embedded_v4`] finds the IPv4 client behind a transition mechanism.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Family {
    V4,
    V6,
}

/// A network: all addresses that share their first `length` bits. Bits beyond are zero, the length fits the
/// family, and an IPv4-mapped IPv6 network of at least 96 bits is held as the IPv4 network it means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Text that is no prefix, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// The part before the slash is no address.
    Address(String),
    /// The part after the slash is no number from 0 to the family's width.
    Length(String, u8),
    /// Bits are set beyond the length; the prefix that was probably meant is given.
    HostBits(Prefix),
}

/// An IPv4 address carried inside an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The IPv4 address inside.
    pub address: Ipv4Addr,
    /// The bit of the IPv6 address at which it begins: a prefix of `n` bits of the IPv4 address is one of
    /// `offset + n` bits of the IPv6 address.
    pub offset: u8,
}

/// The ranges of IPv6 in which an IPv4 address is carried: 6to4 (RFC 3056), Teredo (RFC 4380, the client's
/// address inverted), NAT64's well-known prefix (RFC 6052), IPv4-mapped (RFC 4291).
pub const EMBEDDING_RANGES: [Prefix; 4] = [
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0)), length: 16 },
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0)), length: 32 },
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)), length: 96 },
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)), length: 96 },
];

/// The IPv4 address inside `address`, if it lies in one of the [`EMBEDDING_RANGES`].
#[must_use]
pub fn embedded_v4(address: Ipv6Addr) -> Option<Embedded> {
    let bits = address.to_bits();
    let at = |offset: u8| Ipv4Addr::from_bits((bits << offset >> 96) as u32);
    if bits >> 112 == 0x2002 {
        Some(Embedded { address: at(16), offset: 16 })
    } else if bits >> 96 == 0x2001_0000 {
        Some(Embedded { address: Ipv4Addr::from_bits(!at(96).to_bits()), offset: 96 })
    } else if bits >> 32 == 0x0064_ff9b << 64 || bits >> 32 == 0xffff {
        Some(Embedded { address: at(96), offset: 96 })
    } else {
        None
    }
}

/// `address` with all but the first `length` bits zero; a length beyond the family's width keeps them all.
#[must_use]
pub fn truncate(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// How many bits an address has: 32 or 128.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl Prefix {
    /// The network of `length` bits that holds `address`; `None` when the length exceeds the family's width.
    #[must_use]
    pub fn holding(address: IpAddr, length: u8) -> Option<Self> {
        if length > Family::of(address).bits() {
            return None;
        }
        let address = truncate(address, length);
        if let (IpAddr::V6(v6), 96..) = (address, length)
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return Some(Self { address: IpAddr::V4(v4), length: length - 96 });
        }
        Some(Self { address, length })
    }

    /// The first address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.address
    }

    /// The last address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | host))
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | host))
            }
        }
    }

    /// The number of bits that all its addresses share.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// Whether `address` lies in it. An IPv4 address is never in an IPv6 network, whatever it embeds.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && truncate(address, self.length) == self.address
    }
}

impl FromStr for Prefix {
    type Err = PrefixFault;

    /// Reads `203.0.113.0/24`; an address without a length stands for itself alone.
    fn from_str(text: &str) -> Result<Self, PrefixFault> {
        let (address_text, length_text) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr =
            address_text.parse().map_err(|_| PrefixFault::Address(address_text.to_owned()))?;
        let width = Family::of(address).bits();
        let length = match length_text {
            None => width,
            Some(digits) => digits
                .parse::<u8>()
                .ok()
                .filter(|length| *length <= width && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| PrefixFault::Length(digits.to_owned(), width))?,
        };
        let prefix = Self::holding(address, length).expect("the length was just checked");
        if truncate(address, length) == address { Ok(prefix) } else { Err(PrefixFault::HostBits(prefix)) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PrefixFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => {
                write!(f, "{text:?} is no address; write a network such as \"203.0.113.0/24\"")
            }
            Self::Length(text, width) => {
                write!(f, "{text:?} is no prefix length; write a number from 0 to {width}")
            }
            Self::HostBits(meant) => write!(f, "bits are set beyond the prefix length; write \"{meant}\""),
        }
    }
}

impl std::error::Error for PrefixFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_canonical() {
        assert_eq!(prefix("::ffff:192.0.2.0/120"), prefix("192.0.2.0/24"));
        assert_eq!(prefix("192.0.2.1").length(), 32);
        assert_eq!(prefix("0.0.0.0/0").last(), "255.255.255.255".parse::<IpAddr>().unwrap());
        assert_eq!(prefix("2001:db8::/32").last().to_string(), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    }

    #[test]
    fn faults_say_what_would_be_right() {
        let fault = "192.0.2.1/24".parse::<Prefix>().unwrap_err();
        assert_eq!(fault.to_string(), "bits are set beyond the prefix length; write \"192.0.2.0/24\"");
        assert!("192.0.2.0/33".parse::<Prefix>().is_err());
        assert!("192.0.2.0/+8".parse::<Prefix>().is_err());
        assert!("here/8".parse::<Prefix>().is_err());
    }

    #[test]
    fn the_embedding_ranges_carry_the_client() {
        let cases = [
            ("2002:cb00:7107:1::1", "203.0.113.7", 16),
            ("2001:0:4136:e378:8000:63bf:34ff:8ef8", "203.0.113.7", 96),
            ("64:ff9b::203.0.113.7", "203.0.113.7", 96),
            ("::ffff:203.0.113.7", "203.0.113.7", 96),
        ];
        for (text, inside, offset) in cases {
            let address: Ipv6Addr = text.parse().unwrap();
            let embedded = embedded_v4(address).expect(text);
            assert_eq!((embedded.address.to_string().as_str(), embedded.offset), (inside, offset), "{text}");
            assert_eq!(
                EMBEDDING_RANGES.iter().filter(|range| range.contains(address.into())).count(),
                1,
                "{text}"
            );
        }
        for text in ["2001:db8::1", "2003::1", "64:ff9b:1::1", "::1", "::203.0.113.7"] {
            assert_eq!(embedded_v4(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn truncation_keeps_the_first_bits() {
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!(truncate(address, 24).to_string(), "203.0.113.0");
        assert_eq!(truncate(address, 0).to_string(), "0.0.0.0");
        assert_eq!(truncate(address, 40), address);
        assert_eq!(truncate("2001:db8:1:2::3".parse().unwrap(), 48).to_string(), "2001:db8:1::");
    }
}
