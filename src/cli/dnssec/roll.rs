//! `dnssec roll`: the dates of a roll-over, written into the keys' files.
//!
//! A zone-signing key is pre-published (RFC 7583 section 3.2.1): its successor stands in the DNSKEY set for longer than
//! a cache may hold that, then signs in its place, and goes when no cache can hold its signatures. No step waits for
//! anybody.
//!
//! A key that the parent names gets a successor that is published at once and asked for by CDS (double DS, RFC 7583
//! section 3.3.2, with the key pre-published, so that it serves for a key that does everything too). When the parent
//! names both, a person says so, and the successor takes over once no cache can hold the older DS set.

use std::time::Duration;

use serde_json::json;

use super::OfZone;
use super::keys::{self, Place};
use crate::cli::said::{Failure, Outcome, Said};
use crate::clock;
use crate::config::duration::parse_duration;
use crate::config::key_store::StoredKey;
use crate::dnssec::key::Key;
use crate::dnssec::timing::{Phase, Timing, written};
use crate::dnssec::{seconds, wall};
use crate::time::WallTime;
use crate::zone;

/// What `dnssec roll` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: OfZone,
    /// The tag of the key to replace, where more than one could be meant.
    #[arg(long, value_name = "TAG")]
    key: Option<u16>,
    /// Every name server of the parent has the DS of the new key: let it take over.
    #[arg(long)]
    ds_seen: bool,
    /// The TTL of the parent's DS set.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration, requires = "ds_seen")]
    ds_ttl: Duration,
}

/// Beside what caches may hold: for clocks and slow copies.
const MARGIN: Duration = Duration::from_secs(3600);

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|fault| format!("{fault}; write for example \"1d\""))
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let place = Place::of(&arguments.of)?;
    let keys = place.read()?;
    let now = wall(seconds(clock::wall()));
    if arguments.ds_seen {
        take_over(&place, keys, arguments, now)
    } else {
        begin(&place, keys, arguments, now)
    }
}

fn begin(place: &Place, keys: Vec<StoredKey>, arguments: &Arguments, now: WallTime) -> Outcome {
    let mut old = meant(keys, arguments, now)?;
    let algorithm = old.key.algorithm();
    let made = |timing| Key::generate(place.zone.clone(), old.key.flags(), algorithm, timing);
    let (new, lines) = if old.key.is_secure_entry() {
        let timing =
            Timing { created: Some(now), publish: Some(now), sync_publish: Some(now), ..Timing::default() };
        let new = made(timing);
        let lines = vec![
            format!("{} is published and asked for by CDS as soon as the server reloads.", new.tag()),
            "Give this to the parent beside what it has, unless it reads CDS:".to_owned(),
            keys::ds_record(&new),
            format!(
                "Once every name server of the parent has it: rhumb dnssec roll {} --ds-seen",
                place.zone
            ),
        ];
        (new, lines)
    } else {
        let takes_over = after(now, Duration::from_secs(place.ttl.into()) + MARGIN);
        let timing = Timing {
            created: Some(now),
            publish: Some(now),
            activate: Some(takes_over),
            ..Timing::default()
        };
        let new = made(timing);
        let gone = retire(&mut old.key, takes_over, longest_ttl(place)?);
        place.write(&old.key)?;
        let lines = vec![format!(
            "{} is published as soon as the server reloads, signs from {}; {} goes {}. Nothing else is to do.",
            new.tag(),
            written(takes_over),
            old.key.tag(),
            written(gone)
        )];
        (new, lines)
    };
    let file = place.write(&new)?;
    Ok(Said {
        text: [vec![format!("made {}", file.display())], lines].concat().join("\n"),
        json: json!({ "done": true, "old": keys::told(&old.key, now), "new": keys::told(&new, now) }),
        remarks: vec!["Now: rhumb reload".to_owned()],
    })
}

/// The new key signs when no cache can hold a DS set without it any more.
fn take_over(place: &Place, keys: Vec<StoredKey>, arguments: &Arguments, now: WallTime) -> Outcome {
    let is_new = |key: &Key| key.timing.phase(now) == Phase::Published && key.timing.activate.is_none();
    let (new, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(|stored| is_new(&stored.key));
    let [mut new] = <[StoredKey; 1]>::try_from(new).map_err(|new| {
        Failure::failed(format!(
            "{} keys wait for the parent, not one; `rhumb dnssec roll` begins",
            new.len()
        ))
    })?;
    let published = new.key.timing.publish.unwrap_or(now);
    let cached = Duration::from_secs(place.ttl.into()).saturating_sub(now.since(published));
    let takes_over = after(now, arguments.ds_ttl.max(cached) + MARGIN);
    new.key.timing.activate = Some(takes_over);
    let mut old = meant(keys, arguments, now)?;
    let gone = retire(&mut old.key, takes_over, longest_ttl(place)?);
    old.key.timing.sync_delete = Some(takes_over);
    place.write(&new.key)?;
    place.write(&old.key)?;
    Ok(Said {
        text: format!(
            "{} signs from {}; from then on CDS asks for it alone, and the parent may drop the DS of {}, which goes {}.",
            new.key.tag(),
            written(takes_over),
            old.key.tag(),
            written(gone)
        ),
        json: json!({ "done": true, "old": keys::told(&old.key, now), "new": keys::told(&new.key, now) }),
        remarks: vec!["Now: rhumb reload".to_owned()],
    })
}

/// The key to be replaced: the active one, or among several the one that is named.
fn meant(keys: Vec<StoredKey>, arguments: &Arguments, now: WallTime) -> Result<StoredKey, Failure> {
    let is_meant = |key: &Key| {
        let replaceable = key.timing.phase(now) == Phase::Active && key.timing.inactive.is_none();
        let named = arguments.key.is_none_or(|tag| tag == key.tag());
        replaceable && named && (!arguments.ds_seen || key.is_secure_entry())
    };
    let meant: Vec<_> = keys.into_iter().filter(|stored| is_meant(&stored.key)).collect();
    let tags: Vec<String> = meant.iter().map(|stored| stored.key.tag().to_string()).collect();
    <[StoredKey; 1]>::try_from(meant).map(|[one]| one).map_err(|_| match tags.is_empty() {
        true => Failure::failed("no such key is active and without a successor; see `rhumb dnssec status`"),
        false => Failure::usage(format!("which one? write --key with one of {}", tags.join(", "))),
    })
}

/// Lets a key sign until `from`, and go when no cache can hold its signatures; that is when.
fn retire(key: &mut Key, from: WallTime, longest_ttl: Duration) -> WallTime {
    let gone = after(from, longest_ttl + MARGIN);
    (key.timing.inactive, key.timing.delete) = (Some(from), Some(gone));
    gone
}

/// The longest that a cache may hold a signature of the zone.
fn longest_ttl(place: &Place) -> Result<Duration, Failure> {
    let file = place.file.as_ref().ok_or_else(|| {
        Failure::usage(
            "the zone's TTLs decide how long a key must stay; name the configuration with --config",
        )
    })?;
    let (zone, _) = zone::load(&place.zone, file).map_err(|faults| Failure::faults(&faults))?;
    let ttls = zone.owners().flat_map(|owner| owner.rrsets().map(zone::Rrset::ttl));
    Ok(Duration::from_secs(ttls.max().unwrap_or(0).max(place.ttl).into()))
}

fn after(time: WallTime, span: Duration) -> WallTime {
    WallTime(time.0 + span.as_millis() as u64)
}
