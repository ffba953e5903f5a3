//! Challenges of certificate authorities: in plain zones, and in signed ones, where each answer near them must still
//! validate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType as Type;
use rhumb::answer::dig;
use rhumb::config::generation;
use rhumb::control::challenge::Challenge;
use rhumb::control::state::{Event, State};
use rhumb::dnssec::denial::{Denial, Nsec3};
use rhumb::name::Name;
use rhumb::time::Moment;

use crate::ask;
use crate::signed::{CLIENTS, NAMES, SERVICES, TYPES, ZONES, check_denial, check_signatures, keys};
use crate::world::{self, NOW, World};

/// At the top, beside a service's name and below it, below an alias, below an empty name, in the child zone, below what a
/// wildcard of any name is at; two values at one.
const SET: &[(&str, &str)] = &[
    ("_acme-challenge.example.com", "one"),
    ("_acme-challenge.example.com", "two"),
    ("_acme-challenge.www.example.com", "three"),
    ("_acme-challenge.c1.example.com", "four"),
    ("_acme-challenge.ent.x.example.com", "five"),
    ("_acme-challenge.www.child.example.com", "six"),
    ("_acme-challenge.w.example.com", "seven"),
    ("_acme-challenge.app.example.com", "eight"),
];

fn texts(message: &Message) -> usize {
    message.answers.iter().filter(|record| record.record_type() == Type::TXT).count()
}

fn check(world: &World, denial: &Denial, keys: &BTreeMap<&str, Vec<DNSKEY>>, when: &str) {
    let near = SET.iter().flat_map(|(name, _)| {
        let parent = name.split_once('.').unwrap().1;
        [
            (*name).to_owned(),
            format!("x.{name}"),
            format!("a.b.{name}"),
            format!("_acme.{parent}"),
            format!("_b.{parent}"),
        ]
    });
    let names: Vec<String> = near.chain(NAMES.iter().map(|name| (*name).to_owned())).collect();
    for name in &names {
        for rtype in TYPES {
            let what = format!("{when}: {name} {rtype}");
            let message = crate::signed::ask(world, name, rtype, CLIENTS[0]);
            check_signatures(&message, keys, &what);
            check_denial(&message, denial, name, rtype.parse().unwrap(), &what);
        }
    }
}

fn check_world(dnssec: &str, denial: &Denial) {
    let mut world = World::signed(ZONES, SERVICES, dnssec).unwrap();
    let keys: BTreeMap<&str, Vec<DNSKEY>> =
        ZONES.iter().map(|(zone, _)| (*zone, keys(&world, zone))).collect();
    let asked = |world: &World, name: &str| crate::signed::ask(world, name, "TXT", CLIENTS[0]);
    world.challenge(SET);
    assert_eq!(texts(&asked(&world, "_ACME-challenge.example.com")), 2);
    for (name, _) in &SET[2..] {
        let message = asked(&world, name);
        assert_eq!((texts(&message), message.answers.len()), (1, 2), "{name}: the value and its signature");
    }
    check(&world, denial, &keys, "set");
    // A family that is lost makes proofs of their own, which name what stands next.
    world.believe("eu/app/2001:db8:1::4 down\neu/app/192.0.2.41 down").unwrap();
    check(&world, denial, &keys, "set and failed over");
    world.challenge(&SET[..1]);
    assert_eq!(texts(&asked(&world, "_acme-challenge.example.com")), 1);
    check(&world, denial, &keys, "some cleared");
    world.challenge(&[]);
    assert_eq!(texts(&asked(&world, "_acme-challenge.example.com")), 0);
    check(&world, denial, &keys, "cleared");
}

#[test]
fn every_answer_beside_challenges_validates_with_nsec() {
    check_world("denial = \"nsec\"", &Denial::Nsec);
}

#[test]
fn every_answer_beside_challenges_validates_with_nsec3() {
    check_world("denial = \"nsec3\"", &Denial::Nsec3(Nsec3::default()));
}

#[test]
fn a_challenge_signs_itself_and_its_places_in_the_chain_and_nothing_else() {
    let mut world = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    let before = world.table.zone(rhumb::ids::ZoneId::from_index(1)).signed.clone().unwrap();
    world.challenge(&[("_acme-challenge.example.com", "one")]);
    let after = world.table.zone(rhumb::ids::ZoneId::from_index(1)).signed.clone().unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &after), "another zone is as it was");
    let parent = world.table.zone(rhumb::ids::ZoneId::from_index(0)).signed.clone().unwrap();
    assert_eq!(parent.chain().len(), {
        world.challenge(&[]);
        world.table.zone(rhumb::ids::ZoneId::from_index(0)).signed.clone().unwrap().chain().len() + 1
    });
}

