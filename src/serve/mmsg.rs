//! Batches of datagrams: `recvmmsg` and `sendmmsg` over buffers that are made once, and the socket options that no
//! safe crate offers. Beside it only `process/heap.rs` and `process/scheduler.rs` have `unsafe`. It knows nothing of DNS.
//!
//! The kernel is handed an array of headers that point to addresses, buffers and control data. All of these lie
//! in one [`Arena`] on the heap, which never moves, is reached only through the one pointer that the allocator
//! returned, and is wired once: whatever the headers point to was derived from that same pointer and lives as
//! long as they do. References into the arena exist only between two calls of the kernel.
//!
//! Interpreters such as Miri know no `recvmmsg`; the tests therefore also run every pointer with a stand-in for the
//! kernel that reads and writes through the headers as it would.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, addr_of_mut, null_mut};

use libc::{c_int, c_uint, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6};
use socket2::Socket;

use crate::answer::respond::UDP_OCTETS_MAX;
use crate::net::Family;

/// How many datagrams are received and sent at once. Beyond, the cost per datagram falls no more.
pub(super) const BATCH: usize = 64;

/// The longest query taken by UDP, in octets. The kernel cuts off the rest of a longer one, which as a rule is malformed then.
pub(super) const QUERY_OCTETS_MAX: usize = 4096;

/// A batch of datagrams and the replies to them.
pub(super) struct Batch {
    arena: NonNull<Arena>,
    family: Family,
    packet_info: bool,
    received: usize,
}

/// One received datagram.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    /// What was received, at most [`QUERY_OCTETS_MAX`] octets of it.
    pub(super) octets: &'a [u8],
    /// Who sent it, or claims to.
    pub(super) source: SocketAddr,
}

/// Everything that the kernel is pointed to. All zeroes is a valid value: integers, and null pointers.
#[repr(C)]
struct Arena {
    receive: [mmsghdr; BATCH],
    send: [mmsghdr; BATCH],
    slots: [Slot; BATCH],
}

/// What belongs to one datagram. Its size is no multiple of 4,096, so that the first octets of all queries do not
/// compete for the same few lines of the processor's first cache.
#[repr(C)]
struct Slot {
    receive: iovec,
    send: iovec,
    source: Source,
    control: Control,
    query: [u8; QUERY_OCTETS_MAX],
    reply: [u8; UDP_OCTETS_MAX],
}

/// The address that a datagram came from; which of the two, the socket's family says.
#[repr(C)]
union Source {
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

/// The address that a datagram was sent to, as one control message; which of the two, the socket's family says.
#[repr(C)]
union Control {
    v4: Info<in_pktinfo>,
    v6: Info<in6_pktinfo>,
}

/// A control message with its header, as the `CMSG_` macros would lay it out.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info<T> {
    header: cmsghdr,
    info: T,
}

// SAFETY: these two compute with their argument and touch no memory.
const _: () = unsafe {
    assert!(size_of::<Info<in_pktinfo>>() == libc::CMSG_SPACE(size_of::<in_pktinfo>() as c_uint) as usize);
    assert!(size_of::<Info<in6_pktinfo>>() == libc::CMSG_SPACE(size_of::<in6_pktinfo>() as c_uint) as usize);
};

