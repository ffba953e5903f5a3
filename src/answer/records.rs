//! Ready-made records: the octets of one section as they will stand in a reply, to be copied at answer time.
//!
//! They are encoded for a *model* message, whose question is the owner's name and which they directly follow.
//! So record owners are pointers to the question, and names in record data (those of RFC 1035, which alone may
//! be compressed: RFC 3597 section 4) point to the question's suffixes and to one another. In a real message
//! the question may be longer than the owner: a wildcard's match, a name below a cut, a name that is not
//! there. All pointers then move by the same number of octets, the *shift*; the positions of those that do are
//! kept with the records. For a name that is asked for itself the shift is zero and nothing is patched.

use crate::name;
use crate::wire::HEADER_OCTETS;
use crate::wire::code::RecordType;
use crate::wire::reply::{Full, Reply, Section};

/// What a set of records is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Answers a question for its type.
    Answer = 0,
    /// The NS records of a cut: the authority section of a referral.
    Referral = 1,
    /// Addresses without which a referral leads nowhere (RFC 9471): they fit, or TC is set.
    Glue = 2,
    /// Addresses of other name servers in the zone's reach: left out when there is no room.
    SiblingGlue = 3,
    /// The SOA record of a zone, for negative answers (RFC 2308 section 5).
    Negative = 4,
    /// The RRSIG records over the set of the type that is told with them.
    Signature = 5,
}

/// Ready-made records, read from the table.
#[derive(Clone, Copy, Debug)]
pub struct Records<'t> {
    /// What they are for.
    pub role: Role,
    /// Their type; for glue, of no meaning.
    pub rtype: RecordType,
    /// How many.
    pub count: u16,
    shifts: &'t [u8],
    octets: &'t [u8],
}

/// Octets before the shifts: role, count of shifts, type, count, length.
const FIXED_OCTETS: usize = 9;
/// The longest message less the longest OPT record of a reply of ours, one with a whole IPv6 client subnet.
const MODEL_OCTETS_MAX: usize = 65_535 - 11 - 24;
/// A pointer can reach the first 16,383 octets of a message (RFC 1035 section 4.1.4).
pub(super) const POINTER_REACH: usize = 0x3fff;
/// How many suffixes are remembered as targets of pointers: names beyond are written whole, so that encoding
/// stays linear in the number of records.
const SUFFIXES_MAX: usize = 64;

/// Writes ready-made records, section after section of one model message.
#[derive(Debug)]
pub struct Encoder<'o> {
    owner: &'o [u8],
    /// What the records are for.
    place: Position,
    /// Suffixes that a pointer may name, with where they stand in the model message.
    suffixes: Vec<(Box<[u8]>, u16)>,
    /// Octets of earlier sections of the model message.
    before: usize,
}

/// Where records will stand to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Directly behind a question for their owner, or for what it stands for as a wildcard.
    At,
    /// Directly behind a question at or below their owner, which moves with the shift.
    Above,
    /// The same, but anywhere in the reply: only the question itself can be pointed to.
    Anywhere,
}

/// A record to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'r> {
    /// Its owner, as written; `None` is the owner of the model message.
    pub owner: Option<&'r [u8]>,
    /// Its type.
    pub rtype: RecordType,
    /// Its TTL in seconds.
    pub ttl: u32,
    /// Its data, uncompressed.
    pub rdata: &'r [u8],
}

