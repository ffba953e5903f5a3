//! A report in octets. JSON would be nine times as long and some three times as slow (figures in docs/agents.md), and
//! a report is sent four times a second whatever happens; so it has a form of its own, little-endian, bounded
//! everywhere:
//!
//! ```text
//!  4 "RHRP"   1 version   1 flags   8 boot   8 number   8 the agent's clock in microseconds
//!  1 + n      the agent's name
//!  varint     failure texts, each varint + UTF-8; a failure refers to them by position
//!  varint     targets, each:
//!    8 name   varint newest   varint octets that follow   1 count   outcomes, the newest first, each:
//!      varint age in ms more than the one before   varint latency in us   1 result   varint status, text or share
//! ```
//!
//! A server that heard the agent a moment ago has seen nearly all of it: the number of the newest outcome and the count
//! of octets let it step over a target without looking, and of the others it reads only what is new.
//!
//! The flags come early and at a fixed place, the clock tells how long the report was on its way (see
//! `control/arrival.rs`). A share is told only of probes that were ordered with shares, so a server of before there
//! were any never meets one. Reading skips what it does not know and never allocates more than a report may hold.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::TARGETS_MAX;
use super::order::TargetName;
use crate::health::outcome::{Failure, OUTCOMES_MAX, Outcome, Report, TargetReport};
use crate::health::verdict::Share;
use crate::ids::{TargetId, VantageId};

/// The longest report in octets: [`TARGETS_MAX`] targets with outcomes of the usual length.
pub const REPORT_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// How many different failure texts one report holds; what is beyond is told as a failure without words.
pub const TEXTS_MAX: usize = 1024;
/// Octets of one failure text.
pub const TEXT_OCTETS_MAX: usize = 480;

const MAGIC: [u8; 4] = *b"RHRP";
/// A reader refuses other versions; a server reads this one for as long as agents may send it.
const VERSION: u8 = 2;
const LAGGING: u8 = 1;
const HAS_CONTROL: u8 = 2;
const CONTROL_PASSES: u8 = 4;
/// The result of a probe that passed, with how much is usable in 1,024ths; 0 is that of the whole, the others are
/// failures.
const PASSED_IN_PART: u8 = 11;

/// What a report says beside what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The name that the agent gives itself; its certificate must say the same.
    pub agent: String,
    /// The agent's own clock when it sent the report.
    pub clock: Duration,
    /// Whether it reaches its control targets, known only when it is sent; as [`Report::control`].
    pub control: Option<bool>,
    /// As [`Report::lagging`], or on its way to the server much is lost.
    pub lagging: bool,
}

/// A report whose head was read.
pub struct Opened<'o> {
    /// What it says of itself.
    pub head: Head,
    /// As [`Report::boot`].
    pub boot: u64,
    /// As [`Report::number`].
    pub number: u64,
    body: Reader<'o>,
}

/// A report that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What is new in it of targets that are known here. Its vantage and agent are whatever the reader was told.
    pub report: Report,
    /// How many targets were not known.
    pub unknown: u32,
}

/// What the reader knows of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id here.
    pub target: TargetId,
    /// The number of the newest outcome that was taken of this boot of the agent.
    pub seen: u64,
}

/// Octets that are no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They begin otherwise.
    NoReport,
    /// Of a version that is not known here.
    Version(u8),
    /// They end too early, or go on behind the end.
    Length,
    /// A number or a text is out of its range.
    Range,
}

