//! Connections of a transport work by turns: a few at a time, so that whoever becomes ready waits for few others. Who waits is
//! called in order of rank: first those whose client has fewest connections, among them newcomers before those that have had
//! much, and of equals who came first. So a crowd from few addresses that asks or shakes hands without end delays itself. One turn
//! in four is for whoever waits for longest, whatever the rank, so that nobody waits without end behind a crowd from many.
//!
//! A runtime would poll whoever is ready in the order of becoming so: with ten thousand that always are, anybody's wait
//! would be as long as it takes to serve all of them once, and accepting a connection is one of those that wait.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::oneshot;

/// How many connections its client has, and whether it has had much already: the lower goes first.
pub(super) type Rank = (usize, bool);

/// One turn in so many is for whoever waits for longest.
const FOR_THE_LONGEST: u64 = 4;

/// The turns of one transport.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// Turns that nobody has; none while somebody waits.
    free: usize,
    waiting: BTreeMap<Place, oneshot::Sender<Turn>>,
    /// The same who wait, in the order of coming.
    by_age: BTreeMap<u64, Rank>,
    /// How many have waited so far.
    came: u64,
    /// How many have been called so far.
    called: u64,
}

/// A place in the queue: the rank, and how many had come before.
type Place = (Rank, u64);

/// The right to work now; the next one's when dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// Does `work`, each time that it can go on, when it is its turn. It is polled as it would be, so what it does at a time is
/// its own affair.
pub(super) async fn by_turns<W: Future>(turns: &Arc<Turns>, rank: impl Fn() -> Rank, work: W) -> W::Output {
    let mut work = pin!(work);
    loop {
        let turn = turns.take(&rank).await;
        let step = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        drop(turn);
        match step {
            Poll::Ready(output) => return output,
            Poll::Pending => until_woken().await,
        }
    }
}

/// Waits for whatever the task has arranged to be woken by.
async fn until_woken() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

/// One that waits; when it leaves, so does its place.
struct Waiting<'t> {
    turns: &'t Turns,
    place: Place,
    call: oneshot::Receiver<Turn>,
}

