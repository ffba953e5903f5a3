//! What is done with the DNSSEC of a zone: signed here, served as signed elsewhere, or nothing. Faults of keys, and
//! of zones that are both, are told here.

use std::sync::Arc;
use std::time::Duration;

use super::key_store::StoreFault;
use super::{Config, Zone, ZoneKeys, key_store};
use crate::answer::compile_signed::{Dnssec, ZoneDnssec};
use crate::answer::signed::{SignedZone, is_signed};
use crate::dnssec::key::Key;
use crate::dnssec::signer::Signer;
use crate::dnssec::timing;
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

/// Signatures made elsewhere that end within this are warned of: whoever makes them is to notice while there is time.
const ENDS_SOON: Duration = Duration::from_secs(24 * 3600);

/// Decides for the zone that `written` declares.
pub(super) fn zone_dnssec(
    config: &Config,
    written: &Zone,
    zone: &zone::Zone,
    dnssec: &Dnssec,
    errors: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> ZoneDnssec {
    let made = match &written.dnssec {
        Some(keys) => signed_here(config, written, keys, zone, dnssec, warnings),
        None if is_signed(zone) => signed_elsewhere(config, written, zone, dnssec.now, warnings),
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
    dnssec: &Dnssec,
    warnings: &mut Vec<Fault>,
) -> Result<ZoneDnssec, Vec<Fault>> {
    let types = zone.owners().flat_map(|owner| owner.rrsets().map(zone::Rrset::rtype));
    if let Some(rtype) = types.into_iter().find(|rtype| MADE_BY_SIGNING.contains(rtype)) {
        let message = format!("{} is signed here, but its file holds {rtype} records", written.origin);
        let help = "take all that signing makes out of the file, or the keys out of here";
        return Err(vec![config.error(keys.span, message, help.to_owned())]);
    }
    let longest = longest_ttl(config, zone).max(keys.rules.dnskey_ttl);
    let signer = signer(config, written, keys, longest, dnssec)?;
    warn_of_keys(config, &signer, keys, dnssec, warnings);
    if longest >= keys.rules.renew_before {
        let message = format!(
            "a TTL of {} is {longest} seconds: caches may hold a signature beyond its end",
            written.origin
        );
        let help = "let renew-before be longer than every TTL of the zone";
        warnings.push(config.text.fault(Severity::Warning, keys.span, message, help.to_owned()));
    }
    Ok(ZoneDnssec::Here(Arc::new(signer)))
}

/// What signs a zone whose answers have no TTL above `longest` seconds.
fn signer(
    config: &Config,
    written: &Zone,
    keys: &ZoneKeys,
    longest: u32,
    dnssec: &Dnssec,
) -> Result<Signer, Vec<Fault>> {
    let now = dnssec.now;
    let error = |message: String, help: &str| config.error(keys.span, message, help.to_owned());
    let unusable = |StoreFault { secret, help }: StoreFault| Fault {
        unopened: secret.unopened,
        ..error(secret.message, help)
    };
    let make = format!("make one by `rhumb dnssec make {} --keys {}`", written.origin, keys.folder.display());
    let stored = key_store::read(&keys.folder, &written.origin, now)
        .map_err(|faults| faults.into_iter().map(unusable).collect::<Vec<_>>())?;
    let stored: Vec<_> = stored.into_iter().map(|stored| stored.key).collect();
    if stored.is_empty() {
        let message = format!("{} has no key of {}", keys.folder.display(), written.origin);
        return Err(vec![error(message, &make)]);
    }
    let signer = Signer::new(written.origin.clone(), stored, keys.rules.clone());
    let signer = match dnssec.signer_before(&written.origin) {
        Some(before) => signer.following(before, longest, now),
        None => signer,
    };
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
    Ok(signer)
}

/// Tells of keys that do not do what their dates say, or that caches do not know.
fn warn_of_keys(
    config: &Config,
    signer: &Signer,
    keys: &ZoneKeys,
    dnssec: &Dnssec,
    warnings: &mut Vec<Fault>,
) {
    let (origin, now) = (signer.origin(), dnssec.now);
    let mut warn = |message: String, help: &str| {
        warnings.push(config.text.fault(Severity::Warning, keys.span, message, help.to_owned()));
    };
    for key in signer.beyond_dates(now) {
        let (tag, algorithm) = (key.tag(), key.algorithm().mnemonic());
        warn(
            format!("key {tag} of {origin} signs beyond its dates: no other {algorithm} does its part"),
            "`rhumb dnssec status` tells the dates; make a successor",
        );
    }
    for (key, until) in signer.held(now) {
        let (tag, until) = (key.tag(), timing::written(until));
        warn(
            format!("key {tag} of {origin} signs until {until}: its successor was not served in time"),
            "reload soon after `rhumb dnssec roll`, whose dates count from then",
        );
    }
    if dnssec.signer_before(origin).is_some_and(|before| signer.is_unknown_after(before, now)) {
        warn(
            format!("{origin} is signed by no key that it was served with: caches will refuse it"),
            "put the files of the key that signed it back, and reload",
        );
    }
}

/// The longest TTL of what a zone answers with, in seconds: of its file, and of the services that have names in it.
#[must_use]
pub fn longest_ttl(config: &Config, zone: &zone::Zone) -> u32 {
    let origin = zone.origin();
    let is_in_zone = |name: &Name| {
        let of = || config.zone_of(name).map(|of| &config.zones[of.index()].origin);
        name.is_at_or_below(origin) && of() == Some(origin)
    };
    let is_here = |service: &&Service| service.names.iter().any(is_in_zone);
    let written = zone.owners().flat_map(|owner| owner.rrsets().map(zone::Rrset::ttl));
    let steered = config.services.iter().filter(is_here).map(|service| service.ttl.steady);
    written.chain(steered).max().unwrap_or(0)
}

fn signed_elsewhere(
    config: &Config,
    written: &Zone,
    zone: &zone::Zone,
    now: WallTime,
    warnings: &mut Vec<Fault>,
) -> Result<ZoneDnssec, Vec<Fault>> {
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
    let signed = SignedZone::given(zone).map_err(|fault| {
        let message = format!("{} was signed elsewhere, but cannot be served so: {fault}", written.origin);
        vec![config.error(written.span, message, "sign it anew, or take its signatures out".to_owned())]
    })?;
    if let Some(message) = ending(&signed, now) {
        let help = "sign it anew where it was signed, and load it: nothing renews such signatures here";
        warnings.push(config.warning(written.span, message, help.to_owned()));
    }
    Ok(ZoneDnssec::Elsewhere(Arc::new(signed)))
}

/// What is to be said of signatures that nothing renews, where the first has ended or ends soon.
fn ending(signed: &SignedZone, now: WallTime) -> Option<String> {
    let (origin, ends) = (signed.origin(), signed.expires());
    let when = timing::written(ends);
    match ends.since(now) {
        Duration::ZERO => {
            Some(format!("{origin} has signatures that ended on {when}: validators refuse them"))
        }
        left if left < ENDS_SOON => Some(format!("{origin} has signatures that end on {when} already")),
        _ => None,
    }
}
