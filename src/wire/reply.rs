//! A reply, written in place into the caller's buffer: header and question from the query, records as ready
//! octets, OPT last. What does not fit is told by [`Full`]; the caller then sets TC.

use super::HEADER_OCTETS;
use super::code::Rcode;
use super::options::{ReplyOptions, Room};

/// Bits of the third octet of the header.
const QR: u8 = 0x80;
const AA: u8 = 0x04;
/// The flag of a reply that does not hold all there is, in the header's third octet.
pub const TC: u8 = 0x02;
const OPCODE_AND_RD: u8 = 0x79;

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// There is no room for these records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How far a reply is written.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    end: usize,
    counts: [u16; 3],
}

/// A reply under way.
#[derive(Debug)]
pub struct Reply<'b> {
    octets: &'b mut [u8],
    end: usize,
    limit: usize,
    question_end: usize,
    counts: [u16; 3],
}

impl<'b> Reply<'b> {
    /// Begins the reply to `packet`, repeating the first `question_octets` after its header, case and all.
    /// Records may fill `octets` up to `limit`, less what OPT will take.
    #[inline]
    pub fn begin(
        octets: &'b mut [u8],
        packet: &[u8],
        question_octets: usize,
        limit: usize,
        options: &ReplyOptions<'_>,
    ) -> Self {
        let question_end = HEADER_OCTETS + question_octets;
        octets[..question_end].copy_from_slice(&packet[..question_end]);
        let limit = limit.min(octets.len()) - options.required_octets();
        Self { octets, end: question_end, limit, question_end, counts: [0; 3] }
    }

    /// The length of the question's name, in octets.
    #[must_use]
    pub fn question_name_octets(&self) -> usize {
        self.question_end - HEADER_OCTETS - 4
    }

    /// Where the next record will begin.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// What is written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.octets[..self.end]
    }

    /// Appends ready octets that hold `count` records of `section`; gives them for patching.
    #[inline]
    pub fn append(&mut self, section: Section, count: u16, ready: &[u8]) -> Result<&mut [u8], Full> {
        let end = self.end + ready.len();
        if end > self.limit {
            return Err(Full);
        }
        let room = &mut self.octets[self.end..end];
        room.copy_from_slice(ready);
        self.end = end;
        self.counts[section as usize] += count;
        Ok(room)
    }

    /// Overwrites octets that were appended before.
    pub fn patch(&mut self, at: usize, octets: &[u8]) {
        self.octets[at..at + octets.len()].copy_from_slice(octets);
    }

    /// How far it is written.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { end: self.end, counts: self.counts }
    }

    /// Takes back all that was written since `mark`.
    pub fn take_back(&mut self, mark: Mark) {
        (self.end, self.counts) = (mark.end, mark.counts);
    }

    /// Takes all records back, for a reply that says TC or an error instead.
    pub fn clear(&mut self) {
        self.end = self.question_end;
        self.counts = [0; 3];
    }

    /// Writes header and OPT; gives the reply's length.
    #[inline]
    pub fn finish(
        mut self,
        rcode: Rcode,
        authoritative: bool,
        truncated: bool,
        options: &ReplyOptions<'_>,
    ) -> usize {
        let header = &mut self.octets[..HEADER_OCTETS];
        header[2] = QR
            | header[2] & OPCODE_AND_RD
            | if authoritative { AA } else { 0 }
            | if truncated { TC } else { 0 };
        header[3] = (rcode.0 & 0x0f) as u8;
        header[4..6].copy_from_slice(&u16::from(self.question_end > HEADER_OCTETS).to_be_bytes());
        let [answer, authority, additional] = self.counts;
        let additional = additional + u16::from(options.edns.is_some());
        for (at, count) in [(6, answer), (8, authority), (10, additional)] {
            header[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        self.limit += options.required_octets();
        match options.edns {
            Some(edns) => {
                options.write(edns, rcode, Room { octets: self.octets, at: self.end, limit: self.limit })
            }
            None => self.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::edns::{ClientSubnet, Edns, OPT_FIXED_OCTETS};
    use hickory_proto::op::Message;

    const QUERY: &[u8] = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

    fn edns() -> Edns<'static> {
        Edns { client_subnet: ClientSubnet::parse(&[0, 1, 24, 0, 203, 0, 113]).ok(), ..Edns::default() }
    }

    const A: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 1];

    #[test]
    fn a_reply_reads_as_it_was_meant() {
        let mut buffer = [0xff; 512];
        let options =
            ReplyOptions { edns: Some(&edns()), scope: 20, extended_error: Some(b"\0\0why"), extras: None };
        let mut reply = Reply::begin(&mut buffer, QUERY, 7, 512, &options);
        reply.append(Section::Answer, 1, A).unwrap();
        let length = reply.finish(Rcode::NOERROR, true, false, &options);
        let message = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(message.metadata.id, 0x1234);
        assert!(message.metadata.authoritative && message.metadata.recursion_desired);
        assert!(!message.metadata.checking_disabled && !message.metadata.recursion_available);
        assert_eq!(message.answers.len(), 1);
        assert!(format!("{:?}", message.edns).contains("203.0.113.0"));
    }

    #[test]
    fn records_and_errors_yield_to_the_limit() {
        let mut buffer = [0; 512];
        let limit = QUERY.len() + A.len() + OPT_FIXED_OCTETS + 11;
        let options =
            ReplyOptions { edns: Some(&edns()), scope: 20, extended_error: Some(b"\0\0why"), extras: None };
        let mut reply = Reply::begin(&mut buffer, QUERY, 7, limit, &options);
        reply.append(Section::Answer, 1, A).unwrap();
        assert_eq!(reply.append(Section::Answer, 1, A), Err(Full));
        assert_eq!(reply.finish(Rcode::NOERROR, true, true, &options), limit);
    }
}
