//! The shell: one file per verb. It parses, wires, prints; it decides nothing that an answer depends on.

#![expect(clippy::print_stderr, reason = "the shell speaks")]

mod faults;
mod log;
pub mod serve;

use std::path::Path;
use std::process::ExitCode;

/// Runs the verb that the command line names.
pub fn run() -> ExitCode {
    let path = std::env::args().nth(2).unwrap_or_else(|| "rhumb.toml".to_owned());
    serve::run(Path::new(&path))
}
