//! `[maps.*]`: which regions suit which clients.

use std::collections::HashMap;

use crate::config::directory::Directory;
use crate::config::limit::{REGIONS_MAX, RULES_MAX};
use crate::config::suggest::nearest;
use crate::config::table::{Entry, Section};
use crate::config::text::Span;
use crate::config::value::Value;
use crate::ids::RegionId;
use crate::place::{Country, Subdivision};
use crate::policy::map::{Fence, Map, Matcher, Order, Rule};

pub(in crate::config) const MAP: Section = Section { path: "maps.*", keys: &["order", "clients"] };
pub(in crate::config) const RULE: Section =
    Section { path: "maps.*.clients.*", keys: &["regions", "order", "fence"] };

/// What stands before the colon of a matcher, with an example of the whole.
const MATCHERS: [(&str, &str); 5] = [
    ("net", "net:203.0.113.0/24"),
    ("asn", "asn:64500"),
    ("country", "country:IE"),
    ("subdivision", "subdivision:US-CA"),
    ("continent", "continent:EU"),
];
const FENCES: [(&str, Fence); 3] = [("none", Fence::None), ("prefer", Fence::Prefer), ("hard", Fence::Hard)];

/// A map and where its parts were written.
#[derive(Debug)]
pub(in crate::config) struct MapRead {
    pub map: Map,
    /// Its order, or the map where none was written.
    pub order_span: Span,
    /// One per rule.
    pub rule_spans: Vec<Span>,
}

/// Reads one map.
pub(in crate::config) fn read_map(entry: &Entry, regions: &Directory<RegionId>) -> MapRead {
    let map = Map { name: entry.key.to_owned(), order: Order::Listed(Vec::new()), rules: Vec::new() };
    let mut read = MapRead { map, order_span: entry.span, rule_spans: Vec::new() };
    let table = entry.value.table(&MAP);
    if let Some(value) = table.required("order", "\"nearest\"") {
        read.order_span = value.span;
        if let Some(order) = read_map_order(value, regions) {
            read.map.order = order;
        }
    }
    let mut seen = HashMap::new();
    for entry in table.entries("clients", RULES_MAX) {
        let Some(rule) = read_rule(&entry, regions) else { continue };
        if let Some(first) = seen.insert(rule.matcher, entry.span) {
            let help =
                format!("the other is on line {}; write one rule for both", entry.value.line_of(first));
            entry.error("another rule is for the same clients", help);
        }
        read.map.rules.push(rule);
        read.rule_spans.push(entry.span);
    }
    read
}

/// "nearest", "weighted", or regions in their order.
fn read_map_order(value: Value, regions: &Directory<RegionId>) -> Option<Order> {
    if value.is_array() {
        return read_regions(value, regions).map(Order::Listed);
    }
    let weighted = value.choice(&[("nearest", false), ("weighted", true)])?;
    Some(if weighted { Order::Weighted } else { Order::Nearest })
}

fn read_rule(entry: &Entry, regions: &Directory<RegionId>) -> Option<Rule> {
    let matcher = read_matcher(entry);
    let table = entry.value.table(&RULE);
    let named = table.required("regions", "[\"eu-west\"]").and_then(|value| read_regions(value, regions));
    let orders = [("listed", None), ("nearest", Some(false)), ("weighted", Some(true))];
    let weighted = table.value("order").and_then(|value| value.choice(&orders)).flatten();
    let fence = table.value("fence").and_then(|value| value.choice(&FENCES));
    Some(Rule {
        matcher: matcher?,
        regions: named.unwrap_or_default(),
        order: weighted.map(|weighted| if weighted { Order::Weighted } else { Order::Nearest }),
        fence: fence.unwrap_or(Fence::None),
    })
}

/// A list of distinct regions, at least one.
fn read_regions(value: Value, regions: &Directory<RegionId>) -> Option<Vec<RegionId>> {
    let mut named = Vec::new();
    for value in value.filled_list("[\"eu-west\", \"us-east\"]", REGIONS_MAX)? {
        let Some(region) = regions.resolve(value) else { continue };
        if named.contains(&region) {
            value.error("the region is listed twice", "leave it out here");
        }
        named.push(region);
    }
    Some(named)
}

