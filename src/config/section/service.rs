//! `[services.*]`: the steered names.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::service_region::{Endpoints, read_regions};
use super::ttl::{TTL, read_ttl};
use crate::config::directory::Directory;
use crate::config::limit::{BINDINGS_MAX, FALLBACK_MAX, NAMES_MAX};
use crate::config::table::{Entry, Section, Table};
use crate::config::text::Span;
use crate::config::value::Value;
use crate::health::verdict::Share;
use crate::ids::{MapId, ProbeId, RegionId};
use crate::name::Name;
use crate::policy::service::{
    ADDRESSES_MAX, AnswerCount, AnswerKind, FailBack, Families, Service, WhenAllDown,
};
use crate::wire::code::RecordType;

/// What is believed of a service beyond what its answers need.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceDetails {
    /// How it comes back to a region that works again.
    pub fail_back: FailBack,
    /// How long the way back takes, from no lots to all of them.
    pub ramp: Duration,
    /// The record data of its HTTPS and SVCB records as written, for [`Config::bind`](crate::config::Config::bind).
    pub bindings: Vec<WrittenBinding>,
    /// Where it was written.
    pub span: Span,
    /// Where each of its names was written.
    pub name_spans: Vec<Span>,
    /// Where each of its regions was written.
    pub region_spans: Vec<Span>,
}

/// Record data in the form of a master file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBinding {
    /// `HTTPS` or `SVCB`.
    pub rtype: RecordType,
    /// Priority, target and parameters: "1 . alpn=h2".
    pub text: String,
    /// Where it was written.
    pub span: Span,
}

/// What a service may refer to.
#[derive(Debug)]
pub(in crate::config) struct Known<'a, 'd> {
    pub regions: &'a Directory<'d, RegionId>,
    pub probes: &'a Directory<'d, ProbeId>,
    pub maps: &'a Directory<'d, MapId>,
}

pub(in crate::config) const SERVICE: Section = Section {
    path: "services.*",
    keys: &[
        "names",
        "probe",
        "map",
        "regions",
        "answer",
        "answers",
        "https",
        "svcb",
        "threshold",
        "families",
        "fail-back",
        "hold",
        "ramp",
        "ttl",
        "when-all-down",
        "salt",
    ],
};
pub(in crate::config) const WHEN_ALL_DOWN: Section =
    Section { path: "services.*.when-all-down", keys: &["fallback"] };

/// Stands for a map that could not be read; there are never so many.
const NO_MAP: MapId = MapId(u16::MAX);
const SPAN_OF_RETURN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
const HOLD: Duration = Duration::from_secs(30);
const RAMP: Duration = Duration::from_secs(90);
const THRESHOLD: f64 = 0.5;

/// Reads one service. Its endpoints are numbered on from those in `endpoints`, its bindings are still empty.
pub(in crate::config) fn read_service(
    entry: &Entry,
    known: &Known,
    endpoints: &mut Endpoints,
) -> (Service, ServiceDetails) {
    let table = entry.value.table(&SERVICE);
    let names = read_names(table);
    let map =
        table.required("map", "\"world\"").and_then(|value| known.maps.resolve(value)).unwrap_or(NO_MAP);
    let probe = table.value("probe").and_then(|value| known.probes.resolve(value));
    let answers = [("addresses", AnswerKind::Addresses), ("cname", AnswerKind::Cname)];
    let families = [("together", Families::Together), ("independent", Families::Independent)];
    let answer = table.value("answer").and_then(|value| value.choice(&answers));
    let families = table.value("families").and_then(|value| value.choice(&families));
    endpoints.enter(entry.key, probe);
    let (regions, region_spans) = read_regions(table, known, endpoints).into_iter().unzip();
    let service = Service {
        name: entry.key.to_owned(),
        names: names.iter().map(|(name, _)| name.clone()).collect(),
        map,
        regions,
        answer: answer.unwrap_or(AnswerKind::Addresses),
        bindings: Vec::new(),
        count: table.value("answers").and_then(read_count).unwrap_or(AnswerCount::All),
        threshold: table.value("threshold").and_then(read_threshold).unwrap_or(Share::of_ratio(THRESHOLD)),
        families: families.unwrap_or(Families::Together),
        ttl: read_ttl(table.table("ttl", &TTL)),
        when_all_down: table
            .value("when-all-down")
            .and_then(read_when_all_down)
            .unwrap_or(WhenAllDown::FailOpen),
        salt: salt(table.value("salt").and_then(|value| value.text("blue")).unwrap_or(entry.key)),
    };
    let (fail_back, ramp) = read_return(table);
    let details = ServiceDetails {
        fail_back,
        ramp,
        bindings: read_bindings(table),
        span: entry.span,
        name_spans: names.into_iter().map(|(_, span)| span).collect(),
        region_spans,
    };
    (service, details)
}

