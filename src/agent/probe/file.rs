//! An outside program's word: a state file that it keeps. One line per key, the last that fits wins:
//!
//! ```text
//! # region/service/address   up | down | unknown | a percentage
//! */www/*                    up
//! eu-west/www/192.0.2.10     down      # being replaced
//! us-east/*/2001:db8::7      40%
//! ```
//!
//! A `*` stands for any run of characters. A percentage above zero passes: what works in part works. Only a line
//! that says down (or 0%) is evidence. A key that no line names, a line that cannot be read, a file that is
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
    Up,
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
            Some(Word::Up) => Finding::Pass,
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
            ("up", _, None) | (_, Some(1..), None) => Self::Up,
            ("down", _, None) | (_, Some(0), None) => Self::Down,
            ("unknown", _, None) => Self::Unknown,
            _ => Self::Unreadable(bounded(format!(
                "line {number} of the state file: after the key stands up, down, unknown or a percentage"
            ))),
        }
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters. In the worst case the time is
/// the product of both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(last) = pieces.next_back() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    // Taking each piece where it first occurs leaves the most for those behind it.
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}
