//! Opening the sockets: per address one TCP listener and one UDP socket per worker, all of the same port, or an
//! error that says what would be right. Sockets that were handed over take the place of those that would be opened.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, Socket, Type};

use super::mmsg;
use super::udp::WAIT;
use crate::answer::respond::Transport;
use crate::net::Family;
use crate::process::handed::{Handed, Label, purpose};

/// The sockets of one listen address.
#[derive(Debug)]
pub(super) struct Bound {
    /// The address that was asked for, whose port may be 0.
    asked: SocketAddr,
    /// The address with its real port.
    pub(super) address: SocketAddr,
    /// One socket per worker; the kernel spreads clients over them. Workers beyond the sockets that were handed over
    /// share one with another.
    pub(super) udp: Vec<Socket>,
    /// How many of them are not shared: the first ones.
    own: usize,
    /// Listening and non-blocking.
    pub(super) tcp: Socket,
}

/// The socket of one listen address of an encrypted transport.
#[derive(Debug)]
pub(super) struct BoundEncrypted {
    pub(super) transport: Transport,
    /// The address that was asked for, whose port may be 0.
    asked: SocketAddr,
    /// The address with its real port.
    pub(super) address: SocketAddr,
    /// Non-blocking; listening for TLS and HTTPS, of datagrams for QUIC.
    pub(super) socket: Socket,
}

/// Why no socket could be opened.
#[derive(Debug)]
pub enum BindFault {
    /// No address was given.
    Nothing,
    /// The second address is already covered by the first.
    Covered(SocketAddr, SocketAddr),
    /// The system refused the address.
    Refused(SocketAddr, Transport, io::Error),
}

/// The buffers asked of the kernel per UDP socket, in octets: some 20 ms of the fastest arrival that one core can
/// answer, so that a pause of the worker loses nothing.
const SOCKET_BUFFER_OCTETS: usize = 4 << 20;

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How much the kernel keeps for a client that does not read, in octets, beside what is under way to it. Else it would take
/// megabytes from whoever is fast to write them, and each client that never reads would be worth the work for as much.
const UNSENT_OCTETS: u32 = 64 * 1024;

/// How many ports are tried when any port will do and UDP finds the one that TCP was given in use.
const PORT_TRIES: usize = 16;

impl Bound {
    /// Copies of the sockets, for a successor.
    pub(super) fn copies(&self) -> io::Result<Vec<(Label, OwnedFd)>> {
        let label = |purpose| Label::new(purpose, Some(self.asked));
        let mut copies = vec![(label(purpose::TCP), self.tcp.try_clone()?.into())];
        for socket in &self.udp[..self.own] {
            copies.push((label(purpose::UDP), socket.try_clone()?.into()));
        }
        Ok(copies)
    }
}

impl BoundEncrypted {
    /// A copy of the socket, for a successor.
    pub(super) fn copy(&self) -> io::Result<(Label, OwnedFd)> {
        let label = Label::new(purpose_of(self.transport), Some(self.asked));
        Ok((label, self.socket.try_clone()?.into()))
    }
}

/// Opens the sockets of all addresses, or none; those that were handed over are taken.
pub(super) fn bind_all(
    listen: &[SocketAddr],
    workers: NonZeroUsize,
    handed: &mut Handed,
) -> Result<Vec<Bound>, BindFault> {
    let listen: Vec<_> = listen.iter().copied().map(canonical).collect();
    if listen.is_empty() {
        return Err(BindFault::Nothing);
    }
    for (index, later) in listen.iter().enumerate() {
        if let Some(earlier) = listen[..index].iter().find(|earlier| overlap(**earlier, *later)) {
            return Err(BindFault::Covered(*earlier, *later));
        }
    }
    listen.into_iter().map(|address| obtain(address, workers, handed)).collect()
}

/// Opens the sockets of one encrypted transport, or none; those that were handed over are taken.
pub(super) fn bind_encrypted(
    listen: &[SocketAddr],
    transport: Transport,
    handed: &mut Handed,
) -> Result<Vec<BoundEncrypted>, BindFault> {
    let bind = |asked: SocketAddr| {
        let socket = handed.take_one(purpose_of(transport), Some(asked)).map(Socket::from);
        let bound = match (transport, socket) {
            (Transport::Quic, Some(socket)) => adopt_quic(socket),
            (Transport::Quic, None) => bind_quic(asked),
            (_, Some(socket)) => adopt_tcp(socket),
            (_, None) => bind_tcp(asked),
        };
        let (socket, address) = bound.map_err(|error| BindFault::Refused(asked, transport, error))?;
        Ok(BoundEncrypted { transport, asked, address, socket })
    };
    listen.iter().copied().map(canonical).map(bind).collect()
}

