//! How a question is answered: RFC 1034 section 4.3.2 with RFC 2181, 2308, 4592, 6672 and 8482, and at steered
//! names the variant that suits the client. Records go straight into the reply; what remains to be said of it
//! is the [`Outcome`].

use std::net::IpAddr;

use super::chaos;
use super::names::{Entry, Found, Kind};
use super::records::{Model, Records, Role};
use super::steering::{Steered, Steering};
use super::table::AnswerTable;
use super::written::{is_name, read_name, suffix_at};
use crate::ids::{ServiceId, ZoneId};
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
    /// The records did not fit, and none is there.
    pub(super) truncated: bool,
}

/// The most links of one chain of CNAMEs and DNAMEs; the resolver asks on from the last.
const CHAIN_MAX: usize = 16;
/// Data of the extended error of a question outside all zones.
const NOT_AUTHORITATIVE: [u8; 2] = ExtendedError::NOT_AUTHORITATIVE.0.to_be_bytes();

impl<'t> Outcome<'t> {
    /// Of the variant that a client is given.
    #[inline]
    pub(super) fn steered(steered: &Steered<'t>) -> Self {
        let variant = steered.variant;
        Self {
            rcode: variant.rcode,
            authoritative: variant.rcode == Rcode::NOERROR,
            scope: steered.scope,
            extended_error: variant.extended_error.as_deref(),
            counter: Some(variant.counter),
            truncated: false,
        }
    }

    pub(super) fn authoritative(rcode: Rcode) -> Self {
        Self { rcode, authoritative: true, scope: 0, extended_error: None, counter: None, truncated: false }
    }

    fn refused() -> Self {
        let extended_error = Some(&NOT_AUTHORITATIVE[..]);
        Self { authoritative: false, extended_error, ..Self::authoritative(Rcode::REFUSED) }
    }
}

/// Answers `query` for a client at `client` into `reply`.
#[inline]
pub(super) fn resolve<'t>(
    table: &'t AnswerTable,
    query: &Query<'_>,
    client: IpAddr,
    reply: &mut Reply<'_>,
) -> Outcome<'t> {
    if query.class != Class::IN {
        return of_other_class(table, query, reply);
    }
    let dnssec = query.edns.is_some_and(|edns| edns.dnssec_ok);
    let question = Question { table, rtype: query.rtype, client, dnssec };
    match table.lead(query) {
        Found::Outside => Outcome::refused(),
        found => question.walk(found, Link::question(query.name), reply),
    }
}

#[cold]
fn of_other_class<'t>(table: &'t AnswerTable, query: &Query<'_>, reply: &mut Reply<'_>) -> Outcome<'t> {
    match table.extensions().chaos.text(query).map(|text| chaos::append(text, reply)) {
        Some(Ok(())) => Outcome::authoritative(Rcode::NOERROR),
        Some(Err(Full)) => Outcome { truncated: true, ..Outcome::authoritative(Rcode::NOERROR) },
        None => Outcome::refused(),
    }
}

/// What stays the same along a chain.
pub(super) struct Question<'t> {
    pub(super) table: &'t AnswerTable,
    pub(super) rtype: RecordType,
    pub(super) client: IpAddr,
    /// Whether DNSSEC records are wanted (DO).
    pub(super) dnssec: bool,
}

/// The name that the walk has come to: that of the question, or the end of a chain so far.
#[derive(Clone, Copy)]
pub(super) struct Link<'n> {
    pub(super) name: &'n [u8],
    /// Where the name stands in the reply.
    pub(super) at: usize,
    /// The links that lead here.
    passed: &'n [Passed],
}

/// A link that was followed: where it stands in the reply.
#[derive(Clone, Copy, Default)]
struct Passed {
    /// Its name.
    name_at: u16,
    /// The DNAME record that it was followed by, if it was one and is not there before.
    dname_at: Option<u16>,
}

/// What a CNAME leads to.
struct Next<'t> {
    /// Where its target stands in the reply.
    target_at: usize,
    /// The DNAME that made it, if one did and is new there.
    dname_at: Option<usize>,
    /// The wildcard that stood for its owner, where that is to be proven.
    expanded: Option<Entry<'t>>,
}

impl<'n> Link<'n> {
    fn question(name: &'n [u8]) -> Self {
        Self { name, at: HEADER_OCTETS, passed: &[] }
    }

