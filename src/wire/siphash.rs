//! SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012), which DNS cookies are made with. The
//! standard library's hashers promise no algorithm.

/// The hash of `message` under `key`.
#[must_use]
pub fn siphash_2_4(key: &[u8; 16], message: &[u8]) -> u64 {
    let (k0, k1) = key.split_at(8);
    let (k0, k1) = (word(k0), word(k1));
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    let (words, rest) = message.as_chunks::<8>();
    for octets in words {
        state.take(u64::from_le_bytes(*octets));
    }
    // The length's lowest octet ends the last word.
    state.take(word(rest) | (message.len() as u64) << 56);
    state.0[2] ^= 0xff;
    for _ in 0..4 {
        state.round();
    }
    state.0.iter().fold(0, |hash, part| hash ^ part)
}

struct State([u64; 4]);

impl State {
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

/// At most eight octets as a number, the lowest first.
fn word(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_paper_comes_out() {
        let key = std::array::from_fn(|at| at as u8);
        let message: [u8; 15] = std::array::from_fn(|at| at as u8);
        assert_eq!(siphash_2_4(&key, &message), 0xa129_ca61_49be_45e5);
    }
}
