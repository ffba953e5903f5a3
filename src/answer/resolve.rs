//! How a question is answered: RFC 1034 section 4.3.2 with RFC 2181, 2308, 4592, 6672 and 8482, and at steered
//! names the variant that suits the client. Records go straight into the reply; what remains to be said of it
//! is the [`Outcome`].

use std::net::IpAddr;

use super::names::{Entry, Found, Kind};
use super::records::{Model, Records, Role};
use super::steering::Steering;
use super::table::AnswerTable;
use crate::ids::ZoneId;
use crate::name::NAME_OCTETS_MAX;
use crate::wire::HEADER_OCTETS;
use crate::wire::code::{Class, ExtendedError, Rcode, RecordType};
use crate::wire::query::Query;
use crate::wire::reply::{Full, Reply, Section};

/// What is said of a reply beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome<'t> {
    /// The response code.
    pub(super) rcode: Rcode,
    /// Whether the answer is authoritative for the name that was asked for (AA).
    pub(super) authoritative: bool,
    /// The depth to which the answer depends on the client; 0 where it does not.
    pub(super) scope: u8,
    /// Data of an extended error.
    pub(super) extended_error: Option<&'t [u8]>,
    /// The counter of a steered answer.
    pub(super) counter: Option<u32>,
}

/// The most links of one chain of CNAMEs and DNAMEs; the resolver asks on from the last.
const CHAIN_MAX: usize = 16;
/// How long the answer to ANY may be cached: it says nothing that changes.
const ANY_TTL: [u8; 4] = 3600u32.to_be_bytes();
/// HINFO "RFC8482" "" (RFC 8482 section 4.2), owner and type to data.
const ANY_HINFO: [u8; 9] = *b"\x07RFC8482\x00";
/// Data of the extended error of a question outside all zones.
const NOT_AUTHORITATIVE: [u8; 2] = ExtendedError::NOT_AUTHORITATIVE.0.to_be_bytes();

impl Outcome<'_> {
    fn authoritative(rcode: Rcode) -> Self {
        Self { rcode, authoritative: true, scope: 0, extended_error: None, counter: None }
    }

    fn refused() -> Self {
        let extended_error = Some(&NOT_AUTHORITATIVE[..]);
        Self { authoritative: false, extended_error, ..Self::authoritative(Rcode::REFUSED) }
    }

    /// Of a reply whose records did not fit.
    pub(super) fn truncated() -> Self {
        Self::authoritative(Rcode::NOERROR)
    }
}

/// Answers `query` for a client at `client` into `reply`. [`Full`]: the records do not fit.
pub(super) fn resolve<'t>(
    table: &'t AnswerTable,
    query: &Query<'_>,
    client: IpAddr,
    reply: &mut Reply<'_>,
) -> Result<Outcome<'t>, Full> {
    if query.class != Class::IN {
        return Ok(Outcome::refused());
    }
    let question = Question { table, rtype: query.rtype, client };
    match table.names().find(query.name) {
        Found::Outside => Ok(Outcome::refused()),
        Found::Name(entry) if query.rtype == RecordType::DS && table.is_apex(&entry) => {
            question.ask_parent_side(entry, query.name, reply)
        }
        found => question.walk(found, Link::question(query.name), reply),
    }
}

/// What stays the same along a chain.
struct Question<'t> {
    table: &'t AnswerTable,
    rtype: RecordType,
    client: IpAddr,
}

/// The name that the walk has come to: that of the question, or the end of a chain so far.
#[derive(Clone, Copy)]
struct Link<'n> {
    name: &'n [u8],
    /// Where the name stands in the reply.
    at: usize,
    /// How many links lead here.
    links: usize,
}

impl<'n> Link<'n> {
    fn question(name: &'n [u8]) -> Self {
        Self { name, at: HEADER_OCTETS, links: 0 }
    }
}

impl<'t> Question<'t> {
    /// Answers from where the name leads.
    fn walk(&self, found: Found<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Outcome<'t>, Full> {
        match self.step(&found, link, reply)? {
            Step::Done(outcome) => Ok(outcome),
            Step::Follow(target_at) => self.follow(zone_of(&found), target_at, reply),
        }
    }

    /// Follows a chain to its end, inside the zone it began in. `target_at` is where the target of its first link
    /// stands in the reply.
    #[cold]
    fn follow(
        &self,
        zone: Option<ZoneId>,
        mut target_at: usize,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let mut room = [0; NAME_OCTETS_MAX];
        for links in 1..CHAIN_MAX {
            let length = read_name(reply.written(), target_at, &mut room);
            let link = Link { name: &room[..length], at: target_at, links };
            let found = self.table.names().find(link.name);
            if zone_of(&found) != zone {
                break;
            }
            match self.step(&found, link, reply)? {
                Step::Done(outcome) => return Ok(outcome),
                Step::Follow(next_at) => target_at = next_at,
            }
        }
        Ok(Outcome::authoritative(Rcode::NOERROR))
    }

