//! Hard fences that leave a service without any region.

use std::collections::HashMap;

use crate::config::findings::Findings;
use crate::config::section::map::MapRead;
use crate::config::section::service::ServiceDetails;
use crate::config::text::Span;
use crate::ids::RegionId;
use crate::policy::map::Fence;
use crate::policy::service::{Service, WhenAllDown};

/// The first such fence by map and regions. Services mostly stand in the same few sets of regions, so each
/// set is held against a map once.
pub(super) struct Fences<'m> {
    maps: &'m [MapRead],
    judged: HashMap<(usize, Vec<RegionId>), Option<Span>>,
}

impl<'m> Fences<'m> {
    pub(super) fn new(maps: &'m [MapRead]) -> Self {
        Self { maps, judged: HashMap::new() }
    }

    pub(super) fn check(&mut self, service: &Service, details: &ServiceDetails, findings: &Findings) {
        let Some(read) = self.maps.get(service.map.index()) else { return };
        if service.regions.is_empty() || service.when_all_down != WhenAllDown::FailOpen {
            return;
        }
        let mut stands: Vec<_> = service.regions.iter().map(|region| region.region).collect();
        stands.sort();
        let judge = |stands: &[RegionId]| {
            let rules = read.map.rules.iter().zip(&read.rule_spans);
            let mut hard = rules.filter(|(rule, _)| rule.fence == Fence::Hard && !rule.regions.is_empty());
            hard.find(|(rule, _)| !rule.regions.iter().any(|region| stands.contains(region)))
                .map(|(_, span)| *span)
        };
        let key = (service.map.index(), stands);
        let rule = *self.judged.entry(key).or_insert_with_key(|(_, stands)| judge(stands));
        if let Some(rule) = rule {
            findings.error(
                details.span,
                format!(
                    "the hard fence on line {} of the map {:?} leaves the service without a region",
                    findings.line(rule),
                    read.map.name
                ),
                "let the service stand in a region of that fence, or write when-all-down = \"servfail\"",
            );
        }
    }
}
