//! Where log lines go: to standard error, as text or JSON. A thread of their own writes them: whoever reads them may
//! stop reading, and must not stop the server by it. What does not fit into the queue meanwhile is dropped and counted.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat, LogLevel};
use crate::process::priority;
use crate::process::{Enforced, Hardened};

/// Lines that wait for their reader at most.
const LINES_MAX: usize = 65_536;
/// How long an end waits for the reader of the log.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// Hands each line to the thread that writes.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

/// What is handed to the thread that writes.
enum Line {
    /// A line, its end included.
    Of(Vec<u8>),
    /// Say when everything before this was written.
    Last(SyncSender<()>),
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Begins to log. Once in the life of a process; later calls change nothing.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let queue = QUEUE.get_or_init(Queue::new).clone();
    let lines = fmt().with_max_level(level).with_ansi(io::stderr().is_terminal());
    let lines = lines.with_writer(move || queue.clone());
    // Tests start several servers in one process; the first one's format holds.
    let _ = match log.format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Tells once what the process gave up, and what it could not.
pub(super) fn hardened(hardened: &Hardened) {
    let Hardened { user, root, landlock, filter, .. } = hardened;
    let user = user.as_deref().unwrap_or("unchanged");
    tracing::info!(user, %landlock, system_call_filter = %filter, "privileges given up");
    if *root {
        tracing::warn!(
            "this process runs as root; let hardening.user name another, or the supervisor choose one"
        );
    }
    for (key, enforced) in [("hardening.landlock", landlock), ("hardening.system-call-filter", filter)] {
        if let Enforced::Missing(why) = enforced {
            tracing::warn!(key, why, "cannot be had here; going on without");
        }
    }
}

/// Waits until what was logged is written, or nobody reads it.
pub(super) fn finish() {
    if let Some(queue) = QUEUE.get() {
        let (said, written) = sync_channel(1);
        if queue.lines.try_send(Line::Last(said)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES_MAX);
        }
    }
}

impl Queue {
    fn new() -> Self {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let of_thread = Arc::clone(&dropped);
        // Without the thread nothing is logged, and everything else works.
        let written = move || {
            priority::give_way();
            write(&waiting, &of_thread);
        };
        let _ = thread::Builder::new().name("log".to_owned()).spawn(written);
        Self { lines, dropped }
    }
}

/// The logger writes each line whole.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Of(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: &Receiver<Line>, dropped: &AtomicU64) {
    while let Ok(line) = waiting.recv() {
        match line {
            // A closed standard error is nobody's fault here.
            Line::Of(line) => drop(io::stderr().write_all(&line)),
            Line::Last(said) => drop(said.send(())),
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(count, "log lines were dropped: they were not read fast enough");
        }
    }
}
