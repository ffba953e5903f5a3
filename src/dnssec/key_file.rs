//! Keys as text: the two files `Kexample.com.+013+12345.key` and `.private` that BIND's tools write and read.
//! Reading and writing the files themselves is left to others.

use std::fmt::{self, Write};

use super::key::{Key, Mismatch};
use super::timing::{DATES, Timing, written};
use super::{Algorithm, wall};
use crate::name::Name;
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::rdata;

/// The most octets of a file of keys; ours have a few hundred.
pub const KEY_FILE_OCTETS_MAX: usize = 65_536;

/// Why two texts are no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// The `.key` file holds no DNSKEY record.
    NoRecord,
    /// What its record holds is no DNSKEY; why.
    Record(String),
    /// An algorithm that is not signed by here.
    Algorithm(u8),
    /// The `.private` file lacks this line, or it makes no sense.
    Line(&'static str),
    /// The two files say different algorithms.
    TwoAlgorithms,
    /// They make no key.
    Mismatch(Mismatch),
}

/// The public half, as a `.key` file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The zone.
    pub owner: Name,
    /// The data of the DNSKEY record.
    pub dnskey: Vec<u8>,
}

/// The name of the files, without their endings.
#[must_use]
pub fn stem(owner: &Name, algorithm: u8, tag: u16) -> String {
    let owner = owner.to_string().replace('/', "%2F");
    format!("K{owner}+{algorithm:03}+{tag:05}")
}

/// Reads the key of both files.
pub fn read(key: &str, private: &str) -> Result<Key, KeyFault> {
    let PublicKey { owner, dnskey } = read_public(key)?;
    let number = dnskey[3];
    let algorithm = Algorithm::from_number(number).ok_or(KeyFault::Algorithm(number))?;
    let stated =
        value(private, "Algorithm").and_then(|text| text.split_whitespace().next()?.parse::<u8>().ok());
    match stated {
        None => return Err(KeyFault::Line("Algorithm")),
        Some(stated) if stated != number => return Err(KeyFault::TwoAlgorithms),
        Some(_) => {}
    }
    let mut secret = Vec::new();
    value(private, "PrivateKey")
        .and_then(|text| rdata::decode_base64(text.as_bytes(), &mut secret))
        .ok_or(KeyFault::Line("PrivateKey"))?;
    let flags = u16::from_be_bytes([dnskey[0], dnskey[1]]);
    let timing = read_timing(private)?;
    Key::new(owner, flags, algorithm, &dnskey[4..], &secret, timing).map_err(KeyFault::Mismatch)
}

/// Reads a `.key` file.
pub fn read_public(text: &str) -> Result<PublicKey, KeyFault> {
    let is_record = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with(';');
    let line = text.lines().find(is_record).ok_or(KeyFault::NoRecord)?;
    let at = line.find("DNSKEY").ok_or(KeyFault::NoRecord)?;
    let owner = line.split_whitespace().next().ok_or(KeyFault::NoRecord)?;
    let owner = owner.parse().map_err(|fault: crate::name::NameFault| KeyFault::Record(fault.to_string()))?;
    let data = &line[at + "DNSKEY".len()..];
    let dnskey = rdata::read_text(RecordType::DNSKEY, data, &Name::root())
        .map_err(|fault| KeyFault::Record(fault.to_string()))?;
    Ok(PublicKey { owner, dnskey })
}

fn read_timing(private: &str) -> Result<Timing, KeyFault> {
    let mut timing = Timing::default();
    for (name, date) in DATES {
        if let Some(text) = value(private, name) {
            let seconds = rdata::parse_time(text.as_bytes()).ok_or(KeyFault::Line(name))?;
            *date(&mut timing) = Some(wall(seconds));
        }
    }
    Ok(timing)
}

/// When a `.key` file says, in a comment as ours and BIND's have it, that its key is to leave the zone.
#[must_use]
pub fn public_delete(text: &str) -> Option<WallTime> {
    let date = text.lines().find_map(|line| line.strip_prefix("; Delete:"))?;
    // Behind the date BIND has it once more in words.
    rdata::parse_time(date.split_whitespace().next()?.as_bytes()).map(wall)
}

/// What stands behind `name:` in a `.private` file.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = |line: &'t str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    text.lines().find_map(line)
}

/// The text of the `.key` file. `ttl` is that of the DNSKEY set.
#[must_use]
pub fn write_public(key: &Key, ttl: u32) -> String {
    let kind = if key.is_secure_entry() { "key" } else { "zone" };
    let mut text = format!("; This is a {kind}-signing key, keyid {}, for {}\n", key.tag(), key.owner());
    for (date, name) in key.timing.dates() {
        let _ = writeln!(text, "; {name}: {}", written(date));
    }
    let _ = write!(text, "{} {ttl} IN DNSKEY ", key.owner());
    rdata::show(RecordType::DNSKEY, &key.dnskey(), &mut text).expect("a string takes all");
    text.push('\n');
    text
}

