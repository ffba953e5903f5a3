//! EDNS(0) (RFC 6891) of a query, and the client subnet option in it (RFC 7871), to the letter: what the RFCs
//! call malformed is FORMERR, what they do not forbid is let through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::code::{OptionCode, Rcode};
use super::{cookie, u16_at};

/// What a query's OPT record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns<'q> {
    /// The largest datagram that the client takes, as sent.
    pub udp_octets: u16,
    /// The version; we speak 0.
    pub version: u8,
    /// Whether DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// Where the client behind the resolver is.
    pub client_subnet: Option<ClientSubnet<'q>>,
    /// The first COOKIE option's data, of a length that it may have.
    pub cookie: Option<&'q [u8]>,
    /// What else is asked for.
    pub wishes: Wishes,
}

/// What a query asks for by options that say nothing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes(u8);

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl Wishes {
    pub const NSID: Wishes = Wishes(1);
    pub const TCP_KEEPALIVE: Wishes = Wishes(2);
    pub const PADDING: Wishes = Wishes(4);
    pub const ZONEVERSION: Wishes = Wishes(8);
}

impl Wishes {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `others` are asked for.
    #[must_use]
    pub fn include(self, others: Wishes) -> bool {
        self.0 & others.0 == others.0
    }

    fn add(&mut self, other: Wishes) {
        self.0 |= other.0;
    }
}

/// A well-formed client subnet option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet<'q> {
    /// The option's data as sent, to be echoed with the scope filled in. All else is read from it when it is
    /// wanted, so that what passes from the parser to the reply is small.
    data: &'q [u8],
}

/// The numbers that the registry "Address Family Numbers" gives.
const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;
/// Octets of a client subnet option's data before the address: family, SOURCE and SCOPE PREFIX-LENGTH.
const SUBNET_FIXED_OCTETS: usize = 4;
/// Octets of the OPT record before its options: root name, type, class, TTL, length.
pub const OPT_FIXED_OCTETS: usize = 11;

impl<'q> ClientSubnet<'q> {
    /// Reads the option's data. All that RFC 7871 sections 6 and 7.1.2 call malformed is: an unknown family, a
    /// SOURCE PREFIX-LENGTH beyond the family's, a SCOPE PREFIX-LENGTH in a query, an address of more or fewer
    /// octets than SOURCE needs, bits set beyond it. Family 0 passes with SOURCE 0 alone: `dig +subnet=0`
    /// sends it, and it says nothing that could be wrong.
    pub fn parse(data: &'q [u8]) -> Result<Self, Rcode> {
        let &[family_high, family_low, source, scope, ref octets @ ..] = data else {
            return Err(Rcode::FORMERR);
        };
        let family = u16::from_be_bytes([family_high, family_low]);
        let width = match family {
            0 => 0,
            FAMILY_IPV4 => 32,
            FAMILY_IPV6 => 128,
            _ => return Err(Rcode::FORMERR),
        };
        if scope != 0 || source > width || octets.len() != usize::from(source).div_ceil(8) {
            return Err(Rcode::FORMERR);
        }
        if let (Some(last), bits @ 1..) = (octets.last(), source % 8)
            && last << bits != 0
        {
            return Err(Rcode::FORMERR);
        }
        Ok(Self { data })
    }

    /// The client's address, zero beyond SOURCE PREFIX-LENGTH. `None` when that is 0: the client wants no
    /// part of its address used, and the resolver's own counts.
    #[must_use]
    #[inline]
    pub fn address(&self) -> Option<IpAddr> {
        let (head, octets) = self.data.split_at(SUBNET_FIXED_OCTETS);
        let family = u16::from_be_bytes([head[0], head[1]]);
        (self.source() > 0).then(|| padded_address(family, octets))
    }

    /// SOURCE PREFIX-LENGTH.
    #[must_use]
    pub fn source(&self) -> u8 {
        self.data[2]
    }

    /// How many octets the option takes in a reply, code and length included.
    #[must_use]
    pub fn reply_octets(&self) -> usize {
        4 + self.data.len()
    }

    /// Writes the option for a reply: family, source and address as sent, and the scope (section 7.2.1).
    /// `out` has exactly [`Self::reply_octets`].
    pub fn write_reply(&self, scope: u8, out: &mut [u8]) {
        let length = self.data.len();
        out[..2].copy_from_slice(&OptionCode::CLIENT_SUBNET.0.to_be_bytes());
        out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        out[4..4 + length].copy_from_slice(self.data);
        out[7] = if self.source() > 0 { scope } else { 0 };
    }
}

