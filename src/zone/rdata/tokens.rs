//! The words of a record, one after the other.

use super::fault::{Noun, Problem, RdataFault};
use crate::name;
use crate::zone::lexer::{Span, Token};

/// What is left of an entry's words.
#[derive(Clone)]
pub struct Tokens<'a> {
    octets: &'a [u8],
    rest: &'a [Token],
    /// Where the entry's last word ends.
    end: u32,
}

/// One word with its place.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// As written, escapes and all, without quotes.
    pub text: &'a [u8],
    /// Where it stands.
    pub span: Span,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

impl<'a> Tokens<'a> {
    /// The words `list` of the text `octets`.
    #[must_use]
    pub fn new(octets: &'a [u8], list: &'a [Token]) -> Self {
        Self { octets, rest: list, end: list.last().map_or(0, |token| token.span.end) }
    }

    /// The next word, which stays.
    #[must_use]
    pub fn peek(&self) -> Option<Word<'a>> {
        let token = self.rest.first()?;
        Some(Word { text: token.text(self.octets), span: token.span, quoted: token.quoted })
    }

    /// Takes the next word, if there is one.
    pub fn take(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.rest = &self.rest[1..];
        Some(word)
    }

    /// Takes the next word, which should be a `wanted`.
    pub(super) fn next(&mut self, wanted: Noun) -> Result<Word<'a>, RdataFault> {
        let end = Span { start: self.end, end: self.end };
        self.take().ok_or(RdataFault::new(end, Problem::Missing(wanted)))
    }

    /// From the next word to the last.
    #[must_use]
    pub fn rest_span(&self) -> Span {
        Span { start: self.rest.first().map_or(self.end, |token| token.span.start), end: self.end }
    }

    /// The words, which stay.
    pub fn words(&self) -> impl Iterator<Item = Word<'a>> {
        let mut rest = self.clone();
        std::iter::from_fn(move || rest.take())
    }
}

impl Word<'_> {
    pub(super) fn fault(&self, problem: Problem) -> RdataFault {
        RdataFault::new(self.span, problem)
    }

    pub(super) fn unfit(&self, wanted: Noun) -> RdataFault {
        self.fault(Problem::Unfit(wanted))
    }

    /// The word as a `T`, by its own reading of text.
    pub(super) fn parse<T: std::str::FromStr>(&self, wanted: Noun) -> Result<T, RdataFault> {
        let text = std::str::from_utf8(self.text).ok();
        text.and_then(|text| text.parse().ok()).ok_or(self.unfit(wanted))
    }

    /// The word as a decimal number.
    pub(super) fn decimal<T: TryFrom<u64>>(&self, wanted: Noun) -> Result<T, RdataFault> {
        super::decimal(self.text).and_then(|number| T::try_from(number).ok()).ok_or(self.unfit(wanted))
    }

    /// Appends the octets that the word means, its escapes resolved.
    pub(in crate::zone) fn unescape(&self, out: &mut Vec<u8>) -> Result<(), RdataFault> {
        let mut rest = self.text;
        while let Some((&octet, tail)) = rest.split_first() {
            rest = tail;
            let meant = if octet == b'\\' { name::unescape(&mut rest) } else { Ok(octet) };
            out.push(meant.map_err(|fault| self.fault(Problem::Name(fault)))?);
        }
        Ok(())
    }
}