/// The text of the `.private` file.
#[must_use]
pub fn write_private(key: &Key) -> String {
    let algorithm = key.algorithm();
    let mut text = format!(
        "Private-key-format: v1.3\nAlgorithm: {} ({})\nPrivateKey: ",
        algorithm.number(),
        algorithm.mnemonic()
    );
    rdata::show_base64_whole(key.private(), &mut text).expect("a string takes all");
    text.push('\n');
    for (date, name) in key.timing.dates() {
        let _ = writeln!(text, "{name}: {}", written(date));
    }
    text
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord => f.write_str("the file holds no DNSKEY record"),
            Self::Record(why) => write!(f, "the DNSKEY record cannot be read: {why}"),
            Self::Algorithm(number) => {
                write!(
                    f,
                    "the key is of algorithm {number}; 13 (ECDSAP256SHA256) and 15 (ED25519) can sign here"
                )
            }
            Self::Line(name) => write!(f, "the private file has no good line \"{name}: ...\""),
            Self::TwoAlgorithms => f.write_str("the private file says another algorithm than the public one"),
            Self::Mismatch(why) => write!(f, "{why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnssec::key::{SECURE_ENTRY, ZONE_KEY};

    /// The example of RFC 8080 section 6.1.
    const ED25519_KEY: &str =
        "example.com. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n";
    const ED25519_PRIVATE: &str = "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\n\
                                   PrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n";
    /// The example of RFC 6605 section 6.1.
    const ECDSA_KEY: &str = "; a comment\nexample.net. 3600 IN DNSKEY 257 3 13 \
        GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n";
    const ECDSA_PRIVATE: &str = "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n\
                                 PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\nPublish: 20200101000000\n";

    fn ds(key: &Key) -> String {
        let mut text = String::new();
        rdata::show(RecordType::DS, &key.ds(), &mut text).unwrap();
        text
    }

    #[test]
    fn the_examples_of_the_rfcs_are_read_and_named() {
        let key = read(ED25519_KEY, ED25519_PRIVATE).unwrap();
        assert_eq!(ds(&key), "3613 15 2 3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78 E79A304B");
        let key = read(ECDSA_KEY, ECDSA_PRIVATE).unwrap();
        assert_eq!(ds(&key), "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E3 7DF61D17");
        assert_eq!(key.timing.publish.map(written).as_deref(), Some("20200101000000"));
    }

    #[test]
    fn new_keys_are_read_as_they_were_written() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
            let timing = Timing::from_now(WallTime(1_767_225_599_123));
            let key =
                Key::generate("a/b.example".parse().unwrap(), ZONE_KEY | SECURE_ENTRY, algorithm, timing);
            let again = read(&write_public(&key, 3600), &write_private(&key)).unwrap();
            assert_eq!((again.dnskey(), again.private()), (key.dnskey(), key.private()));
            assert_eq!((again.timing, again.owner()), (key.timing, key.owner()));
            assert!(!stem(key.owner(), 13, key.tag()).contains('/'));
        }
    }

    #[test]
    fn a_public_half_tells_when_its_key_goes() {
        let bind = "; Delete: 20260102000000 (Fri Jan  2 00:00:00 2026)\n";
        assert_eq!(public_delete(bind).map(written).as_deref(), Some("20260102000000"));
        assert_eq!(public_delete("; Delete: soon\n").or(public_delete(ED25519_KEY)), None);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let fault = |key: &str, private: &str| read(key, private).unwrap_err();
        assert_eq!(fault("; nothing\n", ""), KeyFault::NoRecord);
        assert_eq!(fault(ED25519_KEY, ECDSA_PRIVATE), KeyFault::TwoAlgorithms);
        assert_eq!(fault(ED25519_KEY, ""), KeyFault::Line("Algorithm"));
        assert_eq!(fault(ED25519_KEY, "Algorithm: 15\n"), KeyFault::Line("PrivateKey"));
        assert_eq!(fault(&ED25519_KEY.replace("3 15", "3 8"), ED25519_PRIVATE), KeyFault::Algorithm(8));
        assert_eq!(
            fault(&ED25519_KEY.replace("257", "384"), ED25519_PRIVATE),
            KeyFault::Mismatch(Mismatch::Flags)
        );
        assert_eq!(
            fault(&ED25519_KEY.replace("l02W", "l02X"), ED25519_PRIVATE),
            KeyFault::Mismatch(Mismatch::Private)
        );
        assert_eq!(fault(ECDSA_KEY, &ECDSA_PRIVATE.replace("2020", "20xx")), KeyFault::Line("Publish"));
    }
}