fn padded_address(family: u16, octets: &[u8]) -> IpAddr {
    if family == FAMILY_IPV4 {
        // Octet by octet: for so few, a call of `memcpy` costs more than the copy.
        let full: [u8; 4] = std::array::from_fn(|at| octets.get(at).copied().unwrap_or(0));
        IpAddr::V4(Ipv4Addr::from(full))
    } else {
        let mut full = [0; 16];
        full[..octets.len()].copy_from_slice(octets);
        IpAddr::V6(Ipv6Addr::from(full))
    }
}

impl<'q> Edns<'q> {
    /// Reads an OPT record from its class, TTL and data. An option that does not fit, or a second client
    /// subnet, is malformed. The options of another version than 0 are not looked at: they may mean anything.
    #[inline]
    pub fn parse(class: u16, ttl: u32, data: &'q [u8]) -> Result<Self, Rcode> {
        let mut edns = Self::without_options(class, ttl);
        if edns.version == 0 && !data.is_empty() {
            edns.read_options(data)?;
        }
        Ok(edns)
    }

    /// What an OPT record says that is malformed: all but its options, and those before the fault. A client that has
    /// cookies believes no reply without its own (RFC 7873 section 5.3).
    #[cold]
    #[must_use]
    pub fn before_fault(class: u16, ttl: u32, data: &'q [u8]) -> Self {
        let mut edns = Self::without_options(class, ttl);
        let _ = edns.read_options(data);
        // Where nothing is answered, nothing depends on it; and of two it is not known which was meant.
        Self { client_subnet: None, ..edns }
    }

    #[inline]
    fn without_options(class: u16, ttl: u32) -> Self {
        Self {
            udp_octets: class,
            version: (ttl >> 16 & 0xff) as u8,
            dnssec_ok: ttl & 0x8000 != 0,
            client_subnet: None,
            cookie: None,
            wishes: Wishes::default(),
        }
    }

    fn read_options(&mut self, data: &'q [u8]) -> Result<(), Rcode> {
        let mut rest = data;
        while !rest.is_empty() {
            let code = u16_at(rest, 0).ok_or(Rcode::FORMERR)?;
            let length = usize::from(u16_at(rest, 2).ok_or(Rcode::FORMERR)?);
            let value = rest.get(4..4 + length).ok_or(Rcode::FORMERR)?;
            rest = &rest[4 + length..];
            self.take_option(OptionCode(code), value)?;
        }
        Ok(())
    }

    #[inline]
    fn take_option(&mut self, code: OptionCode, value: &'q [u8]) -> Result<(), Rcode> {
        match code {
            OptionCode::CLIENT_SUBNET => {
                let subnet = ClientSubnet::parse(value)?;
                if self.client_subnet.replace(subnet).is_some() {
                    return Err(Rcode::FORMERR);
                }
            }
            // Of several the first counts (RFC 7873 section 5.2).
            OptionCode::COOKIE if self.cookie.is_some() => {}
            OptionCode::COOKIE if !cookie::is_well_formed(value) => return Err(Rcode::FORMERR),
            OptionCode::COOKIE => self.cookie = Some(value),
            // What these hold in a query means nothing (RFC 5001 section 2.1, RFC 7828 section 3, RFC 7830 section 3,
            // RFC 9660 section 3.2).
            OptionCode::ZONEVERSION => self.wishes.add(Wishes::ZONEVERSION),
            OptionCode::NSID => self.wishes.add(Wishes::NSID),
            OptionCode::TCP_KEEPALIVE => self.wishes.add(Wishes::TCP_KEEPALIVE),
            OptionCode::PADDING => self.wishes.add(Wishes::PADDING),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(data: &[u8]) -> Result<Option<String>, Rcode> {
        ClientSubnet::parse(data).map(|subnet| subnet.address().map(|address| address.to_string()))
    }

    #[test]
    fn well_formed_subnets_give_their_address() {
        assert_eq!(subnet(&[0, 1, 24, 0, 203, 0, 113]), Ok(Some("203.0.113.0".into())));
        assert_eq!(subnet(&[0, 1, 32, 0, 203, 0, 113, 7]), Ok(Some("203.0.113.7".into())));
        assert_eq!(subnet(&[0, 1, 20, 0, 203, 0, 0x70]), Ok(Some("203.0.112.0".into())));
        assert_eq!(subnet(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]), Ok(Some("2001:db8::".into())));
        assert_eq!(subnet(&[0, 1, 0, 0]), Ok(None));
        assert_eq!(subnet(&[0, 2, 0, 0]), Ok(None));
        assert_eq!(subnet(&[0, 0, 0, 0]), Ok(None));
    }

    #[test]
    fn malformed_subnets_are_formerr() {
        let malformed: [&[u8]; 12] = [
            &[],
            &[0, 1, 24],
            &[0, 3, 24, 0, 203, 0, 113],
            &[0, 0, 8, 0, 203],
            &[0, 1, 33, 0, 203, 0, 113, 7, 0],
            &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 24, 24, 203, 0, 113],
            &[0, 1, 24, 0, 203, 0],
            &[0, 1, 24, 0, 203, 0, 113, 0],
            &[0, 1, 20, 0, 203, 0, 0x71],
            &[0, 1, 0, 0, 0],
            &[0, 1, 0, 1],
        ];
        for data in malformed {
            assert_eq!(subnet(data), Err(Rcode::FORMERR), "{data:?}");
        }
    }

