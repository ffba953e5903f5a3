//! HIP (RFC 8005 section 5): a host identity with its tag and its rendezvous servers.

use std::fmt;

use super::fault::{self, RdataFault};
use super::tokens::Tokens;
use super::{codec, field};
use crate::name;

pub(super) fn read(tokens: &mut Tokens, origin: &[u8], out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let algorithm = tokens.next(fault::ALGORITHM)?.decimal::<u8>(fault::ALGORITHM)?;
    let (tag_word, key_word) = (tokens.next(fault::HEX)?, tokens.next(fault::BASE64)?);
    let (mut tag, mut key) = (Vec::new(), Vec::new());
    codec::decode_hex(tag_word.text, &mut tag).ok_or(tag_word.unfit(fault::HEX))?;
    codec::decode_base64(key_word.text, &mut key).ok_or(key_word.unfit(fault::BASE64))?;
    let tag_length = u8::try_from(tag.len()).ok().filter(|&length| length > 0);
    let key_length = u16::try_from(key.len()).ok().filter(|&length| length > 0);
    out.extend([tag_length.ok_or(tag_word.unfit(fault::HEX))?, algorithm]);
    out.extend(key_length.ok_or(key_word.unfit(fault::BASE64))?.to_be_bytes());
    out.extend_from_slice(&tag);
    out.extend_from_slice(&key);
    while tokens.peek().is_some() {
        field::read_name(tokens, origin, out)?;
    }
    Ok(())
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let (tag, key, mut servers) = parts(rest)?;
    while !servers.is_empty() {
        servers = &servers[name::wire_length(servers).ok()?..];
    }
    (!tag.is_empty() && !key.is_empty()).then_some(rest.len())
}

/// Tag, key and servers.
fn parts(octets: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let [tag_length, _, high, low, rest @ ..] = octets else { return None };
    let (tag, rest) = rest.split_at_checked(usize::from(*tag_length))?;
    let (key, servers) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((tag, key, servers))
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let (tag, key, mut servers) = parts(octets).expect("length() has found the parts");
    write!(out, "{} ", octets[1])?;
    codec::show_hex_whole(tag, out)?;
    out.write_char(' ')?;
    codec::show_base64_whole(key, out)?;
    while !servers.is_empty() {
        let (server, rest) =
            servers.split_at(name::wire_length(servers).expect("length() has measured the names"));
        out.write_char(' ')?;
        name::write_wire_name(server, &mut { &mut *out })?;
        servers = rest;
    }
    Ok(())
}
