//! A QUIC socket that a successor reads from too: once this process has stopped, it takes no datagram more, and still
//! sends the ends of its connections. quinn would go on reading until the last of them is buried.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// The socket, read until told to stop.
#[derive(Debug)]
pub(super) struct Shared {
    socket: Arc<dyn AsyncUdpSocket>,
    stop: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, stop: Arc<AtomicBool>) -> Self {
        Self { socket, stop }
    }
}

impl AsyncUdpSocket for Shared {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Whatever else happens wakes the caller; datagrams need not.
        if self.stop.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.socket.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
