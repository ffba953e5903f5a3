//! A TCP connection: made, it passes.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::{Finding, finding_of_io};

pub(super) async fn probe(address: SocketAddr) -> Finding {
    match TcpStream::connect(address).await {
        Ok(_) => Finding::Pass,
        Err(error) => finding_of_io(&error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::agent::probe::Finding;
    use crate::agent::testing::{Server, black_hole, finding, finding_within, refusing};
    use crate::config::probe::ProbeKind;
    use crate::health::outcome::Failure;

    #[tokio::test]
    async fn a_connection_passes_and_a_refusal_is_told_from_silence() {
        let server = Server::silent().await;
        let kind = |port| ProbeKind::Tcp { port };
        assert_eq!(finding(server.address, kind(1)).await, Finding::Pass);

        let (closed, _socket) = refusing();
        assert_eq!(finding(closed, kind(1)).await, Finding::Fail(Failure::Refused));

        let (silent, _listener, _held) = black_hole().await;
        let timeout = Duration::from_millis(100);
        assert_eq!(finding_within(timeout, silent, kind(1)).await, Finding::Fail(Failure::TimedOut));
    }
}
