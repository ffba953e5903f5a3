//! Whose turn it is on a busy machine. Queries by UDP are cheap and nearly all there are; a handshake costs as much as
//! a hundred of them and is for the asking, and a reload as much as a million. So threads that serve connections, and
//! those that read, sign and write what nobody waits for, step back behind those of UDP and behind whatever judges; and
//! what judges gives way to UDP. Where the system permits it, UDP goes ahead of everybody as long as it rests now and then.
//!
//! By turns alone UDP would wait for milliseconds behind threads that serve thousands of connections, whatever the weights:
//! the kernel (6.18, EEVDF) gives a thread that wakes no turn before one that has yet to get what it slept with a claim to,
//! and looks at that every 4 ms. So where it may, UDP goes before all turns (`SCHED_FIFO`).

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Resource, Rlimit, getpid, getpriority_process, getrlimit, setpriority_process, setrlimit,
};

use super::scheduler::{self, Place};

/// How far threads step back behind all others, in the units of nice(2): beside a thread that has not, about a tenth of a
/// processor.
const NICE: i32 = 10;
/// How far threads give way: about a quarter, which is what a flood of queries must leave them.
const NICE_LITTLE: i32 = 5;
/// How long a turn of those is that answer by UDP and may not go before all turns: the shortest there is. What it buys is not time
/// but place: who asks for short turns is not kept waiting until another has had the whole of a long one, three
/// milliseconds as a rule.
const TURN: Duration = Duration::from_micros(100);
/// How far ahead threads go that answer by UDP where they may do no more. The kernel lets no thread take a processor that has just had more than
/// its share of it, and then it waits until another has had a turn of milliseconds; what its share is, the difference says
/// that it has with others: at 15 and 5 it may have eighty-seven times as much.
const AHEAD: i32 = 15;
/// What `RLIMIT_RTPRIO` has to be for a thread to go before all turns.
const BEFORE_TURNS: u64 = 1;
/// The limit of what is permitted counts from the lowest priority upwards.
const NICE_COUNTED_FROM: u64 = 20;
/// The lowest priority there is.
const NICE_MAX: i32 = 19;

/// Lowers the calling thread's priority; Linux keeps it per thread. Should the kernel refuse, nothing is lost but
/// the courtesy. There is no way back without privileges, so threads that others use after it must not.
pub fn step_back() {
    set_behind_normal(NICE);
}

/// Puts the calling thread behind those that answer queries by UDP, and before those that have stepped back: for
/// threads that probe, judge and compile. A worker that shares a processor with two of them would else have a right to
/// a third of it, and wait whenever it has had more.
pub fn give_way() {
    set_behind_normal(NICE_LITTLE);
}

/// Permits threads of this process to go ahead, for when its privileges are gone. Where they could not come back to it, the
/// calling thread goes ahead now, and those that it starts are ahead from their start, until they step back, give way or are
/// [`no_longer_ahead`]. Who may do neither permits nothing.
pub fn permit_going_ahead() {
    if raise(Resource::Rtprio, BEFORE_TURNS).is_err() {
        let _ = scheduler::go_before_turns();
    }
    let wanted = NICE_COUNTED_FROM.saturating_add_signed(i64::from(AHEAD - normal()));
    if raise(Resource::Nice, wanted).is_err() {
        go_ahead_by_weight();
    }
}

/// Raises a limit that is below `wanted`.
fn raise(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = maximum.map(|maximum| maximum.max(wanted));
    setrlimit(resource, Rlimit { current: Some(wanted), maximum })
}

/// Gives the calling thread short turns, so that it waits for no long one when it wakes. Older kernels do not know of it,
/// some refuse it: then turns are as long as others'.
pub fn take_short_turns() {
    let _ = scheduler::take_turns_of(TURN);
}

/// Puts the calling thread ahead of those of other programs, too: before all turns, or by its weight where no more is
/// permitted; whether that is. It has to rest now and then, since what it leaves of a processor is all that others have. A
/// thread whose policy somebody chose keeps it.
pub fn go_ahead() -> bool {
    match scheduler::place() {
        Place::BeforeTurns => true,
        Place::ByTurns => scheduler::go_before_turns().is_ok() || go_ahead_by_weight(),
        Place::Chosen => false,
    }
}

fn go_ahead_by_weight() -> bool {
    setpriority_process(None, normal() - AHEAD).is_ok()
}

/// Puts a thread that went ahead back where threads begin, with short turns.
pub fn fall_in() {
    let _ = scheduler::go_back_to_turns_of(TURN);
    let _ = setpriority_process(None, normal());
}

/// Puts a thread that went ahead for those that it starts back where threads begin.
pub fn no_longer_ahead() {
    set_behind_normal(0);
}

/// By turns of the usual length, and not behind the calling thread's own priority, which it has from whichever thread started it.
fn set_behind_normal(by: i32) {
    let _ = scheduler::go_back_to_turns_of(Duration::ZERO);
    let _ = setpriority_process(None, (normal() + by).min(NICE_MAX));
}

/// The priority that the process was started with.
fn normal() -> i32 {
    static NORMAL: OnceLock<i32> = OnceLock::new();
    *NORMAL.get_or_init(|| getpriority_process(Some(getpid())).unwrap_or(0))
}

/// Does `work` in a thread of its own that has stepped back, and waits for it.
///
/// # Panics
/// When the system has no thread to give, or `work` panics.
pub fn stepped_back<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    beside("stepped back", step_back, work)
}

/// The same, in a thread that gives way.
///
/// # Panics
/// As [`stepped_back`].
pub fn giving_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    beside("giving way", give_way, work)
}

fn beside<T: Send>(name: &str, place: fn(), work: impl FnOnce() -> T + Send) -> T {
    let placed = || {
        place();
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, placed);
        thread.expect("a thread can be had").join().expect("a panic would have ended the process")
    })
}
