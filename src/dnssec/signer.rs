//! What signs a zone: its keys with the rules that it is signed by, and the signatures that come of them at a
//! moment.

use super::denial::Denial;
use super::key::Key;
use super::rollover::MARGIN;
use super::timing::Phase;
use super::{Algorithm, seconds, wall};
use crate::name::{self, Name};
use crate::time::WallTime;
use crate::wire::code::RecordType;

/// How a zone is signed; times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What proves that something is not there.
    pub denial: Denial,
    /// For how long a signature holds.
    pub validity: u32,
    /// How long before its end a signature is made anew.
    pub renew_before: u32,
    /// By up to so much less a signature holds, each by another part, so that not all end at once.
    pub jitter: u32,
    /// The TTL of DNSKEY, CDS and CDNSKEY.
    pub dnskey_ttl: u32,
}

/// The keys of a zone with its rules.
#[derive(Debug)]
pub struct Signer {
    origin: Name,
    keys: Vec<Key>,
    rules: Rules,
    /// The keys that go on signing whatever their dates say, since caches do not know their successors yet.
    held: Vec<HeldKey>,
}

/// A key that signs until a moment, whatever its dates say.
#[derive(Clone, Copy, Debug)]
struct HeldKey {
    algorithm: Algorithm,
    tag: u16,
    until: WallTime,
}

/// Records of one name and type, to be signed.
#[derive(Clone, Debug)]
pub struct Set<'s> {
    /// The owner in lower case; a wildcard as itself.
    pub owner: &'s [u8],
    /// The type.
    pub rtype: RecordType,
    /// The longest TTL that they are served with, in seconds.
    pub ttl: u32,
    /// Their data in canonical form and order, each once.
    pub data: Vec<Vec<u8>>,
}

/// So long before it is made a signature begins to hold: clocks of validators may be behind.
const INCEPTION_BEFORE: u32 = 3600;
/// What is due within so many seconds of another is renewed with it.
const BATCH_MAX: u32 = 3600;
/// Octets of the data of an RRSIG record before the signer's name.
const RRSIG_FIXED_OCTETS: usize = 18;

impl Signer {
    /// A signer of `origin`. All keys are of that zone.
    #[must_use]
    pub fn new(origin: Name, mut keys: Vec<Key>, rules: Rules) -> Self {
        debug_assert!(keys.iter().all(|key| *key.owner() == origin), "the keys are the zone's");
        keys.sort_by_key(|key| (key.algorithm(), key.tag()));
        Self { origin, keys, rules, held: Vec::new() }
    }

    /// Follows `before`, by which the zone was served until `now`, with no TTL above `longest_ttl` seconds. The dates of a
    /// roll-over count from when they were written: where they come here so late that a successor would sign before caches
    /// can know it, the key that it follows goes on beside it, until none holds keys or signatures of before.
    #[must_use]
    pub fn following(mut self, before: &Self, longest_ttl: u32, now: WallTime) -> Self {
        let served = before.dnskeys(now);
        let soon = after(now, self.rules.dnskey_ttl.into());
        let is_late = |key: &Key| !served.contains(&key.dnskey()) && key.timing.phase(soon) == Phase::Active;
        let late: Vec<&Key> = self.keys.iter().filter(|key| is_late(key)).collect();
        let until = after(now, u64::from(longest_ttl.max(self.rules.dnskey_ttl)) + MARGIN.as_secs());
        let is_followed = |key: &&Key| late.iter().any(|new| new.is_alike(key));
        let signed = before.keys.iter().filter(|key| before.is_active(key, now));
        let held = signed.filter(is_followed);
        let held = held.map(|key| HeldKey { algorithm: key.algorithm(), tag: key.tag(), until });
        self.held = held.chain(before.held.iter().copied().filter(|held| held.until > now)).collect();
        self
    }

    /// Whether no key that signs the zone's records at `now` was shown by `before` until then.
    #[must_use]
    pub fn is_unknown_after(&self, before: &Self, now: WallTime) -> bool {
        let served = before.dnskeys(now);
        !self.signing(RecordType::SOA, now).any(|key| served.contains(&key.dnskey()))
    }