    #[test]
    fn replies_echo_the_option_with_the_scope() {
        let echo = |data: &[u8]| {
            let subnet = ClientSubnet::parse(data).unwrap();
            let mut out = vec![0xff; subnet.reply_octets()];
            subnet.write_reply(17, &mut out);
            out
        };
        assert_eq!(echo(&[0, 1, 24, 0, 203, 0, 113]), [0, 8, 0, 7, 0, 1, 24, 17, 203, 0, 113]);
        assert_eq!(echo(&[0, 1, 0, 0]), [0, 8, 0, 4, 0, 1, 0, 0], "SOURCE 0 gets SCOPE 0");
    }

    #[test]
    fn wishes_are_read_whatever_else_stands_there() {
        let data = [&[0, 3, 0, 0, 0, 12, 0, 3, 0, 0, 0, 0, 10, 0, 8][..], &[7; 8], &[0, 10, 0, 8], &[8; 8]];
        let data = data.concat();
        let edns = Edns::parse(1232, 0, &data).unwrap();
        assert!(edns.wishes.include(Wishes::NSID) && edns.wishes.include(Wishes::PADDING));
        assert!(!edns.wishes.include(Wishes::ZONEVERSION) && !edns.wishes.include(Wishes::TCP_KEEPALIVE));
        assert_eq!(edns.cookie, Some(&[7; 8][..]), "the first of several cookies counts");
    }

    #[test]
    fn options_that_do_not_fit_are_formerr() {
        assert!(Edns::parse(1232, 0, &[0, 99, 0, 2, 1, 2]).is_ok());
        assert_eq!(Edns::parse(1232, 0, &[0, 99, 0, 3, 1, 2]), Err(Rcode::FORMERR));
        assert_eq!(Edns::parse(1232, 0, &[0, 99, 0]), Err(Rcode::FORMERR));
        assert_eq!(Edns::parse(1232, 0, &[0, 10, 0, 2, 1, 2]), Err(Rcode::FORMERR), "half a cookie");
        let twice = [0, 8, 0, 4, 0, 1, 0, 0].repeat(2);
        assert_eq!(Edns::parse(1232, 0, &twice), Err(Rcode::FORMERR));
        assert_eq!(Edns::parse(1232, 1 << 16, &twice).map(|edns| edns.version), Ok(1));
        assert_eq!(Edns::parse(1232, 0x8000, &[]).map(|edns| edns.dnssec_ok), Ok(true));
    }

    #[test]
    fn what_stands_before_a_fault_counts_but_for_the_subnet() {
        let read = [&[0, 8, 0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0, 10, 0, 8][..], &[7; 8]].concat();
        for fault in [&[0, 8, 0, 1, 0][..], &[0, 99, 0, 3, 1], &[0], &[0, 8, 0, 4, 0, 1, 0, 0]] {
            let data = [&read[..], fault, &[0, 12, 0, 0]].concat();
            assert_eq!(Edns::parse(1232, 0x8000, &data), Err(Rcode::FORMERR));
            let edns = Edns::before_fault(1232, 0x8000, &data);
            assert_eq!((edns.cookie, edns.client_subnet), (Some(&[7; 8][..]), None), "{fault:?}");
            assert!(edns.dnssec_ok && edns.wishes.include(Wishes::NSID), "{fault:?}");
            assert!(!edns.wishes.include(Wishes::PADDING), "{fault:?}");
        }
    }
}
