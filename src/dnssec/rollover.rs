//! The dates of a roll-over: when a successor is published, when it takes over, when the old key goes, so that no
//! cache ever holds signatures without the key, a key without its signatures, or a DS set that names neither.
//!
//! A zone-signing key is pre-published (RFC 7583 section 3.2.1): its successor stands in the DNSKEY set for longer than
//! a cache may hold that, then signs in its place, and the old key goes when no cache can hold its signatures.
//!
//! A key that the parent names gets a successor that is published at once and asked for by CDS (double DS, RFC 7583
//! section 3.3.2, with the key pre-published, so that it serves for a key that does everything too). When the parent
//! names both, a person says so, and the successor takes over once no cache can hold the older DS set.

use std::time::Duration;

use super::timing::{Phase, Timing};
use crate::time::WallTime;

/// How long caches may hold what a roll-over changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The DNSKEY set.
    pub dnskey: Duration,
    /// Any set of the zone, with its signatures.
    pub longest: Duration,
    /// The DS set of the parent.
    pub ds: Duration,
}

/// Beside what caches may hold: for clocks, and for copies that come late.
pub const MARGIN: Duration = Duration::from_secs(3600);

/// The dates of the successor of a zone-signing key; those of the old one follow.
#[must_use]
pub fn replace(old: &mut Timing, held: &Held, now: WallTime) -> Timing {
    let takes_over = after(now, held.dnskey + MARGIN);
    retire(old, takes_over, held);
    Timing { created: Some(now), publish: Some(now), activate: Some(takes_over), ..Timing::default() }
}

/// The dates of the successor of a key that the parent names: the rest waits for the parent.
#[must_use]
pub fn announce(now: WallTime) -> Timing {
    Timing { created: Some(now), publish: Some(now), sync_publish: Some(now), ..Timing::default() }
}

/// Whether a key waits for the parent to name it.
#[must_use]
pub fn waits_for_parent(timing: &Timing, now: WallTime) -> bool {
    timing.activate.is_none() && timing.phase(now) == Phase::Published
}

/// Lets a successor take over whose DS every name server of the parent has; gives when it does.
pub fn take_over(new: &mut Timing, old: &mut Timing, held: &Held, now: WallTime) -> WallTime {
    let published = now.since(new.publish.unwrap_or(now));
    let takes_over = after(now, held.ds.max(held.dnskey.saturating_sub(published)) + MARGIN);
    new.activate = Some(takes_over);
    old.sync_delete = Some(takes_over);
    retire(old, takes_over, held);
    takes_over
}

/// Lets a key sign until `from`, and go when no cache can hold its signatures or the keys without the successor.
fn retire(key: &mut Timing, from: WallTime, held: &Held) {
    key.inactive = Some(from);
    key.delete = Some(after(from, held.longest.max(held.dnskey) + MARGIN));
}

fn after(time: WallTime, span: Duration) -> WallTime {
    WallTime(time.0 + u64::try_from(span.as_millis()).expect("spans here are of days"))
}
