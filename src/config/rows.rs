//! From endpoints and their probes to what a board judges: targets that agents probe, gauges that are pushed, and
//! what is derived from either: turned round, or composed. Each is there once, however many rely on it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::probe::{Composition, Probe, ProbeKind, Role, Target};
use crate::health::board::Source;
use crate::health::check::{Check, Part};
use crate::ids::{ProbeId, TargetId};
use crate::policy::service::Service;

/// A row of the board that no agent probes; such rows stand behind those of the targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// What it is, by which it persists through a reload.
    pub key: String,
    /// The endpoint, "region/service/address".
    pub endpoint: String,
    /// The probe that it stands for.
    pub probe: ProbeId,
    /// Where its outcomes come from.
    pub source: Source,
    /// What a composed check rests on, for people: those without a vote too.
    pub parts: Vec<DerivedPart>,
}

/// A part of a composed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerivedPart {
    /// Its probe.
    pub probe: ProbeId,
    /// What it is there for.
    pub role: Role,
    /// Its row.
    pub target: TargetId,
}

/// Every row.
#[derive(Clone, Debug, Default)]
pub struct RowsRead {
    /// What agents probe.
    pub targets: Vec<Target>,
    /// By target: its failures tell of an agent's sight, since it votes as it is.
    pub shows_sight: Vec<bool>,
    /// What stands behind them.
    pub derived: Vec<Derived>,
}

/// Where an endpoint is, for its probes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// "region/service/address".
    pub(super) key: String,
    /// Where it is probed.
    pub(super) ip: IpAddr,
    /// The port, where it is not the probe's.
    pub(super) port: Option<u16>,
}

/// The rows met so far.
#[derive(Debug)]
pub(super) struct Rows<'p> {
    probes: &'p [Probe],
    targets: Vec<Target>,
    derived: Vec<Derived>,
    sighted: HashSet<TargetId>,
    /// By address or endpoint, probe, and whether it is turned round.
    known: HashMap<(Where, ProbeId, bool), TargetId>,
}

/// What makes a row the same row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Where {
    /// Every probe on the wire sees the address alone.
    Address(SocketAddr),
    /// A state file, a gauge and a composed check know the endpoint by its name.
    Endpoint(SocketAddr, String),
}

/// Marks a row that is derived until all targets are counted, when it moves behind them.
const DERIVED: u32 = 1 << 31;

impl<'p> Rows<'p> {
    pub(super) fn new(probes: &'p [Probe]) -> Self {
        Self {
            probes,
            targets: Vec::new(),
            derived: Vec::new(),
            sighted: HashSet::new(),
            known: HashMap::new(),
        }
    }

    /// The row that judges the endpoint at `place` by `probe`.
    pub(super) fn row(&mut self, place: &Place, probe: ProbeId) -> TargetId {
        self.row_of(place, probe, false, true)
    }

    fn row_of(&mut self, place: &Place, probe: ProbeId, negated: bool, votes: bool) -> TargetId {
        let probes = self.probes;
        let kind = &probes[probe.index()].kind;
        let port = place.port.unwrap_or(kind.port().unwrap_or(0));
        let address = SocketAddr::new(place.ip, port);
        let identity = if kind.knows_endpoints() {
            Where::Endpoint(address, place.key.clone())
        } else {
            Where::Address(address)
        };
        if let ProbeKind::Composed(composition) = kind {
            if let [negation] = composition.of.as_slice()
                && composition.negates
            {
                return self.row_of(place, negation.probe, !negated, votes);
            }
            let identity = (identity, probe, negated);
            return self.known.get(&identity).copied().unwrap_or_else(|| {
                let row = self.compose(place, probe, composition, negated, votes);
                self.known.insert(identity, row);
                row
            });
        }
        let plain = match self.known.get(&(identity.clone(), probe, false)) {
            Some(row) => *row,
            None => self.add(place, probe, address),
        };
        self.known.insert((identity.clone(), probe, false), plain);
        if votes && !negated {
            self.sighted.insert(plain);
        }
        if !negated {
            return plain;
        }
        let identity = (identity, probe, true);
        self.known.get(&identity).copied().unwrap_or_else(|| {
            let row =
                self.derive(place, probe, &format!("not {address} by"), Source::Negated(plain), Vec::new());
            self.known.insert(identity, row);
            row
        })
    }

