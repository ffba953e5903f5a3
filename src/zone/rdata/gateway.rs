//! IPSECKEY (RFC 4025) and AMTRELAY (RFC 8777): records around a gateway that is an address, a name or nothing.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::{self, RdataFault};
use super::tokens::{Tokens, Word};
use super::{codec, field};
use crate::name;

pub(super) fn read_ipseckey(tokens: &mut Tokens, origin: &[u8], out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let precedence = tokens.next(fault::U8)?.decimal(fault::U8)?;
    let kind = tokens.next(fault::GATEWAY_TYPE)?;
    let gateway_type = kind.decimal(fault::GATEWAY_TYPE)?;
    let algorithm = tokens.next(fault::ALGORITHM)?.decimal(fault::ALGORITHM)?;
    out.extend([precedence, gateway_type, algorithm]);
    read_gateway(gateway_type, kind, tokens, origin, out)?;
    // Algorithm 0 says that there is no key (RFC 4025 section 2.4).
    if algorithm == 0 && tokens.peek().is_none() { Ok(()) } else { codec::read_base64(tokens, out) }
}

pub(super) fn read_amtrelay(tokens: &mut Tokens, origin: &[u8], out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let precedence = tokens.next(fault::U8)?.decimal(fault::U8)?;
    let word = tokens.next(fault::FLAG)?;
    let discovery: u8 = word.decimal(fault::FLAG)?;
    if discovery > 1 {
        return Err(word.unfit(fault::FLAG));
    }
    let kind = tokens.next(fault::GATEWAY_TYPE)?;
    let relay_type: u8 = kind.decimal(fault::GATEWAY_TYPE)?;
    out.extend([precedence, discovery << 7 | relay_type & 0x7f]);
    read_gateway(relay_type, kind, tokens, origin, out)
}

fn read_gateway(
    gateway_type: u8,
    kind: Word,
    tokens: &mut Tokens,
    origin: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), RdataFault> {
    match gateway_type {
        0 => {
            let word = tokens.next(fault::NO_GATEWAY)?;
            if word.text != b"." {
                return Err(word.unfit(fault::NO_GATEWAY));
            }
        }
        1 => out.extend(tokens.next(fault::IPV4)?.parse::<Ipv4Addr>(fault::IPV4)?.octets()),
        2 => out.extend(tokens.next(fault::IPV6)?.parse::<Ipv6Addr>(fault::IPV6)?.octets()),
        3 => field::read_name(tokens, origin, out)?,
        _ => return Err(kind.unfit(fault::GATEWAY_TYPE)),
    }
    Ok(())
}

pub(super) fn ipseckey_length(rest: &[u8]) -> Option<usize> {
    let [_, gateway_type, algorithm, gateway @ ..] = rest else { return None };
    let length = gateway_length(*gateway_type, gateway)?;
    (gateway.len() > length || gateway.len() == length && *algorithm == 0).then_some(rest.len())
}

pub(super) fn amtrelay_length(rest: &[u8]) -> Option<usize> {
    let [_, relay_type, relay @ ..] = rest else { return None };
    gateway_length(relay_type & 0x7f, relay).map(|length| length + 2)
}

fn gateway_length(gateway_type: u8, octets: &[u8]) -> Option<usize> {
    match gateway_type {
        0 => Some(0),
        1 => Some(4),
        2 => Some(16),
        3 => name::wire_length(octets).ok(),
        _ => None,
    }
}

pub(super) fn show_ipseckey(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let (head, rest) = octets.split_at(3);
    let length = gateway_length(head[1], rest).expect("ipseckey_length() has measured it");
    write!(out, "{} {} {} ", head[0], head[1], head[2])?;
    show_gateway(head[1], &rest[..length], out)?;
    if rest.len() > length {
        out.write_char(' ')?;
        codec::show_base64_whole(&rest[length..], out)?;
    }
    Ok(())
}

pub(super) fn show_amtrelay(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let (head, relay) = octets.split_at(2);
    write!(out, "{} {} {} ", head[0], head[1] >> 7, head[1] & 0x7f)?;
    show_gateway(head[1] & 0x7f, relay, out)
}

fn show_gateway(gateway_type: u8, octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    match (gateway_type, octets) {
        (1, &[a, b, c, d]) => write!(out, "{}", Ipv4Addr::new(a, b, c, d)),
        (2, _) => {
            write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("gateway_length() says 16")))
        }
        (3, _) => name::write_wire_name(octets, &mut { out }),
        _ => out.write_char('.'),
    }
}