/// The records of one name and type, or of one referral, are more than a message can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl<'o> Encoder<'o> {
    /// For records found at `owner`, or for the question under it where `owner` is a wildcard.
    #[must_use]
    pub fn at(owner: &'o [u8]) -> Self {
        Self::new(owner, Position::At)
    }

    /// For records of `owner` in replies to questions at or below it.
    #[must_use]
    pub fn above(owner: &'o [u8]) -> Self {
        Self::new(owner, Position::Above)
    }

    /// For records of `owner` anywhere in replies to questions at or below it.
    #[must_use]
    pub fn anywhere(owner: &'o [u8]) -> Self {
        Self::new(owner, Position::Anywhere)
    }

    fn new(owner: &'o [u8], place: Position) -> Self {
        Self { owner, place, suffixes: Vec::new(), before: 0 }
    }

    /// Appends the records to `out` in the form that [`Records::read`] takes.
    pub fn encode<'r>(
        &mut self,
        role: Role,
        rtype: RecordType,
        sources: impl IntoIterator<Item = Source<'r>>,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        // Most sets are one or two addresses: room for them at once, rather than by doubling.
        let mut octets = Vec::with_capacity(64);
        let mut shifts: Vec<u16> = Vec::new();
        let mut count: u16 = 0;
        for source in sources {
            count = count.checked_add(1).ok_or(TooLarge)?;
            self.record(&source, &mut octets, &mut shifts)?;
        }
        let length = u16::try_from(octets.len()).map_err(|_| TooLarge)?;
        if self.model_octets(octets.len()) > MODEL_OCTETS_MAX {
            return Err(TooLarge);
        }
        let shift_count = u16::try_from(shifts.len()).map_err(|_| TooLarge)?;
        out.push(role as u8);
        out.extend_from_slice(&shift_count.to_ne_bytes());
        out.extend_from_slice(&rtype.0.to_ne_bytes());
        out.extend_from_slice(&count.to_ne_bytes());
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend(shifts.iter().flat_map(|at| at.to_ne_bytes()));
        out.extend_from_slice(&octets);
        self.before += octets.len();
        Ok(())
    }

    fn record(
        &mut self,
        source: &Source<'_>,
        out: &mut Vec<u8>,
        shifts: &mut Vec<u16>,
    ) -> Result<(), TooLarge> {
        match source.owner {
            None => {
                if self.place != Position::At {
                    self.note_shift(out, shifts)?;
                }
                out.extend_from_slice(&pointer(HEADER_OCTETS));
            }
            Some(owner) => self.name(owner, out, shifts)?,
        }
        out.extend_from_slice(&source.rtype.0.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&source.ttl.to_be_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0, 0]);
        self.rdata(source, out, shifts)?;
        let length = u16::try_from(out.len() - length_at - 2).map_err(|_| TooLarge)?;
        out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn rdata(
        &mut self,
        source: &Source<'_>,
        out: &mut Vec<u8>,
        shifts: &mut Vec<u16>,
    ) -> Result<(), TooLarge> {
        let (fixed, names) = compressible(source.rtype);
        out.extend_from_slice(&source.rdata[..fixed]);
        let mut rest = &source.rdata[fixed..];
        for _ in 0..names {
            let length = name::wire_length(rest).expect("record data was checked when it was read");
            self.name(&rest[..length], out, shifts)?;
            rest = &rest[length..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }

    /// Writes a name with the longest known suffix as a pointer, and remembers its own suffixes.
    fn name(&mut self, wire: &[u8], out: &mut Vec<u8>, shifts: &mut Vec<u16>) -> Result<(), TooLarge> {
        if self.suffixes.is_empty() {
            self.remember_question();
        }
        let mut written = Vec::new();
        for suffix in name::suffixes(wire) {
            if suffix.len() == 1 {
                out.push(0);
                break;
            }
            if let Some(at) = self.known(suffix) {
                self.note_shift(out, shifts)?;
                out.extend_from_slice(&pointer(usize::from(at)));
                break;
            }
            written.push((suffix, self.body_at(out.len())));
            out.extend_from_slice(&suffix[..=usize::from(suffix[0])]);
        }
        // Pointers reach the question and the first set only: see `Model`.
        if self.before == 0 && self.place != Position::Anywhere {
            for (suffix, at) in written {
                self.remember(suffix, at);
            }
        }
        Ok(())
    }

    /// Notes the place of a pointer, where the question may be longer than the owner.
    fn note_shift(&self, out: &[u8], shifts: &mut Vec<u16>) -> Result<(), TooLarge> {
        if self.place != Position::At || self.owner.starts_with(b"\x01*") {
            shifts.push(u16::try_from(out.len()).map_err(|_| TooLarge)?);
        }
        Ok(())
    }

    /// The suffixes of the question that are the same whatever the question: not the asterisk, which stands for
    /// the labels that were asked for.
    fn remember_question(&mut self) {
        let owner = self.owner;
        let stays = if owner.starts_with(b"\x01*") { name::parent(owner).unwrap_or(owner) } else { owner };
        for suffix in name::suffixes(stays) {
            self.remember(suffix, HEADER_OCTETS + owner.len() - suffix.len());
        }
    }

    fn body_at(&self, at: usize) -> usize {
        HEADER_OCTETS + self.owner.len() + 4 + self.before + at
    }

    /// How long the model message is with so many octets of records, if the question were the longest.
    fn model_octets(&self, octets: usize) -> usize {
        self.body_at(octets) + name::NAME_OCTETS_MAX - self.owner.len()
    }

    fn known(&self, suffix: &[u8]) -> Option<u16> {
        self.suffixes.iter().find(|(known, _)| known.eq_ignore_ascii_case(suffix)).map(|(_, at)| *at)
    }

    fn remember(&mut self, suffix: &[u8], at: usize) {
        // A shift moves a pointer by up to a name's length, and it must still reach.
        let reachable = at + name::NAME_OCTETS_MAX <= POINTER_REACH;
        if suffix.len() > 1 && reachable && self.suffixes.len() < SUFFIXES_MAX {
            self.suffixes.push((suffix.into(), at as u16));
        }
    }
}

/// How the data of a type begins: octets before the first compressible name, and how many names follow one
/// another there. These are the types of RFC 1035; no other may be compressed (RFC 3597 section 4).
pub(super) fn compressible(rtype: RecordType) -> (usize, usize) {
    match rtype {
        RecordType::NS
        | RecordType::CNAME
        | RecordType::PTR
        | RecordType::MB
        | RecordType::MD
        | RecordType::MF
        | RecordType::MG
        | RecordType::MR => (0, 1),
        RecordType::MX => (2, 1),
        RecordType::SOA | RecordType::MINFO => (0, 2),
        _ => (0, 0),
    }
}

fn pointer(at: usize) -> [u8; 2] {
    debug_assert!(at <= POINTER_REACH, "only what can be reached is remembered");
    (0xc000 | at as u16).to_be_bytes()
}

impl<'t> Records<'t> {
    /// Reads one set from the start of `stored`; gives it with what follows it.
    ///
    /// # Panics
    /// When `stored` does not begin with what [`Encoder::encode`] wrote.
    #[must_use]
    #[inline]
    pub fn read(stored: &'t [u8]) -> (Self, &'t [u8]) {
        let (fixed, rest) = stored.split_at(FIXED_OCTETS);
        let u16_at = |at: usize| u16::from_ne_bytes([fixed[at], fixed[at + 1]]);
        let (shifts, rest) = rest.split_at(usize::from(u16_at(1)) * 2);
        let (octets, rest) = rest.split_at(usize::from(u16_at(7)));
        let role = match fixed[0] {
            0 => Role::Answer,
            1 => Role::Referral,
            2 => Role::Glue,
            3 => Role::SiblingGlue,
            4 => Role::Negative,
            _ => Role::Signature,
        };
        (Self { role, rtype: RecordType(u16_at(3)), count: u16_at(5), shifts, octets }, rest)
    }

    /// The records' octets in the model message.
    #[must_use]
    pub fn octets(&self) -> &'t [u8] {
        self.octets
    }

    /// Appends them to a reply whose question is `shift` octets longer than their owner; gives their octets.
    #[inline]
    pub fn append<'b>(
        &self,
        section: Section,
        shift: usize,
        reply: &'b mut Reply<'_>,
    ) -> Result<&'b mut [u8], Full> {
        let octets = reply.append(section, self.count, self.octets)?;
        if shift > 0 {
            for at in self.shifts.chunks_exact(2) {
                let at = usize::from(u16::from_ne_bytes([at[0], at[1]]));
                let moved = u16::from_be_bytes([octets[at], octets[at + 1]]) + shift as u16;
                octets[at..at + 2].copy_from_slice(&moved.to_be_bytes());
            }
        }
        Ok(octets)
    }

    /// The TTL of each, which is the same.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        let at = compressed_length(self.octets) + 4;
        u32::from_be_bytes(*self.octets[at..].first_chunk().expect("a set has a record"))
    }

    /// The data of each. Only of types whose data hold no name that may be compressed: it would be cut at pointers.
    pub fn plain_data(&self) -> impl Iterator<Item = &'t [u8]> + Clone + use<'t> {
        let mut rest = self.octets;
        std::iter::from_fn(move || {
            let record = rest.get(2..)?;
            let length = usize::from(u16::from_be_bytes([record[8], record[9]]));
            let (data, after) = record[RECORD_HEAD_OCTETS..].split_at(length);
            rest = after;
            Some(data)
        })
    }

    /// Appends them under the owner that stands at `owner_at` of the reply, with a TTL of `ttl_max` at most. Only of
    /// types whose data hold no name that may be compressed, written for their owner as the question.
    pub fn append_plain(
        &self,
        section: Section,
        owner_at: usize,
        ttl_max: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let octets = reply.append(section, self.count, self.octets)?;
        let mut at = 0;
        while at < octets.len() {
            octets[at..at + 2].copy_from_slice(&pointer(owner_at));
            at += 2;
            cap_ttl(&mut octets[at..], ttl_max);
            at += RECORD_HEAD_OCTETS + usize::from(u16::from_be_bytes([octets[at + 8], octets[at + 9]]));
        }
        Ok(())
    }

    /// Appends the one record there is under an owner of `prefix` and what stands at `suffix_at` of the reply; else as
    /// [`Self::append_plain`]. Gives where the owner stands.
    pub fn append_under_new(
        &self,
        section: Section,
        (prefix, suffix_at): (&[u8], usize),
        ttl_max: u32,
        reply: &mut Reply<'_>,
    ) -> Result<usize, Full> {
        let owner_at = reply.end();
        reply.append(section, 0, prefix)?;
        reply.append(section, 0, &pointer(suffix_at))?;
        let record = reply.append(section, self.count, &self.octets[2..])?;
        cap_ttl(record, ttl_max);
        Ok(owner_at)
    }

    /// Appends them to a reply in which their owner is not the question: behind a CNAME. `model` is what they
    /// were encoded for, `owner_at` where the real owner stands in the reply.
    pub fn append_under(
        &self,
        section: Section,
        model: Model<'_>,
        owner_at: usize,
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        let mut rest = self.octets;
        while !rest.is_empty() {
            if rest.starts_with(&pointer(HEADER_OCTETS)) {
                reply.append(section, 1, &pointer(owner_at))?;
            } else {
                append_whole(section, rest, model, reply)?;
                reply.append(section, 1, &[])?;
            }
            let (head, tail) = rest[compressed_length(rest)..].split_at(RECORD_HEAD_OCTETS);
            let rtype = RecordType(u16::from_be_bytes([head[0], head[1]]));
            let (rdata, tail) = tail.split_at(usize::from(u16::from_be_bytes([head[8], head[9]])));
            rest = tail;
            reply.append(section, 0, head)?;
            let start = reply.end();
            append_rdata(section, rtype, rdata, model, reply)?;
            let length = (reply.end() - start) as u16;
            reply.patch(start - 2, &length.to_be_bytes());
        }
        Ok(())
    }
}

