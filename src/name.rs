//! Domain names. A [`Name`] is absolute and held as it travels (RFC 1035 section 3.1), in lower case, since
//! names compare without regard to case (RFC 4343); the case that people see is that of the question or of
//! the record data, which keep theirs. [`labels`] and [`suffixes`] work on any wire name that was checked.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest name in octets, length octets and root included (RFC 1035 section 2.3.4).
pub const NAME_OCTETS_MAX: usize = 255;
/// The longest label in octets (RFC 1035 section 2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// An absolute domain name in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

/// Text or octets that are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing at all, where at least "." is wanted.
    Empty,
    /// Two dots in a row, or a dot at the start.
    EmptyLabel,
    /// A label of more than 63 octets.
    LabelTooLong,
    /// More than 255 octets.
    NameTooLong,
    /// A backslash that is followed by neither a character nor three digits up to 255.
    Escape,
    /// No dot at the end, and no origin to complete it.
    Relative,
    /// Octets that end too early, or a compression pointer where none may be.
    Wire,
}

impl Name {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads a name as a master file writes it (RFC 1035 section 5.1): `\.` and `\DDD` escapes, `@` for the
    /// origin, names without a final dot completed by the origin.
    pub fn parse(text: &str, origin: Option<&Name>) -> Result<Self, NameFault> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        parse_to_wire(text.as_bytes(), origin.map(Name::as_wire), &mut wire)?;
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// Reads an uncompressed name from the start of `octets`; gives it with how many octets it took.
    pub fn from_wire(octets: &[u8]) -> Result<(Self, usize), NameFault> {
        let length = wire_length(octets)?;
        Ok((Self::from_checked(&octets[..length]), length))
    }

    /// A name from octets that are known to be one, in any case.
    #[must_use]
    pub fn from_checked(wire: &[u8]) -> Self {
        debug_assert_eq!(wire_length(wire), Ok(wire.len()), "the caller has checked the name");
        Self(wire.to_ascii_lowercase().into())
    }

    /// The name as it travels, uncompressed, in lower case.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// How many labels it has, the root not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }

    /// The name without its first label; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<Name> {
        parent(&self.0).map(|wire| Self(wire.into()))
    }

    /// Whether the first label is the asterisk (RFC 4592 section 2.1.1).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Whether this is `ancestor` or a name below it.
    #[must_use]
    pub fn is_at_or_below(&self, ancestor: &Name) -> bool {
        suffixes(&self.0).any(|suffix| suffix == &*ancestor.0)
    }

    /// Whether this is a name below `ancestor`, not itself.
    #[must_use]
    pub fn is_below(&self, ancestor: &Name) -> bool {
        self.0.len() > ancestor.0.len() && self.is_at_or_below(ancestor)
    }

    /// This name with `label` in front; a fault when that is too long.
    pub fn child(&self, label: &[u8]) -> Result<Name, NameFault> {
        if label.is_empty() {
            return Err(NameFault::EmptyLabel);
        }
        if label.len() > LABEL_OCTETS_MAX {
            return Err(NameFault::LabelTooLong);
        }
        if self.0.len() + label.len() + 1 > NAME_OCTETS_MAX {
            return Err(NameFault::NameTooLong);
        }
        let mut wire = Vec::with_capacity(self.0.len() + label.len() + 1);
        wire.push(label.len() as u8);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
        wire.extend_from_slice(&self.0);
        Ok(Self(wire.into()))
    }
}

