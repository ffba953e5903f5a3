//! `[probes.*]`: how endpoints are tested. What is believed of them is in `config/probe.rs`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::check::{GAUGE, read_composition, read_gauge};
use super::journey::{JOURNEY, read_journey};
use crate::config::directory::Directory;
use crate::config::duration::write_duration;
use crate::config::limit::{CODES_MAX, PROBE_TEXT_OCTETS_MAX};
use crate::config::probe::{DnsProbe, HttpProbe, Probe, ProbeKind, TlsProbe, TlsTrust};
use crate::config::table::{Entry, Section, Table};
use crate::config::value::Value;
use crate::health::streak::Thresholds;
use crate::ids::ProbeId;
use crate::wire::code::{Rcode, RecordType};

pub(in crate::config) const PROBE: Section = Section {
    path: "probes.*",
    keys: &[
        "http",
        "https",
        "tcp",
        "tls",
        "dns",
        "file",
        "icmp",
        "journey",
        "gauge",
        "all",
        "any",
        "at-least",
        "not",
        "interval",
        "timeout",
        "fall",
        "rise",
        "window",
        "window-failures",
        "together",
        "watch",
    ],
};
pub(in crate::config) const HTTP: Section =
    Section { path: "probes.*.http", keys: &["port", "path", "host", "status", "body-contains"] };
pub(in crate::config) const HTTPS: Section =
    Section { path: "probes.*.https", keys: &["port", "path", "host", "status", "body-contains", "trust"] };
pub(in crate::config) const TCP: Section = Section { path: "probes.*.tcp", keys: &["port"] };
pub(in crate::config) const TLS: Section =
    Section { path: "probes.*.tls", keys: &["port", "server-name", "trust"] };
pub(in crate::config) const DNS: Section =
    Section { path: "probes.*.dns", keys: &["port", "name", "type", "rcodes", "answer-required", "tcp"] };
pub(in crate::config) const TRUST: Section = Section { path: "probes.*.https.trust", keys: &["file"] };
pub(in crate::config) const TLS_TRUST: Section = Section { path: "probes.*.tls.trust", keys: &["file"] };

/// The keys that say what is done; a probe has one of them.
const KINDS: [&str; 13] = [
    "http", "https", "tcp", "tls", "dns", "file", "icmp", "journey", "gauge", "all", "any", "at-least", "not",
];
/// The keys of the pace, which means nothing where nothing is sent.
const PACE: [&str; 3] = ["interval", "timeout", "watch"];
/// The keys of thresholds, which a composed check leaves to its parts.
const THRESHOLDS: [&str; 5] = ["fall", "rise", "window", "window-failures", "together"];
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Without a time-out of its own a probe has four fifths of its interval, but no longer than this.
const TIMEOUT_DEFAULT_MAX: Duration = Duration::from_secs(2);
/// Outcomes in a row, and outcomes in the window.
const COUNT: RangeInclusive<u8> = 1..=64;

/// Reads one probe.
pub(in crate::config) fn read_probe(entry: &Entry, probes: &Directory<ProbeId>) -> Probe {
    let table = entry.value.table(&PROBE);
    let interval = table.value("interval").and_then(|value| value.duration(INTERVAL));
    let interval = interval.unwrap_or(INTERVAL_DEFAULT);
    let kind = read_kind(table, probes).unwrap_or(ProbeKind::Tcp { port: 0 });
    refuse_strange_keys(table, &kind);
    Probe {
        name: entry.key.to_owned(),
        interval,
        timeout: read_timeout(table, interval),
        watch: read_watch(table, &kind),
        thresholds: read_thresholds(table),
        kind,
    }
}

