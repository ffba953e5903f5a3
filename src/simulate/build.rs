//! Makes the generation that the servers of a world run, the way a configuration makes it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use super::sabotage::Bug;
use super::scenario::Scenario;
use crate::answer::compile_signed::Dnssec;
use crate::answer::maps::Databases;
use crate::config::generation::{Generation, assemble};
use crate::config::{self};
use crate::health::rules::{HALF, Ratio};
use crate::health::verdict::Share;
use crate::zone;

/// From the withdrawal of an endpoint to its first return.
pub(super) const HOLD: Duration = Duration::from_secs(30);
/// How long a probe waits.
pub(super) const TIMEOUT: Duration = Duration::from_millis(800);
/// TTLs, in seconds, when nothing is wrong and when something is in doubt.
pub(super) const TTL_STEADY: u32 = 30;
pub(super) const TTL_DOUBT: u32 = 5;

/// The address of a service's endpoint in a region.
pub(super) fn address(service: usize, region: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18 + (service >> 8) as u8, (service & 255) as u8, region as u8 + 1)
}

/// The service's region that an address stands for.
pub(super) fn region_of(address: [u8; 4]) -> usize {
    usize::from(address[3]) - 1
}

/// A client near a region; those of one group fall into different lots.
pub(super) fn client(region: usize, number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, region as u8, (number & 255) as u8, 1))
}

/// A client of the class that only the first two regions may serve.
pub(super) fn fenced_client() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 250, 0, 1))
}

/// How many regions the fenced class may be given.
pub(super) const FENCED: usize = 2;

/// The generation of a scenario, or one with a bug.
pub(super) fn generation(scenario: &Scenario, bug: Option<Bug>) -> Generation {
    let written = written(scenario, bug);
    let (config, warnings) =
        config::parse(&written, "world.toml").expect("the world's configuration is right");
    let zone = zone::read(
        &"example.com".parse().expect("a name"),
        Path::new("world.zone"),
        zone_text(scenario).as_bytes(),
        &mut |_| Err(std::io::ErrorKind::NotFound.into()),
    );
    let (zone, _) = zone.expect("the world's zone is right");
    let (databases, dnssec) = (Databases::default(), Dnssec::default());
    let assembled = assemble(config, Some(vec![zone]), databases, dnssec, Vec::new(), warnings);
    let (mut generation, _) = assembled.expect("the world's configuration is right");
    twist(&mut generation, bug);
    generation
}

fn zone_text(scenario: &Scenario) -> String {
    let mut text = "@ 60 SOA ns h 1 60 60 60 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n".to_owned();
    for service in 0..scenario.services {
        writeln!(text, "s{service} 60 A {}", address(service, 0)).expect("a string takes all");
    }
    text
}

fn written(scenario: &Scenario, bug: Option<Bug>) -> String {
    let names: Vec<String> = (0..scenario.regions).map(|region| format!("\"r{region}\"")).collect();
    let mut text = "[server]\nlisten = [\"127.0.0.1:5300\"]\n".to_owned();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    (0..scenario.regions)
        .for_each(|region| line(format!("[regions.r{region}]\nlocation = [0.0, {region}.0]")));
    (0..scenario.vantages).for_each(|vantage| line(format!("[vantages.v{vantage}]")));
    line("[probes.web.http]\npath = \"/\"\n[probes.web]\ntimeout = \"800ms\"".to_owned());
    line(format!("[maps.world]\norder = [{}]\n[maps.world.clients]", names.join(", ")));
    for region in 0..scenario.regions {
        let mut order = names.clone();
        order.rotate_left(region);
        line(format!("\"net:10.{region}.0.0/16\" = {{ regions = [{}] }}", order.join(", ")));
    }
    let fence = if bug == Some(Bug::FenceIgnored) { "none" } else { "hard" };
    let fenced = names[..FENCED.min(names.len())].join(", ");
    line(format!("\"net:10.250.0.0/16\" = {{ regions = [{fenced}], fence = \"{fence}\" }}"));
    line("[zones.\"example.com\"]\nfile = \"world.zone\"".to_owned());
    let hold = if bug == Some(Bug::NoHold) { "0s" } else { "30s" };
    let doubt = if bug == Some(Bug::LongTtlInDoubt) { TTL_STEADY } else { TTL_DOUBT };
    let when_all_down = if bug == Some(Bug::EmptyWhenDown) { "servfail" } else { "fail-open" };
    let manual = bug == Some(Bug::NeverBack) || scenario.manual_fail_back;
    let fail_back = if manual { "manual" } else { "auto" };
    for service in 0..scenario.services {
        line(format!(
            "[services.s{service}]\nnames = [\"s{service}.example.com\"]\nprobe = \"web\"\nmap = \"world\""
        ));
        line(format!("hold = \"{hold}\"\nramp = \"90s\"\nfail-back = \"{fail_back}\""));
        line(format!("ttl = {{ steady = \"{TTL_STEADY}s\", suspect = \"{doubt}s\", moved = \"10s\" }}"));
        line(format!("when-all-down = \"{when_all_down}\"\n[services.s{service}.regions]"));
        for region in 0..scenario.regions {
            line(format!("r{region} = [\"{}\"]", address(service, region)));
        }
    }
    text
}

/// Bugs that are knobs.
fn twist(generation: &mut Generation, bug: Option<Bug>) {
    let nothing = Ratio { numerator: 0, denominator: 1 };
    let rules = &mut generation.board.rules;
    match bug {
        Some(Bug::QuorumOfOne) => rules.quorum = Ratio { numerator: 1, denominator: 5 },
        Some(Bug::NobodyEligible) => rules.eligible = nothing,
        Some(Bug::StaleVotes) => rules.age_intervals = 100_000,
        Some(Bug::NoSpeedLimit) => {
            rules.speed.region_every = Duration::ZERO;
            rules.speed.capacity_every = Duration::ZERO;
            rules.speed.capacity = Ratio { numerator: 2, ..HALF };
        }
        Some(Bug::WholeRamp) => rules.ramp = vec![Share::WHOLE],
        Some(Bug::NoLoneWait) => rules.lone_wait = Duration::ZERO,
        Some(Bug::NoDamping) => rules.damping.fall = 0,
        _ => {}
    }
    for target in &mut generation.board.targets {
        match bug {
            Some(Bug::FallOfOne) => (target.thresholds.fall, target.thresholds.together) = (1, 0),
            Some(Bug::NoTogether) => target.thresholds.together = 0,
            _ => {}
        }
    }
}
