//! `gauge`: tell the running server what a gauge shows.

use serde_json::json;

use super::Running;
use super::client::{ask_running, out_of_turn};
use super::said::{Code, Outcome, Said};
use crate::control::request::{GaugeTold, Request, Response};

/// What `gauge` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell what a gauge of an endpoint shows. Tell it again before its max-age is over.
    Set(Set),
}

#[derive(Debug, clap::Args)]
struct Set {
    /// The endpoint, REGION/SERVICE/ADDRESS; `*` stands for any run of characters.
    endpoint: String,
    /// The gauge: the probe's name.
    gauge: String,
    /// What it shows.
    #[arg(allow_hyphen_values = true)]
    value: f64,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let What::Set(Set { endpoint, gauge, value, running }) = &arguments.what;
    let told = vec![GaugeTold { endpoint: endpoint.clone(), gauge: gauge.clone(), value: *value }];
    match ask_running(running, &Request::Gauges { told }, Code::Failed)? {
        Response::GaugesTold { gauges } => Ok(Said {
            text: format!("told for {gauges} endpoint{}", if gauges == 1 { "" } else { "s" }),
            json: json!({ "done": true, "gauges": gauges }),
            remarks: Vec::new(),
        }),
        other => Err(out_of_turn(&other)),
    }
}
