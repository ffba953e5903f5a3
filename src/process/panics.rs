//! A panic anywhere ends the process: a task, a worker, a file that is read beside. A daemon that is half dead would
//! answer from what it last knew and look well; a supervisor starts a dead one again within a second.

use std::backtrace::Backtrace;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::process;
use std::thread;

/// From here on a panic of any thread says so in one line on standard error and aborts the process. Not left to
/// `panic = "abort"`: builds for tests unwind, and a runtime keeps the panics of its tasks to itself.
///
/// With `json` the line is an object as the log has them.
pub fn end_process(json: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        // Past the log's own thread, which may be the one that panicked; a closed standard error is nobody's fault.
        let _ = std::io::stderr().write_all(line(panic, json).as_bytes());
        process::abort();
    }));
}

fn line(panic: &PanicHookInfo, json: bool) -> String {
    let thread = thread::current().name().unwrap_or("unnamed").to_owned();
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let what = panic.payload_as_str().unwrap_or("no message");
    let message = "panic: this is a fault of the program; it ends, so that it can be started anew";
    let backtrace = Backtrace::capture().to_string();
    if json {
        let fields = serde_json::json!({
            "message": message, "panic": what, "place": place, "thread": thread, "backtrace": backtrace,
        });
        return serde_json::json!({ "level": "ERROR", "fields": fields }).to_string() + "\n";
    }
    let backtrace = if backtrace.contains('\n') { format!("{backtrace}\n") } else { String::new() };
    format!("ERROR {message} what={what:?} place={place} thread={thread:?}\n{backtrace}")
}
