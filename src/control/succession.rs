//! How a server is replaced by its successor without losing a query: both read from the same sockets for a moment.
//!
//! ```text
//!  successor                                   predecessor
//!  {"verb":"take-over"}             ---->      writes the verdicts, and from now on no more
//!                                   <----      {"answer":"handed","labels":[...]}, then the descriptors
//!  answers from the same sockets
//!  {"verb":"taken-over"}            ---->      stops reading, answers what it has read
//!                                   <----      {"answer":"left"}, then finishes its connections and ends
//! ```
//!
//! Where the successor goes away before it says that it took over, the predecessor goes on as if nothing had been.
//! Blocking, with a limit of time on each step; the locks of state and socket are handed over like the sockets.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::{Request, Response};
use crate::process::handed::{self, Estate, Handed};

/// The second thing that a successor says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
enum Word {
    /// The successor answers.
    TakenOver,
}

/// The server that is replaced, seen by its successor.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// The server that takes over, seen by its predecessor, once it answers.
#[derive(Debug)]
pub struct Successor(UnixStream);

/// How long the predecessor may take to write the verdicts and hand over.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(15);
/// How long the successor may take from the sockets to its first answer: the table is compiled in it.
pub const TAKE_OVER_WITHIN: Duration = Duration::from_secs(120);
/// How long the predecessor may take to stop reading.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);
/// The longest line.
const LINE_OCTETS_MAX: usize = 8 << 20;

impl Predecessor {
    /// Asks the server at `socket` for what it holds. `None` when nobody is there.
    ///
    /// # Errors
    /// When it does not hand over; the server there goes on.
    pub fn ask(socket: &Path) -> io::Result<Option<(Self, Handed)>> {
        let mut stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        stream.set_read_timeout(Some(HAND_OVER_WITHIN))?;
        stream.set_write_timeout(Some(HAND_OVER_WITHIN))?;
        say(&mut stream, &Request::TakeOver)?;
        let labels = match hear(&stream)? {
            Response::Handed { labels } => labels,
            Response::Failed { faults } => return Err(io::Error::other(faults.join("; "))),
            other => return Err(out_of_turn(&other)),
        };
        let handed = handed::receive(&stream, labels)?;
        Ok(Some((Self(stream), handed)))
    }

    /// Tells the predecessor that queries are answered here; returns once it reads no more.
    ///
    /// # Errors
    /// When it does not say so in time. It may be reading on, so both answer.
    pub fn dismiss(mut self) -> io::Result<()> {
        self.0.set_read_timeout(Some(LEAVE_WITHIN))?;
        say(&mut self.0, &Word::TakenOver)?;
        match hear(&self.0)? {
            Response::Left => Ok(()),
            other => Err(out_of_turn(&other)),
        }
    }
}

impl Successor {
    /// Hands over to who asked on `stream`, and waits until it answers, but no longer than `patience`.
    ///
    /// # Errors
    /// When it goes away before, or takes too long: then nothing has changed.
    pub fn wait_for(mut stream: UnixStream, estate: &Estate, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(HAND_OVER_WITHIN))?;
        stream.set_read_timeout(Some(patience))?;
        say(&mut stream, &Response::Handed { labels: estate.labels() })?;
        estate.send(&stream)?;
        let Word::TakenOver = hear(&stream)?;
        Ok(Self(stream))
    }

    /// Tells the successor that nothing is read here any more.
    ///
    /// # Errors
    /// When it has gone, so that nobody answers now.
    pub fn left(mut self) -> io::Result<()> {
        say(&mut self.0, &Response::Left)
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused
    )
}

fn say(stream: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn hear<T: for<'d> Deserialize<'d>>(stream: &UnixStream) -> io::Result<T> {
    Ok(serde_json::from_slice(&handed::read_line(stream, LINE_OCTETS_MAX)?)?)
}

fn out_of_turn(response: &Response) -> io::Error {
    let start: String = format!("{response:?}").chars().take(80).collect();
    io::Error::other(format!("it answered out of turn: {start}"))
}
