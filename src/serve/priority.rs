//! Whose turn it is on a busy machine. Queries by UDP are cheap and nearly all there are; a handshake costs as much as
//! a hundred of them and is for the asking. So threads that serve connections step back behind those of UDP and
//! behind whatever judges and reloads.

use std::io;

use rustix::process::setpriority_process;

use super::mmsg;

/// How far, in the units of nice(2): beside a thread that has not stepped back, about a tenth of a processor.
const NICE: i32 = 10;

/// How long a turn of a thread that answers by UDP needs to be, in nanoseconds: a batch of queries takes less. It is the
/// shortest that the kernel knows.
const TURN: u64 = 100_000;

/// Asks for short turns for the calling thread. A thread that wakes for a datagram would else wait until whoever has the
/// processor has had the whole of its turn, milliseconds where that one shakes hands (EEVDF, Linux 6.6 and later).
///
/// # Errors
/// What the kernel says; nothing is lost then but the courtesy.
pub fn take_short_turns() -> io::Result<()> {
    mmsg::ask_for_turns(TURN)
}

/// Lowers the calling thread's priority; Linux keeps it per thread. Should the kernel refuse, nothing is lost but
/// the courtesy.
pub fn step_back() {
    let _ = setpriority_process(None, NICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_wish_and_keeps_the_priority() {
        let asked = std::thread::spawn(|| {
            step_back();
            take_short_turns().map(|()| rustix::process::getpriority_process(None))
        });
        assert_eq!(asked.join().unwrap().unwrap(), Ok(NICE));
    }
}
