//! The operator's side of the running server's socket: one request, one answer, a line of JSON each way.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Running;
use super::said::{Code, Failure};
use crate::config;
use crate::control::request::{Request, Response};

/// How long the server may take to answer what it knows already.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a reload may take: the largest databases and zones are read and compiled within a minute.
const RELOAD_WITHIN: Duration = Duration::from_secs(300);
/// How long the server may take to accept a request.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// The longest answer: a status with the most endpoints there can be stays far below.
const ANSWER_OCTETS_MAX: u64 = 256 << 20;

/// Why the running server gave no answer.
#[derive(Debug)]
pub(super) enum ClientFault {
    /// There is no socket, or nobody listens at it.
    NoServer(PathBuf),
    /// The socket belongs to somebody else.
    NotAllowed(PathBuf),
    /// The server took too long.
    Late(PathBuf, Duration),
    /// The connection failed in another way.
    Broken(PathBuf, io::Error),
    /// The answer is no answer: the server and this program are of different versions.
    Foreign(PathBuf, String),
}

/// Asks the server that listens at `socket`.
pub(super) fn ask(socket: &Path, request: &Request) -> Result<Response, ClientFault> {
    let within = if *request == Request::Reload { RELOAD_WITHIN } else { ANSWER_WITHIN };
    let line = exchange(socket, request, within).map_err(|error| judge(socket, error, within))?;
    serde_json::from_slice(&line).map_err(|error| {
        let told = if line.is_empty() { "it hung up".to_owned() } else { error.to_string() };
        ClientFault::Foreign(socket.to_owned(), told)
    })
}

/// Where the server that is meant listens. Of the configuration only `[server]` is read: the rest may be at
/// fault while somebody edits it, and the server runs on.
pub(super) fn socket(running: &Running) -> Result<PathBuf, Failure> {
    match &running.socket {
        Some(socket) => Ok(socket.clone()),
        None => {
            config::control_socket(running.configuration.path()).map_err(|faults| Failure::faults(&faults))
        }
    }
}

/// Asks the server that is meant; a refusal of the server is a failure with `code`.
pub(super) fn ask_running(running: &Running, request: &Request, code: Code) -> Result<Response, Failure> {
    match ask(&socket(running)?, request) {
        Ok(Response::Failed { faults }) => Err(Failure::of(code, faults.into_iter().map(headed).collect())),
        Ok(response) => Ok(response),
        Err(fault) => Err(Failure::failed(fault.to_string())),
    }
}

/// A fault of a file says itself that it is an error.
fn headed(fault: String) -> String {
    if fault.starts_with("error: ") || fault.starts_with("warning: ") {
        fault
    } else {
        format!("error: {fault}")
    }
}

/// The server answered something else than what was asked.
pub(super) fn out_of_turn(response: &Response) -> Failure {
    let start: String = format!("{response:?}").chars().take(80).collect();
    Failure::failed(format!("the server answered out of turn: {start}; is it of another version?"))
}

fn exchange(socket: &Path, request: &Request, within: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(SEND_WITHIN))?;
    stream.set_read_timeout(Some(within))?;
    let mut line = serde_json::to_vec(request).expect("a request is plain data");
    line.push(b'\n');
    stream.write_all(&line)?;
    read_line(stream)
}

/// Reads up to the line feed, or to the end where there is none.
fn read_line(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut io::BufReader::new(stream.take(ANSWER_OCTETS_MAX)), b'\n', &mut line)?;
    Ok(line)
}

fn judge(socket: &Path, error: io::Error, within: Duration) -> ClientFault {
    let socket = socket.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
            ClientFault::NoServer(socket)
        }
        io::ErrorKind::PermissionDenied => ClientFault::NotAllowed(socket),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientFault::Late(socket, within),
        _ => ClientFault::Broken(socket, error),
    }
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer(socket) => write!(
                f,
                "no server runs here: nobody listens at {}\nhelp: start one with `rhumb serve`, or name another \
                 with --config or --socket",
                socket.display()
            ),
            Self::NotAllowed(socket) => write!(
                f,
                "this user may not open {}\nhelp: become the user that the server runs as",
                socket.display()
            ),
            Self::Late(socket, within) => write!(
                f,
                "the server at {} gave no answer within {} s\nhelp: look at its log; it may still do what was asked",
                socket.display(),
                within.as_secs()
            ),
            Self::Broken(socket, error) => {
                write!(f, "the server at {} cannot be asked: {error}", socket.display())
            }
            Self::Foreign(socket, told) => {
                write!(f, "what answers at {} is no server of this version: {told}", socket.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What comes of asking a socket whose server answers `octets` and hangs up.
    fn answered(octets: &'static [u8]) -> Result<Response, String> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = read_line(&stream).unwrap();
            stream.write_all(octets).unwrap();
            asked
        });
        let outcome = ask(&socket, &Request::Status).map_err(|fault| fault.to_string());
        assert_eq!(server.join().unwrap(), b"{\"verb\":\"status\"}\n");
        outcome.map_err(|message| message.replace(socket.to_str().unwrap(), "SOCKET"))
    }

    #[test]
    fn an_answer_is_read_with_or_without_its_line_feed() {
        for octets in [
            &b"{\"answer\":\"failed\",\"faults\":[\"no\"]}\n"[..],
            b"{\"answer\":\"failed\",\"faults\":[\"no\"]}",
        ] {
            assert!(matches!(answered(octets), Ok(Response::Failed { faults }) if faults == ["no"]));
        }
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let start = "what answers at SOCKET is no server of this version: ";
        assert_eq!(answered(b"").unwrap_err(), format!("{start}it hung up"));
        assert!(answered(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().starts_with(start));
    }

    #[test]
    fn a_socket_without_a_server_is_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        assert!(matches!(ask(&socket, &Request::Status), Err(ClientFault::NoServer(_))));
        drop(UnixListener::bind(&socket).unwrap());
        assert!(matches!(ask(&socket, &Request::Status), Err(ClientFault::NoServer(_))));
        assert!(matches!(ask(&socket.join("below"), &Request::Status), Err(ClientFault::NoServer(_))));
    }
}
