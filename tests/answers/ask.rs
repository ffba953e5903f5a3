//! Questions in the words of `dig`, made into octets without help of the code under test.

use std::net::IpAddr;

use rhumb::answer::respond::Transport;
use rhumb::name::{self, NAME_OCTETS_MAX};
use rhumb::wire::code::RecordType;

/// A message to the server.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) packet: Vec<u8>,
    pub(crate) source: IpAddr,
    pub(crate) transport: Transport,
}

/// What is asked, before it is octets.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    /// Bits of the second 16 of the header.
    pub(crate) flags: u16,
    pub(crate) edns: Option<Edns>,
}

#[derive(Clone, Debug)]
pub(crate) struct Edns {
    pub(crate) octets: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<u8>,
}

pub(crate) const ID: u16 = 0x1234;
const RD: u16 = 0x0100;

impl Question {
    /// As `dig` asks, but without a cookie.
    pub(crate) fn new(name: &str, rtype: RecordType) -> Self {
        let mut wire = Vec::new();
        name::parse_to_wire(name.as_bytes(), Some(&[0]), &mut wire).unwrap();
        assert!(wire.len() <= NAME_OCTETS_MAX);
        let edns = Edns { octets: 1232, version: 0, dnssec_ok: false, options: Vec::new() };
        Self { name: wire, rtype: rtype.0, class: 1, flags: RD, edns: Some(edns) }
    }

    pub(crate) fn subnet(mut self, address: IpAddr, length: u8) -> Self {
        let edns = self.edns.as_mut().unwrap();
        edns.options.extend(subnet(address, length));
        self
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        for number in [ID, self.flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            packet.extend(number.to_be_bytes());
        }
        packet.extend(&self.name);
        packet.extend(self.rtype.to_be_bytes());
        packet.extend(self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            packet.extend([0, 0, 41]);
            packet.extend(edns.octets.to_be_bytes());
            packet.extend([0, edns.version, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
            packet.extend((edns.options.len() as u16).to_be_bytes());
            packet.extend(&edns.options);
        }
        packet
    }
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn subnet(address: IpAddr, length: u8) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let mut sent = octets[..usize::from(length).div_ceil(8)].to_vec();
    if let (Some(last), bits @ 1..) = (sent.last_mut(), length % 8) {
        *last &= 0xff << (8 - bits);
    }
    option(8, &[&[0, family, length, 0][..], &sent].concat())
}

/// Reads `dig NAME [TYPE] [CLASS] [+word...] [from ADDRESS]` or `packet OCTETS... [+tcp] [from ADDRESS]`, where
/// octets are hexadecimal digits or `name:www.example.com`.
pub(crate) fn read(line: &str) -> Result<Asked, String> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let mut source = "198.51.100.7".parse().unwrap();
    if let [.., "from", address] = words[..] {
        source = address.parse().map_err(|_| format!("{address} is no address"))?;
        words.truncate(words.len() - 2);
    }
    let by = [
        ("+tcp", Transport::Tcp),
        ("+tls", Transport::Tls),
        ("+https", Transport::Https),
        ("+quic", Transport::Quic),
    ];
    let mut transport = Transport::Udp;
    words.retain(|word| {
        let named = by.iter().find(|(name, _)| name == word);
        named.inspect(|(_, named)| transport = *named).is_none()
    });
    let packet = match words.split_first() {
        Some((&"dig", words)) => dig(words)?.packet(),
        Some((&"packet", words)) => {
            words.iter().map(|word| octets(word)).collect::<Result<Vec<_>, _>>()?.concat()
        }
        _ => return Err(format!("neither dig nor packet: {line}")),
    };
    Ok(Asked { packet, source, transport })
}

fn dig(words: &[&str]) -> Result<Question, String> {
    let (name, words) = words.split_first().ok_or("dig what?")?;
    let mut question = Question::new(name, RecordType::A);
    for word in words {
        match word.strip_prefix('+') {
            Some(word) => plus(word, &mut question)?,
            None => match *word {
                "IN" => question.class = 1,
                "CH" => question.class = 3,
                "HS" => question.class = 4,
                "NONE" => question.class = 254,
                "CLASS255" => question.class = 255,
                rtype => {
                    let rtype: RecordType = rtype.parse().map_err(|_| format!("{rtype} is no type"))?;
                    question.rtype = rtype.0;
                }
            },
        }
    }
    Ok(question)
}

fn plus(word: &str, question: &mut Question) -> Result<(), String> {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let number = || value.parse::<u16>().map_err(|_| format!("{value:?} is no number"));
    match key {
        "norec" => question.flags &= !RD,
        "cdflag" => question.flags |= 0x0010,
        "adflag" => question.flags |= 0x0020,
        "aaflag" => question.flags |= 0x0400,
        "tcflag" => question.flags |= 0x0200,
        "opcode" => question.flags |= number()? << 11,
        "noedns" => question.edns = None,
        _ => {
            let edns = question.edns.as_mut().ok_or("no EDNS, no option")?;
            match key {
                "dnssec" => edns.dnssec_ok = true,
                "bufsize" => edns.octets = number()?,
                "edns" => edns.version = u8::try_from(number()?).unwrap(),
                "subnet" => {
                    let (address, length) = value.split_once('/').ok_or("a subnet has a length")?;
                    let address = address.parse().map_err(|_| format!("{address} is no address"))?;
                    edns.options.extend(subnet(address, length.parse().unwrap()));
                }
                "ednsopt" => {
                    let (code, data) = value.split_once(':').unwrap_or((value, ""));
                    edns.options.extend(option(code.parse().unwrap(), &octets(data)?));
                }
                _ => return Err(format!("+{word} means nothing here")),
            }
        }
    }
    Ok(())
}

fn octets(text: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = text.strip_prefix("name:") {
        return Ok(Question::new(text, RecordType::A).name);
    }
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).map(|it| it as u8)).collect::<Option<_>>().ok_or(text)?;
    if digits.len() % 2 == 1 {
        return Err(format!("half an octet in {text}"));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
