//! Two computations side by side: what waits for both waits for the longer. Nothing else is known of threads here, and
//! what they compute is the same in whatever order they run.

use std::thread;

/// What `there` and `here` come to, `there` in a thread of its own. Where none can be had, they are worked off one after the
/// other.
pub fn beside<T: Send, H>(there: impl Fn() -> T + Sync, here: impl FnOnce() -> H) -> (T, H) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &there);
        let here = here();
        // A panic there is one here.
        let there = thread.map_or_else(
            |_| there(),
            |thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        );
        (there, here)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn both_are_under_way_at_once() {
        let (send, receive) = mpsc::sync_channel(0);
        let (there, here) = beside(|| send.send(1).unwrap(), || receive.recv().unwrap());
        assert_eq!((there, here), ((), 1));
    }
}
