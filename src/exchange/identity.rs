//! Who an agent is. Its certificate says so, in a URI among its alternative names, and nothing else does:
//! `rhumb://vantage/dublin/agent/1`.

use std::fmt;
use std::str::FromStr;

use crate::config::limit::WORD_OCTETS_MAX;

/// The place where an agent stands, and which of the agents there it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The name of the vantage in the servers' configuration.
    pub vantage: String,
    /// Which of the vantage's agents.
    pub agent: u32,
}

/// Text that names no agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityFault;

/// How the URI of every identity begins.
const SCHEME: &str = "rhumb://vantage/";

impl Identity {
    /// The URI in a certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}/agent/{}", self.vantage, self.agent)
    }

    /// The agent that a URI names, if it is such a URI at all.
    pub fn of_uri(uri: &str) -> Option<Result<Self, IdentityFault>> {
        let rest = uri.strip_prefix(SCHEME)?;
        let parts = rest.split_once("/agent/").ok_or(IdentityFault);
        Some(parts.and_then(|(vantage, agent)| Self::new(vantage, agent)))
    }

    fn new(vantage: &str, agent: &str) -> Result<Self, IdentityFault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=WORD_OCTETS_MAX).contains(&vantage.len()) && vantage.chars().all(plain);
        let number: u32 = agent.parse().map_err(|_| IdentityFault)?;
        // One identity has one spelling: no plus sign, no leading zeros.
        if !fits || number.to_string() != agent {
            return Err(IdentityFault);
        }
        Ok(Self { vantage: vantage.to_owned(), agent: number })
    }
}

/// `dublin/1`, or `dublin` for its first agent.
impl FromStr for Identity {
    type Err = IdentityFault;

    fn from_str(text: &str) -> Result<Self, IdentityFault> {
        let (vantage, agent) = text.split_once('/').unwrap_or((text, "1"));
        Self::new(vantage, agent)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vantage, self.agent)
    }
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an agent is named VANTAGE/NUMBER, such as dublin/1; a vantage has 1 to {WORD_OCTETS_MAX} letters, \
             digits, hyphens, underscores and dots"
        )
    }
}

impl std::error::Error for IdentityFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_the_vantage_and_which_agent() {
        let dublin: Identity = "dublin/7".parse().unwrap();
        assert_eq!(dublin.uri(), "rhumb://vantage/dublin/agent/7");
        assert_eq!(Identity::of_uri(&dublin.uri()), Some(Ok(dublin)));
        assert_eq!("dublin".parse::<Identity>().unwrap().agent, 1);
    }

    #[test]
    fn other_uris_are_none_and_odd_ones_are_faults() {
        assert_eq!(Identity::of_uri("https://example.com/"), None);
        for odd in [
            "rhumb://vantage/dublin",
            "rhumb://vantage/dublin/agent/",
            "rhumb://vantage/dublin/agent/01",
            "rhumb://vantage/dublin/agent/+1",
            "rhumb://vantage/dublin/agent/4294967296",
            "rhumb://vantage/dublin/agent/1/",
            "rhumb://vantage//agent/1",
            "rhumb://vantage/a/b/agent/1",
            "rhumb://vantage/dübln/agent/1",
        ] {
            assert_eq!(Identity::of_uri(odd), Some(Err(IdentityFault)), "{odd}");
        }
    }
}
