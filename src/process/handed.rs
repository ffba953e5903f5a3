//! Descriptors that another process opened: a supervisor's by its environment (`sd_listen_fds(3)`), a predecessor's over a Unix
//! socket (`SCM_RIGHTS`). Each bears a label that says what it is for.

use std::env;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// What a descriptor is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The use, one of the words in [`purpose`].
    pub purpose: String,
    /// The address that the configuration names for it, where it has one; port 0 included.
    pub address: Option<SocketAddr>,
}

/// The uses that descriptors are handed over for.
#[expect(missing_docs, reason = "the names say it")]
pub mod purpose {
    pub const UDP: &str = "udp";
    pub const TCP: &str = "tcp";
    pub const TLS: &str = "tls";
    pub const HTTPS: &str = "https";
    pub const QUIC: &str = "quic";
    pub const GAUGES: &str = "gauges";
    pub const METRICS: &str = "metrics";
    pub const AGENTS: &str = "agents";
    pub const OPERATOR: &str = "operator";
    pub const OPERATOR_LOCK: &str = "operator-lock";
    pub const STATE_LOCK: &str = "state-lock";
}

/// Descriptors that were handed over and wait for somebody to take them.
#[derive(Debug, Default)]
pub struct Handed(Vec<(Label, OwnedFd)>);

/// Copies of the descriptors that this process would hand over; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Estate(Arc<Mutex<Vec<(Label, OwnedFd)>>>);

/// How many descriptors there are at most: the addresses of a configuration, with their workers.
pub const DESCRIPTORS_MAX: usize = 65_536;
/// How many go in one message; the kernel takes 253 (`SCM_MAX_FD`).
const BATCH: usize = 64;

impl Label {
    /// A label.
    #[must_use]
    pub fn new(purpose: &str, address: Option<SocketAddr>) -> Self {
        Self { purpose: purpose.to_owned(), address }
    }
}

impl Handed {
    /// What the supervisor opened, if it meant this process. A name that is one of [`purpose`] says the use; sockets
    /// of any other name are told apart by their kind.
    ///
    /// # Errors
    /// When a descriptor is no socket that a use is known for.
    pub fn of_environment() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            handed.push(adopt(&mut given, index, name)?);
        }
        Ok(Self(handed))
    }

    /// Takes every descriptor of a use and an address.
    pub fn take(&mut self, purpose: &str, address: Option<SocketAddr>) -> Vec<OwnedFd> {
        let wanted = |label: &Label| label.purpose == purpose && label.address == address;
        let all = std::mem::take(&mut self.0).into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = all.partition(|(label, _)| wanted(label));
        self.0 = left;
        taken.into_iter().map(|(_, descriptor)| descriptor).collect()
    }

    /// Takes the one descriptor of a use and an address.
    pub fn take_one(&mut self, purpose: &str, address: Option<SocketAddr>) -> Option<OwnedFd> {
        self.take(purpose, address).into_iter().next()
    }

    /// What nobody has taken.
    pub fn left(&self) -> impl Iterator<Item = &Label> {
        self.0.iter().map(|(label, _)| label)
    }
}

impl Estate {
    /// Adds copies of descriptors.
    pub fn add(&self, more: impl IntoIterator<Item = (Label, OwnedFd)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
    }

    /// The labels, in the order in which [`Estate::send`] sends.
    #[must_use]
    pub fn labels(&self) -> Vec<Label> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(label, _)| label.clone()).collect()
    }

    /// Sends the descriptors, after their labels were told.
    ///
    /// # Errors
    /// When the other side has gone or does not read in time.
    pub fn send(&self, stream: &UnixStream) -> io::Result<()> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptors: Vec<BorrowedFd> = all.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        descriptors.chunks(BATCH).try_for_each(|batch| send_batch(stream, batch))
    }
}

/// Receives the descriptors of these labels.
///
/// # Errors
/// When the other side hangs up, sends something else, or not in time.
pub fn receive(stream: &UnixStream, labels: Vec<Label>) -> io::Result<Handed> {
    if labels.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "these are more descriptors than there can be",
        ));
    }
    let mut descriptors = Vec::with_capacity(labels.len());
    while descriptors.len() < labels.len() {
        let wanted = BATCH.min(labels.len() - descriptors.len());
        let batch = receive_batch(stream)?;
        if batch.len() != wanted {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "descriptors got lost on the way; are there too few?",
            ));
        }
        descriptors.extend(batch);
    }
    Ok(Handed(labels.into_iter().zip(descriptors).collect()))
}