// SAFETY: the batch owns its arena alone, as a `Box` would, and nothing in there is bound to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// Buffers for a socket of `family`; with `packet_info` each reply leaves from the address that was asked.
    pub(super) fn new(family: Family, packet_info: bool) -> Self {
        let layout = Layout::new::<Arena>();
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(arena) = NonNull::new(memory.cast::<Arena>()) else { handle_alloc_error(layout) };
        let batch = Self { arena, family, packet_info, received: 0 };
        (0..BATCH).for_each(|index| batch.wire(index));
        batch
    }

    /// Waits for a datagram, then takes what has arrived, up to [`BATCH`] of them; how many.
    ///
    /// # Errors
    /// What `recvmmsg` says; then nothing was received.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let descriptor = socket.as_raw_fd();
        self.receive_by(|headers, count| {
            // SAFETY: `headers` points to `count` headers, and they to memory that `wire` made theirs alone.
            unsafe { libc::recvmmsg(descriptor, headers, count, libc::MSG_WAITFORONE as _, null_mut()) }
        })
    }

    /// What was received, in its order, and from where.
    pub(super) fn queries(&self) -> impl ExactSizeIterator<Item = (IpAddr, &[u8])> + Clone {
        (0..self.received).map(|index| {
            let slot = self.slot(index);
            // SAFETY: `index` is below `received`, hence below BATCH, so both pointers are into the arena. While the
            // references live, so does `&self`, and whatever writes to the arena takes `&mut self`. Every octet is
            // initialised, by zeroes or by the kernel.
            let (query, header) =
                unsafe { (&(*slot).query, &*addr_of_mut!((*self.arena.as_ptr()).receive[index])) };
            (self.source(index).ip(), &query[..header.msg_len as usize])
        })
    }

    /// Calls `answer` with every received datagram and the buffer for its reply, of [`UDP_OCTETS_MAX`] octets. It
    /// returns the reply's length; zero for none.
    pub(super) fn answer_each(&mut self, mut answer: impl FnMut(Datagram<'_>, &mut [u8]) -> usize) {
        for index in 0..self.received {
            let slot = self.slot(index);
            // SAFETY: `index` is below `received`, hence below BATCH, so both pointers are into the arena. The
            // references end with this turn of the loop, `query` and `reply` are distinct fields, and `&mut self`
            // keeps everyone else out. Zeroed or written by the kernel, every octet is initialised. The kernel
            // says how many it wrote, never more than the buffer has (without MSG_TRUNC as an argument); the
            // slice would panic otherwise.
            let (query, reply, header) = unsafe {
                (&(*slot).query, &mut (*slot).reply, &*addr_of_mut!((*self.arena.as_ptr()).receive[index]))
            };
            let datagram = Datagram { octets: &query[..header.msg_len as usize], source: self.source(index) };
            let length = answer(datagram, reply);
            assert!(length <= reply.len(), "a reply is no longer than its buffer");
            // SAFETY: as above; a plain store of an integer.
            unsafe { (*slot).send.iov_len = length };
        }
    }

    /// Sends the replies; how many the kernel did not take. It never waits: a reply that finds the socket's buffer
    /// full is dropped with those behind it, which the client cannot tell from a loss on the way.
    pub(super) fn send(&mut self, socket: &Socket) -> u64 {
        let descriptor = socket.as_raw_fd();
        self.send_by(|headers, count| {
            // SAFETY: `headers` points to `count` headers, and they to addresses, control data and replies in the
            // same arena, which the kernel only reads, and to `msg_len` which it writes.
            let sent = unsafe { libc::sendmmsg(descriptor, headers, count, libc::MSG_DONTWAIT as _) };
            usize::try_from(sent).map_err(|_| io::Error::last_os_error())
        })
    }

    /// [`Batch::receive`] by whatever acts as `recvmmsg`.
    fn receive_by(&mut self, kernel: impl FnOnce(*mut mmsghdr, c_uint) -> c_int) -> io::Result<usize> {
        (0..self.received).for_each(|index| self.reset(index));
        self.received = 0;
        // SAFETY: a pointer to a field of the arena, which is alive; no reference is made.
        let headers = unsafe { addr_of_mut!((*self.arena.as_ptr()).receive) };
        let received = usize::try_from(kernel(headers.cast(), BATCH as c_uint))
            .map_err(|_| io::Error::last_os_error())?;
        assert!(received <= BATCH, "the kernel fills no more headers than it was given");
        self.received = received;
        if self.packet_info {
            (0..received).for_each(|index| self.aim(index));
        }
        Ok(received)
    }

    /// [`Batch::send`] by whatever acts as `sendmmsg`: runs of replies go out together, holes are skipped.
    fn send_by(&mut self, mut kernel: impl FnMut(*mut mmsghdr, c_uint) -> io::Result<usize>) -> u64 {
        let (mut failed, mut first) = (0, 0);
        while first < self.received {
            let run = (first..self.received).take_while(|index| self.reply_length(*index) > 0).count();
            if run == 0 {
                first += 1;
                continue;
            }
            // SAFETY: `first` is below BATCH: a pointer to an element of the arena; no reference is made.
            let headers = unsafe { addr_of_mut!((*self.arena.as_ptr()).send[first]) };
            match kernel(headers, run as c_uint) {
                // Fewer than asked: the next one failed, and says why when it is the first.
                Ok(sent) => first += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return failed + self.replies_from(first);
                }
                // This datagram cannot be sent: no route, a firewall, a source address that is gone. The others can.
                Err(_) => {
                    failed += 1;
                    first += 1;
                }
            }
        }
        failed
    }

    fn replies_from(&self, first: usize) -> u64 {
        (first..self.received).map(|index| u64::from(self.reply_length(index) > 0)).sum()
    }

    fn reply_length(&self, index: usize) -> usize {
        // SAFETY: `slot` points into the arena, and no reference into it is alive; a plain load of an integer.
        unsafe { (*self.slot(index)).send.iov_len }
    }

    fn slot(&self, index: usize) -> *mut Slot {
        assert!(index < BATCH, "a batch has so many slots");
        // SAFETY: the arena is alive, `index` was just checked, and no reference is made.
        unsafe { addr_of_mut!((*self.arena.as_ptr()).slots[index]) }
    }

    /// Points the headers of one slot to its parts. What changes from batch to batch is set by [`Batch::reset`],
    /// [`Batch::aim`] and [`Batch::answer_each`].
    fn wire(&self, index: usize) {
        let slot = self.slot(index);
        // SAFETY: every place written lies in the arena, which is alive, zeroed, and seen by nobody else yet. The
        // pointers stored are derived from the arena's own and stay valid as long as it.
        unsafe {
            let arena = self.arena.as_ptr();
            (*slot).receive =
                iovec { iov_base: addr_of_mut!((*slot).query).cast(), iov_len: QUERY_OCTETS_MAX };
            (*slot).send = iovec { iov_base: addr_of_mut!((*slot).reply).cast(), iov_len: 0 };
            for (header, vector) in [
                (addr_of_mut!((*arena).receive[index].msg_hdr), addr_of_mut!((*slot).receive)),
                (addr_of_mut!((*arena).send[index].msg_hdr), addr_of_mut!((*slot).send)),
            ] {
                (*header).msg_name = addr_of_mut!((*slot).source).cast();
                (*header).msg_namelen = self.source_octets();
                (*header).msg_iov = vector;
                (*header).msg_iovlen = 1;
            }
            if self.packet_info {
                (*arena).receive[index].msg_hdr.msg_control = addr_of_mut!((*slot).control).cast();
                (*arena).send[index].msg_hdr.msg_control = addr_of_mut!((*slot).control).cast();
            }
        }
        self.reset(index);
    }

    /// Restores what the kernel overwrote in a header for receiving: the room for the address and the control data.
    fn reset(&self, index: usize) {
        // SAFETY: plain stores of integers into the arena, to which no reference is alive; the sizes are those of
        // what `wire` pointed the header to. Without packet info the pointer is null and the size stays zero.
        unsafe {
            let header = addr_of_mut!((*self.arena.as_ptr()).receive[index].msg_hdr);
            (*header).msg_namelen = self.source_octets();
            if self.packet_info {
                (*header).msg_controllen = self.control_octets() as _;
            }
        }
    }

    /// Makes the control message that came with a datagram the one that its reply leaves with: from the address
    /// that was asked, by whatever interface the routes say; a link-local address is bound to its interface.
    fn aim(&self, index: usize) {
        let slot = self.slot(index);
        // SAFETY: all accesses are to the arena, to which no reference is alive. The control data is zeroed memory
        // or what the kernel wrote for this family, and any bits are a valid value of either variant.
        unsafe {
            let arena = self.arena.as_ptr();
            let length = (*arena).receive[index].msg_hdr.msg_controllen;
            // The type of lengths differs between C libraries.
            let aimed = length >= size_of::<cmsghdr>() as _
                && match self.family {
                    Family::V4 => {
                        let message = addr_of_mut!((*slot).control.v4);
                        (*message).info.ipi_ifindex = 0;
                        is_message(&(*message).header, libc::IPPROTO_IP, libc::IP_PKTINFO)
                    }
                    Family::V6 => {
                        let message = addr_of_mut!((*slot).control.v6);
                        if !Ipv6Addr::from((*message).info.ipi6_addr.s6_addr).is_unicast_link_local() {
                            (*message).info.ipi6_ifindex = 0;
                        }
                        is_message(&(*message).header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                    }
                };
            let send = addr_of_mut!((*arena).send[index].msg_hdr);
            (*send).msg_controllen = if aimed { self.control_octets() as _ } else { 0 };
        }
    }

    fn source(&self, index: usize) -> SocketAddr {
        let slot = self.slot(index);
        // SAFETY: `source` is zeroed memory or an address that the kernel wrote, of the socket's family; any bits
        // are a valid value of either variant. No mutable reference to it is alive.
        unsafe {
            match self.family {
                Family::V4 => {
                    let source = (*slot).source.v4;
                    let address = Ipv4Addr::from_bits(u32::from_be(source.sin_addr.s_addr));
                    SocketAddr::from((address, u16::from_be(source.sin_port)))
                }
                Family::V6 => {
                    let source = (*slot).source.v6;
                    let address = Ipv6Addr::from(source.sin6_addr.s6_addr);
                    SocketAddrV6::new(address, u16::from_be(source.sin6_port), 0, source.sin6_scope_id).into()
                }
            }
        }
    }

    fn source_octets(&self) -> libc::socklen_t {
        let octets = match self.family {
            Family::V4 => size_of::<sockaddr_in>(),
            Family::V6 => size_of::<sockaddr_in6>(),
        };
        octets as libc::socklen_t
    }

    fn control_octets(&self) -> usize {
        match self.family {
            Family::V4 => size_of::<Info<in_pktinfo>>(),
            Family::V6 => size_of::<Info<in6_pktinfo>>(),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed here alone; nothing in it has a destructor.
        unsafe { dealloc(self.arena.as_ptr().cast(), Layout::new::<Arena>()) };
    }
}

/// Whether a control message is of this kind.
fn is_message(header: &cmsghdr, level: c_int, kind: c_int) -> bool {
    header.cmsg_level == level && header.cmsg_type == kind
}

/// Sets what a socket that answers by UDP needs of its family: packet info where asked for, and no path MTU.
///
/// Whoever forges an ICMP message "fragmentation needed" could otherwise make us send fragments, and a fragment's
/// contents can be forged by who never saw the query. OMIT ignores such messages; what we send is at most
/// [`UDP_OCTETS_MAX`] octets and fits every path that carries IPv6.
///
/// # Errors
/// What `setsockopt` says.
pub(super) fn prepare(socket: &Socket, family: Family, packet_info: bool) -> io::Result<()> {
    let (level, discover, omit, info) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT, libc::IP_PKTINFO),
        Family::V6 => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT, libc::IPV6_RECVPKTINFO)
        }
    };
    set_option(socket, level, discover, omit)?;
    set_option(socket, level, info, c_int::from(packet_info))
}

