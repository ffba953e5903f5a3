//! When a key is used for what, as its files say: the dates that BIND's `dnssec-settime` writes. They drive the
//! roll-over, so that a step is prepared by hand and taken by the clock.
//!
//! ```text
//!          Publish          Activate           Inactive          Delete
//!  made ------> published ------> active -------> retired -------> gone
//!               in DNSKEY         signs           signs no more
//! ```

use std::fmt;

use super::{seconds, wall};
use crate::time::WallTime;
use crate::zone::rdata;

/// The dates of a key; what is not written never happens, but for a key without any date: it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// When it was made.
    pub created: Option<WallTime>,
    /// When it joins the DNSKEY set.
    pub publish: Option<WallTime>,
    /// When it begins to sign.
    pub activate: Option<WallTime>,
    /// When it stops to sign.
    pub inactive: Option<WallTime>,
    /// When it leaves the DNSKEY set.
    pub delete: Option<WallTime>,
    /// When CDS and CDNSKEY begin to ask the parent for it.
    pub sync_publish: Option<WallTime>,
    /// When they stop.
    pub sync_delete: Option<WallTime>,
}

/// What a key does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing yet.
    Made,
    /// It stands in the DNSKEY set, for resolvers to know before it signs.
    Published,
    /// It signs.
    Active,
    /// It stands in the DNSKEY set for the signatures in caches, and signs no more.
    Retired,
    /// Nothing any more.
    Gone,
}

/// Finds one date among those of a key.
pub(super) type DateOf = fn(&mut Timing) -> &mut Option<WallTime>;

/// The names of the dates in a file, with each.
pub(super) const DATES: [(&str, DateOf); 7] = [
    ("Created", |timing| &mut timing.created),
    ("Publish", |timing| &mut timing.publish),
    ("Activate", |timing| &mut timing.activate),
    ("Inactive", |timing| &mut timing.inactive),
    ("Delete", |timing| &mut timing.delete),
    ("SyncPublish", |timing| &mut timing.sync_publish),
    ("SyncDelete", |timing| &mut timing.sync_delete),
];

impl Timing {
    /// Of a key that is made and used from `now` on.
    #[must_use]
    pub fn from_now(now: WallTime) -> Self {
        let now = Some(wall(seconds(now)));
        Self { created: now, publish: now, activate: now, sync_publish: now, ..Self::default() }
    }

    /// What the key does at `now`.
    #[must_use]
    pub fn phase(&self, now: WallTime) -> Phase {
        let passed = |date: Option<WallTime>| date.is_some_and(|date| date <= now);
        // Files of old and of other makers have no dates at all.
        let dateless = self.publish.is_none() && self.activate.is_none();
        match () {
            () if passed(self.delete) => Phase::Gone,
            () if passed(self.inactive) => Phase::Retired,
            () if passed(self.activate) || dateless => Phase::Active,
            () if passed(self.publish) => Phase::Published,
            () => Phase::Made,
        }
    }

    /// Whether CDS and CDNSKEY ask the parent for the key at `now`: from SyncPublish to SyncDelete, and where the
    /// first is not written, while the key is active.
    #[must_use]
    pub fn is_for_parent(&self, now: WallTime) -> bool {
        let begun = match self.sync_publish {
            Some(date) => date <= now,
            None => self.phase(now) == Phase::Active,
        };
        let ended =
            [self.sync_delete, self.inactive, self.delete].into_iter().flatten().any(|date| date <= now);
        begun && !ended
    }

    /// The next date after `now`, with its name.
    #[must_use]
    pub fn next_change(&self, now: WallTime) -> Option<(WallTime, &'static str)> {
        self.dates().filter(|(date, _)| *date > now).min_by_key(|(date, _)| *date)
    }

    /// The dates that are written, with their names, in the order of a key's life.
    pub fn dates(&self) -> impl Iterator<Item = (WallTime, &'static str)> {
        let mut copy = *self;
        DATES.into_iter().filter_map(move |(name, date)| Some(((*date(&mut copy))?, name)))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Made => "made",
            Self::Published => "published",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Gone => "gone",
        })
    }
}

/// A date as files and people have it: `YYYYMMDDHHMMSS` in UTC.
#[must_use]
pub fn written(date: WallTime) -> String {
    let mut text = String::new();
    rdata::show_time(seconds(date), &mut text).expect("a string takes all");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Option<WallTime> {
        Some(WallTime(second * 1000))
    }

    #[test]
    fn the_phases_follow_the_dates() {
        let timing = Timing {
            publish: at(10),
            activate: at(20),
            inactive: at(30),
            delete: at(40),
            ..Timing::default()
        };
        let phases = [5, 10, 19, 20, 30, 40].map(|second| timing.phase(WallTime(second * 1000)).to_string());
        assert_eq!(phases, ["made", "published", "published", "active", "retired", "gone"]);
        assert_eq!(timing.next_change(WallTime(20_000)), Some((WallTime(30_000), "Inactive")));
        assert_eq!(timing.next_change(WallTime(40_000)), None);
        assert_eq!(Timing::default().phase(WallTime(0)), Phase::Active);
    }

    #[test]
    fn the_parent_is_asked_for_a_key_before_it_is_published_and_no_longer_than_it_signs() {
        let timing = Timing { sync_publish: at(5), activate: at(20), inactive: at(30), ..Timing::default() };
        let asked = [4, 5, 20, 30].map(|second| timing.is_for_parent(WallTime(second * 1000)));
        assert_eq!(asked, [false, true, true, false]);
        let plain = Timing { activate: at(20), ..Timing::default() };
        assert!(!plain.is_for_parent(WallTime(19_000)) && plain.is_for_parent(WallTime(20_000)));
    }
}
