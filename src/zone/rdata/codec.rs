//! Octets as text: hexadecimal, base64 (RFC 4648 section 4), base32hex without padding (section 7), and strings
//! with the escapes of master files.

use std::fmt;

use super::fault::{self, RdataFault};
use super::tokens::Tokens;

/// After so many characters of hexadecimal or base64 `dig` puts a space.
const GROUP_CHARS: usize = 56;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Reads the remaining words as one run of hexadecimal digits; there may be none.
pub(super) fn read_hex(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let mut half = None;
    let mut last = tokens.peek();
    while let Some(word) = tokens.take() {
        for &digit in word.text {
            let value = hex_digit(digit).ok_or(word.unfit(fault::HEX))?;
            match half.take() {
                None => half = Some(value << 4),
                Some(high) => out.push(high | value),
            }
        }
        last = Some(word);
    }
    match (half, last) {
        (Some(_), Some(word)) => Err(word.unfit(fault::HEX)),
        _ => Ok(()),
    }
}

/// Pairs of hexadecimal digits.
pub(super) fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    for pair in text.chunks_exact(2) {
        out.push(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
    }
    Some(())
}

pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Reads the remaining words as one run of base64.
pub(super) fn read_base64(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let first = tokens.next(fault::BASE64)?;
    let mut text = first.text.to_vec();
    let mut last = first;
    while let Some(word) = tokens.take() {
        text.extend_from_slice(word.text);
        last = word;
    }
    let mut whole = first;
    whole.span.end = last.span.end;
    decode_base64(&text, out).filter(|()| !text.is_empty()).ok_or(whole.unfit(fault::BASE64))
}

/// Groups of four characters with padding; bits that mean nothing must be zero.
pub fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    decode_bits(digits, 6, base64_digit, out)
}

fn base64_digit(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Base32hex in any case, without padding.
pub fn decode_base32hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if matches!(text.len() % 8, 1 | 3 | 6) {
        return None;
    }
    let digit = |digit: u8| match digit.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'A'..=b'V' => Some(digit - b'A' + 10),
        _ => None,
    };
    decode_bits(text, 5, digit, out)
}

fn decode_bits(text: &[u8], width: u32, digit: impl Fn(u8) -> Option<u8>, out: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut held) = (0u32, 0);
    for &character in text {
        bits = bits << width | u32::from(digit(character)?);
        held += width;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(())
}

/// Writes digits of `width` bits each, most significant first, with a space after every `group`.
fn show_bits(
    octets: &[u8],
    width: u32,
    alphabet: &[u8],
    group: usize,
    out: &mut dyn fmt::Write,
) -> Result<usize, fmt::Error> {
    let mask = (1u32 << width) - 1;
    let (mut bits, mut held, mut written) = (0u32, 0, 0);
    let mut put = |digit: u32| {
        if written > 0 && written % group == 0 {
            out.write_char(' ')?;
        }
        written += 1;
        out.write_char(char::from(alphabet[digit as usize]))
    };
    for &octet in octets {
        bits = (bits << 8 | u32::from(octet)) & 0xffff;
        held += 8;
        while held >= width {
            held -= width;
            put(bits >> held & mask)?;
        }
    }
    if held > 0 {
        put(bits << (width - held) & mask)?;
    }
    Ok(written)
}

/// Hexadecimal in groups, as `dig` shows it.
pub(super) fn show_hex(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    show_bits(octets, 4, HEX, GROUP_CHARS, out).map(|_| ())
}

/// Hexadecimal in one run.
pub(super) fn show_hex_whole(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    show_bits(octets, 4, HEX, usize::MAX, out).map(|_| ())
}

/// Base64 in groups, as `dig` shows it.
pub(super) fn show_base64(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    show_base64_groups(octets, GROUP_CHARS, out)
}

/// Base64 in one run.
pub fn show_base64_whole(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    show_base64_groups(octets, usize::MAX, out)
}

fn show_base64_groups(octets: &[u8], group: usize, out: &mut dyn fmt::Write) -> fmt::Result {
    let written = show_bits(octets, 6, BASE64, group, out)?;
    out.write_str(["", "", "==", "="][written % 4])
}

/// Base32hex without padding.
pub fn show_base32hex(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    show_bits(octets, 5, BASE32HEX, usize::MAX, out).map(|_| ())
}

/// A string in quotes.
pub(super) fn show_text(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    show_escaped(octets, out)?;
    out.write_char('"')
}

/// A string as it stands between quotes.
pub(super) fn show_escaped(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    for &octet in octets {
        match octet {
            b'"' | b'\\' => write!(out, "\\{}", char::from(octet))?,
            b' '..=b'~' => out.write_char(char::from(octet))?,
            _ => write!(out, "\\{octet:03}")?,
        }
    }
    Ok(())
}

/// `\# length hex` (RFC 3597 section 5).
pub(super) fn show_generic(rdata: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "\\# {}", rdata.len())?;
    if rdata.is_empty() {
        return Ok(());
    }
    out.write_char(' ')?;
    show_hex(rdata, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(show: impl Fn(&[u8], &mut dyn fmt::Write) -> fmt::Result, octets: &[u8]) -> String {
        let mut text = String::new();
        show(octets, &mut text).unwrap();
        text
    }

    /// The examples of RFC 4648 section 10.
    #[test]
    fn encodings_are_those_of_rfc_4648() {
        for (octets, base64, base32) in [
            ("", "", ""),
            ("f", "Zg==", "CO"),
            ("fo", "Zm8=", "CPNG"),
            ("foo", "Zm9v", "CPNMU"),
            ("foob", "Zm9vYg==", "CPNMUOG"),
            ("fooba", "Zm9vYmE=", "CPNMUOJ1"),
            ("foobar", "Zm9vYmFy", "CPNMUOJ1E8"),
        ] {
            assert_eq!(shown(show_base64, octets.as_bytes()), base64);
            assert_eq!(shown(show_base32hex, octets.as_bytes()), base32);
            let (mut from64, mut from32) = (Vec::new(), Vec::new());
            assert_eq!(decode_base64(base64.as_bytes(), &mut from64), Some(()));
            assert_eq!(decode_base32hex(base32.as_bytes(), &mut from32), Some(()));
            assert_eq!((&*from64, &*from32), (octets.as_bytes(), octets.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Zg=", "Zg", "Z===", "Zh==", "Zm9=", "Zm9v=", "Zg==Zg==", "Zm!v", "===="] {
            assert_eq!(decode_base64(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
        for text in ["C", "CP1", "CP", "W0", "CO======"] {
            assert_eq!(decode_base32hex(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
    }

    #[test]
    fn long_runs_are_grouped_as_dig_does() {
        assert_eq!(shown(show_hex, &[0xab; 29]), format!("{} ABAB", "AB".repeat(28)).replace(" ABAB", " AB"));
        assert_eq!(shown(show_hex, &[0xab; 28]), "AB".repeat(28));
        assert_eq!(shown(show_hex_whole, &[0xab; 60]), "AB".repeat(60));
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(shown(show_text, b"a \"b\"\\;\x00\xff"), r#""a \"b\"\\;\000\255""#);
    }
}