    /// Until when a key goes on signing, whatever its dates say.
    fn held_until(&self, key: &Key, now: WallTime) -> Option<WallTime> {
        let same = |held: &&HeldKey| (held.algorithm, held.tag) == (key.algorithm(), key.tag());
        self.held.iter().filter(same).map(|held| held.until).filter(|until| *until > now).max()
    }

    /// The keys that sign beside a successor for longer than their dates say, and until when.
    pub fn held(&self, now: WallTime) -> impl Iterator<Item = (&Key, WallTime)> {
        let ends = |key: &Key| [key.timing.inactive, key.timing.delete].into_iter().flatten().min();
        let held = self.keys.iter().filter_map(move |key| Some((key, self.held_until(key, now)?)));
        held.filter(move |(key, until)| ends(key).is_some_and(|end| end < *until))
    }

    /// The zone.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The keys that sign sets of `rtype` at `now`. By each algorithm: what the parent or the parent alone looks at
    /// (DNSKEY, CDS, CDNSKEY) by those with the flag of a secure entry point, all else by those without it, and
    /// either by the others where there are none of that kind.
    pub fn signing(&self, rtype: RecordType, now: WallTime) -> impl Iterator<Item = &Key> {
        let entry = matches!(rtype, RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY);
        let active = move |key: &&Key| self.is_active(key, now);
        self.keys.iter().filter(active).filter(move |key| {
            let same = |other: &&Key| other.algorithm() == key.algorithm();
            let fits = |key: &Key| key.is_secure_entry() == entry;
            fits(key) || !self.keys.iter().filter(active).filter(same).any(fits)
        })
    }

    /// Whether a key signs: by its dates; and where they leave an algorithm that is published, or the whole zone, without
    /// a key that does, those that were the last to do it, or where none was, all that are to come. A zone never goes
    /// without signatures because a date has passed, and each algorithm of its DNSKEY set signs (RFC 4035 section 2.2).
    fn is_active(&self, key: &Key, now: WallTime) -> bool {
        self.is_one_of_its_algorithm(key, now)
            || self.is_last_entry(key, now)
            || self.held_until(key, now).is_some()
    }

    /// Whether a secure entry point signs because no other does: what the DS of the parent names would sign nothing.
    fn is_last_entry(&self, key: &Key, now: WallTime) -> bool {
        let entries = || self.keys.iter().filter(|key| key.is_secure_entry());
        if !key.is_secure_entry() || entries().any(|key| self.is_one_of_its_algorithm(key, now)) {
            return false;
        }
        // Who was the last to sign before who is gone, and either before who has never begun.
        let rank = |key: &Key| match key.timing.phase(now) {
            Phase::Retired => Some((2, key.timing.inactive)),
            Phase::Gone => Some((1, key.timing.delete)),
            Phase::Published => Some((0, None)),
            Phase::Made | Phase::Active => None,
        };
        rank(key).is_some() && rank(key) == entries().filter_map(rank).max()
    }

    fn is_one_of_its_algorithm(&self, key: &Key, now: WallTime) -> bool {
        let phase = |key: &Key| key.timing.phase(now);
        if !self.keys.iter().any(|key| matches!(phase(key), Phase::Active | Phase::Retired)) {
            return self.goes_on(key, now);
        }
        let alike = |other: &&Key| is_published(other, now) && other.algorithm() == key.algorithm();
        if self.keys.iter().filter(alike).any(|other| phase(other) == Phase::Active) {
            return phase(key) == Phase::Active;
        }
        let latest = self.keys.iter().filter(alike).filter_map(|key| passed(key.timing.inactive, now)).max();
        is_published(key, now) && (latest.is_none() || key.timing.inactive == latest)
    }

    /// Whether a key signs where no key has begun to by its dates, or all have gone: the last to go; a successor waits for
    /// its date, unless it is of an algorithm that would sign nothing.
    fn goes_on(&self, key: &Key, now: WallTime) -> bool {
        let gone = |key: &Key| passed(key.timing.delete, now);
        let latest = self.keys.iter().filter_map(gone).max();
        let is_last = |key: &Key| gone(key) == latest;
        let alike = |other: &Key| other.algorithm() == key.algorithm();
        is_last(key)
            || is_published(key, now) && !self.keys.iter().any(|other| is_last(other) && alike(other))
    }

