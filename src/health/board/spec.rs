//! What a board is about, and how it is laid out for use.

use std::time::Duration;

use super::Target;
use crate::health::check::Check;
use crate::health::machine::WayBack;
use crate::health::rules::Rules;
use crate::health::streak::{Streak, Thresholds};
use crate::ids::{EndpointId, RegionId, ServiceId, TargetId, VantageId};

/// What the board is about. Positions in the lists are the ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardConfig {
    /// The knobs.
    pub rules: Rules,
    /// Where agents stand.
    pub vantages: Vec<VantageSpec>,
    /// What is probed.
    pub targets: Vec<TargetSpec>,
    /// What verdicts are about.
    pub endpoints: Vec<EndpointSpec>,
}

/// Where agents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageSpec {
    /// Its name, by which it persists through a reload.
    pub name: String,
    /// What it shares its fate with: vantages of one fault domain count as one witness.
    pub fault_domain: Option<String>,
}

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// What it is, by which its streaks persist through a reload: address and probe.
    pub key: String,
    /// The name of its probe, for evidence.
    pub probe: String,
    /// Where its outcomes come from.
    pub source: Source,
    /// From one probe to the next; sets how old an outcome may be.
    pub interval: Duration,
    /// When it counts as failing.
    pub thresholds: Thresholds,
}

/// Where the outcomes of a target come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Agents probe it.
    Probed {
        /// Its failures tell of an agent's sight too: of a target that may well fail, or has no vote, they do not.
        shows_sight: bool,
    },
    /// Somebody outside tells the server; it counts for so long, for every agent alike.
    Pushed {
        /// What is older says nothing.
        max_age: Duration,
    },
    /// The outcomes of another, turned round.
    Negated(TargetId),
    /// It has none of its own: it is judged from others, which stand before it.
    Composed(Check),
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// "region/service/address", by which its verdict persists through reloads and restarts.
    pub key: String,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The region it stands in.
    pub region: RegionId,
    /// What is probed for it; without one it is always up.
    pub target: Option<TargetId>,
    /// Its part of the service's capacity, for the speed limit; 0 counts as 1.
    pub capacity: u32,
    /// How it comes back.
    pub way_back: WayBack,
}

impl EndpointSpec {
    /// Its part of the service's capacity; what takes no lots by weight still counts for something.
    pub(super) fn counted_capacity(&self) -> u64 {
        self.capacity.max(1).into()
    }
}

/// Numbers the fault domains in the order of their first mention.
pub(super) fn number_domains(vantages: &[VantageSpec]) -> (Vec<Option<u16>>, usize) {
    let mut names: Vec<&str> = Vec::new();
    let domains = vantages.iter().map(|vantage| {
        let name = vantage.fault_domain.as_deref()?;
        let known = names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        Some(VantageId::from_index(index).0)
    });
    let domains = domains.collect();
    (domains, names.len())
}

/// The endpoints of each service, and its capacity.
pub(super) fn group_services(endpoints: &[EndpointSpec]) -> Vec<(Vec<EndpointId>, u64)> {
    let count = endpoints.iter().map(|spec| spec.service.index() + 1).max().unwrap_or(0);
    let mut services = vec![(Vec::new(), 0); count];
    for (index, spec) in endpoints.iter().enumerate() {
        let (members, whole) = &mut services[spec.service.index()];
        members.push(EndpointId::from_index(index));
        *whole += spec.counted_capacity();
    }
    services
}

/// What is probed, with the endpoints that rely on it.
///
/// # Panics
/// When an endpoint, or a target that rests on another, names one that is not there.
pub(super) fn build_targets(
    specs: Vec<TargetSpec>,
    endpoints: &[EndpointSpec],
    rules: &Rules,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::with_capacity(specs.len());
    for spec in specs {
        let own = rules.age_limit(spec.interval);
        let (age_limit, is_pushed) = match spec.source {
            Source::Pushed { max_age } => (max_age, true),
            Source::Negated(of) => (targets[of.index()].age_limit, targets[of.index()].is_pushed),
            Source::Probed { .. } | Source::Composed(_) => (own, false),
        };
        if let Source::Negated(of) = spec.source {
            targets[of.index()].negation = Some(targets.len());
        }
        targets.push(Target {
            key: spec.key,
            probe: spec.probe,
            age_limit,
            thresholds: spec.thresholds,
            source: spec.source,
            negation: None,
            is_pushed,
            pushed: Streak::new(),
            stale_at: None,
            endpoints: Vec::new(),
            wake: None,
        });
    }
    for (index, spec) in endpoints.iter().enumerate() {
        if let Some(target) = spec.target {
            targets[target.index()].endpoints.push(EndpointId::from_index(index));
        }
    }
    targets
}
