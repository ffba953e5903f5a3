//! DNSSEC: keys and the files that they live in, signatures over canonical RRsets (RFC 4034, RFC 6605, RFC 8080),
//! and what proves that something is not there (NSEC; NSEC3 by RFC 5155 and RFC 9276). Pure but for one thing:
//! ring takes the chance in a P-256 signature from the system itself. Nothing depends on what it draws.
//!
//! Not here: which sets there are to sign, and how queries are answered from them; `answer` knows.

pub mod denial;
pub mod key;
pub mod key_file;
pub mod rollover;
pub mod signatures;
pub mod signer;
pub mod timing;

use crate::time::WallTime;

/// An algorithm to sign by: the two that RFC 8624 recommends for new zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on curve P-256 with SHA-256 (RFC 6605): every validator knows it.
    EcdsaP256Sha256 = 13,
    /// Ed25519 (RFC 8080).
    Ed25519 = 15,
}

/// Octets of a signature, by either algorithm.
pub const SIGNATURE_OCTETS: usize = 64;

impl Algorithm {
    /// The algorithm of a number, if it is one that can be signed by here.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::EcdsaP256Sha256, Self::Ed25519].into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// Its number in the registry "DNS Security Algorithm Numbers".
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Its mnemonic there.
    #[must_use]
    pub fn mnemonic(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ECDSAP256SHA256",
            Self::Ed25519 => "ED25519",
        }
    }
}

/// The seconds since 1970 that signatures and key files count in; they wrap in 2106 (RFC 4034 section 3.1.5).
#[must_use]
pub fn seconds(time: WallTime) -> u32 {
    (time.0 / 1000) as u32
}

/// The moment so many seconds after 1970.
#[must_use]
pub fn wall(seconds: u32) -> WallTime {
    WallTime(u64::from(seconds) * 1000)
}
