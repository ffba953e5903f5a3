//! The texts of a zone and what was found wrong in them, bounded.

use std::borrow::Cow;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use super::lexer::{Lexer, Span};
use super::raw::RawRecord;
use crate::fault::{Fault, Severity, Spot};

/// The most faults, and the most warnings, that are told one by one.
pub const FAULTS_MAX: usize = 100;

/// One file of a zone.
pub(super) struct Source<'a> {
    pub(super) name: Arc<str>,
    pub(super) octets: Rc<Cow<'a, [u8]>>,
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) source: u16,
    pub(super) span: Span,
}

/// What was read, and what was wrong.
pub(super) struct Report<'a> {
    pub(super) sources: Vec<Source<'a>>,
    errors: Findings,
    warnings: Findings,
}

/// Faults of one severity, with their places for sorting.
#[derive(Default)]
struct Findings {
    told: Vec<((u16, u32), Fault)>,
    untold: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(main: Source<'a>) -> Self {
        Self { sources: vec![main], errors: Findings::default(), warnings: Findings::default() }
    }

    /// The word at which a record's type stands, or the directive that made the record.
    pub(super) fn type_place(&self, record: &RawRecord) -> Place {
        let rest = &self.sources[usize::from(record.source)].octets[record.at as usize..];
        let length = rest.iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
        let end = record.at + u32::try_from(length).expect("TEXT_OCTETS_MAX is below");
        Place { source: record.source, span: Span { start: record.at, end } }
    }

    /// The last word of a record, where NS, MX and SRV have their target.
    pub(super) fn target_place(&self, record: &RawRecord) -> Place {
        let octets = &self.sources[usize::from(record.source)].octets;
        let mut tokens = Vec::new();
        match Lexer::new(octets, record.at as usize).entry(&mut tokens) {
            Ok(Some(_)) => Place { source: record.source, span: tokens[tokens.len() - 1].span },
            _ => self.type_place(record),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.told.is_empty()
    }

    pub(super) fn error(&mut self, place: Place, message: &dyn Display, help: &dyn Display) {
        let sources = &self.sources;
        self.errors.add(key(place), || fault(Severity::Error, sources, Some(place), message, help));
    }

    pub(super) fn warn(&mut self, place: Place, message: &dyn Display, help: &dyn Display) {
        let sources = &self.sources;
        self.warnings.add(key(place), || fault(Severity::Warning, sources, Some(place), message, help));
    }

    /// An error of the zone as a whole.
    pub(super) fn error_in_all(&mut self, message: &dyn Display, help: &dyn Display) {
        let sources = &self.sources;
        self.errors.add((0, 0), || fault(Severity::Error, sources, None, message, help));
    }

    /// All errors and all warnings, each in the order of the files.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let name = Arc::clone(&self.sources[0].name);
        (self.errors.finish(&name, Severity::Error), self.warnings.finish(&name, Severity::Warning))
    }
}

fn key(place: Place) -> (u16, u32) {
    (place.source, place.span.start)
}

fn fault(
    severity: Severity,
    sources: &[Source],
    place: Option<Place>,
    message: &dyn Display,
    help: &dyn Display,
) -> Fault {
    let source = &sources[place.map_or(0, |place| usize::from(place.source))];
    let spot =
        place.map(|Place { span, .. }| Spot::new(&source.octets, span.start as usize, span.end as usize));
    Fault {
        severity,
        file: Arc::clone(&source.name),
        spot,
        message: message.to_string(),
        help: help.to_string(),
        unopened: None,
    }
}

impl Findings {
    fn add(&mut self, key: (u16, u32), fault: impl FnOnce() -> Fault) {
        if self.told.len() < FAULTS_MAX {
            self.told.push((key, fault()));
        } else {
            self.untold += 1;
        }
    }

    fn finish(mut self, file: &Arc<str>, severity: Severity) -> Vec<Fault> {
        self.told.sort_by_key(|(key, _)| *key);
        let mut faults: Vec<Fault> = self.told.into_iter().map(|(_, fault)| fault).collect();
        if self.untold > 0 {
            let (message, help) = (format!("and {} more", self.untold), String::new());
            faults.push(Fault {
                severity,
                file: Arc::clone(file),
                spot: None,
                message,
                help,
                unopened: None,
            });
        }
        faults
    }
}
