//! The signed part of a plan: zones are signed when it is made, the answers of services with each table, and ahead
//! of it what they would be after the loss of a region.

use std::collections::HashSet;
use std::sync::Arc;

use super::challenges::Challenges;
use super::compile::{CounterNumbers, Plan, Standings, answers};
use super::names::{Found, Names};
use super::resolve::zone_of;
use super::signed::steered::Signing;
use super::signed::{SignedZone, SteeredTypes};
use super::steering::Answers;
use super::table::{AnswerTable, ZoneTop};
use super::zones::{SteeredNames, ZonesFault};
use crate::dnssec::signatures::Signatures;
use crate::dnssec::signer::Signer;
use crate::health::verdict::{Standing, State};
use crate::ids::{EndpointId, ServiceId, ZoneId};
use crate::name::{self, Name};
use crate::policy::map::Class;
use crate::policy::service::{Service, ServiceRegion};
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::Zone;

/// What of a world is signed, and when.
#[derive(Debug, Default)]
pub struct Dnssec {
    /// What is done with each zone, in their order; nothing with those that are wanting.
    pub zones: Vec<ZoneDnssec>,
    /// The signed zones in force: what has not changed is taken from them.
    pub before: Vec<Arc<SignedZone>>,
    /// The time of day.
    pub now: WallTime,
}

/// A zone that is to be signed anew.
#[derive(Debug)]
pub struct DueZone {
    /// Which it is.
    pub id: ZoneId,
    signed: Arc<SignedZone>,
    /// What is to stand in it.
    challenges: Arc<Challenges>,
}

/// What is done with a zone.
#[derive(Clone, Debug, Default)]
pub enum ZoneDnssec {
    /// Nothing: it is not signed.
    #[default]
    Unsigned,
    /// It is signed here.
    Here(Arc<Signer>),
    /// It was signed elsewhere, and its proofs were read.
    Elsewhere(Arc<SignedZone>),
}

impl Dnssec {
    /// What signed a zone until now.
    #[must_use]
    pub fn signer_before(&self, origin: &Name) -> Option<&Signer> {
        self.before.iter().filter_map(|signed| signed.signer()).find(|signer| signer.origin() == origin)
    }

