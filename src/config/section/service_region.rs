//! `[services.*.regions]`: where a service stands, and what is probed there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::service::Known;
use crate::config::limit::{ENDPOINTS_MAX, REGION_ENDPOINTS_MAX, REGIONS_MAX, WEIGHT_MAX};
use crate::config::probe::Probe;
use crate::config::rows::{Place, Rows, RowsRead};
use crate::config::table::{Entry, Section, Table};
use crate::config::text::Span;
use crate::config::value::Value;
use crate::ids::{EndpointId, ProbeId, TargetId};
use crate::name::Name;
use crate::policy::lots::key_of;
use crate::policy::service::{Endpoint, Service, ServiceRegion, Tier};

pub(in crate::config) const REGION: Section =
    Section { path: "services.*.regions.*", keys: &["endpoints", "tier", "weight", "cname"] };
pub(in crate::config) const ENDPOINT: Section =
    Section { path: "services.*.regions.*.[]", keys: &["address", "weight", "probe-address", "probe"] };

const TIERS: [(&str, Tier); 3] =
    [("primary", Tier::Primary), ("warm", Tier::Warm), ("last-resort", Tier::LastResort)];

/// The endpoints read so far, over all services, and what is probed to judge them.
#[derive(Debug)]
pub(in crate::config) struct Endpoints<'p> {
    probes: &'p [Probe],
    count: usize,
    rows: Rows<'p>,
    service: String,
    service_probe: Option<ProbeId>,
    addresses: HashMap<IpAddr, Span>,
}

impl<'p> Endpoints<'p> {
    pub(in crate::config) fn new(probes: &'p [Probe]) -> Self {
        Self {
            probes,
            count: 0,
            rows: Rows::new(probes),
            service: String::new(),
            service_probe: None,
            addresses: HashMap::new(),
        }
    }

    /// Goes on to the endpoints of `service`, probed by `probe` unless they say otherwise.
    pub(in crate::config) fn enter(&mut self, service: &str, probe: Option<ProbeId>) {
        self.service = service.to_owned();
        self.service_probe = probe;
        self.addresses.clear();
    }

    /// How many there are.
    pub(in crate::config) fn count(&self) -> usize {
        self.count
    }

    /// What judges them, each once; tells `services` which.
    pub(in crate::config) fn finish(self, services: &mut [Service]) -> RowsRead {
        self.rows.finish(services)
    }

    fn target(&mut self, probe: ProbeId, region: &str, address: IpAddr, at: ProbeAddress) -> TargetId {
        let key = format!("{region}/{}/{address}", self.service);
        self.rows.row(&Place { key, ip: at.ip.unwrap_or(address), port: at.port }, probe)
    }
}

/// What an endpoint says of where it is probed.
#[derive(Clone, Copy, Debug, Default)]
struct ProbeAddress {
    ip: Option<IpAddr>,
    port: Option<u16>,
}

/// Reads the regions of a service, each with the place where it was written.
pub(in crate::config) fn read_regions(
    service: Table,
    known: &Known,
    endpoints: &mut Endpoints,
) -> Vec<(ServiceRegion, Span)> {
    let Some(value) = service.required("regions", "{ eu-west = [\"192.0.2.10\"] }") else {
        return Vec::new();
    };
    let entries = value.entries(REGIONS_MAX);
    if value.is_table() && entries.is_empty() {
        value.error("the service stands nowhere", "write eu-west = [\"192.0.2.10\"]");
    }
    let mut regions = Vec::new();
    for entry in entries {
        if let Some(region) = read_region(&entry, known, endpoints) {
            regions.push((region, entry.span));
        }
    }
    regions
}

/// An array of endpoints, or a table that has one.
fn read_region(entry: &Entry, known: &Known, endpoints: &mut Endpoints) -> Option<ServiceRegion> {
    let region = known.regions.resolve_key(entry);
    let (table, list) = if entry.value.is_table() {
        let table = entry.value.table(&REGION);
        (table, table.required("endpoints", "[\"192.0.2.10\"]"))
    } else {
        (entry.value.no_table(&REGION), Some(entry.value))
    };
    let endpoints = list.map(|list| read_endpoints(list, entry.key, known, endpoints));
    let (tier, cname) = (table.value("tier"), table.value("cname"));
    Some(ServiceRegion {
        key: key_of(entry.key),
        tier: tier.and_then(|value| value.choice(&TIERS)).unwrap_or(Tier::Primary),
        weight: read_weight(table),
        cname: cname.and_then(|value| value.parsed::<Name>("eu-west.cdn.example.net")),
        endpoints: endpoints.unwrap_or_default(),
        region: region?,
    })
}