/// Each batch rides on one octet.
fn send_batch(stream: &UnixStream, batch: &[BorrowedFd]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(batch)), "a batch has room");
    sendmsg(stream, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_batch(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut octet = [0];
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut octet)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut batch = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            batch.extend(descriptors);
        }
    }
    // Cut off where this process may not open so many.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("the limit of open files is too low for the predecessor's sockets"));
    }
    Ok(batch)
}

/// Reads a line of at most `octets_max` octets and nothing behind it, where descriptors may follow.
///
/// # Errors
/// When the other side hangs up or does not write in time, or the line is longer.
pub fn read_line(mut stream: &UnixStream, octets_max: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut octet = [0];
    loop {
        stream.read_exact(&mut octet)?;
        match octet {
            [b'\n'] => return Ok(line),
            _ if line.len() == octets_max => return Err(io::ErrorKind::InvalidData.into()),
            [other] => line.push(other),
        }
    }
}

/// One of the supervisor's sockets with what it is for.
fn adopt(given: &mut ListenFd, index: usize, name: &str) -> io::Result<(Label, OwnedFd)> {
    if let Ok(Some(socket)) = given.take_udp_socket(index) {
        let address = Some(socket.local_addr()?);
        let purpose = if name == purpose::QUIC { purpose::QUIC } else { purpose::UDP };
        return Ok((Label::new(purpose, address), socket.into()));
    }
    if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        let address = Some(listener.local_addr()?);
        let known = [purpose::TLS, purpose::HTTPS, purpose::GAUGES, purpose::METRICS, purpose::AGENTS];
        let purpose = known.into_iter().find(|known| *known == name).unwrap_or(purpose::TCP);
        return Ok((Label::new(purpose, address), listener.into()));
    }
    let listener = given.take_unix_listener(index)?.ok_or(io::ErrorKind::InvalidData)?;
    Ok((Label::new(purpose::OPERATOR, None), listener.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::UdpSocket;

    use super::*;

    fn estate(count: usize) -> (Estate, Vec<SocketAddr>) {
        let sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let estate = Estate::default();
        estate.add(
            sockets
                .into_iter()
                .zip(&addresses)
                .map(|(socket, at)| (Label::new(purpose::UDP, Some(*at)), socket.into())),
        );
        (estate, addresses)
    }

    #[test]
    fn descriptors_arrive_in_their_order_however_many() {
        for count in [0, 1, BATCH, BATCH + 1, 3 * BATCH - 1] {
            let (estate, addresses) = estate(count);
            let (ours, theirs) = UnixStream::pair().unwrap();
            estate.send(&ours).unwrap();
            let mut handed = receive(&theirs, estate.labels()).unwrap();
            for address in addresses {
                let socket = UdpSocket::from(handed.take_one(purpose::UDP, Some(address)).unwrap());
                assert_eq!(socket.local_addr().unwrap(), address);
            }
            assert_eq!(handed.left().count(), 0);
        }
    }

    #[test]
    fn a_line_ends_where_descriptors_begin() {
        let (estate, _) = estate(2);
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"labels\n").unwrap();
        estate.send(&ours).unwrap();
        assert_eq!(read_line(&theirs, 100).unwrap(), b"labels");
        assert_eq!(receive(&theirs, estate.labels()).unwrap().left().count(), 2);
    }

    #[test]
    fn too_little_is_a_fault_and_waits_for_nothing() {
        let (estate, _) = estate(1);
        let (ours, theirs) = UnixStream::pair().unwrap();
        estate.send(&ours).unwrap();
        drop(ours);
        let twice = [estate.labels(), estate.labels()].concat();
        assert!(receive(&theirs, twice).is_err());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"no descriptor").unwrap();
        assert!(receive(&theirs, estate.labels()).is_err());
        assert!(read_line(&theirs, 3).is_err());
        drop(ours);
        assert!(read_line(&theirs, 300).is_err());
    }
}