/// Appends the wire form of a name in master-file text to `out`, in the case it was written in. `origin` is
/// the wire name that `@` and names without a final dot refer to. On a fault `out` is as long as before.
pub fn parse_to_wire(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameFault> {
    let start = out.len();
    let result = append_name(text, origin, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append_name(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameFault> {
    let start = out.len();
    match text {
        b"" => return Err(NameFault::Empty),
        b"." => {
            out.push(0);
            return Ok(());
        }
        b"@" => {
            out.extend_from_slice(origin.ok_or(NameFault::Relative)?);
            return Ok(());
        }
        _ => {}
    }
    let mut length_at = out.len();
    out.push(0);
    let mut rest = text;
    let mut absolute = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let octet = match byte {
            b'.' => {
                close_label(out, length_at)?;
                absolute = rest.is_empty();
                length_at = out.len();
                out.push(0);
                continue;
            }
            b'\\' => unescape(&mut rest)?,
            _ => byte,
        };
        out.push(octet);
        if out.len() - start > NAME_OCTETS_MAX + 1 {
            return Err(if out.len() - length_at > LABEL_OCTETS_MAX + 1 {
                NameFault::LabelTooLong
            } else {
                NameFault::NameTooLong
            });
        }
    }
    if !absolute {
        close_label(out, length_at)?;
        out.extend_from_slice(origin.ok_or(NameFault::Relative)?);
    }
    if out.len() - start > NAME_OCTETS_MAX { Err(NameFault::NameTooLong) } else { Ok(()) }
}

/// Reads what follows a backslash: three digits, or the character itself.
pub fn unescape(rest: &mut &[u8]) -> Result<u8, NameFault> {
    let text = *rest;
    match *text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            *rest = &text[3..];
            u8::try_from(value).map_err(|_| NameFault::Escape)
        }
        [b'0'..=b'9', ..] | [] => Err(NameFault::Escape),
        [octet, ..] => {
            *rest = &text[1..];
            Ok(octet)
        }
    }
}

fn close_label(out: &mut [u8], length_at: usize) -> Result<(), NameFault> {
    match out.len() - length_at - 1 {
        0 => Err(NameFault::EmptyLabel),
        length @ 1..=LABEL_OCTETS_MAX => {
            out[length_at] = length as u8;
            Ok(())
        }
        _ => Err(NameFault::LabelTooLong),
    }
}

/// How many octets the uncompressed name at the start of `octets` takes.
pub fn wire_length(octets: &[u8]) -> Result<usize, NameFault> {
    let mut at = 0;
    loop {
        let length = usize::from(*octets.get(at).ok_or(NameFault::Wire)?);
        at += 1;
        if length == 0 {
            return Ok(at);
        }
        if length > LABEL_OCTETS_MAX {
            return Err(NameFault::Wire);
        }
        at += length;
        if at >= NAME_OCTETS_MAX {
            return Err(NameFault::NameTooLong);
        }
    }
}

/// The labels of a checked wire name, first to last, without the root.
pub fn labels(wire: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    let mut starts = [0u8; 128];
    let mut count = 0;
    let mut at = 0;
    while wire[at] != 0 {
        starts[count] = at as u8;
        count += 1;
        at += 1 + usize::from(wire[at]);
    }
    (0..count).map(move |index| {
        let start = usize::from(starts[index]);
        &wire[start + 1..start + 1 + usize::from(wire[start])]
    })
}

/// The wire name itself, then each ancestor, the root last.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(wire), |suffix| parent(suffix))
}

/// A checked wire name without its first label; the root has none.
#[must_use]
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    match wire[0] {
        0 => None,
        length => Some(&wire[1 + usize::from(length)..]),
    }
}

/// Canonical order of two checked wire names in lower case (RFC 4034 section 6.1): by labels from the root,
/// so that everything below a name directly follows it.
#[must_use]
pub fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    let counts = [a, b].map(|wire| suffixes(wire).count());
    let aligned = |wire, count| suffixes(wire).skip(count - counts[0].min(counts[1]));
    // Of the labels that stand equally far from the root, the last that differ decide; where none do, the name that
    // has more of them lies below the other.
    let labels = aligned(a, counts[0]).zip(aligned(b, counts[1])).map(|(a, b)| first(a).cmp(first(b)));
    labels.filter(|order| order.is_ne()).last().unwrap_or_else(|| counts[0].cmp(&counts[1]))
}

