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
