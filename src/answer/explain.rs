//! Why this answer: every step of the selection for one client and one question, each rejected candidate with
//! its reason, and the answer itself. It takes the same steps as a query by the same functions; only the
//! telling is added.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::compile::{Plan, Standings};
use super::count::Counters;
use super::dig::{self, Shown};
use super::maps;
use super::names::{Entry, Found};
use super::respond::{Action, Envelope, Transport, respond};
use super::table::AnswerTable;
use crate::health::verdict::Standing;
use crate::ids::ServiceId;
use crate::name::Name;
use crate::net::{self, Family, Prefix};
use crate::policy::lots;
use crate::policy::map::{Class, Fence};
use crate::policy::select::{Outcome, Selection, Situation, select};
use crate::policy::service::{Families, Service, ServiceRegion};
use crate::time::WallTime;
use crate::wire::ask;
use crate::wire::code::RecordType;

/// Why a question gets its answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    pub rtype: String,
    /// The client.
    pub client: IpAddr,
    /// The IPv4 address inside, where the client's stands for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_as: Option<IpAddr>,
    /// Where the name leads.
    pub leads: String,
    /// What a service makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<SteeringExplanation>,
    /// The answer.
    pub reply: Shown,
}

/// How a service chooses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SteeringExplanation {
    /// The service.
    pub service: String,
    /// Its map.
    pub map: String,
    /// What is known of where the client is.
    pub place: String,
    /// What put the client in its class.
    pub rule: String,
    /// The prefix around the client that is all of this class.
    pub class_depth: u8,
    /// The regions of the class, the most suitable first.
    pub order: Vec<String>,
    /// What the fence does.
    pub fence: &'static str,
    /// The client's lot, of 1,024.
    pub lot: u16,
    /// Every region of the service in the order of preference, and what became of it.
    pub candidates: Vec<CandidateExplanation>,
    /// What came of it.
    pub outcome: String,
}

/// What became of one region.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CandidateExplanation {
    /// The region.
    pub region: String,
    /// Whether it serves, if not all lots then some.
    pub serves: bool,
    /// Why it is passed over, or how far it serves.
    pub reason: String,
    /// Its endpoints and what is believed of each.
    pub endpoints: Vec<String>,
}

/// What is asked to be explained.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: RecordType,
    /// The client.
    pub client: IpAddr,
}

/// Explains the answer that `table`, which `plan` made for `standings`, gives.
#[must_use]
pub fn explain(plan: &Plan, table: &AnswerTable, standings: &dyn Standings, asked: &Asked) -> Explanation {
    let found = table.names().find(asked.name.as_wire());
    let service = match &found {
        Found::Name(entry) | Found::Wildcard(entry) => entry.service(),
        _ => None,
    };
    let steers = service.filter(|service| table.service(*service).answers(asked.rtype));
    Explanation {
        name: asked.name.to_string(),
        rtype: asked.rtype.to_string(),
        client: asked.client,
        placed_as: embedded(asked.client),
        leads: leads(&found, service.map(|service| plan.services[service.index()].name.as_str())),
        steering: steers.map(|service| steering(plan, table, standings, asked, service)),
        reply: reply(table, asked),
    }
}

fn embedded(client: IpAddr) -> Option<IpAddr> {
    match client {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => net::embedded_v4(v6).map(|embedded| IpAddr::V4(embedded.address)),
    }
}

fn leads(found: &Found<'_>, service: Option<&str>) -> String {
    let name = |entry: &Entry<'_>| Name::from_checked(entry.name());
    match (found, service) {
        (Found::Outside, _) => "outside every zone of this server".to_owned(),
        (Found::Name(_), Some(service)) => format!("a name of service {service}"),
        (Found::Wildcard(entry), Some(service)) => {
            format!("covered by {}, a name of service {service}", name(entry))
        }
        (Found::Name(_), None) => "a name of the zone file".to_owned(),
        (Found::Wildcard(entry), None) => format!("covered by {} of the zone file", name(entry)),
        (Found::Missing(entry), _) => format!("not there; the closest name above it is {}", name(entry)),
        (Found::BelowCut(entry), _) => format!("delegated away at {}", name(entry)),
        (Found::BelowDname(entry), _) => format!("rewritten by the DNAME at {}", name(entry)),
    }
}

fn reply(table: &AnswerTable, asked: &Asked) -> Shown {
    let whole = Prefix::holding(asked.client, Family::of(asked.client).bits()).expect("a whole address fits");
    let question = ask::question(0, &asked.name, asked.rtype, Some(whole));
    let mut octets = vec![0; 65_535];
    let counters = Counters::new(table.answer_counters());
    let (transport, at) = (Transport::Tcp, WallTime::default());
    let envelope = Envelope { source: asked.client, transport, at, is_last: false };
    match respond(table, &question, envelope, &mut octets, &counters) {
        Action::Send(length) => dig::show(&octets[..length]).expect("our own reply can be read"),
        Action::Ignore => unreachable!("a question of ours deserves a reply"),
    }
}

