//! What stands below `[server]` of the protocol's extensions: cookies, names of the server, error reports, limits of rate.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::answer::extensions::{Amplification, Chaos};
use crate::answer::limit::{CREDIT_MAX, RateLimit};
use crate::config::limit::EXEMPT_MAX;
use crate::config::table::{Section, Table};
use crate::config::text::Span;
use crate::config::value::Value;
use crate::name::Name;

/// What is wanted of the protocol's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// DNS cookies.
    pub cookies: Cookies,
    /// What NSID tells.
    pub nsid: Option<String>,
    /// What CHAOS questions are told.
    pub chaos: Chaos,
    /// The agent that resolvers may report errors to, and where it was written.
    pub error_reports: Option<(Name, Span)>,
    /// How many replies a network may have by UDP.
    pub rate_limit: Option<RateLimit>,
    /// How much longer than its query a reply by UDP may be.
    pub amplification: Amplification,
}

/// How DNS cookies are made and what they are needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether they are answered at all.
    pub answer: bool,
    /// Whether clients that have cookies must show a good one by UDP.
    pub required: bool,
    /// The file of secrets, with its place in the configuration; the server makes one up where there is none.
    pub secrets: Option<(PathBuf, Span)>,
}

pub(in crate::config) const COOKIES: Section =
    Section { path: "server.cookies", keys: &["answer", "secrets", "required"] };
pub(in crate::config) const CHAOS: Section = Section { path: "server.chaos", keys: &["id", "version"] };
pub(in crate::config) const RATE_LIMIT: Section =
    Section { path: "server.rate-limit", keys: &["replies-per-second", "burst-seconds", "slip", "exempt"] };
pub(in crate::config) const AMPLIFICATION: Section =
    Section { path: "server.amplification", keys: &["unsigned", "signed"] };

/// How many times longer than its query a reply may be allowed to be: at least room for OPT with a cookie, at most what
/// any query's length makes more than a packet.
const TIMES: RangeInclusive<u16> = 2..=100;

/// The longest text of a TXT record's string, and of NSID for it to be worth its room.
const TEXT_OCTETS_MAX: usize = 255;
const NSID_OCTETS_MAX: usize = 64;
/// A name of an agent leaves room for the labels that a report puts before it (RFC 9567 section 6.1.1).
const AGENT_OCTETS_MAX: usize = 128;

/// Reads what `[server]` says of them.
pub(in crate::config) fn read_extensions(server: Table) -> Extensions {
    let chaos = server.table("chaos", &CHAOS);
    let text = |key: &str| {
        chaos
            .value(key)
            .and_then(|value| read_text(value, "ns1", TEXT_OCTETS_MAX))
            .map(String::into_boxed_str)
    };
    Extensions {
        cookies: read_cookies(server.table("cookies", &COOKIES)),
        nsid: server.value("nsid").and_then(|value| read_text(value, "ns1", NSID_OCTETS_MAX)),
        chaos: Chaos { id: text("id"), version: text("version") },
        error_reports: server.value("error-reports").and_then(read_agent),
        rate_limit: server.value("rate-limit").and_then(|value| read_rate_limit(value.table(&RATE_LIMIT))),
        amplification: read_amplification(server.table("amplification", &AMPLIFICATION)),
    }
}

fn read_amplification(table: Table) -> Amplification {
    let times =
        |key: &str, default| table.value(key).and_then(|value| value.integer(TIMES)).unwrap_or(default);
    let default = Amplification::default();
    Amplification { unsigned: times("unsigned", default.unsigned), signed: times("signed", default.signed) }
}

fn read_cookies(table: Table) -> Cookies {
    let flag = |key: &str, default| table.value(key).and_then(|value| value.boolean()).unwrap_or(default);
    let cookies = Cookies {
        answer: flag("answer", true),
        required: flag("required", false),
        secrets: table.value("secrets").and_then(|value| Some((value.path("cookie.secrets")?, value.span))),
    };
    if cookies.required
        && !cookies.answer
        && let Some(value) = table.value("required")
    {
        value.error("cookies are required but not answered", "leave out \"answer = false\"");
    }
    cookies
}

fn read_text(value: Value, example: &str, most: usize) -> Option<String> {
    let text = value.text(example)?;
    if text.len() > most {
        value.error(format!("the text has {} octets", text.len()), format!("write at most {most} octets"));
        return None;
    }
    Some(text.to_owned())
}

fn read_agent(value: Value) -> Option<(Name, Span)> {
    let name: Name = value.parsed("reports.example.net")?;
    if name == Name::root() || name.as_wire().len() > AGENT_OCTETS_MAX {
        value.error(
            format!("{name} cannot be reported to"),
            format!("write a name below the root of at most {AGENT_OCTETS_MAX} octets, such as \"reports.example.net\""),
        );
        return None;
    }
    Some((name, value.span))
}

fn read_rate_limit(table: Table) -> Option<RateLimit> {
    let number = |key: &str, range| table.value(key).and_then(|value| value.integer(range));
    let per_second =
        table.required("replies-per-second", "200").and_then(|value| value.integer(1..=CREDIT_MAX));
    let exempt = table.value("exempt").and_then(|value| value.list("[\"192.0.2.0/24\"]", EXEMPT_MAX));
    Some(RateLimit {
        burst_seconds: number("burst-seconds", 1..=60).unwrap_or(5),
        slip: number("slip", 0..=1000).unwrap_or(2),
        exempt: exempt.into_iter().flatten().filter_map(|value| value.parsed("192.0.2.0/24")).collect(),
        per_second: per_second?,
    })
}
