//! `dnssec roll`: the dates of a roll-over, written into the keys' files. Which dates those are, `dnssec::rollover` says.

use std::time::Duration;

use serde_json::json;

use super::OfZone;
use super::keys::{self, Place};
use crate::cli::said::{Failure, Outcome, Said};
use crate::clock;
use crate::config::duration::parse_duration;
use crate::config::key_store::StoredKey;
use crate::config::zone_dnssec::longest_ttl;
use crate::dnssec::key::Key;
use crate::dnssec::rollover::{Held, announce, replace, take_over, waits_for_parent};
use crate::dnssec::timing::{Phase, written};
use crate::dnssec::{seconds, wall};
use crate::time::WallTime;
use crate::zone;

/// What `dnssec roll` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: OfZone,
    /// The tag of the key to replace, where more than one could be meant; with --ds-seen that of the new key, where more
    /// than one waits for the parent.
    #[arg(long, value_name = "TAG")]
    key: Option<u16>,
    /// Every name server of the parent has the DS of the new key: let it take over.
    #[arg(long)]
    ds_seen: bool,
    /// The TTL of the parent's DS set.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration, requires = "ds_seen")]
    ds_ttl: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|fault| format!("{fault}; write for example \"1d\""))
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let place = Place::of(&arguments.of)?;
    let keys = place.read()?;
    let now = wall(seconds(clock::wall()));
    if arguments.ds_seen { finish(&place, keys, arguments, now) } else { begin(&place, keys, arguments, now) }
}

fn begin(place: &Place, keys: Vec<StoredKey>, arguments: &Arguments, now: WallTime) -> Outcome {
    let waiting: Vec<String> = keys
        .iter()
        .filter(|stored| is_waiting(stored, now))
        .map(|stored| stored.key.tag().to_string())
        .collect();
    let mut old = meant(keys, arguments.key, arguments, now)?.key;
    let is_entry = old.is_secure_entry();
    if is_entry && !waiting.is_empty() {
        return Err(Failure::failed(format!(
            "a successor waits for the parent already: {}; once the parent has it: rhumb dnssec roll {} --ds-seen",
            waiting.join(", "),
            place.zone
        )));
    }
    let held = held(place, arguments)?;
    let timing = if is_entry { announce(now) } else { replace(&mut old.timing, &held, now) };
    let new = Key::generate(place.zone.clone(), old.flags(), old.algorithm(), timing);
    let mut lines = vec![format!("made {}", place.write(&new)?.display())];
    if is_entry {
        lines.push(format!("{} is published and asked for by CDS as soon as the server reloads.", new.tag()));
        lines.push("Give this to the parent beside what it has, unless it reads CDS:".to_owned());
        lines.push(keys::ds_record(&new));
        lines.push(format!(
            "Once every name server of the parent has it: rhumb dnssec roll {} --ds-seen",
            place.zone
        ));
    } else {
        place.write(&old)?;
        lines.push(format!(
            "{} is published as soon as the server reloads, and signs from {}; {} goes {}. Nothing else is to do.",
            new.tag(),
            date(timing.activate),
            old.tag(),
            date(old.timing.delete)
        ));
    }
    Ok(said(lines.join("\n"), &old, &new, now))
}

/// The new key signs when no cache can hold a DS set without it any more.
fn finish(place: &Place, keys: Vec<StoredKey>, arguments: &Arguments, now: WallTime) -> Outcome {
    let (waiting, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(|stored| is_waiting(stored, now));
    let is_named = |stored: &StoredKey| arguments.key == Some(stored.key.tag());
    let names_new = waiting.iter().any(is_named);
    let chosen: Vec<_> = waiting.into_iter().filter(|stored| !names_new || is_named(stored)).collect();
    let tags: Vec<String> = chosen.iter().map(|stored| stored.key.tag().to_string()).collect();
    let [StoredKey { key: mut new, .. }] = <[StoredKey; 1]>::try_from(chosen).map_err(|_| match &*tags {
        [] => Failure::failed("no key waits for the parent; `rhumb dnssec roll` without --ds-seen begins"),
        _ => Failure::usage(format!(
            "several keys wait for the parent; write --key with one of {}",
            tags.join(", ")
        )),
    })?;
    let old = arguments.key.filter(|_| !names_new);
    let mut old = meant(keys, old, arguments, now)?.key;
    take_over(&mut new.timing, &mut old.timing, &held(place, arguments)?, now);
    place.write(&new)?;
    place.write(&old)?;
    let text = format!(
        "{} signs from {}; from then on CDS asks for it alone, and the parent may drop the DS of {}, which goes {}.",
        new.tag(),
        date(new.timing.activate),
        old.tag(),
        date(old.timing.delete)
    );
    Ok(said(text, &old, &new, now))
}

fn said(text: String, old: &Key, new: &Key, now: WallTime) -> Said {
    Said {
        text,
        json: json!({ "done": true, "old": keys::told(old, now), "new": keys::told(new, now) }),
        remarks: vec!["now: rhumb reload".to_owned()],
    }
}

fn date(date: Option<WallTime>) -> String {
    date.map(written).unwrap_or_default()
}

fn is_waiting(stored: &StoredKey, now: WallTime) -> bool {
    stored.key.is_secure_entry() && waits_for_parent(&stored.key.timing, now)
}

/// The key to be replaced: the active one, or among several the one that is `named`.
fn meant(
    keys: Vec<StoredKey>,
    named: Option<u16>,
    arguments: &Arguments,
    now: WallTime,
) -> Result<StoredKey, Failure> {
    let is_meant = |key: &Key| {
        let replaceable = key.timing.phase(now) == Phase::Active && key.timing.inactive.is_none();
        let named = named.is_none_or(|tag| tag == key.tag());
        replaceable && named && (!arguments.ds_seen || key.is_secure_entry())
    };
    let meant: Vec<_> = keys.into_iter().filter(|stored| is_meant(&stored.key)).collect();
    let tags: Vec<String> = meant.iter().map(|stored| stored.key.tag().to_string()).collect();
    <[StoredKey; 1]>::try_from(meant).map(|[one]| one).map_err(|_| match tags.is_empty() {
        true => Failure::failed("no such key is active and without a successor; see `rhumb dnssec status`"),
        false => Failure::usage(format!("which one? write --key with one of {}", tags.join(", "))),
    })
}

/// How long caches may hold what changes.
fn held(place: &Place, arguments: &Arguments) -> Result<Held, Failure> {
    let (config, file) = place.served.as_ref().ok_or_else(|| {
        Failure::usage(
            "the zone's TTLs decide how long a key must stay; name the configuration with --config",
        )
    })?;
    let (zone, _) = zone::load(&place.zone, file).map_err(|faults| Failure::faults(&faults))?;
    let span = |seconds: u32| Duration::from_secs(seconds.into());
    Ok(Held { dnskey: span(place.ttl), longest: span(longest_ttl(config, &zone)), ds: arguments.ds_ttl })
}
