//! The answer table: compiled, immutable, one generation. A change makes the next one, which shares with it
//! all that stayed the same.

use std::sync::Arc;

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
    pub(super) services: Box<[Arc<Steering>]>,
    /// The signatures of each service's answers; empty where none of its names is in a zone that is signed.
    pub(super) signatures: Box<[Arc<SteeredSignatures>]>,
    pub(super) answer_counters: usize,
}

/// The top of a zone.
#[derive(Clone, Debug)]
pub struct ZoneTop {
    /// The origin, in lower case, as it travels.
    pub apex: Box<[u8]>,
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

    /// The signatures of a service's answers.
    #[must_use]
    pub fn signatures(&self, service: ServiceId) -> &SteeredSignatures {
        &self.signatures[service.index()]
    }

    /// The signed zones.
    pub fn signed_zones(&self) -> impl Iterator<Item = &Arc<SignedZone>> {
        self.zones.iter().filter_map(|top| top.signed.as_ref())
    }

    /// A service.
    #[must_use]
    pub fn service(&self, service: ServiceId) -> &Steering {
        &self.services[service.index()]
    }
}
