//! What a request asks (RFC 8484 section 4.1): a message in its path, a message in its body, or nothing that is
//! served here. Pure: heads in, a judgement out.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

/// The type of a message, of requests and of replies (RFC 8484 section 6).
pub const MESSAGE_TYPE: &str = "application/dns-message";
/// The methods that are understood.
pub const METHODS: &str = "GET, HEAD, POST";

/// Where the message of a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was in the path; this is it.
    Inline(Vec<u8>),
    /// It is the body.
    Body,
}

/// Why a request gets no DNS reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is served at this path.
    Path,
    /// Neither GET, HEAD nor POST.
    Method,
    /// By HTTP/1.1, without the one Host line that there must be.
    Host,
    /// A body of another type, or in another coding.
    Type,
    /// GET without a message.
    Missing,
    /// What should be a message is none.
    Malformed,
    /// Longer than a message may be.
    TooLong,
    /// The body did not come in time.
    Slow,
}

/// Judges a request by its head; `path` is where messages are taken.
pub fn judge(method: &Method, uri: &Uri, headers: &HeaderMap, path: &str) -> Result<Asked, Refusal> {
    if uri.path() != path {
        return Err(Refusal::Path);
    }
    match *method {
        Method::GET | Method::HEAD => {
            let parameters = uri.query().unwrap_or_default().split('&');
            let encoded = parameters.filter_map(|parameter| parameter.strip_prefix("dns=")).next();
            decode(encoded.ok_or(Refusal::Missing)?).map(Asked::Inline).ok_or(Refusal::Malformed)
        }
        Method::POST if is_message(headers) => Ok(Asked::Body),
        Method::POST => Err(Refusal::Type),
        _ => Err(Refusal::Method),
    }
}

/// HTTP/1.1 demands one Host line (RFC 9112 section 3.2); other versions name the server elsewhere, or not at all.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let lines = headers.get_all(HOST).iter().count();
    if version == Version::HTTP_11 && lines != 1 { Err(Refusal::Host) } else { Ok(()) }
}

fn is_message(headers: &HeaderMap) -> bool {
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return false;
    }
    let told = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = told.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(MESSAGE_TYPE)
}

/// Reads base64url without padding (RFC 4648 section 5), which RFC 8484 section 6 asks for.
fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.bytes() {
        bits = bits << 6 | value(letter)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            // The eight bits above those that are kept.
            octets.push((bits >> count) as u8);
        }
    }
    Some(octets)
}

fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

impl Refusal {
    /// What HTTP says of it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Host | Self::Missing | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// For the person who reads it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Path => "no DNS messages are taken at this path\n",
            Self::Method => "GET, HEAD and POST are understood\n",
            Self::Host => "a request by HTTP/1.1 has one line Host\n",
            Self::Type => "the body is to be of type application/dns-message, and not compressed\n",
            Self::Missing => "the parameter \"dns\" is missing: a DNS message as base64url\n",
            Self::Malformed => "this is no DNS query\n",
            Self::TooLong => "a DNS message has at most 65535 octets\n",
            Self::Slow => "the body did not come in time\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(method: Method, target: &str, kind: Option<&str>) -> Result<Asked, Refusal> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        judge(&method, &target.parse().unwrap(), &headers, "/dns-query")
    }

    /// The inverse of `decode`, by the book.
    fn encode(octets: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letters = octets.chunks(3).flat_map(|chunk| {
            let mut three = [0; 4];
            three[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(three);
            (0..=chunk.len()).map(move |at| char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]))
        });
        letters.collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        // RFC 8484 section 4.1.1.
        let Ok(Asked::Inline(message)) =
            judged(Method::GET, "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", None)
        else {
            panic!("the first example")
        };
        assert_eq!(message[12..], *b"\x03www\x07example\x03com\0\0\x01\0\x01");
        let long = "/dns-query?dns=AAABAAABAAAAAAAAAWE-NjJjaGFyYWN0ZXJsYWJlbC1tYWtlcy1iYXNlNjR1cmwtZGlzdGluY3QtZnJvb\
                    S1zdGFuZGFyZC1iYXNlNjQHZXhhbXBsZQNjb20AAAEAAQ";
        assert!(matches!(judged(Method::GET, long, None), Ok(Asked::Inline(message)) if message.len() == 94));
        assert_eq!(judged(Method::POST, "/dns-query", Some(MESSAGE_TYPE)), Ok(Asked::Body));
    }

    #[test]
    fn each_fault_has_its_status() {
        let status = |method, target: &str, kind| judged(method, target, kind).unwrap_err().status().as_u16();
        assert_eq!(status(Method::GET, "/?dns=AAAA", None), 404);
        assert_eq!(status(Method::GET, "/dns-query/?dns=AAAA", None), 404);
        assert_eq!(status(Method::GET, "/dns-query", None), 400);
        assert_eq!(status(Method::GET, "/dns-query?name=example.com", None), 400);
        for text in ["AAA=", "AA+A", "AA/A", "A", "AAAAA", "%41AAA", "AA A"] {
            let target = format!("/dns-query?dns={}", text.replace(' ', "%20"));
            assert_eq!(status(Method::GET, &target, None), 400, "{text}");
        }
        assert_eq!(status(Method::PUT, "/dns-query", Some(MESSAGE_TYPE)), 405);
        assert_eq!(status(Method::POST, "/dns-query", None), 415);
        assert_eq!(status(Method::POST, "/dns-query", Some("application/dns-json")), 415);
    }

    #[test]
    fn a_body_that_is_coded_is_no_message() {
        for (coding, taken) in [("identity", true), ("gzip", false), ("identity, gzip", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE_TYPE));
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            let judged = judge(&Method::POST, &Uri::from_static("/dns-query"), &headers, "/dns-query");
            assert_eq!(judged, if taken { Ok(Asked::Body) } else { Err(Refusal::Type) }, "{coding}");
        }
    }

    #[test]
    fn other_parameters_and_the_letters_case_do_not_matter() {
        assert_eq!(judged(Method::GET, "/dns-query?x=1&dns=AQI&y", None), Ok(Asked::Inline(vec![1, 2])));
        assert_eq!(judged(Method::HEAD, "/dns-query?dns=", None), Ok(Asked::Inline(Vec::new())));
        assert_eq!(
            judged(Method::POST, "/dns-query", Some("Application/DNS-Message; charset=x")),
            Ok(Asked::Body)
        );
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&encode(&octets)), Some(octets));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            decode(&text);
        }
    }
}