/// The first label of a checked wire name; that of the root is empty.
fn first(wire: &[u8]) -> &[u8] {
    &wire[1..=usize::from(wire[0])]
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_order(&self.0, &other.0)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Name {
    type Err = NameFault;

    /// Reads a name as people write it in a configuration: the final dot may be left out.
    fn from_str(text: &str) -> Result<Self, NameFault> {
        if text == "@" {
            return Err(NameFault::Relative);
        }
        Self::parse(text, Some(&Name::root()))
    }
}

/// Writes a checked wire name as a master file does, with the final dot and escapes where needed.
pub fn write_wire_name(wire: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    if wire[0] == 0 {
        return out.write_char('.');
    }
    for label in labels(wire) {
        for &octet in label {
            match octet {
                b'.' | b'"' | b'(' | b')' | b';' | b'@' | b'\\' | b'$' => write!(out, "\\{}", octet as char)?,
                0x21..=0x7e => out.write_char(octet as char)?,
                _ => write!(out, "\\{octet:03}")?,
            }
        }
        out.write_char('.')?;
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire_name(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name is missing; the root is written \".\"",
            Self::EmptyLabel => "a label is empty; between two dots stands at least one character",
            Self::LabelTooLong => "a label is longer than 63 octets",
            Self::NameTooLong => "the name is longer than 255 octets",
            Self::Escape => "a backslash is followed by one character or by three digits up to 255",
            Self::Relative => "the name is not absolute; end it with a dot",
            Self::Wire => "the octets are no uncompressed name",
        })
    }
}

impl std::error::Error for NameFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_wire_agree() {
        let www = name("WWW.Example.com");
        assert_eq!(www.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(www.to_string(), "www.example.com.");
        assert_eq!(name(".").as_wire(), b"\x00");
        assert_eq!(name(".").to_string(), ".");
        assert_eq!(Name::from_wire(b"\x03WWW\x00rest"), Ok((name("www"), 5)));
        assert_eq!(www.label_count(), 3);
    }

    #[test]
    fn escapes_go_both_ways() {
        let odd = name(r"a\.b\032c\\.example");
        assert_eq!(odd.as_wire(), b"\x06a.b c\\\x07example\x00");
        assert_eq!(odd.to_string(), r"a\.b\032c\\.example.");
        assert_eq!(r"a\256".parse::<Name>(), Err(NameFault::Escape));
        assert_eq!(r"a\25".parse::<Name>(), Err(NameFault::Escape));
        assert_eq!("a\\".parse::<Name>(), Err(NameFault::Escape));
    }

    #[test]
    fn relative_names_take_the_origin() {
        let origin = name("example.com");
        assert_eq!(Name::parse("www", Some(&origin)), Ok(name("www.example.com")));
        assert_eq!(Name::parse("@", Some(&origin)), Ok(origin.clone()));
        assert_eq!(Name::parse("www.", Some(&origin)), Ok(name("www")));
        assert_eq!(Name::parse("www", None), Err(NameFault::Relative));
        assert_eq!(Name::parse(r"www\.", Some(&origin)), Ok(name(r"www\..example.com")));
    }

    #[test]
    fn limits_are_those_of_rfc_1035() {
        let label = "a".repeat(63);
        assert!(label.parse::<Name>().is_ok());
        assert_eq!("a".repeat(64).parse::<Name>(), Err(NameFault::LabelTooLong));
        assert_eq!("a".repeat(400).parse::<Name>(), Err(NameFault::LabelTooLong));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(name(&longest).as_wire().len(), 255);
        assert_eq!(format!("{longest}a").parse::<Name>(), Err(NameFault::NameTooLong));
        assert_eq!(wire_length(&[[1, b'a'].repeat(128), vec![0]].concat()), Err(NameFault::NameTooLong));
        assert!(wire_length(&[[1, b'a'].repeat(127), vec![0]].concat()).is_ok());
        assert_eq!(wire_length(b"\xc0\x0c"), Err(NameFault::Wire));
        assert_eq!(wire_length(b"\x03ab"), Err(NameFault::Wire));
        assert_eq!("a..b".parse::<Name>(), Err(NameFault::EmptyLabel));
        assert_eq!(".a".parse::<Name>(), Err(NameFault::EmptyLabel));
    }

    #[test]
    fn ancestors_are_found_by_label_not_by_letter() {
        assert!(name("a.example.com").is_below(&name("example.com")));
        assert!(name("example.com").is_at_or_below(&name("example.com")));
        assert!(!name("example.com").is_below(&name("example.com")));
        assert!(!name("badexample.com").is_at_or_below(&name("example.com")));
        assert_eq!(name("a.b").parent(), Some(name("b")));
        assert_eq!(Name::root().parent(), None);
    }

    /// The example of RFC 4034 section 6.1.
    #[test]
    fn canonical_order_is_that_of_rfc_4034() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{} before {}", pair[0], pair[1]);
        }
    }
}
