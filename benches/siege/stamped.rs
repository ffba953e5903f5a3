//! A socket whose datagrams come with the time at which the kernel received them. The listener shares its processor with
//! attackers, whose calls of the kernel nobody interrupts: the time at which it gets to read would be theirs.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::time::{Duration, SystemTime};

use rhumb::time::Moment;

/// A socket that is connected to one server.
pub(crate) struct Stamped(UdpSocket);

/// Room for the reply of half a second's queries, so that what a listener misses is not the server's loss.
const BUFFER_OCTETS: usize = 4 << 20;
/// Room for one control message with a time.
const CONTROL_OCTETS: usize = 64;

/// The time of day, which is what the kernel stamps with.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Moment(since.as_nanos() as u64)
}

impl Stamped {
    /// Waits for `patience` when it receives.
    pub(crate) fn connect(server: SocketAddr, patience: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER_OCTETS).unwrap();
        let yes: libc::c_int = 1;
        // SAFETY: the kernel reads an integer of the size that it is told.
        let status = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                (&raw const yes).cast(),
                size_of::<libc::c_int>() as u32,
            )
        };
        assert_eq!(status, 0, "Linux stamps datagrams");
        Self(socket)
    }

    pub(crate) fn send(&self, octets: &[u8]) {
        self.0.send(octets).unwrap();
    }

    /// A datagram, and when the kernel received it.
    pub(crate) fn receive(&self, room: &mut [u8]) -> io::Result<Moment> {
        let mut control = [0u64; CONTROL_OCTETS / 8];
        let mut vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        // SAFETY: a header is integers and pointers, for which zeroes are a value; all that it points to outlives the
        // calls, and the control messages that the kernel wrote are walked by its own rules.
        unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_name = null_mut();
            header.msg_iov = &raw mut vector;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_OCTETS as _;
            if libc::recvmsg(self.0.as_raw_fd(), &raw mut header, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            let message = libc::CMSG_FIRSTHDR(&raw const header);
            assert!(!message.is_null() && (*message).cmsg_type == libc::SCM_TIMESTAMPNS, "it is stamped");
            let time: libc::timespec = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
            Ok(Moment(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64))
        }
    }
}
