//! The sign of life that a supervisor waits for: given only while the control task and every UDP worker move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::error;

use crate::clock;
use crate::process::supervisor::Supervisor;
use crate::time::Moment;

/// Whoever stands still for less than so long is not taken for stuck: the control task goes round each second, a
/// worker each half second.
const STILL_MIN: Duration = Duration::from_secs(2);
/// Signs of life within the supervisor's patience.
const SIGNS: u32 = 4;

/// When each of those that must move was last seen to move.
#[derive(Debug, Default)]
struct Movement(Vec<(u64, Moment)>);

/// Tells the supervisor that all is well as often as it wants to know, while all is well.
pub(super) async fn watch(
    supervisor: Supervisor,
    control: Arc<AtomicU64>,
    workers: impl Fn() -> Vec<u64> + Send + Sync,
) {
    let Some(patience) = supervisor.watchdog() else { return };
    let mut movement = Movement::default();
    let mut well = true;
    loop {
        let mut pulses = workers();
        pulses.push(control.load(Ordering::Relaxed));
        let stuck = movement.stuck(&pulses, clock::now(), STILL_MIN.max(patience / 2));
        if stuck == 0 {
            supervisor.alive();
        } else if well {
            error!(stuck, "tasks or threads stand still; the supervisor is given no sign of life");
        }
        well = stuck == 0;
        tokio::time::sleep(patience / SIGNS).await;
    }
}

impl Movement {
    /// How many have not moved for `patience`.
    fn stuck(&mut self, pulses: &[u64], now: Moment, patience: Duration) -> usize {
        self.0.resize(pulses.len(), (u64::MAX, now));
        for (last, pulse) in self.0.iter_mut().zip(pulses) {
            if last.0 != *pulse {
                *last = (*pulse, now);
            }
        }
        self.0.iter().filter(|(_, moved)| now.since(*moved) >= patience).count()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[tokio::test]
    async fn no_sign_of_life_while_a_worker_or_the_control_task_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("notify");
        let ear = UnixDatagram::bind(&at).unwrap();
        ear.set_nonblocking(true).unwrap();
        let heard = || std::iter::from_fn(|| ear.recv(&mut [0; 64]).ok()).count();
        for (worker, control, well) in [(1, 1, true), (0, 1, false), (1, 0, false)] {
            let supervisor = Supervisor::at(at.to_str().unwrap(), Some(STILL_MIN / 4)).unwrap();
            let (rounds, pulse) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
            let beat = Arc::clone(&pulse);
            let workers = move || {
                beat.fetch_add(control, Ordering::Relaxed);
                vec![rounds.fetch_add(1, Ordering::Relaxed), rounds.load(Ordering::Relaxed) * worker]
            };
            let watching = tokio::spawn(watch(supervisor, pulse, workers));
            tokio::time::sleep(STILL_MIN * 2).await;
            assert!(heard() > 0, "in the beginning all may be well");
            tokio::time::sleep(STILL_MIN / 2).await;
            assert_eq!(heard() > 0, well, "worker {worker}, control task {control}");
            watching.abort();
        }
    }

    #[test]
    fn whoever_stands_still_is_seen_and_forgiven_when_it_moves() {
        let mut movement = Movement::default();
        let patience = Duration::from_secs(2);
        let mut stuck =
            |pulses: &[u64], second: u64| movement.stuck(pulses, Moment(second * 1_000_000_000), patience);
        assert_eq!(stuck(&[1, 1], 10), 0);
        assert_eq!(stuck(&[1, 2], 11), 0);
        assert_eq!(stuck(&[1, 3], 12), 1);
        assert_eq!(stuck(&[1, 3], 14), 2);
        assert_eq!(stuck(&[2, 3], 15), 1);
    }
}
