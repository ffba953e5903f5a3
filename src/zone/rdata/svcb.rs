//! The parameters of SVCB and HTTPS records (RFC 9460 section 2.1 and appendix A; RFC 9461 for `dohpath`, RFC 9540
//! for `ohttp`): written in any order, held in ascending order of their keys, none twice.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::codec;
use super::fault::{Problem, RdataFault};
use super::tokens::{Tokens, Word};
use crate::name;

/// Keys with names of their own; a key's number is its place.
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// Reserved as invalid (RFC 9460 section 14.3.2).
const INVALID: u16 = 65_535;

/// What is wrong with service parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceProblem {
    /// No key where one should be.
    Key,
    /// A key that was there before.
    Duplicate,
    /// A value that is none for its key.
    Value(u16),
    /// A key that `mandatory` lists is not there.
    MandatoryMissing(u16),
    /// `mandatory` lists itself.
    MandatoryItself,
    /// `no-default-alpn` without `alpn`.
    NoAlpn,
    /// Parameters in AliasMode.
    Alias,
    /// An address hint where hints follow the steering.
    Hint(u16),
}

/// One parameter as it was read.
struct Parameter<'a> {
    key: u16,
    value: Vec<u8>,
    word: Word<'a>,
}

pub(super) fn read(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let whole = tokens.rest_span();
    let mut parameters = Vec::new();
    while let Some(word) = tokens.take() {
        parameters.push(read_parameter(word, tokens)?);
    }
    parameters.sort_by_key(|parameter| parameter.key);
    if let Some(pair) = parameters.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(pair[1].word.fault(Problem::Service(ServiceProblem::Duplicate)));
    }
    let start = out.len();
    for Parameter { key, value, word } in &parameters {
        let length = u16::try_from(value.len()).map_err(|_| word.fault(Problem::TooLong))?;
        out.extend(key.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend_from_slice(value);
    }
    check_together(&out[start..]).map_err(|problem| RdataFault::new(whole, Problem::Service(problem)))
}

/// Reads `key`, `key=value` or `key="value"`, whose value is a word of its own that follows without a space.
fn read_parameter<'a>(mut word: Word<'a>, tokens: &mut Tokens<'a>) -> Result<Parameter<'a>, RdataFault> {
    let equals = word.text.iter().position(|&octet| octet == b'=').unwrap_or(word.text.len());
    let name = &word.text[..equals];
    let key =
        parse_key(name).filter(|_| !word.quoted).ok_or(word.fault(Problem::Service(ServiceProblem::Key)))?;
    let mut written = Word { text: word.text.get(equals + 1..).unwrap_or_default(), ..word };
    if equals + 1 == word.text.len() {
        let adjacent = |next: &Word| next.quoted && next.span.start == word.span.end + 1;
        if let Some(value) = tokens.peek().filter(adjacent) {
            tokens.take();
            written = value;
            word.span.end = value.span.end + 1;
        }
    }
    let mut text = Vec::new();
    written.unescape(&mut text)?;
    let generic = name.starts_with(b"key");
    let value = if generic { Some(text) } else { encode(key, &text) };
    let value = value.filter(|value| is_value(key, value));
    let value = value.ok_or(written.fault(Problem::Service(ServiceProblem::Value(key))))?;
    Ok(Parameter { key, value, word })
}

fn parse_key(text: &[u8]) -> Option<u16> {
    if let Some(number) = KEYS.iter().position(|key| key.as_bytes() == text) {
        return u16::try_from(number).ok();
    }
    let digits = text.strip_prefix(b"key")?;
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    let number = u16::try_from(super::decimal(digits)?).ok()?;
    (!leading_zero && number != INVALID).then_some(number)
}

