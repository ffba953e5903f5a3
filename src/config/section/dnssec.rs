//! `[zones.*.dnssec]`: where the keys of a zone are and how it is signed by them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::limit::TTL_SECONDS_MAX;
use crate::config::table::Section;
use crate::config::text::Span;
use crate::config::value::Value;
use crate::dnssec::denial::{Denial, Nsec3};
use crate::dnssec::signer::Rules;

/// How a zone is signed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneKeys {
    /// The folder of its keys.
    pub folder: PathBuf,
    /// How it is signed by them.
    pub rules: Rules,
    /// Where it was written.
    pub span: Span,
}

pub(in crate::config) const DNSSEC: Section = Section {
    path: "zones.*.dnssec",
    keys: &["keys", "denial", "validity", "renew-before", "jitter", "dnskey-ttl"],
};

const DAY: Duration = Duration::from_secs(86_400);
/// For how long a signature holds, if nothing else is written.
const VALIDITY: Duration = Duration::from_secs(14 * 86_400);
/// How long before its end a signature is renewed, if nothing else is written: time for people to notice.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 86_400);
/// The TTL of DNSKEY, if nothing else is written.
const DNSKEY_TTL: Duration = Duration::from_secs(3600);
/// A signature holds at least so long: shorter, and clocks that differ by minutes break it.
const VALIDITY_MIN: Duration = Duration::from_secs(3600);
/// A signature holds at most so long: who replays it can do so no longer.
const VALIDITY_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Reads `[zones.*.dnssec]`.
pub(in crate::config) fn read_dnssec(value: Value) -> ZoneKeys {
    let table = value.table(&DNSSEC);
    let folder = table.required("keys", "\"keys\"").and_then(|value| value.path("keys")).unwrap_or_default();
    let denial = table
        .value("denial")
        .and_then(|value| value.choice(&[("nsec", false), ("nsec3", true)]))
        .map_or(Denial::Nsec, |hashed| if hashed { Denial::Nsec3(Nsec3::default()) } else { Denial::Nsec });
    let duration = |key: &str, least: Duration, most: Duration, default: Duration| {
        let written = table.value(key).and_then(|value| value.duration(least..=most));
        written.unwrap_or(default)
    };
    let validity = duration("validity", VALIDITY_MIN, VALIDITY_MAX, VALIDITY);
    let renew_before =
        duration("renew-before", Duration::from_secs(60), VALIDITY_MAX, RENEW_BEFORE.min(validity * 2 / 5));
    let jitter = duration("jitter", Duration::ZERO, VALIDITY_MAX, DAY.min(validity / 12));
    if renew_before + jitter > validity * 3 / 4 {
        table.error(
            "signatures would be renewed almost as soon as they are made",
            "let renew-before and jitter together be at most three quarters of validity",
        );
    }
    let ttl_max = Duration::from_secs(TTL_SECONDS_MAX);
    let dnskey_ttl = duration("dnskey-ttl", Duration::from_secs(1), ttl_max, DNSKEY_TTL);
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).expect("durations here are bounded");
    let rules = Rules {
        denial,
        validity: seconds(validity),
        renew_before: seconds(renew_before),
        jitter: seconds(jitter),
        dnskey_ttl: seconds(dnskey_ttl),
    };
    ZoneKeys { folder, rules, span: value.span }
}
