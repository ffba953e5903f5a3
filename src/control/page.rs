//! What is so at the moment, as it stands on the page that Prometheus reads.

use std::sync::Arc;

use super::state::State;
use crate::answer::table::AnswerTable;
use crate::config::Config;
use crate::config::rows::DerivedPart;
use crate::exposition::{Page, escaped};
use crate::health::verdict::Standing;
use crate::ids::{EndpointId, ServiceId};

/// What is so at the moment, as far as the page tells it.
pub(super) struct Current {
    config: Arc<Config>,
    configuration: u64,
    table: Arc<AnswerTable>,
    /// By endpoint.
    standings: Vec<Standing>,
    /// The parts of composed probes, and how many vantages see each fail.
    parts: Vec<(EndpointId, DerivedPart, u32)>,
}

impl Current {
    /// What is so now.
    pub(super) fn of(state: &State) -> Self {
        let config = &state.generation().config;
        let endpoints = config.services.iter().flat_map(|service| &service.regions);
        let endpoints = endpoints.flat_map(|region| &region.endpoints);
        Self {
            config: Arc::clone(config),
            configuration: state.number(),
            table: Arc::clone(state.table()),
            parts: parts(state),
            standings: endpoints.map(|endpoint| state.board().standing(endpoint.id)).collect(),
        }
    }

    /// Writes it down.
    pub(super) fn tell(&self, page: &mut Page) {
        page.family("rhumb_generation", "gauge", "Generation of the answer table; grows with every change.");
        page.sample("rhumb_generation", &[], self.table.generation());
        page.family(
            "rhumb_configuration",
            "gauge",
            "How many configurations were in force, the first included.",
        );
        page.sample("rhumb_configuration", &[], self.configuration);
        self.tell_services(page);
        self.tell_verdicts(page);
        self.tell_signatures(page);
    }

    fn tell_signatures(&self, page: &mut Page) {
        let name = "rhumb_signature_expiry_timestamp_seconds";
        page.family(name, "gauge", "When the first signature of a zone ends.");
        for signed in self.table.signed_zones() {
            let zone = escaped(&signed.origin().to_string());
            page.sample(name, &[("zone", &zone)], signed.expires().0 / 1000);
        }
    }

    fn tell_services(&self, page: &mut Page) {
        let services = || {
            let numbered = self.config.services.iter().enumerate();
            numbered.map(|(index, service)| (&service.name, self.table.service(ServiceId::from_index(index))))
        };
        let name = "rhumb_all_down";
        page.family(
            name,
            "gauge",
            "1 where some clients are answered though no region they may have is usable.",
        );
        for (service, steering) in services() {
            page.sample(name, &[("service", service)], u64::from(steering.all_down));
        }
        let name = "rhumb_ttl_seconds";
        page.family(name, "gauge", "The shortest TTL in a service's answers.");
        for (service, steering) in services() {
            let shortest = steering.variants.iter().filter_map(|variant| variant.ttl()).min();
            page.sample(name, &[("service", service)], shortest.unwrap_or(0));
        }
    }

    /// One series per endpoint, for the verdict that it has: a series for each verdict that it has not would make
    /// five of them, and say nothing more.
    fn tell_verdicts(&self, page: &mut Page) {
        let name = "rhumb_verdict";
        page.family(name, "gauge", "1 for the verdict that an endpoint has.");
        self.each_endpoint(|labels, endpoint| {
            let state = self.standings[endpoint.index()].state.as_str();
            page.sample(name, &[labels, &[("state", state)]].concat(), 1);
        });
        let name = "rhumb_usable_share";
        page.family(name, "gauge", "How much of an endpoint is usable, from 0 to 1.");
        self.each_endpoint(|labels, endpoint| {
            page.sample(name, labels, f64::from(self.standings[endpoint.index()].usable.parts()) / 1024.0);
        });
        let name = "rhumb_part_failing_vantages";
        page.family(name, "gauge", "How many vantages see a part of a composed probe fail.");
        self.each_endpoint(|labels, endpoint| {
            let from = self.parts.partition_point(|(of, ..)| *of < endpoint);
            for (_, part, failing) in self.parts[from..].iter().take_while(|(of, ..)| *of == endpoint) {
                let probe = self.config.probes[part.probe.index()].name.as_str();
                let of_part = [("probe", probe), ("role", part.role.as_str())];
                page.sample(name, &[labels, &of_part].concat(), failing);
            }
        });
    }

    fn each_endpoint(&self, mut tell: impl FnMut(&[(&str, &str)], EndpointId)) {
        for service in &self.config.services {
            for region in &service.regions {
                for endpoint in &region.endpoints {
                    let labels = [
                        ("service", service.name.as_str()),
                        ("region", self.config.regions[region.region.index()].name.as_str()),
                        ("address", &endpoint.address.to_string()),
                    ];
                    tell(&labels, endpoint.id);
                }
            }
        }
    }
}

/// The parts of all composed probes of endpoints, in the order of the endpoints.
fn parts(state: &State) -> Vec<(EndpointId, DerivedPart, u32)> {
    let config = &state.generation().config;
    if config.derived.is_empty() {
        return Vec::new();
    }
    let endpoints = config.services.iter().flat_map(|service| &service.regions);
    let endpoints = endpoints.flat_map(|region| &region.endpoints);
    let told = endpoints.flat_map(|endpoint| {
        let parts = config.derived_at(endpoint.target).map(|derived| derived.parts.as_slice());
        parts
            .unwrap_or_default()
            .iter()
            .map(move |part| (endpoint.id, *part, state.board().opinion(part.target).fails))
    });
    told.collect()
}
