//! Questions in the class CHAOS: who answers, and what it is (RFC 4892, and the names that BIND began with). Refused where the
//! operator told nothing.

use super::extensions::Chaos;
use crate::wire::code::{Class, RecordType};
use crate::wire::query::Query;
use crate::wire::reply::{Full, Reply, Section};

/// Who answers.
const ID: [&[u8]; 2] = [b"\x02id\x06server\0", b"\x08hostname\x04bind\0"];
/// What answers.
const VERSION: [&[u8]; 2] = [b"\x07version\x06server\0", b"\x07version\x04bind\0"];

impl Chaos {
    /// What is told to `query`, if anything.
    #[must_use]
    pub fn text(&self, query: &Query<'_>) -> Option<&str> {
        let asked = query.class == Class::CH && matches!(query.rtype, RecordType::TXT | RecordType::ANY);
        let text = match query.name {
            name if ID.contains(&name) => &self.id,
            name if VERSION.contains(&name) => &self.version,
            _ => &None,
        };
        text.as_deref().filter(|_| asked)
    }
}

/// Appends the text as a TXT record that nobody caches.
pub(super) fn append(text: &str, reply: &mut Reply<'_>) -> Result<(), Full> {
    let octets = u8::try_from(text.len()).expect("config bounds the text");
    let mut head = [0; 13];
    head[..2].copy_from_slice(&[0xc0, 12]);
    head[2..4].copy_from_slice(&RecordType::TXT.0.to_be_bytes());
    head[4..6].copy_from_slice(&Class::CH.0.to_be_bytes());
    head[10..12].copy_from_slice(&(u16::from(octets) + 1).to_be_bytes());
    head[12] = octets;
    reply.append(Section::Answer, 1, &head)?;
    reply.append(Section::Answer, 0, text.as_bytes()).map(|_| ())
}