fn steering(
    plan: &Plan,
    table: &AnswerTable,
    standings: &dyn Standings,
    asked: &Asked,
    id: ServiceId,
) -> SteeringExplanation {
    let service = &plan.services[id.index()];
    let hit = table.tree(service.map).find(asked.client);
    let map = &plan.maps[service.map.index()];
    let class = plan.class_seen_by(id, hit.class);
    let believed = |endpoint| standings.of(endpoint, class);
    let independent = service.families == Families::Independent;
    let asked_family = if asked.rtype == RecordType::AAAA { Family::V6 } else { Family::V4 };
    let chosen_for = |family| select(&Situation { service, class, family, standings: &believed });
    let mut selection = chosen_for(independent.then_some(asked_family));
    if selection.outcome == Outcome::Absent && ![RecordType::A, RecordType::AAAA].contains(&asked.rtype) {
        // What belongs to no family follows the one that there is.
        selection = chosen_for(Some(Family::V6));
    }
    SteeringExplanation {
        service: service.name.clone(),
        map: map.map.name.clone(),
        place: plan.databases.describe(asked.client),
        rule: maps::why(&map.map, &plan.regions, &plan.databases, asked.client).to_string(),
        class_depth: hit.depth,
        order: class.order.iter().map(|region| plan.region_name(*region).to_owned()).collect(),
        fence: match class.fence {
            Fence::None => "none",
            Fence::Prefer => "prefer",
            Fence::Hard => "hard",
        },
        lot: lots::lot(asked.client, service.salt),
        candidates: candidates(plan, service, class, &selection, &believed),
        outcome: selection.outcome.to_string(),
    }
}

fn candidates(
    plan: &Plan,
    service: &Service,
    class: &Class,
    selection: &Selection,
    believed: &dyn Fn(crate::ids::EndpointId) -> Standing,
) -> Vec<CandidateExplanation> {
    let passed_over = selection.passed_over(service, class);
    let sharers: Vec<usize> = selection.sharers(class).flatten().copied().collect();
    let explained = selection.candidates.iter().enumerate().map(|(at, candidate)| {
        let serves = sharers.contains(&at);
        let reason = passed_over.iter().find(|(region, _)| *region == candidate.region);
        CandidateExplanation {
            region: plan.region_name(candidate.region).to_owned(),
            serves,
            reason: reason.map_or_else(|| "serves".to_owned(), |(_, reason)| reason.to_string()),
            endpoints: endpoints(&service.regions[candidate.at], believed),
        }
    });
    explained.collect()
}

fn endpoints(region: &ServiceRegion, believed: &dyn Fn(crate::ids::EndpointId) -> Standing) -> Vec<String> {
    let told = region.endpoints.iter().map(|endpoint| {
        let standing = believed(endpoint.id);
        let mut words = format!("{} {}", endpoint.address, standing.state);
        if standing.forced_down {
            words.push_str(", forced down");
        }
        if standing.usable != crate::health::verdict::Share::WHOLE {
            words.push_str(&format!(", {} usable", standing.usable));
        }
        if standing.ramp != crate::health::verdict::Share::WHOLE {
            words.push_str(&format!(", {} of its lots", standing.ramp));
        }
        words
    });
    told.collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.name, self.rtype, self.client)?;
        if let Some(inside) = self.placed_as {
            write!(f, ", which stands for {inside}")?;
        }
        writeln!(f, "\n  name      {}", self.leads)?;
        if let Some(steering) = &self.steering {
            write!(f, "{steering}")?;
        }
        writeln!(f, "\n{}", self.reply)
    }
}

impl fmt::Display for SteeringExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  client    {}", self.place)?;
        writeln!(f, "  map       {}: {}", self.map, self.rule)?;
        writeln!(f, "  class     {} (the same within /{})", self.order.join(" > "), self.class_depth)?;
        if self.fence != "none" {
            writeln!(f, "  fence     {}", self.fence)?;
        }
        writeln!(f, "  lot       {} of 1,024", self.lot)?;
        for candidate in &self.candidates {
            let mark = if candidate.serves { '+' } else { '-' };
            writeln!(f, "  {mark} {:<14}{}", candidate.region, candidate.reason)?;
            for endpoint in &candidate.endpoints {
                writeln!(f, "      {endpoint}")?;
            }
        }
        writeln!(f, "  outcome   {}", self.outcome)
    }
}
