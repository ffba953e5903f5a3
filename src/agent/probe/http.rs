//! A GET by HTTP/1.1, plain or over TLS, whose status and, if asked, body must match.
//!
//! The connection goes to the target's address whatever host is named: the client's resolver knows that one
//! address and nothing else. Each probe makes its own connection, since one that was kept would go on passing
//! after the listener behind it is gone. Redirects are answers, not orders; proxies of the environment are not
//! for probes; nothing is tried twice.

use std::fmt::Display;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderValue};
use reqwest::{Client, Request, Response, Url, redirect, retry};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::tls::{TrustCache, client_config, server_name};
use super::{Finding, bounded, finding_of};
use crate::config::probe::{BODY_OCTETS_MAX, HttpProbe, TlsTrust};
use crate::health::outcome::Failure;

/// A target of an HTTP probe, made ready.
pub(super) struct HttpTarget {
    origin: Origin,
    status: Vec<u16>,
    body_contains: Option<String>,
}

/// Whom requests go to, made ready.
pub(super) struct Origin {
    pub(super) client: Client,
    /// Without path and query.
    pub(super) url: Url,
    /// The Host header as the operator wrote it; without one, the client writes the URL's.
    pub(super) host: Option<HeaderValue>,
}

impl Origin {
    pub(super) fn new(
        address: SocketAddr,
        host: Option<&str>,
        tls: Option<&TlsTrust>,
        trust: &mut TrustCache,
    ) -> Result<Self, String> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let named = host.map(|host| parse_url(scheme, host)).transpose()?;
        let host = host.map(HeaderValue::from_str).transpose();
        // A host that is an address would be connected to, past the resolver; so the URL keeps the target's
        // address then, and the certificate is checked for the host all the same.
        let (mut url, checked) = match named {
            Some(url) if url.domain().is_some() => (url, None),
            Some(url) => {
                (parse_url(scheme, &address.to_string())?, url.host_str().map(address_name).transpose()?)
            }
            None => (parse_url(scheme, &address.to_string())?, None),
        };
        url.set_port(Some(address.port())).map_err(|()| "the host takes no port".to_owned())?;
        // Plain HTTP uses no TLS, but the client would otherwise make its own, with all the system's
        // authorities, for each target.
        let tls = client_config(tls.unwrap_or(&TlsTrust::Anything), checked, trust)?;
        Ok(Self {
            client: client(address, tls)?,
            url,
            host: host.map_err(|_| "the host is not fit for a header".to_owned())?,
        })
    }
}

impl HttpTarget {
    pub(super) fn new(address: SocketAddr, spec: &HttpProbe, trust: &mut TrustCache) -> Result<Self, String> {
        let mut origin = Origin::new(address, spec.host.as_deref(), spec.tls.as_ref(), trust)?;
        let (path, query) = spec.path.split_once('?').map_or((&*spec.path, None), |(p, q)| (p, Some(q)));
        origin.url.set_path(path);
        origin.url.set_query(query);
        Ok(Self { origin, status: spec.status.clone(), body_contains: spec.body_contains.clone() })
    }

    pub(super) async fn probe(&self) -> Finding {
        let mut request = Request::new(reqwest::Method::GET, self.origin.url.clone());
        if let Some(host) = &self.origin.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        match self.origin.client.execute(request).await {
            Ok(response) => self.judge(response).await,
            Err(error) => finding_of(&error),
        }
    }

    async fn judge(&self, response: Response) -> Finding {
        let status = response.status().as_u16();
        if !self.status.contains(&status) {
            return Finding::Fail(Failure::Status(status));
        }
        match &self.body_contains {
            Some(text) => find_in_body(response, text.as_bytes()).await,
            None => Finding::Pass,
        }
    }
}

fn client(address: SocketAddr, mut tls: ClientConfig) -> Result<Client, String> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Only(address))
        .user_agent(concat!("rhumb/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .pool_max_idle_per_host(0)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .build()
        .map_err(|error| bounded(with_causes(&error)))
}

/// Reads the body until it holds `wanted` or its first [`BODY_OCTETS_MAX`] octets do not.
async fn find_in_body(mut response: Response, wanted: &[u8]) -> Finding {
    let mut body = Vec::new();
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return finding_of(&error),
        };
        // The text may have begun in what was read before.
        let from = body.len().saturating_sub(wanted.len());
        body.extend_from_slice(&chunk[..chunk.len().min(BODY_OCTETS_MAX - body.len())]);
        if contains(&body[from..], wanted) {
            return Finding::Pass;
        }
        if body.len() == BODY_OCTETS_MAX {
            break;
        }
    }
    if wanted.is_empty() { Finding::Pass } else { Finding::Fail(Failure::Body) }
}

pub(super) fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

/// The URL of a host, with or without a port, and nothing else.
fn parse_url(scheme: &str, host: &str) -> Result<Url, String> {
    let fault = |why: &dyn Display| bounded(format_args!("{host:?} is no host: {why}"));
    let url = Url::parse(&format!("{scheme}://{host}")).map_err(|error| fault(&error))?;
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    if has_more || host.contains('@') {
        return Err(fault(&"write a name or an address, and a port if need be"));
    }
    Ok(url)
}

