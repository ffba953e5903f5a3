//! A service: one or more steered names, their endpoints by region, and how their answers follow verdicts.

use std::net::IpAddr;

pub use crate::health::machine::FailBack;
use crate::health::verdict::Share;
use crate::ids::{EndpointId, MapId, RegionId, TargetId};
use crate::name::Name;

/// A service, as it is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name in the configuration.
    pub name: String,
    /// The steered names, each inside a zone.
    pub names: Vec<Name>,
    /// The map whose classes it steers by.
    pub map: MapId,
    /// Where it stands; at most one entry per region, in the order written.
    pub regions: Vec<ServiceRegion>,
    /// What kind of record answers.
    pub answer: AnswerKind,
    /// Record data of HTTPS and SVCB records without address hints; the hints follow the steering.
    pub bindings: Vec<Binding>,
    /// How many addresses of each family an answer holds.
    pub count: AnswerCount,
    /// A region whose usable share is below this is passed over.
    pub threshold: Share,
    /// Whether A and AAAA may come from different regions.
    pub families: Families,
    /// How long answers may be cached.
    pub ttl: TtlPolicy,
    /// What to answer when no region is usable.
    pub when_all_down: WhenAllDown,
    /// Makes lots differ between services; a hash of the name unless the operator sets it.
    pub salt: u64,
}

/// The endpoints of a service in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRegion {
    /// The region.
    pub region: RegionId,
    /// What its lots fall by: [`key_of`](super::lots::key_of) its name, so that they outlive reloads and are
    /// the same on all nodes.
    pub key: u64,
    /// Regions of a later tier are used only when none of an earlier one is usable.
    pub tier: Tier,
    /// Its part among regions where the map orders by weight.
    pub weight: u32,
    /// The host name that answers, for [`AnswerKind::Cname`].
    pub cname: Option<Name>,
    /// Its endpoints, in the order written; at least one.
    pub endpoints: Vec<Endpoint>,
}

/// One address of one service in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its position among all endpoints.
    pub id: EndpointId,
    /// The address that is answered.
    pub address: IpAddr,
    /// Its part among the endpoints of its region and family; 0 is used only when nothing else is left.
    pub weight: u32,
    /// What is probed to judge it; without one it is always up.
    pub target: Option<TargetId>,
}

/// Record data of an HTTPS or SVCB record of a steered name, without its address hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `HTTPS` or `SVCB`.
    pub rtype: crate::wire::code::RecordType,
    /// Wire form, service parameters in ascending order of their keys, no hints among them.
    pub rdata: Box<[u8]>,
}

/// What kind of record answers a steered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// A and AAAA, and the bindings.
    Addresses,
    /// A CNAME to the region's host name.
    Cname,
}

/// How many addresses of each family an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerCount {
    /// All usable ones of the region, at most [`ADDRESSES_MAX`].
    All,
    /// At most so many, drawn by weight per lot.
    AtMost(u8),
}

/// The most addresses of one family in one answer: they fit 512 octets with any name and option.
pub const ADDRESSES_MAX: usize = 8;

/// Order among the regions of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Tier {
    Primary,
    Warm,
    LastResort,
}

/// Whether the two address families share one choice of region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Families {
    /// One choice for both: every region has the same families, and a region is usable only if it is in each.
    Together,
    /// Each family is chosen for itself, among the regions that have it.
    Independent,
}

/// TTLs in seconds by situation, `floor <= suspect, moved <= steady`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlPolicy {
    /// Nothing is in doubt.
    pub steady: u32,
    /// An endpoint in the answer is suspect, a ramp is under way, or everything is down.
    pub suspect: u32,
    /// The answer is not the class's first preference.
    pub moved: u32,
    /// Never below.
    pub floor: u32,
}

/// What to answer when no region inside the fence is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhenAllDown {
    /// The class's first choice, whole, as if it were up.
    FailOpen,
    /// SERVFAIL, so that resolvers go elsewhere or serve stale data.
    Servfail,
    /// These addresses, whatever the client.
    Fallback(Vec<IpAddr>),
}
