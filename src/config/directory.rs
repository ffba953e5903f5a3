//! The names that the operator gave to things of one kind, and the ids behind them.

use std::collections::HashMap;

use super::limit::WORD_OCTETS_MAX;
use super::suggest::nearest;
use super::table::Entry;
use super::value::Value;

/// Things of one kind by name. A thing that was declared is found even when it has faults of its own, so
/// that one mistake is told once.
#[derive(Debug)]
pub(super) struct Directory<'d, Id> {
    kind: &'static str,
    names: Vec<&'d str>,
    ids: HashMap<&'d str, Id>,
}

impl<'d, Id: Copy> Directory<'d, Id> {
    /// The names of `entries`, numbered in the order written; `kind` is the word for one of them.
    pub(super) fn of(kind: &'static str, entries: &[Entry<'d>], id: fn(usize) -> Id) -> Self {
        check_names(kind, entries);
        let names: Vec<_> = entries.iter().map(|entry| entry.key).collect();
        let ids = names.iter().enumerate().map(|(index, name)| (*name, id(index))).collect();
        Self { kind, names, ids }
    }

    /// What `value` names.
    pub(super) fn resolve(&self, value: Value) -> Option<Id> {
        let name = value.text(self.names.first().copied().unwrap_or("name"))?;
        self.find(name, value)
    }

    /// What the key of `entry` names.
    pub(super) fn resolve_key(&self, entry: &Entry) -> Option<Id> {
        self.find(entry.key, entry.value.at(entry.span))
    }

    fn find(&self, name: &str, value: Value) -> Option<Id> {
        let id = self.ids.get(name).copied();
        if id.is_none() {
            let help = match nearest(name, self.names.iter().copied()) {
                Some(meant) => format!("write {meant:?}"),
                None => format!("declare it as [{}s.{name}]", self.kind),
            };
            value.error(format!("there is no {} {name:?}", self.kind), help);
        }
        id
    }
}

/// Names travel into metrics, logs, state files and globs, so they are plain words.
pub(super) fn check_names(kind: &str, entries: &[Entry]) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = |name: &str| (1..=WORD_OCTETS_MAX).contains(&name.len()) && name.chars().all(plain);
    for entry in entries.iter().filter(|entry| !fits(entry.key)) {
        entry.error(
            format!("{:?} cannot be the name of a {kind}", entry.key),
            format!("write 1 to {WORD_OCTETS_MAX} letters, digits, hyphens, underscores and dots"),
        );
    }
}
