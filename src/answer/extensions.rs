//! What the operator wants of the protocol's extensions, and what a reply gets of them: cookies, names of the server,
//! versions of zones, where to report errors. None of it depends on health; a reload makes it anew.

use std::net::IpAddr;

use super::limit::RateLimit;
use super::resolve::{Outcome, zone_of};
use super::respond::{Envelope, Transport};
use super::table::{AnswerTable, ZoneTop};
use crate::name::{labels, suffixes};
use crate::time::WallTime;
use crate::wire::code::{Class, Rcode};
use crate::wire::cookie::{CookieData, Secrets, Standing};
use crate::wire::edns::{Edns, Wishes};
use crate::wire::options::{Extras, ZoneVersion};
use crate::wire::query::Query;

/// What is in force.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// DNS cookies (RFC 7873); none are answered where this is absent.
    pub cookies: Option<Cookies>,
    /// What NSID tells (RFC 5001).
    pub nsid: Option<Box<[u8]>>,
    /// What CHAOS questions are told.
    pub chaos: Chaos,
    /// The agent that resolvers may report errors to, as it travels (RFC 9567).
    pub report_channel: Option<Box<[u8]>>,
    /// How long connections may be idle.
    pub keepalive: Keepalive,
    /// How many replies a network may have by UDP; as many as it likes where this is absent.
    pub rate_limit: Option<RateLimit>,
    /// How much longer than its query a reply by UDP may be.
    pub amplification: Amplification,
}

/// How many times longer than its query a reply by UDP may be, to who has not shown a cookie of ours: what somebody
/// gains who makes up the address of another. What is longer is truncated, and real clients come by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amplification {
    /// Where the answer is not signed.
    pub unsigned: u16,
    /// Where it is: to a query with DO, from a zone that is signed.
    pub signed: u16,
}

impl Default for Amplification {
    fn default() -> Self {
        Self { unsigned: 10, signed: 20 }
    }
}

/// How long a connection may be idle, in tenths of a second: each transport says what holds for itself (RFC 7828 section
/// 3.3.2). Over QUIC the option is forbidden (RFC 9250 section 5.5.2), and HTTP has its own means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// By TCP.
    pub tcp: u16,
    /// By TLS.
    pub tls: u16,
}

impl Keepalive {
    /// Nothing, and so the wish that the client closes, in the last reply that a connection has.
    fn of(self, envelope: Envelope) -> Option<u16> {
        let tenths = match envelope.transport {
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
            Transport::Udp | Transport::Https | Transport::Quic => return None,
        };
        Some(if envelope.is_last { 0 } else { tenths })
    }
}

/// How cookies are made and what they are needed for.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// What they are made with.
    pub secrets: Secrets,
    /// Whether a client that has cookies gets BADCOOKIE by UDP until it shows one of ours (RFC 7873 section 5.2.3).
    pub required: bool,
}

/// Answers in the class CHAOS; where there is none, the question is refused. Each is a text of at most 255 octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chaos {
    /// For id.server (RFC 4892) and hostname.bind.
    pub id: Option<Box<str>>,
    /// For version.server and version.bind.
    pub version: Option<Box<str>>,
}

/// What a reply gets beyond records, and what the query's cookie was worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'t> {
    pub(super) extras: Extras<'t>,
    pub(super) cookie: Option<Standing>,
}

impl Extensions {
    /// Whether a reply to this may have extras. Nearly every query says no, in a few instructions.
    #[inline]
    pub(super) fn may_give(&self, edns: &Edns<'_>) -> bool {
        edns.cookie.is_some() || !edns.wishes.is_none() || self.report_channel.is_some()
    }

    /// What a reply gets, but for what depends on its zone.
    #[cold]
    pub(super) fn give(&self, edns: &Edns<'_>, envelope: Envelope) -> Given<'_> {
        let judged = edns.cookie.and_then(|data| self.judge(data, envelope.source, envelope.at));
        let wished = |wish| edns.wishes.include(wish);
        Given {
            extras: Extras {
                cookie: judged.map(|(_, data)| data),
                nsid: self.nsid.as_deref().filter(|_| wished(Wishes::NSID)),
                zone_version: None,
                tcp_keepalive: self.keepalive.of(envelope).filter(|_| wished(Wishes::TCP_KEEPALIVE)),
                report_channel: self.report_channel.as_deref(),
                padded: wished(Wishes::PADDING) && envelope.transport.is_encrypted(),
            },
            cookie: judged.map(|(standing, _)| standing),
        }
    }

    fn judge(&self, data: &[u8], client: IpAddr, at: WallTime) -> Option<(Standing, CookieData)> {
        self.cookies.as_ref().map(|cookies| cookies.secrets.judge(data, client, at))
    }

    /// Whether a query whose cookie is worth so much is turned away: by TCP the address is proven already.
    pub(super) fn turns_away(&self, cookie: Option<Standing>, transport: Transport) -> bool {
        let required = self.cookies.as_ref().is_some_and(|cookies| cookies.required);
        required
            && transport == Transport::Udp
            && matches!(cookie, Some(Standing::ClientOnly | Standing::Invalid))
    }
}

/// The code of a reply to a query that is nothing but a cookie (RFC 7873 section 5.4).
pub(super) fn rcode_of_cookie(cookie: Option<Standing>) -> Rcode {
    match cookie {
        None => Rcode::FORMERR,
        Some(Standing::Invalid) => Rcode::BADCOOKIE,
        Some(Standing::ClientOnly | Standing::Valid) => Rcode::NOERROR,
    }
}

impl Given<'_> {
    /// For a reply that is no zone's answer: of errors in it nobody has to hear.
    #[must_use]
    pub(super) fn without_zone(mut self) -> Self {
        self.extras.report_channel = None;
        self
    }

    /// Adds and takes away what depends on the answer: only what a zone of ours leads to has a version, a referral out of
    /// it too, and an agent that errors are reported to. No zone names an agent that is found by way of itself (RFC 9567
    /// section 8.1): where the zone cannot be resolved, nobody could report that.
    #[cold]
    pub(super) fn fit(&mut self, table: &AnswerTable, query: &Query<'_>, outcome: &Outcome<'_>) {
        if outcome.rcode == Rcode::REFUSED || query.class != Class::IN {
            self.extras.report_channel = None;
            return;
        }
        let wished = query.edns.is_some_and(|edns| edns.wishes.include(Wishes::ZONEVERSION));
        if !wished && self.extras.report_channel.is_none() {
            return;
        }
        let zone = zone_of(&table.lead(query)).map(|zone| table.zone(zone));
        self.extras.zone_version = zone.filter(|_| wished).map(version_of);
        self.extras.report_channel = self
            .extras
            .report_channel
            .filter(|agent| zone.is_some_and(|zone| !suffixes(agent).any(|suffix| suffix == &*zone.apex)));
    }
}

fn version_of(zone: &ZoneTop) -> ZoneVersion {
    ZoneVersion { labels: labels(&zone.apex).count() as u8, serial: zone.serial }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reply_of_a_connection_asks_the_client_to_close_it() {
        let keepalive = Keepalive { tcp: 75, tls: 200 };
        let told = |transport, is_last| {
            keepalive.of(Envelope { source: [192, 0, 2, 1].into(), transport, at: WallTime(0), is_last })
        };
        let expected = [None, Some(75), Some(200), None, None];
        assert_eq!(Transport::ALL.map(|transport| told(transport, false)), expected);
        let expected = [None, Some(0), Some(0), None, None];
        assert_eq!(Transport::ALL.map(|transport| told(transport, true)), expected);
    }
}