/// The one key that says what is done.
fn read_kind(probe: Table, probes: &Directory<ProbeId>) -> Option<ProbeKind> {
    let written: Vec<_> =
        KINDS.iter().filter_map(|kind| probe.value(kind).map(|value| (*kind, value))).collect();
    let all = KINDS.join(", ");
    let Some(&(kind, value)) = written.first() else {
        probe.error("the probe does not say what to do", format!("write one of {all}"));
        return None;
    };
    for (other, value) in &written[1..] {
        value.error(
            format!("a probe does one thing, and this one has {kind:?} already"),
            format!("leave {other:?} out, or make it a probe of its own"),
        );
    }
    match kind {
        "http" => Some(read_http(value.table(&HTTP), None)),
        "https" => Some(read_https(value.table(&HTTPS))),
        "tcp" => read_port(value.table(&TCP), None).map(|port| ProbeKind::Tcp { port }),
        "tls" => Some(read_tls(value.table(&TLS))),
        "dns" => read_dns(value.table(&DNS)),
        "file" => value.path("health.state").map(|path| ProbeKind::File { path, shares: true }),
        "icmp" => read_icmp(value),
        "journey" => read_journey(value.table(&JOURNEY)),
        "gauge" => read_gauge(value.table(&GAUGE)),
        _ => read_composition(kind, value, probes),
    }
}

fn read_icmp(value: Value) -> Option<ProbeKind> {
    if !value.boolean()? {
        value.error("the probe does not say what to do", "write icmp = true, or another kind");
        return None;
    }
    Some(ProbeKind::Icmp)
}

/// What a kind of probe has no use for.
fn refuse_strange_keys(table: Table, kind: &ProbeKind) {
    let (strange, why) = match kind {
        ProbeKind::Gauge(_) => (PACE.to_vec(), "a gauge is told, and not probed"),
        ProbeKind::Composed(_) => (
            [&PACE[..], &THRESHOLDS].concat(),
            "each part is probed at its own pace and judged by its own count",
        ),
        _ => return,
    };
    for key in strange {
        if let Some(value) = table.value(key) {
            value.error(format!("{key} means nothing here: {why}"), "leave it out");
        }
    }
}

fn read_http(table: Table, tls: Option<TlsTrust>) -> ProbeKind {
    let port = if tls.is_some() { 443 } else { 80 };
    ProbeKind::Http(HttpProbe {
        port: read_port(table, Some(port)).unwrap_or(port),
        path: table.value("path").and_then(read_http_path).unwrap_or_else(|| "/".to_owned()),
        host: table.value("host").and_then(read_host),
        status: table.value("status").and_then(read_status).unwrap_or_else(|| vec![200]),
        body_contains: table.value("body-contains").and_then(read_probe_text),
        tls,
    })
}

fn read_https(table: Table) -> ProbeKind {
    let trust = read_trust(table, &TRUST);
    if trust != TlsTrust::Anything && table.value("host").is_none() {
        warn_of_missing_name(table, "host");
    }
    read_http(table, Some(trust))
}

fn read_tls(table: Table) -> ProbeKind {
    let trust = read_trust(table, &TLS_TRUST);
    if trust != TlsTrust::Anything && table.value("server-name").is_none() {
        warn_of_missing_name(table, "server-name");
    }
    ProbeKind::Tls(TlsProbe {
        port: read_port(table, Some(443)).unwrap_or(443),
        server_name: table.value("server-name").and_then(read_host),
        trust,
    })
}

fn read_dns(table: Table) -> Option<ProbeKind> {
    let name = table.required("name", "\"example.com\"");
    let rtype = table.value("type").and_then(read_question_type);
    let rcodes = table.value("rcodes").and_then(read_rcodes);
    let flag = |key: &str, default| table.value(key).and_then(|value| value.boolean()).unwrap_or(default);
    Some(ProbeKind::Dns(DnsProbe {
        port: read_port(table, Some(53)).unwrap_or(53),
        answer_required: flag("answer-required", true),
        tcp: flag("tcp", false),
        name: name.and_then(|value| value.parsed("example.com"))?,
        rtype: rtype.unwrap_or(RecordType::A),
        rcodes: rcodes.unwrap_or_else(|| vec![Rcode::NOERROR]),
    }))
}

/// The port; without a usual one it must be written.
pub(super) fn read_port(table: Table, usual: Option<u16>) -> Option<u16> {
    let value = match usual {
        Some(_) => table.value("port"),
        None => table.required("port", "5432"),
    };
    value.and_then(|value| value.integer(1..=u16::MAX)).or(usual)
}

pub(super) fn read_trust(table: Table, section: &'static Section) -> TlsTrust {
    let Some(value) = table.value("trust") else { return TlsTrust::System };
    if !value.is_table() {
        let anything = value.choice(&[("system", false), ("anything", true)]);
        return if anything == Some(true) { TlsTrust::Anything } else { TlsTrust::System };
    }
    let file = value.table(section).required("file", "\"ca.pem\"");
    file.and_then(|file| file.path("ca.pem")).map_or(TlsTrust::System, TlsTrust::File)
}

