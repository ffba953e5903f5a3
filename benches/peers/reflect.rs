//! The least that a server by UDP can do: it sends every datagram back with the bit that makes it a reply. What it
//! costs is the price of the sockets, which no server undercuts without another way to the wire.

use std::net::UdpSocket;

use super::datagrams::Datagrams;

const BATCH: usize = 64;

/// Reflects until the process is ended.
pub(crate) fn run(address: &str) -> ! {
    let socket = UdpSocket::bind(address).expect("the address is free");
    let mut batch = Datagrams::new(BATCH);
    loop {
        let received = batch.receive(&socket, libc::MSG_WAITFORONE);
        for at in 0..received {
            if let Some(flags) = batch.octets(at).get_mut(2) {
                *flags |= 0x80;
            }
        }
        if received > 0 {
            let _ = batch.send(&socket, received, true);
        }
    }
}