/// The octets of a value that stands for itself once its escapes are resolved.
fn encode(key: u16, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match key {
        MANDATORY => {
            let mut keys: Vec<u16> =
                text.split(|&octet| octet == b',').map(parse_key).collect::<Option<_>>()?;
            keys.sort_unstable();
            out.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        ALPN => encode_alpn(text, &mut out)?,
        PORT => out.extend(u16::try_from(super::decimal(text)?).ok()?.to_be_bytes()),
        IPV4_HINT => {
            for address in std::str::from_utf8(text).ok()?.split(',') {
                out.extend(address.parse::<Ipv4Addr>().ok()?.octets());
            }
        }
        IPV6_HINT => {
            for address in std::str::from_utf8(text).ok()?.split(',') {
                out.extend(address.parse::<Ipv6Addr>().ok()?.octets());
            }
        }
        ECH => codec::decode_base64(text, &mut out)?,
        _ => out.extend_from_slice(text),
    }
    Some(out)
}

/// A list with commas, in which `\,` and `\\` are escapes of the list's own (RFC 9460 appendix A.1).
fn encode_alpn(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut length_at = out.len();
    out.push(0);
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b',' => {
                out[length_at] = u8::try_from(out.len() - length_at - 1).ok()?;
                length_at = out.len();
                out.push(0);
            }
            b'\\' => out.push(*octets.next().filter(|octet| matches!(octet, b',' | b'\\'))?),
            _ => out.push(octet),
        }
    }
    out[length_at] = u8::try_from(out.len() - length_at - 1).ok()?;
    Some(())
}

/// Whether the octets are a value of that key.
fn is_value(key: u16, value: &[u8]) -> bool {
    match key {
        MANDATORY => {
            let keys = pairs(value);
            !value.is_empty() && value.len().is_multiple_of(2) && keys.clone().is_sorted_by(|a, b| a < b)
        }
        ALPN => alpn_ids(value).is_some_and(|ids| !ids.is_empty() && ids.iter().all(|id| !id.is_empty())),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
        ECH => !value.is_empty(),
        DOHPATH => is_dohpath(value),
        INVALID => false,
        _ => true,
    }
}

/// RFC 9461 section 5: a relative URI template in UTF-8 with the variable "dns".
fn is_dohpath(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|path| {
        let variables = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
        let names_dns = |(variables, _): (&str, &str)| {
            variables
                .trim_start_matches(['?', '&', '/', '.', '+', '#', ';'])
                .split(',')
                .any(|name| name == "dns")
        };
        path.starts_with('/') && variables.into_iter().any(names_dns)
    })
}

fn alpn_ids(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut ids = Vec::new();
    let mut rest = value;
    while let Some((&length, tail)) = rest.split_first() {
        let (id, tail) = tail.split_at_checked(usize::from(length))?;
        ids.push(id);
        rest = tail;
    }
    Some(ids)
}

fn pairs(octets: &[u8]) -> impl Iterator<Item = u16> + Clone {
    octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The parameters in octets, up to the first that is cut short.
fn parameters(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let [a, b, c, d, tail @ ..] = rest else { return None };
        let (value, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
        rest = tail;
        Some((u16::from_be_bytes([*a, *b]), value))
    })
}

/// What the parameters must be to each other (RFC 9460 sections 7.1.1 and 8).
fn check_together(octets: &[u8]) -> Result<(), ServiceProblem> {
    let has = |wanted: u16| parameters(octets).any(|(key, _)| key == wanted);
    if let Some((_, mandatory)) = parameters(octets).find(|&(key, _)| key == MANDATORY) {
        if pairs(mandatory).any(|key| key == MANDATORY) {
            return Err(ServiceProblem::MandatoryItself);
        }
        if let Some(missing) = pairs(mandatory).find(|&key| !has(key)) {
            return Err(ServiceProblem::MandatoryMissing(missing));
        }
    }
    if has(NO_DEFAULT_ALPN) && !has(ALPN) { Err(ServiceProblem::NoAlpn) } else { Ok(()) }
}

/// What a record of a steered name may be, whose address hints follow the steering: it has none of its own, under
/// whatever name they are written, and none is mandatory, since a region may have no address of a family. An alias has
/// no parameters at all (RFC 9460 section 2.4.2).
pub fn of_service(rdata: &[u8]) -> Result<(), ServiceProblem> {
    let keys = || service_parameters(rdata).map(|(key, _)| key);
    if is_alias_with_parameters(rdata) {
        return Err(ServiceProblem::Alias);
    }
    match keys().find(|key| matches!(*key, IPV4_HINT | IPV6_HINT)) {
        Some(key) => Err(ServiceProblem::Hint(key)),
        None => Ok(()),
    }
}

/// Priority 0 is AliasMode: recipients pass its parameters over (RFC 9460 section 2.4.2).
pub(in crate::zone) fn is_alias_with_parameters(rdata: &[u8]) -> bool {
    rdata.starts_with(&[0, 0]) && service_parameters(rdata).next().is_some()
}

