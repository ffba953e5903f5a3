//! hickory's clients ask over each encrypted transport, and must hear what they hear by UDP.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use futures_util::StreamExt;
use hickory_net::h2::HttpsClientStream;
use hickory_net::proto::op::{DnsRequest, DnsRequestOptions, Edns, Message, Query};
use hickory_net::proto::rr::{Name, RecordType};
use hickory_net::quic::QuicClientStream;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tls::tls_client_connect;
use hickory_net::xfer::{DnsExchange, DnsRequestSender};
use hickory_net::{DnsHandle, DnsMultiplexer};

use crate::server::{NAME, PATIENCE, Server, client_config};

const QUESTIONS: [(&str, RecordType); 8] = [
    // As resolvers that mix the case expect to have it back.
    ("wWw.eXamPle.cOM.", RecordType::A),
    ("nOthinG.eXamPle.cOM.", RecordType::A),
    ("www.example.com.", RecordType::A),
    ("www.example.com.", RecordType::AAAA),
    ("example.com.", RecordType::SOA),
    ("example.com.", RecordType::NS),
    ("nothing.example.com.", RecordType::A),
    ("elsewhere.test.", RecordType::A),
];

fn message(name: &str, rtype: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.edns = Some(edns);
    message
}

/// What a reply says, without what belongs to its transport: the id, and EDNS.
fn said(message: &Message) -> String {
    let records = [&message.answers, &message.authorities, &message.additionals];
    format!("{:?} {} {records:?}", message.metadata.response_code, message.metadata.flags())
}

fn by_udp(server: SocketAddr, name: &str, rtype: RecordType) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&message(name, rtype).to_vec().unwrap(), server).unwrap();
    let mut reply = [0; 1232];
    let length = socket.recv(&mut reply).unwrap();
    said(&Message::from_vec(&reply[..length]).unwrap())
}

/// All questions at once, twice, over one connection.
async fn asks_over(server: &Server, stream: impl DnsRequestSender) {
    let (exchange, background) = DnsExchange::<TokioRuntimeProvider>::from_stream(stream);
    let background = tokio::spawn(background);
    let asked = QUESTIONS.iter().cycle().take(QUESTIONS.len() * 2).map(|(name, rtype)| {
        let request = DnsRequest::new(message(name, *rtype), DnsRequestOptions::default());
        let mut replies = exchange.send(request);
        async move { (name, *rtype, replies.next().await.expect("there is a reply").unwrap()) }
    });
    for (name, rtype, reply) in futures_util::future::join_all(asked).await {
        assert_eq!(reply.queries[0].name().to_ascii(), *name, "{rtype}: the case of the question");
        assert_eq!(said(&reply), by_udp(server.plain, name, rtype), "{name} {rtype}");
    }
    background.abort();
}

#[tokio::test]
async fn hickory_hears_by_tls_what_it_hears_by_udp() {
    let server = Server::start("", "", None);
    let config = Arc::new(client_config(&server.certificate, b"dot"));
    let name = NAME.try_into().unwrap();
    let (stream, handle) = tls_client_connect(server.tls, name, config, TokioRuntimeProvider::new());
    asks_over(&server, DnsMultiplexer::new(stream.await.unwrap(), handle)).await;
}

#[tokio::test]
async fn hickory_hears_by_https_what_it_hears_by_udp() {
    let server = Server::start("", "", None);
    let config = Arc::new(client_config(&server.certificate, b"h2"));
    let builder = HttpsClientStream::builder(config, TokioRuntimeProvider::new());
    let stream = builder.build(server.https, Arc::from(NAME), Arc::from("/dns-query")).await.unwrap();
    asks_over(&server, stream).await;
}

#[tokio::test]
async fn hickory_hears_by_quic_what_it_hears_by_udp() {
    let server = Server::start("", "", None);
    let builder = QuicClientStream::builder().crypto_config(client_config(&server.certificate, b"doq"));
    let stream = builder.build(server.quic, Arc::from(NAME)).await.unwrap();
    asks_over(&server, stream).await;
}
