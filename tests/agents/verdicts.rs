//! What comes of what agents see.

use std::thread::sleep;
use std::time::Duration;

use rhumb::clock;

use crate::world::World;

#[test]
fn a_backend_that_dies_is_withdrawn_by_the_quorum() {
    let mut world = World::whole();
    let killed = clock::now();
    world.backends[0].kill();
    world.until("it is withdrawn", |world| world.states() == ["down", "up", "up"]);
    let took = clock::now().since(killed);
    println!("withdrawn after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let status = world.status().unwrap();
    let evidence = status["services"][0]["endpoints"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("of 3 vantages fail"), "{evidence}");
}

#[test]
fn an_agent_that_stalls_withdraws_nothing_and_its_late_word_does_not_count() {
    let world = World::whole();
    world.signal_agent("singapore", "STOP");
    sleep(Duration::from_secs(8));
    assert_eq!(world.states(), ["up"; 3]);
    world.signal_agent("singapore", "CONT");
    world.until_heard("singapore");
    sleep(Duration::from_secs(1));
    assert_eq!(world.states(), ["up"; 3]);
    assert!(!world.read("server.log").contains("-> down"), "{}", world.logs());
}

#[test]
fn two_of_three_agents_are_enough_and_one_is_not() {
    let mut world = World::whole();
    world.stop_agent("dublin");
    sleep(Duration::from_secs(5));
    world.backends[1].kill();
    world.until("two vantages withdraw it", |world| world.states() == ["up", "down", "up"]);
    world.stop_agent("ashburn");
    sleep(Duration::from_secs(5));
    world.backends[2].kill();
    sleep(Duration::from_secs(3));
    assert_ne!(world.states()[2], "down", "one vantage of three freezes everything");
}

#[test]
fn a_server_that_restarts_finds_its_agents_again_and_withdraws_nothing() {
    let mut world = World::whole();
    world.start_server();
    for vantage in crate::world::VANTAGES {
        world.until_heard(vantage);
    }
    world.until("everything is up", |world| world.states() == ["up"; 3]);
    assert!(!world.read("server.log").contains("-> down"), "{}", world.logs());
}

#[test]
fn an_agent_probes_only_what_it_is_permitted_to() {
    let mut world = World::with_server();
    for vantage in crate::world::VANTAGES {
        world.start_agent_allowed(vantage, "127.0.77.2/31");
    }
    world.until("the permitted ones are up", |world| world.states()[1..] == ["up"; 2]);
    sleep(Duration::from_secs(2));
    assert_eq!(world.states(), ["unknown", "up", "up"]);
    assert!(world.read("dublin.log").contains("does not permit"), "{}", world.logs());
}

#[test]
fn agents_follow_a_reload() {
    let world = World::whole();
    let slower = world.read("rhumb.toml").replace("500ms", "400ms");
    world.write("rhumb.toml", &slower);
    world.rhumb(&["reload"]);
    for vantage in crate::world::VANTAGES {
        world.until_heard(vantage);
    }
    world.until("everything is up", |world| world.states() == ["up"; 3]);
    assert_eq!(world.metric("rhumb_configuration", &[]), 2.0);
    assert!(world.read("dublin.log").matches("new orders").count() >= 2, "{}", world.logs());
}

#[test]
fn what_one_agent_sees_fail_the_others_probe_at_once_though_their_turn_is_far() {
    let mut world = World::probed("interval = \"10s\"\ntimeout = \"1s\"\nwatch = false");
    world.backends[0].kill();
    world.until("the first agent sees it", |world| world.states()[0] != "up");
    let seen = clock::now();
    world.until("all have looked", |world| world.states()[0] == "down");
    println!("from the first doubt to the withdrawal: {:?}", clock::now().since(seen));
    assert!(clock::now().since(seen) < Duration::from_secs(2), "{:?}", clock::now().since(seen));
}