fn service_parameters(rdata: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    let target = rdata.get(2..).unwrap_or_default();
    let length = name::wire_length(target).unwrap_or(target.len());
    parameters(&target[length..])
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let whole: usize = parameters(rest).map(|(_, value)| 4 + value.len()).sum();
    let ascending = parameters(rest).is_sorted_by(|(a, _), (b, _)| a < b);
    let valid = parameters(rest).all(|(key, value)| is_value(key, value));
    (whole == rest.len() && ascending && valid && check_together(rest).is_ok()).then_some(whole)
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    for (index, (key, value)) in parameters(octets).enumerate() {
        if index > 0 {
            out.write_char(' ')?;
        }
        write!(out, "{}", Key(key))?;
        if !value.is_empty() {
            out.write_char('=')?;
            show_value(key, value, out)?;
        }
    }
    Ok(())
}

fn show_value(key: u16, value: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    match key {
        MANDATORY => show_list(pairs(value).map(Key), out),
        ALPN => {
            let ids = alpn_ids(value).expect("length() has found the values valid");
            let escape =
                |octet: u8| if matches!(octet, b',' | b'\\') { vec![b'\\', octet] } else { vec![octet] };
            let ids: Vec<Vec<u8>> =
                ids.iter().map(|id| id.iter().copied().flat_map(escape).collect()).collect();
            codec::show_text(&ids.join(&b','), out)
        }
        PORT => show_list(pairs(value), out),
        IPV4_HINT => {
            let address =
                |octets: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(octets).expect("chunks are of four"));
            show_list(value.chunks_exact(4).map(address), out)
        }
        IPV6_HINT => {
            let address =
                |octets: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("chunks are of sixteen"));
            show_list(value.chunks_exact(16).map(address), out)
        }
        ECH => codec::show_base64_whole(value, out),
        _ => codec::show_text(value, out),
    }
}

fn show_list(items: impl Iterator<Item = impl fmt::Display>, out: &mut dyn fmt::Write) -> fmt::Result {
    for (index, item) in items.enumerate() {
        write!(out, "{}{item}", if index > 0 { "," } else { "" })?;
    }
    Ok(())
}

/// A key as it is shown.
struct Key(u16);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KEYS.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "key{}", self.0),
        }
    }
}

impl ServiceProblem {
    /// What would be right.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Key => "write a key such as alpn, port or ipv4hint, or key with a number up to 65534",
            Self::Duplicate => "write all values in one parameter, with commas between",
            Self::Value(MANDATORY) => "list other keys of this record once each, with commas between",
            Self::Value(ALPN) => {
                "list protocols with commas between, such as h2,h3; none is empty or over 255 octets"
            }
            Self::Value(NO_DEFAULT_ALPN | OHTTP) => "this key stands alone, without a value",
            Self::Value(PORT) => "write a number up to 65535",
            Self::Value(IPV4_HINT) => "list IPv4 addresses with commas between",
            Self::Value(IPV6_HINT) => "list IPv6 addresses with commas between",
            Self::Value(ECH) => "write an ECHConfigList in base64",
            Self::Value(DOHPATH) => "write a path with the variable dns, such as /dns-query{?dns}",
            Self::Value(_) => "write a value of at most 65535 octets",
            Self::MandatoryMissing(IPV4_HINT | IPV6_HINT) => {
                "take its key from the list; hints are of use to who knows them without that"
            }
            Self::MandatoryMissing(_) => "add the parameter, or take its key from the list",
            Self::MandatoryItself => "mandatory is always understood; take it from its own list",
            Self::NoAlpn => "add alpn, or take no-default-alpn away",
            Self::Alias => "take the parameters away, or give a priority from 1 to 65535",
            Self::Hint(_) => "leave ipv4hint and ipv6hint out",
        }
    }
}

impl fmt::Display for ServiceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Key => f.write_str("this is no service parameter"),
            Self::Duplicate => f.write_str("this key is given twice"),
            Self::Value(key) => write!(f, "this is no value of {}", Key(key)),
            Self::MandatoryMissing(key) => write!(f, "mandatory lists {}, which is not given", Key(key)),
            Self::MandatoryItself => f.write_str("mandatory lists itself"),
            Self::NoAlpn => f.write_str("no-default-alpn is given without alpn"),
            Self::Alias => f.write_str("priority 0 makes an alias, which has no parameters"),
            Self::Hint(key) => {
                write!(f, "address hints follow the steering, and {} is not written", Key(key))
            }
        }
    }
}