/// The model message for which records were encoded, as far as their pointers may reach.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// The question's name.
    pub owner: &'m [u8],
    /// The octets that follow the question: of the first set of records.
    pub first: &'m [u8],
}

impl<'m> Model<'m> {
    /// What stands at `at`.
    fn octets(self, at: usize) -> &'m [u8] {
        let records_at = HEADER_OCTETS + self.owner.len() + 4;
        if at < records_at { &self.owner[at - HEADER_OCTETS..] } else { &self.first[at - records_at..] }
    }
}

fn append_rdata(
    section: Section,
    rtype: RecordType,
    rdata: &[u8],
    model: Model<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Full> {
    let (fixed, names) = compressible(rtype);
    reply.append(section, 0, &rdata[..fixed])?;
    let mut rest = &rdata[fixed..];
    for _ in 0..names {
        append_whole(section, rest, model, reply)?;
        rest = &rest[compressed_length(rest)..];
    }
    reply.append(section, 0, rest).map(|_| ())
}

/// Appends the name that begins with `octets` of the model message, following its pointers.
fn append_whole(
    section: Section,
    octets: &[u8],
    model: Model<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Full> {
    let mut from = octets;
    loop {
        match from[0] {
            0 => return reply.append(section, 0, &[0]).map(|_| ()),
            length @ 1..=63 => {
                let (label, after) = from.split_at(1 + usize::from(length));
                reply.append(section, 0, label)?;
                from = after;
            }
            high => from = model.octets(usize::from(u16::from_be_bytes([high & 0x3f, from[1]]))),
        }
    }
}

/// Lowers the TTL of the record whose type begins `octets`.
fn cap_ttl(octets: &mut [u8], ttl_max: u32) {
    let ttl = octets[4..8].first_chunk_mut().expect("a record has a TTL");
    *ttl = u32::from_be_bytes(*ttl).min(ttl_max).to_be_bytes();
}

/// Octets of a record between its owner and its data: type, class, TTL, length.
pub(super) const RECORD_HEAD_OCTETS: usize = 10;

/// Octets of a name that may end in a pointer.
fn compressed_length(octets: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match octets[at] {
            0 => return at + 1,
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return at + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::wire::code::Rcode;
    use crate::wire::options::ReplyOptions;
    use hickory_proto::op::Message;

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<Name>().unwrap().as_wire().to_vec()
    }

    fn encoded(mut encoder: Encoder<'_>, rtype: RecordType, data: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let sources = data.iter().map(|rdata| Source { owner: None, rtype, ttl: 300, rdata });
        encoder.encode(Role::Answer, rtype, sources, &mut out).unwrap();
        out
    }

    /// Answers a question for `question` with what `write` appends, and gives the records as hickory reads them.
    fn read_back(question: &str, write: impl FnOnce(&mut Reply<'_>)) -> Vec<String> {
        let packet = [&[0; 5], &[1, 0, 0, 0, 0, 0, 0][..], &wire(question), &[0, 1, 0, 1]].concat();
        let mut buffer = vec![0; 65_535];
        let options = ReplyOptions::default();
        let mut reply = Reply::begin(&mut buffer, &packet, packet.len() - 12, 65_535, &options);
        write(&mut reply);
        let length = reply.finish(Rcode::NOERROR, true, false, &options);
        let message = Message::from_vec(&buffer[..length]).unwrap();
        message.answers.iter().chain(&message.authorities).map(ToString::to_string).collect()
    }

    fn mx(preference: u8, exchange: &str) -> Vec<u8> {
        [vec![0, preference], wire(exchange)].concat()
    }

    #[test]
    fn records_of_the_name_asked_for_compress_and_read_back() {
        let owner = wire("example.com");
        let stored = encoded(
            Encoder::at(&owner),
            RecordType::MX,
            &[mx(10, "a.mail.example.com"), mx(20, "b.mail.example.com")],
        );
        let (records, rest) = Records::read(&stored);
        assert!(rest.is_empty());
        assert_eq!(records.octets().len(), 2 * 14 + "1a4mail".len() + 2 + "1b".len() + 2, "compressed");
        let read = read_back("example.com", |reply| {
            records.append(Section::Answer, 0, reply).unwrap();
        });
        assert_eq!(
            read,
            [
                "example.com. 300 IN MX 10 a.mail.example.com.",
                "example.com. 300 IN MX 20 b.mail.example.com."
            ]
        );
    }

    #[test]
    fn a_wildcard_answers_for_the_question_whatever_its_length() {
        let owner = wire("*.example.com");
        let stored = encoded(Encoder::at(&owner), RecordType::CNAME, &[wire("target.example.com")]);
        let (records, _) = Records::read(&stored);
        for question in ["a.example.com", "deep.er.example.com", "*.example.com"] {
            let shift = wire(question).len() - owner.len();
            let read = read_back(question, |reply| {
                records.append(Section::Answer, shift, reply).unwrap();
            });
            assert_eq!(read, [format!("{question}. 300 IN CNAME target.example.com.")]);
        }
    }

    #[test]
    fn records_found_above_the_question_keep_their_owner() {
        let owner = wire("example.com");
        let soa = [wire("ns1.example.com"), wire("host.master.example.com"), vec![0; 20]].concat();
        let stored = encoded(Encoder::above(&owner), RecordType::SOA, &[soa]);
        let (records, _) = Records::read(&stored);
        let read = read_back("not.there.example.com", |reply| {
            records.append(Section::Authority, "3not5there".len(), reply).unwrap();
        });
        assert_eq!(read, ["example.com. 300 IN SOA ns1.example.com. host.master.example.com. 0 0 0 0 0"]);
    }

    #[test]
    fn the_end_of_a_chain_stands_under_its_own_owner() {
        let (alias, owner) = (wire("alias.example.com"), wire("mail.example.com"));
        let cname = encoded(Encoder::at(&alias), RecordType::CNAME, std::slice::from_ref(&owner));
        let end = encoded(
            Encoder::at(&owner),
            RecordType::MX,
            &[mx(1, "a.mail.example.com"), mx(2, "b.a.mail.example.com")],
        );
        let read = read_back("alias.example.com", |reply| {
            Records::read(&cname).0.append(Section::Answer, 0, reply).unwrap();
            let owner_at = reply.end() - 7;
            Records::read(&end)
                .0
                .append_under(
                    Section::Answer,
                    Model { owner: &owner, first: Records::read(&end).0.octets() },
                    owner_at,
                    reply,
                )
                .unwrap();
        });
        assert_eq!(
            read,
            [
                "alias.example.com. 300 IN CNAME mail.example.com.",
                "mail.example.com. 300 IN MX 1 a.mail.example.com.",
                "mail.example.com. 300 IN MX 2 b.a.mail.example.com.",
            ]
        );
    }
}
