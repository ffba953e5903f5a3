//! A DNS query by UDP or TCP, whose response code and, if asked, answer must match.
//!
//! A datagram that does not answer the question (another id, name or type, no response at all) is passed over,
//! as a resolver would: it may be late or forged, and says nothing of the target. A truncated reply shows that
//! the server works; only when an answer record is wanted and cut off is the question put again by TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::BinDecodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{Finding, bounded, finding_of_io};
use crate::config::probe::DnsProbe;
use crate::health::outcome::Failure;
use crate::wire::code::Rcode;

/// The largest datagram that is read; without EDNS in the query, a reply has at most 512 octets.
const DATAGRAM_OCTETS_MAX: usize = 4096;
/// So many datagrams that answer nothing, and the probe fails rather than read on.
const STRAYS_MAX: usize = 64;

pub(super) async fn probe(address: SocketAddr, spec: &DnsProbe, id: u16) -> Finding {
    let question = match question(spec) {
        Ok(question) => question,
        Err(why) => return Finding::Nothing(why),
    };
    let reply = if spec.tcp {
        ask_by_tcp(address, &question, id).await
    } else {
        ask_by_udp(address, &question, id).await
    };
    match reply.map(|reply| (judge(&reply, spec), reply.metadata.truncation)) {
        Ok((Err(Missing::Answer), true)) if !spec.tcp => match ask_by_tcp(address, &question, id).await {
            Ok(reply) => finding(judge(&reply, spec)),
            Err(finding) => finding,
        },
        Ok((verdict, _)) => finding(verdict),
        Err(finding) => finding,
    }
}

/// What a reply lacks.
enum Missing {
    Answer,
    Rcode(Rcode),
}

fn finding(judged: Result<(), Missing>) -> Finding {
    match judged {
        Ok(()) => Finding::Pass,
        Err(Missing::Answer) => fail("no answer of the wanted type"),
        Err(Missing::Rcode(rcode)) => fail(rcode),
    }
}

fn judge(reply: &Message, spec: &DnsProbe) -> Result<(), Missing> {
    let rcode = Rcode(reply.metadata.response_code.into());
    if !spec.rcodes.contains(&rcode) {
        return Err(Missing::Rcode(rcode));
    }
    let wanted = RecordType::from(spec.rtype.0);
    let answered = reply.answers.iter().any(|record| record.record_type() == wanted);
    if spec.answer_required && !answered { Err(Missing::Answer) } else { Ok(()) }
}

fn question(spec: &DnsProbe) -> Result<Query, String> {
    let name = Name::from_bytes(spec.name.as_wire()).map_err(bounded)?;
    Ok(Query::query(name, RecordType::from(spec.rtype.0)))
}

fn query(question: &Query, id: u16) -> Result<Vec<u8>, Finding> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    // A resolver refuses to look further without it; an authoritative server takes no notice.
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    message.to_vec().map_err(|error| Finding::Nothing(bounded(error)))
}

async fn ask_by_udp(address: SocketAddr, question: &Query, id: u16) -> Result<Message, Finding> {
    let query = query(question, id)?;
    let io_fault = |error: io::Error| finding_of_io(&error);
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(io_fault)?;
    // Connected, it takes datagrams from the target alone, and hears that the port is closed.
    socket.connect(address).await.map_err(io_fault)?;
    socket.send(&query).await.map_err(io_fault)?;
    let mut buffer = [0; DATAGRAM_OCTETS_MAX];
    for _ in 0..STRAYS_MAX {
        let length = socket.recv(&mut buffer).await.map_err(io_fault)?;
        if let Some(reply) = read_reply(&buffer[..length], question, id)? {
            return Ok(reply);
        }
    }
    Err(fail("datagrams that answer another question"))
}

async fn ask_by_tcp(address: SocketAddr, question: &Query, id: u16) -> Result<Message, Finding> {
    let query = query(question, id)?;
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = u16::try_from(query.len()).expect("one question has at most 271 octets");
        stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    };
    let octets = exchange.await.map_err(|error| finding_of_io(&error))?;
    read_reply(&octets, question, id)?.ok_or_else(|| fail("a reply to another question"))
}

