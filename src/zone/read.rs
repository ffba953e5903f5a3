//! Master files into records (RFC 1035 section 5.1, RFC 2308 section 4): owners, TTLs, classes. It reads on after a
//! fault. Directives are in `directive`; what the records are to each other is judged in `build` and `check`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::lexer::{FirstColumn, LexFault, Lexer, Span, Token};
use super::raw::{ARENA_OCTETS_MAX, RECORDS_MAX, Raw, RawOwner, RawRecord};
use super::rdata::{self, Tokens, Word, period};
use super::report::{Place, Report, Source};
use crate::name::{self, Name};
use crate::wire::code::RecordType;

/// The largest TTL in seconds (RFC 2181 section 8).
pub const TTL_MAX: u32 = (1 << 31) - 1;
/// The most octets of text of one zone, all its files together.
pub const TEXT_OCTETS_MAX: usize = 1 << 30;

/// The most records that could not be read and are remembered; beyond, any may be missing.
const LOST_MAX: usize = 10_000;

/// Gives the octets of a file that `$INCLUDE` names, by its path as written.
pub type Include<'a> = &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// What was read, with what could not be.
pub(super) struct Read<'a> {
    pub(super) raw: Raw,
    pub(super) report: Report<'a>,
    pub(super) lost: Lost,
}

/// Records that were there but could not be read: their absence is no second fault.
#[derive(Default)]
pub(super) struct Lost {
    /// By owner and type, none where the type is not known either.
    records: BTreeSet<(Vec<u8>, Option<RecordType>)>,
    /// There may have been records of any owner and type.
    pub(super) any: bool,
}

impl Lost {
    /// Whether such a record may have been among them.
    pub(super) fn may_hold(&self, owner: &[u8], rtype: RecordType) -> bool {
        let holds = |rtype| self.records.contains(&(owner.to_vec(), rtype));
        self.any || holds(Some(rtype)) || holds(None)
    }
}

/// Whose records follow.
#[derive(Clone, Copy)]
pub(super) enum CurrentOwner {
    None,
    Known(u32),
    /// The owner is not in the zone; its records are read for their faults only.
    Outside,
    /// The owner could not be read; its records are read for their faults only.
    Lost,
}

/// Where the words of an entry stand.
#[derive(Clone, Copy)]
pub(super) struct Entry<'t> {
    pub(super) octets: &'t [u8],
    pub(super) tokens: &'t [Token],
    pub(super) column: FirstColumn,
    pub(super) source: u16,
    /// The directive that made this entry; faults are told there.
    pub(super) made_by: Option<Span>,
}

impl Entry<'_> {
    fn place(&self, span: Span) -> Place {
        Place { source: self.source, span: self.made_by.unwrap_or(span) }
    }
}

pub(super) struct Reader<'a, 'i> {
    zone: &'a Name,
    pub(super) include: Include<'i>,
    pub(super) folder: PathBuf,
    pub(super) read: Read<'a>,
    /// What relative names refer to.
    pub(super) origin: Vec<u8>,
    pub(super) owner: CurrentOwner,
    /// From `$TTL`, or the minimum of an SOA without TTL.
    pub(super) default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    pub(super) text_octets: usize,
    pub(super) generated: usize,
    /// A limit is reached; nothing more is read.
    pub(super) stopped: bool,
}

/// Reads the zone `zone` from `octets`, which are those of `file`.
pub(super) fn read<'a>(zone: &'a Name, file: &Path, octets: &'a [u8], include: Include<'_>) -> Read<'a> {
    let main = Source { name: file.to_string_lossy().into(), octets: Rc::new(Cow::Borrowed(octets)) };
    let read =
        Read { raw: Raw::with_room_for(octets.len()), report: Report::new(main), lost: Lost::default() };
    let mut reader = Reader {
        zone,
        include,
        folder: file.parent().map_or_else(PathBuf::new, Path::to_owned),
        read,
        origin: zone.as_wire().to_vec(),
        owner: CurrentOwner::None,
        default_ttl: None,
        last_ttl: None,
        text_octets: octets.len(),
        generated: 0,
        stopped: false,
    };
    if octets.len() > TEXT_OCTETS_MAX {
        reader
            .read
            .report
            .error_in_all(&"the file is too long", &format!("a zone has at most {TEXT_OCTETS_MAX} octets"));
    } else {
        reader.source(0, 0);
    }
    reader.read
}

impl Reader<'_, '_> {
    /// Reads one file, and those that it includes.
    pub(super) fn source(&mut self, index: u16, depth: usize) {
        let octets = Rc::clone(&self.read.report.sources[usize::from(index)].octets);
        let mut lexer = Lexer::new(&octets, 0);
        let mut tokens = Vec::new();
        while !self.stopped {
            match lexer.entry(&mut tokens) {
                Ok(None) => return,
                Ok(Some(column)) => {
                    let entry =
                        Entry { octets: &octets, tokens: &tokens, column, source: index, made_by: None };
                    self.entry(entry, depth);
                }
                Err((span, fault)) => {
                    self.read.report.error(Place { source: index, span }, &fault, &fault.help());
                    let entry = Entry {
                        octets: &octets,
                        tokens: &tokens,
                        column: FirstColumn::Blank,
                        source: index,
                        made_by: None,
                    };
                    self.broken_entry(entry, fault);
                }
            }
        }
    }

