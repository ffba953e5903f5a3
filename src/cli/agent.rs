//! `agent`: stand in a region, probe what the servers say, and report what is seen.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::log;
use super::said::{Code, Failure, Outcome, Said};
use crate::agent::metrics::Metrics;
use crate::agent::station;
use crate::clock;
use crate::config::{Log, LogFormat};
use crate::config::{agent, files};
use crate::control::http::{self, Shown};
use crate::credentials::{AgentSide, Contents};
use crate::process::supervisor::Supervisor;
use crate::process::{self, Needs, panics};

/// What `agent` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The agent's configuration.
    #[arg(short, long, value_name = "FILE", default_value = "agent.toml")]
    config: PathBuf,
}

/// Runs an agent until a signal ends it. With `json` it logs for programs, whatever the configuration says.
pub(super) fn run(arguments: &Arguments, json: bool) -> Outcome {
    panics::end_process(json);
    let (config, warnings) = agent::load(&arguments.config).map_err(|found| Failure::faults(&found))?;
    let at_fault = |fault: String| Failure::of(Code::Configuration, vec![format!("error: {fault}")]);
    let contents = Contents::read(&config.files).map_err(at_fault)?;
    let side = AgentSide::new(&contents).map_err(at_fault)?;
    let format = if json { LogFormat::Json } else { config.log.format };
    panics::end_process(format == LogFormat::Json);
    let needs = Needs {
        files: files::of_agent(&arguments.config, &config),
        folders: config.allow.folders.clone(),
        written: Vec::new(),
    };
    let listener = config.metrics_listen.map(|address| {
        let at_fault = |error| Failure::failed(format!("metrics.listen: {address} cannot be had: {error}"));
        TcpListener::bind(address).map_err(at_fault)
    });
    let listener = listener.transpose()?;
    // Before the first thread.
    let hardened =
        process::harden(&config.hardening, &needs).map_err(|fault| Failure::failed(fault.to_string()))?;
    log::start(&Log { format, ..config.log });
    for warning in &warnings {
        warn!("{}", warning.in_one_line());
    }
    log::hardened(&hardened);
    let supervisor = Supervisor::of_environment();
    let failed = |error: std::io::Error| Failure::failed(format!("the agent cannot start: {error}"));
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let identity = side.identity.clone();
    let metrics = Arc::new(Metrics::new(&config));
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        info!(version = env!("CARGO_PKG_VERSION"), agent = %identity, "probing");
        supervisor.ready();
        if let Some(listener) = listener {
            tokio::spawn(http::serve(listener, shown(&metrics)));
        }
        tokio::select! {
            () = station::run(config, contents, side, metrics) => Err(Failure::failed("the agent came to an end")),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })?;
    supervisor.stopping();
    info!("stopping");
    Ok(Said { text: String::new(), json: json!({ "done": true }), remarks: Vec::new() })
}

/// What an agent shows by HTTP: it serves once a server told it what to probe.
fn shown(metrics: &Arc<Metrics>) -> Shown {
    let (page, is_serving) = (Arc::clone(metrics), Arc::clone(metrics));
    Shown {
        page: Box::new(move || page.render(clock::now())),
        is_serving: Box::new(move || is_serving.has_orders()),
    }
}
