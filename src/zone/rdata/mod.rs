//! Record data between three forms: words of a master file, octets, and the text that `dig` shows. What a record
//! type is made of stands once, in [`fields`]; reading, checking, showing and finding names all follow from it.
//! Types without a row there are read and shown as RFC 3597 has it.

mod apl;
mod bitmap;
mod codec;
mod fault;
mod field;
mod gateway;
mod hip;
mod loc;
mod number;
mod svcb;
mod time;
mod tokens;
mod wks;

use std::cmp::Ordering;
use std::fmt;

use super::lexer::{Lexer, Span};
use crate::name::Name;
use crate::wire::code::RecordType;

pub use bitmap::{types as types_of_bitmap, write as write_bitmap};
pub use codec::{decode_base32hex, decode_base64, show_base32hex, show_base64_whole};
pub use fault::{Noun, Problem, RdataFault};
pub use field::{Case, Field};
pub(super) use number::{decimal, period};
pub(super) use svcb::is_alias_with_parameters;
pub use svcb::{ServiceProblem, of_service};
pub use time::{parse as parse_time, show as show_time};
pub use tokens::{Tokens, Word};

/// The most octets of record data (RFC 1035 section 3.2.1).
pub const RDATA_OCTETS_MAX: usize = 65_535;

/// What record data of a type is made of, in order; none for types that only RFC 3597 describes.
#[must_use]
pub fn fields(rtype: RecordType) -> Option<&'static [Field]> {
    use Case::{AsWritten, Compressed, Lowered};
    use Field::*;
    Some(match rtype {
        RecordType::A => &[Ipv4],
        RecordType::AAAA => &[Ipv6],
        RecordType::NS | RecordType::CNAME | RecordType::PTR => &[Name(Compressed)],
        RecordType::SOA => &[Name(Compressed), Name(Compressed), U32, Period, Period, Period, Period],
        RecordType::MX => &[U16, Name(Compressed)],
        RecordType::TXT | RecordType::SPF | RecordType::AVC | RecordType::RESINFO | RecordType::WALLET => {
            &[Texts]
        }
        RecordType::SRV => &[U16, U16, U16, Name(Lowered)],
        RecordType::CAA => &[U8, Tag, Value],
        RecordType::SVCB | RecordType::HTTPS => &[U16, Name(AsWritten), ServiceParameters],
        RecordType::NAPTR => &[U16, U16, Text, Text, Text, Name(Lowered)],
        RecordType::URI => &[U16, U16, Value],
        RecordType::DNAME => &[Name(Lowered)],
        RecordType::DS | RecordType::CDS | RecordType::DLV | RecordType::TA => &[U16, Algorithm, U8, Hex],
        RecordType::DNSKEY | RecordType::CDNSKEY | RecordType::KEY => &[U16, U8, Algorithm, Base64],
        RecordType::RRSIG | RecordType::SIG => {
            &[Type, Algorithm, U8, Period, Time, Time, U16, Name(Lowered), Base64]
        }
        RecordType::NSEC => &[Name(AsWritten), Types],
        RecordType::NSEC3 => &[U8, U8, U16, Salt, NextHash, Types],
        RecordType::NSEC3PARAM => &[U8, U8, U16, Salt],
        RecordType::CSYNC => &[U32, U16, Types],
        RecordType::DSYNC => &[Type, U8, U16, Name(AsWritten)],
        RecordType::ZONEMD => &[U32, U8, U8, Hex],
        RecordType::TLSA | RecordType::SMIMEA => &[U8, U8, U8, Hex],
        RecordType::SSHFP => &[U8, U8, Hex],
        RecordType::CERT => &[CertificateType, U16, CertificateAlgorithm, Base64],
        RecordType::OPENPGPKEY | RecordType::DHCID => &[Base64],
        RecordType::IPSECKEY => &[Ipseckey],
        RecordType::AMTRELAY => &[Amtrelay],
        RecordType::HIP => &[Hip],
        RecordType::LOC => &[Loc],
        RecordType::APL => &[Apl],
        RecordType::EUI48 => &[Eui48],
        RecordType::EUI64 => &[Eui64],
        RecordType::NID | RecordType::L64 => &[U16, Locator],
        RecordType::L32 => &[U16, Ipv4],
        RecordType::LP => &[U16, Name(AsWritten)],
        RecordType::KX | RecordType::AFSDB | RecordType::RT => &[U16, Name(Lowered)],
        RecordType::RP => &[Name(Lowered), Name(Lowered)],
        RecordType::PX => &[U16, Name(Lowered), Name(Lowered)],
        RecordType::HINFO => &[Text, Text],
        RecordType::X25 => &[Text],
        RecordType::ISDN => &[Text, OptionalText],
        RecordType::GPOS => &[Text, Text, Text],
        RecordType::NSAP => &[Nsap],
        RecordType::NSAP_PTR => &[Name(AsWritten)],
        RecordType::WKS => &[Wks],
        RecordType::MB | RecordType::MG | RecordType::MR | RecordType::MD | RecordType::MF => {
            &[Name(Compressed)]
        }
        RecordType::MINFO => &[Name(Compressed), Name(Compressed)],
        _ => return None,
    })
}