/// The reply, `None` when the octets are no reply to this question. One whose id fits and that cannot be read
/// is the server's fault.
fn read_reply(octets: &[u8], question: &Query, id: u16) -> Result<Option<Message>, Finding> {
    const RESPONSE_BIT: u8 = 0x80;
    if octets.len() < 3 || octets[..2] != id.to_be_bytes() || octets[2] & RESPONSE_BIT == 0 {
        return Ok(None);
    }
    let reply = Message::from_vec(octets).map_err(|_| fail("the reply cannot be read"))?;
    // Errors may come without the question (a FORMERR, say), good replies never do.
    let is_bare_error =
        reply.queries.is_empty() && u16::from(reply.metadata.response_code) != Rcode::NOERROR.0;
    let answers_this = is_bare_error || reply.queries == [question.clone()];
    Ok(answers_this.then_some(reply))
}

fn fail(why: impl std::fmt::Display) -> Finding {
    Finding::Fail(Failure::Dns(bounded(why)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, Record};

    use super::*;
    use crate::agent::testing::{AMPLE, finding, finding_within};
    use crate::config::probe::ProbeKind;

    /// Waited out where no reply is expected.
    const SHORT: Duration = Duration::from_millis(150);

    /// A server by UDP and TCP on one port, each answering with what its function makes of a good reply;
    /// several octet strings are several datagrams.
    async fn server(
        by_udp: impl Fn(Message) -> Vec<Vec<u8>> + Send + Sync + 'static,
        by_tcp: impl Fn(Message) -> Vec<u8> + Send + Sync + 'static,
    ) -> SocketAddr {
        // A port that is free for one may be taken for the other.
        let (tcp, udp) = loop {
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
                for datagram in by_udp(good_reply(&buffer[..length])) {
                    let _ = udp.send_to(&datagram, client).await;
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let Ok(length) = stream.read_u16().await else { continue };
                let mut query = vec![0; length.into()];
                let _ = stream.read_exact(&mut query).await;
                let reply = by_tcp(good_reply(&query));
                let _ = stream.write_all(&[&(reply.len() as u16).to_be_bytes()[..], &reply].concat()).await;
            }
        });
        address
    }

    fn good_reply(query: &[u8]) -> Message {
        let query = Message::from_vec(query).unwrap();
        let mut reply = Message::response(query.metadata.id, OpCode::Query);
        let name = query.queries[0].name().clone();
        reply.add_query(query.queries[0].clone());
        reply.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 1))));
        reply
    }

    fn octets(message: &Message) -> Vec<u8> {
        message.to_vec().unwrap()
    }

    fn with(change: impl Fn(&mut Message) + Send + Sync + 'static) -> impl Fn(Message) -> Vec<u8> {
        move |mut reply| {
            change(&mut reply);
            octets(&reply)
        }
    }

    fn spec(tcp: bool) -> DnsProbe {
        DnsProbe {
            port: 53,
            name: "www.example.com.".parse().unwrap(),
            rtype: crate::wire::code::RecordType::A,
            rcodes: vec![Rcode::NOERROR],
            answer_required: true,
            tcp,
        }
    }

    /// What is found by UDP and by TCP at a server that changes good replies so.
    async fn found(change: impl Fn(&mut Message) + Clone + Send + Sync + 'static) -> [Finding; 2] {
        found_within(AMPLE, change).await
    }

    async fn found_within(
        timeout: Duration,
        change: impl Fn(&mut Message) + Clone + Send + Sync + 'static,
    ) -> [Finding; 2] {
        let by_udp = with(change.clone());
        let address = server(move |reply| vec![by_udp(reply)], with(change)).await;
        let by_udp = finding_within(timeout, address, ProbeKind::Dns(spec(false))).await;
        let by_tcp = finding(address, ProbeKind::Dns(spec(true))).await;
        [by_udp, by_tcp]
    }

    fn dns(why: &str) -> Finding {
        Finding::Fail(Failure::Dns(why.to_owned()))
    }

    #[tokio::test]
    async fn the_code_and_the_answer_must_match() {
        assert_eq!(found(|_| {}).await, [Finding::Pass, Finding::Pass]);
        let refused = |reply: &mut Message| reply.metadata.response_code = ResponseCode::Refused;
        assert_eq!(found(refused).await, [dns("REFUSED"), dns("REFUSED")]);
        let missing = dns("no answer of the wanted type");
        assert_eq!(found(|reply| reply.answers.clear()).await, [missing.clone(), missing]);
    }

    #[tokio::test]
    async fn a_code_other_than_noerror_may_be_the_one_that_passes() {
        let bare_error = |reply: &mut Message| {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.answers.clear();
            reply.queries.clear();
        };
        let address = server(|_| Vec::new(), with(bare_error)).await;
        let spec = DnsProbe { rcodes: vec![Rcode::NXDOMAIN], answer_required: false, ..spec(true) };
        assert_eq!(finding(address, ProbeKind::Dns(spec)).await, Finding::Pass);
    }

    #[tokio::test]
    async fn a_reply_to_another_question_is_passed_over_by_udp_and_fails_by_tcp() {
        let passed_over = [Finding::Fail(Failure::TimedOut), dns("a reply to another question")];
        assert_eq!(found_within(SHORT, |reply| reply.metadata.id ^= 1).await, passed_over);
        assert_eq!(found_within(SHORT, |reply| reply.queries.clear()).await, passed_over);
        assert_eq!(
            found_within(SHORT, |reply| reply.metadata.message_type = MessageType::Query).await,
            passed_over
        );
        let other_name = |reply: &mut Message| {
            reply.queries[0].set_name("www.example.net.".parse().unwrap());
        };
        assert_eq!(found_within(SHORT, other_name).await, passed_over);
        let other_type = |reply: &mut Message| {
            reply.queries[0].set_query_type(RecordType::AAAA);
        };
        assert_eq!(found_within(SHORT, other_type).await, passed_over);
    }

    #[tokio::test]
    async fn a_forged_datagram_does_not_hide_the_true_one() {
        let strays_then_reply = |reply: Message| {
            let mut forged = reply.clone();
            forged.metadata.id ^= 0x5555;
            forged.metadata.response_code = ResponseCode::ServFail;
            vec![octets(&forged), vec![], vec![1, 2], octets(&reply)]
        };
        let address = server(strays_then_reply, with(|_| {})).await;
        assert_eq!(finding(address, ProbeKind::Dns(spec(false))).await, Finding::Pass);
    }

    #[tokio::test]
    async fn a_flood_of_strays_ends_the_probe() {
        let address = server(|_| vec![vec![0]; STRAYS_MAX], with(|_| {})).await;
        let finding = finding(address, ProbeKind::Dns(spec(false))).await;
        assert_eq!(finding, dns("datagrams that answer another question"));
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_off_in_the_middle_fails() {
        let cut = |reply: Message| octets(&reply)[..40].to_vec();
        let address = server(move |reply| vec![cut(reply)], cut).await;
        for tcp in [false, true] {
            assert_eq!(finding(address, ProbeKind::Dns(spec(tcp))).await, dns("the reply cannot be read"));
        }
    }

    #[tokio::test]
    async fn a_truncated_reply_is_completed_by_tcp_only_where_its_answer_is_wanted() {
        let truncated = |mut reply: Message| {
            reply.answers.clear();
            reply.metadata.truncation = true;
            vec![octets(&reply)]
        };
        let address = server(truncated, with(|_| {})).await;
        assert_eq!(finding(address, ProbeKind::Dns(spec(false))).await, Finding::Pass);

        let address = server(truncated, with(|reply| reply.answers.clear())).await;
        assert_eq!(finding(address, ProbeKind::Dns(spec(false))).await, dns("no answer of the wanted type"));
        let undemanding = DnsProbe { answer_required: false, ..spec(false) };
        assert_eq!(finding(address, ProbeKind::Dns(undemanding)).await, Finding::Pass);
    }

    #[tokio::test]
    async fn a_closed_port_refuses_and_a_silent_one_times_out() {
        let reserved = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = reserved.local_addr().unwrap();
        let kind = || ProbeKind::Dns(spec(false));
        assert_eq!(finding_within(SHORT, address, kind()).await, Finding::Fail(Failure::TimedOut));
        drop(reserved);
        assert_eq!(finding(address, kind()).await, Finding::Fail(Failure::Refused));
    }
}