/// The same number on every node and in every version: FNV-1a of 64 bits.
fn salt(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn read_names(table: Table) -> Vec<(Name, Span)> {
    let example = "[\"www.example.com\"]";
    let list = table.required("names", example).and_then(|value| value.filled_list(example, NAMES_MAX));
    list.unwrap_or_default().into_iter().filter_map(read_name).collect()
}

fn read_name(value: Value) -> Option<(Name, Span)> {
    let name: Name = value.parsed("www.example.com")?;
    let asterisks = crate::name::labels(name.as_wire()).skip(1).any(|label| label == b"*");
    if asterisks {
        value.error(
            format!("{name} has an asterisk behind its first label"),
            "only the first label can stand for any other: write \"*.example.com\"",
        );
    }
    Some((name, value.span))
}

fn read_count(value: Value) -> Option<AnswerCount> {
    const MOST: u8 = ADDRESSES_MAX as u8;
    match value.as_str() {
        Some("all") => Some(AnswerCount::All),
        Some(_) => {
            value.refuse_type("a number of addresses", &format!("\"all\" or a whole number from 1 to {MOST}"))
        }
        None => value.integer(1..=MOST).map(AnswerCount::AtMost),
    }
}

/// A ratio above 0 up to 1, or the same in per cent.
fn read_threshold(value: Value) -> Option<Share> {
    let ratio = match value.as_str() {
        Some(text) => text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok()).map(|n| n / 100.0),
        None => value.as_number(),
    };
    let share = ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).map(Share::of_ratio);
    let share = share.filter(|share| *share > Share::NONE);
    if share.is_none() {
        let help = match value.as_integer_text() {
            Some(number) if ratio.is_some_and(|ratio| (1.0..=100.0).contains(&ratio)) => {
                format!("write \"{number}%\" if per cent are meant")
            }
            _ => "write a number above 0 up to 1, or \"1%\" to \"100%\"".to_owned(),
        };
        value.error("this is no threshold", help);
    }
    share
}

fn read_when_all_down(value: Value) -> Option<WhenAllDown> {
    if !value.is_table() {
        let servfail = value.choice(&[("fail-open", false), ("servfail", true)])?;
        return Some(if servfail { WhenAllDown::Servfail } else { WhenAllDown::FailOpen });
    }
    let example = "[\"192.0.2.1\"]";
    let fallback = value.table(&WHEN_ALL_DOWN).required("fallback", example)?;
    let list = fallback.filled_list(example, FALLBACK_MAX)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for value in list {
        let Some(address) = super::service_region::read_address(value) else { continue };
        if addresses.contains(&address) {
            value.error(format!("{address} is listed twice"), "leave it out here");
        }
        addresses.push(address);
    }
    Some(WhenAllDown::Fallback(addresses))
}

fn read_return(table: Table) -> (FailBack, Duration) {
    let ways = [("auto", false), ("manual", true)];
    let manual = table.value("fail-back").and_then(|value| value.choice(&ways)).unwrap_or(false);
    let span = |key: &str, default| {
        table.value(key).and_then(|value| value.duration(SPAN_OF_RETURN)).unwrap_or(default)
    };
    let (hold, ramp) = (span("hold", HOLD), span("ramp", RAMP));
    if let (true, Some(value)) = (manual, table.value("hold")) {
        let help = "leave it out, or write fail-back = \"auto\"";
        value.warning("a hold means nothing where people decide when to come back", help);
    }
    (if manual { FailBack::Manual } else { FailBack::Automatic { hold } }, ramp)
}

fn read_bindings(table: Table) -> Vec<WrittenBinding> {
    let mut bindings = Vec::new();
    for (key, rtype) in [("https", RecordType::HTTPS), ("svcb", RecordType::SVCB)] {
        let list = table.value(key).and_then(|v| v.filled_list("[\"1 . alpn=h2\"]", BINDINGS_MAX));
        for value in list.unwrap_or_default() {
            let Some(text) = value.text("1 . alpn=h2") else { continue };
            bindings.push(WrittenBinding { rtype, text: text.to_owned(), span: value.span });
        }
    }
    bindings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published vectors of FNV-1a: a salt must not change with a new version, or every lot would move.
    #[test]
    fn salts_never_change() {
        assert_eq!(salt(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(salt("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(salt("foobar"), 0x8594_4171_f739_67e8);
    }
}
