//! `explain`: why a question gets its answer, from the running server or, where none runs, from the files.

use std::fmt::Write;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::Running;
use super::client::{self, ClientFault, out_of_turn};
use super::fail_back::unknown;
use super::said::{Code, Failure, Outcome, Said};
use crate::answer::compile::{CounterNumbers, Plan};
use crate::answer::explain::{Asked, Explanation, explain};
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::control::request::{Request, Response, Status};
use crate::health::verdict::{Standing, State};
use crate::ids::EndpointId;
use crate::name::Name;
use crate::wire::code::RecordType;

/// What `explain` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name that is asked for.
    name: Name,
    /// The type that is asked for, such as A, AAAA or HTTPS.
    #[arg(value_name = "TYPE", value_parser = parse_type)]
    rtype: RecordType,
    /// The client: an address of its network, as EDNS Client Subnet or the resolver's own address tells it.
    #[arg(long, value_name = "ADDR")]
    client: IpAddr,
    /// Suppose that this region is down; may be repeated.
    #[arg(long, value_name = "REGION")]
    down: Vec<String>,
    /// Ask no server: explain by the files, every endpoint being up.
    #[arg(long, conflicts_with = "socket")]
    offline: bool,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    if arguments.offline {
        return by_files(arguments, "the files alone were asked; every endpoint is taken for up".to_owned());
    }
    let socket = client::socket(&arguments.running)?;
    match client::ask(&socket, &Request::Status) {
        Err(ClientFault::NoServer(socket)) if arguments.running.socket.is_none() => {
            let remark = format!(
                "no server runs at {}; this is by the files alone, and every endpoint is taken for up",
                socket.display()
            );
            by_files(arguments, remark)
        }
        Err(fault) => Err(Failure::failed(fault.to_string())),
        Ok(Response::Status(known)) => by_server(arguments, &known),
        Ok(other) => Err(out_of_turn(&other)),
    }
}

/// Asks the server, which knows verdicts. The words are checked beforehand against those of its status.
fn by_server(arguments: &Arguments, known: &Status) -> Outcome {
    let endpoints = known.services.iter().flat_map(|service| &service.endpoints);
    let zones: Vec<&str> = known.zones.iter().map(|zone| &*zone.origin).collect();
    check_words(arguments, &zones, &in_order(endpoints.map(|endpoint| &*endpoint.region)))?;
    let request = Request::Explain {
        name: arguments.name.to_string(),
        rtype: arguments.rtype.to_string(),
        client: arguments.client,
        down: arguments.down.clone(),
    };
    match client::ask_running(&arguments.running, &request, Code::Failed)? {
        Response::Explained { text, detail } => Ok(said("server", text, detail, Vec::new())),
        other => Err(out_of_turn(&other)),
    }
}

fn by_files(arguments: &Arguments, remark: String) -> Outcome {
    let (generation, _) = generation::load(arguments.running.configuration.path(), clock::wall())
        .map_err(|faults| Failure::faults(&faults))?;
    let Generation { config, plan, .. } = &generation;
    let origins: Vec<String> = config.zones.iter().map(|zone| zone.origin.to_string()).collect();
    let regions: Vec<&str> = config.regions.iter().map(|region| region.name.as_str()).collect();
    check_words(arguments, &origins.iter().map(String::as_str).collect::<Vec<_>>(), &regions)?;
    let down = endpoints_of(plan, &arguments.down);
    let standings = |endpoint| match down.contains(&endpoint) {
        true => Standing { state: State::Down, ..Standing::UP },
        false => Standing::UP,
    };
    let table = plan.table(1, &standings, &mut CounterNumbers::default());
    let asked = Asked { name: arguments.name.clone(), rtype: arguments.rtype, client: arguments.client };
    let explanation: Explanation = explain(plan, &table, &standings, &asked);
    Ok(said("files", explanation.to_string(), json!(explanation), vec![format!("note: {remark}")]))
}

fn endpoints_of(plan: &Plan, regions: &[String]) -> Vec<EndpointId> {
    let all = plan.services.iter().flat_map(|service| &service.regions);
    let down = all.filter(|region| regions.iter().any(|name| name == plan.region_name(region.region)));
    down.flat_map(|region| &region.endpoints).map(|endpoint| endpoint.id).collect()
}

/// Words that nobody knows here are refused with those that are known.
fn check_words(arguments: &Arguments, zones: &[&str], regions: &[&str]) -> Result<(), Failure> {
    let inside = |zone: &&str| zone.parse::<Name>().is_ok_and(|zone| arguments.name.is_at_or_below(&zone));
    if !zones.iter().any(inside) {
        return Err(Failure::usage(format!(
            "{} is outside every zone of this server, which refuses such questions\nhelp: its zones are {}",
            arguments.name,
            zones.join(", ")
        )));
    }
    match arguments.down.iter().find(|region| !regions.contains(&region.as_str())) {
        Some(region) => Err(unknown("region", region, regions)),
        None => Ok(()),
    }
}

/// Each word once, in the order of its first mention.
fn in_order<'w>(words: impl Iterator<Item = &'w str>) -> Vec<&'w str> {
    words.fold(Vec::new(), |mut known, word| {
        if !known.contains(&word) {
            known.push(word);
        }
        known
    })
}

fn said(source: &str, text: String, explanation: Value, remarks: Vec<String>) -> Said {
    Said { text, json: json!({ "source": source, "explanation": explanation }), remarks }
}

fn parse_type(text: &str) -> Result<RecordType, String> {
    text.parse().map_err(|_| {
        let mut message = "no such type; known are TYPE0 to TYPE65535 and".to_owned();
        for (at, mnemonic) in RecordType::mnemonics().enumerate() {
            let start = if at % TYPES_A_LINE == 0 { "\n  " } else { " " };
            let _ = write!(message, "{start}{mnemonic}");
        }
        message
    })
}

const TYPES_A_LINE: usize = 16;
