//! A key: what it is in DNSKEY and DS records, and signing by it.

use std::fmt;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::timing::Timing;
use super::{Algorithm, SIGNATURE_OCTETS};
use crate::name::Name;

/// DNSKEY flags (RFC 4034 section 2.1.1): a key of a zone.
pub const ZONE_KEY: u16 = 0x0100;
/// DNSKEY flags: a secure entry point, which the parent's DS names.
pub const SECURE_ENTRY: u16 = 0x0001;
/// The digest type of DS records: SHA-256 (RFC 4509).
const SHA_256: u8 = 2;
/// Digest types that others use: SHA-1 (RFC 4034), SHA-384 (RFC 6605).
const SHA_1: u8 = 1;
const SHA_384: u8 = 4;
/// Octets of a private key, by either algorithm: the scalar, or the seed.
const PRIVATE_OCTETS: usize = 32;

/// A zone's key.
pub struct Key {
    owner: Name,
    flags: u16,
    algorithm: Algorithm,
    /// As the DNSKEY record has it.
    public: Box<[u8]>,
    private: [u8; PRIVATE_OCTETS],
    pair: Pair,
    tag: u16,
    /// When it is used for what.
    pub timing: Timing,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why parts make no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The flags are not those of a zone's key.
    Flags,
    /// The private key is no key of the algorithm, or not that of the public one.
    Private,
}

impl Key {
    /// A key of its parts.
    pub fn new(
        owner: Name,
        flags: u16,
        algorithm: Algorithm,
        public: &[u8],
        private: &[u8],
        timing: Timing,
    ) -> Result<Self, Mismatch> {
        // What is revoked (RFC 5011) or no zone key signs nothing.
        if flags & !SECURE_ENTRY != ZONE_KEY {
            return Err(Mismatch::Flags);
        }
        let private: [u8; PRIVATE_OCTETS] = private.try_into().map_err(|_| Mismatch::Private)?;
        let pair = pair(algorithm, public, &private).ok_or(Mismatch::Private)?;
        let mut key = Self { owner, flags, algorithm, public: public.into(), private, pair, tag: 0, timing };
        key.tag = tag(&key.dnskey());
        Ok(key)
    }

    /// A new key, drawn by the system.
    ///
    /// # Panics
    /// When the system gives no random octets.
    #[must_use]
    pub fn generate(owner: Name, flags: u16, algorithm: Algorithm, timing: Timing) -> Self {
        let (public, private) = generate(algorithm);
        Self::new(owner, flags, algorithm, &public, &private, timing).expect("what was drawn is a pair")
    }

    /// The zone.
    #[must_use]
    pub fn owner(&self) -> &Name {
        &self.owner
    }

    /// The flags of its DNSKEY record.
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// Whether the parent's DS may name it.
    #[must_use]
    pub fn is_secure_entry(&self) -> bool {
        self.flags & SECURE_ENTRY != 0
    }

    /// Whether it is of the algorithm and the kind of `other`, so that one may follow the other.
    #[must_use]
    pub fn is_alike(&self, other: &Key) -> bool {
        (self.algorithm, self.flags) == (other.algorithm, other.flags)
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key tag (RFC 4034 appendix B).
    #[must_use]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// The private half, for the file that it is kept in.
    #[must_use]
    pub fn private(&self) -> &[u8] {
        &self.private
    }

    /// The data of its DNSKEY record, which is that of CDNSKEY too.
    #[must_use]
    pub fn dnskey(&self) -> Vec<u8> {
        let [high, low] = self.flags.to_be_bytes();
        [&[high, low, 3, self.algorithm.number()], &*self.public].concat()
    }

    /// The data of the DS record that names it, which is that of CDS too.
    #[must_use]
    pub fn ds(&self) -> Vec<u8> {
        let named = [self.owner.as_wire(), &self.dnskey()].concat();
        let [high, low] = self.tag.to_be_bytes();
        let digest = digest::digest(&digest::SHA256, &named);
        [&[high, low, self.algorithm.number(), SHA_256], digest.as_ref()].concat()
    }

    /// The signature over `octets`.
    ///
    /// # Panics
    /// When the system gives no random octets.
    #[must_use]
    pub fn sign(&self, octets: &[u8]) -> [u8; SIGNATURE_OCTETS] {
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), octets).expect("the system gives random octets")
            }
            Pair::Ed25519(pair) => pair.sign(octets),
        };
        signature.as_ref().try_into().expect("signatures of both algorithms have 64 octets")
    }
}

fn pair(algorithm: Algorithm, public: &[u8], private: &[u8]) -> Option<Pair> {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => {
            // DNSKEY leaves out the octet that says "both coordinates follow" (RFC 6605 section 4).
            let point = [&[4], public].concat();
            let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let random = SystemRandom::new();
            EcdsaKeyPair::from_private_key_and_public_key(signing, private, &point, &random)
                .ok()
                .map(Pair::Ecdsa)
        }
        Algorithm::Ed25519 => {
            Ed25519KeyPair::from_seed_and_public_key(private, public).ok().map(Pair::Ed25519)
        }
    }
}

/// A public key and its private one.
fn generate(algorithm: Algorithm) -> (Vec<u8>, Vec<u8>) {
    const DRAWN: &str = "the system gives random octets";
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::EcdsaP256Sha256 => {
            let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(signing, &random).expect(DRAWN);
            // ring shows a scalar in this document only, whose form is fixed (RFC 5915 in RFC 5208): the scalar
            // begins at octet 36, the point ends it. A wrong guess would not make a pair in `Key::new`.
            let octets = document.as_ref();
            let point = &octets[octets.len() - 64..];
            (point.to_vec(), octets[36..36 + PRIVATE_OCTETS].to_vec())
        }
        Algorithm::Ed25519 => {
            let mut seed = [0; PRIVATE_OCTETS];
            random.fill(&mut seed).expect(DRAWN);
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 octets are a seed");
            (pair.public_key().as_ref().to_vec(), seed.to_vec())
        }
    }
}

/// The key tag of DNSKEY data (RFC 4034 appendix B).
#[must_use]
pub fn tag(dnskey: &[u8]) -> u16 {
    let place = |(at, octet): (usize, &u8)| u32::from(*octet) << (8 * (1 - at % 2));
    let sum: u32 = dnskey.iter().enumerate().map(place).sum();
    (sum + (sum >> 16)) as u16
}

/// Whether a DS record of `owner` names this key, both as record data. Digests of types that are not known here are
/// believed.
#[must_use]
pub fn is_named_by(owner: &Name, dnskey: &[u8], ds: &[u8]) -> bool {
    let [high, low] = tag(dnskey).to_be_bytes();
    let ([named @ .., kind], digest) = ds.split_first_chunk::<4>().expect("a DS record is longer");
    if *named != [high, low, dnskey[3]] {
        return false;
    }
    let algorithm = match *kind {
        SHA_1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SHA_256 => &digest::SHA256,
        SHA_384 => &digest::SHA384,
        _ => return true,
    };
    digest::digest(algorithm, &[owner.as_wire(), dnskey].concat()).as_ref() == digest
}

impl fmt::Debug for Key {
    /// Without the private half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {} {})", self.owner, self.algorithm.mnemonic(), self.tag)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flags => "its flags are neither 256 nor 257, so it cannot sign a zone",
            Self::Private => "the private half is not that of the public one",
        })
    }
}