fn read_endpoints(list: Value, region: &str, known: &Known, endpoints: &mut Endpoints) -> Vec<Endpoint> {
    let values = list.filled_list("[\"192.0.2.10\"]", REGION_ENDPOINTS_MAX).unwrap_or_default();
    let mut read = Vec::with_capacity(values.len());
    for value in &values {
        read.extend(read_endpoint(*value, region, known, endpoints));
    }
    // What is wrong with some says nothing about the families and weights of all.
    if read.len() < values.len() {
        return Vec::new();
    }
    for v4 in [true, false] {
        let mut weights = read.iter().filter(|e| e.address.is_ipv4() == v4).map(|e| e.weight).peekable();
        if weights.peek().is_some() && weights.all(|weight| weight == 0) {
            list.warning(
                format!("all {} endpoints have weight 0", if v4 { "IPv4" } else { "IPv6" }),
                "give one of them a weight; as it stands they are all used alike",
            );
        }
    }
    read
}

/// An address, or a table that has one.
fn read_endpoint(value: Value, region: &str, known: &Known, endpoints: &mut Endpoints) -> Option<Endpoint> {
    let (table, written) = if value.is_table() {
        let table = value.table(&ENDPOINT);
        (table, table.required("address", "\"192.0.2.10\""))
    } else {
        (value.no_table(&ENDPOINT), Some(value))
    };
    let weight = read_weight(table);
    let probe = table.value("probe").and_then(|value| known.probes.resolve(value));
    let at = table.value("probe-address").and_then(read_probe_address);
    let written = written?;
    let address = read_address(written)?;
    let probe = probe.or(endpoints.service_probe);
    if let (Some(value), None) = (table.value("probe-address"), probe) {
        value.warning("the endpoint is not probed", "give it, or its service, a probe");
    }
    if let (Some(value), Some(probe)) = (table.value("probe-address"), probe)
        && at.is_some_and(|at| at.port.is_some())
        && endpoints.probes[probe.index()].kind.port().is_none()
    {
        value.error("one port cannot be that of every part of the probe", "write the address alone");
    }
    if let Some(first) = endpoints.addresses.insert(address, written.span) {
        written.error(
            format!("{address} is an endpoint of this service already"),
            format!("leave it out here, or on line {}", value.line_of(first)),
        );
    }
    if endpoints.count >= ENDPOINTS_MAX {
        let help = format!("write at most {ENDPOINTS_MAX}");
        written.error("there are too many endpoints in all", help);
        return None;
    }
    endpoints.count += 1;
    let id = EndpointId::from_index(endpoints.count - 1);
    let target = probe.map(|probe| endpoints.target(probe, region, address, at.unwrap_or_default()));
    Some(Endpoint { id, address, weight, target })
}

fn read_weight(table: Table) -> u32 {
    table.value("weight").and_then(|value| value.integer(0..=WEIGHT_MAX)).unwrap_or(1)
}

/// An address that clients can be sent to.
pub(in crate::config) fn read_address(value: Value) -> Option<IpAddr> {
    let text = value.text("192.0.2.10")?;
    let Ok(address) = text.parse::<IpAddr>() else {
        let help = match text.parse::<SocketAddr>() {
            Ok(with_port) => format!("write \"{}\"; the port belongs to the probe", with_port.ip()),
            Err(_) => "write an IPv4 or IPv6 address, such as \"192.0.2.10\" or \"2001:db8::10\"".to_owned(),
        };
        value.error(format!("{text:?} is no address"), help);
        return None;
    };
    if let Some(why) = unreachable(address) {
        let help = "write the address that clients connect to";
        value.error(format!("{address} is {why}"), help);
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let help = format!("write \"{v4}\"");
        value.error(format!("{address} is an IPv4 address in the form of IPv6"), help);
    }
    Some(address)
}

/// Why no client can ever connect to `address`.
fn unreachable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("no address, but the word for any"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("an address of one link only"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("an address of one link only"),
        _ => None,
    }
}

/// An address, with or without a port.
fn read_probe_address(value: Value) -> Option<ProbeAddress> {
    let text = value.text("192.0.2.10")?;
    let read = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => ProbeAddress { ip: Some(ip), port: None },
        (_, Ok(socket)) if socket.port() != 0 => {
            ProbeAddress { ip: Some(socket.ip()), port: Some(socket.port()) }
        }
        _ => {
            value.error(
                format!("{text:?} is no address to probe"),
                "write an address with or without a port, such as \"192.0.2.10\" or \"127.0.0.1:8081\"",
            );
            return None;
        }
    };
    if let Some(why) = read.ip.and_then(unreachable) {
        value.error(format!("{text} is {why}"), "write the address that is probed");
    }
    Some(read)
}
