//! Whether records make a zone that can be served: what must be at the apex, what may stand beside what, what may
//! stand below what, and whether the servers it names can be found. One scan in canonical order.

use std::fmt::Display;

use super::build::is_below;
use super::raw::{Raw, RawRecord};
use super::rdata::{self, RDATA_OCTETS_MAX};
use super::read::Lost;
use super::report::Report;
use super::store::{Owner, Rrset, Situation, Zone};
use crate::name;
use crate::wire::code::RecordType;

/// Octets of a record beside its data, owner compressed: what an RRset costs in a message.
const RECORD_OCTETS: usize = 12;

/// Tells every fault of the zone. `records` are the zone's own, with their places.
pub(super) fn check(zone: &Zone, raw: &Raw, lost: &Lost, report: &mut Report) {
    let mut check = Check { zone, records: &raw.records, lost, report };
    check.apex();
    let mut dname: Option<&[u8]> = None;
    for owner in zone.owners() {
        dname = dname.filter(|dname| is_below(owner.name(), dname));
        if let (Some(dname), Some(first)) = (dname, owner.rrsets().next()) {
            let message = format!("this is below the DNAME at {}", show(dname));
            check.error(
                first,
                &message,
                &"take away one of the two: a DNAME rules all names below it (RFC 6672 section 2.4)",
            );
        }
        check.owner(owner);
        if owner.rrset(RecordType::DNAME).is_some() {
            dname = dname.or(Some(owner.name()));
        }
    }
}

struct Check<'a, 'r> {
    zone: &'a Zone,
    records: &'a [RawRecord],
    lost: &'a Lost,
    report: &'a mut Report<'r>,
}

/// Whether the addresses of a host are known here.
#[derive(PartialEq, Eq)]
enum Host {
    /// Not a name of this zone, or below a wildcard that has addresses, or there.
    Fine,
    /// Another name stands for it.
    Alias,
    /// In a zone that is delegated from here, but not to the host itself.
    Elsewhere,
    Missing,
}

impl Check<'_, '_> {
    fn error(&mut self, rrset: Rrset, message: &dyn Display, help: &dyn Display) {
        let place = self.report.type_place(&self.records[rrset.range().start]);
        self.report.error(place, message, help);
    }

    fn warn(&mut self, rrset: Rrset, message: &dyn Display, help: &dyn Display) {
        let place = self.report.type_place(&self.records[rrset.range().start]);
        self.report.warn(place, message, help);
    }

    fn apex(&mut self) {
        let origin = &self.zone.origin;
        let apex = self.zone.owners().next().filter(|owner| owner.name() == origin.as_wire());
        let has = |rtype| apex.is_some_and(|apex| apex.rrset(rtype).is_some());
        if !has(RecordType::SOA) && !self.lost.may_hold(origin.as_wire(), RecordType::SOA) {
            let help =
                format!("write a record `{origin} SOA SERVER MAILBOX SERIAL REFRESH RETRY EXPIRE MINIMUM`");
            self.report.error_in_all(&format!("the zone has no SOA at {origin}"), &help);
        }
        if !has(RecordType::NS) && !self.lost.may_hold(origin.as_wire(), RecordType::NS) {
            let help = format!("write a record `{origin} NS SERVER` for each name server of the zone");
            self.report.error_in_all(&format!("the zone has no NS at {origin}"), &help);
        }
    }

    fn owner(&mut self, owner: Owner) {
        for rrset in owner.rrsets() {
            self.rrset(owner, rrset);
        }
        self.alone(owner);
        match owner.situation() {
            Situation::BelowCut => self.below_cut(owner),
            Situation::Cut => self.cut(owner),
            _ => {}
        }
    }

