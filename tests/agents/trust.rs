//! Certificates that are revoked, renewed or of a new authority, while all processes run on.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rhumb::clock;

use crate::world::{VANTAGES, World};

#[test]
fn a_revoked_agent_is_cut_off_at_once_and_comes_back_with_a_new_certificate() {
    let world = World::whole();
    world.until_heard("dublin");
    world.rhumb(&["cert", "revoke", "fleet", "dublin/1"]);
    let revoked = clock::now();
    world.until("it is cut off", |world| {
        world.metric("rhumb_agents_refused_total", &["reason=\"revoked\""]) >= 1.0
    });
    println!("cut off after {:?}", clock::now().since(revoked));
    assert!(clock::now().since(revoked) < Duration::from_secs(3));
    let before = world.reports("dublin");
    sleep(Duration::from_secs(2));
    assert_eq!(world.reports("dublin"), before, "it is heard no more");
    assert_eq!(world.states(), ["up"; 3]);

    world.rhumb(&["cert", "renew", "fleet", "dublin/1"]);
    replace(&world, "fleet/agents/dublin-1", "dublin");
    world.until_heard("dublin");
}

#[test]
fn an_authority_is_exchanged_without_a_restart() {
    let world = World::whole();
    let mut arguments = vec!["cert", "init", "next", "--server", "ns1=127.0.0.1"];
    let agents: Vec<String> = VANTAGES.iter().map(|vantage| format!("--agent={vantage}")).collect();
    arguments.extend(agents.iter().map(String::as_str));
    world.rhumb(&arguments);

    // First both are believed, then everybody shows the new one, then the old one is believed no more.
    let (old, new) = (world.read("fleet/authority.pem"), world.read("next/authority.pem"));
    world.write("trust.pem", &format!("{old}{new}"));
    world.until("the server believes both", |world| world.read("server.log").contains("read anew"));
    let expiry =
        |world: &World| world.metric("rhumb_agent_certificate_expiry_timestamp_seconds", &["dublin"]);
    assert!(expiry(&world) > 0.0);
    for vantage in VANTAGES {
        replace(&world, &format!("next/agents/{vantage}-1"), vantage);
    }
    replace(&world, "next/servers/ns1", "ns1");
    sleep(Duration::from_secs(2));
    world.write("trust.pem", &new);
    sleep(Duration::from_secs(2));
    for vantage in VANTAGES {
        world.until_heard(vantage);
    }
    world.until("everything is up", |world| world.states() == ["up"; 3]);
    assert!(!world.read("server.log").contains("-> down"), "{}", world.logs());
}

#[test]
fn certificates_that_cannot_be_used_fail_the_check_and_leave_the_old_in_force() {
    let world = World::whole();
    world.rhumb(&["check"]);
    let key = world.read("ns1.key");
    world.write("ns1.key", &world.read("dublin.key"));
    world.until("it is told", |world| world.read("server.log").contains("cannot be used"));
    let out = world.run(&["check"]);
    assert_eq!(out.status.code(), Some(78), "{out:?}");
    world.until_heard("dublin");
    world.write("ns1.key", &key);
    world.until("it is whole again", |world| world.read("server.log").contains("read anew"));
    world.rhumb(&["check"]);
}

/// Puts a certificate and its key in the place of those that a process uses.
fn replace(world: &World, made: &str, used: &str) {
    for extension in ["key", "pem"] {
        let text = fs::read_to_string(world.path(made).with_extension(extension)).unwrap();
        world.write(&format!("{used}.{extension}"), &text);
    }
}
