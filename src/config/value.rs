//! Reads a TOML document without stopping at the first fault. What cannot be read is noted in [`Findings`]
//! with the place where it stands, and the reader gets `None`: it goes on with a default, since a document
//! with an error never becomes a configuration.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::duration::{DurationFault, parse_duration, write_duration};
use super::limit;
use super::suggest::nearest;
use super::text::{Span, Text};
use crate::fault::{Fault, Severity};

/// The keys that a table of the document may have.
#[derive(Debug)]
pub(super) struct Section {
    /// Where such tables stand: `*` is a name that the operator chose, `[]` an element of an array.
    pub path: &'static str,
    /// Every key there is.
    pub keys: &'static [&'static str],
}

/// What is wrong with a text, as far as it was read.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: &'t Text,
    folder: &'t Path,
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'d> {
    span: Span,
    inner: &'d DeValue<'d>,
}

/// A table whose keys are all known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'d> {
    span: Span,
    section: &'static Section,
    inner: &'d DeTable<'d>,
}

/// A key that the operator chose, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'d> {
    pub key: &'d str,
    pub span: Span,
    pub value: Value<'d>,
}

impl<'t> Findings<'t> {
    /// Nothing yet; paths are relative to `folder`.
    pub(super) fn new(text: &'t Text, folder: &'t Path) -> Self {
        Self { text, folder, faults: Vec::new(), errors: 0, warnings: 0 }
    }

    pub(super) fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        if self.errors < limit::FAULTS_MAX {
            self.faults.push(self.text.fault(Severity::Error, span, message.into(), help.into()));
        }
        self.errors += 1;
    }

    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        if self.warnings < limit::FAULTS_MAX {
            self.faults.push(self.text.fault(Severity::Warning, span, message.into(), help.into()));
        }
        self.warnings += 1;
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
        self.errors > 0
    }

    /// All faults in the order of their places, errors and warnings alike.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.spot.as_ref().map(|spot| (spot.line, spot.column)));
        for (severity, count) in [(Severity::Error, self.errors), (Severity::Warning, self.warnings)] {
            if let more @ 1.. = count.saturating_sub(limit::FAULTS_MAX) {
                self.faults.push(self.text.remark(severity, format!("and {more} more {severity}s")));
            }
        }
        self.faults
    }
}

impl<'d> Value<'d> {
    /// An element of an array.
    fn of(spanned: &'d Spanned<DeValue<'d>>) -> Self {
        Self { span: spanned.span().into(), inner: spanned.get_ref() }
    }

    /// The value of a key. A table stands where its key does: what is missing in it is missing there.
    fn under<K>(key: &Spanned<K>, value: &'d Spanned<DeValue<'d>>) -> Self {
        let span = if value.get_ref().is_table() { key.span() } else { value.span() };
        Self { span: span.into(), inner: value.get_ref() }
    }

    /// Where it stands.
    pub(super) fn span(self) -> Span {
        self.span
    }

    /// The same value, whose faults point at `span`.
    pub(super) fn at(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// The digits of an integer.
    pub(super) fn as_integer_text(self) -> Option<&'d str> {
        self.inner.as_integer().map(|integer| integer.as_str())
    }