    fn step(&self, found: &Found<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        match *found {
            Found::Outside => Ok(Step::Done(Outcome::refused())),
            Found::Missing(encloser) => {
                self.negative(encloser.zone(), u32::MAX, reply)?;
                Ok(Step::Done(Outcome::authoritative(Rcode::NXDOMAIN)))
            }
            Found::BelowCut(cut) => self.refer(cut, link, reply).map(Step::Done),
            Found::Name(entry) if entry.kind() == Kind::Cut && self.rtype != RecordType::DS => {
                self.refer(entry, link, reply).map(Step::Done)
            }
            Found::BelowDname(dname) => self.rewrite(dname, link, reply),
            Found::Name(entry) | Found::Wildcard(entry) => self.answer(entry, link, reply),
        }
    }

    /// A name that exists, or a wildcard that stands for it.
    fn answer(&self, entry: Entry<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        if let Some(service) = entry.service() {
            let steering = self.table.service(service);
            if steering.answers(self.rtype) {
                // No steered record behind a CNAME: its scope could not be told (RFC 7871 section 7.2.1).
                if link.links > 0 {
                    return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
                }
                return self.steer(entry, steering, reply).map(Step::Done);
            }
        }
        let mut alias = None;
        for records in entry.records().filter(|records| records.role == Role::Answer) {
            if records.rtype == self.rtype {
                append(&records, &entry, link, reply)?;
                return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
            }
            if records.rtype == RecordType::CNAME {
                alias = Some(records);
            }
        }
        if let Some(alias) = alias {
            let target_at = reply.end() + RDATA_AT;
            append(&alias, &entry, link, reply)?;
            return Ok(self.target(target_at));
        }
        if self.rtype == RecordType::ANY && (entry.service().is_some() || entry.records().next().is_some()) {
            append_any(link, reply)?;
            return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
        }
        let ttl_max =
            entry.service().map_or(u32::MAX, |service| self.table.service(service).negative_ttl_max);
        self.negative(entry.zone(), ttl_max, reply)?;
        Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)))
    }

    /// Goes on to the target of a CNAME, unless the CNAME is itself what was asked for.
    fn target(&self, target_at: usize) -> Step<'t> {
        match self.rtype {
            RecordType::CNAME | RecordType::ANY => Step::Done(Outcome::authoritative(Rcode::NOERROR)),
            _ => Step::Follow(target_at),
        }
    }

    /// The variant of a steered name that suits the client.
    fn steer(
        &self,
        entry: Entry<'t>,
        service: &'t Steering,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let steered = service.steer(self.table.tree(service.map), self.client, self.rtype);
        let variant = steered.variant;
        let outcome = Outcome {
            rcode: variant.rcode,
            authoritative: variant.rcode == Rcode::NOERROR,
            scope: steered.scope,
            extended_error: variant.extended_error.as_deref(),
            counter: Some(variant.counter),
        };
        match variant.answer(self.rtype) {
            Some((count, octets)) => {
                reply.append(Section::Answer, count, octets)?;
            }
            None if variant.rcode == Rcode::NOERROR => {
                self.negative(entry.zone(), service.negative_ttl_max, reply)?;
            }
            None => {}
        }
        Ok(outcome)
    }

    /// DS at the top of a zone of ours: asked of the parent zone where that is ours too, since the records
    /// stand there; else there are none.
    fn ask_parent_side(
        &self,
        apex: Entry<'t>,
        name: &[u8],
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let side = self.table.names().parent_side(&apex).unwrap_or(apex);
        self.walk(Found::Name(side), Link::question(name), reply)
    }

    /// A referral: the cut's NS records and the addresses it needs (RFC 9471).
    fn refer(&self, cut: Entry<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Outcome<'t>, Full> {
        let mut first: &[u8] = &[];
        for records in cut.records() {
            let section = match records.role {
                Role::Referral => {
                    first = records.octets();
                    Section::Authority
                }
                Role::Glue | Role::SiblingGlue => Section::Additional,
                Role::Answer | Role::Negative => continue,
            };
            let appended = append_above(&records, first, section, &cut, link, reply);
            if records.role != Role::SiblingGlue {
                appended?;
            }
        }
        Ok(Outcome { authoritative: link.links > 0, ..Outcome::authoritative(Rcode::NOERROR) })
    }

    /// A DNAME above the name: itself, and the CNAME that it means for this name (RFC 6672 section 3.1).
    fn rewrite(&self, dname: Entry<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        let records = dname.answer(RecordType::DNAME).expect("an entry of this kind has a DNAME");
        append_above(&records, records.octets(), Section::Answer, &dname, link, reply)?;
        let (head, target) = records.octets().split_at(RDATA_AT);
        let prefix = &link.name[..link.name.len() - dname.name().len()];
        let length = prefix.len() + target.len();
        if length > NAME_OCTETS_MAX {
            return Ok(Step::Done(Outcome::authoritative(Rcode::YXDOMAIN)));
        }
        let mut cname = [0; RDATA_AT];
        cname[..2].copy_from_slice(&pointer(link.at));
        cname[2..4].copy_from_slice(&RecordType::CNAME.0.to_be_bytes());
        cname[4..10].copy_from_slice(&head[4..10]);
        cname[10..].copy_from_slice(&(length as u16).to_be_bytes());
        reply.append(Section::Answer, 1, &cname)?;
        let target_at = reply.end();
        reply.append(Section::Answer, 0, prefix)?;
        reply.append(Section::Answer, 0, target)?;
        Ok(self.target(target_at))
    }

    /// The SOA record of a negative answer. Its TTL is the lesser of its own and MINIMUM already.
    fn negative(&self, zone: ZoneId, ttl_max: u32, reply: &mut Reply<'_>) -> Result<(), Full> {
        let top = self.table.zone(zone);
        let shift = reply.question_name_octets() - top.apex.len();
        let (soa, _) = Records::read(&top.negative);
        let octets = soa.append(Section::Authority, shift, reply)?;
        let ttl = octets[6..10].first_chunk_mut().expect("a TTL is four octets");
        *ttl = u32::from_be_bytes(*ttl).min(ttl_max).to_be_bytes();
        Ok(())
    }
}