    /// The keys that sign though their dates say otherwise, but for those of an algorithm that is on its way in.
    pub fn beyond_dates(&self, now: WallTime) -> impl Iterator<Item = &Key> {
        let phase = move |key: &Key| key.timing.phase(now);
        let others_sign = self.keys.iter().any(|key| phase(key) == Phase::Active);
        let is_planned = move |key: &Key| match phase(key) {
            Phase::Active => true,
            Phase::Published => others_sign,
            _ => self.held_until(key, now).is_some(),
        };
        self.keys.iter().filter(move |key| self.is_active(key, now) && !is_planned(key))
    }

    /// The data of the DNSKEY set at `now`, in canonical order.
    #[must_use]
    pub fn dnskeys(&self, now: WallTime) -> Vec<Vec<u8>> {
        let shown = |key: &&Key| is_published(key, now) || self.is_active(key, now);
        sorted(self.keys.iter().filter(shown).map(Key::dnskey).collect())
    }

    /// The data of the CDNSKEY set at `now`, in canonical order.
    #[must_use]
    pub fn cdnskeys(&self, now: WallTime) -> Vec<Vec<u8>> {
        sorted(self.for_parent(now).map(Key::dnskey).collect())
    }

    /// The data of the CDS set at `now`, in canonical order: the DS records that the parent should have.
    #[must_use]
    pub fn cds(&self, now: WallTime) -> Vec<Vec<u8>> {
        sorted(self.for_parent(now).map(Key::ds).collect())
    }

    /// The keys that the parent should name: secure entry points, or where there are none whatever signs DNSKEY.
    pub fn for_parent(&self, now: WallTime) -> impl Iterator<Item = &Key> {
        let entries = self.keys.iter().any(Key::is_secure_entry);
        self.keys
            .iter()
            .filter(move |key| key.timing.is_for_parent(now) && (key.is_secure_entry() || !entries))
    }

    /// When a date of a key next changes what is published or signed.
    #[must_use]
    pub fn next_change(&self, now: WallTime) -> Option<WallTime> {
        let dates = self.keys.iter().filter_map(|key| key.timing.next_change(now)).map(|(date, _)| date);
        let holds = self.held.iter().map(|held| held.until).filter(|until| *until > now);
        dates.chain(holds).min()
    }

    /// The data of the RRSIG records of a set, made at `now`.
    #[must_use]
    pub fn sign(&self, set: &Set<'_>, now: WallTime) -> Vec<Vec<u8>> {
        self.signing(set.rtype, now).map(|key| self.sign_by(key, set, now)).collect()
    }

    fn sign_by(&self, key: &Key, set: &Set<'_>, now: WallTime) -> Vec<u8> {
        let now = seconds(now);
        let less = spread(set.owner, set.rtype) % (self.rules.jitter + 1);
        let expiration = now.wrapping_add(self.rules.validity - less);
        let mut rrsig = Vec::with_capacity(RRSIG_FIXED_OCTETS + self.origin.as_wire().len() + 64);
        rrsig.extend_from_slice(&set.rtype.0.to_be_bytes());
        rrsig.extend_from_slice(&[key.algorithm().number(), labels(set.owner)]);
        rrsig.extend_from_slice(&set.ttl.to_be_bytes());
        rrsig.extend_from_slice(&expiration.to_be_bytes());
        rrsig.extend_from_slice(&now.wrapping_sub(INCEPTION_BEFORE).to_be_bytes());
        rrsig.extend_from_slice(&key.tag().to_be_bytes());
        rrsig.extend_from_slice(self.origin.as_wire());
        let signature = key.sign(&signed_octets(&rrsig, set));
        rrsig.extend_from_slice(&signature);
        rrsig
    }