impl Turns {
    /// So many work at a time.
    pub(super) fn new(at_a_time: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue { free: at_a_time, ..Queue::default() })))
    }

    /// Waits for a turn; what the rank is, is asked only where others have all turns.
    pub(super) async fn take(self: &Arc<Self>, rank: impl FnOnce() -> Rank) -> Turn {
        match self.queue_up(rank) {
            None => Turn(Arc::clone(self)),
            Some(mut waiting) => (&mut waiting.call).await.expect("whoever is in the queue is called"),
        }
    }

    /// A place in the queue, unless a turn is free.
    fn queue_up(&self, rank: impl FnOnce() -> Rank) -> Option<Waiting<'_>> {
        let mut queue = self.queue();
        if queue.free > 0 {
            queue.free -= 1;
            return None;
        }
        let rank = rank();
        let (caller, call) = oneshot::channel();
        let place = (rank, queue.came);
        queue.came += 1;
        queue.waiting.insert(place, caller);
        queue.by_age.insert(place.1, rank);
        Some(Waiting { turns: self, place, call })
    }

    /// Who is to be called; where nobody waits, a turn is free again.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut queue = self.queue();
        let caller = queue.next_place().and_then(|place| queue.leave(place));
        queue.free += usize::from(caller.is_none());
        queue.called += u64::from(caller.is_some());
        caller
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn next_place(&self) -> Option<Place> {
        if (self.called + 1).is_multiple_of(FOR_THE_LONGEST) {
            self.by_age.first_key_value().map(|(came, rank)| (*rank, *came))
        } else {
            self.waiting.first_key_value().map(|(place, _)| *place)
        }
    }

    fn leave(&mut self, place: Place) -> Option<oneshot::Sender<Turn>> {
        self.by_age.remove(&place.1);
        self.waiting.remove(&place)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(caller) = self.0.next() {
            // One that leaves at this instant drops it, and so passes it on.
            let _ = caller.send(Self(Arc::clone(&self.0)));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.queue().leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn newcomer(connections: usize) -> impl Fn() -> Rank {
        move || (connections, false)
    }

    /// Who waits in this order of coming is called in which.
    fn order(ranks: &[Rank]) -> Vec<usize> {
        let turns = Turns::new(1);
        let mut turn = poll(pin!(turns.take(newcomer(0)))).expect("a turn is free");
        let mut waiting: Vec<_> = ranks.iter().map(|rank| Some(Box::pin(turns.take(|| *rank)))).collect();
        assert!(waiting.iter_mut().flatten().all(|one| poll(one.as_mut()).is_none()));
        let mut order = Vec::new();
        for _ in ranks {
            drop(turn);
            let called = waiting.iter_mut().enumerate().find_map(|(at, one)| {
                let turn = poll(one.as_mut()?.as_mut())?;
                Some((at, turn))
            });
            let (at, next) = called.expect("somebody is called");
            waiting[at] = None;
            order.push(at);
            turn = next;
        }
        drop(turn);
        let queue = turns.queue();
        assert_eq!((queue.free, queue.waiting.len(), queue.by_age.len()), (1, 0, 0));
        order
    }

    #[test]
    fn fewest_connections_go_first_then_newcomers_then_who_came_first() {
        assert_eq!(order(&[(5, false), (1, true), (1, false)]), [2, 1, 0]);
        assert_eq!(order(&[(2, false), (2, false), (2, false)]), [0, 1, 2]);
    }

    #[test]
    fn one_turn_in_four_is_for_whoever_waits_for_longest() {
        let crowd = [(1, false); 6];
        let ranks = [&[(9, true), (8, true)], &crowd[..]].concat();
        assert_eq!(order(&ranks), [2, 3, 4, 0, 5, 6, 7, 1]);
    }

    #[test]
    fn work_has_a_turn_while_it_is_polled_and_not_while_it_waits() {
        let turns = Turns::new(1);
        let free = || turns.queue().free;
        let (called, call) = oneshot::channel();
        let work = async {
            assert_eq!(free(), 0);
            call.await.expect("it is called");
            free()
        };
        let mut work = pin!(by_turns(&turns, newcomer(1), work));
        assert!(poll(work.as_mut()).is_none());
        assert_eq!(free(), 1);
        called.send(()).expect("it waits");
        let other = poll(pin!(turns.take(newcomer(1)))).expect("a turn is free");
        assert!(poll(work.as_mut()).is_none(), "another has it");
        drop(other);
        assert_eq!(poll(work.as_mut()), Some(0));
        assert_eq!(free(), 1);
    }

    #[test]
    fn so_many_work_at_a_time() {
        let turns = Turns::new(2);
        let had: Vec<_> =
            (0..2).map(|_| poll(pin!(turns.take(newcomer(0)))).expect("a turn is free")).collect();
        let mut third = pin!(turns.take(newcomer(0)));
        assert!(poll(third.as_mut()).is_none());
        drop(had);
        assert!(poll(third).is_some());
    }

    #[test]
    fn who_leaves_is_forgotten_whether_called_or_not() {
        let turns = Turns::new(1);
        let turn = poll(pin!(turns.take(newcomer(0)))).expect("a turn is free");
        let [mut leaves, mut is_called, mut stays] =
            [1, 2, 3].map(|rank| Box::pin(turns.take(newcomer(rank))));
        for one in [&mut leaves, &mut is_called, &mut stays] {
            assert!(poll(one.as_mut()).is_none());
        }
        drop(leaves);
        assert_eq!(turns.queue().waiting.len(), 2);
        drop(turn);
        drop(is_called);
        assert!(poll(stays.as_mut()).is_some(), "the turn was passed on");
        assert_eq!(turns.queue().waiting.len(), 0);
        assert_eq!(turns.queue().free, 1);
    }
}
