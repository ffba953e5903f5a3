//! Composed probes, gauges and shares from end to end: agents probe the parts, somebody tells a gauge, and a region that
//! is usable in part gets as many lots.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::world::{VANTAGES, World};

/// A page, a journey and a gauge together; a ping that is only watched.
const WHOLE: &str = r#"interval = "500ms"
[probes.walk.journey]
scheme = "http"
port = PORT
steps = [{ path = "/a" }, { method = "POST", path = "/b", body = "x" }]
[probes.walk]
interval = "1s"
[probes.ping]
icmp = true
[probes.load.gauge]
soft = 0.5
hard = 1.0
max-age = "10m"
[probes.whole]
all = ["web", "walk", "load", { probe = "ping", role = "watch-only" }]"#;

fn endpoint(world: &World, region: usize) -> Value {
    world.status().unwrap()["services"][0]["endpoints"][region].clone()
}

#[test]
fn a_region_gets_as_many_lots_as_its_gauge_leaves_usable() {
    let mut world = World::with_server_that_wants(WHOLE);
    VANTAGES.iter().for_each(|vantage| world.start_agent(vantage));
    sleep(Duration::from_secs(3));
    assert_eq!(world.states(), ["unknown"; 3], "the gauge was not told yet");

    let refused = world.post_gauges("*/www/* load 0.2\n*/www/* lod 0.2\n");
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("there are: load"), "{refused}");
    let told = world.post_gauges("*/www/* load 0.2 # all of them\n");
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("3 told"), "{told}");
    world.until("everything is up", |world| world.states() == ["up"; 3]);
    let parts = endpoint(&world, 0)["parts"].clone();
    let of = |probe: &str| {
        parts.as_array().unwrap().iter().find(|part| part["probe"] == probe).unwrap_or(&Value::Null).clone()
    };
    assert_eq!((&of("walk")["says"], &of("load")["says"]), (&"works".into(), &"works".into()), "{parts}");
    assert_eq!(of("ping")["role"], "watch-only", "{parts}");

    world.rhumb(&["gauge", "set", "eu-west/*/*", "load", "0.625"]);
    world.until("three quarters are usable", |world| endpoint(world, 0)["usable-percent"] == 75);
    assert_eq!(world.metric("rhumb_usable_share", &["region=\"eu-west\""]), 0.75);
    let failing = world.metric("rhumb_part_failing_vantages", &["probe=\"web\"", "role=\"vote\""]);
    assert_eq!(failing, 0.0);
    let (mut first, mut next) = (0, 0);
    for network in 0..48 {
        let client = format!("10.7.{network}.1");
        let told = world.rhumb(&["explain", "www.example.com", "A", "--client", &client]);
        assert!(told.contains("share 75%"), "{told}");
        first += u32::from(told.contains(" A 127.0.77.1") || told.contains("\t127.0.77.1"));
        next += u32::from(told.contains(" A 127.0.77.2") || told.contains("\t127.0.77.2"));
    }
    assert_eq!(first + next, 48, "each is answered by one of the two");
    assert!((24..=47).contains(&first), "{first} of 48 networks stay");

    world.until("a gauge beyond its limit withdraws", |world| {
        world.rhumb(&["gauge", "set", "eu-west/*/*", "load", "1.5"]);
        world.states() == ["down", "up", "up"]
    });
    let evidence = endpoint(&world, 0)["evidence"].as_str().unwrap().to_owned();
    assert!(evidence.contains("load: 1.5 where the limit is 1"), "{evidence}");

    world.backends[1].kill();
    world.until("a part that fails withdraws", |world| world.states() == ["down", "down", "up"]);
    let evidence = endpoint(&world, 1)["evidence"].as_str().unwrap().to_owned();
    // Two parts of it ask the same dead backend; the first that was believed is named.
    let named = ["web: connection refused", "walk: step 1, GET /a: connection refused"];
    assert!(named.iter().any(|part| evidence.contains(part)), "{evidence}");
    let labels = ["region=\"us-east\"", "probe=\"web\""];
    world.until("it is told which part", |world| world.metric("rhumb_part_failing_vantages", &labels) >= 2.0);
}