fn read_matcher(entry: &Entry) -> Option<Matcher> {
    let matcher = parse_matcher(entry.key);
    if let Err((message, help)) = &matcher {
        entry.error(message, help);
    }
    matcher.ok()
}

/// The clients that a key names; otherwise what is wrong, and what would be right.
fn parse_matcher(key: &str) -> Result<Matcher, (String, String)> {
    if key == "default" {
        return Ok(Matcher::Default);
    }
    let (kind, rest) = key.split_once(':').unwrap_or((key, ""));
    let fault = |fault: String| match fault.split_once("; ") {
        Some((message, help)) => (message.to_owned(), help.replacen('"', &format!("\"{kind}:"), 1)),
        None => (fault, String::new()),
    };
    match kind {
        "net" => rest.parse().map(Matcher::Network).map_err(|e| fault(format!("{e}"))),
        "country" => rest.parse().map(Matcher::Country).map_err(|e| fault(format!("{e}"))),
        "continent" => rest.parse().map(Matcher::Continent).map_err(|e| fault(format!("{e}"))),
        "asn" => parse_asn(rest).ok_or_else(|| {
            (format!("{rest:?} is no AS number"), "write the number alone, such as \"asn:64500\"".to_owned())
        }),
        "subdivision" => parse_subdivision(rest).ok_or_else(|| {
            let message = format!("{rest:?} is no subdivision of ISO 3166-2");
            (message, "write country and subdivision, such as \"subdivision:US-CA\"".to_owned())
        }),
        _ => Err((format!("{key:?} names no clients"), matcher_meant(kind, rest))),
    }
}

fn parse_asn(text: &str) -> Option<Matcher> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(Matcher::Asn)
}

fn parse_subdivision(text: &str) -> Option<Matcher> {
    let (country, subdivision) = text.split_once('-')?;
    Some(Matcher::Subdivision(country.parse::<Country>().ok()?, subdivision.parse::<Subdivision>().ok()?))
}

fn matcher_meant(kind: &str, rest: &str) -> String {
    let kinds = MATCHERS.iter().map(|(kind, _)| *kind);
    match nearest(kind, kinds.chain(["default"])) {
        Some("default") => "write \"default\"".to_owned(),
        Some(meant) if !rest.is_empty() => format!("write \"{meant}:{rest}\""),
        _ => {
            let examples: Vec<_> = MATCHERS.iter().map(|(_, example)| format!("{example:?}")).collect();
            format!("write {} or \"default\"", examples.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_canonical() {
        assert_eq!(parse_matcher("net:::ffff:192.0.2.0/120"), parse_matcher("net:192.0.2.0/24"));
        assert_eq!(parse_matcher("country:ie"), parse_matcher("country:IE"));
        assert_eq!(parse_matcher("subdivision:us-ca"), parse_matcher("subdivision:US-CA"));
        assert_eq!(parse_matcher("default"), Ok(Matcher::Default));
    }

    #[test]
    fn a_wrong_matcher_is_set_right() {
        for (key, meant) in [
            ("net:192.0.2.1/24", "write \"net:192.0.2.0/24\""),
            ("contry:IE", "write \"country:IE\""),
            ("country:IRL", "write two letters of ISO 3166-1, such as \"country:IE\""),
            ("net:here", "write a network such as \"net:203.0.113.0/24\""),
            ("asn:AS64500", "write the number alone, such as \"asn:64500\""),
            ("asn:+1", "write the number alone, such as \"asn:64500\""),
            ("asn:4294967296", "write the number alone, such as \"asn:64500\""),
            ("subdivision:CA", "write country and subdivision, such as \"subdivision:US-CA\""),
            ("defaults", "write \"default\""),
        ] {
            assert_eq!(parse_matcher(key).unwrap_err().1, meant, "{key}");
        }
    }
}
