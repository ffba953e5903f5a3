//! The shipped database steers real clients: universities and networks of twenty-eight countries each get the
//! region that a person with a globe would give them, end to end through the answer.
#![allow(clippy::unwrap_used, reason = "a test that cannot set the scene fails")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::dig;
use rhumb::answer::respond::{Action, Envelope, Transport, respond};
use rhumb::config::generation;
use rhumb::health::verdict::Standing;
use rhumb::ids::EndpointId;
use rhumb::net::Prefix;
use rhumb::time::WallTime;
use rhumb::wire::ask;
use rhumb::wire::code::RecordType;

/// Seven regions, one to a part of the world, each with one address.
const REGIONS: [(&str, &str, &str); 7] = [
    ("dublin", "EU", "53.35, -6.26"),
    ("frankfurt", "EU", "50.11, 8.68"),
    ("virginia", "NA", "39.04, -77.49"),
    ("sao-paulo", "SA", "-23.55, -46.63"),
    ("cape-town", "AF", "-33.92, 18.42"),
    ("tokyo", "AS", "35.68, 139.69"),
    ("sydney", "OC", "-33.87, 151.21"),
];

/// A client of each country, and its nearest region.
const CLIENTS: [(&str, &str, &str); 28] = [
    ("IE", "134.226.1.1", "dublin"),       // Trinity College Dublin
    ("GB", "131.111.8.42", "dublin"),      // University of Cambridge
    ("DE", "130.149.7.201", "frankfurt"),  // TU Berlin
    ("FR", "193.51.208.13", "frankfurt"),  // RENATER
    ("IT", "131.175.1.1", "frankfurt"),    // Politecnico di Milano
    ("NL", "192.87.106.101", "frankfurt"), // SURF
    ("BE", "134.58.1.1", "frankfurt"),     // KU Leuven
    ("CH", "129.132.1.1", "frankfurt"),    // ETH Zurich
    ("AT", "131.130.1.1", "frankfurt"),    // University of Vienna
    ("CZ", "147.32.1.1", "frankfurt"),     // Czech Technical University
    ("PL", "195.187.1.1", "frankfurt"),    // NASK
    ("DK", "130.225.1.1", "frankfurt"),    // DeiC
    ("SE", "130.238.7.10", "frankfurt"),   // Uppsala University
    ("FI", "128.214.1.1", "frankfurt"),    // University of Helsinki
    ("IS", "130.208.1.1", "dublin"),       // University of Iceland
    ("GR", "147.102.1.1", "frankfurt"),    // NTUA
    ("US", "18.9.22.69", "virginia"),      // MIT
    ("CA", "128.100.1.1", "virginia"),     // University of Toronto
    ("MX", "132.248.10.2", "virginia"),    // UNAM
    ("BR", "200.160.2.3", "sao-paulo"),    // NIC.br
    ("AR", "157.92.1.1", "sao-paulo"),     // University of Buenos Aires
    ("CL", "146.83.1.1", "sao-paulo"),     // REUNA
    ("ZA", "137.158.1.1", "cape-town"),    // University of Cape Town
    ("JP", "133.11.0.1", "tokyo"),         // University of Tokyo
    ("KR", "168.126.63.1", "tokyo"),       // KT
    ("TW", "140.112.1.1", "tokyo"),        // National Taiwan University
    ("AU", "139.130.4.5", "sydney"),       // Telstra
    ("NZ", "130.216.1.1", "sydney"),       // University of Auckland
];

fn configuration() -> String {
    let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[geoip]\ncountry = \"{}\"\n[maps.world]\norder = \"nearest\"\n\
         [zones.\"example.com\"]\nfile = \"zone\"\n[services.www]\nnames = [\"www.example.com\"]\nmap = \"world\"\n",
        database.display()
    );
    for (name, continent, location) in REGIONS {
        text.push_str(&format!("[regions.{name}]\ncontinent = \"{continent}\"\nlocation = [{location}]\n"));
    }
    text.push_str("[services.www.regions]\n");
    for (at, (name, ..)) in REGIONS.iter().enumerate() {
        text.push_str(&format!("{name} = [\"192.0.2.{at}\"]\n"));
    }
    text
}

#[test]
fn clients_of_twenty_eight_countries_get_their_nearest_region() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rhumb.toml"), configuration()).unwrap();
    fs::write(
        folder.path().join("zone"),
        "$TTL 60\n@ SOA ns.example.net. a 1 1 1 1 1\n@ NS ns.example.net.\n",
    )
    .unwrap();
    let loaded = generation::load(&folder.path().join("rhumb.toml"), WallTime(0));
    let (generation, _) = loaded.unwrap_or_else(|faults| panic!("{}", faults[0]));
    let all_up = |_: EndpointId| Standing::UP;
    let table = generation.plan.table(1, &all_up, &mut CounterNumbers::default());
    let counters = Counters::new(table.answer_counters());

    let mut wrong = Vec::new();
    for (country, client, wanted) in CLIENTS {
        let client: IpAddr = client.parse().unwrap();
        let subnet = Prefix::holding(client, 24).unwrap();
        let question = ask::question(1, &"www.example.com".parse().unwrap(), RecordType::A, Some(subnet));
        let mut reply = [0; 1232];
        let resolver = "127.0.0.1".parse().unwrap();
        let envelope =
            Envelope { source: resolver, transport: Transport::Udp, at: WallTime::default(), is_last: false };
        let Action::Send(length) = respond(&table, &question, envelope, &mut reply, &counters) else {
            panic!("a question deserves a reply");
        };
        let shown = dig::show(&reply[..length]).unwrap();
        let at: usize = shown.answer[0].rsplit('.').next().unwrap().parse().unwrap();
        if REGIONS[at].0 != wanted {
            wrong.push(format!("{country} {client}: {} rather than {wanted}", REGIONS[at].0));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
