//! What happened, counted as it happens: the recorder behind `metrics`' counters, gauges and histograms, and its page.
//! Nothing is decided by it.
//!
//! The recorder is of our own, since the usual exporter measures the processor's clock before it counts anything, for
//! 20 ms of every start, and keeps each time until somebody puts it into its bucket.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};

use crate::exposition::{Page, escaped};

/// Everything that was counted.
#[derive(Default)]
pub(super) struct Events(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    helps: HashMap<String, SharedString>,
    counters: Series<AtomicU64>,
    /// The bits of floating point numbers.
    gauges: Series<AtomicU64>,
    histograms: Series<Times>,
}

/// By name and labels; keys compare by their names first.
type Series<V> = BTreeMap<Key, Arc<V>>;

/// How long something took, each time.
#[derive(Default)]
struct Times {
    /// How many lie above one of [`SECONDS`] and not above the next; the last are above all.
    buckets: [AtomicU64; SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// Upper bounds of the buckets, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

impl Events {
    /// Writes down what was ever counted.
    pub(super) fn tell(&self, page: &mut Page) {
        self.with(|Counted { helps, counters, gauges, histograms }| {
            tell(counters, helps, "counter", page, |page, name, labels, count| {
                page.sample(name, labels, count.load(Ordering::Relaxed));
            });
            tell(gauges, helps, "gauge", page, |page, name, labels, level| {
                page.sample(name, labels, f64::from_bits(level.load(Ordering::Relaxed)));
            });
            tell(histograms, helps, "histogram", page, |page, name, labels, times| {
                times.tell(page, name, labels);
            });
        });
    }

    fn describe(&self, name: &KeyName, help: SharedString) {
        self.with(|counted| counted.helps.insert(name.as_str().to_owned(), help));
    }

    /// Nothing under this lock can panic half-way.
    fn with<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recorder for Events {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.with(|counted| of(&mut counted.counters, key)).into()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.with(|counted| of(&mut counted.gauges, key)).into()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.with(|counted| of(&mut counted.histograms, key)).into()
    }
}

impl HistogramFn for Times {
    /// It took so many seconds once more.
    fn record(&self, seconds: f64) {
        let bucket = SECONDS.iter().take_while(|bound| **bound < seconds).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // Whole nanoseconds can be added up without a lock; what is no time at all counts as none.
        self.nanoseconds.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }
}

impl Times {
    /// Each bucket has those below it too.
    fn tell(&self, page: &mut Page, name: &str, labels: &[(&str, &str)]) {
        let mut count = 0;
        let bounds = SECONDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            page.sample(&format!("{name}_bucket"), &[labels, &[("le", &*bound)]].concat(), count);
        }
        page.sample(&format!("{name}_sum"), labels, self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9);
        page.sample(&format!("{name}_count"), labels, count);
    }
}

fn of<V: Default>(series: &mut Series<V>, key: &Key) -> Arc<V> {
    Arc::clone(series.entry(key.clone()).or_default())
}

fn tell<V>(
    series: &Series<V>,
    helps: &HashMap<String, SharedString>,
    kind: &str,
    page: &mut Page,
    mut sample: impl FnMut(&mut Page, &str, &[(&str, &str)], &V),
) {
    let mut family = "";
    for (key, value) in series {
        if key.name() != family {
            family = key.name();
            page.family(family, kind, helps.get(family).map_or("", |help| help));
        }
        let values: Vec<_> = key.labels().map(|label| escaped(label.value())).collect();
        let labels: Vec<_> = key.labels().map(Label::key).zip(values.iter().map(String::as_str)).collect();
        sample(page, family, &labels, value);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{
        counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
    };

    use super::*;

    fn page_after(work: impl FnOnce()) -> String {
        let events = Events::default();
        with_local_recorder(&events, || {
            describe_counter!("seen_total", "What was seen.");
            describe_gauge!("level", "How high.");
            describe_histogram!("took_seconds", "How long it took.");
            work();
        });
        let mut page = Page::default();
        events.tell(&mut page);
        page.0
    }

    #[test]
    fn what_was_never_counted_is_not_told() {
        assert_eq!(page_after(|| ()), "");
    }

    #[test]
    fn counts_add_up_by_their_labels_and_levels_replace() {
        let page = page_after(|| {
            counter!("seen_total", "by" => "b\"").increment(1);
            counter!("seen_total", "by" => "a").increment(2);
            counter!("seen_total", "by" => "a").increment(3);
            gauge!("level").set(1.0);
            gauge!("level").set(0.5);
        });
        assert_eq!(
            page,
            "# HELP seen_total What was seen.\n# TYPE seen_total counter\nseen_total{by=\"a\"} 5\nseen_total{by=\"b\\\"\"} 1\n\
             # HELP level How high.\n# TYPE level gauge\nlevel 0.5\n"
        );
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass_and_in_all_above() {
        let page = page_after(|| {
            let times = histogram!("took_seconds", "by" => "a");
            [0.001, 2.0, 9.0].into_iter().for_each(|seconds| times.record(seconds));
        });
        let lines: Vec<&str> = page.lines().collect();
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
