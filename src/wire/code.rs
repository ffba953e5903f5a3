//! The numbers of the protocol under the names that IANA's "Domain Name System Parameters" gives them.

use std::fmt;
use std::str::FromStr;

/// A record or question type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

/// A class; in practice `IN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u16);

/// A response code, extended codes of RFC 6891 included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

/// An operation code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u8);

/// An EDNS option code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionCode(pub u16);

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedError(pub u16);

macro_rules! record_types {
    ($($name:ident = $value:literal $text:literal,)*) => {
        #[expect(missing_docs, reason = "the names are those of the IANA registry")]
        impl RecordType {
            $(pub const $name: RecordType = RecordType($value);)*
        }

        /// Types that have a mnemonic, with it.
        const MNEMONICS: &[(RecordType, &str)] = &[$((RecordType::$name, $text),)*];
    };
}

record_types! {
    A = 1 "A", NS = 2 "NS", MD = 3 "MD", MF = 4 "MF", CNAME = 5 "CNAME", SOA = 6 "SOA", MB = 7 "MB",
    MG = 8 "MG", MR = 9 "MR", NULL = 10 "NULL", WKS = 11 "WKS", PTR = 12 "PTR", HINFO = 13 "HINFO",
    MINFO = 14 "MINFO", MX = 15 "MX", TXT = 16 "TXT", RP = 17 "RP", AFSDB = 18 "AFSDB", X25 = 19 "X25",
    ISDN = 20 "ISDN", RT = 21 "RT", NSAP = 22 "NSAP", NSAP_PTR = 23 "NSAP-PTR", SIG = 24 "SIG",
    KEY = 25 "KEY", PX = 26 "PX", GPOS = 27 "GPOS", AAAA = 28 "AAAA", LOC = 29 "LOC", NXT = 30 "NXT",
    SRV = 33 "SRV", NAPTR = 35 "NAPTR", KX = 36 "KX", CERT = 37 "CERT", DNAME = 39 "DNAME", OPT = 41 "OPT",
    APL = 42 "APL", DS = 43 "DS", SSHFP = 44 "SSHFP", IPSECKEY = 45 "IPSECKEY", RRSIG = 46 "RRSIG",
    NSEC = 47 "NSEC", DNSKEY = 48 "DNSKEY", DHCID = 49 "DHCID", NSEC3 = 50 "NSEC3",
    NSEC3PARAM = 51 "NSEC3PARAM", TLSA = 52 "TLSA", SMIMEA = 53 "SMIMEA", HIP = 55 "HIP", CDS = 59 "CDS",
    CDNSKEY = 60 "CDNSKEY", OPENPGPKEY = 61 "OPENPGPKEY", CSYNC = 62 "CSYNC", ZONEMD = 63 "ZONEMD",
    SVCB = 64 "SVCB", HTTPS = 65 "HTTPS", DSYNC = 66 "DSYNC", SPF = 99 "SPF", NID = 104 "NID",
    L32 = 105 "L32", L64 = 106 "L64", LP = 107 "LP", EUI48 = 108 "EUI48", EUI64 = 109 "EUI64",
    NXNAME = 128 "NXNAME", TKEY = 249 "TKEY", TSIG = 250 "TSIG", IXFR = 251 "IXFR", AXFR = 252 "AXFR",
    MAILB = 253 "MAILB", MAILA = 254 "MAILA", ANY = 255 "ANY", URI = 256 "URI", CAA = 257 "CAA",
    AVC = 258 "AVC", AMTRELAY = 260 "AMTRELAY", RESINFO = 261 "RESINFO", WALLET = 262 "WALLET",
    TA = 32768 "TA", DLV = 32769 "DLV",
}

impl RecordType {
    /// Whether it may stand in a question but never in a zone: OPT, and the QTYPE and meta-TYPE range
    /// of RFC 6895 section 3.1.
    #[must_use]
    pub fn is_meta(self) -> bool {
        self == Self::OPT || (128..=255).contains(&self.0)
    }