    fn entry(&mut self, entry: Entry, depth: usize) {
        let first = entry.tokens[0];
        let is_directive = !first.quoted && entry.octets[first.span.start as usize] == b'$';
        if entry.column == FirstColumn::Word && is_directive && entry.made_by.is_none() {
            self.directive(entry, depth);
        } else {
            self.record(entry);
        }
    }

    /// Takes the owner of an entry that has not all its words: lines after it may leave theirs out.
    fn broken_entry(&mut self, entry: Entry, fault: LexFault) {
        self.read.lost.any |= matches!(fault, LexFault::Open | LexFault::TooManyTokens);
        let Some(first) = entry.tokens.first() else { return self.owner = CurrentOwner::Lost };
        let starts_line = match first.span.start {
            0 => true,
            start => entry.octets[start as usize - 1] == b'\n',
        };
        if starts_line {
            let word = Tokens::new(entry.octets, entry.tokens).take().expect("there is a first token");
            self.owner = self.owner(entry, word);
        }
        self.lose(None);
    }

    /// Notes that a record of the current owner could not be read.
    fn lose(&mut self, rtype: Option<RecordType>) {
        match self.owner {
            _ if self.read.lost.any => {}
            CurrentOwner::Known(owner) => {
                let raw = &self.read.raw;
                let name = raw.name(raw.owners[owner as usize]).to_vec();
                self.read.lost.records.insert((name, rtype));
                self.read.lost.any |= self.read.lost.records.len() > LOST_MAX;
            }
            CurrentOwner::Outside => {}
            CurrentOwner::None | CurrentOwner::Lost => self.read.lost.any = true,
        }
    }

    pub(super) fn error(
        &mut self,
        entry: Entry,
        span: Span,
        message: &dyn std::fmt::Display,
        help: &dyn std::fmt::Display,
    ) {
        self.read.report.error(entry.place(span), message, help);
    }

    /// Reads a record; whether it had no fault.
    pub(super) fn record(&mut self, entry: Entry) -> bool {
        let mut words = Tokens::new(entry.octets, entry.tokens);
        if entry.column == FirstColumn::Word {
            let word = words.take().expect("an entry has a word");
            self.owner = self.owner(entry, word);
        } else if matches!(self.owner, CurrentOwner::None) {
            let span = entry.tokens[0].span;
            self.error(
                entry,
                span,
                &"the first record has no owner",
                &"begin the line with a name, or with @ for the origin",
            );
            self.owner = CurrentOwner::Lost;
        }
        let Some((ttl, rtype, type_span)) = self.ttl_and_type(entry, &mut words) else {
            self.lose(None);
            return false;
        };
        let start = self.read.raw.octets.len();
        if let Err(fault) = rdata::read(rtype, words, &self.origin, &mut self.read.raw.octets) {
            self.error(entry, fault.span, &fault.problem, &fault.problem.help());
            self.read.raw.octets.truncate(start);
            self.lose(Some(rtype));
            return false;
        }
        let Some(ttl) = self.effective_ttl(entry, ttl, rtype, type_span) else {
            self.lose(Some(rtype));
            return false;
        };
        match self.owner {
            CurrentOwner::Known(owner) => self.push(entry, owner, ttl, rtype, start, type_span),
            _ => {
                self.lose(Some(rtype));
                false
            }
        }
    }

    fn push(
        &mut self,
        entry: Entry,
        owner: u32,
        ttl: u32,
        rtype: RecordType,
        start: usize,
        type_span: Span,
    ) -> bool {
        let raw = &mut self.read.raw;
        if raw.octets.len() > ARENA_OCTETS_MAX || raw.records.len() >= RECORDS_MAX {
            self.stopped = true;
            let help = format!(
                "a zone has at most {RECORDS_MAX} records and {ARENA_OCTETS_MAX} octets of names and data"
            );
            self.error(entry, type_span, &"the zone is too large", &help);
            return false;
        }
        raw.records.push(RawRecord {
            owner,
            ttl,
            rdata: u32::try_from(start).expect("ARENA_OCTETS_MAX is below"),
            at: entry.made_by.unwrap_or(type_span).start,
            length: u16::try_from(raw.octets.len() - start).expect("record data is bounded when read"),
            rtype,
            source: entry.source,
        });
        true
    }

