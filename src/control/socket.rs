//! The operator's socket: a Unix socket that only its owner may open, one request and one answer a line. It stays
//! usable whatever the network does.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;

use super::request::{Request, Response};
use super::run::Message;

/// The longest request, in octets.
const REQUEST_OCTETS_MAX: u64 = 64 * 1024;
/// How long an operator may take to send a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an operator may take to read the answer, which may be large.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a socket's path may be, which the system says: `sun_path` less the zero at its end.
const PATH_OCTETS_MAX: usize = 107;
/// How many operators are served at a time; the others wait.
const OPERATORS_MAX: usize = 16;
/// Pause after a connection could not be taken, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket, bound. Dropped, its file goes too.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Says that the place is taken, until the process ends, however it ends.
    _claim: fs::File,
}

impl OperatorSocket {
    /// Binds the socket. A socket that a dead server left is replaced; that of a living one is not, nor is a file
    /// that is no socket.
    ///
    /// # Errors
    /// When another server lives there, the file is something else, or it cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let claim = claim(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket; name another place, or remove it",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("{error}; that is at most {PATH_OCTETS_MAX} octets"))
            }
            _ => error,
        })?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned(), _claim: claim })
    }

    /// Serves operators until it is dropped.
    pub async fn serve(self, inbox: mpsc::Sender<Message>) {
        let seats = Arc::new(Semaphore::new(OPERATORS_MAX));
        loop {
            let seat = Arc::clone(&seats).acquire_owned().await.expect("the semaphore is never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let inbox = inbox.clone();
                    tokio::spawn(async move {
                        // An operator who hangs up half-way needs no answer.
                        let _ = serve_one(stream, inbox).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    warn!(%error, "an operator's connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Claims the place by a lock on a file beside it. Whether somebody answers there would not do: of two servers that
/// start at once, each could find the other's socket not yet there, or remove it.
fn claim(path: &Path) -> io::Result<fs::File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = fs::File::options().create(true).append(true).mode(0o600).open(beside)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there; stop it first"))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

async fn serve_one(mut stream: UnixStream, inbox: mpsc::Sender<Message>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_OCTETS_MAX));
    timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(request) => ask(request, &inbox).await,
        Err(fault) => Response::Failed { faults: vec![format!("this is no request: {fault}")] },
    };
    let mut answer = serde_json::to_vec(&response)?;
    answer.push(b'\n');
    timeout(ANSWER_TIMEOUT, writer.write_all(&answer)).await?
}

async fn ask(request: Request, inbox: &mpsc::Sender<Message>) -> Response {
    let (reply, answer) = oneshot::channel();
    let sent = inbox.send(Message::Operator(request, reply)).await;
    match (sent, answer.await) {
        (Ok(()), Ok(response)) => response,
        _ => Response::Failed { faults: vec!["the server is stopping".to_owned()] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("rhumb.sock");
        let first = OperatorSocket::bind(&path).unwrap();
        assert_eq!(OperatorSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        OperatorSocket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhumb.toml");
        fs::write(&path, "precious").unwrap();
        assert!(OperatorSocket::bind(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let error = OperatorSocket::bind(&folder.path().join("x".repeat(110))).unwrap_err();
        assert!(error.to_string().contains("107 octets"), "{error}");
    }
}
