//! The state in words: for the log, for `status`, for `explain`.

use std::net::IpAddr;
use std::time::Duration;

use tracing::{info, warn};

use super::challenge::Challenge;
use super::request::{
    AgentStatus, ChallengeStatus, EndpointStatus, PartStatus, Response, ServiceStatus, Status, ZoneStatus,
};
use super::state::{Believed, State};
use crate::answer::explain::{Asked, explain as explain_answer};
use crate::config::{CertificateFiles, Config, Encrypted, Listener};
use crate::dnssec::timing::written;
use crate::health::board;
use crate::health::evidence::{Change, Notice};
use crate::health::verdict::{Share, State as Verdict};
use crate::ids::{EndpointId, RegionId, ServiceId, TargetId};
use crate::name::Name;
use crate::policy::service::Service;
use crate::time::Moment;

/// A vantage that was not heard for so long is worth a word: agents report four times a second.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Logs what changed: each change once, in full, in a line that stands alone.
pub(super) fn log(change: &Change, state: &State) {
    for transition in &change.transitions {
        match transition.to {
            Verdict::Down | Verdict::Suspect => warn!(target: "rhumb::verdict", "{transition}"),
            _ => info!(target: "rhumb::verdict", "{transition}"),
        }
    }
    let vantages = &state.generation().board.vantages;
    for moved in &change.moves {
        warn!(target: "rhumb::verdict", vantage = vantages[moved.vantage.index()].name, "{moved}");
    }
    let endpoint = |endpoint: &EndpointId| &state.generation().board.endpoints[endpoint.index()].key;
    for notice in &change.notices {
        match notice {
            Notice::Frozen(of, freeze) => {
                warn!(target: "rhumb::verdict", "{}: the last verdict stays: {freeze}", endpoint(of));
            }
            Notice::Thawed(of) => {
                info!(target: "rhumb::verdict", "{}: verdicts follow votes again", endpoint(of))
            }
            Notice::HeldBack(of) => warn!(
                target: "rhumb::verdict",
                "{}: to be withdrawn, held back by the speed limit", endpoint(of)
            ),
            Notice::Sight { vantage, agent, sight } => {
                let vantage = &vantages[vantage.index()].name;
                warn!(target: "rhumb::verdict", "agent {agent} at {vantage}: {sight}");
            }
        }
    }
}

/// Everything that is in force.
pub(super) fn status(state: &State, listening: &[String], now: Moment) -> Status {
    let config = &state.generation().config;
    let zones = config.zones.iter().zip(&state.generation().serials);
    let services: Vec<ServiceStatus> = (0..config.services.len())
        .map(|service| service_status(state, ServiceId::from_index(service), now))
        .collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: state.table().generation(),
        configuration: state.number(),
        uptime_seconds: now.since(Moment::START).as_secs(),
        listen: listening.to_vec(),
        zones: zones
            .map(|(zone, serial)| ZoneStatus {
                origin: zone.origin.to_string(),
                serial: *serial,
                signed_until: signed_until(state, &zone.origin),
            })
            .collect(),
        alarms: [alarms(&services), silent_vantages(state, now)].concat(),
        agents: agents_heard(state, now),
        challenges: challenges(state, now),
        services,
    }
}

fn challenges(state: &State, now: Moment) -> Vec<ChallengeStatus> {
    let told = state.challenges().iter().map(|challenge| ChallengeStatus {
        name: challenge.name.to_string(),
        token: challenge.token.clone(),
        seconds_left: challenge.until.since(now).as_secs(),
    });
    told.collect()
}

/// What a person means by a challenge, checked against the names that are served.
pub(super) fn challenge(
    state: &State,
    name: &str,
    token: &str,
    seconds: u64,
    now: Moment,
) -> Result<Challenge, String> {
    let time = Duration::from_secs(seconds);
    let (name, plan) = (domain(name)?, &state.generation().plan);
    let challenge =
        Challenge::new(&name, token, time, plan.names(), now).map_err(|fault| fault.to_string())?;
    if !plan.has_place_for(challenge.name.as_wire()) {
        return Err(format!(
            "the zone of {name} is signed, elsewhere or without a name right above {}; write the challenge into the zone file",
            challenge.name
        ));
    }
    Ok(challenge)
}

/// The name of a domain, as a person writes it.
pub(super) fn domain(name: &str) -> Result<Name, String> {
    name.parse().map_err(|fault| format!("{name:?} is no name: {fault}"))
}

/// How many challenges stand at a name.
pub(super) fn challenged(state: &State, name: &Name) -> Response {
    let values = state.challenges().iter().filter(|challenge| challenge.name == *name).count();
    Response::Challenged { name: name.to_string(), values }
}

