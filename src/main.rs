//! The binary: parse, run, give the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rhumb::cli::run()
}
