//! Signatures that were made, by what they sign: carried from table to table, so that a change signs only what is
//! new.

use std::collections::HashMap;

use ring::digest;

use super::signer::{Set, Signer};
use crate::time::WallTime;

/// Signatures of steered sets, by owner, type, data and keys.
#[derive(Debug, Default)]
pub struct Signatures {
    kept: HashMap<[u8; 32], Kept>,
    /// Counts the calls of [`Signatures::next_round`].
    round: u64,
    made: u64,
}

#[derive(Debug)]
struct Kept {
    rrsigs: Box<[Vec<u8>]>,
    renewal: WallTime,
    /// The round in which it was last asked for.
    used: u64,
}

/// How many sets may be kept that the last round did not ask for: what was served once may be served again, but not
/// everything that ever was.
const UNUSED_MAX: usize = 65_536;

impl Signatures {
    /// The data of the RRSIG records of `set`: kept, or made where there are none that will do.
    pub fn of(&mut self, signer: &Signer, set: &Set<'_>, now: WallTime) -> &[Vec<u8>] {
        let kept = self.kept.entry(digest_of(signer, set, now)).or_insert_with(|| Kept {
            rrsigs: Box::default(),
            renewal: WallTime::default(),
            used: 0,
        });
        if !signer.will_do(set.rtype, kept.rrsigs.iter().map(Vec::as_slice), now) {
            kept.rrsigs = signer.sign(set, now).into();
            let renewals = kept.rrsigs.iter().map(|rrsig| signer.renewal(rrsig));
            kept.renewal = renewals.min().unwrap_or_default();
            self.made += kept.rrsigs.len() as u64;
        }
        kept.used = self.round;
        &kept.rrsigs
    }

    /// How many signatures were made in all.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// How many sets are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// When the first of those that were asked for in this round is to be made anew.
    #[must_use]
    pub fn renewal(&self) -> Option<WallTime> {
        self.kept.values().filter(|kept| kept.used == self.round).map(|kept| kept.renewal).min()
    }

    /// Begins a round, in which everything that may be served is asked for. What is due is forgotten; and what was not
    /// asked for in the round that ends, where that is much.
    pub fn next_round(&mut self, now: WallTime) {
        let round = self.round;
        self.kept.retain(|_, kept| now < kept.renewal);
        let unused = self.kept.values().filter(|kept| kept.used < round).count();
        if unused > UNUSED_MAX {
            self.kept.retain(|_, kept| kept.used >= round);
        }
        self.round += 1;
    }
}

fn digest_of(signer: &Signer, set: &Set<'_>, now: WallTime) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(set.owner);
    context.update(&set.rtype.0.to_be_bytes());
    context.update(&set.ttl.to_be_bytes());
    for key in signer.signing(set.rtype, now) {
        context.update(&key.dnskey());
    }
    for data in &set.data {
        context.update(&(data.len() as u16).to_be_bytes());
        context.update(data);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 octets")
}
