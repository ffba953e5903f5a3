//! The operator's socket: a Unix socket that only its owner may open, one request and one answer a line. It stays
//! usable whatever the network does.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task;
use tokio::time::timeout;
use tracing::{info, warn};

use super::request::{Request, Response};
use super::run::Message;
use super::succession::Successor;
use crate::process::handed::{Estate, Handed, Label, purpose};
use crate::process::lock;

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
/// How many operators may wait to be accepted.
const BACKLOG: i32 = 64;

/// The socket, bound. Dropped, its file goes too, unless somebody else goes on with it.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: StdListener,
    path: PathBuf,
    /// Says that the place is taken, until the process ends, however it ends.
    lock: fs::File,
    /// Whether the file is this process's to remove: not before it serves what a predecessor made, never what a
    /// supervisor made.
    own: bool,
    /// Whether a predecessor handed it over.
    inherited: bool,
}

/// What is needed to hand over to a successor.
#[derive(Clone, Debug)]
pub struct Heirs {
    /// What is handed over.
    pub estate: Estate,
    /// Where a successor is announced that answers now.
    pub successors: mpsc::Sender<Successor>,
    /// How long one may take to answer.
    pub patience: Duration,
}

/// Only its owner may speak to the server.
const MODE: u32 = 0o600;

impl OperatorSocket {
    /// Binds the socket, or takes the one that was handed over. A socket that a dead server left is replaced; that of
    /// a living one is not, nor is a file that is no socket.
    ///
    /// # Errors
    /// When another server lives there, the file is something else, or it cannot be made.
    pub fn bind(path: &Path, handed: &mut Handed) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let lock = handed.take_one(purpose::OPERATOR_LOCK, None);
        let inherited = lock.is_some();
        let lock = lock.map_or_else(|| claim(path), |lock| Ok(lock.into()))?;
        let given = handed.take_one(purpose::OPERATOR, None).map(StdListener::from);
        if let Some(listener) = given.filter(|listener| is_at(listener, path)) {
            return Ok(Self { listener, path: path.to_owned(), lock, own: false, inherited });
        }
        match fs::symlink_metadata(path) {
            Ok(_) if inherited => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file, and it is not the predecessor's socket; name another place, or remove it",
                ));
            }
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
        let listener = listen(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("{error}; that is at most {PATH_OCTETS_MAX} octets"))
            }
            _ => error,
        })?;
        Ok(Self { listener, path: path.to_owned(), lock, own: true, inherited: false })
    }

    /// Copies of the socket and its lock, for a successor.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn copies(&self) -> io::Result<Vec<(Label, OwnedFd)>> {
        let copy = |descriptor: &dyn AsFd| descriptor.as_fd().try_clone_to_owned();
        Ok(vec![
            (Label::new(purpose::OPERATOR, None), copy(&self.listener)?),
            (Label::new(purpose::OPERATOR_LOCK, None), copy(&self.lock)?),
        ])
    }

    /// Serves operators until it is dropped, or until `left` says that a successor does.
    pub async fn serve(
        mut self,
        inbox: mpsc::Sender<Message>,
        heirs: Heirs,
        mut left: watch::Receiver<bool>,
    ) {
        self.own |= self.inherited;
        let listener = self.listener.set_nonblocking(true).and_then(|()| self.listener.try_clone());
        let listener = match listener.and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "operators cannot be served"),
        };
        tokio::select! {
            () = accept(&listener, inbox, heirs) => {}
            Ok(_) = left.wait_for(|left| *left) => self.own = false,
        }
    }
}

async fn accept(listener: &UnixListener, inbox: mpsc::Sender<Message>, heirs: Heirs) {
    let seats = Arc::new(Semaphore::new(OPERATORS_MAX));
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (inbox, heirs) = (inbox.clone(), heirs.clone());
                tokio::spawn(async move {
                    // An operator who hangs up half-way needs no answer.
                    let _ = serve_one(stream, inbox, heirs).await;
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

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        if self.own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Claims the place by a lock on a file beside it. Whether somebody answers there would not do: of two servers that
/// start at once, each could find the other's socket not yet there, or remove it.
fn claim(path: &Path) -> io::Result<fs::File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    lock::take(Path::new(&beside), "another server answers there; stop it first, or take over from it")
}

/// The file is never open to others, not even for a moment: Linux gives it the mode that the socket has.
fn listen(path: &Path) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether the listener is the one that is found at `path`.
fn is_at(listener: &StdListener, path: &Path) -> bool {
    let bound = listener.local_addr().ok();
    let bound = bound.as_ref().and_then(|bound| fs::canonicalize(bound.as_pathname()?).ok());
    bound.is_some() && bound == fs::canonicalize(path).ok()
}

async fn serve_one(mut stream: UnixStream, inbox: mpsc::Sender<Message>, heirs: Heirs) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_OCTETS_MAX));
    timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(Request::TakeOver) => return hand_over(stream, &inbox, heirs).await,
        Ok(request) => ask(request, &inbox).await,
        Err(fault) => Response::Failed { faults: vec![format!("this is no request: {fault}")] },
    };
    let mut answer = serde_json::to_vec(&response)?;
    answer.push(b'\n');
    timeout(ANSWER_TIMEOUT, writer.write_all(&answer)).await?
}