    pub(super) fn is_question(&self) -> bool {
        self.passed.is_empty()
    }
}

impl<'t> Question<'t> {
    /// Answers from where the name leads.
    fn walk(&self, found: Found<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Outcome<'t> {
        match self.take(&found, link, reply) {
            Step::Done(outcome) => outcome,
            Step::Follow(next) => self.follow(zone_of(&found), next, reply),
        }
    }

    /// Follows a chain to its end, inside the zone it began in.
    #[cold]
    fn follow(&self, zone: Option<ZoneId>, mut next: Next<'t>, reply: &mut Reply<'_>) -> Outcome<'t> {
        // Links are short: all of a chain is within the reach of a pointer.
        let place = |at: usize| u16::try_from(at).expect("a chain is shorter than a message");
        let mut passed = [Passed::default(); CHAIN_MAX];
        let mut expanded = [None; CHAIN_MAX];
        let mut name_at = HEADER_OCTETS;
        let mut outcome = Outcome::authoritative(Rcode::NOERROR);
        for links in 0..CHAIN_MAX {
            passed[links] = Passed { name_at: place(name_at), dname_at: next.dname_at.map(place) };
            expanded[links] = next.expanded;
            name_at = next.target_at;
            let mut room = [0; NAME_OCTETS_MAX];
            let length = read_name(reply.written(), name_at, &mut room);
            let link = Link { name: &room[..length], at: name_at, passed: &passed[..=links] };
            let was_there = |passed: &Passed| is_name(reply.written(), passed.name_at.into(), link.name);
            let found = self.table.names().find(link.name);
            if link.passed.iter().any(was_there) || zone_of(&found) != zone {
                break;
            }
            // A referral goes on in the additional section, behind which no proof may stand.
            if self.is_referral(&found) && self.prove_passed(&passed, &mut expanded, reply).is_err() {
                reply.clear();
                return self.truncated(&found, link);
            }
            match self.take(&found, link, reply) {
                Step::Done(of_last) => {
                    outcome = of_last;
                    break;
                }
                Step::Follow(further) => next = further,
            }
        }
        // Not where each was met: no answer may follow what stands in the authority section.
        if !outcome.truncated && self.prove_passed(&passed, &mut expanded, reply).is_err() {
            reply.clear();
            outcome.truncated = true;
        }
        outcome
    }

    /// Proves of the links that were passed which wildcards stood for their names; each is taken from `expanded`.
    fn prove_passed(
        &self,
        passed: &[Passed; CHAIN_MAX],
        expanded: &mut [Option<Entry<'t>>; CHAIN_MAX],
        reply: &mut Reply<'_>,
    ) -> Result<(), Full> {
        for (passed, expanded) in passed.iter().zip(expanded) {
            let Some(wildcard) = expanded.take() else { continue };
            let at = usize::from(passed.name_at);
            let mut room = [0; NAME_OCTETS_MAX];
            let length = read_name(reply.written(), at, &mut room);
            let link = Link { name: &room[..length], at, passed: std::slice::from_ref(passed) };
            self.prove_expansion(wildcard, u32::MAX, link, reply)?;
        }
        Ok(())
    }

    /// One step, which is the last where the records do not fit.
    fn take(&self, found: &Found<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Step<'t> {
        self.step(found, link, reply).unwrap_or_else(|Full| {
            reply.clear();
            Step::Done(self.truncated(found, link))
        })
    }

    /// What is said of a reply whose records do not fit: what would be said of the whole one.
    fn truncated(&self, found: &Found<'t>, link: Link<'_>) -> Outcome<'t> {
        let is_missing =
            matches!(found, Found::Missing(_)) && self.table.challenges().at(link.name).is_none();
        let rcode = if is_missing { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        let authoritative = !link.is_question() || !self.is_referral(found);
        Outcome { authoritative, truncated: true, ..Outcome::authoritative(rcode) }
    }

    fn is_referral(&self, found: &Found<'t>) -> bool {
        match found {
            Found::BelowCut(_) => true,
            Found::Name(entry) | Found::Wildcard(entry) => {
                entry.kind() == Kind::Cut && self.rtype != RecordType::DS
            }
            _ => false,
        }
    }

    fn step(&self, found: &Found<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        if !self.table.challenges().is_empty()
            && let Some(outcome) = self.challenged(found, link, reply)?
        {
            return Ok(Step::Done(outcome));
        }
        match *found {
            Found::Outside => Ok(Step::Done(Outcome::refused())),
            Found::Missing(encloser) => {
                self.negative(encloser.zone(), u32::MAX, reply)?;
                if self.dnssec {
                    self.prove(encloser.zone(), link, u32::MAX, reply, |proof, reply| {
                        proof.no_name(encloser.name(), reply)
                    })?;
                }
                Ok(Step::Done(Outcome::authoritative(Rcode::NXDOMAIN)))
            }
            // What NS at a wildcard means is not defined (RFC 4592 section 4.2): here, that each name it stands
            // for is a cut.
            Found::Wildcard(cut) if self.is_referral(found) => {
                self.refer(cut, Some(link.at), link, reply).map(Step::Done)
            }
            Found::BelowCut(cut) => self.refer(cut, None, link, reply).map(Step::Done),
            Found::Name(cut) if self.is_referral(found) => self.refer(cut, None, link, reply).map(Step::Done),
            Found::BelowDname(dname) => self.rewrite(dname, link, reply),
            Found::Name(entry) | Found::Wildcard(entry) => self.answer(entry, link, reply),
        }
    }

    /// A name that exists, or a wildcard that stands for it.
    fn answer(&self, entry: Entry<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        // They stand beside a CNAME, steered or not (RFC 4035 section 2.5).
        if matches!(self.rtype, RecordType::RRSIG | RecordType::NSEC)
            && let Some(outcome) = self.beside_alias(entry, link, reply)?
        {
            return Ok(Step::Done(outcome));
        }
        if let Some(service) = entry.service() {
            let steering = self.table.service(service);
            if steering.answers(self.rtype) {
                // No steered record behind a CNAME: its scope could not be told (RFC 7871 section 7.2.1).
                if !link.is_question() {
                    return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
                }
                return self.steer(entry, (service, steering), self.rtype, link, reply).map(Step::Done);
            }
        }
        let mut alias = None;
        for records in entry.records().filter(|records| records.role == Role::Answer) {
            if records.rtype == self.rtype {
                append(&records, &entry, link, reply)?;
                self.sign(entry, self.rtype, link, reply)?;
                return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
            }
            if records.rtype == RecordType::CNAME {
                alias = Some(records);
            }
        }
        if let Some(alias) = alias {
            let target_at = reply.end() + RDATA_AT;
            append(&alias, &entry, link, reply)?;
            if matches!(self.rtype, RecordType::CNAME | RecordType::ANY) {
                self.sign(entry, RecordType::CNAME, link, reply)?;
                return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
            }
            let expanded = if self.dnssec { self.sign_alias(entry, link, reply)? } else { None };
            return Ok(Step::Follow(Next { target_at, dname_at: None, expanded }));
        }
        if self.own_set(entry, link, reply)? {
            return Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)));
        }
        if self.rtype == RecordType::ANY && (entry.service().is_some() || entry.records().next().is_some()) {
            return self.any(entry, link, reply).map(Step::Done);
        }
        let ttl_max =
            entry.service().map_or(u32::MAX, |service| self.table.service(service).negative_ttl_max);
        self.negative(entry.zone(), ttl_max, reply)?;
        if self.dnssec {
            self.prove_no_data(entry, ttl_max, link, reply)?;
        }
        Ok(Step::Done(Outcome::authoritative(Rcode::NOERROR)))
    }

    /// The variant of a steered name that suits the client.
    #[inline]
    pub(super) fn steer(
        &self,
        entry: Entry<'t>,
        (id, service): (ServiceId, &'t Steering),
        rtype: RecordType,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let steered = service.steer(self.table.tree(service.map), self.client, rtype);
        let variant = steered.variant;
        match variant.answer(rtype) {
            Some((count, octets)) => {
                reply.append(Section::Answer, count, octets)?;
                if self.dnssec {
                    self.sign_steered(entry, id, steered.at, rtype, link, reply)?;
                }
            }
            None if variant.rcode == Rcode::NOERROR => {
                self.negative(entry.zone(), service.negative_ttl_max, reply)?;
                if self.dnssec {
                    self.prove_no_steered(entry, id, link, reply)?;
                }
            }
            None => {}
        }
        Ok(Outcome::steered(&steered))
    }

    /// A referral: the cut's NS records and the addresses it needs (RFC 9471). `owner_at` is where the cut's name
    /// stands in the reply, where that is not at the end of the link's name.
    fn refer(
        &self,
        cut: Entry<'t>,
        owner_at: Option<usize>,
        link: Link<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome<'t>, Full> {
        let mut first: &[u8] = &[];
        for records in cut.records() {
            let section = match records.role {
                Role::Referral => {
                    first = records.octets();
                    Section::Authority
                }
                Role::Glue | Role::SiblingGlue => Section::Additional,
                Role::Answer | Role::Negative | Role::Signature => continue,
            };
            let (before, start) = (reply.mark(), reply.end());
            let appended = match owner_at {
                None => append_above(&records, first, section, &cut, link, reply),
                Some(at) => records.append_under(section, Model { owner: cut.name(), first }, at, reply),
            };
            match appended {
                Err(Full) if records.role == Role::SiblingGlue => reply.take_back(before),
                Ok(()) if self.dnssec && records.role == Role::SiblingGlue => {
                    self.sign_addresses(cut.zone(), start, reply);
                }
                appended => appended?,
            }
            if self.dnssec && records.role == Role::Referral {
                self.delegate(cut, owner_at, link, reply)?;
            }
        }
        Ok(Outcome { authoritative: !link.is_question(), ..Outcome::authoritative(Rcode::NOERROR) })
    }

    /// A DNAME above the name: itself, and the CNAME that it means for this name (RFC 6672 section 3.1).
    fn rewrite(&self, dname: Entry<'t>, link: Link<'_>, reply: &mut Reply<'_>) -> Result<Step<'t>, Full> {
        let records = dname.answer(RecordType::DNAME).expect("an entry of this kind has a DNAME");
        let is_there = |at: u16| is_name(reply.written(), at.into(), dname.name());
        let dname_at = if link.passed.iter().filter_map(|passed| passed.dname_at).any(is_there) {
            None
        } else {
            let at = reply.end();
            append_above(&records, records.octets(), Section::Answer, &dname, link, reply)?;
            if self.dnssec {
                self.sign_above(dname, RecordType::DNAME, Section::Answer, link, reply)?;
            }
            Some(at)
        };
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
        // Unless the CNAME is itself what was asked for.
        Ok(match self.rtype {
            RecordType::CNAME | RecordType::ANY => Step::Done(Outcome::authoritative(Rcode::NOERROR)),
            _ => Step::Follow(Next { target_at, dname_at, expanded: None }),
        })
    }

    /// The SOA record of a negative answer. Its TTL is the lesser of its own and MINIMUM already.
    pub(super) fn negative(&self, zone: ZoneId, ttl_max: u32, reply: &mut Reply<'_>) -> Result<(), Full> {
        let top = self.table.zone(zone);
        let shift = reply.question_name_octets() - top.apex.len();
        let (soa, _) = Records::read(&top.negative);
        let octets = soa.append(Section::Authority, shift, reply)?;
        let ttl = octets[6..10].first_chunk_mut().expect("a TTL is four octets");
        let lowest = u32::from_be_bytes(*ttl).min(ttl_max);
        *ttl = lowest.to_be_bytes();
        if self.dnssec { self.sign_negative(top, lowest, reply) } else { Ok(()) }
    }
}

/// What one step of the walk came to.
enum Step<'t> {
    Done(Outcome<'t>),
    /// To the name that stands there in the reply.
    Follow(Next<'t>),
}

/// Where a record's data begins, behind an owner that is a pointer.
pub(super) const RDATA_AT: usize = 12;

pub(super) fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}

pub(super) fn zone_of(found: &Found<'_>) -> Option<ZoneId> {
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
pub(super) fn append(
    records: &Records<'_>,
    entry: &Entry<'_>,
    link: Link<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Full> {
    if link.is_question() {
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
    if link.is_question() {
        let shift = link.name.len() - above.name().len();
        return records.append(section, shift, reply).map(|_| ());
    }
    let owner_at = suffix_at(reply.written(), link.at, link.name.len() - above.name().len());
    records.append_under(section, Model { owner: above.name(), first }, owner_at, reply)
}
