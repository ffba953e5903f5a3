//! The kinds of fields that record data is made of. Each is read from words, measured in octets, and shown.
//! A field that reads to the end stands last in its record type.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::{self, Noun, Problem, RdataFault};
use super::tokens::{Tokens, Word};
use super::{apl, bitmap, codec, gateway, hip, loc, svcb, time, wks};
use crate::name;
use crate::wire::code::RecordType;

/// How a name in record data may be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Of RFC 1035: it may be compressed (RFC 3597 section 4) and is lower-case in canonical form.
    Compressed,
    /// Not compressed, lower-case in canonical form (RFC 4034 section 6.2).
    Lowered,
    /// Neither.
    AsWritten,
}

/// One kind of field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// An octet, in decimal.
    U8,
    /// Two octets, in decimal.
    U16,
    /// Four octets, in decimal.
    U32,
    /// Four octets of seconds, read with units too.
    Period,
    /// A time of a signature.
    Time,
    /// A record type.
    Type,
    /// A DNSSEC algorithm, shown as a number.
    Algorithm,
    /// The type of a certificate, shown by mnemonic.
    CertificateType,
    /// The algorithm of a certificate, shown by mnemonic.
    CertificateAlgorithm,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A domain name.
    Name(Case),
    /// A string with its length.
    Text,
    /// A string with its length, or nothing; to the end.
    OptionalText,
    /// One or more strings with their lengths; to the end.
    Texts,
    /// A property tag of CAA.
    Tag,
    /// A string without length; to the end.
    Value,
    /// Octets in hexadecimal, at least one; to the end.
    Hex,
    /// Octets in base64, at least one; to the end.
    Base64,
    /// Octets with their length in hexadecimal, a dash for none.
    Salt,
    /// Octets with their length in base32hex, at least one.
    NextHash,
    /// A bitmap of record types; to the end.
    Types,
    /// Eight octets in four groups (RFC 6742).
    Locator,
    /// Six octets with dashes.
    Eui48,
    /// Eight octets with dashes.
    Eui64,
    /// An NSAP address; to the end.
    Nsap,
    /// All of LOC.
    Loc,
    /// All of APL.
    Apl,
    /// All of WKS.
    Wks,
    /// All of HIP.
    Hip,
    /// All of IPSECKEY.
    Ipseckey,
    /// All of AMTRELAY.
    Amtrelay,
    /// The parameters of SVCB and HTTPS; to the end.
    ServiceParameters,
}