    pub(super) fn as_str(self) -> Option<&'d str> {
        self.inner.as_str()
    }

    pub(super) fn is_table(self) -> bool {
        self.inner.is_table()
    }

    pub(super) fn is_array(self) -> bool {
        self.inner.is_array()
    }

    /// Notes that something else is wanted, such as `want`, written like `example`.
    pub(super) fn refuse_type<T>(self, want: &str, example: &str, findings: &mut Findings) -> Option<T> {
        let is = match self.inner.type_str() {
            "integer" => "an integer".to_owned(),
            "array" => "an array".to_owned(),
            other => format!("a {other}"),
        };
        findings.error(self.span, format!("{want} is wanted here, not {is}"), format!("write {example}"));
        None
    }

    pub(super) fn text(self, example: &str, findings: &mut Findings) -> Option<&'d str> {
        match self.inner.as_str() {
            None => self.refuse_type("a text", &format!("it in quotes, such as {example:?}"), findings),
            Some("") => {
                findings.error(self.span, "the text is empty", format!("write for example {example:?}"));
                None
            }
            text => text,
        }
    }

    pub(super) fn boolean(self, findings: &mut Findings) -> Option<bool> {
        self.inner.as_bool().or_else(|| self.refuse_type("true or false", "true or false", findings))
    }

    pub(super) fn integer<T>(self, range: RangeInclusive<T>, findings: &mut Findings) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display + Copy,
    {
        let (least, most) = (*range.start(), *range.end());
        let help = format!("a whole number from {least} to {most}");
        let Some(integer) = self.inner.as_integer() else {
            return self.refuse_type("a whole number", &help, findings);
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            findings.error(self.span, format!("{integer} is out of range"), format!("write {help}"));
        }
        number
    }

    /// A number with or without a fraction.
    pub(super) fn number(self, range: RangeInclusive<f64>, findings: &mut Findings) -> Option<f64> {
        let help = format!("a number from {} to {}", range.start(), range.end());
        let number = match self.inner {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            _ => return self.refuse_type("a number", &help, findings),
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            findings.error(self.span, "the number is out of range", format!("write {help}"));
        }
        number
    }

    pub(super) fn duration(
        self,
        range: RangeInclusive<Duration>,
        findings: &mut Findings,
    ) -> Option<Duration> {
        let Some(text) = self.inner.as_str() else {
            let example = match self.inner.as_integer() {
                Some(seconds) => format!("\"{seconds}s\" if seconds are meant"),
                None => "a number and its unit in quotes, such as \"5s\"".to_owned(),
            };
            return self.refuse_type("a duration", &example, findings);
        };
        match parse_duration(text) {
            Ok(duration) if range.contains(&duration) => return Some(duration),
            Ok(duration) => {
                let (least, most) = (write_duration(*range.start()), write_duration(*range.end()));
                let word = if duration < *range.start() { "short" } else { "long" };
                findings.error(
                    self.span,
                    format!("{text:?} is too {word}"),
                    format!("write a duration from \"{least}\" to \"{most}\""),
                );
            }
            Err(fault) => findings.error(
                self.span,
                format!("{text:?} is no duration: {fault}"),
                format!("write {}", duration_meant(text, fault)),
            ),
        }
        None
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let all = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let Some(text) = self.inner.as_str() else {
            return self.refuse_type("a word", &format!("one of {all}"), findings);
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let help = match nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(meant) => format!("write {meant:?}"),
                None => format!("write one of {all}"),
            };
            findings.error(self.span, format!("{text:?} is none of the words known here"), help);
        }
        found
    }

    /// A text that has a meaning of its own; its fault says what would be right.
    pub(super) fn parsed<T>(self, example: &str, findings: &mut Findings) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(example, findings)?;
        self.parsed_as(text, example, findings)
    }

    /// Like [`Value::parsed`], of a text that stands where this value's faults point.
    pub(super) fn parsed_as<T>(self, text: &str, example: &str, findings: &mut Findings) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        text.parse().map_err(|fault: T::Err| self.refuse(text, &fault, example, findings)).ok()
    }

    /// A path, completed by the folder of the configuration.
    pub(super) fn path(self, example: &str, findings: &mut Findings) -> Option<PathBuf> {
        let text = self.text(example, findings)?;
        if text.contains('\0') {
            findings.error(self.span, "a path cannot hold the character NUL", "leave it out");
            return None;
        }
        Some(findings.completed(text))
    }

    /// The elements of an array of at most `most`.
    pub(super) fn list(self, example: &str, most: usize, findings: &mut Findings) -> Option<Vec<Value<'d>>> {
        let Some(array) = self.inner.as_array() else {
            return self.refuse_type("an array", &format!("it in brackets, such as {example}"), findings);
        };
        if array.len() > most {
            findings.error(
                self.span,
                format!("the array holds {} elements", array.len()),
                format!("write at most {most}"),
            );
            return None;
        }
        Some(array.iter().map(Value::of).collect())
    }

    /// Like [`Value::list`], of at least one element.
    pub(super) fn filled_list(
        self,
        example: &str,
        most: usize,
        findings: &mut Findings,
    ) -> Option<Vec<Value<'d>>> {
        let list = self.list(example, most, findings)?;
        if list.is_empty() {
            findings.error(self.span, "the array is empty", format!("write at least one element: {example}"));
            return None;
        }
        Some(list)
    }

    /// A table with the keys of `section`. Keys unknown there are faults; the others can be read all the same.
    pub(super) fn table(self, section: &'static Section, findings: &mut Findings) -> Option<Table<'d>> {
        let Some(table) = self.inner.as_table() else {
            return self.refuse_type("a table", &format!("{{ {} = ... }}", section.keys[0]), findings);
        };
        Some(Table::of(table, self.span, section, findings))
    }

    /// The entries of a table whose keys the operator chose, at most `most`, in the order written.
    pub(super) fn entries(self, most: usize, findings: &mut Findings) -> Vec<Entry<'d>> {
        let Some(table) = self.inner.as_table() else {
            self.refuse_type::<()>("a table", "a table of names, each with what it stands for", findings);
            return Vec::new();
        };
        if table.len() > most {
            findings.error(
                self.span,
                format!("the table holds {} entries", table.len()),
                format!("write at most {most}"),
            );
            return Vec::new();
        }
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                span: key.span().into(),
                value: Value::under(key, value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.span);
        entries
    }

    fn refuse(self, text: &str, fault: &impl Display, example: &str, findings: &mut Findings) {
        let fault = fault.to_string();
        let (message, help) = fault.split_once("; ").unwrap_or((&fault, ""));
        let message =
            if message.contains(text) { message.to_owned() } else { format!("{text:?}: {message}") };
        let help = if help.is_empty() { format!("write for example {example:?}") } else { help.to_owned() };
        findings.error(self.span, message, help);
    }
}

