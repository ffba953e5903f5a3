//! A map: steering rules and fences that services share, and the client classes that come of them.

use std::fmt;

use crate::ids::{RegionId, VantageId};
use crate::net::Prefix;
use crate::place::{Continent, Country, Location, Subdivision};

/// A place that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its name in the configuration.
    pub name: String,
    /// The continent it stands on.
    pub continent: Option<Continent>,
    /// Where it stands; needed by every map that orders by distance.
    pub location: Option<Location>,
    /// Multiplies its distances where an order is by distance: below 1 it draws clients, above 1 it repels them.
    pub bias: f64,
}

/// Steering rules that services share.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Its name in the configuration.
    pub name: String,
    /// How regions are ordered for a client that no rule names, and behind the regions that a rule lists.
    pub order: Order,
    /// At most one rule per matcher.
    pub rules: Vec<Rule>,
}

/// How regions are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// As listed; regions that are not listed follow as they were declared.
    Listed(Vec<RegionId>),
    /// By great-circle distance times the region's bias.
    Nearest,
    /// By lot, in proportion to the weights that a service gives its regions.
    Weighted,
}

/// Whom a rule is for. The most specific wins: network (longest first), ASN, subdivision, country, continent,
/// default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matcher {
    /// `net:203.0.113.0/24`
    Network(Prefix),
    /// `asn:64500`
    Asn(u32),
    /// `subdivision:US-CA`
    Subdivision(Country, Subdivision),
    /// `country:IE`
    Country(Country),
    /// `continent:EU`
    Continent(Continent),
    /// `default`
    Default,
}

/// What holds for the clients that a matcher names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is for.
    pub matcher: Matcher,
    /// The regions it names; with [`Order::Listed`] absent, `order` sorts them.
    pub regions: Vec<RegionId>,
    /// How the named regions are ordered among themselves: `None` is as listed.
    pub order: Option<Order>,
    /// What the named regions mean when none of them works.
    pub fence: Fence,
}

/// The regions that a client class may be given; health never widens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// The regions named come first, the others follow by the map's order.
    None,
    /// The regions outside are used only when nothing at all is usable inside; a degraded region inside, below
    /// its threshold, still comes before any outside.
    Prefer,
    /// The regions outside are never given.
    Hard,
}

/// A client class: all clients that a map treats alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// Every region it may be given, the most suitable first.
    pub order: Box<[RegionId]>,
    /// How many of the first regions lie inside the fence; without one, how many are weighed against each
    /// other, or all of them.
    pub inside: u16,
    /// What the fence means.
    pub fence: Fence,
    /// Whether lots order the regions inside by weight, rather than the order itself.
    pub weighted: bool,
    /// The vantage that speaks for these clients.
    pub vantage: Option<VantageId>,
}

impl fmt::Display for Matcher {
    /// As the configuration writes it: `country:IE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(prefix) => write!(f, "net:{prefix}"),
            Self::Asn(number) => write!(f, "asn:{number}"),
            Self::Subdivision(country, subdivision) => write!(f, "subdivision:{country}-{subdivision}"),
            Self::Country(country) => write!(f, "country:{country}"),
            Self::Continent(continent) => write!(f, "continent:{}", continent.as_str()),
            Self::Default => f.write_str("default"),
        }
    }
}
