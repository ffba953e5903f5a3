//! `[probes.*]`: how endpoints are tested. What is believed of them is in `config/probe.rs`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::duration::write_duration;
use crate::config::limit::{CODES_MAX, PROBE_TEXT_OCTETS_MAX};
use crate::config::probe::{DnsProbe, HttpProbe, Probe, ProbeKind, TlsProbe, TlsTrust};
use crate::config::value::{Entry, Findings, Section, Table, Value};
use crate::health::streak::Thresholds;
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
        "interval",
        "timeout",
        "fall",
        "rise",
        "window",
        "window-failures",
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
const KINDS: [&str; 6] = ["http", "https", "tcp", "tls", "dns", "file"];
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Without a time-out of its own a probe has four fifths of its interval, but no longer than this.
const TIMEOUT_DEFAULT_MAX: Duration = Duration::from_secs(2);
/// Outcomes in a row, and outcomes in the window.
const COUNT: RangeInclusive<u8> = 1..=64;

/// Reads one probe.
pub(in crate::config) fn read_probe(entry: &Entry, findings: &mut Findings) -> Probe {
    let table = entry.value.table(&PROBE, findings);
    let interval = table
        .and_then(|table| table.value("interval"))
        .and_then(|value| value.duration(INTERVAL, findings))
        .unwrap_or(INTERVAL_DEFAULT);
    let kind = table.and_then(|table| read_kind(table, findings));
    let kind = kind.unwrap_or(ProbeKind::Tcp { port: 0 });
    Probe {
        name: entry.key.to_owned(),
        interval,
        timeout: read_timeout(table.and_then(|table| table.value("timeout")), interval, findings),
        watch: read_watch(table.and_then(|table| table.value("watch")), &kind, findings),
        thresholds: read_thresholds(table, findings),
        kind,
    }
}

/// The one key that says what is done.
fn read_kind(probe: Table, findings: &mut Findings) -> Option<ProbeKind> {
    let written: Vec<_> =
        KINDS.iter().filter_map(|kind| probe.value(kind).map(|value| (*kind, value))).collect();
    let all = KINDS.join(", ");
    let Some(&(kind, value)) = written.first() else {
        findings.error(probe.span(), "the probe does not say what to do", format!("write one of {all}"));
        return None;
    };
    for (other, value) in &written[1..] {
        findings.error(
            value.span(),
            format!("a probe does one thing, and this one has {kind:?} already"),
            format!("leave {other:?} out, or make it a probe of its own"),
        );
    }
    match kind {
        "http" => value.table(&HTTP, findings).map(|table| read_http(table, None, findings)),
        "https" => value.table(&HTTPS, findings).map(|table| read_https(table, findings)),
        "tcp" => value
            .table(&TCP, findings)
            .and_then(|table| read_port(table, None, findings))
            .map(|port| ProbeKind::Tcp { port }),
        "tls" => value.table(&TLS, findings).map(|table| read_tls(table, findings)),
        "dns" => value.table(&DNS, findings).and_then(|table| read_dns(table, findings)),
        _ => value.path("health.state", findings).map(|path| ProbeKind::File { path }),
    }
}

fn read_http(table: Table, tls: Option<TlsTrust>, findings: &mut Findings) -> ProbeKind {
    let port = if tls.is_some() { 443 } else { 80 };
    ProbeKind::Http(HttpProbe {
        port: read_port(table, Some(port), findings).unwrap_or(port),
        path: table
            .value("path")
            .and_then(|value| read_http_path(value, findings))
            .unwrap_or_else(|| "/".to_owned()),
        host: table.value("host").and_then(|value| read_host(value, findings)),
        status: table
            .value("status")
            .and_then(|value| read_status(value, findings))
            .unwrap_or_else(|| vec![200]),
        body_contains: table.value("body-contains").and_then(|value| read_probe_text(value, findings)),
        tls,
    })
}

fn read_https(table: Table, findings: &mut Findings) -> ProbeKind {
    let trust = read_trust(table, &TRUST, findings);
    if trust != TlsTrust::Anything && table.value("host").is_none() {
        warn_of_missing_name(table, "host", findings);
    }
    read_http(table, Some(trust), findings)
}

fn read_tls(table: Table, findings: &mut Findings) -> ProbeKind {
    let trust = read_trust(table, &TLS_TRUST, findings);
    if trust != TlsTrust::Anything && table.value("server-name").is_none() {
        warn_of_missing_name(table, "server-name", findings);
    }
    ProbeKind::Tls(TlsProbe {
        port: read_port(table, Some(443), findings).unwrap_or(443),
        server_name: table.value("server-name").and_then(|value| read_host(value, findings)),
        trust,
    })
}

fn read_dns(table: Table, findings: &mut Findings) -> Option<ProbeKind> {
    let name = table.required("name", "\"example.com\"", findings);
    let rtype = table.value("type").and_then(|value| read_question_type(value, findings));
    let rcodes = table.value("rcodes").and_then(|value| read_rcodes(value, findings));
    let flag = |key: &str, default, findings: &mut Findings| {
        table.value(key).and_then(|value| value.boolean(findings)).unwrap_or(default)
    };
    Some(ProbeKind::Dns(DnsProbe {
        port: read_port(table, Some(53), findings).unwrap_or(53),
        answer_required: flag("answer-required", true, findings),
        tcp: flag("tcp", false, findings),
        name: name.and_then(|value| value.parsed("example.com", findings))?,
        rtype: rtype.unwrap_or(RecordType::A),
        rcodes: rcodes.unwrap_or_else(|| vec![Rcode::NOERROR]),
    }))
}