    /// What is probed, or pushed.
    fn add(&mut self, place: &Place, probe: ProbeId, address: SocketAddr) -> TargetId {
        if let ProbeKind::Gauge(gauge) = &self.probes[probe.index()].kind {
            let source = Source::Pushed { max_age: gauge.max_age };
            return self.derive(place, probe, "", source, Vec::new());
        }
        self.targets.push(Target { address, probe, key: place.key.clone() });
        TargetId::from_index(self.targets.len() - 1)
    }

    /// A composed check; turned round by De Morgan's laws.
    fn compose(
        &mut self,
        place: &Place,
        probe: ProbeId,
        composition: &Composition,
        negated: bool,
        votes: bool,
    ) -> TargetId {
        let (mut core, mut musts, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for child in &composition.of {
            let watched = child.role == Role::WatchOnly;
            let target = self.row_of(place, child.probe, negated && !watched, votes && !watched);
            parts.push(DerivedPart { probe: child.probe, role: child.role, target });
            match child.role {
                Role::Vote => core.push(Part::Target(target)),
                Role::MustPass => musts.push(Part::Target(target)),
                Role::WatchOnly => {}
            }
        }
        let least = composition.least.unwrap_or(core.len()).clamp(1, core.len().max(1));
        let least = if negated { core.len() + 1 - least } else { least };
        let check = match (core.is_empty(), musts.is_empty()) {
            (_, true) => Check { least, of: core },
            (true, false) => Check { least: if negated { 1 } else { musts.len() }, of: musts },
            (false, false) => {
                musts.push(Part::Check(Check { least, of: core }));
                Check { least: if negated { 1 } else { musts.len() }, of: musts }
            }
        };
        let word = if negated { "not" } else { "" };
        let parts = if negated { Vec::new() } else { parts };
        self.derive(place, probe, word, Source::Composed(check), parts)
    }

    fn derive(
        &mut self,
        place: &Place,
        probe: ProbeId,
        word: &str,
        source: Source,
        parts: Vec<DerivedPart>,
    ) -> TargetId {
        let key =
            format!("{word} {} by {}", place.key, self.probes[probe.index()].name).trim_start().to_owned();
        self.derived.push(Derived { key, endpoint: place.key.clone(), probe, source, parts });
        let TargetId(position) = TargetId::from_index(self.derived.len() - 1);
        TargetId(position | DERIVED)
    }

    /// All rows, and the services told which of them judge their endpoints.
    pub(super) fn finish(self, services: &mut [Service]) -> RowsRead {
        let Self { targets, mut derived, sighted, .. } = self;
        let behind = targets.len();
        let settle = |row: &mut TargetId| {
            if row.0 & DERIVED != 0 {
                *row = TargetId::from_index(behind + (row.0 & !DERIVED) as usize);
            }
        };
        for one in &mut derived {
            match &mut one.source {
                Source::Negated(of) => settle(of),
                Source::Composed(check) => settle_check(check, &settle),
                Source::Probed { .. } | Source::Pushed { .. } => {}
            }
            one.parts.iter_mut().for_each(|part| settle(&mut part.target));
        }
        let regions = services.iter_mut().flat_map(|service| &mut service.regions);
        regions.flat_map(|region| &mut region.endpoints).filter_map(|e| e.target.as_mut()).for_each(settle);
        let shows_sight = (0..behind).map(|target| sighted.contains(&TargetId::from_index(target))).collect();
        RowsRead { targets, shows_sight, derived }
    }
}

fn settle_check(check: &mut Check, settle: &impl Fn(&mut TargetId)) {
    for part in &mut check.of {
        match part {
            Part::Target(target) => settle(target),
            Part::Check(check) => settle_check(check, settle),
        }
    }
}