    fn owner(&mut self, entry: Entry, word: Word) -> CurrentOwner {
        let raw = &mut self.read.raw;
        let start = raw.octets.len();
        if let Err(fault) = name::parse_to_wire(word.text, Some(&self.origin), &mut raw.octets) {
            self.error(entry, word.span, &fault, &"");
            return CurrentOwner::Lost;
        }
        raw.octets[start..].make_ascii_lowercase();
        let wire = &raw.octets[start..];
        let zone = self.zone.as_wire();
        if !name::suffixes(wire).take_while(|suffix| suffix.len() >= zone.len()).any(|suffix| suffix == zone)
        {
            let help = if word.text.ends_with(b".") {
                format!("names in this zone are {} or end in it", self.zone)
            } else {
                "the origin that completes it lies outside of the zone; see the last $ORIGIN".to_owned()
            };
            self.error(entry, word.span, &format!("the name is outside of the zone {}", self.zone), &help);
            return CurrentOwner::Outside;
        }
        if raw.owners.last().is_some_and(|&last| raw.name(last) == wire) {
            raw.octets.truncate(start);
        } else {
            let length = u8::try_from(wire.len()).expect("a name has at most 255 octets");
            let Ok(name) = u32::try_from(start) else { return CurrentOwner::Lost };
            raw.owners.push(RawOwner { name, length });
        }
        CurrentOwner::Known(u32::try_from(raw.owners.len() - 1).expect("owners are fewer than octets"))
    }

    /// Reads what stands between owner and data: TTL and class in any order, both optional, and the type.
    fn ttl_and_type(&mut self, entry: Entry, words: &mut Tokens) -> Option<(Option<u32>, RecordType, Span)> {
        let (mut ttl, mut class_seen) = (None, false);
        loop {
            let Some(word) = words.take() else {
                let help = "write OWNER TTL IN TYPE DATA; a line without owner begins with a space";
                self.error(entry, words.rest_span(), &"the type of the record is missing", &help);
                return None;
            };
            if ttl.is_none() && word.text.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(self.ttl(entry, word)?);
            } else if let Some(is_internet) = class(word).filter(|_| !class_seen) {
                if !is_internet {
                    self.error(
                        entry,
                        word.span,
                        &"this class is not served",
                        &"write IN, or leave the class out",
                    );
                    return None;
                }
                class_seen = true;
            } else {
                return self.record_type(entry, word).map(|rtype| (ttl, rtype, word.span));
            }
        }
    }

    pub(super) fn ttl(&mut self, entry: Entry, word: Word) -> Option<u32> {
        let ttl = period(word.text).filter(|&ttl| ttl <= TTL_MAX);
        if ttl.is_none() {
            let help = format!("write seconds or a span such as 1h30m, at most {TTL_MAX} seconds");
            self.error(entry, word.span, &"this is no TTL", &help);
        }
        ttl
    }

    fn record_type(&mut self, entry: Entry, word: Word) -> Option<RecordType> {
        let rtype = match word.text {
            b"A" => Some(RecordType::A),
            b"AAAA" => Some(RecordType::AAAA),
            text => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        };
        let Some(rtype) = rtype else {
            let help = "write a mnemonic such as AAAA, or TYPE with a number and the data as \\# LENGTH HEX";
            self.error(entry, word.span, &"this is no record type", &help);
            return None;
        };
        if rtype.is_meta() || rtype == RecordType(0) {
            self.error(
                entry,
                word.span,
                &format!("{rtype} stands in messages, never in zones"),
                &"take the record away",
            );
            return None;
        }
        Some(rtype)
    }

    /// The record's own TTL; else that of `$TTL`, the SOA's minimum, or that of the record before.
    fn effective_ttl(
        &mut self,
        entry: Entry,
        own: Option<u32>,
        rtype: RecordType,
        span: Span,
    ) -> Option<u32> {
        if own.is_some() {
            self.last_ttl = own;
            return own;
        }
        if let Some(ttl) = self.default_ttl.or(self.last_ttl) {
            return Some(ttl);
        }
        if rtype == RecordType::SOA {
            let minimum = self.read.raw.octets.last_chunk().copied().map_or(0, u32::from_be_bytes);
            self.default_ttl = Some(minimum.min(TTL_MAX));
            let help = "write $TTL at the head of the file";
            self.read.report.warn(entry.place(span), &"no TTL is given; the SOA's minimum is taken", &help);
            return self.default_ttl;
        }
        self.error(entry, span, &"no TTL is given", &"write $TTL at the head of the file");
        None
    }
}

/// Whether a word is a class: IN or another.
fn class(word: Word) -> Option<bool> {
    let is = |class: &[u8]| word.text.eq_ignore_ascii_case(class);
    let digits = word.text.split_at_checked(5).filter(|(head, _)| head.eq_ignore_ascii_case(b"CLASS"));
    if is(b"IN") {
        Some(true)
    } else if is(b"CH") || is(b"HS") || is(b"CS") || is(b"NONE") || is(b"ANY") {
        // ANY is a type's mnemonic too; in a zone it is as wrong.
        Some(false)
    } else {
        rdata::decimal(digits?.1).map(|number| number == 1)
    }
}
