//! What proves that something is not there: the order of a zone's names, by name (NSEC, RFC 4034 section 4) or by
//! hash of name (NSEC3, RFC 5155), as keys that compare as octets do; and the data of the records that span it.

use ring::digest;

use crate::name;
use crate::wire::code::RecordType;
use crate::zone::rdata;

/// Which proofs a zone has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// By name: whoever asks long enough learns every name.
    Nsec,
    /// By hash of name.
    Nsec3(Nsec3),
}

/// How names are hashed; ours are with neither, as RFC 9276 has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nsec3 {
    /// How often the hash is hashed again.
    pub iterations: u16,
    /// What is hashed with it.
    pub salt: Box<[u8]>,
}

/// Octets of a hash of a name: SHA-1, the one hash there is for this.
pub const HASH_OCTETS: usize = 20;
/// More iterations are refused in zones that are signed elsewhere: each costs every negative answer a hash, and
/// validators refuse them too (RFC 9276 section 3.2).
pub const ITERATIONS_MAX: u16 = 100;
/// The longest label of a hash, with its length octet: base32hex of 20 octets.
const HASH_LABEL_OCTETS: usize = 33;

/// Where a name stands in a zone's order. On the stack, since queries make it.
pub struct Place {
    octets: [u8; Self::OCTETS_MAX],
    length: usize,
}

impl Place {
    /// Every octet of a name may take two; an end for each label is within.
    const OCTETS_MAX: usize = 2 * name::NAME_OCTETS_MAX;

    /// What compares with others of the zone.
    #[must_use]
    pub fn as_octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn push(&mut self, octet: u8) {
        self.octets[self.length] = octet;
        self.length += 1;
    }

    /// Labels from the last to the first, those of the apex left out, each ended by a zero octet; the octets 0 and 1
    /// inside become two. So octets compare as names do (RFC 4034 section 6.1).
    fn of_name(name: &[u8], apex_labels: usize) -> Self {
        let mut place = Self { octets: [0; Self::OCTETS_MAX], length: 0 };
        for label in name::labels(name).rev().skip(apex_labels) {
            for &octet in label {
                match octet {
                    0 | 1 => [1, octet + 1].into_iter().for_each(|octet| place.push(octet)),
                    _ => place.push(octet.to_ascii_lowercase()),
                }
            }
            place.push(0);
        }
        place
    }
}

impl Denial {
    /// Where `name`, at or below an apex of so many labels, stands in the order.
    #[must_use]
    pub fn place(&self, name: &[u8], apex_labels: usize) -> Place {
        match self {
            Self::Nsec => Place::of_name(name, apex_labels),
            Self::Nsec3(nsec3) => {
                let mut place = Place { octets: [0; Place::OCTETS_MAX], length: HASH_OCTETS };
                place.octets[..HASH_OCTETS].copy_from_slice(&nsec3.hash(name));
                place
            }
        }
    }

    /// The type of the records.
    #[must_use]
    pub fn rtype(&self) -> RecordType {
        match self {
            Self::Nsec => RecordType::NSEC,
            Self::Nsec3(_) => RecordType::NSEC3,
        }
    }
}

impl Nsec3 {
    /// The hash of a name in lower case (RFC 5155 section 5).
    #[must_use]
    pub fn hash(&self, name: &[u8]) -> [u8; HASH_OCTETS] {
        let mut hash = self.hash_once(name);
        for _ in 0..self.iterations {
            hash = self.hash_once(&hash);
        }
        hash
    }

    fn hash_once(&self, octets: &[u8]) -> [u8; HASH_OCTETS] {
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(octets);
        context.update(&self.salt);
        context.finish().as_ref().try_into().expect("SHA-1 has 20 octets")
    }

    /// The data of NSEC3PARAM (RFC 5155 section 4).
    #[must_use]
    pub fn parameters(&self) -> Vec<u8> {
        let [high, low] = self.iterations.to_be_bytes();
        [&[1, 0, high, low, self.salt.len() as u8], &*self.salt].concat()
    }

    /// The data of the record that goes to the hash `next`; no opt-out.
    #[must_use]
    pub fn data(&self, next: &[u8; HASH_OCTETS], types: &mut [u16]) -> Vec<u8> {
        let mut data = self.parameters();
        data.push(HASH_OCTETS as u8);
        data.extend_from_slice(next);
        rdata::write_bitmap(types, &mut data);
        data
    }
}

/// The data of the NSEC record that goes to the name `next`.
#[must_use]
pub fn nsec_data(next: &[u8], types: &mut [u16]) -> Vec<u8> {
    let mut data = next.to_vec();
    rdata::write_bitmap(types, &mut data);
    data
}

/// The first label of the owner of an NSEC3 record, with its length octet, in lower case.
#[must_use]
pub fn hash_label(hash: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(HASH_LABEL_OCTETS);
    rdata::show_base32hex(hash, &mut text).expect("a string takes all");
    text.make_ascii_lowercase();
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// Where the bitmap of types begins in the data of NSEC or NSEC3.
///
/// # Panics
/// When it is no such data.
#[must_use]
pub fn bitmap_at(rtype: RecordType, data: &[u8]) -> usize {
    match rtype {
        RecordType::NSEC => name::wire_length(data).expect("NSEC begins with a name"),
        _ => {
            let salt_end = 5 + usize::from(data[4]);
            salt_end + 1 + usize::from(data[salt_end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use proptest::prelude::*;

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<Name>().unwrap().as_wire().to_vec()
    }

    /// RFC 5155 appendix A: salt aabbccdd, 12 iterations.
    #[test]
    fn hashes_are_those_of_rfc_5155() {
        let nsec3 = Nsec3 { iterations: 12, salt: vec![0xaa, 0xbb, 0xcc, 0xdd].into() };
        for (name, hash) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            assert_eq!(hash_label(&nsec3.hash(&wire(name)))[1..], *hash.as_bytes(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn places_compare_as_names_do(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let apex = wire("example.com");
            let name = |labels: &[Vec<u8>]| {
                let mut name = Vec::new();
                for label in labels.iter().take(5).filter(|label| !label.is_empty()) {
                    let label = &label[..label.len().min(40)];
                    name.push(label.len() as u8);
                    name.extend(label.to_ascii_lowercase());
                }
                [name, apex.clone()].concat()
            };
            let (a, b) = (name(&a), name(&b));
            let place = |name: &[u8]| Denial::Nsec.place(name, 2);
            prop_assert_eq!(place(&a).as_octets().cmp(place(&b).as_octets()), name::canonical_order(&a, &b));
        }
    }
}