    /// Every mnemonic there is, for who does not know one.
    pub fn mnemonics() -> impl Iterator<Item = &'static str> {
        MNEMONICS.iter().map(|(_, mnemonic)| *mnemonic)
    }
}

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl Class {
    pub const IN: Class = Class(1);
    pub const CH: Class = Class(3);
    pub const NONE: Class = Class(254);
    pub const ANY: Class = Class(255);
}

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl Rcode {
    pub const NOERROR: Rcode = Rcode(0);
    pub const FORMERR: Rcode = Rcode(1);
    pub const SERVFAIL: Rcode = Rcode(2);
    pub const NXDOMAIN: Rcode = Rcode(3);
    pub const NOTIMP: Rcode = Rcode(4);
    pub const REFUSED: Rcode = Rcode(5);
    pub const YXDOMAIN: Rcode = Rcode(6);
    pub const NOTAUTH: Rcode = Rcode(9);
    pub const BADVERS: Rcode = Rcode(16);
    pub const BADCOOKIE: Rcode = Rcode(23);
}

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl Opcode {
    pub const QUERY: Opcode = Opcode(0);
    pub const NOTIFY: Opcode = Opcode(4);
    pub const UPDATE: Opcode = Opcode(5);
}

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl OptionCode {
    pub const NSID: OptionCode = OptionCode(3);
    pub const CLIENT_SUBNET: OptionCode = OptionCode(8);
    pub const COOKIE: OptionCode = OptionCode(10);
    pub const TCP_KEEPALIVE: OptionCode = OptionCode(11);
    pub const PADDING: OptionCode = OptionCode(12);
    pub const EXTENDED_ERROR: OptionCode = OptionCode(15);
    pub const REPORT_CHANNEL: OptionCode = OptionCode(18);
    pub const ZONEVERSION: OptionCode = OptionCode(19);
}

#[expect(missing_docs, reason = "the names are those of the IANA registry")]
impl ExtendedError {
    pub const OTHER: ExtendedError = ExtendedError(0);
    pub const STALE_ANSWER: ExtendedError = ExtendedError(3);
    pub const NOT_READY: ExtendedError = ExtendedError(14);
    pub const PROHIBITED: ExtendedError = ExtendedError(18);
    pub const NOT_AUTHORITATIVE: ExtendedError = ExtendedError(20);
    pub const NOT_SUPPORTED: ExtendedError = ExtendedError(21);
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(rtype, _)| rtype == self) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IN => f.write_str("IN"),
            Self::CH => f.write_str("CH"),
            Self::NONE => f.write_str("NONE"),
            Self::ANY => f.write_str("ANY"),
            Self(other) => write!(f, "CLASS{other}"),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that names no record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRecordType;

impl FromStr for RecordType {
    type Err = UnknownRecordType;

    /// Reads a mnemonic in any case, or `TYPE12345` (RFC 3597 section 5).
    fn from_str(text: &str) -> Result<Self, UnknownRecordType> {
        if let Some((rtype, _)) = MNEMONICS.iter().find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text)) {
            return Ok(*rtype);
        }
        let digits = match text.split_at_checked(4) {
            Some((head, digits)) if head.eq_ignore_ascii_case("TYPE") => digits,
            _ => return Err(UnknownRecordType),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnknownRecordType);
        }
        digits.parse().map(RecordType).map_err(|_| UnknownRecordType)
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NOERROR => "NOERROR",
            Self::FORMERR => "FORMERR",
            Self::SERVFAIL => "SERVFAIL",
            Self::NXDOMAIN => "NXDOMAIN",
            Self::NOTIMP => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::YXDOMAIN => "YXDOMAIN",
            Self::NOTAUTH => "NOTAUTH",
            Self::BADVERS => "BADVERS",
            Self::BADCOOKIE => "BADCOOKIE",
            Self(other) => return write!(f, "RCODE{other}"),
        })
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_go_both_ways() {
        for (rtype, mnemonic) in MNEMONICS {
            assert_eq!(mnemonic.to_ascii_lowercase().parse(), Ok(*rtype));
            assert_eq!(rtype.to_string(), *mnemonic);
        }
        assert_eq!("TYPE65280".parse(), Ok(RecordType(65280)));
        assert_eq!("type1".parse(), Ok(RecordType::A));
        assert_eq!(RecordType(65280).to_string(), "TYPE65280");
        for text in ["TYPE65536", "TYPE+1", "TYPE", "BOGUS", "", "TYP€1"] {
            assert!(text.parse::<RecordType>().is_err(), "{text}");
        }
    }
}
