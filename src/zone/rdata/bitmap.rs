//! The bitmap of record types in NSEC, NSEC3 and CSYNC (RFC 4034 section 4.1.2): windows of 256 types in ascending
//! order, each with the octets up to the last that is not zero.

use std::fmt;

use super::fault::{self, RdataFault};
use super::tokens::Tokens;
use crate::wire::code::RecordType;

/// Octets in a whole window.
const WINDOW_OCTETS: usize = 32;

pub(super) fn read(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let mut types = Vec::new();
    while let Some(word) = tokens.take() {
        types.push(word.parse::<RecordType>(fault::TYPE)?.0);
    }
    write(&mut types, out);
    Ok(())
}

/// Appends the bitmap of these types, in any order; none of them takes no octets.
pub fn write(types: &mut [u16], out: &mut Vec<u8>) {
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; WINDOW_OCTETS];
        for &rtype in window {
            bits[usize::from(rtype as u8 >> 3)] |= 0x80 >> (rtype & 7);
        }
        let last = window[window.len() - 1];
        let length = (last as u8 >> 3) + 1;
        out.extend([(last >> 8) as u8, length]);
        out.extend_from_slice(&bits[..usize::from(length)]);
    }
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut windows_from = 0;
    while let [window, length, ..] = rest[at..] {
        let bits = rest.get(at + 2..at + 2 + usize::from(length))?;
        let fits = bits.len() <= WINDOW_OCTETS && bits.last().is_some_and(|&octet| octet != 0);
        if !fits || u16::from(window) < windows_from {
            return None;
        }
        windows_from = u16::from(window) + 1;
        at += 2 + bits.len();
    }
    (at == rest.len()).then_some(at)
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    for (index, rtype) in types(octets).enumerate() {
        write!(out, "{}{rtype}", if index > 0 { " " } else { "" })?;
    }
    Ok(())
}

/// The types in a checked bitmap, ascending.
pub fn types(octets: &[u8]) -> impl Iterator<Item = RecordType> {
    let mut rest = octets;
    let windows = std::iter::from_fn(move || {
        let [window, length, tail @ ..] = rest else { return None };
        let (bits, tail) = tail.split_at(usize::from(*length));
        rest = tail;
        Some((u16::from(*window) << 8, bits))
    });
    windows.flat_map(|(base, bits)| {
        let set = move |&bit: &u16| bits[usize::from(bit >> 3)] & (0x80 >> (bit & 7)) != 0;
        (0..bits.len() as u16 * 8).filter(set).map(move |bit| RecordType(base + bit))
    })
}
