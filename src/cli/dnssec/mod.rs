//! `dnssec`: the keys that zones are signed by. They are made, shown and rolled over as files, which a running server
//! reads when it is told to reload; the dates in them do the rest.

mod keys;
mod roll;
mod status;

use std::path::PathBuf;

use serde_json::json;

use super::Configuration;
use super::said::{Failure, Outcome, Said};
use crate::clock;
use crate::dnssec::Algorithm;
use crate::dnssec::key::{Key, SECURE_ENTRY, ZONE_KEY};
use crate::dnssec::timing::Timing;
use crate::name::Name;
use keys::Place;

/// What `dnssec` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make the keys of a zone: one that does everything, in use at once.
    Make(Make),
    /// Print the DS records that the parent of a zone must have, and the keys that they name.
    Ds(OfZone),
    /// Tell what each key does, when it will do something else, and when the first signature ends.
    Status(status::Arguments),
    /// Begin to replace a key by a new one; or, once the parent names the new one, let it take over.
    Roll(roll::Arguments),
}

#[derive(Debug, clap::Args)]
struct Make {
    #[command(flatten)]
    of: OfZone,
    /// ecdsap256sha256, which every resolver knows, or ed25519.
    #[arg(long, default_value = "ecdsap256sha256", value_parser = algorithm)]
    algorithm: Algorithm,
    /// Two keys: one for the parent to name, which signs keys alone, and one for all else.
    #[arg(long)]
    split: bool,
}

/// Which zone is meant.
#[derive(Debug, clap::Args)]
struct OfZone {
    /// The zone.
    zone: Name,
    #[command(flatten)]
    configuration: Configuration,
    /// The folder of its keys, where the configuration does not name it.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Make(make) => make_keys(make),
        Verb::Ds(of) => ds(of),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Roll(arguments) => roll::run(arguments),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let all = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519];
    let named = |algorithm: &Algorithm| {
        algorithm.mnemonic().eq_ignore_ascii_case(text) || algorithm.number().to_string() == text
    };
    all.into_iter().find(named).ok_or_else(|| "write ecdsap256sha256 or ed25519".to_owned())
}

fn make_keys(make: &Make) -> Outcome {
    let place = Place::of(&make.of)?;
    std::fs::create_dir_all(&place.folder)
        .map_err(|error| Failure::failed(format!("{}: {error}", place.folder.display())))?;
    let held = place.read()?;
    if let Some(held) = held.first() {
        return Err(Failure::failed(format!(
            "{} has a key already ({}); `rhumb dnssec roll` makes its successor",
            make.of.zone,
            held.file.display()
        )));
    }
    let flags =
        if make.split { vec![ZONE_KEY | SECURE_ENTRY, ZONE_KEY] } else { vec![ZONE_KEY | SECURE_ENTRY] };
    let timing = Timing::from_now(clock::wall());
    let mut files = Vec::new();
    let mut made = Vec::new();
    for flags in flags {
        let timing = if flags & SECURE_ENTRY != 0 { timing } else { Timing { sync_publish: None, ..timing } };
        let key = Key::generate(make.of.zone.clone(), flags, make.algorithm, timing);
        files.push(place.write(&key)?);
        made.push(key);
    }
    let mut text: Vec<String> = files.iter().map(|file| format!("made {}", file.display())).collect();
    text.push(format!("The parent of {} needs, once the zone is served signed:", make.of.zone));
    text.extend(made.iter().filter(|key| key.is_secure_entry()).map(keys::ds_record));
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Ok(Said {
        text: text.join("\n"),
        json: json!({ "done": true, "files": files, "keys": made.iter().map(|key| keys::told(key, clock::wall())).collect::<Vec<_>>() }),
        remarks: Vec::new(),
    })
}

fn ds(of: &OfZone) -> Outcome {
    let place = Place::of(of)?;
    let now = clock::wall();
    let signer = place.signer()?;
    let keys: Vec<&Key> = signer.for_parent(now).collect();
    if keys.is_empty() {
        return Err(Failure::failed(format!("no key of {} is for the parent to name now", of.zone)));
    }
    let lines = keys.iter().flat_map(|key| [keys::ds_record(key), keys::dnskey_record(key, place.ttl)]);
    Ok(Said {
        text: lines.collect::<Vec<_>>().join("\n"),
        json: json!({ "done": true, "keys": keys.iter().map(|key| keys::told(key, now)).collect::<Vec<_>>() }),
        remarks: Vec::new(),
    })
}
