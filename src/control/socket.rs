//! The operator's socket: a Unix socket that only its owner may open, one request and one answer a line. It stays
//! usable whatever the network does.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
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
/// How many operators are served at a time; the others wait.
const OPERATORS_MAX: usize = 16;
/// Pause after a connection could not be taken, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket, bound. Dropped, its file goes too.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Binds the socket. A file that a dead server left is replaced; that of a living one is not.
    ///
    /// # Errors
    /// When another server answers there, or the file cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another server answers there; stop it first",
            ));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
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
    writer.write_all(&answer).await
}

async fn ask(request: Request, inbox: &mpsc::Sender<Message>) -> Response {
    let (reply, answer) = oneshot::channel();
    let sent = inbox.send(Message::Operator(request, reply)).await;
    match (sent, answer.await) {
        (Ok(()), Ok(response)) => response,
        _ => Response::Failed { faults: vec!["the server is stopping".to_owned()] },
    }
}
