//! ACME DNS-01 challenges (RFC 8555 section 8.4): TXT records that the operator sets by a verb and that end by themselves. They
//! stand beside the zones, so that no zone file is touched and no serial moves.

use std::collections::BTreeMap;

use super::resolve::Outcome;
use super::table::AnswerTable;
use crate::wire::code::{Class, Rcode, RecordType};
use crate::wire::query::Query;
use crate::wire::reply::{Full, Reply, Section};

/// The challenges that are to be answered: by name, in lower case as it travels, the TXT records, ready to be copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Challenges(BTreeMap<Box<[u8]>, ReadySet>);

/// How many records, and their octets.
type ReadySet = (u16, Box<[u8]>);

/// How long they may be cached, in seconds: an authority asks again soon after a failure.
const TTL: u32 = 1;

impl Challenges {
    /// Challenges by name, each with its values of at most 255 octets.
    pub fn new<'c>(values: impl IntoIterator<Item = (&'c [u8], &'c str)>) -> Self {
        let mut by_name: BTreeMap<Box<[u8]>, (u16, Vec<u8>)> = BTreeMap::new();
        for (name, value) in values {
            let (count, octets) = by_name.entry(name.into()).or_default();
            *count += 1;
            push(octets, value);
        }
        Self(by_name.into_iter().map(|(name, (count, octets))| (name, (count, octets.into()))).collect())
    }

    /// Whether one stands at `name`: it exists then, and has no records of other types.
    #[must_use]
    pub fn hold(&self, name: &[u8]) -> bool {
        self.0.contains_key(name)
    }

    /// Whether there is none, as nearly always.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A TXT record of the question's name.
fn push(octets: &mut Vec<u8>, value: &str) {
    let length = u8::try_from(value.len()).expect("a challenge's value is checked");
    octets.extend([0xc0, 12]);
    octets.extend(RecordType::TXT.0.to_be_bytes());
    octets.extend(Class::IN.0.to_be_bytes());
    octets.extend(TTL.to_be_bytes());
    octets.extend((u16::from(length) + 1).to_be_bytes());
    octets.push(length);
    octets.extend(value.as_bytes());
}

/// The answer to a question for a challenge.
#[cold]
pub(super) fn answer<'t>(
    table: &'t AnswerTable,
    query: &Query<'_>,
    reply: &mut Reply<'_>,
) -> Option<Outcome<'t>> {
    let (count, octets) = table.challenges().0.get(query.name).filter(|_| query.rtype == RecordType::TXT)?;
    let answered = Outcome::authoritative(Rcode::NOERROR);
    Some(match reply.append(Section::Answer, *count, octets) {
        Ok(_) => answered,
        Err(Full) => Outcome { truncated: true, ..answered },
    })
}
