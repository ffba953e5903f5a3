//! `[probes.*]` that open no connection of their own: gauges that are pushed, and checks that are composed of other
//! probes. What is believed of them is in `config/probe.rs`, how they are judged in `health/check.rs`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::directory::Directory;
use crate::config::probe::{CHILDREN_MAX, Child, Composition, Gauge, Level, ProbeKind, Role};
use crate::config::table::{Section, Table};
use crate::config::value::Value;
use crate::ids::ProbeId;

pub(in crate::config) const GAUGE: Section =
    Section { path: "probes.*.gauge", keys: &["soft", "hard", "max-age"] };
pub(in crate::config) const AT_LEAST: Section = Section { path: "probes.*.at-least", keys: &["count", "of"] };
/// A part of any check, where it is more than a name.
pub(in crate::config) const PART: Section = Section { path: "probes.*.all.[]", keys: &["probe", "role"] };

const ROLES: [(&str, Role); 3] =
    [("vote", Role::Vote), ("must-pass", Role::MustPass), ("watch-only", Role::WatchOnly)];
/// What a gauge may show and its limits may be.
const LEVELS: RangeInclusive<f64> = -1e12..=1e12;
const AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const AGE_DEFAULT: Duration = Duration::from_secs(30);

/// Reads a gauge's limits.
pub(in crate::config) fn read_gauge(table: Table) -> Option<ProbeKind> {
    let limit = |key: &str, example: &str| {
        let value = table.required(key, example)?;
        Some((value, Level::of(value.number(LEVELS)?)))
    };
    let (soft, hard) = (limit("soft", "0.7"), limit("hard", "0.95"));
    let max_age = table.value("max-age").and_then(|value| value.duration(AGE)).unwrap_or(AGE_DEFAULT);
    let ((_, soft), (value, hard)) = (soft?, hard?);
    if soft == hard {
        value.error(
            "both limits are the same: nothing lies between usable and failing",
            "write a hard limit beyond the soft one; a lower one where less is worse",
        );
        return None;
    }
    Some(ProbeKind::Gauge(Gauge { soft, hard, max_age }))
}

/// Reads what a check is composed of: the value of `all`, `any`, `at-least` or `not`.
pub(in crate::config) fn read_composition(
    word: &str,
    value: Value,
    probes: &Directory<ProbeId>,
) -> Option<ProbeKind> {
    let (least, of) = match word {
        "not" => {
            let part = read_part(value, probes)?;
            if part.role != Role::Vote {
                value.error("what is negated cannot have a role", "write not = \"name\"");
            }
            (None, vec![part])
        }
        "at-least" => {
            let table = value.table(&AT_LEAST);
            let count = table.required("count", "2").and_then(|count| count.integer(1..=CHILDREN_MAX));
            let of = table.required("of", "[\"page\", \"database\"]").and_then(|of| read_parts(of, probes));
            (Some(count?), of?)
        }
        "any" => (Some(1), read_parts(value, probes)?),
        _ => (None, read_parts(value, probes)?),
    };
    let voting = of.iter().filter(|part| part.role == Role::Vote).count();
    let has_vote = of.iter().any(|part| part.role != Role::WatchOnly);
    if !has_vote {
        value.error("no part of the check has a vote", "leave role = \"watch-only\" out of one of them");
        return None;
    }
    if let (Some(least), "at-least") = (least, word)
        && least > voting
    {
        value.error(
            format!("{least} are wanted, and {voting} have a plain vote"),
            "write a smaller count; parts that must pass are not counted, nor those that are only watched",
        );
        return None;
    }
    Some(ProbeKind::Composed(Composition { least, of, negates: word == "not" }))
}

fn read_parts(value: Value, probes: &Directory<ProbeId>) -> Option<Vec<Child>> {
    let values = value.filled_list("[\"page\", \"database\"]", CHILDREN_MAX)?;
    let mut parts: Vec<Child> = Vec::new();
    let mut whole = true;
    for value in values {
        match read_part(value, probes) {
            Some(part) if parts.iter().any(|known| known.probe == part.probe) => {
                value.error("this probe is a part already", "leave it out here");
            }
            Some(part) => parts.push(part),
            None => whole = false,
        }
    }
    whole.then_some(parts)
}

/// The name of a probe, or a table with its role.
fn read_part(value: Value, probes: &Directory<ProbeId>) -> Option<Child> {
    if !value.is_table() {
        return Some(Child { probe: probes.resolve(value)?, role: Role::Vote });
    }
    let table = value.table(&PART);
    let role = table.value("role").and_then(|role| role.choice(&ROLES)).unwrap_or(Role::Vote);
    let probe = table.required("probe", "\"page\"").and_then(|probe| probes.resolve(probe))?;
    Some(Child { probe, role })
}
