//! `reload`: the running server reads its configuration, zones and databases anew.

use serde_json::json;

use super::Running;
use super::client::{ask_running, out_of_turn};
use super::said::{Code, Outcome, Said};
use crate::control::request::{Request, Response};

/// Returns once the new state is live; whatever is at fault, the old one stays.
pub(super) fn run(running: &Running) -> Outcome {
    match ask_running(running, &Request::Reload, Code::Configuration)? {
        Response::Reloaded { generation, warnings } => Ok(Said {
            text: format!("reloaded: generation {generation} of the answers is live"),
            json: json!({ "done": true, "generation": generation, "warnings": warnings }),
            remarks: warnings,
        }),
        other => Err(out_of_turn(&other)),
    }
}