/// The port; without a usual one it must be written.
fn read_port(table: Table, usual: Option<u16>, findings: &mut Findings) -> Option<u16> {
    let value = match usual {
        Some(_) => table.value("port"),
        None => table.required("port", "5432", findings),
    };
    value.and_then(|value| value.integer(1..=u16::MAX, findings)).or(usual)
}

fn read_trust(table: Table, section: &'static Section, findings: &mut Findings) -> TlsTrust {
    let Some(value) = table.value("trust") else { return TlsTrust::System };
    if !value.is_table() {
        let words = [("system", false), ("anything", true)];
        return match value.choice(&words, findings) {
            Some(true) => TlsTrust::Anything,
            _ => TlsTrust::System,
        };
    }
    let file =
        value.table(section, findings).and_then(|trust| trust.required("file", "\"ca.pem\"", findings));
    file.and_then(|file| file.path("ca.pem", findings)).map_or(TlsTrust::System, TlsTrust::File)
}

fn warn_of_missing_name(table: Table, key: &str, findings: &mut Findings) {
    findings.warning(
        table.span(),
        "certificates will be checked for the endpoint's address, not for a name",
        format!("write {key} = \"www.example.com\", the name that the certificate is for"),
    );
}

fn read_http_path(value: Value, findings: &mut Findings) -> Option<String> {
    let path = read_probe_text(value, findings)?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        findings.error(
            value.span(),
            format!("{path:?} is no path of a request"),
            "begin with a slash, and write blanks and letters beyond ASCII as %XX",
        );
    }
    Some(path)
}

fn read_host(value: Value, findings: &mut Findings) -> Option<String> {
    let host = value.text("www.example.com", findings)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.len() > 253 || !host.chars().all(plain) {
        findings.error(
            value.span(),
            format!("{host:?} is no host name"),
            "write the name alone, such as \"www.example.com\", without scheme, port or path",
        );
    }
    Some(host.to_owned())
}

fn read_probe_text(value: Value, findings: &mut Findings) -> Option<String> {
    let text = value.text("ok", findings)?;
    if text.len() > PROBE_TEXT_OCTETS_MAX {
        let message = format!("the text has {} octets", text.len());
        findings.error(value.span(), message, format!("write at most {PROBE_TEXT_OCTETS_MAX}"));
    }
    Some(text.to_owned())
}

fn read_status(value: Value, findings: &mut Findings) -> Option<Vec<u16>> {
    let list = value.filled_list("[200, 204]", CODES_MAX, findings)?;
    Some(list.into_iter().filter_map(|value| value.integer(100..=599, findings)).collect())
}

fn read_question_type(value: Value, findings: &mut Findings) -> Option<RecordType> {
    let text = value.text("A", findings)?;
    match text.parse::<RecordType>() {
        Ok(rtype) if !rtype.is_meta() || rtype == RecordType::ANY => Some(rtype),
        _ => {
            findings.error(
                value.span(),
                format!("{text:?} is no type to ask for"),
                "write the type of a record, such as \"A\" or \"SOA\"",
            );
            None
        }
    }
}

fn read_rcodes(value: Value, findings: &mut Findings) -> Option<Vec<Rcode>> {
    const KNOWN: [(&str, Rcode); 6] = [
        ("NOERROR", Rcode::NOERROR),
        ("FORMERR", Rcode::FORMERR),
        ("SERVFAIL", Rcode::SERVFAIL),
        ("NXDOMAIN", Rcode::NXDOMAIN),
        ("NOTIMP", Rcode::NOTIMP),
        ("REFUSED", Rcode::REFUSED),
    ];
    let list = value.filled_list("[\"NOERROR\", \"NXDOMAIN\"]", CODES_MAX, findings)?;
    Some(list.into_iter().filter_map(|value| value.choice(&KNOWN, findings)).collect())
}

fn read_timeout(value: Option<Value>, interval: Duration, findings: &mut Findings) -> Duration {
    let default = (interval * 4 / 5).min(TIMEOUT_DEFAULT_MAX);
    let Some(value) = value else { return default };
    let Some(timeout) = value.duration(TIMEOUT_MIN..=*INTERVAL.end(), findings) else { return default };
    if timeout > interval {
        findings.error(
            value.span(),
            "the time-out is longer than the interval: a probe would begin before the last one ends",
            format!("write at most \"{}\", or a longer interval", write_duration(interval)),
        );
    }
    timeout
}

fn read_watch(value: Option<Value>, kind: &ProbeKind, findings: &mut Findings) -> bool {
    let has_connection = match kind {
        ProbeKind::Http(_) | ProbeKind::Tcp { .. } | ProbeKind::Tls(_) => true,
        ProbeKind::Dns(dns) => dns.tcp,
        ProbeKind::File { .. } => false,
    };
    let Some(value) = value else { return has_connection };
    let watch = value.boolean(findings).unwrap_or(has_connection);
    if watch && !has_connection {
        findings.warning(
            value.span(),
            "nothing is watched: this probe opens no connection",
            "leave it out, or write watch = false",
        );
    }
    watch && has_connection
}

fn read_thresholds(table: Option<Table>, findings: &mut Findings) -> Thresholds {
    let mut count = |key: &str, range: RangeInclusive<u8>, default: u8| {
        let value = table.and_then(|table| table.value(key));
        value.and_then(|value| value.integer(range, findings)).unwrap_or(default)
    };
    let (fall, rise, window) = (count("fall", COUNT, 3), count("rise", COUNT, 5), count("window", COUNT, 20));
    let window_failures = count("window-failures", 1..=window, window.div_ceil(2));
    Thresholds { fall, rise, window, window_failures }
}
