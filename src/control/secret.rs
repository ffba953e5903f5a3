//! Secrets from the system's random numbers.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

/// A secret that nobody has had before and nobody will have again.
#[must_use]
pub fn made_up() -> [u8; 16] {
    let mut octets = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut octets));
    if read.is_err() {
        // Where the device is out of reach, the keys of new hashers come from the system by another way.
        for half in octets.as_chunks_mut::<8>().0 {
            *half = RandomState::new().hash_one(0).to_le_bytes();
        }
    }
    octets
}