    fn rrset(&mut self, owner: Owner, rrset: Rrset) {
        let is_wildcard = owner.name().starts_with(b"\x01*");
        match rrset.rtype() {
            RecordType::SOA if owner.situation() != Situation::Apex => {
                let help = format!(
                    "a zone has one SOA, at {}; a zone below it has a file of its own",
                    self.zone.origin
                );
                self.error(rrset, &"this SOA is not at the apex of the zone", &help);
            }
            rtype @ (RecordType::SOA | RecordType::CNAME | RecordType::DNAME) if rrset.rdata().len() > 1 => {
                let place = self.report.type_place(&self.records[rrset.range().start + 1]);
                self.report.error(
                    place,
                    &format!("this is a second {rtype} of this name"),
                    &"leave one of them",
                );
            }
            RecordType::SOA if has_at_sign(rrset) => {
                let help = "write the mailbox as a name: hostmaster.example.net. for hostmaster@example.net";
                self.warn(rrset, &"the mailbox of the SOA holds an @", &help);
            }
            RecordType::DNAME if is_wildcard => {
                self.error(
                    rrset,
                    &"a wildcard has a DNAME",
                    &"give the DNAME to a name of its own (RFC 4592 section 4.4)",
                );
            }
            RecordType::DS if matches!(owner.situation(), Situation::Apex | Situation::Authoritative) => {
                let help =
                    "put it beside the NS that delegate the name, in the zone above (RFC 4035 section 2.4)";
                self.warn(rrset, &"nothing is delegated here that this DS could speak of", &help);
            }
            // What is signalled for other zones stands at names of its own (RFC 9615 section 2).
            rtype @ (RecordType::CDS | RecordType::CDNSKEY)
                if owner.situation() == Situation::Authoritative
                    && !owner.name().starts_with(b"\x07_dsboot") =>
            {
                let help = "put it at the apex of the zone that it speaks of (RFC 7344 section 4.1)";
                self.warn(rrset, &format!("no parent reads this {rtype}: it is not at the apex"), &help);
            }
            RecordType::SVCB | RecordType::HTTPS if rrset.rdata().any(rdata::is_alias_with_parameters) => {
                let help = "take them away, or give a priority from 1 to 65535 (RFC 9460 section 2.4.2)";
                self.warn(rrset, &"priority 0 makes an alias, whose parameters clients pass over", &help);
            }
            RecordType::NS if is_wildcard => {
                let help = "delegate names one by one: what this means is not defined (RFC 4592 section 4.2)";
                self.warn(rrset, &"a wildcard has an NS", &help);
            }
            _ => {}
        }
        let octets: usize = rrset.rdata().map(|rdata| rdata.len() + RECORD_OCTETS).sum();
        if octets + owner.name().len() > RDATA_OCTETS_MAX - RECORD_OCTETS {
            let message = format!("the {} records of this name and type fit no message", rrset.rdata().len());
            self.error(rrset, &message, &"take some away: together they have at most 64 KiB");
        }
        self.targets(owner, rrset);
    }

    /// What a CNAME may not stand beside (RFC 2181 section 10.1), and a DNAME (RFC 6672 section 2.3).
    fn alone(&mut self, owner: Owner) {
        let beside = |rtype: RecordType| {
            matches!(
                rtype,
                RecordType::RRSIG | RecordType::NSEC | RecordType::SIG | RecordType::NXT | RecordType::KEY
            )
        };
        if let Some(cname) = owner.rrset(RecordType::CNAME) {
            let other =
                owner.rrsets().map(Rrset::rtype).find(|&rtype| rtype != RecordType::CNAME && !beside(rtype));
            if let Some(other) = other {
                let help = "an alias stands alone; move the other data to its target, or write addresses in its place";
                self.error(
                    cname,
                    &format!("this CNAME stands beside {other} records of the same name"),
                    &help,
                );
            }
        }
        if let (Some(dname), Situation::Cut) = (owner.rrset(RecordType::DNAME), owner.situation()) {
            let help = "a name is delegated or it is rewritten; take one of the two away";
            self.error(dname, &"this DNAME stands beside NS records that delegate the name", &help);
        }
    }

    fn cut(&mut self, owner: Owner) {
        let may_stand = |rtype: RecordType| {
            matches!(
                rtype,
                RecordType::NS
                    | RecordType::DS
                    | RecordType::NSEC
                    | RecordType::RRSIG
                    | RecordType::A
                    | RecordType::AAAA
                    | RecordType::CNAME
                    | RecordType::DNAME
            )
        };
        for rrset in owner.rrsets().filter(|rrset| !may_stand(rrset.rtype())) {
            let message = format!("this {} is never answered: the name is delegated", rrset.rtype());
            self.warn(rrset, &message, &"move it to the zone that the name is delegated to");
        }
    }

    fn below_cut(&mut self, owner: Owner) {
        for rrset in owner.rrsets() {
            if !matches!(
                rrset.rtype(),
                RecordType::A | RecordType::AAAA | RecordType::RRSIG | RecordType::NSEC
            ) {
                let message = format!("this {} is never answered: a name above is delegated", rrset.rtype());
                self.warn(rrset, &message, &"move it to the zone that the name is delegated to");
            }
        }
    }

