//! A client that connects anew for each query, as a resolver does after a truncated answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, StreamOwned};

use super::server::client_config;
use super::server::{NAME, question};

const ASKS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(40);
/// What takes longer was not served.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many of how many queries were answered.
pub(crate) fn by_tcp(server: SocketAddr) -> (u32, u32) {
    count(|| ask(&mut connect(server)?))
}

/// How many of how many queries were answered.
pub(crate) fn by_tls(server: SocketAddr, certificate: &CertificateDer<'static>) -> (u32, u32) {
    let config = Arc::new(client_config(certificate, b"dot"));
    count(|| {
        let client = ClientConnection::new(Arc::clone(&config), NAME.try_into().unwrap()).unwrap();
        ask(&mut StreamOwned::new(client, connect(server)?))
    })
}

fn count(mut asks: impl FnMut() -> std::io::Result<()>) -> (u32, u32) {
    let served = (0..ASKS).filter(|_| {
        sleep(BETWEEN);
        asks().is_ok()
    });
    (served.count() as u32, ASKS)
}

fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ask(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let query = question(9);
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), &query[..]].concat())?;
    stream.read_exact(&mut [0; 40])
}
