//! A reply in the words of `dig`, for `explain`, the demo and tests. It reads octets that came over a network as
//! well as our own: whatever they hold, the worst is a line that says so.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::name::{self, NAME_OCTETS_MAX};
use crate::wire::code::{Class, OptionCode, Rcode, RecordType};
use crate::wire::{HEADER_OCTETS, u16_at};
use crate::zone::rdata;

/// A reply, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shown {
    /// The response code, extended bits included.
    pub status: String,
    /// The header's flags that are set, in dig's order.
    pub flags: Vec<&'static str>,
    /// Records of the answer section, one a line.
    pub answer: Vec<String>,
    /// Records of the authority section.
    pub authority: Vec<String>,
    /// Records of the additional section, without OPT.
    pub additional: Vec<String>,
    /// The client subnet option: address/source/scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subnet: Option<String>,
    /// Extended errors: code, and text if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extended_errors: Vec<String>,
    /// The other options of EDNS, one a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Octets that are no DNS reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reads a reply.
pub fn show(reply: &[u8]) -> Result<Shown, Unreadable> {
    let counts = [4, 6, 8, 10].map(|at| u16_at(reply, at));
    let [Some(questions), Some(answers), Some(authorities), Some(additionals)] = counts else {
        return Err(Unreadable);
    };
    let mut shown = Shown { flags: flags(reply), ..Shown::default() };
    let mut rcode = u16::from(reply[3] & 0x0f);
    let mut at = HEADER_OCTETS;
    for _ in 0..questions {
        at = skip_name(reply, at)? + 4;
    }
    for (section, count) in [answers, authorities, additionals].into_iter().enumerate() {
        for _ in 0..count {
            let record = Record::read(reply, at)?;
            at = record.end;
            if record.rtype == RecordType::OPT {
                rcode |= (record.ttl >> 24 << 4) as u16;
                shown.read_options(&reply[record.data_at..record.end]);
                continue;
            }
            let lines = [&mut shown.answer, &mut shown.authority, &mut shown.additional];
            lines.into_iter().nth(section).expect("there are three").push(record.line(reply)?);
        }
    }
    shown.status = Rcode(rcode).to_string();
    Ok(shown)
}

fn flags(reply: &[u8]) -> Vec<&'static str> {
    let bits = u16::from_be_bytes([reply[2], reply[3]]);
    let named = [(15, "qr"), (10, "aa"), (9, "tc"), (8, "rd"), (7, "ra"), (5, "ad"), (4, "cd")];
    named.into_iter().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, flag)| flag).collect()
}

struct Record {
    owner_at: usize,
    rtype: RecordType,
    class: Class,
    ttl: u32,
    data_at: usize,
    end: usize,
}

impl Record {
    fn read(reply: &[u8], owner_at: usize) -> Result<Self, Unreadable> {
        let at = skip_name(reply, owner_at)?;
        let fixed: &[u8; 10] = reply.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Unreadable)?;
        let data_at = at + 10;
        let end = data_at + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let rtype = RecordType(u16::from_be_bytes([fixed[0], fixed[1]]));
        let class = Class(u16::from_be_bytes([fixed[2], fixed[3]]));
        if end > reply.len() {
            Err(Unreadable)
        } else {
            Ok(Self { owner_at, rtype, class, ttl, data_at, end })
        }
    }

    fn line(&self, reply: &[u8]) -> Result<String, Unreadable> {
        let mut line = String::new();
        let owner = read_name(reply, self.owner_at)?;
        let data = self.uncompressed(reply)?;
        let written = name::write_wire_name(&owner, &mut line)
            .and_then(|()| write!(line, " {} {} {} ", self.ttl, self.class, self.rtype))
            .and_then(|()| rdata::show(self.rtype, &data, &mut line));
        written.map(|()| line).map_err(|_| Unreadable)
    }

    /// The record's data with its names written out: those of the types of RFC 1035 may be compressed.
    fn uncompressed(&self, reply: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (fixed, names) = super::records::compressible(self.rtype);
        let names_at = self.data_at + fixed;
        if names_at > self.end {
            return Err(Unreadable);
        }
        let mut data = reply[self.data_at..names_at].to_vec();
        let mut at = names_at;
        for _ in 0..names {
            data.extend_from_slice(&read_name(reply, at)?);
            at = skip_name(reply, at)?;
        }
        data.extend_from_slice(reply.get(at..self.end).ok_or(Unreadable)?);
        Ok(data)
    }
}

