//! A panic of any thread ends the process, in builds that unwind too. A copy of this program panics in its stead.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;

/// Tells a copy of this program where to panic.
const WHERE: &str = "RHUMB_TEST_PANIC";

/// Number of the signal that `abort` raises.
const SIGABRT: i32 = 6;

#[test]
fn a_panic_anywhere_ends_the_process_with_a_line_that_says_so() {
    if let Ok(place) = std::env::var(WHERE) {
        panic_at(&place);
    }
    for place in ["thread", "task", "blocking", "main"] {
        for json in [false, true] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["a_panic_anywhere_ends_the_process", "--nocapture"])
                .env(WHERE, if json { format!("{place}-json") } else { place.to_owned() })
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(SIGABRT), "{place}: {said}");
            let line = said.lines().find(|line| line.contains("deliberate")).unwrap();
            assert!(
                line.contains("panics.rs:") && line.contains("ERROR") && line.contains("panic"),
                "{line}"
            );
            assert_eq!(json, serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }
}

fn panic_at(place: &str) -> ! {
    rhumb::process::panics::end_process(place.ends_with("-json"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match place.trim_end_matches("-json") {
        "thread" => drop(thread::spawn(|| panic!("deliberate")).join()),
        "task" => drop(runtime.block_on(runtime.spawn(async { panic!("deliberate") }))),
        "blocking" => drop(runtime.block_on(runtime.spawn_blocking(|| panic!("deliberate")))),
        _ => panic!("deliberate"),
    }
    unreachable!("a process that panicked goes on");
}
