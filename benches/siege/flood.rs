//! Floods by HTTP/2 and by QUIC: frames and streams that ask nothing, as fast as they are taken.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

use super::server::NAME;
use super::server::client_config;

/// Writes frames until the server ends it.
pub(crate) async fn by_http(mut stream: impl AsyncRead + AsyncWrite + Unpin, kind: &str) -> io::Result<()> {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    if kind == "https-empty" {
        stream.write_all(&frame(1, 4, 1, &head(0x83, "/dns-query", true))).await?;
    }
    for number in 0u32.. {
        let octets = match kind {
            "https-pings" => frame(6, 0, 0, &[7; 8]).repeat(50),
            "https-settings" => frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(50),
            "https-empty" => frame(0, 0, 1, &[]).repeat(50),
            "https-headers" => {
                let part = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100);
                frame(if number == 0 { 1 } else { 9 }, 0, 1, &part)
            }
            _ => {
                let (path, stream) =
                    ("/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", number * 2 + 1);
                let head = head(0x82, path, false);
                [frame(1, 5, stream, &head), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
            }
        };
        stream.write_all(&octets).await?;
    }
    Ok(())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// The head of a request, in literal fields that no table keeps (RFC 7541).
fn head(method: u8, path: &str, typed: bool) -> Vec<u8> {
    let mut head = vec![method, 0x87, 4, path.len() as u8];
    head.extend(path.bytes());
    head.extend([1, NAME.len() as u8]);
    head.extend(NAME.bytes());
    if typed {
        head.extend([0x0f, 0x10, 23]);
        head.extend(b"application/dns-message");
    }
    head
}

/// Opens streams and gives them up, over and over.
pub(crate) async fn by_quic(server: SocketAddr, certificate: &CertificateDer<'static>, connections: usize) {
    let crypto = QuicClientConfig::try_from(client_config(certificate, b"doq")).unwrap();
    let config = ClientConfig::new(Arc::new(crypto));
    for number in 0..connections {
        let config = config.clone();
        tokio::spawn(async move {
            let from = std::net::Ipv4Addr::from_bits(0x7f01_0001 + (number / 20) as u32);
            let endpoint = Endpoint::client((from, 0).into()).unwrap();
            loop {
                let connecting = endpoint.connect_with(config.clone(), server, NAME).unwrap();
                if let Ok(connection) = connecting.await {
                    while let Ok((mut query, _)) = connection.open_bi().await {
                        let _ = query.write_all(&[0, 99, 0]).await;
                        let _ = query.reset(VarInt::from_u32(3));
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
    std::future::pending().await
}
