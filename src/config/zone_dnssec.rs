//! What is done with the DNSSEC of a zone: signed here, served as signed elsewhere, or nothing. Faults of keys, and
//! of zones that are both, are told here.

use std::sync::Arc;

use super::key_store::StoreFault;
use super::{Config, Zone, ZoneKeys, key_store};
use crate::answer::compile_signed::ZoneDnssec;
use crate::answer::signed::{SignedZone, is_signed};
use crate::dnssec::key::Key;
use crate::dnssec::signer::Signer;
use crate::fault::{Fault, Severity};
use crate::name::Name;
use crate::policy::service::Service;
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone;

/// What only signing makes: none of it may be in a file that is signed here.
const MADE_BY_SIGNING: [RecordType; 7] = [
    RecordType::RRSIG,
    RecordType::NSEC,
    RecordType::NSEC3,
    RecordType::NSEC3PARAM,
    RecordType::DNSKEY,
    RecordType::CDS,
    RecordType::CDNSKEY,
];

/// Decides for the zone that `written` declares.
pub(super) fn zone_dnssec(
    config: &Config,
    written: &Zone,
    zone: &zone::Zone,
    now: WallTime,
    errors: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> ZoneDnssec {
    let made = match &written.dnssec {
        Some(keys) => signed_here(config, written, keys, zone, now, warnings),
        None if is_signed(zone) => signed_elsewhere(config, written, zone),
        None => Ok(ZoneDnssec::Unsigned),
    };
    made.unwrap_or_else(|faults| {
        errors.extend(faults);
        ZoneDnssec::Unsigned
    })
}

fn signed_here(
    config: &Config,
    written: &Zone,
    keys: &ZoneKeys,
    zone: &zone::Zone,
    now: WallTime,
    warnings: &mut Vec<Fault>,
) -> Result<ZoneDnssec, Vec<Fault>> {
    let error = |message: String, help: &str| config.error(keys.span, message, help.to_owned());
    let unusable = |StoreFault { secret, help }: StoreFault| Fault {
        unopened: secret.unopened,
        ..error(secret.message, help)
    };
    let types = zone.owners().flat_map(|owner| owner.rrsets().map(zone::Rrset::rtype));
    if let Some(rtype) = types.into_iter().find(|rtype| MADE_BY_SIGNING.contains(rtype)) {
        let message = format!("{} is signed here, but its file holds {rtype} records", written.origin);
        return Err(vec![error(
            message,
            "take all that signing makes out of the file, or the keys out of here",
        )]);
    }
    let make = format!("make one by `rhumb dnssec make {} --keys {}`", written.origin, keys.folder.display());
    let stored = key_store::read(&keys.folder, &written.origin, now)
        .map_err(|faults| faults.into_iter().map(unusable).collect::<Vec<_>>())?;
    let stored: Vec<_> = stored.into_iter().map(|stored| stored.key).collect();
    if stored.is_empty() {
        let message = format!("{} has no key of {}", keys.folder.display(), written.origin);
        return Err(vec![error(message, &make)]);
    }
    let signer = Signer::new(written.origin.clone(), stored, keys.rules.clone());
    if signer.dnskeys(now).is_empty() {
        let message = format!("no key of {} is published yet by its dates", written.origin);
        return Err(vec![error(
            message,
            "`rhumb dnssec status` tells the dates; `dnssec-settime` changes them",
        )]);
    }
    if !signer.signing(RecordType::DNSKEY, now).any(Key::is_secure_entry) {
        let message = format!("no key that the parent may name signs the keys of {}", written.origin);
        return Err(vec![error(
            message,
            "put both files of its key-signing key (flags 257) here; one that is kept elsewhere cannot sign",
        )]);
    }
    let mut warn = |message: String, help: &str| {
        warnings.push(config.text.fault(Severity::Warning, keys.span, message, help.to_owned()));
    };
    for key in signer.beyond_dates(now) {
        let (tag, algorithm) = (key.tag(), key.algorithm().mnemonic());
        warn(
            format!(
                "key {tag} of {} signs beyond its dates: no other {algorithm} does its part",
                written.origin
            ),
            "`rhumb dnssec status` tells the dates; make a successor",
        );
    }
    let longest = longest_ttl(config, zone).max(keys.rules.dnskey_ttl);
    if longest >= keys.rules.renew_before {
        warn(
            format!(
                "a TTL of {} is {longest} seconds: caches may hold a signature beyond its end",
                written.origin
            ),
            "let renew-before be longer than every TTL of the zone",
        );
    }
    Ok(ZoneDnssec::Here(Arc::new(signer)))
}

/// The longest TTL of what a zone answers with, in seconds: of its file, and of the services that have names in it.
#[must_use]
pub fn longest_ttl(config: &Config, zone: &zone::Zone) -> u32 {
    let origin = |name: &Name| config.zone_of(name).map(|of| &config.zones[of.index()].origin);
    let is_here = |service: &&Service| service.names.iter().any(|name| origin(name) == Some(zone.origin()));
    let written = zone.owners().flat_map(|owner| owner.rrsets().map(zone::Rrset::ttl));
    let steered = config.services.iter().filter(is_here).map(|service| service.ttl.steady);
    written.chain(steered).max().unwrap_or(0)
}

fn signed_elsewhere(config: &Config, written: &Zone, zone: &zone::Zone) -> Result<ZoneDnssec, Vec<Fault>> {
    let in_zone = |name: &&Name| {
        config.zone_of(name).is_some_and(|of| config.zones[of.index()].origin == written.origin)
    };
    let names = config.services.iter().flat_map(|service| &service.names);
    if let Some(name) = names.into_iter().find(in_zone) {
        let message = format!("{} was signed elsewhere, and {name} is steered in it", written.origin);
        let help =
            "sign it here: take out all that signing made, and write [zones.\"...\".dnssec] with its keys";
        return Err(vec![config.error(written.span, message, help.to_owned())]);
    }
    SignedZone::given(zone).map(|signed| ZoneDnssec::Elsewhere(Arc::new(signed))).map_err(|fault| {
        let message = format!("{} was signed elsewhere, but cannot be served so: {fault}", written.origin);
        vec![config.error(written.span, message, "sign it anew, or take its signatures out".to_owned())]
    })
}