fn warn_of_missing_name(table: Table, key: &str) {
    table.warning(
        "certificates will be checked for the endpoint's address, not for a name",
        format!("write {key} = \"www.example.com\", the name that the certificate is for"),
    );
}

pub(super) fn read_http_path(value: Value) -> Option<String> {
    let path = read_probe_text(value)?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        value.error(
            format!("{path:?} is no path of a request"),
            "begin with a slash, and write blanks and letters beyond ASCII as %XX",
        );
    }
    Some(path)
}

pub(super) fn read_host(value: Value) -> Option<String> {
    let host = value.text("www.example.com")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.len() > 253 || !host.chars().all(plain) {
        value.error(
            format!("{host:?} is no host name"),
            "write the name alone, such as \"www.example.com\", without scheme, port or path",
        );
    }
    Some(host.to_owned())
}

pub(super) fn read_probe_text(value: Value) -> Option<String> {
    let text = value.text("ok")?;
    if text.len() > PROBE_TEXT_OCTETS_MAX {
        let message = format!("the text has {} octets", text.len());
        value.error(message, format!("write at most {PROBE_TEXT_OCTETS_MAX}"));
    }
    Some(text.to_owned())
}

pub(super) fn read_status(value: Value) -> Option<Vec<u16>> {
    let list = value.filled_list("[200, 204]", CODES_MAX)?;
    Some(list.into_iter().filter_map(|value| value.integer(100..=599)).collect())
}

fn read_question_type(value: Value) -> Option<RecordType> {
    let text = value.text("A")?;
    match text.parse::<RecordType>() {
        Ok(rtype) if !rtype.is_meta() || rtype == RecordType::ANY => Some(rtype),
        _ => {
            value.error(
                format!("{text:?} is no type to ask for"),
                "write the type of a record, such as \"A\" or \"SOA\"",
            );
            None
        }
    }
}

fn read_rcodes(value: Value) -> Option<Vec<Rcode>> {
    const KNOWN: [(&str, Rcode); 6] = [
        ("NOERROR", Rcode::NOERROR),
        ("FORMERR", Rcode::FORMERR),
        ("SERVFAIL", Rcode::SERVFAIL),
        ("NXDOMAIN", Rcode::NXDOMAIN),
        ("NOTIMP", Rcode::NOTIMP),
        ("REFUSED", Rcode::REFUSED),
    ];
    let list = value.filled_list("[\"NOERROR\", \"NXDOMAIN\"]", CODES_MAX)?;
    Some(list.into_iter().filter_map(|value| value.choice(&KNOWN)).collect())
}

fn read_timeout(table: Table, interval: Duration) -> Duration {
    let default = (interval * 4 / 5).min(TIMEOUT_DEFAULT_MAX);
    let Some(value) = table.value("timeout") else { return default };
    let Some(timeout) = value.duration(TIMEOUT_MIN..=*INTERVAL.end()) else { return default };
    if timeout > interval {
        value.error(
            "the time-out is longer than the interval: a probe would begin before the last one ends",
            format!("write at most \"{}\", or a longer interval", write_duration(interval)),
        );
    }
    timeout
}

fn read_watch(table: Table, kind: &ProbeKind) -> bool {
    let has_connection = kind.uses_tcp();
    let Some(value) = table.value("watch") else { return has_connection };
    let watch = value.boolean().unwrap_or(has_connection);
    if watch && !has_connection && !matches!(kind, ProbeKind::Gauge(_) | ProbeKind::Composed(_)) {
        value.warning(
            "nothing is watched: this probe opens no connection",
            "leave it out, or write watch = false",
        );
    }
    watch && has_connection
}

fn read_thresholds(table: Table) -> Thresholds {
    let count = |key: &str, range, default: u8| {
        table.value(key).and_then(|value| value.integer(range)).unwrap_or(default)
    };
    let window = count("window", COUNT, 10);
    Thresholds {
        fall: count("fall", COUNT, 3),
        rise: count("rise", COUNT, 5),
        window,
        window_failures: count("window-failures", 1..=window, (window * 3).div_ceil(5)),
        together: count("together", COUNT, 10),
    }
}
