//! Where the keys of a zone are, and what is said of them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::OfZone;
use crate::cli::said::Failure;
use crate::clock;
use crate::config::key_store::{self, StoredKey};
use crate::config::{self, Config, ZoneKeys};
use crate::dnssec::denial::Denial;
use crate::dnssec::key::Key;
use crate::dnssec::signer::{Rules, Signer};
use crate::dnssec::timing::{Phase, written};
use crate::name::Name;
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::rdata;

/// The keys of a zone on disk.
pub(super) struct Place {
    pub(super) zone: Name,
    pub(super) folder: PathBuf,
    /// The TTL of the DNSKEY set.
    pub(super) ttl: u32,
    /// The configuration, and the zone's file by it, where one names it.
    pub(super) served: Option<(Config, PathBuf)>,
}

/// The TTL of DNSKEY where no configuration says it.
const TTL: u32 = 3600;

impl Place {
    /// The folder that is named, or the one that the configuration names for the zone.
    pub(super) fn of(of: &OfZone) -> Result<Self, Failure> {
        let configured = configured(of.configuration.path(), &of.zone);
        let zone = of.zone.clone();
        if let Some(folder) = &of.keys {
            let keys = configured.ok();
            let ttl = keys.as_ref().map_or(TTL, |(keys, ..)| keys.rules.dnskey_ttl);
            let served = keys.map(|(_, config, file)| (config, file));
            return Ok(Self { zone, folder: folder.clone(), ttl, served });
        }
        let (keys, config, file) = configured?;
        Ok(Self { zone, folder: keys.folder, ttl: keys.rules.dnskey_ttl, served: Some((config, file)) })
    }

    /// All keys.
    pub(super) fn read(&self) -> Result<Vec<StoredKey>, Failure> {
        key_store::read(&self.folder, &self.zone, clock::wall()).map_err(|faults| {
            let faults = faults.into_iter().map(|fault| format!("error: {fault}")).collect();
            Failure::of(crate::cli::said::Code::Failed, faults)
        })
    }

    /// What signs the zone, as far as keys go.
    pub(super) fn signer(&self) -> Result<Signer, Failure> {
        let keys: Vec<Key> = self.read()?.into_iter().map(|stored| stored.key).collect();
        if keys.is_empty() {
            let make =
                format!("`rhumb dnssec make {} --keys {}` makes one", self.zone, self.folder.display());
            return Err(Failure::failed(format!(
                "{} has no key of {}; {make}",
                self.folder.display(),
                self.zone
            )));
        }
        let rules =
            Rules { denial: Denial::Nsec, validity: 0, renew_before: 0, jitter: 0, dnskey_ttl: self.ttl };
        Ok(Signer::new(self.zone.clone(), keys, rules))
    }

    /// Writes a key; gives its private file.
    pub(super) fn write(&self, key: &Key) -> Result<PathBuf, Failure> {
        key_store::write(&self.folder, key, self.ttl).map_err(|error| {
            Failure::failed(format!("the key cannot be written to {}: {error}", self.folder.display()))
        })
    }
}

/// How the configuration has a zone signed, itself, and the zone's file.
fn configured(path: &Path, zone: &Name) -> Result<(ZoneKeys, Config, PathBuf), Failure> {
    let (config, _) = config::load(path).map_err(|faults| Failure::faults(&faults))?;
    let written = config.zones.iter().find(|written| written.origin == *zone);
    let Some(written) = written else {
        return Err(Failure::usage(format!("{} has no zone {zone}", path.display())));
    };
    let file = written.file.clone();
    match written.dnssec.clone() {
        Some(keys) => Ok((keys, config, file)),
        None => Err(Failure::usage(format!(
            "{} does not say where the keys of {zone} are; write [zones.\"...\".dnssec], or --keys FOLDER here",
            path.display()
        ))),
    }
}

/// The DS record that names a key.
pub(super) fn ds_record(key: &Key) -> String {
    format!("{} IN DS {}", key.owner(), shown(RecordType::DS, &key.ds()))
}

/// The DNSKEY record of a key.
pub(super) fn dnskey_record(key: &Key, ttl: u32) -> String {
    format!("{} {ttl} IN DNSKEY {}", key.owner(), shown(RecordType::DNSKEY, &key.dnskey()))
}

fn shown(rtype: RecordType, data: &[u8]) -> String {
    let mut text = String::new();
    rdata::show(rtype, data, &mut text).expect("a string takes all");
    text
}

/// "KSK", "ZSK" or "CSK": what a key is among those of its zone.
pub(super) fn kind(key: &Key, all: &[Key]) -> &'static str {
    let other =
        |other: &Key| !other.is_secure_entry() && other.timing.phase(WallTime(u64::MAX)) != Phase::Gone;
    match key.is_secure_entry() {
        false => "ZSK",
        true if all.iter().any(other) => "KSK",
        true => "CSK",
    }
}

/// A key for programs.
pub(super) fn told(key: &Key, now: WallTime) -> Value {
    let dates: serde_json::Map<_, _> =
        key.timing.dates().map(|(date, name)| (name.to_lowercase(), json!(written(date)))).collect();
    json!({
        "tag": key.tag(),
        "algorithm": key.algorithm().number(),
        "flags": key.flags(),
        "phase": key.timing.phase(now).to_string(),
        "dates": dates,
        "ds": shown(RecordType::DS, &key.ds()),
    })
}
