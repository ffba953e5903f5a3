//! A journey: several HTTP requests to one endpoint, each with what it must bring, as believed. What a step saves, later
//! steps may say: `${name}` in a path, a header or a body.

use super::probe::TlsTrust;

/// A journey.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Journey {
    /// The TLS side of HTTPS; `None` for plain HTTP.
    pub tls: Option<TlsTrust>,
    /// The port.
    pub port: u16,
    /// The Host header and, for HTTPS, the server name; the address itself when absent.
    pub host: Option<String>,
    /// One after the other; at least one, at most [`STEPS_MAX`]. The probe's time-out holds for all of them together.
    pub steps: Vec<Step>,
}

/// One request and what it must bring.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What is done.
    pub method: Method,
    /// Path and query, beginning with a slash.
    pub path: String,
    /// Headers that are sent.
    pub headers: Vec<(String, String)>,
    /// The body that is sent.
    pub body: Option<String>,
    /// The status codes that pass.
    pub status: Vec<u16>,
    /// Text that the first [`ANSWER_OCTETS_MAX`] octets of the body must hold.
    pub body_contains: Option<String>,
    /// Headers that must be there, each with a text that its value must hold.
    pub header_contains: Vec<(String, String)>,
    /// What later steps may say, by name.
    pub save: Vec<(String, Find)>,
}

/// What is done by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "RFC 9110 section 9.3 says it")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// Where in an answer something is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Find {
    /// The value at this pointer (RFC 6901) into a body of JSON: a text, a number, true or false.
    Json(String),
    /// The value of this header.
    Header(String),
    /// What stands in the body between these two texts, where they first occur.
    Between(String, String),
}

/// The most steps of a journey.
pub const STEPS_MAX: usize = 16;
/// The most headers that a step sends, looks at, or saves values of.
pub const HEADERS_MAX: usize = 32;
/// How much of an answer's body a step looks at.
pub const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// The longest value that is saved, or kept as a cookie.
pub const SAVED_OCTETS_MAX: usize = 4096;
/// The most cookies that a journey keeps.
pub const COOKIES_MAX: usize = 32;

/// Every method with its word.
pub const METHODS: [(&str, Method); 6] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("PATCH", Method::Patch),
    ("DELETE", Method::Delete),
];

impl Method {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let known = METHODS.iter().find(|(_, method)| *method == self);
        known.expect("every method has its word").0
    }
}

impl Step {
    /// Every text of the step in which names may stand.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(|(_, value)| value.as_str());
        [self.path.as_str()].into_iter().chain(headers).chain(self.body.as_deref())
    }
}

/// The names that a text says, in their order.
#[must_use]
pub fn names_in(text: &str) -> Vec<&str> {
    let after = text.split("${").skip(1);
    after.filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

/// The text with what is saved in place of the names; a name that is not saved stays as it is.
#[must_use]
pub fn filled(text: &str, saved: &[(String, String)]) -> String {
    let mut pieces = text.split("${");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let known = piece.split_once('}').and_then(|(name, rest)| {
            // The latest of a name holds.
            let (_, value) = saved.iter().rev().find(|(known, _)| known == name)?;
            Some((value, rest))
        });
        match known {
            Some((value, rest)) => filled.extend([value, rest]),
            None => filled.extend(["${", piece]),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_what_is_none_is_left() {
        let saved = [("a", "1"), ("b", "${a}"), ("a", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        for (text, expected) in [
            ("/x/${a}?b=${b}", "/x/2?b=${a}"),
            ("{\"a\": \"${a}\"}", "{\"a\": \"2\"}"),
            ("${c} ${ $a ${a", "${c} ${ $a ${a"),
            ("${a}${a}", "22"),
            ("", ""),
        ] {
            assert_eq!(filled(text, &saved), expected);
        }
        assert_eq!(names_in("${a} x ${} ${b"), ["a", ""]);
    }
}