impl Field {
    /// Reads the field's words and appends its octets.
    pub(super) fn read(
        self,
        tokens: &mut Tokens,
        origin: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RdataFault> {
        match self {
            Self::U8 => out.push(tokens.next(fault::U8)?.decimal(fault::U8)?),
            Self::U16 => read_u16(tokens, fault::U16, out)?,
            Self::U32 => {
                let number: u32 = tokens.next(fault::U32)?.decimal(fault::U32)?;
                out.extend(number.to_be_bytes());
            }
            Self::Period => read_by(super::period, tokens, fault::PERIOD, out)?,
            Self::Time => read_by(time::parse, tokens, fault::TIME, out)?,
            Self::Type => {
                let rtype: RecordType = tokens.next(fault::TYPE)?.parse(fault::TYPE)?;
                out.extend(rtype.0.to_be_bytes());
            }
            Self::Algorithm | Self::CertificateAlgorithm => out.push(read_algorithm(tokens)?),
            Self::CertificateType => match mnemonic(tokens.peek(), CERTIFICATE_TYPES) {
                Some(number) => {
                    tokens.take();
                    out.extend(number.to_be_bytes());
                }
                None => read_u16(tokens, fault::CERTIFICATE, out)?,
            },
            Self::Ipv4 => {
                let address: Ipv4Addr = tokens.next(fault::IPV4)?.parse(fault::IPV4)?;
                out.extend(address.octets());
            }
            Self::Ipv6 => {
                let address: Ipv6Addr = tokens.next(fault::IPV6)?.parse(fault::IPV6)?;
                out.extend(address.octets());
            }
            Self::Name(_) => read_name(tokens, origin, out)?,
            Self::Text => read_text(tokens.next(fault::TEXT)?, out)?,
            Self::OptionalText => {
                if let Some(word) = tokens.take() {
                    read_text(word, out)?;
                }
            }
            Self::Texts => {
                read_text(tokens.next(fault::TEXT)?, out)?;
                while let Some(word) = tokens.take() {
                    read_text(word, out)?;
                }
            }
            Self::Tag => {
                let word = tokens.next(fault::TAG)?;
                if !is_tag(word.text) {
                    return Err(word.unfit(fault::TAG));
                }
                push_counted(word.text, out);
            }
            Self::Value => tokens.next(fault::VALUE)?.unescape(out)?,
            Self::Hex => {
                let (start, whole) = (out.len(), tokens.rest_span());
                codec::read_hex(tokens, out)?;
                if out.len() == start {
                    return Err(RdataFault::new(whole, Problem::Missing(fault::HEX)));
                }
            }
            Self::Base64 => codec::read_base64(tokens, out)?,
            Self::Salt => {
                let word = tokens.next(fault::SALT)?;
                let text = if word.text == b"-" { b"" } else { word.text };
                read_counted(word, fault::SALT, out, |out| codec::decode_hex(text, out))?;
            }
            Self::NextHash => {
                let word = tokens.next(fault::HASH)?;
                read_counted(word, fault::HASH, out, |out| codec::decode_base32hex(word.text, out))?;
                if word.text.is_empty() {
                    return Err(word.unfit(fault::HASH));
                }
            }
            Self::Types => bitmap::read(tokens, out)?,
            Self::Locator => read_groups(tokens, fault::LOCATOR, b':', 2, 4, out)?,
            Self::Eui48 => read_groups(tokens, fault::EUI48, b'-', 1, 6, out)?,
            Self::Eui64 => read_groups(tokens, fault::EUI64, b'-', 1, 8, out)?,
            Self::Nsap => read_nsap(tokens, out)?,
            Self::Loc => loc::read(tokens, out)?,
            Self::Apl => apl::read(tokens, out)?,
            Self::Wks => wks::read(tokens, out)?,
            Self::Hip => hip::read(tokens, origin, out)?,
            Self::Ipseckey => gateway::read_ipseckey(tokens, origin, out)?,
            Self::Amtrelay => gateway::read_amtrelay(tokens, origin, out)?,
            Self::ServiceParameters => svcb::read(tokens, out)?,
        }
        Ok(())
    }

    /// How many octets the field takes at the start of `rest`; none if what stands there is no such field.
    pub(super) fn length(self, rest: &[u8]) -> Option<usize> {
        let length = match self {
            Self::U8 | Self::Algorithm | Self::CertificateAlgorithm => 1,
            Self::U16 | Self::Type | Self::CertificateType => 2,
            Self::U32 | Self::Period | Self::Time | Self::Ipv4 => 4,
            Self::Eui48 => 6,
            Self::Locator | Self::Eui64 => 8,
            Self::Ipv6 => 16,
            Self::Name(_) => name::wire_length(rest).ok()?,
            Self::Text => counted(rest)?,
            Self::OptionalText if rest.is_empty() => 0,
            Self::OptionalText => counted(rest)?,
            Self::Texts => texts_length(rest)?,
            Self::Tag => counted(rest).filter(|&length| rest.get(1..length).is_some_and(is_tag))?,
            Self::Value => rest.len(),
            Self::Hex | Self::Base64 | Self::Nsap => rest.len().max(1),
            Self::Salt => counted(rest)?,
            Self::NextHash => counted(rest).filter(|&length| length > 1)?,
            Self::Types => bitmap::length(rest)?,
            Self::Loc => loc::length(rest)?,
            Self::Apl => apl::length(rest)?,
            Self::Wks => wks::length(rest)?,
            Self::Hip => hip::length(rest)?,
            Self::Ipseckey => gateway::ipseckey_length(rest)?,
            Self::Amtrelay => gateway::amtrelay_length(rest)?,
            Self::ServiceParameters => svcb::length(rest)?,
        };
        (length <= rest.len()).then_some(length)
    }

    /// Writes the octets of the field, which [`Field::length`] has measured.
    pub(super) fn show(self, octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::Period | Self::Algorithm => {
                write!(out, "{}", number(octets))
            }
            Self::Time => time::show(number(octets), out),
            Self::Type => write!(out, "{}", RecordType(number(octets) as u16)),
            Self::CertificateType => show_mnemonic(number(octets), CERTIFICATE_TYPES, out),
            Self::CertificateAlgorithm => show_mnemonic(number(octets), ALGORITHMS, out),
            Self::Ipv4 => write!(out, "{}", Ipv4Addr::from(number(octets))),
            Self::Ipv6 => {
                write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("length() says 16")))
            }
            Self::Name(_) => name::write_wire_name(octets, &mut { out }),
            Self::Text | Self::OptionalText => codec::show_text(&octets[1..], out),
            Self::Texts => show_texts(octets, out),
            Self::Tag => octets[1..].iter().try_for_each(|&octet| out.write_char(char::from(octet))),
            Self::Value => codec::show_text(octets, out),
            Self::Hex => codec::show_hex(octets, out),
            Self::Base64 => codec::show_base64(octets, out),
            Self::Salt if octets.len() == 1 => out.write_char('-'),
            Self::Salt => codec::show_hex_whole(&octets[1..], out),
            Self::NextHash => codec::show_base32hex(&octets[1..], out),
            Self::Types => bitmap::show(octets, out),
            Self::Locator => {
                show_groups(octets.chunks(2), out, |pair, out| write!(out, "{:x}", number(pair)), ':')
            }
            Self::Eui48 | Self::Eui64 => {
                show_groups(octets.chunks(1), out, |one, out| write!(out, "{:02x}", one[0]), '-')
            }
            Self::Nsap => {
                out.write_str("0x")?;
                octets.iter().try_for_each(|octet| write!(out, "{octet:02x}"))
            }
            Self::Loc => loc::show(octets, out),
            Self::Apl => apl::show(octets, out),
            Self::Wks => wks::show(octets, out),
            Self::Hip => hip::show(octets, out),
            Self::Ipseckey => gateway::show_ipseckey(octets, out),
            Self::Amtrelay => gateway::show_amtrelay(octets, out),
            Self::ServiceParameters => svcb::show(octets, out),
        }
    }
}

