//! What is found to be wrong while a document is read. Readers note it and go on.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::limit;
use super::text::{Span, Text};
use crate::fault::{Fault, Severity};

/// What is wrong with a text, as far as it was read. Every value that is read carries a reference to it.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: Arc<Text>,
    folder: &'t Path,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
}

/// A text longer than this is cut where a fault quotes it.
const MESSAGE_CHARACTERS_MAX: usize = 400;

impl<'t> Findings<'t> {
    /// Nothing yet; paths are relative to `folder`.
    pub(super) fn new(text: Text, folder: &'t Path) -> Self {
        Self { text: Arc::new(text), folder, found: RefCell::default() }
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        found.errors += 1;
        if found.errors <= limit::FAULTS_MAX {
            found.faults.push(self.fault(Severity::Error, span, message, help));
        }
    }

    pub(super) fn warning(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        found.warnings += 1;
        if found.warnings <= limit::FAULTS_MAX {
            found.faults.push(self.fault(Severity::Warning, span, message, help));
        }
    }

    /// What is read.
    pub(super) fn text(&self) -> Arc<Text> {
        Arc::clone(&self.text)
    }

    /// The line on which `span` begins, for a fault that points at another place too.
    pub(super) fn line(&self, span: Span) -> usize {
        self.text.line(span)
    }

    /// A path, completed by the folder of the configuration.
    pub(super) fn completed(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Whether the document is refused.
    pub(super) fn has_errors(&self) -> bool {
        self.found.borrow().errors > 0
    }

    /// All faults in the order of their places, errors and warnings alike.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let Found { mut faults, errors, warnings } = self.found.into_inner();
        faults.sort_by_key(|fault| fault.spot.as_ref().map(|spot| (spot.line, spot.column)));
        for (severity, count) in [(Severity::Error, errors), (Severity::Warning, warnings)] {
            if let more @ 1.. = count.saturating_sub(limit::FAULTS_MAX) {
                faults.push(self.text.remark(severity, format!("and {more} more {severity}s")));
            }
        }
        faults
    }
    fn fault(
        &self,
        severity: Severity,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Fault {
        self.text.fault(severity, span, printable(&message.into()), printable(&help.into()))
    }
}

/// What a fault quotes is bounded and cannot move a terminal's cursor.
fn printable(message: &str) -> String {
    let characters = message.chars().take(MESSAGE_CHARACTERS_MAX);
    characters.map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
