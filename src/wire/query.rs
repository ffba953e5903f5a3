//! A message from a client, parsed in place. Whatever the octets, the result is one of three: a query to be
//! answered, a message to be refused with a code, a message that deserves no reply.

use std::net::IpAddr;

use super::code::{Class, Opcode, Rcode, RecordType};
use super::edns::Edns;
use super::tsig::Tsig;
use super::{HEADER_OCTETS, u16_at};
use crate::name::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX};

/// Room for a name in lower case.
pub type NameRoom = [u8; NAME_OCTETS_MAX + 1];

/// Where the parser writes what does not stand in the packet as it is wanted, so that results are small and refer to it:
/// what is handed on by value is copied from frame to frame.
#[derive(Debug)]
pub struct Room<'q> {
    name: NameRoom,
    edns: Option<Edns<'q>>,
}

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'q> {
    /// A question of opcode QUERY, well-formed throughout.
    Query(Query<'q>),
    /// No question, but a cookie: the client wants to learn one, or to have its own confirmed (RFC 7873 section 5.4).
    CookieOnly(&'q Edns<'q>),
    /// Anything else that asks for a reply.
    Reject(Reject<'q>),
    /// Shorter than a header, or a reply itself: an answer to it could begin a loop.
    Ignore,
}

/// A well-formed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'q> {
    /// The name asked for, in lower case, as it travels.
    pub name: &'q [u8],
    /// The type asked for.
    pub rtype: RecordType,
    /// The class asked for.
    pub class: Class,
    /// EDNS, if the client speaks it.
    pub edns: Option<&'q Edns<'q>>,
}

/// A message that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject<'q> {
    /// Why.
    pub rcode: Rcode,
    /// How many octets of question follow the header and can be repeated in the reply; 0 where none can.
    pub question_octets: usize,
    /// EDNS, where it could be read: who speaks it gets it back even in an error (RFC 6891 section 7).
    pub edns: Option<&'q Edns<'q>>,
    /// Whether it is refused for a signature by a key that is not known here, which the reply names (RFC 8945 section
    /// 5.2); [`Tsig::find`] finds it.
    pub signed: bool,
}

impl Reject<'_> {
    /// A refusal without EDNS.
    #[must_use]
    pub fn new(rcode: Rcode, question_octets: usize) -> Self {
        Self { rcode, question_octets, edns: None, signed: false }
    }
}

impl Default for Room<'_> {
    #[inline]
    fn default() -> Self {
        Self { name: [0; NAME_OCTETS_MAX + 1], edns: None }
    }
}

impl<'q> Message<'q> {
    /// Reads a message into a `room` that was not used before.
    #[inline]
    pub fn parse(packet: &'q [u8], room: &'q mut Room<'q>) -> Self {
        if packet.len() < HEADER_OCTETS || packet[2] & 0x80 != 0 {
            return Self::Ignore;
        }
        let opcode = Opcode(packet[2] >> 3 & 0x0f);
        if opcode != Opcode::QUERY {
            return Self::Reject(refuse_operation(packet, opcode, &mut room.edns));
        }
        parse_query(packet, room)
    }
}

/// The name in lower case that a message seems to ask for, before it is parsed: for whoever wants to know early
/// what is going to be looked up, and is not hurt by a wrong guess.
#[must_use]
pub fn name_ahead<'q>(packet: &[u8], room: &'q mut NameRoom) -> Option<&'q [u8]> {
    let octets = question_name(packet).ok()?;
    Some(lowered(&packet[HEADER_OCTETS..HEADER_OCTETS + octets], room))
}

/// The client that a message seems to ask for, behind a name of so many octets; as little to be relied on.
#[must_use]
pub fn client_ahead(packet: &[u8], name_octets: usize) -> Option<IpAddr> {
    let record =
        Rest::after(packet, name_octets + 4).record().filter(|record| record.rtype == RecordType::OPT)?;
    Edns::parse(record.class, record.ttl, record.data).ok()?.client_subnet?.address()
}