/// Appends the record data that `tokens` hold to `out`. `origin` is the wire name that relative names refer to.
/// On a fault `out` may have grown; the caller cuts it.
pub fn read(
    rtype: RecordType,
    mut tokens: Tokens,
    origin: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), RdataFault> {
    let start = out.len();
    let whole = tokens.rest_span();
    if tokens.peek().is_some_and(|word| word.text == b"\\#" && !word.quoted) {
        read_generic(rtype, &mut tokens, out)?;
    } else {
        let fields = fields(rtype).ok_or(RdataFault::new(whole, Problem::OnlyGeneric))?;
        for field in fields {
            field.read(&mut tokens, origin, out)?;
        }
        if let Some(word) = tokens.peek() {
            return Err(RdataFault::new(word.span, Problem::Surplus));
        }
    }
    if out.len() - start > RDATA_OCTETS_MAX {
        return Err(RdataFault::new(whole, Problem::TooLong));
    }
    Ok(())
}

/// Reads record data from a text of its own, such as `1 . alpn=h2`; faults refer to places in that text.
pub fn read_text(rtype: RecordType, text: &str, origin: &Name) -> Result<Vec<u8>, RdataFault> {
    let octets = text.as_bytes();
    if octets.len() > RDATA_OCTETS_MAX * 4 {
        return Err(RdataFault::new(Span::default(), Problem::TooLong));
    }
    let mut lexer = Lexer::new(octets, 0);
    let mut list = Vec::new();
    let lex = |(span, fault)| RdataFault::new(span, Problem::Lex(fault));
    lexer.entry(&mut list).map_err(lex)?;
    let mut out = Vec::new();
    read(rtype, Tokens::new(octets, &list), origin.as_wire(), &mut out)?;
    lexer.entry(&mut list).map_err(lex)?;
    match list.first() {
        Some(token) => Err(RdataFault::new(token.span, Problem::Surplus)),
        None => Ok(out),
    }
}

/// `\# length hex` (RFC 3597 section 5); for a known type it must be what that type wants.
fn read_generic(rtype: RecordType, tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let start = out.len();
    let whole = tokens.rest_span();
    tokens.next(fault::GENERIC)?;
    let length = tokens.next(fault::LENGTH)?;
    let stated: u16 = length.decimal(fault::LENGTH)?;
    codec::read_hex(tokens, out)?;
    let found = out.len() - start;
    if found != usize::from(stated) {
        return Err(length.fault(Problem::Length { found }));
    }
    check(rtype, &out[start..]).map_err(|problem| RdataFault::new(whole, problem))
}

/// Whether these octets are record data of that type; anything is, for a type without fields.
pub fn check(rtype: RecordType, rdata: &[u8]) -> Result<(), Problem> {
    if rdata.len() > RDATA_OCTETS_MAX {
        return Err(Problem::TooLong);
    }
    let Some(fields) = fields(rtype) else { return Ok(()) };
    let mut rest = rdata;
    for field in fields {
        let length = field.length(rest).ok_or(Problem::Octets)?;
        rest = &rest[length..];
    }
    if rest.is_empty() { Ok(()) } else { Err(Problem::Octets) }
}

/// Writes record data as `dig` shows it, and as [`read`] reads it; `\# length hex` where it fits no fields.
pub fn show(rtype: RecordType, rdata: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    let known = fields(rtype).filter(|_| check(rtype, rdata).is_ok());
    let Some(fields) = known else { return codec::show_generic(rdata, out) };
    let mut rest = rdata;
    let mut first = true;
    for field in fields {
        let (octets, tail) = rest.split_at(field.length(rest).expect("the record data was checked above"));
        rest = tail;
        if octets.is_empty() && *field != Field::Value {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.write_char(' ')?;
        }
        field.show(octets, out)?;
    }
    Ok(())
}

/// The names in checked record data: where each begins, and how it may be treated. Gateways, relays and rendezvous
/// servers are not among them: nothing compresses, lower-cases or follows those.
pub fn names(rtype: RecordType, rdata: &[u8]) -> impl Iterator<Item = (usize, Case)> {
    let named = if has_names(rtype) { fields(rtype).unwrap_or_default() } else { &[] };
    let mut at = 0;
    named.iter().filter_map(move |field| {
        let start = at;
        at += field.length(&rdata[start..]).expect("the record data was checked");
        match field {
            Field::Name(case) => Some((start, *case)),
            _ => None,
        }
    })
}

/// Whether [`names`] can find any in record data of that type.
#[must_use]
pub fn has_names(rtype: RecordType) -> bool {
    fields(rtype).is_some_and(|fields| fields.iter().any(|field| matches!(field, Field::Name(_))))
}

/// Canonical order of two checked record data of one type (RFC 4034 section 6.3): as octets, with the names that
/// section 6.2 lowers taken as lowered.
#[must_use]
pub fn canonical_order(rtype: RecordType, a: &[u8], b: &[u8]) -> Ordering {
    if has_names(rtype) { canonical(rtype, a).cmp(&canonical(rtype, b)) } else { a.cmp(b) }
}

/// Checked record data in canonical form.
#[must_use]
pub fn canonical(rtype: RecordType, rdata: &[u8]) -> Vec<u8> {
    let mut lowered = rdata.to_vec();
    for (start, case) in names(rtype, rdata) {
        if case != Case::AsWritten {
            let length = crate::name::wire_length(&rdata[start..]).expect("the record data was checked");
            lowered[start..start + length].make_ascii_lowercase();
        }
    }
    lowered
}

#[cfg(test)]
mod tests;