#[test]
fn a_challenge_in_a_signed_zone_is_answered_from_when_that_is_signed_and_over_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let file = world::write(folder.path(), ZONES, SERVICES, "denial = \"nsec\"");
    let load = |before| generation::reload(&file, NOW, before).unwrap().0;
    let mut state = State::new(load(Vec::new()), &[], Duration::ZERO, Moment::START);
    let name: Name = "_acme-challenge.example.com".parse().unwrap();
    let asked = ask::read("dig _acme-challenge.example.com TXT +dnssec").unwrap();
    let answers = |state: &State| {
        let reply = world::reply(state.table(), &asked.packet, asked.source, asked.transport).unwrap();
        dig::show(&reply).unwrap().answer.len()
    };
    let sign = |state: &mut State| {
        let zones = state.due_zones(NOW).into_iter();
        let zones = zones.map(|due| (due.id, Arc::new(due.sign(NOW).unwrap()))).collect();
        state.step(Event::Resigned { generation: state.number(), zones }, Moment::START);
    };
    let until = Moment::from_millis(60_000);
    let challenge = Challenge { name: name.clone(), token: "value".to_owned(), until };
    assert!(state.step(Event::SetChallenge(challenge), Moment::START).table.is_none());
    assert!(!state.is_challenged(&name), "its zone has to be signed first");
    sign(&mut state);
    assert!(state.is_challenged(&name));
    assert_eq!(answers(&state), 2, "the value and its signature");

    let before = state.table().signed_zones().cloned().collect();
    state.step(Event::Reload(Box::new(load(before))), Moment::START);
    assert_eq!((answers(&state), state.due_zones(NOW).len()), (2, 0), "it was signed as it was loaded");
    state.step(Event::Reload(Box::new(load(Vec::new()))), Moment::START);
    assert_eq!((answers(&state), state.due_zones(NOW).len()), (0, 1), "it was loaded before it was set");
    sign(&mut state);

    assert!(state.step(Event::Tick, until).table.is_none());
    assert_eq!(answers(&state), 2, "its zone has it until that is signed without it");
    sign(&mut state);
    assert_eq!((answers(&state), state.due_zones(NOW).len()), (0, 0));
}

#[test]
fn in_a_signed_zone_a_challenge_stands_right_below_a_name_that_exists() {
    let world = World::signed(ZONES, SERVICES, "denial = \"nsec\"").unwrap();
    let has_place = |name: &str| {
        let name: Name = name.parse().unwrap();
        world.generation.plan.has_place_for(name.as_wire())
    };
    assert!(has_place("_acme-challenge.example.com") && has_place("_acme-challenge.ent.x.example.com"));
    assert!(!has_place("_acme-challenge.host.app.example.com"), "host.app would lose its wildcard");
    assert!(!has_place("_acme-challenge.nothing.example.com"));
    let plain = World::new(ZONES, SERVICES).unwrap();
    let name: Name = "_acme-challenge.host.app.example.com".parse().unwrap();
    assert!(plain.generation.plan.has_place_for(name.as_wire()));
}

#[test]
fn an_alias_in_the_zone_leads_to_a_challenge() {
    let zone = "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n\
                _acme-challenge.www 60 CNAME _acme-challenge\n*.example.com. 60 A 192.0.2.9\n";
    for signed in [false, true] {
        let mut world = match signed {
            true => World::signed(&[("example.com", zone)], "", "denial = \"nsec\"").unwrap(),
            false => World::new(&[("example.com", zone)], "").unwrap(),
        };
        world.challenge(&[("_acme-challenge.example.com", "value")]);
        let shown = |question: &str| dig::show(&world.ask(&ask::read(question).unwrap()).unwrap()).unwrap();
        let aliased = shown("dig _acme-challenge.www.example.com TXT");
        assert_eq!(
            aliased.answer,
            [
                "_acme-challenge.www.example.com. 60 IN CNAME _acme-challenge.example.com.",
                "_acme-challenge.example.com. 1 IN TXT \"value\"",
            ]
        );
        let beside = shown("dig _acme-challenge.example.com A");
        assert_eq!(
            (beside.status.as_str(), beside.answer.len()),
            ("NOERROR", 0),
            "no wildcard stands for it"
        );
        assert_eq!(shown("dig x._acme-challenge.example.com A").status, "NXDOMAIN");
        assert_eq!(shown("dig other.example.com A").answer.len(), 1);
    }
}
