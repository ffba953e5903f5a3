//! Reports that are not what they should be: each is refused and counted by its reason, and what honest agents said
//! stands.

use std::time::Duration;

use rhumb::clock;
use rhumb::config::CertificateFiles;
use rhumb::credentials::{AgentSide, Contents};
use rhumb::exchange::REPORT_PATH;
use rhumb::exchange::order::TargetName;
use rhumb::exchange::report::{Head, REPORT_OCTETS_MAX, write};
use rhumb::health::outcome::{Failure, Outcome, Report, TargetReport};
use rhumb::health::verdict::Share;
use rhumb::ids::{TargetId, VantageId};

use crate::world::{VANTAGES, World};

/// What the endpoints of this test are probed at.
const INTERVAL: Duration = Duration::from_secs(2);

/// An agent in the hand of the test.
struct Forger<'w> {
    world: &'w World,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl<'w> Forger<'w> {
    /// One that has the certificate of `agent`, a file in the fleet's folder such as "dublin-1".
    fn new(world: &'w World, agent: &str) -> Self {
        let own = world.path(&format!("fleet/agents/{agent}.pem"));
        let files = CertificateFiles {
            key: own.with_extension("key"),
            certificate: own,
            authorities: vec![world.path("trust.pem")],
            revocations: Vec::new(),
        };
        let side = AgentSide::new(&Contents::read(&files).unwrap()).unwrap();
        let client = reqwest::Client::builder().tls_backend_preconfigured(side.config).no_proxy().build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { world, runtime, client: client.unwrap() }
    }

    /// The status that the server answers `octets` with.
    fn post(&self, octets: Vec<u8>) -> u16 {
        let url = format!("https://{}{REPORT_PATH}", self.world.agents_address());
        let sent = self.runtime.block_on(self.client.post(url).body(octets).send());
        sent.unwrap().status().as_u16()
    }

    fn refused(&self, reason: &str) -> f64 {
        self.world.metric("rhumb_reports_refused_total", &[&format!("reason=\"{reason}\"")])
    }
}

/// What an agent says that wants everything withdrawn.
fn slander(agent: &str, boot: u64, number: u64, clock: Duration) -> Vec<u8> {
    let outcome = |age| Outcome {
        age: Duration::from_millis(age),
        latency: Duration::ZERO,
        result: Err(Failure::Refused),
        usable: Share::WHOLE,
    };
    let targets = (0..3).map(|target| TargetReport {
        target: TargetId(target),
        newest: 1_000,
        outcomes: (0..16).rev().map(outcome).collect(),
    });
    let report = Report {
        vantage: VantageId(0),
        agent: 1,
        boot,
        number,
        control: Some(true),
        lagging: false,
        targets: targets.collect(),
    };
    let names: Vec<_> = (0..3).map(TargetName).collect();
    let head = Head { agent: agent.to_owned(), clock, control: Some(true), lagging: false };
    write(&report, &head, &names, Duration::ZERO)
}

#[test]
fn reports_that_are_not_what_they_should_be_are_refused_and_counted() {
    let world = World::probed("interval = \"2s\"");
    world.rhumb(&["cert", "issue", "fleet", "--agent", "dublin/2", "--agent", "atlantis"]);
    let forger = Forger::new(&world, "dublin-2");
    let at = Duration::from_secs;
    let table = world.metric("rhumb_generation", &[]);

    assert_eq!(forger.post(slander("dublin/2", 1, 10, at(1_000))), 204, "its own word it may say");
    for (what, octets, status, reason) in [
        ("replayed", slander("dublin/2", 1, 10, at(1_000)), 409, "old-number"),
        ("out of order", slander("dublin/2", 1, 9, at(1_000)), 409, "old-number"),
        ("dated ahead", slander("dublin/2", 1, 11, at(5_000)), 409, "future"),
        ("held up", slander("dublin/2", 1, 12, at(900)), 409, "late"),
        ("of another agent", slander("dublin/1", 1, 13, at(1_001)), 403, "other-agent"),
        ("of another vantage", slander("singapore/2", 1, 13, at(1_001)), 403, "other-agent"),
        ("no report", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400, "malformed"),
        ("cut short", slander("dublin/2", 1, 14, at(1_001))[..60].to_vec(), 400, "malformed"),
        ("too long", vec![0; REPORT_OCTETS_MAX + 1], 413, "too-long"),
    ] {
        let before = forger.refused(reason);
        assert_eq!(forger.post(octets), status, "{what}");
        assert_eq!(forger.refused(reason), before + 1.0, "{what}");
    }
    assert_eq!(forger.post(slander("dublin/2", 1, 15, at(1_001))), 204, "the honest ones are taken still");
    assert!(world.metric("rhumb_report_targets_unknown_total", &[]) >= 6.0);

    let foreign = Forger::new(&world, "atlantis-1");
    assert_eq!(foreign.post(slander("atlantis/1", 1, 1, at(1))), 403, "a vantage that is not configured");
    assert_eq!(foreign.refused("unknown-vantage"), 1.0);

    // What honest agents say stands within one interval, and no answer was ever another.
    let (ended, reports) = (clock::now(), VANTAGES.map(|vantage| world.reports(vantage)));
    world.until("every honest agent is heard again", |world| {
        VANTAGES.iter().zip(reports).all(|(vantage, before)| world.reports(vantage) > before)
    });
    assert_eq!(world.states(), ["up"; 3]);
    assert!(clock::now().since(ended) < INTERVAL, "{:?}", clock::now().since(ended));
    assert_eq!(world.metric("rhumb_generation", &[]), table);
    assert!(!world.read("server.log").contains("-> down"), "{}", world.logs());
}

#[test]
fn without_a_certificate_of_the_fleet_nobody_is_heard() {
    let world = World::with_server();
    world.rhumb(&["cert", "init", "strangers", "--server", "ns1=127.0.0.1", "--agent", "dublin"]);
    std::fs::copy(world.path("strangers/agents/dublin-1.pem"), world.path("fleet/agents/stranger.pem"))
        .unwrap();
    std::fs::copy(world.path("strangers/agents/dublin-1.key"), world.path("fleet/agents/stranger.key"))
        .unwrap();
    let stranger = Forger::new(&world, "stranger");
    let url = format!("https://{}{REPORT_PATH}", world.agents_address());
    let report = slander("dublin/1", 1, 1, Duration::from_secs(1));
    let sent = stranger.runtime.block_on(stranger.client.post(&url).body(report.clone()).send());
    assert!(sent.is_err(), "{sent:?}");
    world.until("it is counted", |world| {
        world.metric("rhumb_agents_refused_total", &["reason=\"unknown-authority\""]) >= 1.0
    });
    let nobody = reqwest::Client::builder().tls_backend_preconfigured(without_certificate(&world)).no_proxy();
    let sent = stranger.runtime.block_on(nobody.build().unwrap().post(&url).body(report).send());
    assert!(sent.is_err(), "{sent:?}");
    world.until("it is counted", |world| {
        world.metric("rhumb_agents_refused_total", &["reason=\"no-certificate\""]) >= 1.0
    });
    assert_eq!(world.reports("dublin"), 0.0);
}

/// Somebody who believes the server and shows nothing.
fn without_certificate(world: &World) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject;
    let authority = rustls::pki_types::CertificateDer::from_pem_file(world.path("trust.pem")).unwrap();
    let mut authorities = rustls::RootCertStore::empty();
    authorities.add(authority).unwrap();
    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth()
}
