//! What a connection waits for, and since when: one number, so that the connection writes it and the keeper of the seats reads
//! it without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The greeting of a handshake, or the whole of it where its parts are not told apart.
    Handshake,
    /// The rest of the handshake.
    Greeted,
    /// The first octet of a message.
    Idle,
    /// The rest of a message.
    Reading,
    /// Room for replies.
    Writing,
}

/// A connection's phase, and the tick at which it began.
#[derive(Debug)]
pub(super) struct State(AtomicU64);

/// What a phase takes of a packed state.
const PHASE_BITS: u32 = 3;

impl Phase {
    /// Whether the client has yet to show who it is.
    pub(super) fn is_of_handshake(self) -> bool {
        matches!(self, Self::Handshake | Self::Greeted)
    }
}

impl State {
    pub(super) fn new(phase: Phase, since: u32) -> Self {
        Self(AtomicU64::new(Self::pack(phase, since)))
    }

    fn pack(phase: Phase, since: u32) -> u64 {
        let code = match phase {
            Phase::Idle => 0,
            Phase::Reading => 1,
            Phase::Writing => 2,
            Phase::Handshake => 3,
            Phase::Greeted => 4,
        };
        u64::from(since) << PHASE_BITS | code
    }

    /// Another phase begins; the one before.
    pub(super) fn enter(&self, phase: Phase, since: u32) -> Phase {
        Self::unpack(self.0.swap(Self::pack(phase, since), Ordering::Relaxed)).0
    }

    pub(super) fn read(&self) -> (Phase, u32) {
        Self::unpack(self.0.load(Ordering::Relaxed))
    }

    fn unpack(packed: u64) -> (Phase, u32) {
        let phase = match packed & ((1 << PHASE_BITS) - 1) {
            0 => Phase::Idle,
            1 => Phase::Reading,
            2 => Phase::Writing,
            3 => Phase::Handshake,
            _ => Phase::Greeted,
        };
        let since = u32::try_from(packed >> PHASE_BITS).expect("only `pack` writes, and it shifts 32 bits");
        (phase, since)
    }
}
