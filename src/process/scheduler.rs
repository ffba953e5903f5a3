//! How the kernel shares a processor among threads: the calls by which a thread says how it wants to be treated, which no
//! safe crate offers. Who is to be treated how is `priority`'s affair.

use std::io;
use std::time::Duration;

/// The lowest of the priorities of those that go before all turns: enough to go before everybody who takes turns.
const BEFORE_TURNS: u32 = 1;

/// How a thread comes by its processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As threads do whose policy nobody chose.
    ByTurns,
    /// By [`go_before_turns`].
    BeforeTurns,
    /// Otherwise, as somebody has chosen.
    Chosen,
}

/// Asks for turns of this length for the calling thread, where the system shares a processor out by turns (Linux 6.12
/// and later; earlier ones take no notice). A thread whose policy somebody chose keeps it as it is.
///
/// # Errors
/// What the kernel says.
pub(super) fn take_turns_of(length: Duration) -> io::Result<()> {
    let mut attributes = read()?;
    if !takes_turns(&attributes) {
        return Ok(());
    }
    attributes.sched_runtime = length.as_nanos() as u64;
    write(&attributes)
}

/// Puts the calling thread before all that take turns: when it wakes, it has the processor as soon as the kernel can give
/// it, for as long as it wants (`SCHED_FIFO`, sched(7)).
///
/// # Errors
/// What the kernel says, as a rule that it is not permitted.
pub(super) fn go_before_turns() -> io::Result<()> {
    let attributes = libc::sched_attr {
        sched_policy: libc::SCHED_FIFO as u32,
        sched_priority: BEFORE_TURNS,
        sched_runtime: 0,
        ..read()?
    };
    write(&attributes)
}

/// Takes back [`go_before_turns`], for turns of this length, or of the usual one where it is zero; a thread that does not
/// go before all turns keeps its place.
///
/// # Errors
/// What the kernel says.
pub(super) fn go_back_to_turns_of(length: Duration) -> io::Result<()> {
    let attributes = read()?;
    if !goes_before_turns(&attributes) {
        return Ok(());
    }
    let sched_policy = libc::SCHED_OTHER as u32;
    let sched_runtime = length.as_nanos() as u64;
    write(&libc::sched_attr { sched_policy, sched_priority: 0, sched_runtime, ..attributes })
}

/// Where the calling thread is.
pub(super) fn place() -> Place {
    match read() {
        Ok(attributes) if takes_turns(&attributes) => Place::ByTurns,
        Ok(attributes) if goes_before_turns(&attributes) => Place::BeforeTurns,
        _ => Place::Chosen,
    }
}

fn takes_turns(attributes: &libc::sched_attr) -> bool {
    attributes.sched_policy == libc::SCHED_OTHER as u32
}

fn goes_before_turns(attributes: &libc::sched_attr) -> bool {
    attributes.sched_policy == libc::SCHED_FIFO as u32 && attributes.sched_priority == BEFORE_TURNS
}

fn read() -> io::Result<libc::sched_attr> {
    const OCTETS: u32 = size_of::<libc::sched_attr>() as u32;
    // SAFETY: integers alone, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more octets than it is told that there are, into a live value of that size.
    let status = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, OCTETS, 0) };
    if status == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

fn write(attributes: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: the kernel reads as many octets as `size` inside says, which it wrote itself: no more than there are.
    let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