/// The octets of a report that is sent now, `waited` after it was made. `names` are those of its targets by id;
/// of targets without a name nothing is told.
#[must_use]
pub fn write(report: &Report, head: &Head, names: &[TargetName], waited: Duration) -> Vec<u8> {
    let mut texts = Texts::default();
    let mut body = Vec::with_capacity(report.targets.len() * 96);
    let told = || {
        let named = report.targets.iter().filter_map(|entry| Some((names.get(entry.target.index())?, entry)));
        named.take(TARGETS_MAX)
    };
    let mut outcomes = Vec::new();
    for (name, entry) in told() {
        outcomes.clear();
        write_outcomes(entry, waited, &mut texts, &mut outcomes);
        body.extend(name.0.to_le_bytes());
        write_number(entry.newest, &mut body);
        write_number(outcomes.len() as u64, &mut body);
        body.extend(&outcomes);
    }
    let flags = if head.lagging { LAGGING } else { 0 }
        | match head.control {
            None => 0,
            Some(passes) => HAS_CONTROL | if passes { CONTROL_PASSES } else { 0 },
        };
    let mut octets = Vec::with_capacity(body.len() + 256);
    octets.extend(MAGIC);
    octets.extend([VERSION, flags]);
    octets.extend(report.boot.to_le_bytes());
    octets.extend(report.number.to_le_bytes());
    octets.extend(u64::try_from(head.clock.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
    let agent = &head.agent.as_bytes()[..head.agent.len().min(u8::MAX.into())];
    octets.push(agent.len() as u8); // Bounded in the line above.
    octets.extend(agent);
    write_number(texts.all.len() as u64, &mut octets);
    for text in &texts.all {
        write_number(text.len() as u64, &mut octets);
        octets.extend(text.as_bytes());
    }
    write_number(told().count() as u64, &mut octets);
    octets.extend(body);
    octets
}

/// Reads the head of a report: who sent it, and when.
pub fn open(octets: &[u8]) -> Result<Opened<'_>, Malformed> {
    let mut body = Reader(octets);
    if body.take(MAGIC.len()).map_err(|_| Malformed::NoReport)? != MAGIC {
        return Err(Malformed::NoReport);
    }
    match body.octet()? {
        VERSION => {}
        other => return Err(Malformed::Version(other)),
    }
    let flags = body.octet()?;
    let (boot, number, clock) = (body.word()?, body.word()?, body.word()?);
    let length = usize::from(body.octet()?);
    let agent = body.text(length)?.to_owned();
    let control = (flags & HAS_CONTROL != 0).then_some(flags & CONTROL_PASSES != 0);
    let head = Head { agent, clock: Duration::from_micros(clock), control, lagging: flags & LAGGING != 0 };
    Ok(Opened { head, boot, number, body })
}

impl Opened<'_> {
    /// Reads what is new, of the agent `place`; `known` tells what is known of a target by its position and name.
    /// O(targets) without a look at the outcomes that were seen before.
    pub fn read(
        self,
        place: (VantageId, u32),
        mut known: impl FnMut(usize, TargetName) -> Option<Place>,
    ) -> Result<Received, Malformed> {
        let Self { head, boot, number, body: mut reader } = self;
        let mut texts = Vec::new();
        for _ in 0..reader.count(TEXTS_MAX)? {
            let length = reader.count(TEXT_OCTETS_MAX)?;
            texts.push(reader.text(length)?);
        }
        let mut targets = Vec::new();
        let mut unknown = 0;
        for position in 0..reader.count(TARGETS_MAX)? {
            let place = known(position, TargetName(reader.word()?));
            let newest = reader.number()?;
            let length = reader.count(REPORT_OCTETS_MAX)?;
            let mut outcomes = Reader(reader.take(length)?);
            let Some(Place { target, seen }) = place else {
                unknown += 1;
                continue;
            };
            if newest > seen {
                let outcomes = read_outcomes(&mut outcomes, &texts, newest - seen)?;
                targets.push(TargetReport { target, newest, outcomes });
            }
        }
        if !reader.0.is_empty() {
            return Err(Malformed::Length);
        }
        let (vantage, agent) = place;
        let Head { control, lagging, .. } = head;
        let report = Report { vantage, agent, boot, number, control, lagging, targets };
        Ok(Received { report, unknown })
    }
}

fn write_outcomes(entry: &TargetReport, waited: Duration, texts: &mut Texts, octets: &mut Vec<u8>) {
    let recent = &entry.outcomes[entry.outcomes.len().saturating_sub(OUTCOMES_MAX)..];
    octets.push(recent.len() as u8); // At most OUTCOMES_MAX.
    let mut before = 0;
    for outcome in recent.iter().rev() {
        // Rounded up: an outcome is never made younger than it is.
        let age = (outcome.age + waited).as_micros().div_ceil(1000).min(u64::MAX.into()) as u64;
        write_number(age.saturating_sub(before), octets);
        before = before.max(age);
        write_number(u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX), octets);
        if outcome.result.is_ok() && outcome.usable < Share::WHOLE {
            octets.push(PASSED_IN_PART);
            write_number(outcome.usable.parts().into(), octets);
            continue;
        }
        write_result(&outcome.result, texts, octets);
    }
}