impl Query<'_> {
    /// How many octets the question takes.
    #[must_use]
    pub fn question_octets(&self) -> usize {
        self.name.len() + 4
    }
}

impl<'q> Tsig<'q> {
    /// The signature of a message with so many octets of question, where its last record is one.
    #[must_use]
    pub fn find(packet: &'q [u8], question_octets: usize) -> Option<Self> {
        let records = [6, 8, 10].into_iter().filter_map(|at| u16_at(packet, at)).map(u32::from).sum();
        Rest::after(packet, question_octets).find_tsig(records)
    }
}

/// Operations that this server does not do: changes and notices are refused with their question, since zones come
/// from files; the rest is not implemented, and what its sections hold is not for us to repeat (RFC 8906 section
/// 8.1.4). Another version of EDNS is told first, whatever the operation (RFC 6891 section 6.1.3), then what of EDNS or
/// signature cannot be read, and then a signature by a key that is not known here.
#[cold]
fn refuse_operation<'q>(packet: &'q [u8], opcode: Opcode, edns: &'q mut Option<Edns<'q>>) -> Reject<'q> {
    let octets = match u16_at(packet, 4) {
        Some(1) => question_name(packet).map(|name| name + 4).unwrap_or_default(),
        _ => 0,
    };
    let question_octets = if packet.len() >= HEADER_OCTETS + octets { octets } else { 0 };
    let survey = Survey::of(packet);
    *edns = survey.edns;
    let edns = edns.as_ref();
    let is_known = matches!(opcode, Opcode::NOTIFY | Opcode::UPDATE);
    let rcode = match edns {
        Some(edns) if edns.version > 0 => Rcode::BADVERS,
        _ if is_known && survey.is_malformed => Rcode::FORMERR,
        _ if is_known && survey.signed && question_octets > 0 => Rcode::NOTAUTH,
        _ if is_known => Rcode::REFUSED,
        _ => return Reject { edns, ..Reject::new(Rcode::NOTIMP, 0) },
    };
    let signed = rcode == Rcode::NOTAUTH;
    Reject { edns, signed, ..Reject::new(rcode, if is_known { question_octets } else { 0 }) }
}

/// What can be found out about a message whose sections may hold anything.
#[derive(Default)]
struct Survey<'q> {
    /// Who sends OPT gets one in any reply (RFC 6891 section 6.1.1).
    edns: Option<Edns<'q>>,
    /// Whether a signature stands in its place.
    signed: bool,
    /// Whether options cannot be read, or a signature cannot or stands elsewhere.
    is_malformed: bool,
}

impl<'q> Survey<'q> {
    #[cold]
    fn of(packet: &'q [u8]) -> Self {
        let mut survey = Self::default();
        let count = |at| u16_at(packet, at).map_or(0, u32::from);
        let mut rest = Rest::after(packet, 0);
        // Each question and each record takes octets, so the packet's length bounds these loops.
        for _ in 0..count(4) {
            let Some(end) = name_end(packet, rest.at) else { return survey };
            rest.at = end + 4;
        }
        let additional = count(6) + count(8);
        let end = additional + count(10);
        for index in 0..end {
            let (start, rtype) = (rest.at, rest.rtype());
            let record = rest.record();
            if rtype == Some(RecordType::TSIG) {
                let is_last = record.is_some() && additional <= index && index + 1 == end;
                survey.is_malformed |= !(is_last && rest.is_signature(start));
            }
            match record {
                Some(record) if additional <= index => survey.take(&record),
                Some(_) => {}
                None => break,
            }
        }
        survey.signed = rest.signed;
        survey
    }

    fn take(&mut self, record: &Record<'q>) {
        if record.rtype != RecordType::OPT || !record.at_root || self.edns.is_some() {
            return;
        }
        let &Record { class, ttl, data, .. } = record;
        let read = Edns::parse(class, ttl, data);
        self.is_malformed |= read.is_err();
        self.edns = Some(read.unwrap_or_else(|_| Edns::before_fault(class, ttl, data)));
    }
}

