//! Whose turn it is on a busy machine. Queries by UDP are cheap and nearly all there are; a handshake costs as much as
//! a hundred of them and is for the asking, and a reload as much as a million. So threads that serve connections, and
//! those that read, sign and write what nobody waits for, step back behind those of UDP and behind whatever judges.

use std::thread;

use rustix::process::setpriority_process;

/// How far, in the units of nice(2): beside a thread that has not stepped back, about a tenth of a processor.
const NICE: i32 = 10;

/// Lowers the calling thread's priority; Linux keeps it per thread. Should the kernel refuse, nothing is lost but
/// the courtesy. There is no way back without privileges, so threads that others use after it must not.
pub fn step_back() {
    let _ = setpriority_process(None, NICE);
}

/// Does `work` in a thread of its own that has stepped back, and waits for it.
///
/// # Panics
/// When the system has no thread to give, or `work` panics.
pub fn stepped_back<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let behind = || {
        step_back();
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("stepped back".to_owned()).spawn_scoped(scope, behind);
        thread.expect("a thread can be had").join().expect("a panic would have ended the process")
    })
}
