//! The answer table: compiled, immutable, one generation. A change makes the next one, which shares with it
//! all that stayed the same.

use std::sync::Arc;

use super::challenges::Challenges;
use super::extensions::Extensions;
use super::names::{Entry, Names};
use super::signed::SignedZone;
use super::signed::steered::SteeredSignatures;
use super::steering::Steering;
use crate::geo::tree::Tree;
use crate::ids::{MapId, ServiceId, ZoneId};

/// What queries are answered from.
#[derive(Clone, Debug, Default)]
pub struct AnswerTable {
    pub(super) generation: u64,
    /// The names of all zones; new with each reload.
    pub(super) names: Arc<Names>,
    /// What negative answers need of each zone.
    pub(super) zones: Arc<[ZoneTop]>,
    /// One tree per map; new with each reload.
    pub(super) trees: Arc<[Tree]>,
    /// Each service for the verdicts of the moment; a verdict replaces those that it touches.
    pub(super) services: Services,
    /// The signatures of each service's answers; none at all where no zone is signed.
    pub(super) signatures: Box<[Arc<SteeredSignatures>]>,
    pub(super) answer_counters: usize,
    pub(super) extensions: Arc<Extensions>,
    pub(super) challenges: Arc<Challenges>,
}

/// All services, in groups that tables share: a verdict makes the group of its service anew, and no more is copied
/// with ten thousand services than with a hundred. Not even the counts of references to the others are touched, which
/// the workers would have to fetch again, since they lie beside what queries read.
#[derive(Clone, Debug, Default)]
pub(super) struct Services(pub(super) Box<[Arc<[Arc<Steering>]>]>);

/// Services of a group.
const GROUP: usize = 128;

/// The top of a zone.
#[derive(Clone, Debug)]
pub struct ZoneTop {
    /// The origin, in lower case, as it travels.
    pub apex: Box<[u8]>,
    /// The serial of its SOA record.
    pub serial: u32,
    /// The SOA record for negative answers, as [`super::records::Records::read`] takes it.
    pub negative: Box<[u8]>,
    /// The signed side of the zone, if it has one.
    pub signed: Option<Arc<SignedZone>>,
}

impl AnswerTable {
    /// Which generation this is; later ones are greater.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The same as a later generation.
    #[must_use]
    pub fn next(self) -> Self {
        Self { generation: self.generation + 1, ..self }
    }

    /// How many counters of steered answers a worker needs for it; never fewer than for an earlier generation
    /// of the same process, and a counter keeps its meaning.
    #[must_use]
    pub fn answer_counters(&self) -> usize {
        self.answer_counters
    }

    /// Puts challenges in the place of those that were.
    pub fn set_challenges(&mut self, challenges: Challenges) {
        self.challenges = Arc::new(challenges);
    }

    /// The challenges of certificate authorities that are answered beside the zones.
    #[must_use]
    #[inline]
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// What is wanted of the protocol's extensions.
    #[must_use]
    #[inline]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The names of all zones.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The top of a zone.
    #[must_use]
    pub fn zone(&self, zone: ZoneId) -> &ZoneTop {
        &self.zones[zone.index()]
    }

    /// Whether a name is the top of its zone.
    #[must_use]
    pub fn is_apex(&self, entry: &Entry<'_>) -> bool {
        entry.name().len() == self.zone(entry.zone()).apex.len()
    }

    /// The tree of a map.
    #[must_use]
    pub fn tree(&self, map: MapId) -> &Tree {
        &self.trees[map.index()]
    }

    /// The signatures of a service's answers; none where no zone is signed here.
    #[must_use]
    pub fn signatures(&self, service: ServiceId) -> Option<&SteeredSignatures> {
        self.signatures.get(service.index()).map(Arc::as_ref)
    }

    /// The signed zones.
    pub fn signed_zones(&self) -> impl Iterator<Item = &Arc<SignedZone>> {
        self.zones.iter().filter_map(|top| top.signed.as_ref())
    }

    /// A service.
    #[must_use]
    pub fn service(&self, service: ServiceId) -> &Steering {
        self.services.of(service)
    }
}

impl Services {
    /// All services, by id.
    pub(super) fn new(all: &[Arc<Steering>]) -> Self {
        Self(all.chunks(GROUP).map(Arc::from).collect())
    }

    #[inline]
    fn of(&self, service: ServiceId) -> &Steering {
        &self.0[service.index() / GROUP][service.index() % GROUP]
    }

    /// Puts another in the place of a service.
    pub(super) fn replace(&mut self, service: ServiceId, by: Arc<Steering>) {
        Arc::make_mut(&mut self.0[service.index() / GROUP])[service.index() % GROUP] = by;
    }
}
