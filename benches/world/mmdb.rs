//! Writes a database in the MaxMind DB format 2.0 (maxmind.github.io/MaxMind-DB) that tells countries and
//! continents of IPv4 networks: what every server of the comparison can read.

use std::net::IpAddr;

use rhumb::net::Prefix;

/// Bits before an IPv4 address in the IPv6 tree.
const V4_DEPTH: usize = 96;
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Octets between tree and data.
const SEPARATOR: usize = 16;
/// No record yet.
const NOTHING: u32 = u32::MAX;
/// Marks a child that is a record, not a node.
const RECORD: u32 = 1 << 31;

/// The octets of a database of these disjoint networks, each with the position of its country.
pub(crate) fn write(networks: &[(Prefix, usize)], countries: &[(&str, &str)]) -> Vec<u8> {
    let (mut data, mut starts) = (Vec::new(), Vec::new());
    for (at, (code, continent)) in countries.iter().enumerate() {
        starts.push(data.len() as u32);
        record(&mut data, at as u32, code, continent);
    }
    let tree = tree(networks);
    let mut out = Vec::with_capacity(tree.len() * 8 + data.len() + 1024);
    let nodes = tree.len() as u32;
    for child in tree.iter().flatten() {
        let value = match *child {
            NOTHING => nodes,
            record if record & RECORD != 0 => nodes + SEPARATOR as u32 + starts[(record & !RECORD) as usize],
            node => node,
        };
        out.extend_from_slice(&value.to_be_bytes());
    }
    out.extend_from_slice(&[0; SEPARATOR]);
    out.extend_from_slice(&data);
    out.extend_from_slice(MARKER);
    metadata(&mut out, nodes);
    out
}

fn tree(networks: &[(Prefix, usize)]) -> Vec<[u32; 2]> {
    let mut nodes = vec![[NOTHING; 2]];
    for (prefix, country) in networks {
        let IpAddr::V4(address) = prefix.first() else { continue };
        let bits = u128::from(address.to_bits());
        let depth = V4_DEPTH + usize::from(prefix.length());
        let mut node = 0;
        for level in 0..depth {
            let side = (bits >> (127 - level) & 1) as usize;
            if level + 1 == depth {
                nodes[node][side] = RECORD | *country as u32;
            } else if nodes[node][side] == NOTHING {
                nodes[node][side] = nodes.len() as u32;
                nodes.push([NOTHING; 2]);
            }
            node = nodes[node][side] as usize;
        }
    }
    nodes
}

fn record(out: &mut Vec<u8>, at: u32, code: &str, continent: &str) {
    map(out, 3);
    text(out, "continent");
    map(out, 2);
    text(out, "code");
    text(out, continent);
    text(out, "geoname_id");
    whole(out, 6_255_140 + u32::from(continent.as_bytes()[0]));
    for key in ["country", "registered_country"] {
        text(out, key);
        map(out, 2);
        text(out, "iso_code");
        text(out, code);
        text(out, "geoname_id");
        whole(out, 1000 + at);
    }
}

fn metadata(out: &mut Vec<u8>, nodes: u32) {
    map(out, 9);
    text(out, "binary_format_major_version");
    short(out, 2);
    text(out, "binary_format_minor_version");
    short(out, 0);
    text(out, "build_epoch");
    out.extend_from_slice(&[8, 2]); // An extended type: unsigned, 64 bits.
    out.extend_from_slice(&1_750_000_000u64.to_be_bytes());
    text(out, "database_type");
    text(out, "GeoLite2-City");
    text(out, "description");
    map(out, 1);
    text(out, "en");
    text(out, "benchmark");
    text(out, "ip_version");
    short(out, 6);
    text(out, "languages");
    out.extend_from_slice(&[1, 4]); // An extended type: an array of one.
    text(out, "en");
    text(out, "node_count");
    whole(out, nodes);
    text(out, "record_size");
    short(out, 32);
}

fn map(out: &mut Vec<u8>, entries: u8) {
    out.push(7 << 5 | entries);
}

fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29, "longer texts have another form");
    out.push(2 << 5 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn short(out: &mut Vec<u8>, number: u16) {
    out.push(5 << 5 | 2);
    out.extend_from_slice(&number.to_be_bytes());
}

fn whole(out: &mut Vec<u8>, number: u32) {
    out.push(6 << 5 | 4);
    out.extend_from_slice(&number.to_be_bytes());
}
