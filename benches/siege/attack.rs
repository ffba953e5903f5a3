//! The other side: a process that keeps as many bad connections as it is told to. Whatever is closed comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::flood;
use super::server::{NAME, client_config, question};

/// Connections from one address.
const PER_ADDRESS: usize = 20;
/// How long one waits before it comes back.
const PAUSE: Duration = Duration::from_millis(50);
/// What an attacker's kernel keeps of what it sends. It is the server's kernel, too, and has so much memory for all of TCP
/// (`net.ipv4.tcp_mem`): beyond that it drops anybody's packets, the honest client's as well.
const UNSENT_OCTETS: u32 = 16 * 1024;
/// The beginning of a greeting of 512 octets.
const HALF_GREETING: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

/// Attacks until killed.
pub(crate) fn run(kind: &str, server: SocketAddr, certificate: &Path, connections: usize) -> ! {
    let _ = rhumb::serve::descriptors::raise();
    let certificate = CertificateDer::from(std::fs::read(certificate).unwrap());
    let kind: Arc<str> = kind.trim_end_matches("-beyond-the-limits").into();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async move {
        println!("ready");
        if &*kind == "quic-streams" {
            flood::by_quic(server, &certificate, connections).await;
        }
        let protocol: &[u8] = if kind.starts_with("https") { b"h2" } else { b"dot" };
        let connector = TlsConnector::from(Arc::new(client_config(&certificate, protocol)));
        for number in 0..connections {
            let (kind, connector) = (Arc::clone(&kind), connector.clone());
            tokio::spawn(async move {
                loop {
                    let _ = one(&kind, server, number, &connector).await;
                    sleep(PAUSE).await;
                }
            });
            if number % 50 == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
        std::future::pending().await
    })
}

/// One connection, until the server ends it.
async fn one(kind: &str, server: SocketAddr, number: usize, connector: &TlsConnector) -> io::Result<()> {
    let mut stream = connect(server, number).await?;
    match kind {
        "tcp-half" => {
            stream.write_all(&[0]).await?;
            wait(stream).await
        }
        "tls-half" => {
            stream.write_all(&HALF_GREETING).await?;
            wait(stream).await
        }
        "tcp-idle" => wait(stream).await,
        "tcp-dribble" => dribble(stream).await,
        "tcp-deaf" => deaf(stream).await,
        _ => {
            let stream = connector.connect(NAME.try_into().unwrap(), stream).await?;
            match kind {
                "tls-idle" => wait(stream).await,
                "tls-dribble" => dribble(stream).await,
                "tls-deaf" => deaf(stream).await,
                _ => flood::by_http(stream, kind).await,
            }
        }
    }
}

async fn connect(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let client = Ipv4Addr::from_bits(0x7f01_0001 + (number / PER_ADDRESS) as u32);
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(UNSENT_OCTETS)?;
    socket.bind((client, 0).into())?;
    socket.connect(server).await
}

async fn wait(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}

async fn dribble(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    for octet in [0, 200].into_iter().chain(std::iter::repeat(1)) {
        stream.write_all(&[octet]).await?;
        stream.flush().await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Asks and asks, and reads nothing.
async fn deaf(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let query = question(1);
    let many = [&(query.len() as u16).to_be_bytes(), &query[..]].concat().repeat(100);
    loop {
        stream.write_all(&many).await?;
    }
}