    /// Gives the tops of all zones their signed side.
    pub(super) fn sign(
        self,
        zones: Vec<Zone>,
        names: &Names,
        steered: &SteeredNames,
        services: &[Service],
        tops: &mut [ZoneTop],
    ) -> Result<(), Vec<ZonesFault>> {
        let Self { zones: wanted, before, now } = self;
        let origins: Vec<Name> = zones.iter().map(|zone| zone.origin().clone()).collect();
        let origins = origins.iter().collect();
        let mut faults = Vec::new();
        let ids = (0..zones.len()).map(ZoneId::from_index);
        for (((id, zone), wanted), top) in ids.zip(zones).zip(wanted).zip(&mut *tops) {
            match wanted {
                ZoneDnssec::Unsigned => {}
                ZoneDnssec::Elsewhere(signed) => top.signed = Some(signed),
                ZoneDnssec::Here(signer) => {
                    let of_origin = |signed: &&Arc<SignedZone>| {
                        signed.signer().is_some_and(|signer| signer.origin() == zone.origin())
                    };
                    let before = before.iter().find(of_origin).map(|signed| &**signed);
                    // They go on standing, as far as there still is a place for them.
                    let challenges = before.and_then(SignedZone::challenges);
                    let challenges = challenges.map(|all| all.only(|name| has_place(names, id, name)));
                    let challenges = Arc::new(challenges.unwrap_or_default());
                    let steered = steered_types(&zone, &origins, steered, services);
                    match SignedZone::make(Arc::new(zone), signer, steered, challenges, before, now) {
                        Ok(signed) => top.signed = Some(Arc::new(signed)),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// The steered names of a zone, and none of another zone below it.
fn steered_types(
    zone: &Zone,
    origins: &HashSet<&Name>,
    steered: &SteeredNames,
    services: &[Service],
) -> Arc<[SteeredTypes]> {
    let zone_of = |name: &Name| {
        std::iter::successors(Some(name.clone()), Name::parent).find(|suffix| origins.contains(suffix))
    };
    let inside = steered.range(zone.origin()..).take_while(|(name, _)| name.is_at_or_below(zone.origin()));
    let inside = inside.filter(|(name, _)| zone_of(name).as_ref() == Some(zone.origin()));
    let types = inside.map(|(name, (service, taken))| SteeredTypes {
        name: name.clone(),
        taken: taken.clone(),
        answered: match answers(&services[service.index()]) {
            Answers::Types(types) => types,
            Answers::Cname => vec![RecordType::CNAME],
        },
    });
    types.collect()
}

impl Plan {
    /// Gives the `touched` services of `table` their signatures: those that `signatures` has, else new ones.
    pub fn sign(
        &self,
        table: &mut AnswerTable,
        touched: impl IntoIterator<Item = ServiceId>,
        signatures: &mut Signatures,
        now: WallTime,
    ) {
        if !self.is_signed() {
            return;
        }
        if table.signatures.is_empty() {
            table.signatures = self.services.iter().map(|_| Arc::default()).collect();
        }
        for id in touched {
            let signed = self.signing(id, now).sign(table.service(id), signatures);
            table.signatures[id.index()] = Arc::new(signed);
        }
    }

    /// Has the answers of a service signed that it would give after the loss of each single region.
    pub fn sign_ahead(
        &self,
        id: ServiceId,
        standings: &dyn Standings,
        signatures: &mut Signatures,
        now: WallTime,
    ) {
        let signing = self.signing(id, now);
        for lost in &self.services[id.index()].regions {
            let without = Without { standings, lost };
            // Nobody is answered by it, so nothing is counted.
            let steering = self.steering(id, &without, &mut CounterNumbers::default());
            signing.sign_ahead(&steering, signatures);
        }
    }

    /// Whether any zone that is signed here is among the zones.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.zones.iter().any(|top| top.signed.as_ref().is_some_and(|signed| signed.signer().is_some()))
    }

    /// Whether some name of a service is in a zone that is signed here.
    #[must_use]
    pub fn signs(&self, id: ServiceId) -> bool {
        self.signing(id, WallTime::default()).any()
    }

    /// The zones that are signed, with their ids.
    pub fn signed_zones(&self) -> impl Iterator<Item = (ZoneId, &Arc<SignedZone>)> {
        let zones = self.zones.iter().enumerate();
        zones.filter_map(|(at, top)| Some((ZoneId::from_index(at), top.signed.as_ref()?)))
    }

    /// The challenges that `table` is to answer: in a zone that is signed those that were signed with it, in others those
    /// of `challenges` that have a place there.
    #[must_use]
    pub fn answerable(&self, challenges: &Challenges) -> Challenges {
        let mut answerable = challenges.only(|name| {
            zone_of(&self.names.find(name)).is_some_and(|zone| self.zones[zone.index()].signed.is_none())
        });
        let signed = self.signed_zones().filter_map(|(_, signed)| signed.challenges());
        signed.for_each(|challenges| answerable.extend(challenges));
        answerable
    }

    /// The zones that are to be signed anew: those with signatures or keys that are due at `now`, and those whose
    /// challenges are others than they should be.
    #[must_use]
    pub fn due_zones(&self, challenges: &Challenges, now: WallTime) -> Vec<DueZone> {
        let mut wanted = challenges.by_zone(|name| {
            zone_of(&self.names.find(name)).filter(|zone| has_place(&self.names, *zone, name))
        });
        let zones = self.signed_zones().filter(|(_, signed)| signed.signer().is_some());
        let due = zones.filter_map(|(id, signed)| {
            let challenges = wanted.remove(&id).unwrap_or_default();
            let is_due = signed.due().is_some_and(|due| due <= now);
            let is_other = signed.challenges().is_some_and(|present| *present != challenges);
            let due = || DueZone { id, signed: Arc::clone(signed), challenges: Arc::new(challenges) };
            (is_due || is_other).then(due)
        });
        due.collect()
    }

    /// Whether a challenge at `name` can be answered.
    #[must_use]
    pub fn has_place_for(&self, name: &[u8]) -> bool {
        let Some(zone) = zone_of(&self.names.find(name)) else { return false };
        let Some(signed) = &self.zones[zone.index()].signed else { return true };
        signed.signer().is_some() && has_place(&self.names, zone, name)
    }

    /// Puts zones that were signed anew in the place of what was signed before, here and in `table`.
    pub fn replace_signed(&mut self, renewed: Vec<(ZoneId, Arc<SignedZone>)>, table: &mut AnswerTable) {
        let mut zones = self.zones.to_vec();
        for (id, signed) in renewed {
            zones[id.index()].signed = Some(signed);
        }
        self.zones = zones.into();
        table.zones = Arc::clone(&self.zones);
    }

    fn signing(&self, id: ServiceId, now: WallTime) -> Signing<'_> {
        Signing { service: &self.services[id.index()], names: &self.names, zones: &self.zones, now }
    }
}

/// Whether a challenge at `name` can be answered in a zone that is signed here. The name must stand right below one that
/// exists: what stood in between would come to exist too, and take names from wildcards. No service may answer there.
fn has_place(names: &Names, zone: ZoneId, name: &[u8]) -> bool {
    let found = names.find(name);
    let is_below_one = name::parent(name).is_some_and(|parent| names.entry_of(parent).is_some());
    let is_steered = matches!(found, Found::Name(entry) if entry.service().is_some());
    zone_of(&found) == Some(zone) && is_below_one && !is_steered
}

impl DueZone {
    /// Signs the zone at `now`.
    pub fn sign(self, now: WallTime) -> Result<SignedZone, ZonesFault> {
        self.signed.anew(self.challenges, now).expect("only a zone that is signed here is due")
    }
}

/// What is believed, but for one region of a service, which is down.
struct Without<'s> {
    standings: &'s dyn Standings,
    lost: &'s ServiceRegion,
}

impl Standings for Without<'_> {
    fn of(&self, endpoint: EndpointId, class: &Class) -> Standing {
        let standing = self.standings.of(endpoint, class);
        let is_lost = self.lost.endpoints.iter().any(|lost| lost.id == endpoint);
        if is_lost { Standing { state: State::Down, ..standing } } else { standing }
    }
}
