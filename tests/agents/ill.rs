//! Agents that know themselves that they are ill: their votes are void, and they say so.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use crate::world::{Backend, World, free_port, metric_at};

/// Agents at all three vantages; those of the first two must reach `control` to be believed, and show their metrics
/// at the ports.
fn world_with(control: &Backend) -> (World, [u16; 2]) {
    let mut world = World::with_server();
    let ports = [free_port(), free_port()];
    for (vantage, port) in ["dublin", "ashburn"].into_iter().zip(ports) {
        let lines = format!(
            "control-targets = [\"tcp://{}\"]\n[metrics]\nlisten = \"127.0.0.1:{port}\"",
            control.address
        );
        world.start_agent_with(vantage, "127.0.77.0/24", &lines);
    }
    world.start_agent("singapore");
    world.until("everything is up", |world| world.states() == ["up"; 3]);
    (world, ports)
}

#[test]
fn agents_whose_control_targets_fail_have_no_vote_until_they_pass_again() {
    let mut control = Backend::start((Ipv4Addr::new(127, 0, 77, 9), 0).into());
    let (mut world, ports) = world_with(&control);
    control.kill();
    let is_ill = |how| metric_at(ports[0], "rhumb_agent_ill", &[&format!("how=\"{how}\"")]);
    world.until("the agent knows that it is blind", |_| is_ill("blind") == 1.0);
    assert_eq!(is_ill("lagging"), 0.0);
    assert_eq!(metric_at(ports[0], "rhumb_agent_timeout_stretch", &[]), 2.0);
    world.until("the server knows it of both", |world| {
        world.read("server.log").matches("is blind: its control targets fail").count() == 2
    });

    world.backends[0].kill();
    world.until("they see it fail", |_| {
        ports.iter().all(|port| metric_at(*port, "rhumb_agent_probes_total", &["outcome=\"refused\""]) > 9.0)
    });
    assert_ne!(world.states()[0], "down", "one vantage of three is no quorum, and two are void");

    let _control = Backend::start(control.address);
    world.until("they see again, and it is withdrawn", |world| world.states() == ["down", "up", "up"]);
    assert_eq!(is_ill("blind"), 0.0);
}

#[test]
fn an_agent_tells_what_it_counts_and_that_it_was_held_up() {
    let control = Backend::start((Ipv4Addr::new(127, 0, 77, 9), 0).into());
    let (world, [port, _]) = world_with(&control);
    let count = |name, label| metric_at(port, name, &[label]);
    assert_eq!(count("rhumb_agent_targets", ""), 3.0);
    world.until("probes have passed", |_| count("rhumb_agent_probes_total", "outcome=\"pass\"") >= 3.0);
    world.until("reports were taken", |_| count("rhumb_agent_reports_total", "result=\"taken\"") >= 4.0);
    assert!(count("rhumb_agent_orders_age_seconds", "server=\"ns1\"") < 4.0);
    assert!(count("rhumb_certificate_expiry_timestamp_seconds", "") > 1.7e9);

    world.signal_agent("dublin", "STOP");
    sleep(Duration::from_secs(1));
    world.signal_agent("dublin", "CONT");
    world.until("it says that it was late", |_| count("rhumb_agent_ill", "how=\"lagging\"") == 1.0);
    world.until("it is on time again", |_| count("rhumb_agent_ill", "how=\"lagging\"") == 0.0);
    assert!(world.read("server.log").contains("is ill: it runs late itself"), "{}", world.logs());
    assert_eq!(world.states(), ["up"; 3]);
}
