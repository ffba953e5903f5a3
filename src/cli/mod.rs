//! The shell: one file per verb. It parses, wires, prints; it decides nothing that an answer depends on.

#![expect(clippy::print_stderr, reason = "the shell speaks")]

mod faults;
mod log;
pub mod serve;
pub mod simulate;

use std::path::Path;
use std::process::ExitCode;

/// Runs the verb that the command line names.
pub fn run() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("simulate") {
        use clap::{Args, Command, FromArgMatches};
        let command = simulate::Arguments::augment_args(Command::new("rhumb simulate"));
        let matches = command.get_matches_from(std::env::args().skip(1));
        return simulate::run(
            &simulate::Arguments::from_arg_matches(&matches).unwrap_or_else(|e| e.exit()),
            false,
        );
    }
    let path = std::env::args().nth(2).unwrap_or_else(|| "rhumb.toml".to_owned());
    serve::run(Path::new(&path))
}