fn write_result(result: &Result<(), Failure>, texts: &mut Texts, octets: &mut Vec<u8>) {
    let (code, detail) = match result {
        Ok(()) => (0, None),
        Err(Failure::TimedOut) => (1, None),
        Err(Failure::Refused) => (2, None),
        Err(Failure::Reset) => (3, None),
        Err(Failure::Body) => (4, None),
        Err(Failure::Status(status)) => (5, Some(u64::from(*status))),
        Err(Failure::Unreachable(why)) => (6, Some(texts.position(why))),
        Err(Failure::Tls(why)) => (7, Some(texts.position(why))),
        Err(Failure::Dns(why)) => (8, Some(texts.position(why))),
        Err(Failure::File(why)) => (9, Some(texts.position(why))),
        Err(Failure::Other(why)) => (10, Some(texts.position(why))),
    };
    octets.push(code);
    if let Some(detail) = detail {
        write_number(detail, octets);
    }
}

/// The newest outcomes of one target, `most` of them, oldest first.
fn read_outcomes(reader: &mut Reader<'_>, texts: &[&str], most: u64) -> Result<Vec<Outcome>, Malformed> {
    let count = usize::from(reader.octet()?);
    if count > OUTCOMES_MAX {
        return Err(Malformed::Range);
    }
    let count = usize::try_from(most).map_or(count, |most| count.min(most));
    let mut outcomes = Vec::with_capacity(count);
    let mut age = Duration::ZERO;
    for _ in 0..count {
        age = age.saturating_add(Duration::from_millis(reader.number()?));
        let latency = Duration::from_micros(reader.number()?);
        let (result, usable) = match reader.0.first() {
            Some(&PASSED_IN_PART) => (Ok(()), read_share(reader)?),
            _ => (read_result(reader, texts)?, Share::WHOLE),
        };
        let usable = if result.is_ok() { usable } else { Share::NONE };
        outcomes.push(Outcome { age, latency, result, usable });
    }
    outcomes.reverse();
    Ok(outcomes)
}

/// How much was usable where a probe passed in part.
fn read_share(reader: &mut Reader<'_>) -> Result<Share, Malformed> {
    reader.octet()?;
    let parts =
        u16::try_from(reader.number()?).ok().filter(|parts| (1..Share::WHOLE.parts()).contains(parts));
    parts.map(Share::of_1024).ok_or(Malformed::Range)
}

fn read_result(reader: &mut Reader<'_>, texts: &[&str]) -> Result<Result<(), Failure>, Malformed> {
    let code = reader.octet()?;
    Ok(Err(match code {
        0 => return Ok(Ok(())),
        1 => Failure::TimedOut,
        2 => Failure::Refused,
        3 => Failure::Reset,
        4 => Failure::Body,
        5 => Failure::Status(reader.number()?.try_into().map_err(|_| Malformed::Range)?),
        6..=10 => {
            let position = reader.number()?;
            // The position behind the last stands for a failure whose words had no room.
            let known = usize::try_from(position).ok().filter(|at| *at <= texts.len().min(TEXTS_MAX));
            let text = texts.get(known.ok_or(Malformed::Range)?).copied().unwrap_or("failed").to_owned();
            match code {
                6 => Failure::Unreachable(text),
                7 => Failure::Tls(text),
                8 => Failure::Dns(text),
                9 => Failure::File(text),
                _ => Failure::Other(text),
            }
        }
        _ => return Err(Malformed::Range),
    }))
}

/// The different failure texts of a report: thousands of targets fail in a handful of ways.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    positions: HashMap<String, u64>,
}

