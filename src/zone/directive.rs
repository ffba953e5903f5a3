//! The directives of master files: `$ORIGIN` and `$INCLUDE` (RFC 1035 section 5.1), `$TTL` (RFC 2308 section 4) and
//! `$GENERATE`, bounded where they make text of text.

use std::borrow::Cow;
use std::path::PathBuf;
use std::rc::Rc;

use super::generate::{self, Range};
use super::lexer::Lexer;
use super::rdata::{Tokens, Word};
use super::read::{Entry, Reader, TEXT_OCTETS_MAX};
use super::report::Source;
use crate::name;

/// How deep `$INCLUDE` may nest.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// The most files that one zone may include.
pub const INCLUDES_MAX: usize = 1_000;
/// The most records that the `$GENERATE` directives of one zone may make.
pub const GENERATED_MAX: usize = 1 << 20;

impl Reader<'_, '_> {
    /// Obeys a directive; `depth` is how deep the file is included.
    pub(super) fn directive(&mut self, entry: Entry, depth: usize) {
        let mut words = Tokens::new(entry.octets, entry.tokens);
        let word = words.take().expect("an entry has a word");
        match word.text.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => self.origin_directive(entry, words),
            b"$TTL" => self.ttl_directive(entry, words),
            b"$INCLUDE" => self.include_directive(entry, words, depth),
            b"$GENERATE" => self.generate_directive(entry, words),
            _ => {
                self.read.lost.any = true;
                let help = "there are $ORIGIN, $TTL, $INCLUDE and $GENERATE; a name that begins with $ is written \\$";
                self.error(entry, word.span, &"this is no directive", &help);
            }
        }
    }

    /// Takes a directive's argument; tells when it is missing.
    fn argument<'t>(&mut self, entry: Entry, words: &mut Tokens<'t>, form: &str) -> Option<Word<'t>> {
        let word = words.take();
        if word.is_none() {
            self.read.lost.any = true;
            self.error(entry, words.rest_span(), &"the directive is not complete", &format!("write {form}"));
        }
        word
    }

    fn no_more_arguments(&mut self, entry: Entry, words: &Tokens, form: &str) {
        if words.peek().is_some() {
            self.error(
                entry,
                words.rest_span(),
                &"the directive should end before this word",
                &format!("write {form}"),
            );
        }
    }

    fn origin_directive(&mut self, entry: Entry, mut words: Tokens) {
        let form = "$ORIGIN NAME";
        let Some(word) = self.argument(entry, &mut words, form) else { return };
        if let Some(origin) = self.name(entry, word) {
            self.origin = origin;
        }
        self.no_more_arguments(entry, &words, form);
    }

    /// The wire name that a word of a directive is.
    fn name(&mut self, entry: Entry, word: Word) -> Option<Vec<u8>> {
        let mut wire = Vec::new();
        match name::parse_to_wire(word.text, Some(&self.origin), &mut wire) {
            Ok(()) => Some(wire),
            Err(fault) => {
                self.read.lost.any = true;
                self.error(entry, word.span, &fault, &"");
                None
            }
        }
    }

    fn ttl_directive(&mut self, entry: Entry, mut words: Tokens) {
        let form = "$TTL SECONDS, or a span such as 1h30m";
        let Some(word) = self.argument(entry, &mut words, form) else { return };
        // A TTL that cannot be read still is one: the records that rely on it are not at fault.
        self.default_ttl = Some(self.ttl(entry, word).unwrap_or_default());
        self.no_more_arguments(entry, &words, form);
    }

    fn include_directive(&mut self, entry: Entry, mut words: Tokens, depth: usize) {
        let form = "$INCLUDE FILE, or $INCLUDE FILE ORIGIN";
        let Some(file) = self.argument(entry, &mut words, form) else { return };
        let origin = match words.take() {
            None => self.origin.clone(),
            Some(word) => match self.name(entry, word) {
                Some(origin) => origin,
                None => return,
            },
        };
        self.no_more_arguments(entry, &words, form);
        let Some(index) = self.open(entry, file, depth) else {
            self.read.lost.any = true;
            return;
        };
        let outer_origin = std::mem::replace(&mut self.origin, origin);
        let outer_owner = self.owner;
        self.source(index, depth + 1);
        self.origin = outer_origin;
        self.owner = outer_owner;
    }

    fn open(&mut self, entry: Entry, file: Word, depth: usize) -> Option<u16> {
        let span = file.span;
        if depth >= INCLUDE_DEPTH_MAX || self.read.report.sources.len() > INCLUDES_MAX {
            let help = format!(
                "files nest {INCLUDE_DEPTH_MAX} deep at most, and a zone includes {INCLUDES_MAX} at most"
            );
            self.error(entry, span, &"too many files are included", &help);
            return None;
        }
        let mut path = Vec::new();
        if let Err(fault) = file.unescape(&mut path) {
            self.error(entry, span, &fault.problem, &"");
            return None;
        }
        let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
        let octets = match (self.include)(&path) {
            Ok(octets) => octets,
            Err(error) => {
                let help = "name a file inside the folder of the zone";
                self.error(entry, span, &format!("the file cannot be read: {error}"), &help);
                return None;
            }
        };
        self.text_octets = self.text_octets.saturating_add(octets.len());
        if self.text_octets > TEXT_OCTETS_MAX {
            self.error(
                entry,
                span,
                &"the zone is too long",
                &format!("its files have at most {TEXT_OCTETS_MAX} octets"),
            );
            self.stopped = true;
            return None;
        }
        let index = u16::try_from(self.read.report.sources.len()).expect("INCLUDES_MAX is below");
        let name = self.folder.join(path).to_string_lossy().into();
        self.read.report.sources.push(Source { name, octets: Rc::new(Cow::Owned(octets)) });
        Some(index)
    }

    fn generate_directive(&mut self, entry: Entry, mut words: Tokens) {
        let form = "$GENERATE START-STOP/STEP OWNER TYPE DATA";
        let Some(word) = self.argument(entry, &mut words, form) else { return };
        let range = match Range::parse(word.text) {
            Ok(range) => range,
            Err(fault) => {
                self.read.lost.any = true;
                return self.error(entry, word.span, &fault, &fault.help());
            }
        };
        if self.argument(entry, &mut words.clone(), form).is_none() {
            return;
        }
        let template = template(&words);
        self.generated = self.generated.saturating_add(range.count());
        self.text_octets = self.text_octets.saturating_add(range.count().saturating_mul(template.len()));
        if self.generated > GENERATED_MAX || self.text_octets > TEXT_OCTETS_MAX {
            self.read.lost.any = true;
            let help = format!(
                "a zone has at most {GENERATED_MAX} records from $GENERATE, and {TEXT_OCTETS_MAX} octets of text"
            );
            return self.error(entry, word.span, &"this makes too many records", &help);
        }
        self.generate(entry, range, &template);
    }

    /// Reads the records of one directive, up to the first with a fault.
    fn generate(&mut self, entry: Entry, range: Range, template: &[u8]) {
        let directive = entry.tokens[0].span;
        let (mut text, mut tokens) = (Vec::new(), Vec::new());
        let outer_owner = self.owner;
        for number in range.numbers() {
            if let Err(fault) = generate::expand(template, number, &mut text) {
                self.read.lost.any = true;
                return self.error(entry, directive, &fault, &fault.help());
            }
            match Lexer::new(&text, 0).entry(&mut tokens) {
                Ok(None) => break,
                Ok(Some(column)) => {
                    let made =
                        Entry { octets: &text, tokens: &tokens, column, made_by: Some(directive), ..entry };
                    if !self.record(made) || self.stopped {
                        break;
                    }
                }
                Err((_, fault)) => {
                    self.read.lost.any = true;
                    self.error(entry, directive, &fault, &fault.help());
                    break;
                }
            }
        }
        self.owner = outer_owner;
    }
}

/// The words of a `$GENERATE` after its range as one line, quotes kept.
fn template(words: &Tokens) -> Vec<u8> {
    let mut text = Vec::new();
    let mut end = 0;
    for word in words.words() {
        let start = word.span.start - u32::from(word.quoted);
        if !text.is_empty() && start > end {
            text.push(b' ');
        }
        let quote: &[u8] = if word.quoted { b"\"" } else { b"" };
        text.extend([quote, word.text, quote].concat());
        end = word.span.end + u32::from(word.quoted);
    }
    text
}
