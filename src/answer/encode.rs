//! Encodes the variants of a service: addresses, a CNAME, and HTTPS and SVCB records whose address hints follow
//! the steering (RFC 9460 section 7.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::steering::Variant;
use crate::name::Name;
use crate::policy::service::{Binding, Service};
use crate::policy::variant;
use crate::wire::code::{ExtendedError, Rcode, RecordType};

/// Owner of every record of a steered answer: the question.
const OWNER: [u8; 2] = [0xc0, 12];
const CLASS_IN: [u8; 2] = [0, 1];
/// SvcParamKeys of the address hints (RFC 9460 section 14.3.2).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;
/// How long the text of an extended error may be: it must not push records out of a small reply.
const TEXT_OCTETS_MAX: usize = 120;

/// The answer that `laid_out` means.
pub(super) fn variant(
    service: &Service,
    laid_out: &variant::Variant,
    text: Option<&str>,
    counter: u32,
) -> Variant {
    let mut records = Vec::new();
    let ttl = laid_out.ttl;
    push(&mut records, RecordType::A, ttl, laid_out.v4.iter().map(|address| address.octets().to_vec()));
    push(&mut records, RecordType::AAAA, ttl, laid_out.v6.iter().map(|address| address.octets().to_vec()));
    push(&mut records, RecordType::CNAME, ttl, laid_out.cname.iter().map(|name| name.as_wire().to_vec()));
    for rtype in [RecordType::HTTPS, RecordType::SVCB] {
        let bindings = service.bindings.iter().filter(|binding| binding.rtype == rtype);
        push(
            &mut records,
            rtype,
            ttl,
            bindings.map(|binding| match is_reached_here(service, binding) {
                true => with_hints(binding, &laid_out.v4, &laid_out.v6),
                false => binding.rdata.to_vec(),
            }),
        );
    }
    Variant { rcode: Rcode::NOERROR, records, extended_error: text.map(extended_error), counter }
}

/// The answer where nothing may be given.
pub(super) fn servfail(text: &str, counter: u32) -> Variant {
    Variant {
        rcode: Rcode::SERVFAIL,
        records: Vec::new(),
        extended_error: Some(extended_error(text)),
        counter,
    }
}

/// The answer where no region has an address of the family: it does not exist, and that is no error.
pub(super) fn no_data(counter: u32) -> Variant {
    Variant { rcode: Rcode::NOERROR, records: Vec::new(), extended_error: None, counter }
}

fn push(
    records: &mut Vec<(RecordType, u16, Box<[u8]>)>,
    rtype: RecordType,
    ttl: u32,
    data: impl Iterator<Item = Vec<u8>>,
) {
    let mut octets = Vec::new();
    let mut count = 0;
    for rdata in data {
        count += 1;
        octets.extend_from_slice(&OWNER);
        octets.extend_from_slice(&rtype.0.to_be_bytes());
        octets.extend_from_slice(&CLASS_IN);
        octets.extend_from_slice(&ttl.to_be_bytes());
        octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        octets.extend_from_slice(&rdata);
    }
    if count > 0 {
        records.push((rtype, count, octets.into()));
    }
}

/// Whether a binding is reached at the service's own addresses: it is no alias (priority 0), and its target is the
/// owner or another name of the service. Hints are for the target (RFC 9460 section 7.3), and of other hosts
/// nothing is known here.
fn is_reached_here(service: &Service, binding: &Binding) -> bool {
    let (priority, rest) = binding.rdata.split_at(2);
    let length = crate::name::wire_length(rest).expect("config has checked the binding");
    let target = Name::from_checked(&rest[..length]);
    priority != [0, 0] && (target == Name::root() || service.names.contains(&target))
}

/// The record data of a binding with hints for these addresses.
fn with_hints(binding: &Binding, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> Vec<u8> {
    let rdata = &binding.rdata;
    let target_octets = crate::name::wire_length(&rdata[2..]).expect("config has checked the binding");
    let (head, mut rest) = rdata.split_at(2 + target_octets);
    let mut out = head.to_vec();
    let v4: Vec<u8> = v4.iter().flat_map(Ipv4Addr::octets).collect();
    let v6: Vec<u8> = v6.iter().flat_map(Ipv6Addr::octets).collect();
    let mut hints =
        [(IPV4HINT, v4), (IPV6HINT, v6)].into_iter().filter(|(_, hint)| !hint.is_empty()).peekable();
    while rest.len() >= 4 {
        let key = u16::from_be_bytes([rest[0], rest[1]]);
        let (parameter, after) = rest.split_at(4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        while let Some((hint_key, hint)) = hints.next_if(|(hint_key, _)| *hint_key < key) {
            push_parameter(&mut out, hint_key, &hint);
        }
        out.extend_from_slice(parameter);
        rest = after;
    }
    for (key, hint) in hints {
        push_parameter(&mut out, key, &hint);
    }
    out
}

fn push_parameter(out: &mut Vec<u8>, key: u16, value: &[u8]) {
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

fn extended_error(text: &str) -> Box<[u8]> {
    let end =
        (0..=text.len().min(TEXT_OCTETS_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    [&ExtendedError::OTHER.0.to_be_bytes(), &text.as_bytes()[..end]].concat().into()
}
