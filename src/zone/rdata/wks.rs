//! WKS (RFC 1035 section 3.4.2): an address, a protocol, and the ports it serves. Ports are numbers here.

use std::fmt;
use std::net::Ipv4Addr;

use super::fault::{self, RdataFault};
use super::tokens::Tokens;

pub(super) fn read(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    out.extend(tokens.next(fault::IPV4)?.parse::<Ipv4Addr>(fault::IPV4)?.octets());
    let word = tokens.next(fault::PROTOCOL)?;
    out.push(match word.text.to_ascii_lowercase().as_slice() {
        b"tcp" => 6,
        b"udp" => 17,
        _ => word.decimal(fault::PROTOCOL)?,
    });
    let start = out.len();
    while let Some(word) = tokens.take() {
        let port: u16 = word.decimal(fault::U16)?;
        let at = start + usize::from(port >> 3);
        out.resize(out.len().max(at + 1), 0);
        out[at] |= 0x80 >> (port & 7);
    }
    Ok(())
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let bits = rest.get(5..)?;
    (bits.len() <= 8192 && bits.last() != Some(&0)).then_some(rest.len())
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let [a, b, c, d, protocol, bits @ ..] = octets else { unreachable!("length() wants five octets") };
    write!(out, "{} {protocol}", Ipv4Addr::new(*a, *b, *c, *d))?;
    for (index, octet) in bits.iter().enumerate() {
        for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
            write!(out, " {}", index * 8 + bit)?;
        }
    }
    Ok(())
}
