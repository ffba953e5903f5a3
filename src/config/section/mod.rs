//! One file per table of the configuration: what may be written there, and what is believed of it.

pub(super) mod agents;
pub(super) mod check;
pub(super) mod dnssec;
pub(super) mod extensions;
pub(super) mod geoip;
pub(super) mod hardening;
pub(super) mod journey;
pub(super) mod map;
pub(super) mod probe;
pub(super) mod region;
pub(super) mod server;
pub(super) mod service;
pub(super) mod service_region;
pub(super) mod stream;
pub(super) mod ttl;
pub(super) mod zone;

use crate::config::table::Section;

/// The top of the document.
pub(super) const TOP: Section = Section {
    path: "",
    keys: &[
        "server",
        "hardening",
        "log",
        "metrics",
        "gauges",
        "geoip",
        "regions",
        "agents",
        "vantages",
        "probes",
        "maps",
        "zones",
        "services",
    ],
};

/// Every table there is. The example configuration is held against it.
#[cfg(test)]
pub(super) const ALL: &[&Section] = &[
    &TOP,
    &server::SERVER,
    &stream::TCP,
    &stream::TLS,
    &stream::HTTPS,
    &stream::QUIC,
    &extensions::COOKIES,
    &extensions::CHAOS,
    &extensions::RATE_LIMIT,
    &extensions::AMPLIFICATION,
    &hardening::HARDENING,
    &server::LOG,
    &server::METRICS,
    &geoip::GEOIP,
    &geoip::FIELDS,
    &region::REGION,
    &agents::AGENTS,
    &region::VANTAGE,
    &probe::PROBE,
    &probe::HTTP,
    &probe::HTTPS,
    &probe::TCP,
    &probe::TLS,
    &probe::DNS,
    &probe::TRUST,
    &probe::TLS_TRUST,
    &journey::JOURNEY,
    &journey::JOURNEY_TRUST,
    &journey::STEP,
    &journey::FIND,
    &check::GAUGE,
    &check::AT_LEAST,
    &check::PART,
    &server::GAUGES,
    &map::MAP,
    &map::RULE,
    &zone::ZONE,
    &dnssec::DNSSEC,
    &service::SERVICE,
    &service::WHEN_ALL_DOWN,
    &service_region::REGION,
    &service_region::ENDPOINT,
    &ttl::TTL,
];
