//! What is wrong in a file that a person wrote, where, and what would be right. Zone files and the configuration
//! report by it, so that all their faults look alike. It knows text and places in it, not what the text means.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The longest part of a line that is shown, in characters.
const EXCERPT_CHARS_MAX: usize = 160;
/// How many characters before the fault a line is cut, where it is too long to be shown whole.
const EXCERPT_CHARS_BEFORE: usize = 40;

/// Whether the file can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// The file, as its reader was told to call it.
    pub file: Arc<str>,
    /// Where in the file; none when it concerns the whole.
    pub spot: Option<Spot>,
    /// What is wrong, in a clause without capital and full stop.
    pub message: String,
    /// What would be right; empty when the message says so.
    pub help: String,
    /// The file or folder that could not be opened, where that is what is wrong.
    pub unopened: Option<Box<Path>>,
}

/// A place in a file, with what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1; a tab is one character.
    pub column: usize,
    /// How many characters are meant, at least 1, within the line.
    pub length: usize,
    /// The line as it stands, its middle only if it is very long.
    pub excerpt: String,
    /// Characters of the excerpt before those that are meant.
    pub indent: usize,
}

impl Spot {
    /// The place of the octets `start..end` of a file, cut to the line that `start` is in.
    #[must_use]
    pub fn new(octets: &[u8], start: usize, end: usize) -> Self {
        let start = start.min(octets.len());
        let line_start = octets[..start].iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
        let line_end =
            octets[start..].iter().position(|&octet| octet == b'\n').map_or(octets.len(), |at| start + at);
        let before = lossy(&octets[line_start..start]);
        let meant = lossy(&octets[start..end.clamp(start, line_end)]);
        let whole = lossy(&octets[line_start..line_end]);
        let cut = if whole.len() > EXCERPT_CHARS_MAX {
            before.len().saturating_sub(EXCERPT_CHARS_BEFORE)
        } else {
            0
        };
        Self {
            line: octets[..start].iter().filter(|&&octet| octet == b'\n').count() + 1,
            column: before.len() + 1,
            length: meant.len().max(1),
            excerpt: whole.iter().skip(cut).take(EXCERPT_CHARS_MAX).collect::<String>().trim_end().to_owned(),
            indent: before.len() - cut,
        }
    }
}

fn lossy(octets: &[u8]) -> Vec<char> {
    String::from_utf8_lossy(octets).chars().collect()
}

impl Fault {
    /// For a log, where a line stands alone and says its weight itself: the place, what is wrong, what would be right.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let place =
            self.spot.as_ref().map_or_else(String::new, |spot| format!(":{}:{}", spot.line, spot.column));
        let help = if self.help.is_empty() { String::new() } else { format!("; {}", self.help) };
        let line = format!("{}{place}: {}{help}", self.file, self.message);
        line.replace(char::is_control, " ")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Several lines: severity and message, the place, the line with a marker, the help; no line feed at the end.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n --> {}", self.severity, self.message, self.file)?;
        if let Some(spot) = &self.spot {
            write!(f, ":{}:{}", spot.line, spot.column)?;
            write_excerpt(spot, f)?;
        }
        if self.help.is_empty() { Ok(()) } else { write!(f, "\nhelp: {}", self.help) }
    }
}

fn write_excerpt(spot: &Spot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let margin = spot.line.to_string();
    let shown =
        |character: char| if character.is_control() && character != '\t' { '\u{fffd}' } else { character };
    let excerpt: String = spot.excerpt.chars().map(shown).collect();
    let tabs_kept = |character: char| if character == '\t' { '\t' } else { ' ' };
    let indent: String =
        excerpt.chars().map(tabs_kept).chain(std::iter::repeat(' ')).take(spot.indent).collect();
    let length = spot.length.min(EXCERPT_CHARS_MAX.saturating_sub(spot.indent)).max(1);
    let space = " ".repeat(margin.len());
    write!(f, "\n{space} |\n{margin} | {excerpt}\n{space} | {indent}{}", "^".repeat(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, meant: &str) -> Fault {
        let start = text.find(meant).unwrap();
        Fault {
            severity: Severity::Error,
            file: "a.zone".into(),
            spot: Some(Spot::new(text.as_bytes(), start, start + meant.len())),
            message: "no address".into(),
            help: "write 192.0.2.1".into(),
            unopened: None,
        }
    }

    #[test]
    fn a_log_has_one_line_for_a_fault() {
        let mut fault = fault("a = 1\nb = x\n", "x");
        fault.help = "write a\nnumber".to_owned();
        let line = fault.in_one_line();
        assert!(line.contains(":2:5: ") && line.ends_with("; write a number"), "{line}");
        assert!(!line.contains('\n') && !line.starts_with("error"), "{line}");
    }

    #[test]
    fn the_marker_stands_under_what_is_meant() {
        let shown = fault("one\n\twww A bogus ; é\r\nthree", "bogus").to_string();
        assert_eq!(
            shown,
            "error: no address\n --> a.zone:2:8\n  |\n2 | \twww A bogus ; é\n  | \t      ^^^^^\nhelp: write 192.0.2.1"
        );
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(fault("éé x", "x").spot.unwrap().column, 4);
    }

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let line = format!("{}bogus{}", "a".repeat(5000), "b".repeat(5000));
        let spot = fault(&line, "bogus").spot.unwrap();
        assert_eq!((spot.column, spot.length, spot.indent), (5001, 5, EXCERPT_CHARS_BEFORE));
        assert_eq!(spot.excerpt.chars().count(), EXCERPT_CHARS_MAX);
    }

    #[test]
    fn a_place_past_the_end_or_across_lines_stays_in_its_line() {
        assert_eq!(Spot::new(b"ab\ncd", 99, 120).column, 3);
        assert_eq!(Spot::new(b"ab\ncd", 0, 5).length, 2);
        assert_eq!(Spot::new(b"", 0, 0).length, 1);
    }
}
