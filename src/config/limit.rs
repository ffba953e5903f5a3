//! How much of everything a configuration may hold.

/// Octets of the configuration file.
pub const FILE_OCTETS_MAX: u64 = 512 * 1024 * 1024;
/// Errors, and warnings, that are listed; of the others only the number is told.
pub const FAULTS_MAX: usize = 1_000;
/// Octets of a name that the operator gives to a region, a probe, a map, a vantage or a service.
pub const WORD_OCTETS_MAX: usize = 63;
/// Addresses that the server listens on.
pub const LISTEN_MAX: usize = 64;
/// Workers of one transport.
pub const WORKERS_MAX: u16 = 1_024;
/// Connections of the clients of one transport.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// Queries of one connection.
pub const QUERIES_MAX: u32 = 1_000_000_000;
/// Queries under way at a time on one connection.
pub const STREAMS_MAX: u32 = 10_000;
/// Networks whose connections begin with who the client is.
pub const PROXIES_MAX: usize = 1_024;
/// Networks that no limit of rate holds for.
pub const EXEMPT_MAX: usize = 256;
/// Octets of a file of cookie secrets.
pub const SECRETS_OCTETS_MAX: u64 = 4_096;
/// Regions.
pub const REGIONS_MAX: usize = 1_024;
/// Vantages.
pub const VANTAGES_MAX: usize = 1_024;
/// Control targets of one vantage.
pub const CONTROL_TARGETS_MAX: usize = 64;
/// Files of authorities, and of revocations.
pub const CERTIFICATE_FILES_MAX: usize = 16;
/// Servers of one agent.
pub const AGENT_SERVERS_MAX: usize = 16;
/// Networks, ports and folders that an agent permits.
pub const ALLOWED_MAX: usize = 4_096;
/// Probes.
pub const PROBES_MAX: usize = 4_096;
/// Status or response codes of one probe.
pub const CODES_MAX: usize = 64;
/// Octets of a text that a probe sends or looks for.
pub const PROBE_TEXT_OCTETS_MAX: usize = 4_096;
/// Maps.
pub const MAPS_MAX: usize = 1_024;
/// Rules of one map.
pub const RULES_MAX: usize = 100_000;
/// Zones.
pub const ZONES_MAX: usize = 100_000;
/// Keys of one zone.
pub const ZONE_KEYS_MAX: usize = 32;
/// Files in a directory of keys, those of other zones included.
pub const KEY_FILES_MAX: usize = 100_000;
/// Services.
pub const SERVICES_MAX: usize = 100_000;
/// Names of one service.
pub const NAMES_MAX: usize = 1_024;
/// Endpoints of all services together.
pub const ENDPOINTS_MAX: usize = 1_000_000;
/// Endpoints of one service in one region.
pub const REGION_ENDPOINTS_MAX: usize = 64;
/// HTTPS, or SVCB, records of one service.
pub const BINDINGS_MAX: usize = 16;
/// Addresses to fall back to.
pub const FALLBACK_MAX: usize = 64;
/// The weight of a region or an endpoint.
pub const WEIGHT_MAX: u32 = 65_535;
/// Seconds of a TTL.
pub const TTL_SECONDS_MAX: u64 = 604_800;