/// Hands over to the successor on `stream`. Until it says that it answers nothing changes but that no verdicts are
/// written, which it may have read already.
async fn hand_over(stream: UnixStream, inbox: &mpsc::Sender<Message>, heirs: Heirs) -> io::Result<()> {
    info!("a successor asks for the sockets");
    let (reply, written) = oneshot::channel();
    let _ = inbox.send(Message::HandOver(reply)).await;
    // The successor could go without: it would know what was written last.
    let _ = written.await;
    let stream: StdStream = stream.into_std()?;
    let (estate, patience) = (heirs.estate, heirs.patience);
    let successor = task::spawn_blocking(move || Successor::wait_for(stream, &estate, patience)).await;
    match successor {
        Ok(Ok(successor)) => {
            let _ = heirs.successors.send(successor).await;
        }
        Ok(Err(error)) => {
            warn!(%error, "the successor did not take over; this server goes on");
            let _ = inbox.send(Message::KeepOn).await;
        }
        Err(_) => {}
    }
    Ok(())
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bind(path: &Path) -> io::Result<OperatorSocket> {
        OperatorSocket::bind(path, &mut Handed::default())
    }

    #[test]
    fn the_sockets_file_is_its_owners_from_the_first_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_successor_has_the_same_socket_and_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut first = bind(&path).unwrap();
        let estate = Estate::default();
        estate.add(first.copies().unwrap());
        let (ours, theirs) = StdStream::pair().unwrap();
        estate.send(&ours).unwrap();
        let mut handed = crate::process::handed::receive(&theirs, estate.labels()).unwrap();
        let second = OperatorSocket::bind(&path, &mut handed).unwrap();
        first.own = false;
        drop((first, estate));
        assert!(StdStream::connect(&path).is_ok(), "the file stayed");
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse, "and the lock");
        drop(second);
        assert!(path.exists(), "a successor that fails before it serves removes nothing");
    }

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("rhumb.sock");
        let first = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhumb.toml");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let error = bind(&folder.path().join("x".repeat(110))).unwrap_err();
        assert!(error.to_string().contains("107 octets"), "{error}");
    }

    /// Says one line there; what is said back, up to the end of the line.
    fn exchange(stream: &mut StdStream, line: &str) -> String {
        use std::io::Write;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let said = crate::process::handed::read_line(stream, 1000).unwrap();
        String::from_utf8(said).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_successor_that_never_answers_is_given_up_and_operators_are_served_on() {
        use std::io::Read;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (inbox, mut messages) = mpsc::channel(1);
        let (successors, mut arrivals) = mpsc::channel(1);
        let (_left, leaving) = watch::channel(false);
        let patience = Duration::from_millis(100);
        let heirs = Heirs { estate: Estate::default(), successors, patience };
        tokio::spawn(bind(&path).unwrap().serve(inbox, heirs, leaving));
        let at = path.clone();
        let successor = task::spawn_blocking(move || {
            let mut successor = StdStream::connect(&at).unwrap();
            let handed = exchange(&mut successor, "{\"verb\":\"take-over\"}\n");
            assert!(handed.starts_with("{\"answer\":\"handed\""), "{handed}");
            // It goes on living, and says nothing.
            assert_eq!(successor.read(&mut [0]).unwrap(), 0, "it is hung up on");
        });
        let Some(Message::HandOver(written)) = messages.recv().await else {
            panic!("verdicts are written first")
        };
        written.send(()).unwrap();
        assert!(matches!(messages.recv().await, Some(Message::KeepOn)), "verdicts are written again");
        successor.await.unwrap();
        let operator = task::spawn_blocking(move || {
            exchange(&mut StdStream::connect(&path).unwrap(), "{\"verb\":\"status\"}\n")
        });
        let Some(Message::Operator(Request::Status, reply)) = messages.recv().await else {
            panic!("a status")
        };
        reply.send(Response::Failed { faults: vec!["as ever".to_owned()] }).unwrap();
        assert!(operator.await.unwrap().contains("as ever"));
        assert!(arrivals.try_recv().is_err(), "nobody has taken over");
    }
}
