//! The text of a configuration, and where something stands in it.

use std::ops::Range;
use std::sync::Arc;

use crate::fault::{Fault, Severity, Spot};

/// A piece of the text, in octets from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first octet.
    pub start: usize,
    /// The octet behind the last.
    pub end: usize,
}

/// A text with its name and the starts of its lines.
#[derive(Clone, Debug)]
pub struct Text {
    file: Arc<str>,
    source: Box<str>,
    line_starts: Vec<usize>,
}

impl Text {
    /// The text of `file`, which is the name that faults show.
    #[must_use]
    pub fn new(source: &str, file: &str) -> Self {
        let line_starts =
            std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), source: source.into(), line_starts }
    }

    /// The line, from 1, on which `span` begins.
    #[must_use]
    pub fn line(&self, span: Span) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// A fault at `span`; of a piece of several lines the first is shown.
    #[must_use]
    pub fn fault(&self, severity: Severity, span: Span, message: String, help: String) -> Fault {
        let line = self.line(span);
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).copied().unwrap_or(self.source.len());
        let mut spot = Spot::new(&self.source.as_bytes()[start..end], span.start - start, span.end - start);
        spot.line = line;
        Fault { severity, file: Arc::clone(&self.file), spot: Some(spot), message, help, unopened: None }
    }

    /// A fault of the text as a whole.
    #[must_use]
    pub fn remark(&self, severity: Severity, message: String) -> Fault {
        Fault {
            severity,
            file: Arc::clone(&self.file),
            spot: None,
            message,
            help: String::new(),
            unopened: None,
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end.max(range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str, span: Range<usize>) -> (usize, usize, usize, String) {
        let text = Text::new(source, "rhumb.toml");
        let spot = text.fault(Severity::Error, span.into(), String::new(), String::new()).spot.unwrap();
        (spot.line, spot.column, spot.length, spot.excerpt)
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        assert_eq!(place("a\nbé c\r\n", 2..3), (2, 1, 1, "bé c".to_owned()));
        assert_eq!(place("a\nbé c\r\n", 6..7), (2, 4, 1, "bé c".to_owned()));
    }

    #[test]
    fn the_end_of_the_text_is_a_place_too() {
        assert_eq!(place("a\n", 2..2), (2, 1, 1, String::new()));
        assert_eq!(place("", 0..0), (1, 1, 1, String::new()));
        assert_eq!(place("ab", 2..2), (1, 3, 1, "ab".to_owned()));
    }

    #[test]
    fn a_piece_of_several_lines_is_marked_on_its_first() {
        assert_eq!(place("x = [\n1,\n]", 4..10), (1, 5, 1, "x = [".to_owned()));
    }
}