fn read_u16(tokens: &mut Tokens, noun: Noun, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let number: u16 = tokens.next(noun)?.decimal(noun)?;
    out.extend(number.to_be_bytes());
    Ok(())
}

fn read_by(
    parse: fn(&[u8]) -> Option<u32>,
    tokens: &mut Tokens,
    noun: Noun,
    out: &mut Vec<u8>,
) -> Result<(), RdataFault> {
    let word = tokens.next(noun)?;
    out.extend(parse(word.text).ok_or(word.unfit(noun))?.to_be_bytes());
    Ok(())
}

/// Reads a name, as every field that holds one does.
pub(super) fn read_name(tokens: &mut Tokens, origin: &[u8], out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let word = tokens.next(fault::NAME)?;
    name::parse_to_wire(word.text, Some(origin), out).map_err(|fault| word.fault(Problem::Name(fault)))
}

pub(super) fn read_algorithm(tokens: &mut Tokens) -> Result<u8, RdataFault> {
    let word = tokens.next(fault::ALGORITHM)?;
    match mnemonic(Some(word), ALGORITHMS) {
        Some(number) => Ok(number as u8),
        None => word.decimal(fault::ALGORITHM),
    }
}

fn read_text(word: Word, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let length_at = out.len();
    out.push(0);
    word.unescape(out)?;
    out[length_at] = u8::try_from(out.len() - length_at - 1).map_err(|_| word.unfit(fault::TEXT))?;
    Ok(())
}

fn read_counted(
    word: Word,
    noun: Noun,
    out: &mut Vec<u8>,
    decode: impl Fn(&mut Vec<u8>) -> Option<()>,
) -> Result<(), RdataFault> {
    let length_at = out.len();
    out.push(0);
    decode(out).ok_or(word.unfit(noun))?;
    out[length_at] = u8::try_from(out.len() - length_at - 1).map_err(|_| word.unfit(noun))?;
    Ok(())
}

