//! `[probes.*.journey]`: several HTTP requests, one after the other. What is believed of it is in `config/journey.rs`.

use super::probe::{read_host, read_http_path, read_port, read_probe_text, read_status, read_trust};
use crate::config::journey::{Find, HEADERS_MAX, Journey, METHODS, Method, STEPS_MAX, Step, names_in};
use crate::config::probe::ProbeKind;
use crate::config::table::{Section, Table};
use crate::config::value::Value;

pub(in crate::config) const JOURNEY: Section =
    Section { path: "probes.*.journey", keys: &["scheme", "port", "host", "trust", "steps"] };
pub(in crate::config) const STEP: Section = Section {
    path: "probes.*.journey.steps.[]",
    keys: &["method", "path", "headers", "body", "status", "body-contains", "header-contains", "save"],
};
/// A place in an answer.
pub(in crate::config) const FIND: Section =
    Section { path: "probes.*.journey.steps.[].save.*", keys: &["json", "header", "after", "before"] };
pub(in crate::config) const JOURNEY_TRUST: Section =
    Section { path: "probes.*.journey.trust", keys: &["file"] };

/// Reads a journey.
pub(in crate::config) fn read_journey(table: Table) -> Option<ProbeKind> {
    let schemes = [("https", true), ("http", false)];
    let is_https = table.value("scheme").and_then(|value| value.choice(&schemes)).unwrap_or(true);
    let tls = is_https.then(|| read_trust(table, &JOURNEY_TRUST));
    if let (false, Some(trust)) = (is_https, table.value("trust")) {
        trust.error("plain HTTP shows no certificate to trust", "leave it out, or write scheme = \"https\"");
    }
    let usual = if is_https { 443 } else { 80 };
    let example = "[{ path = \"/login\" }, { path = \"/account\" }]";
    let steps = table.required("steps", example)?.filled_list(example, STEPS_MAX)?;
    let mut saved: Vec<String> = Vec::new();
    let mut read = Vec::new();
    for value in steps {
        let step = read_step(value.table(&STEP));
        for name in step.texts().flat_map(names_in).filter(|name| !saved.iter().any(|known| known == name)) {
            value.error(
                format!("no earlier step saves {name:?}"),
                format!("write save = {{ {name} = {{ json = \"/{name}\" }} }} in one, or correct the name"),
            );
        }
        saved.extend(step.save.iter().map(|(name, _)| name.clone()));
        read.push(step);
    }
    Some(ProbeKind::Journey(Journey {
        tls,
        port: read_port(table, Some(usual)).unwrap_or(usual),
        host: table.value("host").and_then(read_host),
        steps: read,
    }))
}

fn read_step(table: Table) -> Step {
    Step {
        method: table.value("method").and_then(|value| value.choice(&METHODS)).unwrap_or(Method::Get),
        path: table.value("path").and_then(read_http_path).unwrap_or_else(|| "/".to_owned()),
        headers: read_headers(table, "headers"),
        body: table.value("body").and_then(read_probe_text),
        status: table.value("status").and_then(read_status).unwrap_or_else(|| vec![200]),
        body_contains: table.value("body-contains").and_then(read_probe_text),
        header_contains: read_headers(table, "header-contains"),
        save: read_save(table),
    }
}

/// Names of headers, each with a text.
fn read_headers(table: Table, key: &str) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in table.entries(key, HEADERS_MAX) {
        if !is_header_name(entry.key) {
            let help = "write its name alone, such as \"Content-Type\"";
            entry.error(format!("{:?} is no name of a header", entry.key), help);
        }
        let Some(text) = read_probe_text(entry.value) else { continue };
        if text.chars().any(char::is_control) {
            entry.value.error("a header holds no control characters", "write it in one line");
        }
        headers.push((entry.key.to_owned(), text));
    }
    headers
}

fn read_save(table: Table) -> Vec<(String, Find)> {
    let mut saved = Vec::new();
    for entry in table.entries("save", HEADERS_MAX) {
        if !entry.key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            let help = "write letters, digits, hyphens and underscores";
            entry.error(format!("{:?} is no name for what is saved", entry.key), help);
        }
        if let Some(find) = read_find(entry.value) {
            saved.push((entry.key.to_owned(), find));
        }
    }
    saved
}

fn read_find(value: Value) -> Option<Find> {
    let table = value.table(&FIND);
    let text = |key: &str| table.value(key).and_then(read_probe_text);
    let between = (text("after"), text("before"));
    let found = match (text("json"), text("header"), between) {
        (Some(pointer), None, (None, None)) if pointer.starts_with('/') => Some(Find::Json(pointer)),
        (None, Some(header), (None, None)) if is_header_name(&header) => Some(Find::Header(header)),
        (None, None, (Some(after), Some(before))) => Some(Find::Between(after, before)),
        _ => None,
    };
    if found.is_none() {
        value.error(
            "this does not say where the value is found",
            "write { json = \"/pointer\" }, { header = \"Name\" }, or { after = \"text\", before = \"text\" }",
        );
    }
    found
}

/// A token (RFC 9110 section 5.6.2).
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
