//! What a reload leaves where it is.

use std::ptr;
use std::time::Duration;

use rhumb::answer::table::AnswerTable;
use rhumb::control::state::{Event, State};
use rhumb::ids::{MapId, ServiceId};
use rhumb::time::Moment;

use crate::world::World;

/// A world of one zone and two services, with a word of its own in each of these places.
fn world(in_zone: &str, first: &str, second: &str, country: &str) -> World {
    let zone =
        format!("$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n{in_zone}\n");
    let configuration = format!(
        "geoip.country = \"FIXTURES/../../geoip/country.mmdb\"\n[maps.world]\norder = [\"eu\", \"us\"]\n[maps.world.clients]\n\
         \"country:{country}\" = {{ regions = [\"us\"] }}\n\
         [services.one]\nnames = [\"one.example.com\"]\nmap = \"world\"\nregions = {{ eu = [\"{first}\"], us = [\"192.0.2.3\"] }}\n\
         [services.two]\nnames = [\"two.example.com\"]\nmap = \"world\"\nregions = {{ eu = [\"{second}\"], us = [\"192.0.2.5\"] }}\n"
    );
    World::new(&[("example.com", &zone)], &configuration).unwrap()
}

/// Which of names, tree and services are the same in memory after a reload from one world to the other.
fn kept(before: World, after: World) -> [bool; 4] {
    let mut state = State::new(before.generation, &[], Duration::ZERO, Moment::START);
    let old = state.table().clone();
    let new = state.step(Event::Reload(Box::new(after.generation)), Moment::START).table.unwrap();
    let services = [0, 1].map(|service| {
        let of = |table: &AnswerTable| ptr::from_ref(table.service(ServiceId(service)));
        of(&old) == of(&new)
    });
    [
        ptr::eq(old.names(), new.names()),
        ptr::eq(old.tree(MapId(0)), new.tree(MapId(0))),
        services[0],
        services[1],
    ]
}

#[test]
fn what_a_reload_does_not_change_stays_where_it_is() {
    let plain = || world("", "192.0.2.2", "192.0.2.4", "DE");
    assert_eq!(kept(plain(), plain()), [true, true, true, true]);
    assert_eq!(
        kept(plain(), world("new A 192.0.2.9", "192.0.2.2", "192.0.2.4", "DE")),
        [false, true, true, true]
    );
    assert_eq!(kept(plain(), world("", "192.0.2.22", "192.0.2.4", "DE")), [true, true, false, true]);
    assert_eq!(kept(plain(), world("", "192.0.2.2", "192.0.2.44", "DE")), [true, true, true, false]);
    assert_eq!(kept(plain(), world("", "192.0.2.2", "192.0.2.4", "FR")), [true, false, true, true]);
}
