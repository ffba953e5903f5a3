//! Reads the tables of a TOML document: those whose keys are known here, and those whose keys are names that
//! the operator chose.

use toml::Spanned;
use toml::de::{DeString, DeTable};

use super::findings::Findings;
use super::suggest::nearest;
use super::text::Span;
use super::value::Value;

/// The keys that a table of the document may have.
#[derive(Debug)]
pub(super) struct Section {
    /// Where such tables stand: `*` is a name that the operator chose, `[]` an element of an array.
    pub path: &'static str,
    /// Every key there is.
    pub keys: &'static [&'static str],
}

/// A table with the keys of a section. One that was not written, or is none, reads as empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'d> {
    pub span: Span,
    section: &'static Section,
    inner: Option<&'d DeTable<'d>>,
    findings: &'d Findings<'d>,
}

/// A key that the operator chose, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'d> {
    pub key: &'d str,
    pub span: Span,
    pub value: Value<'d>,
}

impl<'d> Table<'d> {
    /// The table `inner`. Its unknown keys are faults; the others can be read all the same.
    pub(super) fn of(
        inner: &'d DeTable<'d>,
        section: &'static Section,
        span: Span,
        findings: &'d Findings<'d>,
    ) -> Self {
        let table = Self { span, section, inner: Some(inner), findings };
        for key in table.unknown_keys() {
            let help = match table.meant(key.get_ref()) {
                Some(meant) => format!("write {meant:?}"),
                None => format!("the keys known here are {}", section.keys.join(", ")),
            };
            findings.error(key.span().into(), format!("unknown key {:?}", key.get_ref()), help);
        }
        table
    }

    /// A table that was not written.
    pub(super) fn empty(section: &'static Section, span: Span, findings: &'d Findings<'d>) -> Self {
        Self { span, section, inner: None, findings }
    }

    pub(super) fn error(self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.error(self.span, message, help);
    }

    pub(super) fn warning(self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.warning(self.span, message, help);
    }

    /// The value of `key`, if it was written.
    pub(super) fn value(self, key: &str) -> Option<Value<'d>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is a key of [{}]", self.section.path);
        let (written, value) = self.inner?.get_key_value(key)?;
        Some(Value::under(written, value, self.findings))
    }

    /// Whether such tables have the key at all.
    pub(super) fn knows(self, key: &str) -> bool {
        self.section.keys.contains(&key)
    }

    /// The value of `key`, which must be there if the table is. When it was misspelt, that was told already.
    pub(super) fn required(self, key: &str, example: &str) -> Option<Value<'d>> {
        let value = self.value(key);
        let misspelt = || self.unknown_keys().any(|unknown| self.meant(unknown.get_ref()) == Some(key));
        if value.is_none() && self.inner.is_some() && !misspelt() {
            self.error(format!("the key {key:?} is missing"), format!("write {key} = {example}"));
        }
        value
    }

    /// The table under `key`.
    pub(super) fn table(self, key: &str, section: &'static Section) -> Table<'d> {
        match self.value(key) {
            Some(value) => value.table(section),
            None => Self::empty(section, self.span, self.findings),
        }
    }

    /// The entries of the table under `key`, at most `most`; none when it was not written.
    pub(super) fn entries(self, key: &str, most: usize) -> Vec<Entry<'d>> {
        self.value(key).map(|value| value.entries(most)).unwrap_or_default()
    }

    fn unknown_keys(self) -> impl Iterator<Item = &'d Spanned<DeString<'d>>> {
        let keys = self.inner.into_iter().flat_map(DeTable::keys);
        keys.filter(move |key| !self.section.keys.contains(&&**key.get_ref()))
    }

    /// The key that an unknown one was probably meant to be.
    fn meant(self, unknown: &str) -> Option<&'static str> {
        nearest(unknown, self.section.keys.iter().copied())
    }
}

impl<'d> Entry<'d> {
    /// The entries of a table in the order written.
    pub(super) fn all_of(table: &'d DeTable<'d>, findings: &'d Findings<'d>) -> Vec<Self> {
        let entry = |(key, value): (&'d Spanned<DeString<'d>>, _)| Self {
            key: key.get_ref(),
            span: key.span().into(),
            value: Value::under(key, value, findings),
        };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.span);
        entries
    }

    /// Notes an error at the key.
    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.value.at(self.span).error(message, help);
    }
}