#[inline]
fn parse_query<'q>(packet: &'q [u8], room: &'q mut Room<'q>) -> Message<'q> {
    let Room { name, edns } = room;
    let count = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let sections = [count(6), count(8), count(10)];
    match count(4) {
        1 => {}
        0 => return parse_without_question(packet, sections, edns),
        // Several (RFC 9619) cannot be answered.
        _ => return reject(packet, 0, Rcode::FORMERR, edns),
    }
    let Ok(name_octets) = question_name(packet) else { return reject(packet, 0, Rcode::FORMERR, edns) };
    let name_end = HEADER_OCTETS + name_octets;
    let (Some(rtype), Some(class)) = (u16_at(packet, name_end), u16_at(packet, name_end + 2)) else {
        return reject(packet, 0, Rcode::FORMERR, edns);
    };
    let (rtype, class) = (RecordType(rtype), Class(class));
    let question_octets = name_octets + 4;
    let mut rest = Rest::after(packet, question_octets);
    let refusal = match rest.read(sections, rtype, edns) {
        Err(rcode) => Some(rcode),
        Ok(()) => refusal(&rest, edns.as_ref(), rtype),
    };
    if let Some(rcode) = refusal {
        return reject(packet, question_octets, rcode, edns);
    }
    let name = lowered(&packet[HEADER_OCTETS..name_end], name);
    Message::Query(Query { name, rtype, class, edns: edns.as_ref() })
}

/// A refusal, with EDNS if the message has it anywhere.
#[cold]
fn reject<'q>(
    packet: &'q [u8],
    question_octets: usize,
    rcode: Rcode,
    edns: &'q mut Option<Edns<'q>>,
) -> Message<'q> {
    let edns = edns.or_else(|| Survey::of(packet).edns).map(|found| &*edns.insert(found));
    Message::Reject(Reject { edns, signed: rcode == Rcode::NOTAUTH, ..Reject::new(rcode, question_octets) })
}

/// Why a well-formed query is refused before its name is looked at, if it is.
#[inline]
fn refusal(rest: &Rest<'_>, edns: Option<&Edns<'_>>, rtype: RecordType) -> Option<Rcode> {
    if rest.signed {
        return Some(Rcode::NOTAUTH);
    }
    if edns.is_some_and(|edns| edns.version > 0) {
        return Some(Rcode::BADVERS);
    }
    refused_type(rtype)
}

#[cold]
fn parse_without_question<'q>(
    packet: &'q [u8],
    sections: [u16; 3],
    edns: &'q mut Option<Edns<'q>>,
) -> Message<'q> {
    let mut rest = Rest::after(packet, 0);
    let read = rest.read(sections, RecordType::A, edns);
    match read.map(|()| refusal(&rest, edns.as_ref(), RecordType::A)) {
        Ok(Some(rcode)) | Err(rcode) => reject(packet, 0, rcode, edns),
        Ok(None) if edns.is_some_and(|edns| edns.cookie.is_some()) => {
            Message::CookieOnly(edns.as_ref().expect("it has a cookie"))
        }
        Ok(None) => reject(packet, 0, Rcode::FORMERR, edns),
    }
}

/// Types that no zone can hold and that this server has no other answer for.
fn refused_type(rtype: RecordType) -> Option<Rcode> {
    match rtype {
        // NXNAME by RFC 9824 section 3.5.
        RecordType::OPT | RecordType::NXNAME => Some(Rcode::FORMERR),
        RecordType::AXFR | RecordType::IXFR => Some(Rcode::REFUSED),
        RecordType::TKEY | RecordType::TSIG | RecordType::MAILA | RecordType::MAILB => Some(Rcode::NOTIMP),
        _ => None,
    }
}

