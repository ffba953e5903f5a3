//! `agent`: stand in a region, probe what the servers say, and report what is seen.

use std::path::PathBuf;

use serde_json::json;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::log;
use super::said::{Code, Failure, Outcome, Said};
use crate::agent::station;
use crate::config::agent;
use crate::config::{Log, LogFormat};
use crate::credentials::{AgentSide, Contents};

/// What `agent` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The agent's configuration.
    #[arg(short, long, value_name = "FILE", default_value = "agent.toml")]
    config: PathBuf,
}

/// Runs an agent until a signal ends it. With `json` it logs for programs, whatever the configuration says.
pub(super) fn run(arguments: &Arguments, json: bool) -> Outcome {
    let (config, warnings) = agent::load(&arguments.config).map_err(|found| Failure::faults(&found))?;
    let at_fault = |fault: String| Failure::of(Code::Configuration, vec![format!("error: {fault}")]);
    let contents = Contents::read(&config.files).map_err(at_fault)?;
    let side = AgentSide::new(&contents).map_err(at_fault)?;
    log::start(&Log { format: if json { LogFormat::Json } else { config.log.format }, ..config.log });
    for warning in &warnings {
        warn!("{warning}");
    }
    let failed = |error: std::io::Error| Failure::failed(format!("the agent cannot start: {error}"));
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let identity = side.identity.clone();
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        info!(version = env!("CARGO_PKG_VERSION"), agent = %identity, "probing");
        tokio::select! {
            () = station::run(config, contents, side) => Err(Failure::failed("the agent came to an end")),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })?;
    info!("stopping");
    Ok(Said { text: String::new(), json: json!({ "done": true }), remarks: Vec::new() })
}
