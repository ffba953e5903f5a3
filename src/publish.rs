//! How a new table reaches those who answer from it: one writer publishes, every reader holds its own reference
//! and renews it when an atomic number says so. A reader never waits for a table to be built or freed: what was
//! replaced stays with the writer until no reader holds it, and the writer frees it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::answer::table::AnswerTable;

/// The table in force, and those replaced that some reader still holds.
#[derive(Debug)]
pub struct Published<T = AnswerTable> {
    /// How often something was published. Readers compare it with the edition that they hold.
    edition: AtomicU64,
    shelf: Mutex<Shelf<T>>,
}

/// The lock over it is held for as long as it takes to copy a pointer, never while a table is built or freed.
#[derive(Debug)]
struct Shelf<T> {
    current: Arc<T>,
    retired: Vec<Arc<T>>,
}

/// One reader's own reference to the table. Reading from it touches nothing shared.
#[derive(Debug)]
pub struct Reader<T = AnswerTable> {
    published: Arc<Published<T>>,
    edition: u64,
    held: Arc<T>,
}

impl<T> Published<T> {
    /// `first` is in force.
    #[must_use]
    pub fn new(first: Arc<T>) -> Self {
        Self { edition: AtomicU64::new(0), shelf: Mutex::new(Shelf { current: first, retired: Vec::new() }) }
    }

    /// Puts `table` in force: whatever is answered after this returned is answered from it. Then frees what no
    /// reader holds any more, which takes time; call it where time may be taken.
    pub fn publish(&self, table: Arc<T>) {
        let mut shelf = self.shelf();
        let replaced = std::mem::replace(&mut shelf.current, table);
        shelf.retired.push(replaced);
        self.edition.fetch_add(1, Ordering::Release);
        drop(shelf);
        self.reap();
    }

    /// Frees the replaced tables that no reader holds any more; how many are still held. To be called now and
    /// then, since the last reader of a table lets go of it without a word.
    pub fn reap(&self) -> usize {
        let mut shelf = self.shelf();
        // A count of one is final: the shelf's own reference is the last, and nobody copies a retired one.
        let free: Vec<_> = shelf.retired.extract_if(.., |table| Arc::strong_count(table) == 1).collect();
        let held = shelf.retired.len();
        drop(shelf);
        drop(free);
        held
    }

    /// The table in force, for whoever asks seldom. Not to be kept: as long as it is held it is not freed.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.shelf().current)
    }

    /// A reader that holds the table in force.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let shelf = self.shelf();
        let (edition, held) = (self.edition.load(Ordering::Acquire), Arc::clone(&shelf.current));
        drop(shelf);
        Reader { published: Arc::clone(self), edition, held }
    }

    /// Nothing under the lock can panic half-way, so a poisoned lock still guards a whole shelf.
    fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Reader<T> {
    /// Takes the table in force if it is another than the one held; whether it was. One atomic load when not.
    pub fn renew(&mut self) -> bool {
        let renewed = self.published.edition.load(Ordering::Acquire) != self.edition;
        if renewed {
            *self = self.published.reader();
        }
        renewed
    }
}

impl<T> Deref for Reader<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    /// Tells which thread freed it.
    struct Tracked(u64, Sender<(u64, ThreadId)>);

    impl Drop for Tracked {
        fn drop(&mut self) {
            self.1.send((self.0, thread::current().id())).unwrap();
        }
    }

    #[test]
    fn a_replaced_table_is_freed_when_the_last_reader_let_go_and_not_before() {
        let (freed, journal) = channel();
        let published = Arc::new(Published::new(Arc::new(Tracked(0, freed.clone()))));
        let mut reader = published.reader();
        assert!(!reader.renew());
        published.publish(Arc::new(Tracked(1, freed.clone())));
        assert_eq!((reader.0, published.reap()), (0, 1));
        assert!(reader.renew());
        assert_eq!((reader.0, journal.try_iter().count()), (1, 0));
        assert_eq!(published.reap(), 0);
        assert_eq!(journal.try_iter().map(|(number, _)| number).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_reader_that_slept_skips_to_the_newest() {
        let published = Arc::new(Published::new(Arc::new(0)));
        let mut reader = published.reader();
        (1..=5).for_each(|number| published.publish(Arc::new(number)));
        assert_eq!((published.reap(), *published.current()), (1, 5));
        assert!(reader.renew());
        assert_eq!((*reader, published.reap()), (5, 0));
    }

    #[test]
    fn under_swaps_readers_only_move_forward_and_the_publisher_frees_every_table() {
        const SWAPS: u64 = 2_000;
        let (freed, journal) = channel();
        let published = Arc::new(Published::new(Arc::new(Tracked(0, freed.clone()))));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut reader = published.reader();
                let done = &done;
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        reader.renew();
                        assert!(reader.0 >= last);
                        last = reader.0;
                    }
                    reader.renew();
                    assert_eq!(reader.0, SWAPS);
                });
            }
            (1..=SWAPS).for_each(|number| published.publish(Arc::new(Tracked(number, freed.clone()))));
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(published.reap(), 0);
        let by: Vec<_> = journal.try_iter().collect();
        assert_eq!(by.len() as u64, SWAPS);
        assert!(by.iter().all(|(_, thread)| *thread == thread::current().id()));
    }
}
