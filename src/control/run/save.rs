//! When the control task writes its verdicts, and when no more: beside itself, since a disk may take its time.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task;
use tracing::{info, warn};

use super::{Control, Message};
use crate::clock;
use crate::process::priority;
use crate::time::Moment;

/// Verdicts that do not change are written again after so long: their age counts from when they were written.
pub(super) const EVERY: Duration = Duration::from_secs(60);
/// Between two writings of verdicts that change all the time. What a crash can make forgotten is no more than that.
const PAUSE: Duration = Duration::from_millis(100);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an end waits for the disk.
const LAST_SAVE_MAX: Duration = Duration::from_secs(2);

impl Control {
    /// Verdicts have changed.
    pub(super) fn save_soon(&mut self, now: Moment) {
        self.save_due = self.save_due.min(now.max(self.save_began + PAUSE));
    }

    /// When to look at [`Control::save_when_due`]; not while they are being written, since the end of that is a message.
    pub(super) fn save_wake(&self) -> Option<Moment> {
        (!self.saving && !self.handed_over).then_some(self.save_due)
    }

    pub(super) fn save_when_due(&mut self, now: Moment) {
        if self.save_wake().is_none_or(|due| now < due) {
            return;
        }
        self.saving = true;
        (self.save_began, self.save_due) = (now, now + EVERY);
        let (write, inbox) = (self.save(now), self.inbox.clone());
        task::spawn_blocking(move || {
            let _ = inbox.blocking_send(Message::Saved(priority::stepped_back(write)));
        });
    }

    /// What writes the verdicts of this moment: a disk may take its time, so never this task.
    pub(super) fn save(&self, now: Moment) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let (verdicts, wall, file) = (self.state.board().saved(now), clock::wall(), self.saved.clone());
        move || file.write(&verdicts, wall)
    }

    pub(super) fn hand_over(&mut self, reply: oneshot::Sender<()>) {
        self.handed_over = true;
        let write = self.save(clock::now());
        let inbox = self.inbox.clone();
        task::spawn_blocking(move || {
            let _ = inbox.blocking_send(Message::Saved(write()));
            // After everything that was being written before.
            let _ = reply.send(());
        });
    }

    pub(super) fn saved(&mut self, result: io::Result<()>) {
        self.saving = false;
        let file = self.saved.path().display();
        match result {
            Ok(()) if !self.save_works => info!(%file, "the verdicts can be written again"),
            Err(ref error) if self.save_works => {
                warn!(%error, %file, "the verdicts cannot be written; a restart would not know them");
            }
            _ => {}
        }
        self.save_works = result.is_ok();
        if result.is_err() {
            self.metrics.write_failed();
            self.save_due = clock::now() + AGAIN;
        }
    }

    /// The last of all: waits for the disk, but not for ever.
    pub(super) async fn save_last(mut self) {
        let write = task::spawn_blocking(self.save(clock::now()));
        match tokio::time::timeout(LAST_SAVE_MAX, write).await {
            Ok(Ok(result)) => self.saved(result),
            _ => warn!("the verdicts could not be written in time"),
        }
    }
}
