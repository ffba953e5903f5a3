//! How the heap deals with what is freed. It is one call to the C library, which has no safe form.

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
