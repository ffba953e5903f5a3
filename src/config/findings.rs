//! What is found to be wrong while a document is read. Readers note it and go on.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::limit;
use super::text::{Span, Text};
use crate::fault::{Fault, Severity};

/// What is wrong with a text, as far as it was read. Every value that is read carries a reference to it.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: &'t Text,
    folder: &'t Path,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
}

impl<'t> Findings<'t> {
    /// Nothing yet; paths are relative to `folder`.
    pub(super) fn new(text: &'t Text, folder: &'t Path) -> Self {
        Self { text, folder, found: RefCell::default() }
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        if found.errors < limit::FAULTS_MAX {
            found.faults.push(self.text.fault(Severity::Error, span, message.into(), help.into()));
        }
        found.errors += 1;
    }

    pub(super) fn warning(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        if found.warnings < limit::FAULTS_MAX {
            found.faults.push(self.text.fault(Severity::Warning, span, message.into(), help.into()));
        }
        found.warnings += 1;
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
}