/// The length of the question's name. A compression pointer there could only point into the header.
#[inline]
fn question_name(packet: &[u8]) -> Result<usize, Rcode> {
    let mut at = HEADER_OCTETS;
    loop {
        let length = usize::from(*packet.get(at).ok_or(Rcode::FORMERR)?);
        at += 1;
        if length == 0 {
            break;
        }
        at += length;
        if length > LABEL_OCTETS_MAX || at >= HEADER_OCTETS + NAME_OCTETS_MAX {
            return Err(Rcode::FORMERR);
        }
    }
    Ok(at - HEADER_OCTETS)
}

/// The name in lower case, in `room`. Length octets are at most 63, below every letter, so the whole name is
/// lowered without a look at them; and eight octets at a time, the last eight perhaps twice, which is a third of
/// what `memcpy` and a loop over octets take for names of common length.
#[inline]
fn lowered<'q>(name: &[u8], room: &'q mut NameRoom) -> &'q [u8] {
    let out = &mut room[..name.len()];
    let (Some(last), Some(last_out)) = (name.last_chunk(), out.last_chunk_mut()) else {
        out.copy_from_slice(name);
        out.make_ascii_lowercase();
        return out;
    };
    *last_out = lowered_word(*last);
    for (word, out) in name.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        *out = lowered_word(*word);
    }
    out
}

/// Eight octets in lower case: what bit 7 of each sum tells is whether that octet is at least "A", and beyond "Z".
#[inline]
fn lowered_word(word: [u8; 8]) -> [u8; 8] {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(word);
    let low_bits = word & (EACH * 0x7f);
    let from_a = low_bits + EACH * (0x80 - b'A' as u64);
    let beyond_z = low_bits + EACH * (0x7f - b'Z' as u64);
    let upper = !word & (from_a ^ beyond_z) & (EACH * 0x80);
    (word | upper >> 2).to_ne_bytes()
}

/// What follows the question.
struct Rest<'q> {
    packet: &'q [u8],
    at: usize,
    /// Whether a signature was read.
    signed: bool,
}

/// A record of a query: only OPT and TSIG mean anything to this server.
struct Record<'q> {
    at_root: bool,
    rtype: RecordType,
    class: u16,
    ttl: u32,
    data: &'q [u8],
}

impl<'q> Rest<'q> {
    fn after(packet: &'q [u8], question_octets: usize) -> Self {
        Self { packet, at: HEADER_OCTETS + question_octets, signed: false }
    }

    /// Reads all records to the end of the packet, those of answer, authority and additional. A query carries none but
    /// in its additional section, except IXFR, which has the client's SOA as authority (RFC 1995 section 3). On a
    /// fault, `edns` is what was read before it.
    #[inline]
    fn read(
        &mut self,
        [answers, authorities, additionals]: [u16; 3],
        rtype: RecordType,
        edns: &mut Option<Edns<'q>>,
    ) -> Result<(), Rcode> {
        let authorities_allowed = u16::from(rtype == RecordType::IXFR);
        if answers > 0 || authorities > authorities_allowed {
            return Err(Rcode::FORMERR);
        }
        // Each record takes octets, so the packet's length bounds this loop whatever the counts say.
        for index in 0..u32::from(authorities) + u32::from(additionals) {
            let start = self.at;
            let record = self.record().ok_or(Rcode::FORMERR)?;
            let is_authority = index < u32::from(authorities);
            if record.rtype != RecordType::OPT {
                if record.rtype == RecordType::TSIG && (is_authority || !self.is_signature(start)) {
                    return Err(Rcode::FORMERR);
                }
                continue;
            }
            if edns.is_some() || !record.at_root || is_authority {
                return Err(Rcode::FORMERR); // RFC 6891 section 6.1.1
            }
            match Edns::parse(record.class, record.ttl, record.data) {
                Ok(read) => *edns = Some(read),
                Err(rcode) => {
                    *edns = Some(Edns::before_fault(record.class, record.ttl, record.data));
                    return Err(rcode);
                }
            }
        }
        if self.at == self.packet.len() { Ok(()) } else { Err(Rcode::FORMERR) }
    }