    fn targets(&mut self, owner: Owner, rrset: Rrset) {
        let rtype = rrset.rtype();
        if !matches!(rtype, RecordType::NS | RecordType::MX | RecordType::SRV)
            || owner.situation() == Situation::BelowCut
        {
            return;
        }
        for (index, rdata) in rrset.range().zip(rrset.rdata()) {
            let Some((at, _)) = rdata::names(rtype, rdata).next() else { continue };
            let target = rdata[at..].to_ascii_lowercase();
            match self.host(owner, &target) {
                Host::Alias => {
                    let place = self.report.target_place(&self.records[index]);
                    let message = format!("the {rtype} points to an alias");
                    self.report.warn(place, &message, &"name the host itself (RFC 2181 section 10.3)");
                }
                Host::Missing if rtype == RecordType::NS => self.missing_glue(owner, index, &target),
                Host::Elsewhere if rtype == RecordType::NS => {
                    let message = format!("the addresses of the name server {} are not here", show(&target));
                    let place = self.report.target_place(&self.records[index]);
                    self.report.warn(
                        place,
                        &message,
                        &"add its A or AAAA records as glue, so that resolvers need not ask for them",
                    );
                }
                _ => {}
            }
        }
    }

    fn missing_glue(&mut self, owner: Owner, record: usize, target: &[u8]) {
        if self.lost.may_hold(target, RecordType::A) || self.lost.may_hold(target, RecordType::AAAA) {
            return;
        }
        let is_glue =
            owner.situation() == Situation::Cut && (owner.name() == target || is_below(target, owner.name()));
        let what = if is_glue { "glue is missing: " } else { "" };
        let message = format!("{what}the name server {} has no A or AAAA record in this zone", show(target));
        let help = self.glue_help(target);
        let place = self.report.target_place(&self.records[record]);
        self.report.error(place, &message, &help);
    }

    /// What would be right; the usual slips are told apart.
    fn glue_help(&self, target: &[u8]) -> String {
        let origin = self.zone.origin.as_wire();
        let relative = &target[..target.len() - origin.len()];
        let text = show(&[relative, b"\0"].concat());
        if origin.len() > 1 && relative.ends_with(&origin[..origin.len() - 1]) {
            "end the name with a dot: without one the origin completes it".to_owned()
        } else if text.trim_end_matches('.').parse::<std::net::Ipv4Addr>().is_ok() {
            "name a host here, and give it this address with a record of its own".to_owned()
        } else {
            format!("add `{} A ADDRESS`, or name another server", show(target))
        }
    }

    /// Whether the addresses of `target`, which a record of `owner` names, can be found.
    fn host(&self, owner: Owner, target: &[u8]) -> Host {
        let zone = self.zone;
        let origin = zone.origin.as_wire();
        if target != origin && !is_below(target, origin) {
            return Host::Fine;
        }
        let has_address = |host: Owner| host.rrset(RecordType::A).or(host.rrset(RecordType::AAAA)).is_some();
        let found = zone.find(target);
        if found.is_some_and(has_address) {
            return Host::Fine;
        }
        let ancestors = || name::suffixes(target).take_while(|suffix| suffix.len() >= origin.len());
        let cut = ancestors()
            .filter_map(|suffix| zone.find(suffix))
            .find(|owner| owner.situation() == Situation::Cut);
        if let Some(cut) = cut {
            return if cut.name() == owner.name() { Host::Missing } else { Host::Elsewhere };
        }
        let is_alias = |host: Owner, rtype| host.rrset(rtype).is_some();
        let below_dname = ancestors()
            .skip(1)
            .filter_map(|suffix| zone.find(suffix))
            .any(|host| is_alias(host, RecordType::DNAME));
        match found.or_else(|| self.wildcard(target)) {
            Some(host) if has_address(host) => Host::Fine,
            Some(host) if is_alias(host, RecordType::CNAME) => Host::Alias,
            _ if below_dname => Host::Alias,
            _ => Host::Missing,
        }
    }

    /// The wildcard that stands for a name which is not there (RFC 4592 section 3.3.1).
    fn wildcard(&self, target: &[u8]) -> Option<Owner<'_>> {
        let encloser = name::suffixes(target).skip(1).find(|suffix| self.zone.find(suffix).is_some())?;
        self.zone.find(&[b"\x01*", encloser].concat())
    }
}

/// Whether the first label of an SOA's mailbox looks like an address of electronic mail (RFC 1035 section 8).
fn has_at_sign(soa: Rrset) -> bool {
    let rdata = soa.rdata().next().expect("an RRset has a record");
    let mailbox = rdata::names(RecordType::SOA, rdata).nth(1).map_or(&b""[..], |(at, _)| &rdata[at..]);
    name::labels(mailbox).next().is_some_and(|label| label.contains(&b'@'))
}

/// A wire name as text.
fn show(wire: &[u8]) -> String {
    let mut text = String::new();
    name::write_wire_name(wire, &mut text).expect("writing to memory does not fail");
    text
}