fn push_counted(octets: &[u8], out: &mut Vec<u8>) {
    out.push(u8::try_from(octets.len()).expect("the caller has bounded it"));
    out.extend_from_slice(octets);
}

/// Groups of hexadecimal digits, each of `width` octets; leading zeros may be left out where it is two.
fn read_groups(
    tokens: &mut Tokens,
    noun: Noun,
    separator: u8,
    width: usize,
    count: usize,
    out: &mut Vec<u8>,
) -> Result<(), RdataFault> {
    let word = tokens.next(noun)?;
    let mut groups = 0;
    for group in word.text.split(|&octet| octet == separator) {
        let digits = std::str::from_utf8(group)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let fits = |digits: &&str| digits.len() <= width * 2 && (width == 2 || digits.len() == 2);
        let value = digits.filter(fits).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        out.extend_from_slice(&value.ok_or(word.unfit(noun))?.to_be_bytes()[2 - width..]);
        groups += 1;
    }
    if groups == count { Ok(()) } else { Err(word.unfit(noun)) }
}

fn show_groups<'a>(
    groups: impl Iterator<Item = &'a [u8]>,
    out: &mut dyn fmt::Write,
    show: impl Fn(&[u8], &mut dyn fmt::Write) -> fmt::Result,
    separator: char,
) -> fmt::Result {
    for (index, group) in groups.enumerate() {
        if index > 0 {
            out.write_char(separator)?;
        }
        show(group, out)?;
    }
    Ok(())
}

/// `0x` and pairs of digits; dots are for the eye (RFC 1706 section 5).
fn read_nsap(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let word = tokens.next(fault::NSAP)?;
    let start = out.len();
    let digits = word.text.strip_prefix(b"0x").or(word.text.strip_prefix(b"0X"));
    let digits: Option<Vec<u8>> =
        digits.map(|digits| digits.iter().copied().filter(|&digit| digit != b'.').collect());
    digits
        .and_then(|digits| codec::decode_hex(&digits, out))
        .filter(|()| out.len() > start)
        .ok_or(word.unfit(fault::NSAP))
}

/// Octets of a string with its length at the start of `rest`, length included.
fn counted(rest: &[u8]) -> Option<usize> {
    rest.first().map(|&length| usize::from(length) + 1)
}

fn texts_length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < rest.len() {
        at += counted(&rest[at..])?;
    }
    (at > 0).then_some(at)
}

fn show_texts(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let mut rest = octets;
    while let Some((&length, tail)) = rest.split_first() {
        let (text, tail) = tail.split_at(usize::from(length));
        if rest.len() < octets.len() {
            out.write_char(' ')?;
        }
        codec::show_text(text, out)?;
        rest = tail;
    }
    Ok(())
}

/// RFC 8659 section 4.1: letters and digits.
fn is_tag(text: &[u8]) -> bool {
    (1..=255).contains(&text.len()) && text.iter().all(u8::is_ascii_alphanumeric)
}

/// A number in at most four octets.
fn number(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, &octet| number << 8 | u32::from(octet))
}

fn mnemonic(word: Option<Word>, table: &[(u16, &str)]) -> Option<u16> {
    let text = word?.text;
    table
        .iter()
        .find(|(_, mnemonic)| mnemonic.as_bytes().eq_ignore_ascii_case(text))
        .map(|&(number, _)| number)
}

fn show_mnemonic(number: u32, table: &[(u16, &str)], out: &mut dyn fmt::Write) -> fmt::Result {
    match table.iter().find(|&&(known, _)| u32::from(known) == number) {
        Some((_, mnemonic)) => out.write_str(mnemonic),
        None => write!(out, "{number}"),
    }
}

/// RFC 4398 section 2.1.
const CERTIFICATE_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

/// IANA's "DNS Security Algorithm Numbers".
const ALGORITHMS: &[(u16, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "NSEC3DSA"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "NSEC3RSASHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECCGOST"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];
