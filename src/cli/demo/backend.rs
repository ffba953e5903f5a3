//! A small HTTP backend that can be killed and revived: whatever it is asked it answers with 200 and its region.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A backend, alive or dead. Its port stays its own from life to life.
#[derive(Debug)]
pub(super) struct Backend {
    region: &'static str,
    address: SocketAddr,
    life: Option<Life>,
}

#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    /// Open connections, to be cut at the end.
    connections: Mutex<Vec<TcpStream>>,
}

/// More connections than this at a time are turned away; the prober needs two.
const CONNECTIONS_MAX: usize = 64;
/// The longest head of a request.
const HEAD_OCTETS_MAX: usize = 8 << 10;
/// How long the kernel may take to connect a backend with itself, to wake it up for its end.
const WAKE_WITHIN: Duration = Duration::from_secs(1);

impl Backend {
    /// A living backend at `address`; with port 0 at any that is free.
    pub(super) fn start(region: &'static str, address: SocketAddr) -> io::Result<Self> {
        let mut backend = Self { region, address, life: None };
        backend.revive()?;
        Ok(backend)
    }

    /// Where it listens when it lives.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The region it stands in.
    pub(super) fn region(&self) -> &'static str {
        self.region
    }

    /// Whether it lives.
    pub(super) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// Lets it listen, if it does not.
    pub(super) fn revive(&mut self) -> io::Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (region, inner) = (self.region, Arc::clone(&shared));
        let listener = thread::Builder::new().spawn(move || accept(&listener, region, &inner))?;
        self.life = Some(Life { shared, listener });
        Ok(())
    }

    /// Closes its port and cuts its connections, if it lives. Once this returns nothing answers there.
    pub(super) fn kill(&mut self) {
        let Some(Life { shared, listener }) = self.life.take() else { return };
        shared.over.store(true, Ordering::SeqCst);
        // The listener sees its end once it is woken. Where it cannot be, it ends with the next connection.
        if TcpStream::connect_timeout(&self.address, WAKE_WITHIN).is_ok() {
            let _ = listener.join();
        }
        for connection in shared.connections().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, region: &'static str, shared: &Arc<Shared>) {
    while let Ok((stream, peer)) = listener.accept() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let mut connections = shared.connections();
        // A connection that was closed has no peer.
        connections.retain(|open| open.peer_addr().is_ok());
        if connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        let Ok(copy) = stream.try_clone() else { continue };
        connections.push(copy);
        drop(connections);
        let inner = Arc::clone(shared);
        let serving = thread::Builder::new().spawn(move || {
            // Whatever ends a connection ends it.
            let _ = serve(stream, region);
            inner.connections().retain(|open| open.peer_addr().is_ok_and(|other| other != peer));
        });
        if serving.is_err() {
            shared.connections().pop();
        }
    }
}

/// Answers request after request, until the peer or a kill ends the connection.
fn serve(mut stream: TcpStream, region: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{region}\n",
        region.len() + 1
    );
    while read_head(&mut stream)? {
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Reads up to the empty line; `false` at the end of the connection, and for what is no request.
fn read_head(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    let mut octets = [0; 1024];
    loop {
        let count = stream.read(&mut octets)?;
        head.extend_from_slice(&octets[..count]);
        if head.ends_with(b"\r\n\r\n") {
            return Ok(true);
        }
        if count == 0 || head.len() > HEAD_OCTETS_MAX {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
            let mut answer = [0; 69];
            stream.read_exact(&mut answer)?;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nhere\n"));
        }
        Ok(stream)
    }

    #[test]
    fn a_backend_dies_at_once_and_comes_back_at_the_same_place() {
        let mut backend = Backend::start("here", ([127, 0, 0, 1], 0).into()).unwrap();
        let address = backend.address();
        let mut open = ask(address).unwrap();
        for _ in 0..3 {
            backend.kill();
            backend.kill();
            assert!(ask(address).is_err() && !backend.is_alive());
            assert!(matches!(open.read(&mut [0; 1]), Ok(0) | Err(_)), "open connections are cut");
            backend.revive().unwrap();
            backend.revive().unwrap();
            assert_eq!(backend.address(), address);
            open = ask(address).unwrap();
        }
    }
}
