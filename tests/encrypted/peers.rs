//! kdig, curl and openssl ask. Only with `RHUMB_TEST_PEERS=1`, and then they must be there.

use std::process::Command;

use crate::server::{NAME, Server, question};

fn wanted() -> bool {
    std::env::var_os("RHUMB_TEST_PEERS").is_some()
}

/// What a program says; it must end well, or must not.
fn said(program: &str, line: &str, well: bool) -> String {
    let output = Command::new(program).args(line.split_whitespace()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), well, "{program} {line}\n{text}");
    text.into_owned()
}

fn kdig(server: std::net::SocketAddr, options: &str, well: bool) -> String {
    said("kdig", &format!("@{} -p {} +retry=0 {options}", server.ip(), server.port()), well)
}

#[test]
fn kdig_gets_the_same_answer_over_every_transport() {
    if !wanted() {
        return;
    }
    let server = Server::start("", "", None);
    let trust = format!("+tls-ca={} +tls-hostname={NAME}", server.path("server.pem").display());
    let asked = "www.example.com A";
    let plain = kdig(server.plain, &format!("+short {asked}"), true);
    assert_eq!(plain, "192.0.2.10\n");
    let ways = [
        (server.plain, "+tcp", "(TCP)"),
        (server.tls, "+tls", "TLS session (TLS1.3)"),
        (server.https, "+https", "HTTP session (HTTP/2-POST)"),
        (server.https, "+https +https-get", "HTTP session (HTTP/2-GET)"),
        (server.quic, "+quic", "QUIC session (QUICv1)"),
    ];
    for (address, way, shown) in ways {
        // The last option decides what is spoken.
        let trust = if way == "+tcp" { "" } else { &trust };
        assert_eq!(kdig(address, &format!("{trust} {way} +short {asked}"), true), plain, "{way}");
        let whole = kdig(address, &format!("{trust} {way} {asked}"), true);
        assert!(whole.contains(shown), "{way}\n{whole}");
        // By QUIC, kdig 3.2.6 says one time in eight or so that it failed to send its second query. Several queries
        // of one connection are held to other clients in src/serve/tests/quic.rs.
        if way != "+quic" {
            let several =
                kdig(address, &format!("{trust} {way} +keepopen +short {asked} example.com SOA"), true);
            assert!(several.contains("hostmaster"), "{way}\n{several}");
        }
    }
    let misnamed = trust.replace(NAME, "other.example.net");
    kdig(server.tls, &format!("{misnamed} +tls {asked}"), false);
}

#[test]
fn kdig_is_who_its_proxy_header_says() {
    if !wanted() {
        return;
    }
    let server = Server::start("", "proxy-from = [\"127.0.0.0/8\"]", None);
    for transport in ["+notcp", "+tcp"] {
        for (client, answer) in [("203.0.113.1", "192.0.2.10\n"), ("198.51.100.1", "192.0.2.20\n")] {
            let header = format!("+proxy={client}#1234-192.0.2.53#53");
            let got = kdig(server.plain, &format!("{header} {transport} +short www.example.com A"), true);
            assert_eq!(got, answer, "{transport} {client}");
        }
    }
    kdig(server.plain, "+tcp www.example.com A", false);
}

#[test]
fn curl_asks_over_both_versions_of_http() {
    if !wanted() {
        return;
    }
    let server = Server::start("", "", None);
    std::fs::write(server.path("query"), question(0)).unwrap();
    let port = server.https.port();
    let base = format!(
        "-sS -i --output {} --write-out %{{http_version}}:%{{http_code}}:%{{size_download}}:%{{content_type}} --cacert {} \
         --resolve {NAME}:{port}:127.0.0.1",
        server.path("reply").display(),
        server.path("server.pem").display(),
    );
    let url = format!("https://{NAME}:{port}/dns-query");
    let encoded = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
    let body = format!(
        "--data-binary @{} -H content-type:application/dns-message {url}",
        server.path("query").display()
    );
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        for asked in [format!("{url}?dns={encoded}"), body.clone()] {
            let told = said("curl", &format!("{base} {flag} {asked}"), true);
            assert_eq!(told, format!("{version}:200:49:application/dns-message"), "{asked}");
            let reply = std::fs::read(server.path("reply")).unwrap();
            assert!(reply.ends_with(&[192, 0, 2, 10]));
            assert!(String::from_utf8_lossy(&reply).contains("cache-control: max-age=30, private"));
        }
        let told = said("curl", &format!("{base} {flag} https://{NAME}:{port}/"), true);
        assert!(told.starts_with(&format!("{version}:404")), "{told}");
    }
}

#[test]
fn openssl_finds_versions_1_2_and_1_3_alone() {
    if !wanted() {
        return;
    }
    let server = Server::start("", "", None);
    for (address, protocol) in [(server.tls, "dot"), (server.https, "h2")] {
        for (version, spoken) in [("tls1", false), ("tls1_1", false), ("tls1_2", true), ("tls1_3", true)] {
            let line =
                format!("s_client -{version} -cipher ALL:@SECLEVEL=0 -alpn {protocol} -connect {address}");
            let output = said_anyhow(Command::new("openssl").args(line.split_whitespace()));
            assert_eq!(output.contains(&format!("ALPN protocol: {protocol}")), spoken, "{line}\n{output}");
        }
    }
}

/// What openssl says when it is told nothing, however it ends.
fn said_anyhow(command: &mut Command) -> String {
    let output = command.stdin(std::process::Stdio::null()).output().expect("openssl is needed");
    (String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)).into_owned()
}
