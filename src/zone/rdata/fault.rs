//! What is wrong with record data, and what would be right.

use std::fmt;

use super::svcb::ServiceProblem;
use crate::name::NameFault;
use crate::zone::lexer::{LexFault, Span};

/// Something wrong at a place in the text that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RdataFault {
    /// Where.
    pub span: Span,
    /// What.
    pub problem: Problem,
}

impl RdataFault {
    pub(super) fn new(span: Span, problem: Problem) -> Self {
        Self { span, problem }
    }
}

/// A kind of value, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    /// With its article: "an IPv4 address".
    pub what: &'static str,
    /// How one is written.
    pub right: &'static str,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The record ends where a value should come.
    Missing(Noun),
    /// The word is no such value.
    Unfit(Noun),
    /// A word after the last value.
    Surplus,
    /// No name.
    Name(NameFault),
    /// More than 65,535 octets.
    TooLong,
    /// A type that is only read in the form of RFC 3597.
    OnlyGeneric,
    /// `\#` states another length than the octets have.
    Length {
        /// How many there are.
        found: usize,
    },
    /// Octets that are no record data of the type.
    Octets,
    /// A service parameter.
    Service(ServiceProblem),
    /// The text does not fall into words.
    Lex(LexFault),
}

impl Problem {
    /// What would be right; empty where the message says it.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Missing(noun) | Self::Unfit(noun) => noun.right,
            Self::Surplus => "take it away; text with spaces stands in quotes",
            Self::TooLong => "record data has at most 65535 octets",
            Self::OnlyGeneric => "write it as RFC 3597 has it: \\# LENGTH HEX",
            Self::Length { .. } => "state the number of octets, half that of the hexadecimal digits",
            Self::Octets => {
                "write it in the form of its type, or correct the octets; names are not compressed"
            }
            Self::Service(problem) => problem.help(),
            Self::Lex(fault) => fault.help(),
            Self::Name(_) => "",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(noun) => write!(f, "{} is missing here", noun.what),
            Self::Unfit(noun) => write!(f, "this is not {}", noun.what),
            Self::Surplus => f.write_str("the record should end before this word"),
            Self::Name(fault) => fault.fmt(f),
            Self::TooLong => f.write_str("the record data is too long"),
            Self::OnlyGeneric => f.write_str("record data of this type has no form of its own"),
            Self::Length { found } => {
                write!(f, "another length is stated than the {found} octets that follow")
            }
            Self::Octets => f.write_str("these octets are no record data of this type"),
            Self::Service(problem) => problem.fmt(f),
            Self::Lex(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RdataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for RdataFault {}

macro_rules! nouns {
    ($($name:ident: $what:literal, $right:literal;)*) => {
        $(pub(super) const $name: Noun = Noun { what: $what, right: $right };)*
    };
}

nouns! {
    GENERIC: "\\#", "record data of RFC 3597 begins with \\#";
    LENGTH: "a length", "write the number of octets in decimal";
    U8: "a number up to 255", "write decimal digits";
    U16: "a number up to 65535", "write decimal digits";
    U32: "a number up to 4294967295", "write decimal digits";
    PERIOD: "a time span", "write seconds or a span such as 1h30m, at most 4294967295 seconds";
    TIME: "a time", "write it as YYYYMMDDHHMMSS in UTC, or as seconds since 1970";
    TYPE: "a record type", "write a mnemonic such as AAAA, or TYPE with a number";
    ALGORITHM: "a DNSSEC algorithm", "write its number or mnemonic, such as 13 or ECDSAP256SHA256";
    CERTIFICATE: "a certificate type", "write its number or mnemonic, such as PKIX";
    IPV4: "an IPv4 address", "write four numbers up to 255 with dots between, such as 192.0.2.1";
    IPV6: "an IPv6 address", "write groups of hexadecimal digits with colons between, such as 2001:db8::1";
    NAME: "a domain name", "write a name; with a final dot it is absolute, without one the origin completes it";
    TEXT: "a string of at most 255 octets", "put it in quotes, and split what is longer into several strings";
    TAG: "a property tag", "write letters and digits, such as issue";
    VALUE: "a quoted value", "put it in quotes";
    HEX: "hexadecimal", "write an even number of the digits 0-9 and a-f";
    BASE64: "base64", "write groups of four characters, padded with = at the end";
    SALT: "a salt", "write - for none, else at most 255 octets in hexadecimal";
    HASH: "a hashed owner name", "write it in base32hex without padding: digits and the letters a to v";
    LOCATOR: "a 64-bit locator", "write four groups of hexadecimal digits, such as 2001:db8:1140:1000";
    EUI48: "an EUI-48 address", "write six pairs of hexadecimal digits, such as 00-00-5e-00-53-2a";
    EUI64: "an EUI-64 address", "write eight pairs of hexadecimal digits, such as 00-00-5e-ef-10-00-00-2a";
    NSAP: "an NSAP address", "write 0x and pairs of hexadecimal digits, dots allowed";
    PREFIX: "an address prefix", "write [!]1:IPV4/LENGTH or [!]2:IPV6/LENGTH";
    GATEWAY_TYPE: "a gateway type", "write 0 for none, 1 for IPv4, 2 for IPv6, 3 for a name";
    NO_GATEWAY: "the gateway `.`", "gateway type 0 means that there is none; write a dot";
    FLAG: "0 or 1", "write 1 where a client may join at once, else 0";
    PROTOCOL: "a protocol number", "write 6 or tcp, 17 or udp, or another number up to 255";
    LATITUDE: "a latitude", "write degrees, minutes, seconds, then N or S, such as 52 14 5.000 N";
    LONGITUDE: "a longitude", "write degrees, minutes, seconds, then E or W, such as 0 8 50.000 E";
    ALTITUDE: "an altitude", "write metres from -100000.00 to 42849672.95, such as 10m";
    SIZE: "a size", "write metres up to 90000000, such as 10m";
}
