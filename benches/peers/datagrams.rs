//! Many datagrams in one call of the kernel, over buffers made once: what the reflector and the generator share.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::time::Duration;

/// Octets of a datagram at most; ours are far shorter.
const OCTETS_MAX: usize = 1500;

/// Room for a batch of datagrams, with the addresses of who sent them.
pub(crate) struct Datagrams {
    buffers: Box<[[u8; OCTETS_MAX]]>,
    lengths: Box<[usize]>,
    peers: Box<[libc::sockaddr_in]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Datagrams {
    /// Room for `count` of them.
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: all three are plain integers and pointers, for which zeroes are a value.
        let (peer, vector, header) = unsafe { std::mem::zeroed() };
        Self {
            buffers: vec![[0; OCTETS_MAX]; count].into(),
            lengths: vec![0; count].into(),
            peers: vec![peer; count].into(),
            vectors: vec![vector; count].into(),
            headers: vec![header; count].into(),
        }
    }

    /// A datagram received, or the room for one to be sent.
    pub(crate) fn octets(&mut self, at: usize) -> &mut [u8] {
        &mut self.buffers[at][..self.lengths[at]]
    }

    /// Puts a datagram in its place.
    pub(crate) fn fill(&mut self, at: usize, octets: &[u8]) {
        self.lengths[at] = octets.len();
        self.buffers[at][..octets.len()].copy_from_slice(octets);
    }

    /// Takes what has arrived; how many. `flags` are those of `recvmmsg`.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, flags: i32) -> usize {
        let count = self.headers.len();
        self.wire(count, |_| OCTETS_MAX);
        // SAFETY: `wire` has pointed every header to buffers of this value, which outlive the call.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as u32,
                flags as _,
                null_mut(),
            )
        };
        let got = usize::try_from(got).unwrap_or(0);
        for at in 0..got {
            self.lengths[at] = self.headers[at].msg_len as usize;
        }
        got
    }

    /// Sends the first `count`: back to where they came from, or to where the socket is connected.
    pub(crate) fn send(&mut self, socket: &UdpSocket, count: usize, back: bool) -> io::Result<usize> {
        let lengths = self.lengths.clone();
        self.wire(count, |at| lengths[at]);
        if !back {
            for header in &mut self.headers[..count] {
                header.msg_hdr.msg_name = null_mut();
                header.msg_hdr.msg_namelen = 0;
            }
        }
        // SAFETY: as in `receive`; the kernel only reads the buffers.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count as u32, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn wire(&mut self, count: usize, length: impl Fn(usize) -> usize) {
        for at in 0..count {
            self.vectors[at] =
                libc::iovec { iov_base: self.buffers[at].as_mut_ptr().cast(), iov_len: length(at) };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = (&raw mut self.peers[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut self.vectors[at];
            header.msg_iovlen = 1;
        }
    }
}

/// Binds this thread, and the threads and processes it starts, to one processor.
pub(crate) fn pin(processor: usize) {
    // SAFETY: a set of processors is an array of integers; the kernel reads as many octets as it has.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Waits until one of the sockets has something to read, `most` at most.
pub(crate) fn wait<'s>(sockets: impl Iterator<Item = &'s UdpSocket>, most: Duration) {
    let wanted =
        |socket: &UdpSocket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut sockets: Vec<_> = sockets.map(wanted).collect();
    let most = libc::timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
    // SAFETY: as many structures as are told of, and a time, all of which outlive the call.
    unsafe { libc::ppoll(sockets.as_mut_ptr(), sockets.len() as u64, &raw const most, null()) };
}

/// While it lives, this thread has another place among those of its processor.
pub(crate) struct Manners;

impl Manners {
    /// Before the others: by its weight, and by asking for turns so short that it need not wait for the end of another's.
    /// (The policies for real time would stop it for 50 ms a second.)
    pub(crate) fn first() -> Self {
        schedule(-20, Duration::from_micros(100));
        Self
    }

    /// Behind others, by so much.
    pub(crate) fn nice(nice: i32) -> Self {
        schedule(nice, Duration::ZERO);
        Self
    }
}

impl Drop for Manners {
    fn drop(&mut self) {
        schedule(0, Duration::ZERO);
    }
}

fn schedule(nice: i32, turn: Duration) {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: turn.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads a value of the size that it names.
    let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    assert_eq!(status, 0, "it takes root");
}
