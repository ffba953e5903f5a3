//! The signed part of a plan: zones are signed when it is made, the answers of services with each table, and ahead
//! of it what they would be after the loss of a region.

use std::collections::HashSet;
use std::sync::Arc;

use super::challenges::Challenges;
use super::compile::{CounterNumbers, Plan, Standings, answers};
use super::names::Found;
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
    /// Gives the tops of all zones their signed side.
    pub(super) fn sign(
        self,
        zones: Vec<Zone>,
        steered: &SteeredNames,
        services: &[Service],
        tops: &mut [ZoneTop],
    ) -> Result<(), Vec<ZonesFault>> {
        let Self { zones: wanted, before, now } = self;
        let origins: Vec<Name> = zones.iter().map(|zone| zone.origin().clone()).collect();
        let origins = origins.iter().collect();
        let mut faults = Vec::new();
        for ((zone, wanted), top) in zones.into_iter().zip(wanted).zip(&mut *tops) {
            match wanted {
                ZoneDnssec::Unsigned => {}
                ZoneDnssec::Elsewhere(signed) => top.signed = Some(signed),
                ZoneDnssec::Here(signer) => {
                    let of_origin = |signed: &&Arc<SignedZone>| {
                        signed.signer().is_some_and(|signer| signer.origin() == zone.origin())
                    };
                    let before = before.iter().find(of_origin).map(|signed| &**signed);
                    // They are set again once the zone is in force.
                    let challenges = Arc::default();
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

    /// Puts challenges in force in `table`, those in signed zones signed. One that a zone has no place for any more, since
    /// what it was set for went with a reload, is not answered. Gives whether zones were signed anew, so that services
    /// must be.
    pub fn challenge(&mut self, challenges: &Challenges, table: &mut AnswerTable, now: WallTime) -> bool {
        let standing = challenges.only(|name| self.has_place_for(name));
        let mut renewed = Vec::new();
        for (id, signed) in self.signed_zones() {
            let own = standing.only(|name| zone_of(&self.names.find(name)) == Some(id));
            if signed.challenges().is_some_and(|before| *before != own) {
                let made = signed.with_challenges(Arc::new(own), now).expect("it is signed here");
                renewed.push((id, Arc::new(made.expect("a few short records fit where the zone did"))));
            }
        }
        let is_any_new = !renewed.is_empty();
        if is_any_new {
            self.replace_signed(renewed, table);
        }
        table.challenges = Arc::new(standing);
        is_any_new
    }

    /// Whether a challenge at `name` can be answered. In a signed zone the name must stand right below one that exists:
    /// what stood in between would come to exist too, and take names from wildcards. No service may answer there.
    #[must_use]
    pub fn has_place_for(&self, name: &[u8]) -> bool {
        let found = self.names.find(name);
        let Some(zone) = zone_of(&found) else { return false };
        let Some(signed) = &self.zones[zone.index()].signed else { return true };
        let is_below_one = name::parent(name).is_some_and(|parent| self.names.entry_of(parent).is_some());
        let is_steered = matches!(found, Found::Name(entry) if entry.service().is_some());
        signed.signer().is_some() && is_below_one && !is_steered
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
