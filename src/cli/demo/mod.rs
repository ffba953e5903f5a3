//! `demo`: a whole world on loopback in one process: three small HTTP backends in three regions, a server that
//! probes them, and three clients at real addresses. What it shows comes from real DNS queries, nothing is staged.

mod backend;
mod keyboard;
mod script;
mod stage;
mod view;
mod world;

use std::process::ExitCode;

use super::said::{Failure, tell};
use stage::Stage;

/// What `demo` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Play one failover without a keyboard, check each step by queries, and exit 0 or 1.
    #[arg(long)]
    script: bool,
    /// Answer queries at this port of 127.0.0.1; 0 for any that is free [default: 5300, or the next free one].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

pub(super) fn run(arguments: &Arguments, json: bool) -> ExitCode {
    let mut stage = match Stage::set_up(arguments.port, json) {
        Ok(stage) => stage,
        Err(message) => return tell(Err(Failure::failed(format!("the demo cannot begin: {message}"))), json),
    };
    let played = if arguments.script { script::play(&mut stage) } else { keyboard::play(&mut stage) };
    stage.tear_down();
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => tell(Err(Failure::failed(message)), json),
    }
}
