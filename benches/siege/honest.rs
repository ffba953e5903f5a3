//! A client that connects anew for each query, as a resolver does after a truncated answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, StreamOwned};

use super::server::client_config;
use super::server::{NAME, question};

const ASKS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(40);
/// A reply with its length has more octets than its query.
const REPLY_OCTETS_MIN: usize = 40;
/// What takes longer was not served.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far it got with a query.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Connecting,
    ShakingHands,
    Asking,
}

/// How many of how many queries were answered.
pub(crate) fn by_tcp(server: SocketAddr) -> (u32, u32) {
    count(|stage| {
        let mut stream = connect(server)?;
        *stage = Stage::Asking;
        ask(&mut stream)
    })
}

/// How many of how many queries were answered.
pub(crate) fn by_tls(server: SocketAddr, certificate: &CertificateDer<'static>) -> (u32, u32) {
    let config = Arc::new(client_config(certificate, b"dot"));
    count(|stage| {
        let client = ClientConnection::new(Arc::clone(&config), NAME.try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, connect(server)?);
        *stage = Stage::ShakingHands;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        *stage = Stage::Asking;
        ask(&mut stream)
    })
}

/// How many of how many queries were answered.
pub(crate) fn by_quic(server: SocketAddr, certificate: &CertificateDer<'static>) -> (u32, u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crypto = QuicClientConfig::try_from(client_config(certificate, b"doq")).unwrap();
    let config = ClientConfig::new(Arc::new(crypto));
    let endpoint = runtime.block_on(async { Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap() });
    count(|stage| {
        runtime.block_on(async {
            let ask = async {
                let connection = endpoint.connect_with(config.clone(), server, NAME).unwrap().await?;
                *stage = Stage::Asking;
                let (mut query, mut reply) = connection.open_bi().await?;
                query.write_all(&framed(0)).await?;
                query.finish().unwrap();
                reply.read_exact(&mut [0; REPLY_OCTETS_MIN]).await.map_err(std::io::Error::other)
            };
            tokio::time::timeout(PATIENCE, ask).await?
        })
    })
}

/// Asks so often; who is not served is told with how far it got, and after what time.
fn count(mut asks: impl FnMut(&mut Stage) -> std::io::Result<()>) -> (u32, u32) {
    let served = (0..ASKS).filter(|number| {
        sleep(BETWEEN);
        let (mut stage, begin) = (Stage::Connecting, Instant::now());
        let done = asks(&mut stage);
        if let Err(error) = &done {
            eprintln!(
                "the honest client's query {number} failed {stage:?} after {:?}: {error}",
                begin.elapsed()
            );
        }
        done.is_ok()
    });
    (served.count() as u32, ASKS)
}

fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ask(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    stream.write_all(&framed(9))?;
    stream.read_exact(&mut [0; REPLY_OCTETS_MIN])
}

/// A query behind its length.
fn framed(id: u16) -> Vec<u8> {
    let query = question(id);
    [&(query.len() as u16).to_be_bytes(), &query[..]].concat()
}
