//! How memory is had and given back. It is two calls of the system, which have no safe form.

use std::ops::Range;

/// Lets what is freed go back to the system at once, if it is large. The C library raises its thresholds with every
/// large block that is freed, up to keeping 64 MB for later; but a server allocates much when it loads, and then hardly
/// anything: of one with a million names that was a third of its memory. Elsewhere than on glibc nothing is done.
pub fn return_what_is_freed() {
    #[cfg(target_env = "gnu")]
    {
        /// The size from which a block has pages of its own, in octets: as glibc begins with.
        const LARGE: libc::c_int = 128 << 10;
        // SAFETY: mallopt takes two integers and touches no memory of ours; it takes the heap's own lock.
        let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}

/// A large page, in octets; no memory but what fills such a page can be in one.
const LARGE_PAGE_OCTETS: usize = 2 << 20;

/// Moves what lies in `memory` into large pages, as far as it fills them and the system has any to give: tables of a
/// million names are looked up at random, and with small pages each look-up waits for the processor to find the page
/// before it waits for what is in there. It takes about as long as to copy the memory, and threads that use it
/// meanwhile wait. Nothing is done elsewhere than on Linux.
pub fn into_large_pages(memory: Range<*const u8>) {
    #[cfg(target_os = "linux")]
    {
        let first = memory.start.addr().next_multiple_of(LARGE_PAGE_OCTETS);
        let end = memory.end.addr() / LARGE_PAGE_OCTETS * LARGE_PAGE_OCTETS;
        if first < end {
            let first = std::ptr::without_provenance_mut(first);
            // SAFETY: this advice changes neither what is in memory nor what may be done with it, so that even a range that
            // is not ours would do no harm; the kernel reads and writes through no pointer of ours.
            let _ = unsafe { libc::madvise(first, end - first.addr(), libc::MADV_COLLAPSE) };
        }
    }
}
