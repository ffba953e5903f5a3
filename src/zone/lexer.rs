//! Words of a master file (RFC 1035 section 5.1): parentheses, quotes, escapes, comments, line ends. It gives one
//! entry (a directive or a record) at a time, as places in the text; nothing is copied and no escape is resolved.

use std::fmt;

/// The most words in one entry: the longest record data, written octet by octet, and room for the rest.
pub const ENTRY_TOKENS_MAX: usize = (1 << 17) + 64;

/// A stretch of a text, in octets from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first octet.
    pub start: u32,
    /// The octet after the last.
    pub end: u32,
}

/// A word, or what stands between two quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it stands, without its quotes.
    pub span: Span,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

impl Token {
    /// What stands there, escapes and all.
    #[must_use]
    pub fn text(self, octets: &[u8]) -> &[u8] {
        &octets[self.span.start as usize..self.span.end as usize]
    }
}

/// An entry's first column: empty, which means the owner of the record before, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstColumn {
    /// The line begins with a space or a tab.
    Blank,
    /// The first word is an owner or a directive.
    Word,
}

/// Text that does not fall into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexFault {
    /// A quote that is not closed in its line.
    Quote,
    /// A parenthesis that is never closed.
    Open,
    /// A parenthesis that was never opened.
    Close,
    /// An entry of more than [`ENTRY_TOKENS_MAX`] words.
    TooManyTokens,
}

/// Goes through a text entry by entry.
pub struct Lexer<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Begins at `start`; the text has at most `u32::MAX` octets.
    #[must_use]
    pub fn new(octets: &'a [u8], start: usize) -> Self {
        assert!(u32::try_from(octets.len()).is_ok(), "the reader bounds what it reads");
        let byte_order_mark = start == 0 && octets.starts_with(b"\xef\xbb\xbf");
        Self { octets, at: if byte_order_mark { 3 } else { start } }
    }

    /// Replaces `tokens` by those of the next entry that has any; none at the end of the text. After a fault it
    /// goes on with the line after, or ends where that would make no sense.
    pub fn entry(&mut self, tokens: &mut Vec<Token>) -> Result<Option<FirstColumn>, (Span, LexFault)> {
        loop {
            tokens.clear();
            let column = match self.octets.get(self.at) {
                None => return Ok(None),
                Some(b' ' | b'\t') => FirstColumn::Blank,
                Some(_) => FirstColumn::Word,
            };
            if let Err((span, fault)) = self.words(tokens) {
                self.at = if fault == LexFault::Open { self.octets.len() } else { self.line_end() };
                return Err((span, fault));
            }
            if !tokens.is_empty() {
                return Ok(Some(column));
            }
        }
    }

    fn words(&mut self, tokens: &mut Vec<Token>) -> Result<(), (Span, LexFault)> {
        let mut depth = 0u32;
        let mut opened_at = 0;
        loop {
            let Some(&octet) = self.octets.get(self.at) else {
                return if depth == 0 {
                    Ok(())
                } else {
                    Err((span(opened_at, opened_at + 1), LexFault::Open))
                };
            };
            match octet {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                b';' => self.at = self.line_end(),
                b'(' => {
                    if depth == 0 {
                        opened_at = self.at;
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => return Err((span(self.at, self.at + 1), LexFault::Close)),
                b')' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if tokens.len() == ENTRY_TOKENS_MAX => {
                    return Err((span(self.at, self.at + 1), LexFault::TooManyTokens));
                }
                b'"' => tokens.push(self.quoted()?),
                _ => tokens.push(self.word()),
            }
        }
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        while let Some(&octet) = self.octets.get(self.at) {
            match STOPS[usize::from(octet)] {
                Stop::No => self.at += 1,
                Stop::Escape => self.skip_escaped(),
                Stop::Yes => break,
            }
        }
        Token { span: span(start, self.at), quoted: false }
    }

    fn quoted(&mut self) -> Result<Token, (Span, LexFault)> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.octets.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.skip_escaped(),
                None | Some(b'\n') => return Err((span(start - 1, self.at), LexFault::Quote)),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(Token { span: span(start, self.at - 1), quoted: true })
    }

    /// A backslash takes the next octet with it, but never the end of the line.
    fn skip_escaped(&mut self) {
        let alone = matches!(self.octets.get(self.at + 1), None | Some(b'\n' | b'\r'));
        self.at += if alone { 1 } else { 2 };
    }

    fn line_end(&self) -> usize {
        let rest = &self.octets[self.at..];
        rest.iter().position(|&octet| octet == b'\n').map_or(self.octets.len(), |length| self.at + length)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Lexer::new has checked that offsets fit 32 bits")]
fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// What an octet means inside a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Yes,
    Escape,
}

const STOPS: [Stop; 256] = {
    let mut stops = [Stop::No; 256];
    let ends = b" \t\r\n;()\"";
    let mut index = 0;
    while index < ends.len() {
        stops[ends[index] as usize] = Stop::Yes;
        index += 1;
    }
    stops[b'\\' as usize] = Stop::Escape;
    stops
};

impl LexFault {
    /// What would be right.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Quote => "close the quote in the same line; a quote inside is written \\\"",
            Self::Open => "close it with `)` after the last word of the record",
            Self::Close => "take it away, or open it with `(` in the record's first line",
            Self::TooManyTokens => "a `)` may be missing in a line before",
        }
    }
}

