//! How a verb that cannot do its work says so, and with which exit code it ends.

use std::fmt;
use std::process::ExitCode;

use crate::fault::Fault;

/// The configuration, or a file that it names, is at fault (`EX_CONFIG` of sysexits.h).
const CONFIGURATION: u8 = 78;

/// Prints every fault; the exit code for a faulty configuration.
pub(super) fn refuse(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        eprintln!("{fault}\n");
    }
    ExitCode::from(CONFIGURATION)
}

/// Prints why something could not be done; the exit code for that.
pub(super) fn fail(fault: &dyn fmt::Display) -> ExitCode {
    eprintln!("error: {fault}");
    ExitCode::FAILURE
}
