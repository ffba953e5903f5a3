//! What happened, counted as it happens: counts, levels and times in buckets, each by name and labels. Nothing is
//! decided by it.
//!
//! It is of our own, since the exporter of the `metrics` crates measures the processor's clock before it counts
//! anything, for 20 ms of every start, and keeps each time until somebody puts it into its bucket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::exposition::Page;

/// A name that Prometheus knows it by, and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// As on the page.
    pub(super) name: &'static str,
    /// For people.
    pub(super) help: &'static str,
}

/// Labels with their values.
pub(super) type Labels<'l> = &'l [(&'static str, &'l str)];

/// Everything that was counted.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    counts: Series<u64>,
    levels: Series<f64>,
    times: Series<Arc<Times>>,
}

type Series<V> = BTreeMap<Event, BTreeMap<Vec<(&'static str, String)>, V>>;

/// How long something took, each time.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// How many lie above one of [`SECONDS`] and not above the next; the last are above all.
    buckets: [AtomicU64; SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// Upper bounds of the buckets, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

impl Events {
    /// It happened `times` more.
    pub(super) fn count(&self, event: Event, labels: Labels<'_>, times: u64) {
        self.with(|counted| *of(&mut counted.counts, event, labels) += times);
    }

    /// It is so from now on.
    pub(super) fn level(&self, event: Event, labels: Labels<'_>, level: f64) {
        self.with(|counted| *of(&mut counted.levels, event, labels) = level);
    }

    /// Where its times are taken, for who takes many.
    pub(super) fn times(&self, event: Event, labels: Labels<'_>) -> Arc<Times> {
        self.with(|counted| Arc::clone(of(&mut counted.times, event, labels)))
    }

    /// Writes down what was ever counted.
    pub(super) fn tell(&self, page: &mut Page) {
        self.with(|Counted { counts, levels, times }| {
            tell(counts, "counter", page, |page, name, labels, count| page.sample(name, labels, count));
            tell(levels, "gauge", page, |page, name, labels, level| page.sample(name, labels, level));
            tell(times, "histogram", page, |page, name, labels, times| times.tell(page, name, labels));
        });
    }

    /// Nothing under this lock can panic half-way.
    fn with<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Times {
    /// It took so long once more.
    pub(super) fn take(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = SECONDS.iter().take_while(|bound| **bound < seconds).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Each bucket has those below it too.
    fn tell(&self, page: &mut Page, name: &str, labels: Labels<'_>) {
        let mut count = 0;
        let bounds = SECONDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            page.sample(&format!("{name}_bucket"), &[labels, &[("le", &*bound)]].concat(), count);
        }
        let seconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        page.sample(&format!("{name}_sum"), labels, seconds);
        page.sample(&format!("{name}_count"), labels, count);
    }
}

fn of<'s, V: Default>(series: &'s mut Series<V>, event: Event, labels: Labels<'_>) -> &'s mut V {
    let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
    series.entry(event).or_default().entry(labels).or_default()
}

fn tell<V>(
    series: &Series<V>,
    kind: &str,
    page: &mut Page,
    mut sample: impl FnMut(&mut Page, &str, Labels<'_>, &V),
) {
    for (Event { name, help }, by_labels) in series {
        page.family(name, kind, help);
        for (labels, value) in by_labels {
            let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, &**value)).collect();
            sample(page, name, &labels, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Event = Event { name: "seen_total", help: "What was seen." };
    const TOOK: Event = Event { name: "took_seconds", help: "How long it took." };

    #[test]
    fn what_was_never_counted_is_not_told() {
        let mut page = Page::default();
        Events::default().tell(&mut page);
        assert_eq!(page.0, "");
    }

    #[test]
    fn counts_add_up_by_their_labels_and_levels_replace() {
        let events = Events::default();
        events.count(SEEN, &[("by", "a")], 2);
        events.count(SEEN, &[("by", "a")], 3);
        events.count(SEEN, &[("by", "b")], 1);
        events.level(Event { name: "level", help: "How high." }, &[], 1.0);
        events.level(Event { name: "level", help: "How high." }, &[], 0.5);
        let mut page = Page::default();
        events.tell(&mut page);
        assert_eq!(
            page.0,
            "# HELP seen_total What was seen.\n# TYPE seen_total counter\nseen_total{by=\"a\"} 5\nseen_total{by=\"b\"} 1\n\
             # HELP level How high.\n# TYPE level gauge\nlevel 0.5\n"
        );
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass_and_in_all_above() {
        let events = Events::default();
        let times = events.times(TOOK, &[("by", "a")]);
        times.take(Duration::from_millis(1));
        times.take(Duration::from_millis(2000));
        times.take(Duration::from_secs(9));
        let mut page = Page::default();
        events.tell(&mut page);
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(lines[1], "# TYPE took_seconds histogram");
        assert_eq!(lines[2], "took_seconds_bucket{by=\"a\",le=\"0.001\"} 1");
        assert_eq!(lines[11], "took_seconds_bucket{by=\"a\",le=\"1\"} 1");
        assert_eq!(lines[12], "took_seconds_bucket{by=\"a\",le=\"2.5\"} 2");
        assert_eq!(lines[13], "took_seconds_bucket{by=\"a\",le=\"+Inf\"} 3");
        assert_eq!(lines[14], "took_seconds_sum{by=\"a\"} 11.001");
        assert_eq!(lines[15], "took_seconds_count{by=\"a\"} 3");
        assert_eq!(lines.len(), 16);
    }
}