fn purpose_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => purpose::UDP,
        Transport::Tcp => purpose::TCP,
        Transport::Tls => purpose::TLS,
        Transport::Https => purpose::HTTPS,
        Transport::Quic => purpose::QUIC,
    }
}

/// Whether packets of this socket must say which address they came to: it is bound to all of them.
pub(super) fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

/// An IPv4-mapped address is the IPv4 one that it means: sockets of IPv6 take no IPv4 here.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_place = one.ip() == other.ip() || is_wildcard(one) || is_wildcard(other);
    one.port() != 0
        && one.port() == other.port()
        && Family::of(one.ip()) == Family::of(other.ip())
        && same_place
        && scope(one) == scope(other)
}

/// Link-local addresses of two interfaces are two addresses.
fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

/// The sockets of one address: those handed over, and what is missing of them.
fn obtain(asked: SocketAddr, workers: NonZeroUsize, handed: &mut Handed) -> Result<Bound, BindFault> {
    let tcp = handed.take_one(purpose::TCP, Some(asked));
    let udp = handed.take(purpose::UDP, Some(asked));
    if tcp.is_none() && udp.is_empty() {
        return bind_address(asked, workers);
    }
    let tcp = tcp.map_or_else(|| bind_tcp(asked), |tcp| adopt_tcp(tcp.into()));
    let (tcp, address) = tcp.map_err(|error| BindFault::Refused(asked, Transport::Tcp, error))?;
    let own = if udp.is_empty() { workers.get() } else { udp.len() };
    let udp = if udp.is_empty() { bind_udp(address, workers) } else { adopt_udp(udp, address, workers) };
    let udp = udp.map_err(|error| BindFault::Refused(address, Transport::Udp, error))?;
    Ok(Bound { asked, address, udp, tcp, own })
}

