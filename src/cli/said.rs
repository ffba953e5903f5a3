//! What a verb has to say at its end, for people or for programs, and the exit code that goes with it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::fault::{Fault, Severity};

/// What a verb that did its work says.
#[derive(Debug)]
pub(super) struct Said {
    /// For people; to standard output. Empty where there is nothing to say.
    pub(super) text: String,
    /// For programs; in the place of the text.
    pub(super) json: Value,
    /// What somebody should look at all the same, each rendered whole; for people, to standard error.
    pub(super) remarks: Vec<String>,
}

/// What a verb that did not do its work says.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    /// Each rendered whole; for people, to standard error.
    messages: Vec<String>,
    /// For programs.
    json: Value,
}

/// The exit code of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// It could not be done.
    Failed = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// A configuration, or a file that it names, is at fault (`EX_CONFIG` of sysexits.h).
    Configuration = 78,
}

/// How a verb ends.
pub(super) type Outcome = Result<Said, Failure>;

impl Failure {
    /// It could not be done; why, and what to do about it.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::of(Code::Failed, vec![format!("error: {}", message.into())])
    }

    /// What was asked for makes no sense; what would.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::of(Code::Usage, vec![format!("error: {}", message.into())])
    }

    /// Faults that are rendered already.
    pub(super) fn of(code: Code, messages: Vec<String>) -> Self {
        let faults: Vec<Value> = messages.iter().map(|message| json!({ "rendered": message })).collect();
        Self { code, messages, json: json!({ "done": false, "faults": faults }) }
    }

    /// Files are at fault; after their faults stands how many there are.
    pub(super) fn faults(faults: &[Fault]) -> Self {
        let mut messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
        messages.push(counted(faults));
        let json = json!({ "done": false, "faults": faults.iter().map(as_json).collect::<Vec<_>>() });
        Self { code: Code::Configuration, messages, json }
    }
}

/// "2 errors, 1 warning"
fn counted(faults: &[Fault]) -> String {
    let of = |severity| faults.iter().filter(|fault| fault.severity == severity).count();
    let words = |count: usize, severity: Severity| {
        (count > 0).then(|| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }))
    };
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    [words(errors, Severity::Error), words(warnings, Severity::Warning)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// A fault for programs: `rendered` is what people are shown.
pub(super) fn as_json(fault: &Fault) -> Value {
    json!({
        "severity": fault.severity.to_string(),
        "file": &*fault.file,
        "line": fault.spot.as_ref().map(|spot| spot.line),
        "column": fault.spot.as_ref().map(|spot| spot.column),
        "message": fault.message,
        "help": fault.help,
        "rendered": fault.to_string(),
    })
}

/// Prints how a verb ended; the exit code.
pub(super) fn tell(outcome: Outcome, json: bool) -> ExitCode {
    match outcome {
        Ok(said) if json => {
            print(&said.json.to_string());
            ExitCode::SUCCESS
        }
        Ok(said) => {
            complain(&said.remarks);
            if !said.text.is_empty() {
                print(said.text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if json {
                print(&failure.json.to_string());
            } else {
                complain(&failure.messages);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}

/// Prints to standard output. Whoever closed it has read enough, so nothing is said of that.
pub(super) fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(messages: &[String]) {
    let mut out = io::stderr().lock();
    for message in messages {
        let gap = if message.contains('\n') { "\n" } else { "" };
        let _ = writeln!(out, "{message}{gap}");
    }
}

/// Whether standard output shows colours: on a terminal that has them, unless NO_COLOR forbids it
/// (<https://no-color.org>).
pub(super) fn shows_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
