//! The ACME challenges that operators set: which there are, and until when. Pure; they are gone with the process.

use std::fmt;
use std::time::Duration;

use crate::answer::challenges::Challenges;
use crate::answer::names::{Found, Kind, Names};
use crate::name::Name;
use crate::time::Moment;
use crate::wire::code::RecordType;

/// All challenges that are set.
#[derive(Debug, Default)]
pub struct ChallengeBook(Vec<Challenge>);

/// One value at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The name that is asked for: the prefix is in it.
    pub name: Name,
    /// What it is to be answered with.
    pub token: String,
    /// When it ends.
    pub until: Moment,
}

/// Why a challenge cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeFault {
    /// No zone of ours holds the name, or it is delegated away.
    NotHere(Name),
    /// The zone says that the name is another.
    Alias(Name),
    /// The token is none.
    Token,
    /// The time is too long or none.
    Time,
    /// There are as many as there may be.
    TooMany,
}

/// Challenges at a time.
pub const CHALLENGES_MAX: usize = 256;
/// Values at one name: a domain and its wildcard, of two authorities, and as many again.
pub const VALUES_MAX: usize = 8;
/// The longest value, which is one string of a TXT record.
pub const TOKEN_OCTETS_MAX: usize = 255;
/// How long a challenge may stand.
pub const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// The label before every name that is challenged (RFC 8555 section 8.4).
const PREFIX: &str = "_acme-challenge";

impl Challenge {
    /// A challenge at `_acme-challenge.NAME`, checked against the names that are served.
    ///
    /// # Errors
    /// Why it would not be answered, or must not be.
    pub fn new(
        name: &Name,
        token: &str,
        time: Duration,
        names: &Names,
        now: Moment,
    ) -> Result<Self, ChallengeFault> {
        let name = challenged(name);
        let is_value = |octet: u8| octet.is_ascii_alphanumeric() || b"-_=".contains(&octet);
        if token.is_empty() || token.len() > TOKEN_OCTETS_MAX || !token.bytes().all(is_value) {
            return Err(ChallengeFault::Token);
        }
        if time.is_zero() || time > TIME_MAX {
            return Err(ChallengeFault::Time);
        }
        match names.find(name.as_wire()) {
            Found::Outside | Found::BelowCut(_) | Found::BelowDname(_) => Err(ChallengeFault::NotHere(name)),
            Found::Name(entry) | Found::Wildcard(entry) if entry.kind() == Kind::Cut => {
                Err(ChallengeFault::NotHere(name))
            }
            Found::Name(entry) if entry.answer(RecordType::CNAME).is_some() => {
                Err(ChallengeFault::Alias(name))
            }
            _ => Ok(Self { name, token: token.to_owned(), until: now + time }),
        }
    }
}

/// The name that an authority asks for when it challenges `name`.
#[must_use]
pub fn challenged(name: &Name) -> Name {
    let text = name.to_string();
    let text = text.strip_prefix("*.").unwrap_or(&text);
    if text.starts_with(PREFIX) {
        return text.parse().unwrap_or_else(|_| name.clone());
    }
    let prefixed = if *name == Name::root() { PREFIX.to_owned() } else { format!("{PREFIX}.{text}") };
    // A name that has no room for the prefix has none to be asked for either, and is not found in any zone.
    prefixed.parse().unwrap_or_else(|_| name.clone())
}

impl ChallengeBook {
    /// Sets a challenge; one that is there gets the new end.
    ///
    /// # Errors
    /// When there are as many as there may be, in all or at its name.
    pub fn set(&mut self, challenge: Challenge) -> Result<(), ChallengeFault> {
        let same = |known: &&mut Challenge| known.name == challenge.name && known.token == challenge.token;
        if let Some(known) = self.0.iter_mut().find(same) {
            known.until = challenge.until;
            return Ok(());
        }
        let at_name = self.0.iter().filter(|known| known.name == challenge.name).count();
        if self.0.len() >= CHALLENGES_MAX || at_name >= VALUES_MAX {
            return Err(ChallengeFault::TooMany);
        }
        self.0.push(challenge);
        Ok(())
    }