impl<'d> Table<'d> {
    /// The table `inner`, its unknown keys noted.
    pub(super) fn of(
        inner: &'d DeTable<'d>,
        span: Span,
        section: &'static Section,
        findings: &mut Findings,
    ) -> Self {
        let table = Self { span, section, inner };
        for key in table.unknown_keys() {
            let help = match table.meant(key.get_ref()) {
                Some(meant) => format!("write {meant:?}"),
                None => format!("the keys known here are {}", section.keys.join(", ")),
            };
            findings.error(key.span().into(), format!("unknown key {:?}", key.get_ref()), help);
        }
        table
    }

    fn unknown_keys(self) -> impl Iterator<Item = &'d Spanned<DeString<'d>>> {
        self.inner.keys().filter(move |key| !self.section.keys.contains(&&**key.get_ref()))
    }

    /// The key that an unknown one was probably meant to be.
    fn meant(self, unknown: &str) -> Option<&'static str> {
        nearest(unknown, self.section.keys.iter().copied())
    }

    /// Where it stands.
    pub(super) fn span(self) -> Span {
        self.span
    }

    /// The value of `key`, if it was written.
    pub(super) fn value(self, key: &str) -> Option<Value<'d>> {
        debug_assert!(
            self.section.keys.contains(&key),
            "{key} is in the list of keys of {}",
            self.section.path
        );
        let (written, value) = self.inner.get_key_value(key)?;
        Some(Value::under(written, value))
    }

    /// The value of `key`, which must be there. When it was misspelt, that was told already.
    pub(super) fn required(self, key: &str, example: &str, findings: &mut Findings) -> Option<Value<'d>> {
        let value = self.value(key);
        let misspelt = || self.unknown_keys().any(|unknown| self.meant(unknown.get_ref()) == Some(key));
        if value.is_none() && !misspelt() {
            findings.error(
                self.span,
                format!("the key {key:?} is missing"),
                format!("write {key} = {example}"),
            );
        }
        value
    }

    /// The entries of the table under `key`, none when it was not written.
    pub(super) fn entries(self, key: &str, most: usize, findings: &mut Findings) -> Vec<Entry<'d>> {
        self.value(key).map(|value| value.entries(most, findings)).unwrap_or_default()
    }
}

fn duration_meant(text: &str, fault: DurationFault) -> String {
    match fault {
        DurationFault::UnitMissing => format!("\"{text}s\" if seconds are meant"),
        DurationFault::Fraction => "a smaller unit, such as \"1500ms\" or \"1m30s\"".to_owned(),
        DurationFault::Order => "for example \"1h30m\"".to_owned(),
        DurationFault::UnitUnknown | DurationFault::Number => {
            "for example \"250ms\", \"5s\" or \"1m\"".to_owned()
        }
        DurationFault::TooLong => "less".to_owned(),
    }
}
