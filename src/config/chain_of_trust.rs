//! Whether the chain of trust goes on from a zone that is signed here to its child zones that are here too. Each file
//! may be right by itself, and validators refuse the whole child all the same.

use std::collections::HashMap;

use super::Config;
use super::generation::taken_by;
use crate::answer::compile_signed::ZoneDnssec;
use crate::dnssec::key::{Key, is_named_by};
use crate::fault::Fault;
use crate::name;
use crate::wire::code::RecordType;
use crate::zone::{Rrset, Zone};

/// A child zone below its parent, which is signed here.
struct Link<'z> {
    parent: &'z Zone,
    child: &'z Zone,
    /// The data of the DNSKEY records that the child has, or will have by the dates of its keys; none where it is not
    /// signed.
    keys: Vec<Vec<u8>>,
}

/// Tells of each child zone that its parent cuts off. All are in the order of the configuration.
pub(super) fn broken_links(config: &Config, zones: &[Zone], dnssec: &[ZoneDnssec]) -> Vec<Fault> {
    let places: HashMap<&[u8], usize> =
        zones.iter().enumerate().map(|(at, zone)| (zone.origin().as_wire(), at)).collect();
    let parent_of = |child: &Zone| {
        name::suffixes(child.origin().as_wire()).skip(1).find_map(|suffix| places.get(suffix)).copied()
    };
    let mut faults = Vec::new();
    for (at, child) in zones.iter().enumerate() {
        let Some(above) = parent_of(child).filter(|above| matches!(dnssec[*above], ZoneDnssec::Here(_)))
        else {
            continue;
        };
        let link = Link { parent: &zones[above], child, keys: keys(child, &dnssec[at]) };
        let delegate = config.zones[above].file.display().to_string();
        let fault = link.fault(&delegate);
        faults.extend(fault.map(|(message, help)| config.error(config.zones[at].span, message, help)));
    }
    faults
}

fn keys(zone: &Zone, dnssec: &ZoneDnssec) -> Vec<Vec<u8>> {
    match dnssec {
        ZoneDnssec::Unsigned => Vec::new(),
        ZoneDnssec::Here(signer) => signer.keys().iter().map(Key::dnskey).collect(),
        ZoneDnssec::Elsewhere(_) => {
            let set = zone.apex().rrset(RecordType::DNSKEY);
            set.into_iter().flat_map(Rrset::rdata).map(<[u8]>::to_vec).collect()
        }
    }
}

impl Link<'_> {
    /// What breaks it, and what would be right; `file` is that of the parent.
    fn fault(&self, file: &str) -> Option<(String, String)> {
        let (parent, child) = (self.parent.origin(), self.child.origin());
        match taken_by(self.parent, child) {
            // What is delegated in between is for others to sign.
            Some(cut) if cut != *child => None,
            Some(_) => self.unnamed().map(|what| {
                (
                    format!("the DS records of {child} in {parent} {what}: validators refuse the whole zone"),
                    format!(
                        "write in {file} what `rhumb dnssec ds {child}` prints, or no DS if it is not signed"
                    ),
                )
            }),
            None => Some((
                format!(
                    "{parent} is signed and does not delegate {child}: it proves that there is no such name, and \
                     validators refuse the whole zone"
                ),
                format!("delegate it in {file}: `{child} NS SERVER`, with its DS if it is signed"),
            )),
        }
    }

    /// Why the DS records of the parent name no key of the child, where they do not.
    fn unnamed(&self) -> Option<&'static str> {
        let child = self.child.origin();
        let mut ds = self.parent.find(child.as_wire())?.rrset(RecordType::DS)?.rdata();
        match self.keys.as_slice() {
            [] => Some("say that it is signed, which it is not"),
            keys if ds.any(|ds| keys.iter().any(|key| is_named_by(child, key, ds))) => None,
            _ => Some("name none of its keys"),
        }
    }
}