/// The name to check a certificate for, where a URL's host is an address.
fn address_name(host: &str) -> Result<ServerName<'static>, String> {
    server_name(host.trim_matches(['[', ']']))
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A resolver that knows one address.
pub(in crate::agent) struct Only(pub(in crate::agent) SocketAddr);

impl Resolve for Only {
    fn resolve(&self, _: Name) -> Resolving {
        let address = self.0;
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::testing::{
        Certificate, Server, black_hole, finding, finding_within, http_at, ok, read_head, refusing, reset,
    };
    use crate::config::probe::ProbeKind;

    async fn found(server: &Server, change: impl FnOnce(&mut HttpProbe)) -> Finding {
        let mut spec = http_at(server.address);
        change(&mut spec);
        finding(server.address, ProbeKind::Http(spec)).await
    }

    fn status(line: &str) -> String {
        format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn the_status_must_be_one_of_those_that_pass() {
        let server = Server::http(status("204 No Content")).await;
        assert_eq!(found(&server, |_| {}).await, Finding::Fail(Failure::Status(204)));
        assert_eq!(found(&server, |spec| spec.status = vec![200, 204]).await, Finding::Pass);
        let ill = Server::http(status("500 Internal Server Error")).await;
        assert_eq!(found(&ill, |_| {}).await, Finding::Fail(Failure::Status(500)));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let elsewhere = Server::http(ok("")).await;
        let location = format!("302 Found\r\nLocation: http://{}/", elsewhere.address);
        let server = Server::http(status(&location)).await;
        assert_eq!(found(&server, |_| {}).await, Finding::Fail(Failure::Status(302)));
        assert_eq!(elsewhere.count(), 0);
    }

    #[tokio::test]
    async fn the_body_is_searched_in_its_first_8_kib_only() {
        let wanted = |spec: &mut HttpProbe| spec.body_contains = Some("healthy".to_owned());
        let padded = |before: usize| ok(&format!("{}healthy{}", "x".repeat(before), "x".repeat(20_000)));
        for (before, expected) in [
            (0, Finding::Pass),
            (BODY_OCTETS_MAX - 7, Finding::Pass),
            (BODY_OCTETS_MAX - 6, Finding::Fail(Failure::Body)),
            (BODY_OCTETS_MAX + 100, Finding::Fail(Failure::Body)),
        ] {
            let server = Server::http(padded(before)).await;
            assert_eq!(found(&server, wanted).await, expected, "{before} octets before");
        }
        let empty = Server::http(ok("")).await;
        assert_eq!(found(&empty, wanted).await, Finding::Fail(Failure::Body));
    }

    #[tokio::test]
    async fn a_text_is_found_across_the_pieces_of_a_slow_body() {
        let server = Server::start(|mut stream| async move {
            read_head(&mut stream).await;
            for piece in ["HTTP/1.1 200 OK\r\n\r\nall is heal", "thy and"] {
                let _ = stream.write_all(piece.as_bytes()).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // The rest never comes, and is not waited for.
            std::future::pending::<()>().await;
        })
        .await;
        let body_contains = Some("is healthy".to_owned());
        assert_eq!(found(&server, |spec| spec.body_contains = body_contains).await, Finding::Pass);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_uses_up_the_time() {
        let server = Server::start(|mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx").await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut spec = http_at(server.address);
        let timeout = Duration::from_millis(150);
        let kind = ProbeKind::Http(spec.clone());
        // Nothing is asked of the body, so nothing of it is waited for.
        assert_eq!(finding(server.address, kind).await, Finding::Pass);
        spec.body_contains = Some("y".to_owned());
        let finding = finding_within(timeout, server.address, ProbeKind::Http(spec)).await;
        assert_eq!(finding, Finding::Fail(Failure::TimedOut));
    }

    #[tokio::test]
    async fn each_way_to_fail_has_its_word() {
        let (closed, _socket) = refusing();
        let finding_at = |address| finding(address, ProbeKind::Http(http_at(address)));
        assert_eq!(finding_at(closed).await, Finding::Fail(Failure::Refused));

        let broken = Server::start(|mut stream| async move {
            read_head(&mut stream).await;
            reset(stream);
        })
        .await;
        assert_eq!(found(&broken, |_| {}).await, Finding::Fail(Failure::Reset));

        // hyper's own words for this are read in `finding_of`.
        let closing = Server::http("").await;
        assert_eq!(found(&closing, |_| {}).await, Finding::Fail(Failure::Reset));
        let cut = Server::http("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx").await;
        let body_contains = Some("y".to_owned());
        assert_eq!(
            found(&cut, |spec| spec.body_contains = body_contains).await,
            Finding::Fail(Failure::Reset)
        );

        let babbling = Server::http("220 mail.example.com ESMTP\r\n\r\n").await;
        let finding = found(&babbling, |_| {}).await;
        assert!(matches!(finding, Finding::Fail(Failure::Other(_))), "{finding:?}");

        let timeout = Duration::from_millis(100);
        let silent = Server::silent().await;
        let (full, _listener, _held) = black_hole().await;
        for address in [silent.address, full] {
            let finding = finding_within(timeout, address, ProbeKind::Http(http_at(address))).await;
            assert_eq!(finding, Finding::Fail(Failure::TimedOut));
        }
    }

    #[tokio::test]
    async fn the_host_is_told_and_the_address_is_connected_to() {
        let (heads, mut head) = mpsc::unbounded_channel();
        let server = Server::start(move |mut stream| {
            let heads = heads.clone();
            async move {
                let _ = heads.send(read_head(&mut stream).await);
                let _ = stream.write_all(ok("").as_bytes()).await;
            }
        })
        .await;
        // A name that does not exist, an address that is not the target's, and one in an odd notation.
        for host in ["no.such.host.invalid", "192.0.2.77", "[2001:db8::1]", "0x7f000002", "www.example:81"] {
            let change = |spec: &mut HttpProbe| {
                spec.host = Some(host.to_owned());
                spec.path = "/up?deep=1".to_owned();
            };
            assert_eq!(found(&server, change).await, Finding::Pass, "{host}");
            let head = head.recv().await.unwrap();
            assert!(head.starts_with("GET /up?deep=1 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
        }
        assert_eq!(found(&server, |_| {}).await, Finding::Pass);
        assert!(head.recv().await.unwrap().contains(&format!("host: {}\r\n", server.address)));
        for host in ["no host", "", "a/b", "a?b", "user@a", "a#b", "a\n"] {
            let finding = found(&server, |spec| spec.host = Some(host.to_owned())).await;
            assert!(matches!(finding, Finding::Nothing(_)), "{host}: {finding:?}");
        }
    }

    #[tokio::test]
    async fn each_probe_makes_a_connection_of_its_own() {
        let server = Server::start(|mut stream| async move {
            while !read_head(&mut stream).await.is_empty() {
                let _ = stream.write_all(ok("").as_bytes()).await;
            }
        })
        .await;
        let http =
            HttpTarget::new(server.address, &http_at(server.address), &mut TrustCache::default()).unwrap();
        for _ in 0..3 {
            assert_eq!(http.probe().await, Finding::Pass);
        }
        assert_eq!(server.count(), 3);
    }

    #[tokio::test]
    async fn https_checks_the_certificate_for_the_host() {
        let of_name = Certificate::of("www.example.com");
        let server = Server::https(&of_name, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let https = |host: &str, trust: TlsTrust| {
            let host = Some(host.to_owned());
            async { found(&server, move |spec| (spec.tls, spec.host) = (Some(trust), host)).await }
        };
        let file = || TlsTrust::File(of_name.path());
        assert_eq!(https("www.example.com", file()).await, Finding::Pass);
        assert_eq!(https("www.example.com:443", file()).await, Finding::Pass);
        assert_eq!(https("www.example.net", TlsTrust::Anything).await, Finding::Pass);
        assert_ne!(https("www.example.com", TlsTrust::System).await, Finding::Pass);
        for host in ["www.example.net", "192.0.2.77", "127.0.0.1"] {
            let finding = https(host, file()).await;
            assert!(
                matches!(&finding, Finding::Fail(Failure::Tls(why)) if why.contains("name")),
                "{finding:?}"
            );
        }
    }

    #[tokio::test]
    async fn https_may_be_for_an_address_that_is_not_the_one_connected_to() {
        let of_address = Certificate::of("192.0.2.77");
        let server = Server::https(&of_address, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let trust = Some(TlsTrust::File(of_address.path()));
        let host = Some("192.0.2.77".to_owned());
        assert_eq!(found(&server, |spec| (spec.tls, spec.host) = (trust, host)).await, Finding::Pass);
    }

    #[tokio::test]
    async fn an_expired_certificate_fails_and_none_is_remembered() {
        let expired = Certificate::valid_until("www.example.com", 2020);
        let server = Server::https(&expired, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let trust = Some(TlsTrust::File(expired.path()));
        let host = Some("www.example.com".to_owned());
        let finding = found(&server, |spec| (spec.tls, spec.host) = (trust, host)).await;
        assert!(
            matches!(&finding, Finding::Fail(Failure::Tls(why)) if why.contains("expired")),
            "{finding:?}"
        );
        let config = client_config(&TlsTrust::Anything, None, &mut TrustCache::default()).unwrap();
        assert!(format!("{:?}", config.resumption).contains("Disabled"), "{:?}", config.resumption);
    }

    #[tokio::test]
    async fn ipv6_targets_are_probed_too() {
        let address = (std::net::Ipv6Addr::LOCALHOST, 0).into();
        if tokio::net::TcpListener::bind(address).await.is_err() {
            return; // A machine without IPv6.
        }
        let server =
            Server::start_at(address, |stream| crate::agent::testing::answer_http(stream, ok("").into()))
                .await;
        assert_eq!(found(&server, |_| {}).await, Finding::Pass);
        assert_ne!(server.address.ip(), Ipv4Addr::LOCALHOST);
    }
}
