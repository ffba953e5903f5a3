//! A file that says that a place is taken, until the process ends, however it ends: the system lets go of the lock.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Takes the lock file `path`, making it where it is missing.
///
/// # Errors
/// `AddrInUse` with the words of `taken` when another process holds it; else why it cannot be opened.
pub fn take(path: &Path, taken: &str) -> io::Result<File> {
    let file = File::options().create(true).append(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::AddrInUse, taken.to_owned())),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
