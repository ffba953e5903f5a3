//! A question as `dig` would send it: for `explain`, for the demo, for tests. The server itself never asks.

use std::net::IpAddr;

use super::code::{Class, OptionCode, RecordType};
use crate::name::Name;
use crate::net::Prefix;

/// A question with EDNS, and with a client subnet if one is given (RFC 7871 section 6).
#[must_use]
pub fn question(id: u16, name: &Name, rtype: RecordType, subnet: Option<Prefix>) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(name.as_wire());
    packet.extend_from_slice(&rtype.0.to_be_bytes());
    packet.extend_from_slice(&Class::IN.0.to_be_bytes());
    let option = subnet.map(subnet_option).unwrap_or_default();
    packet.push(0);
    packet.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
    packet.extend_from_slice(&1232u16.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(&(option.len() as u16).to_be_bytes());
    packet.extend_from_slice(&option);
    packet
}

fn subnet_option(subnet: Prefix) -> Vec<u8> {
    let (family, octets) = match subnet.first() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let sent = usize::from(subnet.length()).div_ceil(8);
    let [high, low] = OptionCode::CLIENT_SUBNET.0.to_be_bytes();
    let mut option = vec![high, low, 0, (4 + sent) as u8, 0, family, subnet.length(), 0];
    option.extend_from_slice(&octets[..sent]);
    option
}
