//! APL (RFC 3123): lists of address prefixes, each with a family and perhaps a negation.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::{self, RdataFault};
use super::tokens::Tokens;

const NEGATION: u8 = 0x80;

pub(super) fn read(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    while let Some(word) = tokens.take() {
        append_item(word.text, out).ok_or(word.unfit(fault::PREFIX))?;
    }
    Ok(())
}

fn append_item(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?;
    let (negation, text) = text.strip_prefix('!').map_or((0, text), |text| (NEGATION, text));
    let (family, prefix) = text.split_once(':')?;
    let (address, length) = prefix.split_once('/')?;
    let length = super::decimal(length.as_bytes()).and_then(|length| u8::try_from(length).ok())?;
    let octets = match family {
        "1" => address.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        "2" => address.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        _ => return None,
    };
    if usize::from(length) > octets.len() * 8 {
        return None;
    }
    let kept = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.extend([0, if family == "1" { 1 } else { 2 }, length, negation | kept as u8]);
    out.extend_from_slice(&octets[..kept]);
    Some(())
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < rest.len() {
        let (item, _) = item(&rest[at..])?;
        at += item;
    }
    Some(at)
}

/// One item: how many octets it takes, and its address, zero-padded.
fn item(rest: &[u8]) -> Option<(usize, [u8; 16])> {
    let [0, family @ 1..=2, length, kept, tail @ ..] = rest else { return None };
    let octets_max = if *family == 1 { 4 } else { 16 };
    let octets = tail.get(..usize::from(kept & !NEGATION))?;
    if octets.len() > octets_max || usize::from(*length) > octets_max * 8 || octets.last() == Some(&0) {
        return None;
    }
    let mut address = [0; 16];
    address[..octets.len()].copy_from_slice(octets);
    Some((4 + octets.len(), address))
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let mut rest = octets;
    while let Some((taken, address)) = item(rest) {
        let separator = if rest.len() < octets.len() { " " } else { "" };
        let negation = if rest[3] & NEGATION == 0 { "" } else { "!" };
        write!(out, "{separator}{negation}{}:", rest[1])?;
        match rest[1] {
            1 => write!(out, "{}", Ipv4Addr::new(address[0], address[1], address[2], address[3]))?,
            _ => write!(out, "{}", Ipv6Addr::from(address))?,
        }
        write!(out, "/{}", rest[2])?;
        rest = &rest[taken..];
    }
    Ok(())
}
