//! `fail-back`: a person's word for services that do not come back by themselves.

use serde_json::json;

use super::client::{ask_running, out_of_turn};
use super::said::{Code, Failure, Outcome, Said};
use super::{Running, status};
use crate::control::request::{Request, Response};

/// What `fail-back` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The service that may come back.
    service: String,
    /// The region that it may come back to [default: every region].
    region: Option<String>,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    check_words(arguments)?;
    let Arguments { service, region, running } = arguments;
    let request = Request::FailBack { service: service.clone(), region: region.clone() };
    match ask_running(running, &request, Code::Failed)? {
        Response::FailBackAllowed { endpoints } => Ok(Said {
            text: said(endpoints, service),
            json: json!({ "done": true, "endpoints": endpoints }),
            remarks: Vec::new(),
        }),
        other => Err(out_of_turn(&other)),
    }
}

/// A word that the server does not know is answered with those that it does.
fn check_words(arguments: &Arguments) -> Result<(), Failure> {
    let known = status::ask(&arguments.running)?;
    let services: Vec<&str> = known.services.iter().map(|service| &*service.service).collect();
    let Some(service) = known.services.iter().find(|service| service.service == arguments.service) else {
        return Err(unknown("service", &arguments.service, &services));
    };
    let mut regions: Vec<&str> = service.endpoints.iter().map(|endpoint| &*endpoint.region).collect();
    regions.dedup();
    match &arguments.region {
        Some(region) if !regions.contains(&region.as_str()) => Err(unknown("region", region, &regions)),
        _ => Ok(()),
    }
}

/// "there is no region "eu"; the regions are eu-west, us-east"
pub(super) fn unknown(kind: &str, word: &str, known: &[&str]) -> Failure {
    let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
    Failure::usage(format!("there is no {kind} {word:?}\nhelp: known here: {known}"))
}

fn said(endpoints: usize, service: &str) -> String {
    match endpoints {
        0 => format!("nothing of {service} waits for a word: it is in place, or does not work yet"),
        1 => format!("1 endpoint of {service} comes back"),
        _ => format!("{endpoints} endpoints of {service} come back"),
    }
}
