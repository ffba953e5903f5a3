//! Names as they stand in a reply of ours that is being written: read, compared, found by their ends; and its records,
//! one after the other. The reply is our own, so that its pointers are good.

use super::records::RECORD_HEAD_OCTETS;
use crate::name::NAME_OCTETS_MAX;
use crate::wire::code::RecordType;

/// Reads the name at `at` of a reply of ours into `name`, in lower case; gives its length.
pub(super) fn read_name(reply: &[u8], mut at: usize, name: &mut [u8; NAME_OCTETS_MAX]) -> usize {
    let mut length = 0;
    loop {
        at = resolve_pointer(reply, at);
        let octets = 1 + usize::from(reply[at]);
        name[length..length + octets].copy_from_slice(&reply[at..at + octets]);
        length += octets;
        at += octets;
        if octets == 1 {
            name[..length].make_ascii_lowercase();
            return length;
        }
    }
}

/// Whether `name`, in lower case, stands at `at` of a reply of ours.
pub(super) fn is_name(reply: &[u8], mut at: usize, name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        at = resolve_pointer(reply, at);
        let octets = 1 + usize::from(reply[at]);
        let Some((label, after)) = rest.split_at_checked(octets) else { return false };
        if !label.eq_ignore_ascii_case(&reply[at..at + octets]) {
            return false;
        }
        if octets == 1 {
            return true;
        }
        (rest, at) = (after, at + octets);
    }
}

/// Where the name at `at` of a reply of ours goes on after its first `octets` octets, a number of whole labels.
pub(super) fn suffix_at(reply: &[u8], mut at: usize, octets: usize) -> usize {
    let mut passed = 0;
    while passed < octets {
        at = resolve_pointer(reply, at);
        let label = 1 + usize::from(reply[at]);
        passed += label;
        at += label;
    }
    resolve_pointer(reply, at)
}

/// The type of the record at `at` of a reply of ours, and where what follows the record begins.
pub(super) fn record_at(reply: &[u8], at: usize) -> (RecordType, usize) {
    let head = after_name(reply, at);
    let two_at = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    (RecordType(two_at(head)), head + RECORD_HEAD_OCTETS + usize::from(two_at(head + 8)))
}

/// Where what follows the name at `at` of a reply of ours begins.
fn after_name(reply: &[u8], mut at: usize) -> usize {
    loop {
        match reply[at] {
            0 => return at + 1,
            0xc0.. => return at + 2,
            label => at += 1 + usize::from(label),
        }
    }
}

fn resolve_pointer(reply: &[u8], at: usize) -> usize {
    match reply[at] {
        high @ 0xc0.. => {
            resolve_pointer(reply, usize::from(u16::from_be_bytes([high & 0x3f, reply[at + 1]])))
        }
        _ => at,
    }
}