/// When the first signature of a zone ends, where it is signed.
fn signed_until(state: &State, origin: &Name) -> Option<String> {
    let mut zones = state.table().signed_zones();
    zones.find(|signed| signed.origin() == origin).map(|signed| written(signed.expires()))
}

/// The agents that were heard; the server's own prober is none.
fn agents_heard(state: &State, now: Moment) -> Vec<AgentStatus> {
    if state.generation().config.vantages.is_empty() {
        return Vec::new();
    }
    let told = state.board().agents().map(|(vantage, agent, sight, heard_at)| AgentStatus {
        vantage: state.generation().board.vantages[vantage.index()].name.clone(),
        agent,
        heard_seconds: now.since(heard_at).as_millis() as f64 / 1000.0,
        sight: sight.to_string(),
    });
    told.collect()
}

/// Vantages of which no agent was heard lately.
fn silent_vantages(state: &State, now: Moment) -> Vec<String> {
    let vantages = &state.generation().config.vantages;
    let heard = |index: usize| {
        let mut agents = state.board().agents();
        agents.any(|(vantage, _, _, at)| vantage.index() == index && now.since(at) < SILENCE_MAX)
    };
    let silent = vantages.iter().enumerate().filter(|(index, _)| !heard(*index));
    silent.map(|(_, vantage)| format!("{}: no agent is heard", vantage.name)).collect()
}

fn alarms(services: &[ServiceStatus]) -> Vec<String> {
    let mut alarms = Vec::new();
    for service in services {
        if service.all_down {
            alarms.push(format!(
                "{}: some clients are answered though every region they may have is down",
                service.service
            ));
        }
        let noted = service.endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.note.as_ref()?)));
        alarms.extend(noted.map(|(endpoint, note)| {
            format!("{}/{}/{}: {note}", endpoint.region, service.service, endpoint.address)
        }));
    }
    alarms
}

fn service_status(state: &State, id: ServiceId, now: Moment) -> ServiceStatus {
    let service = &state.generation().config.services[id.index()];
    let endpoints = service
        .regions
        .iter()
        .flat_map(|region| region.endpoints.iter().map(move |endpoint| (region.region, endpoint)));
    ServiceStatus {
        service: service.name.clone(),
        names: service.names.iter().map(ToString::to_string).collect(),
        all_down: state.table().service(id).all_down,
        endpoints: endpoints
            .map(|(region, endpoint)| EndpointStatus {
                region: region_name(state, region).to_owned(),
                address: endpoint.address.to_string(),
                parts: endpoint.target.map(|target| parts(state, target)).unwrap_or_default(),
                ..endpoint_status(&state.board().status(endpoint.id, now), endpoint.target.is_some(), now)
            })
            .collect(),
    }
}

fn endpoint_status(status: &board::Status<'_>, probed: bool, now: Moment) -> EndpointStatus {
    let evidence =
        if probed { status.evidence.of(status.standing.state).to_string() } else { "not probed".to_owned() };
    let in_seconds = |until: Moment| until.since(now).as_secs() + 1;
    let note = status
        .frozen
        .map(|freeze| format!("the last verdict stays: {freeze}"))
        .or_else(|| {
            status
                .held_back_until
                .map(|until| format!("held back by the speed limit for {} s", in_seconds(until)))
        })
        .or_else(|| {
            status.suppressed_until.map(|until| format!("flaps; kept away for {} s", in_seconds(until)))
        })
        .or_else(|| status.awaits_word.then(|| "works; waits for `rhumb fail-back`".to_owned()));
    EndpointStatus {
        state: status.standing.state.to_string(),
        held_seconds: status.held.as_secs(),
        usable_percent: percent(status.standing.usable),
        ramp_percent: percent(status.standing.ramp),
        evidence,
        note,
        ..EndpointStatus::default()
    }
}

/// What is said of each part of a composed probe, those without a vote too; nothing where it is not composed.
fn parts(state: &State, target: TargetId) -> Vec<PartStatus> {
    let config = &state.generation().config;
    let told = config.derived_at(Some(target)).into_iter().flat_map(|derived| &derived.parts).map(|part| {
        let opinion = state.board().opinion(part.target);
        PartStatus {
            probe: config.probes[part.probe.index()].name.clone(),
            role: part.role.as_str().to_owned(),
            says: opinion.word().to_owned(),
            failing_vantages: opinion.fails,
            usable_percent: opinion.usable.map(percent),
        }
    });
    told.collect()
}

/// The nearest; of what is neither nothing nor the whole neither 0 nor 100.
fn percent(share: Share) -> u8 {
    let nearest = ((u32::from(share.parts()) * 100 + 512) / 1024) as u8; // At most 100.
    if share == Share::NONE || share == Share::WHOLE { nearest } else { nearest.clamp(1, 99) }
}