    /// Whether RRSIG records that were made before will do at `now`: none is due within [`Self::batch`], and they are
    /// by the keys that sign. That they are of the same records is for the caller to know.
    #[must_use]
    pub fn will_do<'r>(
        &self,
        rtype: RecordType,
        rrsigs: impl Iterator<Item = &'r [u8]> + Clone,
        now: WallTime,
    ) -> bool {
        let soon = WallTime(now.0 + u64::from(self.batch()) * 1000);
        let due = |rrsig: &[u8]| self.renewal(rrsig) <= soon || now < inception(rrsig);
        let by = rrsigs.clone().map(|rrsig| (rrsig[2], u16::from_be_bytes([rrsig[16], rrsig[17]])));
        let wanted = self.signing(rtype, now).map(|key| (key.algorithm().number(), key.tag()));
        by.eq(wanted) && !rrsigs.clone().any(due)
    }

    /// What is due within so many seconds is renewed with what is due: a making each time a signature is due would be
    /// a making of the whole zone each time.
    fn batch(&self) -> u32 {
        let Rules { validity, renew_before, jitter, .. } = self.rules;
        (validity.saturating_sub(renew_before + jitter) / 8).min(BATCH_MAX)
    }

    /// When a signature is to be made anew.
    #[must_use]
    pub fn renewal(&self, rrsig: &[u8]) -> WallTime {
        wall(expiration(rrsig).saturating_sub(self.rules.renew_before))
    }

    /// Whether no key has the algorithm and tag of another key of `later`: then signatures tell by whom they are.
    #[must_use]
    pub fn knows_same_keys(&self, later: &Signer) -> bool {
        let named = |key: &Key| (key.algorithm(), key.tag());
        let differ = |a: &Key, b: &Key| named(a) == named(b) && a.dnskey() != b.dnskey();
        !self.keys.iter().any(|key| later.keys.iter().any(|other| differ(key, other)))
    }
}

fn after(time: WallTime, seconds: u64) -> WallTime {
    WallTime(time.0 + seconds * 1000)
}

/// A date that has passed.
fn passed(date: Option<WallTime>, now: WallTime) -> Option<WallTime> {
    date.filter(|date| *date <= now)
}

/// Whether the dates have the key in the DNSKEY set.
fn is_published(key: &Key, now: WallTime) -> bool {
    matches!(key.timing.phase(now), Phase::Published | Phase::Active | Phase::Retired)
}

/// When the signature of an RRSIG record ends, in seconds since 1970.
#[must_use]
pub fn expiration(rrsig: &[u8]) -> u32 {
    u32::from_be_bytes(*rrsig[8..].first_chunk().expect("an RRSIG record is longer"))
}

/// When it begins to hold: later than now only where the clock was set back.
fn inception(rrsig: &[u8]) -> WallTime {
    wall(u32::from_be_bytes(*rrsig[12..].first_chunk().expect("an RRSIG record is longer")))
}

/// What is signed (RFC 4034 section 3.1.8.1): the RRSIG's data without the signature, then the set in canonical form.
#[must_use]
pub fn signed_octets(rrsig: &[u8], set: &Set<'_>) -> Vec<u8> {
    let mut octets = rrsig.to_vec();
    for data in &set.data {
        octets.extend_from_slice(set.owner);
        octets.extend_from_slice(&set.rtype.0.to_be_bytes());
        octets.extend_from_slice(&[0, 1]);
        octets.extend_from_slice(&set.ttl.to_be_bytes());
        octets.extend_from_slice(&(data.len() as u16).to_be_bytes());
        octets.extend_from_slice(data);
    }
    octets
}

/// The labels of an owner as RRSIG counts them: neither the root nor an asterisk in front (RFC 4034 section 3.1.3).
fn labels(owner: &[u8]) -> u8 {
    let all = name::labels(owner).count();
    (all - usize::from(owner.starts_with(b"\x01*"))) as u8
}

/// A number that differs from set to set, to spread what would else end at once.
fn spread(owner: &[u8], rtype: RecordType) -> u32 {
    let fold = |hash: u32, octet: &u8| (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
    let hash = owner.iter().chain(&rtype.0.to_be_bytes()).fold(0x811c_9dc5, fold);
    hash ^ hash >> 15
}

/// Data in canonical order, each once.
#[must_use]
pub fn sorted(mut data: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    data.sort();
    data.dedup();
    data
}