fn adopt_tcp(socket: Socket) -> io::Result<(Socket, SocketAddr)> {
    prepare_tcp(&socket)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

/// Tells a listener what accepted sockets inherit.
fn prepare_tcp(socket: &Socket) -> io::Result<()> {
    // Replies are written whole, so nothing is gained by waiting for more.
    socket.set_tcp_nodelay(true)?;
    // Where the system has no such option, clients that do not read cost more.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_OCTETS);
    socket.set_nonblocking(true)
}

/// Every socket gets a worker, however few are asked for: the kernel gives each its part of the clients. Where more
/// workers are asked for, some share.
fn adopt_udp(handed: Vec<OwnedFd>, address: SocketAddr, workers: NonZeroUsize) -> io::Result<Vec<Socket>> {
    let mut sockets: Vec<Socket> = handed.into_iter().map(Socket::from).collect();
    for socket in &sockets {
        socket.set_nonblocking(false)?;
        prepare(socket, address)?;
    }
    for index in 0..workers.get().saturating_sub(sockets.len()) {
        sockets.push(sockets[index].try_clone()?);
    }
    Ok(sockets)
}

/// TCP comes first: whoever listens there is found by the kernel, and where any port will do it chooses one.
fn bind_address(asked: SocketAddr, workers: NonZeroUsize) -> Result<Bound, BindFault> {
    let mut tries = PORT_TRIES;
    loop {
        let refused = |error| BindFault::Refused(asked, Transport::Tcp, error);
        let (tcp, address) = bind_tcp(asked).map_err(refused)?;
        match bind_udp(address, workers) {
            Ok(udp) => return Ok(Bound { asked, address, own: udp.len(), udp, tcp }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && asked.port() == 0 && tries > 0 => {
                tries -= 1;
            }
            Err(error) => return Err(BindFault::Refused(address, Transport::Udp, error)),
        }
    }
}

fn bind_tcp(asked: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = open(asked, Type::STREAM, Protocol::TCP)?;
    // Connections of an earlier run that the kernel still buries do not keep the port; another listener does.
    socket.set_reuse_address(true)?;
    prepare_tcp(&socket)?;
    socket.bind(&asked.into())?;
    socket.listen(BACKLOG)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

fn bind_quic(asked: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = open(asked, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&asked.into())?;
    adopt_quic(socket)
}

fn adopt_quic(socket: Socket) -> io::Result<(Socket, SocketAddr)> {
    socket.set_nonblocking(true)?;
    widen(&socket)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

fn bind_udp(address: SocketAddr, workers: NonZeroUsize) -> io::Result<Vec<Socket>> {
    // Sockets that share a port share it with any process of the same user that does likewise, in silence: half of
    // the queries would go to a forgotten second server. A socket that does not share finds the port in use.
    open(address, Type::DGRAM, Protocol::UDP)?.bind(&address.into())?;
    (0..workers.get()).map(|_| bind_worker(address)).collect()
}

fn bind_worker(address: SocketAddr) -> io::Result<Socket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(true)?;
    prepare(&socket, address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    widen(socket)?;
    mmsg::prepare(socket, Family::of(address.ip()), is_wildcard(address))?;
    socket.set_read_timeout(Some(WAIT))
}

/// Asks for the buffers: past the cap of the kernel (`net.core.rmem_max`, a twentieth of it on most systems) where the
/// process is still root, else as much as the cap allows.
fn widen(socket: &Socket) -> io::Result<()> {
    if set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER_OCTETS).is_err() {
        socket.set_recv_buffer_size(SOCKET_BUFFER_OCTETS)?;
    }
    socket.set_send_buffer_size(SOCKET_BUFFER_OCTETS)
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

impl fmt::Display for BindFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, transport, error) = match self {
            Self::Nothing => {
                return write!(f, "no address to listen on; name one, such as \"127.0.0.1:5300\"");
            }
            Self::Covered(first, second) => {
                return write!(f, "{second} is already covered by {first}; list one of them");
            }
            Self::Refused(address, transport, error) => (address, transport, error),
        };
        let (ip, port) = (address.ip(), address.port());
        write!(f, "{transport} {address}: ")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "in use by another process, which \"ss -lnptu 'sport = :{port}'\" names; stop it, or listen elsewhere"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "not permitted; port {port} needs CAP_NET_BIND_SERVICE: run as root, grant the capability \
                 (AmbientCapabilities= in systemd, \"setcap cap_net_bind_service=+ep\"), or listen above 1023"
            ),
            io::ErrorKind::AddrNotAvailable => {
                let every = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
                write!(
                    f,
                    "{ip} is no address of this machine; list one that \"ip address\" shows, or {every}"
                )
            }
            _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                write!(
                    f,
                    "this machine has no {}; remove the address",
                    if address.is_ipv4() { "IPv4" } else { "IPv6" }
                )
            }
            _ => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BindFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_, _, error) => Some(error),
            Self::Nothing | Self::Covered(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn bind(listen: &[&str], workers: usize) -> Result<Vec<Bound>, BindFault> {
        let listen: Vec<_> = listen.iter().map(|text| text.parse().unwrap()).collect();
        bind_all(&listen, NonZeroUsize::new(workers).unwrap(), &mut Handed::default())
    }

    fn fault(listen: &[&str]) -> String {
        bind(listen, 2).unwrap_err().to_string()
    }

    #[test]
    fn any_port_is_one_port_for_all_workers_and_both_transports() {
        for bound in bind(&["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.2]:0"], 3).unwrap() {
            assert_ne!(bound.address.port(), 0);
            assert_eq!(bound.udp.len(), 3);
            for socket in bound.udp.iter().chain([&bound.tcp]) {
                assert_eq!(socket.local_addr().unwrap().as_socket(), Some(bound.address));
            }
        }
    }

    #[test]
    fn both_families_may_have_the_same_port_of_every_address() {
        let port = bind(&["127.0.0.1:0"], 1).unwrap()[0].address.port();
        assert_eq!(bind(&[&format!("0.0.0.0:{port}"), &format!("[::]:{port}")], 2).unwrap().len(), 2);
    }

    #[test]
    fn a_port_in_use_is_an_error_even_by_one_of_us() {
        let first = bind(&["127.0.0.1:0"], 2).unwrap();
        let address = first[0].address.to_string();
        assert!(fault(&[&address]).starts_with(&format!("TCP {address}: in use by another process")));
        let Bound { udp, tcp, .. } = first.into_iter().next().unwrap();
        drop(tcp);
        assert!(fault(&[&address]).starts_with(&format!("UDP {address}: in use by another process")));
        drop(udp);
        assert!(bind(&[&address], 2).is_ok());
    }

    #[test]
    fn a_port_in_use_by_a_stranger_is_an_error() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = UdpSocket::bind(udp).unwrap();
        assert!(fault(&[&udp.to_string()]).starts_with("UDP "));
        assert!(fault(&[&tcp.local_addr().unwrap().to_string()]).starts_with("TCP "));
        drop(holder);
    }

    #[test]
    fn faults_say_what_would_be_right() {
        assert!(fault(&[]).contains("name one"));
        assert!(fault(&["192.0.2.1:0"]).contains("192.0.2.1 is no address of this machine"));
        assert_eq!(
            fault(&["0.0.0.0:5399", "127.0.0.1:5399"]),
            "127.0.0.1:5399 is already covered by 0.0.0.0:5399; list one of them"
        );
        let denied = BindFault::Refused(
            "0.0.0.0:53".parse().unwrap(),
            Transport::Tcp,
            io::ErrorKind::PermissionDenied.into(),
        );
        assert!(denied.to_string().contains("port 53 needs CAP_NET_BIND_SERVICE"));
    }
}
