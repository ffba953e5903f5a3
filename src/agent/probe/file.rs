//! An outside program's word: a state file that it keeps. One line per key, the last that fits wins:
//!
//! ```text
//! # region/service/address   up | down | unknown | a percentage
//! */www/*                    up
//! eu-west/www/192.0.2.10     down      # being replaced
//! us-east/*/2001:db8::7      40%
//! ```
//!
//! A `*` stands for any run of characters. A percentage above zero passes, and so much of the endpoint is usable. Only
//! a line that says down (or 0%) is evidence against it. A key that no line names, a line that cannot be read, a file that is
//! missing or too large are not: the target is unknown, and unknown is served. The file's age means nothing,
//! since a program may well write only when something changes. Writers should rename a finished file into place.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Finding, bounded};
use crate::clock;
use crate::health::outcome::Failure;
use crate::health::verdict::Share;
use crate::pattern::matches;
use crate::time::Moment;

/// The largest state file in octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// The most lines with an asterisk, since every key is held against each of them.
const PATTERNS_MAX: usize = 256;
/// All targets that name a file share what was read of it for so long.
const FRESH: Duration = Duration::from_millis(50);

/// A state file, and what was last read of it.
pub(super) struct StateFile {
    path: PathBuf,
    /// Locked while the file is read, so that one that hangs (a dead network share) holds one thread, not many.
    last: Arc<Mutex<Option<Reading>>>,
}

struct Reading {
    at: Moment,
    content: Arc<Content>,
}

type Content = Result<States, String>;

/// The lines of a state file, ready to be asked.
#[derive(Debug, Default)]
struct States {
    /// The last line of each key that is written out.
    exact: HashMap<String, (usize, Word)>,
    /// The keys with an asterisk, in their order.
    patterns: Vec<(usize, String, Word)>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Up(Share),
    Down,
    Unknown,
    Unreadable(String),
}

impl StateFile {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), last: Arc::default() })
    }

    pub(super) async fn probe(&self, key: &str) -> Finding {
        match &*self.content().await {
            Ok(states) => states.finding(key),
            Err(why) => Finding::Nothing(why.clone()),
        }
    }

    async fn content(&self) -> Arc<Content> {
        let mut last = self.last.clone().lock_owned().await;
        if let Some(reading) = &*last
            && clock::now().since(reading.at) < FRESH
        {
            return reading.content.clone();
        }
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let content = Arc::new(read(&path).and_then(|text| States::parse(&text)));
            *last = Some(Reading { at: clock::now(), content: content.clone() });
            content
        });
        reading.await.unwrap_or_else(|_| Arc::new(Err("the state file was not read".to_owned())))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let fault = |why: &dyn std::fmt::Display| bounded(format!("{}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| fault(&error))?;
    let mut octets = Vec::new();
    file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(|error| fault(&error))?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        return Err(fault(&format_args!("larger than {FILE_OCTETS_MAX} octets")));
    }
    String::from_utf8(octets).map_err(|_| fault(&"not UTF-8"))
}

impl States {
    fn parse(text: &str) -> Content {
        let mut states = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut parts = line.split_whitespace();
            let Some(key) = parts.next() else { continue };
            let word = Word::parse(parts.next(), parts.next(), number + 1);
            if key.contains('*') {
                states.patterns.push((number, key.to_owned(), word));
            } else {
                states.exact.insert(key.to_owned(), (number, word));
            }
        }
        if states.patterns.len() > PATTERNS_MAX {
            return Err(format!("more than {PATTERNS_MAX} lines with an asterisk in the state file"));
        }
        Ok(states)
    }

    fn finding(&self, key: &str) -> Finding {
        let pattern = self.patterns.iter().rev().find(|(_, pattern, _)| matches(pattern, key));
        let pattern = pattern.map(|(number, _, word)| (*number, word));
        let exact = self.exact.get(key).map(|(number, word)| (*number, word));
        let last = pattern.into_iter().chain(exact).max_by_key(|(number, _)| *number);
        match last.map(|(_, word)| word) {
            Some(Word::Up(Share::WHOLE)) => Finding::Pass,
            Some(Word::Up(share)) => Finding::PassInPart(*share),
            Some(Word::Down) => Finding::Fail(Failure::File("down".to_owned())),
            Some(Word::Unknown) => Finding::Nothing("the state file says unknown".to_owned()),
            Some(Word::Unreadable(why)) => Finding::Nothing(why.clone()),
            None => Finding::Nothing(bounded(format!("the state file does not name {key}"))),
        }
    }
}

