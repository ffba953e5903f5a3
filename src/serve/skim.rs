//! What a transport has to know of a message that it carries, and no more: how long HTTP may keep a reply, whether a
//! query by QUIC has an option that belongs to TCP. What cannot be read is the responder's affair.

use crate::wire::code::{OptionCode, RecordType};
use crate::wire::{HEADER_OCTETS, u16_at};

/// The seconds for which HTTP may keep a reply (RFC 8484 section 5.1): the smallest TTL of the answer section; without
/// answers the smallest of the authority section; an SOA there counts, with its last field, behind an alias too (RFC 2308
/// section 5); zero for errors.
pub fn freshness(reply: &[u8]) -> u32 {
    let is_lasting = reply.get(3).is_some_and(|flags| matches!(flags & 0x0f, 0 | 3));
    if is_lasting { smallest(reply).unwrap_or(0) } else { 0 }
}

/// Whether a query has the EDNS option.
pub fn has_option(query: &[u8], option: OptionCode) -> bool {
    options(query).is_some_and(|options| holds(options, option))
}

fn smallest(reply: &[u8]) -> Option<u32> {
    let [questions, answers, authorities] = [u16_at(reply, 4)?, u16_at(reply, 6)?, u16_at(reply, 8)?];
    let mut at = HEADER_OCTETS;
    for _ in 0..questions {
        at = after_name(reply, at)? + 4;
    }
    let mut least: Option<u32> = None;
    for number in 0..u32::from(answers) + u32::from(authorities) {
        let (rtype, ttl, end) = record(reply, at)?;
        // Behind an alias an SOA says that its target is not there.
        if number < u32::from(answers) || answers == 0 || rtype == RecordType::SOA {
            least = Some(least.map_or(ttl, |least| least.min(ttl)));
        }
        at = end;
    }
    least
}

/// The options of the first OPT record, if there is one.
fn options(query: &[u8]) -> Option<&[u8]> {
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(|at| u16_at(query, at));
    let mut at = HEADER_OCTETS;
    for _ in 0..questions? {
        at = after_name(query, at)? + 4;
    }
    for _ in 0..usize::from(answers?) + usize::from(authorities?) + usize::from(additionals?) {
        let fixed = after_name(query, at)?;
        at = fixed + 10 + usize::from(u16_at(query, fixed + 8)?);
        if u16_at(query, fixed)? == RecordType::OPT.0 {
            return query.get(fixed + 10..at);
        }
    }
    None
}

fn holds(mut options: &[u8], wanted: OptionCode) -> bool {
    while let (Some(code), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
        if code == wanted.0 {
            return true;
        }
        options = options.get(4 + usize::from(length)..).unwrap_or_default();
    }
    false
}

/// Of what type a record is, for how long it holds, and where it ends.
fn record(reply: &[u8], at: usize) -> Option<(RecordType, u32, usize)> {
    let at = after_name(reply, at)?;
    let ttl = u32_at(reply, at + 4)?;
    let end = at + 10 + usize::from(u16_at(reply, at + 8)?);
    let rtype = RecordType(u16_at(reply, at)?);
    match rtype {
        RecordType::SOA => Some((rtype, ttl.min(u32_at(reply, end.checked_sub(4)?)?), end)),
        _ => Some((rtype, ttl, end)),
    }
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn after_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply for `a.` with the records given by type, TTL and data.
    fn reply(rcode: u8, answers: &[(u16, u32, &[u8])], authorities: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let mut octets =
            vec![0, 0, 0x84, rcode, 0, 1, 0, answers.len() as u8, 0, authorities.len() as u8, 0, 0];
        octets.extend([1, b'a', 0, 0, 1, 0, 1]);
        for (rtype, ttl, data) in answers.iter().chain(authorities) {
            octets.extend([0xc0, 12]);
            octets.extend(rtype.to_be_bytes());
            octets.extend([0, 1]);
            octets.extend(ttl.to_be_bytes());
            octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            octets.extend(*data);
        }
        octets
    }

    fn soa(minimum: u32) -> Vec<u8> {
        let mut data = vec![0; 2 + 16];
        data.extend(minimum.to_be_bytes());
        data
    }

    #[test]
    fn the_smallest_ttl_of_the_answers_counts() {
        let answers: &[(u16, u32, &[u8])] = &[(5, 300, &[0xc0, 12]), (1, 30, &[1; 4]), (1, 60, &[2; 4])];
        assert_eq!(freshness(&reply(0, answers, &[(2, 5, &[0])])), 30);
    }

    #[test]
    fn a_negative_reply_lasts_as_its_soa_says() {
        assert_eq!(freshness(&reply(3, &[], &[(6, 3600, &soa(60))])), 60);
        assert_eq!(freshness(&reply(0, &[], &[(6, 20, &soa(60))])), 20);
        assert_eq!(freshness(&reply(0, &[], &[(2, 900, &[0])])), 900);
        let alias: &[(u16, u32, &[u8])] = &[(5, 3600, &[0xc0, 12])];
        assert_eq!(freshness(&reply(3, alias, &[(47, 10, &[0]), (6, 300, &soa(60))])), 60);
    }

    #[test]
    fn errors_and_what_cannot_be_read_do_not_last() {
        assert_eq!(freshness(&reply(2, &[(1, 30, &[1; 4])], &[])), 0);
        assert_eq!(freshness(&reply(0, &[], &[])), 0);
        let whole = reply(0, &[(1, 30, &[1; 4])], &[]);
        for length in 0..whole.len() - 4 {
            assert_eq!(freshness(&whole[..length]), 0, "{length}");
        }
    }
}