impl Texts {
    fn position(&mut self, text: &str) -> u64 {
        let end = (0..=text.len().min(TEXT_OCTETS_MAX)).rev().find(|at| text.is_char_boundary(*at));
        let text = &text[..end.unwrap_or(0)];
        if let Some(position) = self.positions.get(text) {
            return *position;
        }
        let position = self.all.len() as u64;
        if self.all.len() < TEXTS_MAX {
            self.all.push(text.to_owned());
            self.positions.insert(text.to_owned(), position);
        }
        position
    }
}

/// Seven bits to an octet, the lowest first; the eighth says that more follow.
fn write_number(mut number: u64, octets: &mut Vec<u8>) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80); // The low seven bits.
        number >>= 7;
    }
    octets.push(number as u8); // Below 0x80.
}

/// What is still to be read.
struct Reader<'o>(&'o [u8]);

impl<'o> Reader<'o> {
    fn take(&mut self, length: usize) -> Result<&'o [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<u64, Malformed> {
        let octets = self.take(8)?;
        Ok(u64::from_le_bytes(octets.try_into().expect("eight octets were taken")))
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed::Range);
            }
            number |= bits << shift;
            if octet < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed::Range)
    }

    fn count(&mut self, most: usize) -> Result<usize, Malformed> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or(Malformed::Range)
    }

    fn text(&mut self, length: usize) -> Result<&'o str, Malformed> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed::Range)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReport => f.write_str("this is no report"),
            Self::Version(version) => write!(f, "report version {version} is not known here, {VERSION} is"),
            Self::Length => f.write_str("the report ends too early or too late"),
            Self::Range => f.write_str("the report holds a number or a text out of its range"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: (VantageId, u32) = (VantageId(2), 7);

    fn head() -> Head {
        Head {
            agent: "dublin/7".to_owned(),
            clock: Duration::from_micros(123_456),
            control: Some(true),
            lagging: false,
        }
    }

    fn report(targets: Vec<TargetReport>) -> Report {
        let (vantage, agent) = PLACE;
        Report { vantage, agent, boot: 5, number: 9, control: Some(true), lagging: false, targets }
    }

    fn names(count: usize) -> Vec<TargetName> {
        (0..count as u64).map(|number| TargetName(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
    }

    fn read_all(octets: &[u8], names: &[TargetName]) -> Result<(Head, Received), Malformed> {
        read_new(octets, names, 0)
    }

    /// Reads what is newer than outcome `seen` of every target.
    fn read_new(octets: &[u8], names: &[TargetName], seen: u64) -> Result<(Head, Received), Malformed> {
        let opened = open(octets)?;
        let head = opened.head.clone();
        let known = |_, name| {
            let position = names.iter().position(|known| *known == name)?;
            Some(Place { target: TargetId::from_index(position), seen })
        };
        Ok((head, opened.read(PLACE, known)?))
    }

    fn failures() -> impl Strategy<Value = Result<(), Failure>> {
        let text = || "\\PC{0,130}";
        prop_oneof![
            Just(Ok(())),
            Just(Err(Failure::TimedOut)),
            Just(Err(Failure::Refused)),
            Just(Err(Failure::Reset)),
            Just(Err(Failure::Body)),
            any::<u16>().prop_map(|status| Err(Failure::Status(status))),
            text().prop_map(|why| Err(Failure::Unreachable(why))),
            text().prop_map(|why| Err(Failure::Tls(why))),
            text().prop_map(|why| Err(Failure::Dns(why))),
            text().prop_map(|why| Err(Failure::File(why))),
            text().prop_map(|why| Err(Failure::Other(why))),
        ]
    }

    prop_compose! {
        fn outcomes()(
            mut ages in prop::collection::vec(0..1_000_000_000_u64, 0..=OUTCOMES_MAX),
            rest in prop::collection::vec((0..10_000_000_u64, failures(), 1..=1024_u16), OUTCOMES_MAX),
        ) -> Vec<Outcome> {
            ages.sort_unstable();
            ages.iter().rev().zip(rest).map(|(age, (latency, result, parts))| Outcome {
                age: Duration::from_millis(*age), latency: Duration::from_micros(latency),
                usable: if result.is_ok() { Share::of_1024(parts) } else { Share::NONE }, result,
            }).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(
            outcomes in prop::collection::vec((16..u64::MAX, outcomes()), 0..8),
            boot: u64, number: u64, control: Option<bool>, lagging: bool,
        ) {
            let targets = outcomes.into_iter().enumerate().map(|(target, (newest, outcomes))| {
                TargetReport { target: TargetId::from_index(target), newest, outcomes }
            });
            let report = Report { boot, number, control, lagging, ..report(targets.collect()) };
            let names = names(report.targets.len());
            let head = Head { control, lagging, ..head() };
            let received = read_all(&write(&report, &head, &names, Duration::ZERO), &names).unwrap();
            prop_assert_eq!(received, (head, Received { report, unknown: 0 }));
        }

        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200), cut: prop::sample::Index, at: prop::sample::Index, octet: u8) {
            let _ = read_all(&octets, &names(3));
            let entry = TargetReport { target: TargetId(0), newest: 3, outcomes: vec![outcome(5, Err(Failure::Tls("x".into())))] };
            let whole = write(&report(vec![entry]), &head(), &names(1), Duration::ZERO);
            prop_assert!(read_all(&whole[..cut.index(whole.len())], &names(1)).is_err());
            let mut changed = whole.clone();
            changed[at.index(whole.len())] = octet;
            let _ = read_all(&changed, &names(1));
        }
    }

    fn outcome(age_ms: u64, result: Result<(), Failure>) -> Outcome {
        let usable = if result.is_ok() { Share::WHOLE } else { Share::NONE };
        Outcome { age: Duration::from_millis(age_ms), latency: Duration::from_millis(3), result, usable }
    }

    #[test]
    fn ages_grow_by_what_the_report_waited_and_are_rounded_up() {
        let seen = Outcome { age: Duration::from_micros(1_001), ..outcome(0, Ok(())) };
        let entry = TargetReport { target: TargetId(0), newest: 1, outcomes: vec![seen] };
        let octets = write(&report(vec![entry]), &head(), &names(1), Duration::from_millis(40));
        let (_, received) = read_all(&octets, &names(1)).unwrap();
        assert_eq!(received.report.targets[0].outcomes[0].age, Duration::from_millis(42));
    }

    #[test]
    fn what_was_seen_before_is_stepped_over() {
        let outcomes = (1..=16).rev().map(|age| outcome(age * 100, Ok(()))).collect();
        let entry = TargetReport { target: TargetId(0), newest: 40, outcomes };
        let octets = write(&report(vec![entry.clone()]), &head(), &names(1), Duration::ZERO);
        let new = |seen| read_new(&octets, &names(1), seen).unwrap().1.report.targets;
        assert_eq!(new(38)[0].outcomes, entry.outcomes[14..]);
        assert_eq!(new(3), [entry]);
        assert_eq!((new(40), new(99)), (vec![], vec![]));
    }

    #[test]
    fn unknown_targets_are_passed_over_and_counted() {
        let entry =
            |target| TargetReport { target: TargetId(target), newest: 1, outcomes: vec![outcome(1, Ok(()))] };
        let octets = write(&report(vec![entry(0), entry(1), entry(2)]), &head(), &names(3), Duration::ZERO);
        let (_, received) = read_all(&octets, &names(3)[1..2]).unwrap();
        assert_eq!((received.unknown, received.report.targets.len()), (2, 1));
        assert_eq!(received.report.targets[0].target, TargetId(0), "as it is numbered here");
    }

    #[test]
    fn what_goes_on_behind_the_end_is_refused() {
        let mut octets = write(&report(Vec::new()), &head(), &[], Duration::ZERO);
        octets.push(0);
        assert_eq!(read_all(&octets, &[]), Err(Malformed::Length));
        assert_eq!(read_all(b"GET / HTTP/1.1", &[]), Err(Malformed::NoReport));
        octets[4] = 7;
        assert_eq!(read_all(&octets, &[]), Err(Malformed::Version(7)));
    }

    #[test]
    fn a_count_of_everything_is_refused_before_anything_is_made_of_it() {
        let octets = write(&report(Vec::new()), &head(), &[], Duration::ZERO);
        let mut many = octets[..octets.len() - 1].to_vec();
        write_number(u64::MAX, &mut many);
        assert_eq!(read_all(&many, &[]), Err(Malformed::Range));
    }

    #[test]
    fn texts_beyond_the_limit_lose_their_words_but_not_the_failure() {
        let outcomes = |target: usize| vec![outcome(1, Err(Failure::Other(format!("failure {target}"))))];
        let entry = |target| TargetReport {
            target: TargetId::from_index(target),
            newest: 1,
            outcomes: outcomes(target),
        };
        let names = names(TEXTS_MAX + 2);
        let report = report((0..names.len()).map(entry).collect());
        let by_name: HashMap<_, _> = names.iter().zip(0_usize..).map(|(name, at)| (name.0, at)).collect();
        let known = |_, name: TargetName| {
            Some(Place { target: TargetId::from_index(*by_name.get(&name.0)?), seen: 0 })
        };
        let octets = write(&report, &head(), &names, Duration::ZERO);
        let received = open(&octets).unwrap().read(PLACE, known).unwrap();
        let last = &received.report.targets[TEXTS_MAX + 1].outcomes[0].result;
        assert_eq!(*last, Err(Failure::Other("failed".to_owned())));
    }

    /// `cargo test --release --lib exchange::report -- --nocapture how_long` prints the figures of docs/agents.md.
    #[test]
    fn how_long_a_report_of_a_thousand_targets_is() {
        let outcomes = || (1..=16).rev().map(|age| outcome(age * 1_000 + 7, Ok(()))).collect();
        let entry =
            |target| TargetReport { target: TargetId(target), newest: 1_000_000, outcomes: outcomes() };
        let report = report((0..1000).map(entry).collect());
        let names = names(1000);
        let by_name: HashMap<_, _> = names.iter().zip(0_usize..).map(|(name, at)| (*name, at)).collect();
        let place =
            |name: TargetName, seen| Some(Place { target: TargetId::from_index(*by_name.get(&name)?), seen });
        let octets = write(&report, &head(), &names, Duration::ZERO);
        let read = |seen| open(&octets).unwrap().read(PLACE, |_, name| place(name, seen)).unwrap();
        let received = read(0);
        assert_eq!(received.report, report);
        let times = |what: &mut dyn FnMut()| {
            let began = crate::clock::now();
            (0..20).for_each(|_| what());
            crate::clock::now().since(began) / 20
        };
        let wrote = times(&mut || drop(write(&report, &head(), &names, Duration::ZERO)));
        let took = times(&mut || drop(read(0)));
        let took_again = times(&mut || drop(read(1_000_000)));
        let alike = as_json(&report, &names);
        let json = serde_json::to_vec(&alike).unwrap();
        let json_wrote = times(&mut || drop(serde_json::to_vec(&alike)));
        let json_took = times(&mut || drop(serde_json::from_slice::<Alike>(&json)));
        println!("{} octets, written in {wrote:?}, read in {took:?}, again in {took_again:?}", octets.len());
        println!("as JSON {} octets, written in {json_wrote:?}, read in {json_took:?}", json.len());
        assert!(octets.len() < 100_000 && json.len() > octets.len() * 5);
    }

    /// Name, newest, and age, latency and result of each outcome.
    type Alike = Vec<(TargetName, u64, Vec<AlikeOutcome>)>;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct AlikeOutcome {
        age_ms: u64,
        latency_us: u64,
        failed: Option<String>,
    }

    /// What a report would be in JSON.
    fn as_json(report: &Report, names: &[TargetName]) -> Alike {
        let one = |outcome: &Outcome| AlikeOutcome {
            age_ms: outcome.age.as_millis() as u64,
            latency_us: outcome.latency.as_micros() as u64,
            failed: outcome.result.as_ref().err().map(ToString::to_string),
        };
        let entry = |entry: &TargetReport| {
            (names[entry.target.index()], entry.newest, entry.outcomes.iter().map(one).collect())
        };
        report.targets.iter().map(entry).collect()
    }
}
