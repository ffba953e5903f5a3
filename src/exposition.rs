//! Prometheus' text exposition format, version 0.0.4, as far as counters and gauges need it. Pure.

use std::fmt::{self, Write as _};

/// A page in that format. Label values get no escapes: the configuration takes plain names only, and who writes
/// others uses [`escaped`].
#[derive(Debug, Default)]
pub struct Page(pub String);

impl Page {
    /// Begins a family of series.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One series of the family, with its value.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (position, (label, of)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{of}\"", if position == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// A label's value that may have more than plain characters in it.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_prometheus_text() {
        let mut page = Page::default();
        page.family("a_total", "counter", "What it is.");
        page.sample("a_total", &[], 3);
        page.sample("a_total", &[("x", "1"), ("y", "z")], 4);
        assert_eq!(
            page.0,
            "# HELP a_total What it is.\n# TYPE a_total counter\na_total 3\na_total{x=\"1\",y=\"z\"} 4\n"
        );
    }
}
