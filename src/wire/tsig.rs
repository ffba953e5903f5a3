//! Transaction signatures (RFC 8945), as far as a server without keys has to do with them: whoever signs a query is
//! told that the key is not known here.

use super::code::{Class, RecordType};
use super::u16_at;
use crate::name::wire_length;

/// The signature of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsig<'q> {
    /// The key's name, as it travels.
    key: &'q [u8],
    /// The algorithm's name, as it travels.
    algorithm: &'q [u8],
    /// Time signed and fudge, which are given back as they came.
    time: &'q [u8],
    original_id: [u8; 2],
}

/// Octets of time signed and fudge.
const TIME_OCTETS: usize = 8;
/// Octets of the rest of a record but for its two names.
const FIXED_OCTETS: usize = RECORD_OCTETS + TIME_OCTETS + 2 + 6;
/// Octets of any record between its owner and its data.
const RECORD_OCTETS: usize = 10;
/// The error "key not recognized" (RFC 8945 section 3).
const BADKEY: [u8; 2] = 17u16.to_be_bytes();

impl<'q> Tsig<'q> {
    /// Reads a record that ends with `record`; `None` when it is malformed, or a name in it is compressed.
    #[must_use]
    pub fn parse(record: &'q [u8]) -> Option<Self> {
        let (key, rest) = record.split_at_checked(wire_length(record).ok()?)?;
        let data = rest.get(RECORD_OCTETS..)?;
        let (algorithm, rest) = data.split_at_checked(wire_length(data).ok()?)?;
        let (time, rest) = rest.split_at_checked(TIME_OCTETS)?;
        let mac_octets = u16_at(rest, 0)?;
        let rest = rest.get(2 + usize::from(mac_octets)..)?;
        let &[id_high, id_low, _, _, other_high, other_low, ref other @ ..] = rest else { return None };
        let is_end = other.len() == usize::from(u16::from_be_bytes([other_high, other_low]));
        is_end.then_some(Self { key, algorithm, time, original_id: [id_high, id_low] })
    }

    /// The octets that [`Self::write_unknown_key`] takes.
    #[must_use]
    pub fn reply_octets(&self) -> usize {
        self.key.len() + self.algorithm.len() + FIXED_OCTETS
    }

    /// Writes the record that says BADKEY, unsigned (RFC 8945 section 5.3.2), to the start of `out`.
    pub fn write_unknown_key(&self, out: &mut [u8]) {
        let data_octets = (self.reply_octets() - self.key.len() - RECORD_OCTETS) as u16;
        let parts: [&[u8]; 11] = [
            self.key,
            &RecordType::TSIG.0.to_be_bytes(),
            &Class::ANY.0.to_be_bytes(),
            &[0; 4],
            &data_octets.to_be_bytes(),
            self.algorithm,
            self.time,
            &[0; 2],
            &self.original_id,
            &BADKEY,
            &[0; 2],
        ];
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\x01k\0";

    fn record(mac: u16, other: u16) -> Vec<u8> {
        let mut data = KEY.to_vec();
        data.extend([0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
        data.extend(b"\x0bhmac-sha256\0\0\0\x65\x55\x88\0\x01\x2c");
        data.extend(mac.to_be_bytes());
        data.extend(vec![7; mac.into()]);
        data.extend(*b"\x12\x34\0\0");
        data.extend(other.to_be_bytes());
        data.extend(vec![8; other.into()]);
        data
    }

    #[test]
    fn a_refusal_names_the_key_and_the_error() {
        let record = record(32, 0);
        let tsig = Tsig::parse(&record).unwrap();
        let mut out = vec![0xff; tsig.reply_octets()];
        tsig.write_unknown_key(&mut out);
        let rdata = b"\x0bhmac-sha256\0\0\0\x65\x55\x88\0\x01\x2c\0\0\x12\x34\0\x11\0\0";
        assert_eq!(out, [KEY, &[0, 250, 0, 255, 0, 0, 0, 0, 0, 29], rdata].concat());
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_none() {
        let whole = record(16, 6);
        assert!(Tsig::parse(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(Tsig::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Tsig::parse(&[&whole[..], &[0]].concat()), None);
        assert_eq!(Tsig::parse(&[b"\xc0\x0c", &whole[KEY.len()..]].concat()), None, "a compressed name");
    }
}