/// What one step of the walk came to.
enum Step<'t> {
    Done(Outcome<'t>),
    /// To the name that stands there in the reply.
    Follow(usize),
}

/// Where a record's data begins, behind an owner that is a pointer.
const RDATA_AT: usize = 12;

fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}

fn zone_of(found: &Found<'_>) -> Option<ZoneId> {
    match found {
        Found::Outside => None,
        Found::Name(entry)
        | Found::Wildcard(entry)
        | Found::Missing(entry)
        | Found::BelowCut(entry)
        | Found::BelowDname(entry) => Some(entry.zone()),
    }
}

/// Appends an answer for the link's name.
#[inline]
fn append(
    records: &Records<'_>,
    entry: &Entry<'_>,
    link: Link<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Full> {
    if link.links == 0 {
        let shift = link.name.len() - entry.name().len();
        return records.append(Section::Answer, shift, reply).map(|_| ());
    }
    let model = Model { owner: entry.name(), first: records.octets() };
    records.append_under(Section::Answer, model, link.at, reply)
}

/// Appends records of a name above the link's name. `first` is the first set of their model message.
fn append_above(
    records: &Records<'_>,
    first: &[u8],
    section: Section,
    above: &Entry<'_>,
    link: Link<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Full> {
    if link.links == 0 {
        let shift = link.name.len() - above.name().len();
        return records.append(section, shift, reply).map(|_| ());
    }
    let owner_at = suffix_at(reply.written(), link.at, link.name.len() - above.name().len());
    records.append_under(section, Model { owner: above.name(), first }, owner_at, reply)
}

fn append_any(link: Link<'_>, reply: &mut Reply<'_>) -> Result<(), Full> {
    let mut head = [0; RDATA_AT];
    head[..2].copy_from_slice(&pointer(link.at));
    head[2..4].copy_from_slice(&RecordType::HINFO.0.to_be_bytes());
    head[4..6].copy_from_slice(&Class::IN.0.to_be_bytes());
    head[6..10].copy_from_slice(&ANY_TTL);
    head[10..].copy_from_slice(&(ANY_HINFO.len() as u16).to_be_bytes());
    reply.append(Section::Answer, 1, &head)?;
    reply.append(Section::Answer, 0, &ANY_HINFO).map(|_| ())
}

/// Reads the name at `at` of a reply of ours into `name`, in lower case; gives its length.
fn read_name(reply: &[u8], mut at: usize, name: &mut [u8; NAME_OCTETS_MAX]) -> usize {
    let mut length = 0;
    loop {
        at = resolve_pointer(reply, at);
        let octets = 1 + usize::from(reply[at]);
        name[length..length + octets].copy_from_slice(&reply[at..at + octets]);
        length += octets;
        at += octets;
        if octets == 1 {
            name[..length].make_ascii_lowercase();
            return length;
        }
    }
}

/// Where the name at `at` of a reply of ours goes on after its first `octets` octets, a number of whole labels.
fn suffix_at(reply: &[u8], mut at: usize, octets: usize) -> usize {
    let mut passed = 0;
    while passed < octets {
        at = resolve_pointer(reply, at);
        let label = 1 + usize::from(reply[at]);
        passed += label;
        at += label;
    }
    resolve_pointer(reply, at)
}

fn resolve_pointer(reply: &[u8], at: usize) -> usize {
    match reply[at] {
        high @ 0xc0.. => {
            resolve_pointer(reply, usize::from(u16::from_be_bytes([high & 0x3f, reply[at + 1]])))
        }
        _ => at,
    }
}