    /// Takes note of the record that began at `start` as a signature; not if it is malformed, or not the last
    /// (RFC 8945 section 5.2).
    #[cold]
    fn is_signature(&mut self, start: usize) -> bool {
        self.signed = self.at == self.packet.len() && Tsig::parse(&self.packet[start..]).is_some();
        self.signed
    }

    /// The last of so many records as a signature, if it is one.
    fn find_tsig(mut self, records: u32) -> Option<Tsig<'q>> {
        for _ in 0..records.checked_sub(1)? {
            self.record()?;
        }
        let start = self.at;
        let is_tsig = self.record()?.rtype == RecordType::TSIG && self.at == self.packet.len();
        Tsig::parse(&self.packet[start..]).filter(|_| is_tsig)
    }

    /// The type of the next record, whether or not that is there as a whole.
    fn rtype(&self) -> Option<RecordType> {
        name_end(self.packet, self.at).and_then(|at| u16_at(self.packet, at)).map(RecordType)
    }

    // Inlined by wish: the cold callers would else make it a call for the hot one.
    #[inline]
    fn record(&mut self) -> Option<Record<'q>> {
        let start = self.at;
        let at = name_end(self.packet, start)?;
        let fixed = self.packet.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = self.packet.get(at + 10..at + 10 + length)?;
        self.at = at + 10 + length;
        Some(Record {
            at_root: at == start + 1,
            rtype: RecordType(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            data,
        })
    }
}