impl fmt::Display for LexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quote => "this quote is not closed",
            Self::Open => "this parenthesis is not closed",
            Self::Close => "this parenthesis was not opened",
            Self::TooManyTokens => return write!(f, "the entry has more than {ENTRY_TOKENS_MAX} words"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each entry as its words with bars between, quoted ones in quotes, `>` before those with a blank column.
    fn entries(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes(), 0);
        let mut tokens = Vec::new();
        let mut all = Vec::new();
        loop {
            let column = match lexer.entry(&mut tokens) {
                Ok(None) => return all,
                Ok(Some(column)) => column,
                Err((span, fault)) => {
                    all.push(format!("{fault:?}@{}", span.start));
                    continue;
                }
            };
            let words: Vec<String> = tokens
                .iter()
                .map(|token| {
                    let text = String::from_utf8_lossy(token.text(text.as_bytes()));
                    if token.quoted { format!("\"{text}\"") } else { text.into_owned() }
                })
                .collect();
            let mark = if column == FirstColumn::Blank { ">" } else { "" };
            all.push(format!("{mark}{}", words.join("|")));
        }
    }

    #[test]
    fn lines_are_entries_and_blank_columns_are_seen() {
        assert_eq!(entries("a A 1\n\tB  2\r\n\r\n ; none\n\n;x\nc"), ["a|A|1", ">B|2", "c"]);
        assert_eq!(entries("\u{feff}a b"), ["a|b"]);
        assert!(entries("").is_empty());
    }

    #[test]
    fn parentheses_join_lines() {
        assert_eq!(entries("a ( b ; note )\n c\n\n)d\ne"), ["a|b|c|d", "e"]);
        assert_eq!(entries("a((b)c)d\ne"), ["a|b|c|d", "e"]);
        assert_eq!(entries(" ( a\n)"), [">a"]);
    }

    #[test]
    fn quotes_keep_what_is_special() {
        assert_eq!(entries(r#"a "b ;( c" """#), [r#"a|"b ;( c"|"""#]);
        assert_eq!(entries(r#"a "b\"c" d"#), [r#"a|"b\"c"|d"#]);
        assert_eq!(entries(r#"alpn="h2""#), [r#"alpn=|"h2""#]);
    }

    #[test]
    fn escapes_keep_what_follows_but_not_the_end_of_the_line() {
        assert_eq!(entries("a\\;b\\ c \\\"d\ne"), ["a\\;b\\ c|\\\"d", "e"]);
        assert_eq!(entries("a\\\nb\\\r\nc\\"), ["a\\", "b\\", "c\\"]);
    }

    #[test]
    fn it_goes_on_after_a_fault() {
        assert_eq!(entries("a \"b\nc ) d\ne"), ["Quote@2", "Close@7", "e"]);
        assert_eq!(entries("a\nb ( (\nc )"), ["a", "Open@4"]);
    }

    #[test]
    fn an_entry_is_bounded() {
        let text = format!("({}", "a ".repeat(ENTRY_TOKENS_MAX + 1));
        assert_eq!(entries(&text), [format!("TooManyTokens@{}", 1 + 2 * ENTRY_TOKENS_MAX)]);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_to_the_end(octets in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"\"\\();\n\r\t a"[..])], 0..200,
        )) {
            let mut lexer = Lexer::new(&octets, 0);
            let mut tokens = Vec::new();
            let mut last = 0;
            while !matches!(lexer.entry(&mut tokens), Ok(None)) {
                for token in &tokens {
                    prop_assert!(token.span.start >= last && token.span.end >= token.span.start);
                    prop_assert!(token.span.end as usize <= octets.len());
                    last = token.span.end;
                }
            }
        }
    }
}
