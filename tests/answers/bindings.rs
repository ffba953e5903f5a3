//! HTTPS and SVCB records of steered names (RFC 9460): their hints in a signed zone, and what a service may write.

use std::collections::BTreeSet;

use crate::world::World;
use crate::{ask, oracle};

const ZONE: &[(&str, &str)] =
    &[("example.com", "@ 3600 SOA ns1 host 1 7200 900 1209600 300\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n")];

fn service(bindings: &str) -> String {
    format!(
        "maps.m = {{ order = [\"eu\", \"us\"] }}\n[services.www]\nnames = [\"www.example.com\"]\nmap = \"m\"\n\
         {bindings}\nregions.eu = [\"192.0.2.1\", \"192.0.2.2\", \"2001:db8:e::1\"]\n\
         regions.us = [\"198.51.100.1\", \"2001:db8:a::1\"]\n"
    )
}

/// The reply in dig's words.
fn shown(world: &World, question: &str) -> String {
    let asked = ask::read(&format!("dig www.example.com {question} +dnssec")).unwrap();
    oracle::judge(&asked, &world.ask(&asked).unwrap()).to_string()
}

/// The addresses of the answers to A and AAAA.
fn addresses(world: &World) -> BTreeSet<String> {
    let replies = [shown(world, "A"), shown(world, "AAAA")];
    let lines = replies.iter().flat_map(|reply| reply.lines());
    let address =
        |line: &str| Some(line.split_once(" IN A").filter(|_| !line.contains(" RRSIG "))?.1.to_owned());
    lines.filter_map(address).filter_map(|rest| Some(rest.split_once(' ')?.1.to_owned())).collect()
}

fn hints(reply: &str) -> BTreeSet<String> {
    let words = reply.lines().filter(|line| !line.contains(" RRSIG ")).flat_map(str::split_whitespace);
    let hint =
        |word: &str| word.strip_prefix("ipv4hint=").or(word.strip_prefix("ipv6hint=")).map(str::to_owned);
    words.filter_map(hint).flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What the signatures are worth is asked of every answer in `signed`.
#[test]
fn hints_are_the_addresses_that_are_answered_and_signed_with_them() {
    let bindings = "https = [\"1 . mandatory=alpn,port alpn=h2 port=8443\"]\nsvcb = [\"1 . alpn=dot\"]";
    let mut world = World::signed(ZONE, &service(bindings), "denial = \"nsec\"").unwrap();
    let mut seen = BTreeSet::new();
    for state in [
        "",
        "eu/www/192.0.2.1 down",
        "eu/www/192.0.2.1 down\neu/www/192.0.2.2 down\neu/www/2001:db8:e::1 down",
    ] {
        world.believe(state).unwrap();
        let addresses = addresses(&world);
        for rtype in ["HTTPS", "SVCB"] {
            let reply = shown(&world, rtype);
            assert_eq!(hints(&reply), addresses, "{state}: {reply}");
            assert!(reply.contains(&format!(" IN RRSIG {rtype} ")), "{state}: {reply}");
        }
        assert!(shown(&world, "HTTPS").contains("HTTPS 1 . mandatory=alpn,port alpn="), "{state}");
        seen.insert(addresses);
    }
    assert_eq!(seen.len(), 3, "each state has its own addresses");
}

#[test]
fn hints_are_not_written_under_any_name_nor_made_mandatory_nor_given_to_aliases() {
    for (written, told, help) in [
        ("1 . ipv4hint=192.0.2.1", "ipv4hint is not written", "leave ipv4hint"),
        ("1 . alpn=h2 ipv6hint=2001:db8::1", "ipv6hint is not written", "leave ipv4hint"),
        (r"1 . key4=\\192\\000\\002\\001", "ipv4hint is not written", "leave ipv4hint"),
        (r"\\# 11 0001 00 0004 0004 c0000201", "ipv4hint is not written", "leave ipv4hint"),
        (
            "1 . mandatory=ipv4hint",
            "mandatory lists ipv4hint, which is not given",
            "take its key from the list",
        ),
        ("1 . mandatory=mandatory", "mandatory lists itself", "always understood"),
        (
            "0 other.example. alpn=h2",
            "priority 0 makes an alias, which has no parameters",
            "take the parameters away",
        ),
    ] {
        let refused = World::new(ZONE, &service(&format!("https = [\"{written}\"]"))).err();
        let refused = refused.unwrap_or_else(|| panic!("{written} is taken"));
        assert!(refused.contains(told) && refused.contains(help), "{written}: {refused}");
    }
}