fn region_name(state: &State, region: RegionId) -> &str {
    &state.generation().config.regions[region.index()].name
}

/// Why a question gets its answer, now or with regions supposed down.
pub(super) fn explain(state: &State, name: &str, rtype: &str, client: IpAddr, down: &[String]) -> Response {
    let asked = match (name.parse(), rtype.parse()) {
        (Ok(name), Ok(rtype)) => Asked { name, rtype, client },
        (Err(fault), _) => return failed(format!("{name:?} is no name: {fault}")),
        (_, Err(_)) => {
            return failed(format!("{rtype:?} is no record type; write one such as A, AAAA or TYPE65"));
        }
    };
    let mut regions = Vec::new();
    for wanted in down {
        match region_named(&state.generation().config, wanted) {
            Ok(region) => regions.push(region),
            Err(fault) => return failed(fault),
        }
    }
    let plan = &state.generation().plan;
    let explanation = if regions.is_empty() {
        explain_answer(plan, state.table(), &Believed(state.board()), &asked)
    } else {
        let (table, supposed) = state.supposing_down(&regions);
        explain_answer(plan, &table, &supposed, &asked)
    };
    match serde_json::to_value(&explanation) {
        Ok(detail) => Response::Explained { text: explanation.to_string(), detail },
        Err(fault) => failed(fault.to_string()),
    }
}

fn failed(fault: String) -> Response {
    Response::Failed { faults: vec![fault] }
}

fn region_named(config: &Config, name: &str) -> Result<RegionId, String> {
    let found = config.regions.iter().position(|region| region.name == name);
    found.map(RegionId::from_index).ok_or_else(|| {
        let known: Vec<&str> = config.regions.iter().map(|region| region.name.as_str()).collect();
        format!("there is no region {name:?}; there are {}", known.join(", "))
    })
}

/// The endpoints of a service, in one region or all, that a person may let come back.
pub(super) fn waiting_endpoints(
    state: &State,
    service: &str,
    region: Option<&str>,
) -> Result<Vec<EndpointId>, String> {
    let config = &state.generation().config;
    let Some(service) = config.services.iter().find(|known| known.name == service) else {
        let known: Vec<&str> = config.services.iter().map(|known| known.name.as_str()).collect();
        return Err(format!("there is no service {service:?}; there are {}", known.join(", ")));
    };
    let region = region.map(|name| region_named(config, name)).transpose()?;
    let endpoints: Vec<EndpointId> = endpoints_in(service, region)
        .filter(|endpoint| {
            let standing = state.board().standing(*endpoint);
            let held = standing.state == Verdict::Recovering && standing.ramp == Share::NONE;
            held || standing.state == Verdict::Down
        })
        .collect();
    if endpoints.is_empty() {
        return Err(format!(
            "no endpoint of {} is down or held there; nothing waits to come back",
            service.name
        ));
    }
    Ok(endpoints)
}

fn endpoints_in(service: &Service, region: Option<RegionId>) -> impl Iterator<Item = EndpointId> {
    let regions =
        service.regions.iter().filter(move |known| region.is_none_or(|region| region == known.region));
    regions.flat_map(|region| region.endpoints.iter().map(|endpoint| endpoint.id))
}

/// What is believed of `[agents]`, wherever it stands.
fn agents(config: &Config) -> Option<(std::net::SocketAddr, &CertificateFiles)> {
    config.agents.as_ref().map(|agents| (agents.listen, &agents.files))
}

/// What is believed of the encrypted transports, wherever it stands.
fn encrypted(config: &Config) -> (Option<&CertificateFiles>, [&Listener; 3], &str) {
    let Encrypted { certificate, tls, https, path, quic } = &config.server.encrypted;
    (certificate.as_ref().map(|certificate| &certificate.files), [tls, https, quic], path)
}

/// What a reload cannot change in a running process.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.workers", old.server.workers != new.server.workers),
        ("server.proxy-from", old.server.proxies != new.server.proxies),
        ("server.tcp", old.server.tcp != new.server.tcp),
        ("server.tls, https or quic", encrypted(old) != encrypted(new)),
        ("server.state-directory", old.server.state_directory != new.server.state_directory),
        ("server.control-socket", old.server.control_socket != new.server.control_socket),
        ("hardening", old.hardening != new.hardening),
        ("agents", agents(old) != agents(new)),
        ("gauges.listen", old.gauges_listen != new.gauges_listen),
        ("metrics.listen", old.metrics_listen != new.metrics_listen),
        ("log", old.log != new.log),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
