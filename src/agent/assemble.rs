//! From the orders of all servers to the one list that is probed: what two servers want is probed once, what is
//! not permitted or not known here is left out. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::allow;
use super::world::Targets;
use crate::config::agent::Allow;
use crate::config::probe::Target;
use crate::exchange::TARGETS_MAX;
use crate::exchange::order::{Assignment, OrderedProbe, TargetName};
use crate::ids::{ProbeId, TargetId, VantageId};

/// What is probed, with the names by which it is reported.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// What is probed. Vantage and agent mean nothing here: servers know them by the certificate.
    pub targets: Arc<Targets>,
    /// The names of the targets, by id.
    pub names: Arc<[TargetName]>,
    /// How many targets the servers want that are not permitted here.
    pub forbidden: usize,
    /// How many they want that are not known here, or are too many.
    pub unknown: usize,
}

/// Puts the orders of all servers together, in their order.
#[must_use]
pub fn assemble<'a>(assignments: impl Iterator<Item = &'a Assignment>, allow: &Allow) -> Assembled {
    let mut targets = Targets { probes: Vec::new(), targets: Vec::new(), vantage: VantageId(0), agent: 0 };
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    let mut probes: HashMap<&OrderedProbe, Option<ProbeId>> = HashMap::new();
    let (mut forbidden, mut unknown) = (0, 0);
    for assignment in assignments {
        for ordered in &assignment.targets {
            if !seen.insert(ordered.name) {
                continue;
            }
            let probe = assignment.probes.get(ordered.probe);
            let probe = probe.and_then(|probe| {
                *probes.entry(probe).or_insert_with(|| {
                    let id = u16::try_from(targets.probes.len()).ok().map(ProbeId)?;
                    targets.probes.push(probe.believed()?);
                    Some(id)
                })
            });
            let Some(probe) = probe.filter(|_| names.len() < TARGETS_MAX) else {
                unknown += 1;
                continue;
            };
            if !allow::permits(allow, ordered.address, &targets.probes[probe.index()].kind) {
                forbidden += 1;
                continue;
            }
            let key = ordered.key.clone().unwrap_or_default();
            targets.targets.push(Target { address: ordered.address, probe, key });
            names.push(ordered.name);
        }
    }
    Assembled { targets: Arc::new(targets), names: names.into(), forbidden, unknown }
}

impl Assembled {
    /// The targets of these names; those that are not probed here are passed over.
    #[must_use]
    pub fn find(&self, names: &[TargetName]) -> Vec<TargetId> {
        let wanted: HashSet<_> = names.iter().collect();
        let found = self.names.iter().enumerate().filter(|(_, name)| wanted.contains(name));
        found.map(|(position, _)| TargetId::from_index(position)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::probe::{Probe, ProbeKind};
    use crate::health::streak::Thresholds;

    fn assignment(interval_ms: u64, addresses: &[&str]) -> Assignment {
        let probe = Probe {
            name: "web".to_owned(),
            kind: ProbeKind::Tcp { port: 443 },
            interval: Duration::from_millis(interval_ms),
            timeout: Duration::from_millis(100),
            watch: false,
            thresholds: Thresholds::default(),
        };
        let target = |address: &&str| Target {
            address: address.parse().unwrap(),
            probe: ProbeId(0),
            key: String::new(),
        };
        Assignment::new(&[probe], &addresses.iter().map(target).collect::<Vec<_>>(), &[])
    }

    fn open() -> Allow {
        Allow { networks: vec!["0.0.0.0/0".parse().unwrap()], ports: vec![443..=443], folders: Vec::new() }
    }

    #[test]
    fn what_two_servers_want_alike_is_probed_once() {
        let both = [
            assignment(1000, &["192.0.2.1:443", "192.0.2.2:443"]),
            assignment(1000, &["192.0.2.2:443", "192.0.2.3:443"]),
            assignment(500, &["192.0.2.1:443"]),
        ];
        let assembled = assemble(both.iter(), &open());
        assert_eq!((assembled.targets.targets.len(), assembled.targets.probes.len()), (4, 2));
        assert_eq!(assembled.find(&[both[1].targets[1].name]), [TargetId(2)]);
    }

    #[test]
    fn what_is_not_permitted_is_left_out_and_counted() {
        let assembled = assemble([assignment(1000, &["192.0.2.1:443", "192.0.2.1:22"])].iter(), &open());
        assert_eq!((assembled.names.len(), assembled.forbidden, assembled.unknown), (1, 1, 0));
    }

    #[test]
    fn a_target_whose_probe_is_missing_is_left_out_and_counted() {
        let mut odd = assignment(1000, &["192.0.2.1:443", "192.0.2.2:443"]);
        odd.targets[0].probe = 7;
        let assembled = assemble([odd].iter(), &open());
        assert_eq!((assembled.names.len(), assembled.unknown), (1, 1));
    }
}
