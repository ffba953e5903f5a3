//! Whose turn it is on a busy machine. Queries by UDP are cheap and nearly all there are; a handshake costs as much as
//! a hundred of them and is for the asking. So threads that serve connections step back behind those of UDP and
//! behind whatever judges and reloads.

use rustix::process::setpriority_process;

/// How far, in the units of nice(2): beside a thread that has not stepped back, about a tenth of a processor.
const NICE: i32 = 10;

/// Lowers the calling thread's priority; Linux keeps it per thread. Should the kernel refuse, nothing is lost but
/// the courtesy.
pub fn step_back() {
    let _ = setpriority_process(None, NICE);
}
