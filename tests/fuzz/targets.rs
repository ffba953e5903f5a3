//! What is fuzzed beside queries: one function per kind of octets from outside. The suite calls them with mutated seeds;
//! `fuzz/` calls them from libFuzzer.

use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::path::Path;

use rhumb::exchange::report::{self, Place};
use rhumb::geo::database::Database;
use rhumb::geo::layout::Layout;
use rhumb::ids::{TargetId, VantageId};
use rhumb::{config, zone};

/// A master file, which names itself as the file that it includes: the depth of that is bounded.
pub(crate) fn zone_file(octets: &[u8]) {
    let origin = "example.com".parse().expect("a name");
    let mut include = |path: &Path| match path.to_str() {
        Some("self") => Ok(octets.to_vec()),
        _ => Err(Error::from(ErrorKind::NotFound)),
    };
    let _ = zone::read(&origin, Path::new("fuzzed"), octets, &mut include);
}

/// A configuration; what it names is not read.
pub(crate) fn configuration(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = config::parse(text, "fuzzed.toml");
    }
}

/// A database of places, and what it says of some addresses.
pub(crate) fn mmdb(octets: &[u8]) {
    let Ok(database) = Database::from_octets(octets.to_vec(), &Layout::places()) else { return };
    for address in ["0.0.0.0", "81.2.69.160", "255.255.255.255", "::", "2001:db8::1", "2002:5102:45a0::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let _ = database.place(address);
    }
}

/// A report of an agent.
pub(crate) fn agent_report(octets: &[u8]) {
    let Ok(opened) = report::open(octets) else { return };
    let _ = opened.read((VantageId(0), 0), |_, _| Some(Place { target: TargetId::from_index(0), seen: 0 }));
}