/// Where a name that may be compressed ends.
#[inline]
fn name_end(packet: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
        if at - start >= NAME_OCTETS_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WWW: &[u8] = b"\x03wWw\x07Example\x03com\x00";

    /// A packet of a header with these counts, and the rest.
    fn packet(counts: [u8; 4], rest: &[&[u8]]) -> Vec<u8> {
        let [questions, answers, authorities, additionals] = counts;
        let header = [0x12, 0x34, 1, 0, 0, questions, 0, answers, 0, authorities, 0, additionals];
        [&header, rest.concat().as_slice()].concat()
    }

    const A_IN: &[u8] = &[0, 1, 0, 1];
    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

    fn parse<R>(packet: &[u8], look: impl FnOnce(Message<'_>) -> R) -> R {
        let mut room = Room::default();
        look(Message::parse(packet, &mut room))
    }

    fn rcode(packet: &[u8]) -> Rcode {
        parse(packet, |message| match message {
            Message::Query(_) => Rcode::NOERROR,
            Message::Reject(reject) => reject.rcode,
            Message::CookieOnly(_) => Rcode::BADCOOKIE,
            Message::Ignore => Rcode(0xffff),
        })
    }

    #[test]
    fn a_query_gives_its_name_in_lower_case() {
        parse(&packet([1, 0, 0, 1], &[WWW, A_IN, OPT]), |message| {
            let Message::Query(query) = message else { panic!("{message:?}") };
            assert_eq!(query.name, b"\x03www\x07example\x03com\x00");
            assert_eq!((query.rtype, query.class), (RecordType::A, Class::IN));
            assert_eq!(query.edns.map(|edns| edns.udp_octets), Some(1232));
            assert_eq!(query.question_octets(), WWW.len() + 4);
        });
    }

    #[test]
    fn what_is_no_query_gets_no_reply() {
        let mut reply = packet([1, 0, 0, 0], &[WWW, A_IN]);
        reply[2] |= 0x80;
        for ignored in [&reply[..], &reply[..11], &[]] {
            parse(ignored, |message| assert_eq!(message, Message::Ignore));
        }
    }

    #[test]
    fn malformed_queries_are_formerr() {
        let long = [[63u8; 64].repeat(4), vec![0]].concat();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("no question", packet([0, 0, 0, 0], &[])),
            ("two questions", packet([2, 0, 0, 0], &[WWW, A_IN, WWW, A_IN])),
            ("question cut short", packet([1, 0, 0, 0], &[WWW, &[0, 1, 0]])),
            ("name cut short", packet([1, 0, 0, 0], &[b"\x03ww"])),
            ("compressed question", packet([1, 0, 0, 0], &[b"\xc0\x0c", A_IN])),
            ("name too long", packet([1, 0, 0, 0], &[&long, A_IN])),
            ("trailing octets", packet([1, 0, 0, 0], &[WWW, A_IN, b"x"])),
            ("missing record", packet([1, 0, 0, 1], &[WWW, A_IN])),
            ("two OPT", packet([1, 0, 0, 2], &[WWW, A_IN, OPT, OPT])),
            ("OPT not at the root", packet([1, 0, 0, 1], &[WWW, A_IN, b"\x01a", OPT])),
            ("an answer", packet([1, 1, 0, 0], &[WWW, A_IN, OPT])),
            ("a question for OPT", packet([1, 0, 0, 0], &[WWW, &[0, 41, 0, 1]])),
        ];
        for (what, octets) in cases {
            assert_eq!(rcode(&octets), Rcode::FORMERR, "{what}");
        }
    }

    #[test]
    fn a_malformed_option_is_formerr_with_edns_and_question() {
        let opt = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 8, 0, 8, 0, 4, 0, 9, 0, 0];
        parse(&packet([1, 0, 0, 1], &[WWW, A_IN, &opt]), |message| {
            let Message::Reject(reject) = message else { panic!("{message:?}") };
            assert_eq!((reject.rcode, reject.question_octets), (Rcode::FORMERR, WWW.len() + 4));
            assert!(reject.edns.is_some_and(|edns| edns.dnssec_ok));
        });
    }

    #[test]
    fn later_versions_are_badvers_whatever_their_options() {
        let opt = [0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 3, 9, 9, 9];
        assert_eq!(rcode(&packet([1, 0, 0, 1], &[WWW, A_IN, &opt])), Rcode::BADVERS);
    }

    #[test]
    fn other_operations_and_types_are_refused_by_name() {
        for (opcode, wanted) in
            [(1, Rcode::NOTIMP), (4, Rcode::REFUSED), (5, Rcode::REFUSED), (15, Rcode::NOTIMP)]
        {
            let mut octets = packet([1, 0, 0, 0], &[WWW, A_IN]);
            octets[2] |= opcode << 3;
            assert_eq!(rcode(&octets), wanted);
        }
        assert_eq!(rcode(&packet([1, 0, 0, 0], &[WWW, &[0, 252, 0, 1]])), Rcode::REFUSED);
        let soa = [0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(rcode(&packet([1, 0, 1, 0], &[WWW, &[0, 251, 0, 1], &soa])), Rcode::REFUSED);
        assert_eq!(rcode(&packet([1, 0, 0, 0], &[WWW, &[0, 253, 0, 1]])), Rcode::NOTIMP);
    }

    #[test]
    fn records_beside_opt_are_passed_over() {
        let other = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4];
        assert_eq!(rcode(&packet([1, 0, 0, 2], &[WWW, A_IN, &other, OPT])), Rcode::NOERROR);
    }

    #[test]
    fn every_octet_is_lowered_as_ascii_says() {
        for length in 1..=40 {
            for start in 0..=255u8 {
                let name: Vec<u8> = (0..length).map(|at| start.wrapping_add(at)).collect();
                assert_eq!(lowered(&name, &mut [7; 256]), name.to_ascii_lowercase(), "{name:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_panic(octets: Vec<u8>, cut in 0usize..64) {
            parse(&octets, |_| ());
            let mut near = packet([1, 0, 0, 1], &[WWW, A_IN, OPT, &octets]);
            near.truncate(near.len().saturating_sub(cut));
            parse(&near, |_| ());
        }
    }
}