impl Word {
    fn parse(word: Option<&str>, beyond: Option<&str>, number: usize) -> Self {
        let word = word.unwrap_or_default();
        let percent =
            word.strip_suffix('%').and_then(|digits| digits.parse().ok()).filter(|part: &u8| *part <= 100);
        match (word, percent, beyond) {
            ("up", _, None) => Self::Up(Share::WHOLE),
            (_, Some(percent @ 1..), None) => Self::Up(Share::of_ratio(f64::from(percent) / 100.0)),
            ("down", _, None) | (_, Some(0), None) => Self::Down,
            ("unknown", _, None) => Self::Unknown,
            _ => Self::Unreadable(bounded(format!(
                "line {number} of the state file: after the key stands up, down, unknown or a percentage"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "eu/www/192.0.2.1";

    fn found(text: &str) -> Finding {
        States::parse(text).unwrap().finding(KEY)
    }

    fn down() -> Finding {
        Finding::Fail(Failure::File("down".to_owned()))
    }

    #[test]
    fn a_line_says_up_down_or_how_much() {
        assert_eq!(found("eu/www/192.0.2.1 up"), Finding::Pass);
        assert_eq!(found("\t eu/www/192.0.2.1\tdown # broken\r\n"), down());
        assert_eq!(found("eu/www/192.0.2.1 40%"), Finding::PassInPart(Share::of_1024(410)));
        assert_eq!(found("eu/www/192.0.2.1 100%"), Finding::Pass);
        assert_eq!(found("eu/www/192.0.2.1 0%"), down());
    }

    #[test]
    fn the_last_line_that_fits_wins() {
        assert_eq!(found("* down\neu/www/192.0.2.1 up"), Finding::Pass);
        assert_eq!(found("eu/www/192.0.2.1 up\neu/* down"), down());
        assert_eq!(found("eu/www/192.0.2.1 up\neu/www/192.0.2.1 down"), down());
        assert_eq!(found("eu/* up\n*/192.0.2.1 down\nus/* up"), down());
        assert!(matches!(found("* down\neu/www/* unknown"), Finding::Nothing(_)));
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_spoils_no_other_line() {
        for word in ["", "dwon", "UP", "101%", "-1%", "%", "up down"] {
            let Finding::Nothing(why) = found(&format!("* down\n{KEY} {word}")) else { panic!("{word}") };
            assert!(why.starts_with("line 2 "), "{why}");
            assert_eq!(found(&format!("us/www/192.0.2.2 {word}\n{KEY} down")), down());
        }
        for text in ["", "\n\n", "# eu/www/192.0.2.1 down", "us/* down"] {
            assert!(matches!(found(text), Finding::Nothing(_)), "{text}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(States::parse(&"* up\n".repeat(PATTERNS_MAX)).is_ok());
        assert!(States::parse(&"* up\n".repeat(PATTERNS_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(?s).{0,200}") {
            let _ = States::parse(&text).map(|states| states.finding(KEY));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_missing_too_large_or_no_text_is_no_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states");
        let found = async || StateFile::new(&path).probe(KEY).await;
        assert!(matches!(found().await, Finding::Nothing(why) if why.contains("No such file")));
        std::fs::write(&path, format!("* down\n{}", " ".repeat(FILE_OCTETS_MAX as usize))).unwrap();
        assert!(matches!(found().await, Finding::Nothing(why) if why.contains("larger")));
        std::fs::write(&path, b"* down\n\xff").unwrap();
        assert!(matches!(found().await, Finding::Nothing(why) if why.contains("UTF-8")));
        std::fs::write(&path, "* down").unwrap();
        assert_eq!(found().await, down());
    }

    #[tokio::test]
    async fn a_change_is_seen_once_the_last_reading_is_no_longer_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states");
        std::fs::write(&path, "* down").unwrap();
        let file = StateFile::new(&path);
        assert_eq!(file.probe(KEY).await, down());
        std::fs::write(&path, "* up").unwrap();
        tokio::time::sleep(FRESH * 2).await;
        assert_eq!(file.probe(KEY).await, Finding::Pass);
    }
}