impl Shown {
    fn read_options(&mut self, mut options: &[u8]) {
        while let (Some(code), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
            let Some(data) = options.get(4..4 + usize::from(length)) else { return };
            options = &options[4 + data.len()..];
            match OptionCode(code) {
                OptionCode::CLIENT_SUBNET => self.client_subnet = client_subnet(data),
                OptionCode::EXTENDED_ERROR if data.len() >= 2 => {
                    let code = u16::from_be_bytes([data[0], data[1]]);
                    let text = String::from_utf8_lossy(&data[2..]);
                    let shown = if text.is_empty() { code.to_string() } else { format!("{code}: {text}") };
                    self.extended_errors.push(shown);
                }
                code => self.options.extend(option(code, data)),
            }
        }
    }
}

fn option(code: OptionCode, data: &[u8]) -> Option<String> {
    let hexadecimal = || data.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    Some(match (code, data) {
        (OptionCode::COOKIE, _) => format!("COOKIE: {}", hexadecimal()),
        (OptionCode::NSID, _) => format!("NSID: {}", String::from_utf8_lossy(data)),
        (OptionCode::TCP_KEEPALIVE, &[high, low]) => {
            let tenths = u16::from_be_bytes([high, low]);
            format!("TCP-KEEPALIVE: {}.{} s", tenths / 10, tenths % 10)
        }
        (OptionCode::PADDING, _) => format!("PADDING: {} octets", data.len()),
        (OptionCode::REPORT_CHANNEL, _) => {
            let mut text = "REPORT-CHANNEL: ".to_owned();
            name::write_wire_name(&read_name(data, 0).ok()?, &mut text).ok()?;
            text
        }
        (OptionCode::ZONEVERSION, &[labels, 0, a, b, c, d]) => {
            format!("ZONEVERSION: SOA-SERIAL {} of {labels} labels", u32::from_be_bytes([a, b, c, d]))
        }
        (OptionCode(code), _) => format!("OPT={code}: {}", hexadecimal()),
    })
}

fn client_subnet(data: &[u8]) -> Option<String> {
    let (&[_, family, source, scope], octets) = data.split_first_chunk()?;
    let mut padded = [0; 16];
    padded.get_mut(..octets.len())?.copy_from_slice(octets);
    let address = match family {
        2 => IpAddr::V6(Ipv6Addr::from(padded)),
        _ => IpAddr::V4(Ipv4Addr::new(padded[0], padded[1], padded[2], padded[3])),
    };
    Some(format!("{address}/{source}/{scope}"))
}

/// Where what follows the name at `at` begins.
fn skip_name(reply: &[u8], mut at: usize) -> Result<usize, Unreadable> {
    loop {
        match *reply.get(at).ok_or(Unreadable)? {
            0 => return Ok(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Ok(at + 2),
            _ => return Err(Unreadable),
        }
    }
}

/// The name at `at`, uncompressed, in the case it has. A pointer must point back, so that this ends.
fn read_name(reply: &[u8], mut at: usize) -> Result<Vec<u8>, Unreadable> {
    let mut name = Vec::new();
    loop {
        let length = *reply.get(at).ok_or(Unreadable)?;
        match length {
            0..=63 => {
                name.extend_from_slice(reply.get(at..=at + usize::from(length)).ok_or(Unreadable)?);
                at += 1 + usize::from(length);
                if length == 0 {
                    return Ok(name);
                }
            }
            0xc0.. => {
                let target = usize::from(u16_at(reply, at).ok_or(Unreadable)? & 0x3fff);
                if target >= at {
                    return Err(Unreadable);
                }
                at = target;
            }
            _ => return Err(Unreadable),
        }
        if name.len() >= NAME_OCTETS_MAX {
            return Err(Unreadable);
        }
    }
}

impl fmt::Display for Shown {
    /// The lines that `dig +noall +comments +answer +authority +additional` would print, without its counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, ";; status: {}, flags: {}", self.status, self.flags.join(" "))?;
        if let Some(subnet) = &self.client_subnet {
            writeln!(f, "; CLIENT-SUBNET: {subnet}")?;
        }
        for option in &self.options {
            writeln!(f, "; {option}")?;
        }
        for error in &self.extended_errors {
            writeln!(f, "; EDE: {error}")?;
        }
        let sections =
            [("ANSWER", &self.answer), ("AUTHORITY", &self.authority), ("ADDITIONAL", &self.additional)];
        for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, ";; {title} SECTION:")?;
            for line in lines {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}
