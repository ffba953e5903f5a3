//! Reads the values of a TOML document without stopping at the first fault. What cannot be read is noted in
//! [`Findings`] with the place where it stands, and the reader gets `None`: it goes on with a default, since a
//! document with an error never becomes a configuration.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::duration::{DurationFault, parse_duration, write_duration};
use super::findings::Findings;
use super::suggest::nearest;
use super::table::{Entry, Section, Table};
use super::text::Span;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'d> {
    pub span: Span,
    inner: &'d DeValue<'d>,
    findings: &'d Findings<'d>,
}

impl<'d> Value<'d> {
    /// The value of a key. A table stands where its key does: what is missing in it is missing there.
    pub(super) fn under<K>(
        key: &Spanned<K>,
        value: &'d Spanned<DeValue<'d>>,
        findings: &'d Findings<'d>,
    ) -> Self {
        let span = if value.get_ref().is_table() { key.span() } else { value.span() };
        Self { span: span.into(), inner: value.get_ref(), findings }
    }

    pub(super) fn error(self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.error(self.span, message, help);
    }

    pub(super) fn warning(self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.warning(self.span, message, help);
    }

    /// The line on which `span` begins, for a fault that points at another place too.
    pub(super) fn line_of(self, span: Span) -> usize {
        self.findings.line(span)
    }

    /// The same value, whose faults point at `span`.
    pub(super) fn at(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// The digits of an integer.
    pub(super) fn as_integer_text(self) -> Option<&'d str> {
        self.inner.as_integer().map(|integer| integer.as_str())
    }

    /// The number, with or without a fraction, if it is one.
    pub(super) fn as_number(self) -> Option<f64> {
        match self.inner {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            _ => None,
        }
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
    pub(super) fn refuse_type<T>(self, want: &str, example: &str) -> Option<T> {
        let is = match self.inner.type_str() {
            "integer" => "an integer".to_owned(),
            "array" => "an array".to_owned(),
            other => format!("a {other}"),
        };
        self.error(format!("{want} is wanted here, not {is}"), format!("write {example}"));
        None
    }

    pub(super) fn text(self, example: &str) -> Option<&'d str> {
        match self.inner.as_str() {
            None => self.refuse_type("a text", &format!("it in quotes, such as {example:?}")),
            Some("") => {
                self.error("the text is empty", format!("write for example {example:?}"));
                None
            }
            text => text,
        }
    }

    pub(super) fn boolean(self) -> Option<bool> {
        self.inner.as_bool().or_else(|| self.refuse_type("true or false", "true or false"))
    }

    pub(super) fn integer<T>(self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display + Copy,
    {
        let (least, most) = (*range.start(), *range.end());
        let help = format!("a whole number from {least} to {most}");
        let Some(integer) = self.inner.as_integer() else {
            return self.refuse_type("a whole number", &help);
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            self.error(format!("{integer} is out of range"), format!("write {help}"));
        }
        number
    }

    /// A number with or without a fraction.
    pub(super) fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
        let help = format!("a number from {} to {}", range.start(), range.end());
        let Some(number) = self.as_number() else { return self.refuse_type("a number", &help) };
        if !range.contains(&number) {
            self.error("the number is out of range", format!("write {help}"));
            return None;
        }
        Some(number)
    }

    pub(super) fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let Some(text) = self.inner.as_str() else {
            let example = match self.inner.as_integer() {
                Some(seconds) => format!("\"{seconds}s\" if seconds are meant"),
                None => "a number and its unit in quotes, such as \"5s\"".to_owned(),
            };
            return self.refuse_type("a duration", &example);
        };
        match parse_duration(text) {
            Ok(duration) if range.contains(&duration) => return Some(duration),
            Ok(duration) => {
                let (least, most) = (write_duration(*range.start()), write_duration(*range.end()));
                let word = if duration < *range.start() { "short" } else { "long" };
                self.error(
                    format!("{text:?} is too {word}"),
                    format!("write a duration from \"{least}\" to \"{most}\""),
                );
            }
            Err(fault) => self.error(
                format!("{text:?} is no duration: {fault}"),
                format!("write {}", duration_meant(text, fault)),
            ),
        }
        None
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let all = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let Some(text) = self.inner.as_str() else {
            return self.refuse_type("a word", &format!("one of {all}"));
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let help = match nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(meant) => format!("write {meant:?}"),
                None => format!("write one of {all}"),
            };
            self.error(format!("{text:?} is none of the words known here"), help);
        }
        found
    }

    /// A text that has a meaning of its own; its fault says what would be right.
    pub(super) fn parsed<T>(self, example: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(example)?;
        self.parsed_as(text, example)
    }

    /// Like [`Value::parsed`], of a text that stands where this value's faults point.
    pub(super) fn parsed_as<T>(self, text: &str, example: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        text.parse().map_err(|fault: T::Err| self.refuse(text, &fault, example)).ok()
    }

    /// A path, completed by the folder of the configuration.
    pub(super) fn path(self, example: &str) -> Option<PathBuf> {
        let text = self.text(example)?;
        if text.contains('\0') {
            self.error("a path cannot hold the character NUL", "leave it out");
            return None;
        }
        Some(self.findings.completed(text))
    }

    /// The elements of an array of at most `most`.
    pub(super) fn list(self, example: &str, most: usize) -> Option<Vec<Value<'d>>> {
        let Some(array) = self.inner.as_array() else {
            return self.refuse_type("an array", &format!("it in brackets, such as {example}"));
        };
        if array.len() > most {
            self.error(format!("the array holds {} elements", array.len()), format!("write at most {most}"));
            return None;
        }
        let element = |value: &'d Spanned<DeValue<'d>>| Self {
            span: value.span().into(),
            inner: value.get_ref(),
            ..self
        };
        Some(array.iter().map(element).collect())
    }

    /// Like [`Value::list`], of at least one element.
    pub(super) fn filled_list(self, example: &str, most: usize) -> Option<Vec<Value<'d>>> {
        let list = self.list(example, most)?;
        if list.is_empty() {
            self.error("the array is empty", format!("write at least one element: {example}"));
            return None;
        }
        Some(list)
    }

    /// A table with the keys of `section`.
    pub(super) fn table(self, section: &'static Section) -> Table<'d> {
        match self.inner.as_table() {
            Some(table) => Table::of(table, section, self.span, self.findings),
            None => {
                self.refuse_type::<()>("a table", &format!("{{ {} = ... }}", section.keys[0]));
                self.no_table(section)
            }
        }
    }

    /// An empty table in the place of this value.
    pub(super) fn no_table(self, section: &'static Section) -> Table<'d> {
        Table::empty(section, self.span, self.findings)
    }

    /// The entries of a table whose keys the operator chose, at most `most`, in the order written.
    pub(super) fn entries(self, most: usize) -> Vec<Entry<'d>> {
        let Some(table) = self.inner.as_table() else {
            self.refuse_type::<()>("a table", "a table of names, each with what it stands for");
            return Vec::new();
        };
        if table.len() > most {
            self.error(format!("the table holds {} entries", table.len()), format!("write at most {most}"));
            return Vec::new();
        }
        Entry::all_of(table, self.findings)
    }

    fn refuse(self, text: &str, fault: &impl Display, example: &str) {
        let fault = fault.to_string();
        let (message, help) = fault.split_once("; ").unwrap_or((&fault, ""));
        let message =
            if message.contains(text) { message.to_owned() } else { format!("{text:?}: {message}") };
        let help = if help.is_empty() { format!("write for example {example:?}") } else { help.to_owned() };
        self.error(message, help);
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
