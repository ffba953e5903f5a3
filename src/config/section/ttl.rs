//! `ttl = { ... }` of a service: how long its answers may be cached.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::limit::TTL_SECONDS_MAX;
use crate::config::table::{Section, Table};
use crate::config::value::Value;
use crate::policy::service::TtlPolicy;

pub(in crate::config) const TTL: Section =
    Section { path: "services.*.ttl", keys: &["steady", "suspect", "moved", "floor"] };

const RANGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(TTL_SECONDS_MAX);
const STEADY: u32 = 30;
const SUSPECT: u32 = 5;
const MOVED: u32 = 10;
const FLOOR: u32 = 1;

/// Reads the TTLs. One that was not written is its default, or the bound that another sets it.
pub(in crate::config) fn read_ttl(table: Table) -> TtlPolicy {
    let read = |key: &str| read_seconds(table.value(key)?);
    let (steady, suspect, moved, floor) = (read("steady"), read("suspect"), read("moved"), read("floor"));
    let steady = steady.unwrap_or(STEADY.max(floor.unwrap_or(0)));
    let least = floor.unwrap_or(0).min(steady);
    let ttl = TtlPolicy {
        steady,
        suspect: suspect.unwrap_or(SUSPECT.clamp(least, steady)),
        moved: moved.unwrap_or(MOVED.clamp(least, steady)),
        floor: floor.unwrap_or(FLOOR.min(steady).min(suspect.unwrap_or(FLOOR)).min(moved.unwrap_or(FLOOR))),
    };
    check_order(&ttl, table);
    ttl
}

fn check_order(ttl: &TtlPolicy, table: Table) {
    if let Some(value) = table.value("floor")
        && ttl.floor > ttl.steady
    {
        value.error("the floor is above the steady TTL", format!("write at most \"{}s\"", ttl.steady));
        return;
    }
    for (key, seconds) in [("suspect", ttl.suspect), ("moved", ttl.moved)] {
        let Some(value) = table.value(key) else { continue };
        let help = format!("write a TTL from \"{}s\" to \"{}s\"", ttl.floor, ttl.steady);
        if seconds > ttl.steady {
            value.error(format!("the {key} TTL is longer than the steady one"), help);
        } else if seconds < ttl.floor {
            value.error(format!("the {key} TTL is below the floor"), help);
        }
    }
}

fn read_seconds(value: Value) -> Option<u32> {
    let ttl = value.duration(RANGE)?;
    if ttl.subsec_nanos() != 0 {
        let help = format!("write \"{}s\"", ttl.as_secs() + 1);
        value.error("a TTL is a whole number of seconds", help);
    }
    u32::try_from(ttl.as_secs()).ok()
}
