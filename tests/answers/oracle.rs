//! What holds for every reply, judged by an independent decoder.

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use rhumb::answer::dig::{self, Shown};
use rhumb::answer::respond::Transport;

use crate::ask::Asked;

/// Whether `reply` is a good reply to `asked`, whatever the answer is; gives it in dig's words.
pub(crate) fn judge(asked: &Asked, reply: &[u8]) -> Shown {
    let packet = &asked.packet;
    assert!(packet[2] & 0x80 == 0, "a reply to a reply");
    // What looks like that family may stand in a question's name.
    let readable = if Message::from_vec(reply).is_ok() { reply.to_vec() } else { with_known_family(reply) };
    let mut decoder = BinDecoder::new(&readable);
    let message = Message::read(&mut decoder);
    let message =
        message.unwrap_or_else(|error| panic!("{error} in {reply:02x?}, the reply to {packet:02x?}"));
    assert!(decoder.is_empty(), "nothing follows the last record");
    let shown = dig::show(reply).expect("we read our own replies");

    let header = &message.metadata;
    assert_eq!(&reply[..2], &packet[..2], "the id is echoed");
    assert_eq!(header.message_type, MessageType::Response);
    assert_eq!(reply[2] & 0x79, packet[2] & 0x79, "opcode and RD are echoed");
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD and CD are not for us");
    assert_eq!(header.authoritative, shown.flags.contains(&"aa"));
    assert_eq!(header.truncation, shown.flags.contains(&"tc"));
    if let [question] = &message.queries[..] {
        let octets = 12 + question.name().len() + 4;
        assert_eq!(&reply[12..octets], &packet[12..octets], "the question is echoed, case and all");
    }

    assert_eq!(message.queries.len(), usize::from(has_question(packet)), "{reply:02x?} to {packet:02x?}");

    let high = message.edns.as_ref().map_or(0, |edns| u16::from(edns.rcode_high()));
    let rcode = high << 4 | u16::from(reply[3] & 0x0f);
    assert_eq!(shown.status, rhumb::wire::code::Rcode(rcode).to_string());
    // OPT stands at the root; one octet says so, and a pointer to such an octet does not (RFC 6891 section 6.1.2).
    let has_opt = packet.windows(3).any(|octets| octets == [0, 0, 41]);
    let spoke_edns = has_opt && Message::from_vec(packet).is_ok_and(|query| query.edns.is_some());
    assert!(
        message.edns.is_some() || !spoke_edns,
        "who speaks EDNS gets it back: {reply:02x?} to {packet:02x?}"
    );
    if let Some(edns) = &message.edns {
        assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
    }
    same_records(&message.answers, &shown.answer);
    same_records(&message.authorities, &shown.authority);
    // A TSIG record stands there too, last; the oracle keeps it apart.
    let theirs = message.additionals.len() + usize::from(message.signature.is_some());
    assert_eq!(theirs, shown.additional.len(), "{:?}", shown.additional);
    same_records(&message.additionals, &shown.additional[..message.additionals.len()]);

    assert!(reply.len() <= limit(asked), "{} octets are more than were asked for", reply.len());
    shown
}

/// Whether a message has one question, whole and uncompressed, of an operation that is known here: then every reply
/// repeats it, and no other reply has one (RFC 8906 section 8.1.4, RFC 9619).
fn has_question(packet: &[u8]) -> bool {
    let is_known = [0, 4, 5].contains(&(packet[2] >> 3 & 0x0f));
    if !is_known || packet[4..6] != [0, 1] {
        return false;
    }
    let mut at = 12;
    while let Some(&length @ 1..=63) = packet.get(at) {
        at += 1 + usize::from(length);
    }
    packet.get(at) == Some(&0) && at - 12 < 255 && at + 5 <= packet.len()
}

/// How many octets a reply may have.
pub(crate) fn limit(asked: &Asked) -> usize {
    if asked.transport != Transport::Udp {
        return 65_535;
    }
    let query = Message::from_vec(&asked.packet).ok();
    let advertised = query.and_then(|query| query.edns).map_or(512, |edns| usize::from(edns.max_payload()));
    advertised.clamp(512, 1232)
}

fn same_records(theirs: &[Record], ours: &[String]) {
    assert_eq!(theirs.len(), ours.len(), "{ours:?}");
    for (their, our) in theirs.iter().zip(ours) {
        let their = their.to_string();
        // The two write odd names, texts and rarer types differently; then name or data are not compared.
        let odd = |text: &str| text.contains(|c: char| !c.is_alphanumeric() && !"-_.*: ".contains(c));
        let words = |line: &str| -> Vec<String> {
            let words = line.split_whitespace().map(str::to_owned);
            if odd(our) || !is_plain(our) { words.take(2).collect() } else { words.collect() }
        };
        if !odd(our.split_whitespace().next().unwrap()) {
            assert_eq!(words(&their), words(our));
        }
    }
    let mut distinct = ours.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ours.len(), "no record is there twice: {ours:?}");
}

/// Types whose data both write alike.
fn is_plain(line: &str) -> bool {
    let rtype = line.split_whitespace().nth(3).unwrap_or_default();
    ["A", "AAAA", "NS", "CNAME", "MX", "PTR", "SOA"].contains(&rtype)
}

/// The reply with the family of a client subnet of family 0, which the oracle does not know, made 1.
fn with_known_family(reply: &[u8]) -> Vec<u8> {
    let mut octets = reply.to_vec();
    if let Some(at) = octets.windows(8).rposition(|option| option == [0, 8, 0, 4, 0, 0, 0, 0]) {
        octets[at + 5] = 1;
    }
    octets
}