fn set_option(socket: &Socket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let octets = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `octets` octets from a live integer of that size.
    let status =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), octets) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds the calling thread to one processor, counted from zero.
///
/// # Errors
/// What `sched_setaffinity` says: the machine has no such processor, or the process may not use it.
pub(super) fn pin_to_processor(processor: usize) -> io::Result<()> {
    if processor >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a set of processors is an array of integers, for which zero is a value; `processor` is inside it;
    // the kernel reads as many octets as the set has.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// What the stand-in for the kernel delivers from 192.0.2.1, port 1,000 and on.
    fn deliver(batch: &mut Batch, messages: &[&[u8]]) {
        let received = batch.receive_by(|headers, count| {
            assert!(messages.len() <= count as usize);
            for (index, message) in messages.iter().enumerate() {
                // SAFETY: what the kernel does: it writes through the pointers of the headers it was given, no
                // more than they have room for.
                unsafe {
                    let header = &mut *headers.add(index);
                    let vector = *header.msg_hdr.msg_iov;
                    assert!(message.len() <= vector.iov_len);
                    std::ptr::copy_nonoverlapping(message.as_ptr(), vector.iov_base.cast(), message.len());
                    header.msg_len = message.len() as c_uint;
                    let source = header.msg_hdr.msg_name.cast::<sockaddr_in>();
                    assert_eq!(header.msg_hdr.msg_namelen as usize, size_of::<sockaddr_in>());
                    (*source).sin_port = (1000 + index as u16).to_be();
                    (*source).sin_addr.s_addr = u32::from(Ipv4Addr::new(192, 0, 2, 1)).to_be();
                }
            }
            messages.len() as c_int
        });
        assert_eq!(received.unwrap(), messages.len());
    }

    /// The replies in the headers, as the kernel would read them.
    fn collect(headers: *mut mmsghdr, count: c_uint) -> Vec<(u16, Vec<u8>)> {
        let reply = |index: usize| {
            // SAFETY: what the kernel does: it reads through the pointers of the headers it was given.
            unsafe {
                let header = &*headers.add(index);
                let vector = *header.msg_hdr.msg_iov;
                let octets = std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len);
                let source = header.msg_hdr.msg_name.cast::<sockaddr_in>();
                (u16::from_be((*source).sin_port), octets.to_vec())
            }
        };
        (0..count as usize).map(reply).collect()
    }

    /// Replies with the octets themselves; nothing to an empty datagram.
    fn echo(datagram: Datagram<'_>, reply: &mut [u8]) -> usize {
        reply[..datagram.octets.len()].copy_from_slice(datagram.octets);
        datagram.octets.len()
    }

    #[test]
    fn replies_go_out_in_runs_and_holes_are_skipped() {
        let mut batch = Batch::new(Family::V4, false);
        for _ in 0..3 {
            deliver(&mut batch, &[b"", b"a", b"bc", b"", b"", b"d", b""]);
            batch.answer_each(echo);
            let mut runs = Vec::new();
            let failed = batch.send_by(|headers, count| {
                runs.push(collect(headers, count));
                Ok(count as usize)
            });
            assert_eq!(failed, 0);
            assert_eq!(
                runs,
                [vec![(1001, b"a".to_vec()), (1002, b"bc".to_vec())], vec![(1005, b"d".to_vec())]]
            );
        }
    }

    #[test]
    fn a_reply_that_cannot_be_sent_is_counted_and_the_others_go_out() {
        let mut batch = Batch::new(Family::V4, true);
        deliver(&mut batch, &[b"a", b"b", b"c", b"d"]);
        batch.answer_each(echo);
        let mut sent = Vec::new();
        let failed = batch.send_by(|headers, count| {
            let run = collect(headers, count);
            let good: Vec<_> = run.into_iter().take_while(|(_, octets)| octets != b"b").collect();
            if good.is_empty() {
                return Err(io::ErrorKind::HostUnreachable.into());
            }
            sent.extend(good.iter().map(|(port, _)| *port));
            Ok(good.len())
        });
        assert_eq!((failed, sent), (1, vec![1000, 1002, 1003]));
    }

    #[test]
    fn an_interrupted_send_is_repeated_and_a_full_socket_drops_the_rest() {
        let mut batch = Batch::new(Family::V4, false);
        deliver(&mut batch, &[b"a", b"b", b"", b"c"]);
        batch.answer_each(echo);
        let mut says = [Err(io::ErrorKind::Interrupted), Ok(1), Err(io::ErrorKind::WouldBlock)].into_iter();
        let failed = batch.send_by(|_, _| says.next().unwrap().map_err(io::Error::from));
        assert_eq!((failed, says.next()), (2, None));
    }

    #[test]
    fn an_error_leaves_nothing_to_answer() {
        let mut batch = Batch::new(Family::V4, false);
        deliver(&mut batch, &[b"a"]);
        assert!(batch.receive_by(|_, _| -1).is_err());
        batch.answer_each(|_, _| unreachable!("nothing was received"));
        assert_eq!(batch.send_by(|_, _| unreachable!("nothing to send")), 0);
    }

    #[test]
    #[should_panic(expected = "a reply is no longer than its buffer")]
    fn a_reply_beyond_its_buffer_is_a_broken_promise() {
        let mut batch = Batch::new(Family::V4, false);
        deliver(&mut batch, &[b"a"]);
        batch.answer_each(|_, reply| reply.len() + 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "interpreters know no recvmmsg")]
    fn the_kernel_sees_the_headers_as_the_stand_in_does() {
        for (address, info) in
            [("127.0.0.1:0", false), ("127.0.0.1:0", true), ("[::1]:0", false), ("[::1]:0", true)]
        {
            let bound = UdpSocket::bind(address).unwrap();
            let server = bound.local_addr().unwrap();
            let family = Family::of(server.ip());
            let socket = Socket::from(bound);
            prepare(&socket, family, info).unwrap();
            let mut batch = Batch::new(family, info);
            let client = UdpSocket::bind(address).unwrap();
            for round in 0..3u8 {
                let mut long = vec![round; QUERY_OCTETS_MAX + 1];
                client.send_to(&long, server).unwrap();
                long.pop();
                client.send_to(&[round], server).unwrap();
                client.send_to(&long, server).unwrap();
                assert_eq!(batch.receive(&socket).unwrap(), 3);
                let mut seen = Vec::new();
                batch.answer_each(|datagram, reply| {
                    assert_eq!(datagram.source, client.local_addr().unwrap());
                    seen.push(datagram.octets.len());
                    reply[0] = datagram.octets[0];
                    1
                });
                assert_eq!(seen, [QUERY_OCTETS_MAX, 1, QUERY_OCTETS_MAX]);
                assert_eq!(batch.send(&socket), 0);
                for _ in 0..3 {
                    let mut reply = [0; 2];
                    assert_eq!(client.recv_from(&mut reply).unwrap(), (1, server));
                    assert_eq!(reply[0], round);
                }
            }
        }
    }
}