    /// Takes away the challenges at a name, or the one with the token; how many.
    pub fn clear(&mut self, name: &Name, token: Option<&str>) -> usize {
        let before = self.0.len();
        self.0.retain(|known| known.name != *name || token.is_some_and(|token| known.token != token));
        before - self.0.len()
    }

    /// Takes away those that have ended; how many.
    pub fn expire(&mut self, now: Moment) -> usize {
        let before = self.0.len();
        self.0.retain(|known| known.until > now);
        before - self.0.len()
    }

    /// When the next ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Moment> {
        self.0.iter().map(|challenge| challenge.until).min()
    }

    /// All there are, in the order in which they were set.
    #[must_use]
    pub fn all(&self) -> &[Challenge] {
        &self.0
    }

    /// As they are answered.
    #[must_use]
    pub fn compiled(&self) -> Challenges {
        Challenges::new(self.0.iter().map(|challenge| (challenge.name.as_wire(), challenge.token.as_str())))
    }
}

impl fmt::Display for ChallengeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere(name) => {
                write!(f, "{name} is in no zone that is served here, or is delegated away")
            }
            Self::Alias(name) => write!(f, "{name} has a CNAME in its zone; set the challenge at its target"),
            Self::Token => write!(
                f,
                "the token is none: write 1 to {TOKEN_OCTETS_MAX} letters, digits, \"-\", \"_\" or \"=\""
            ),
            Self::Time => write!(f, "a challenge stands for up to {} hours", TIME_MAX.as_secs() / 3600),
            Self::TooMany => write!(
                f,
                "there are too many: at most {CHALLENGES_MAX} in all and {VALUES_MAX} at a name; clear some first"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(name: &str, token: &str, seconds: u64) -> Challenge {
        Challenge {
            name: name.parse().unwrap(),
            token: token.to_owned(),
            until: Moment::from_millis(seconds * 1000),
        }
    }

    #[test]
    fn a_wildcard_and_its_domain_are_challenged_at_the_same_name() {
        let of = |name: &str| challenged(&name.parse().unwrap()).to_string();
        assert_eq!(of("example.com"), "_acme-challenge.example.com.");
        assert_eq!(of("*.Example.com"), "_acme-challenge.example.com.");
        assert_eq!(of("_acme-challenge.example.com"), "_acme-challenge.example.com.");
    }

    #[test]
    fn values_stand_beside_each_other_until_they_end() {
        let mut book = ChallengeBook::default();
        book.set(challenge("_acme-challenge.a", "one", 10)).unwrap();
        book.set(challenge("_acme-challenge.a", "two", 20)).unwrap();
        book.set(challenge("_acme-challenge.a", "one", 15)).unwrap();
        assert_eq!(book.all().len(), 2, "the same value again only gets a new end");
        assert_eq!(book.next_end(), Some(Moment::from_millis(15_000)));
        assert_eq!(book.expire(Moment::from_millis(14_999)), 0);
        assert_eq!(book.expire(Moment::from_millis(15_000)), 1);
        assert_eq!(book.clear(&"_acme-challenge.a".parse().unwrap(), Some("one")), 0);
        assert_eq!(book.clear(&"_acme-challenge.a".parse().unwrap(), None), 1);
        assert_eq!(book.next_end(), None);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut book = ChallengeBook::default();
        for value in 0..VALUES_MAX {
            book.set(challenge("_acme-challenge.a", &value.to_string(), 10)).unwrap();
        }
        assert_eq!(book.set(challenge("_acme-challenge.a", "more", 10)), Err(ChallengeFault::TooMany));
        for name in VALUES_MAX..CHALLENGES_MAX {
            book.set(challenge(&format!("_acme-challenge.a{name}"), "x", 10)).unwrap();
        }
        assert_eq!(book.set(challenge("_acme-challenge.b", "x", 10)), Err(ChallengeFault::TooMany));
    }
}
