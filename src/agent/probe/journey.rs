//! A journey: requests one after the other, each with what it must bring. Cookies are kept from step to step, as by a
//! browser that stays on one host; what a step saves, later ones say. Each step makes a connection of its own, to the
//! target's address whatever host is named.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use reqwest::{Body, Request, Response};

use super::http::{Origin, contains};
use super::tls::TrustCache;
use super::{Finding, bounded, finding_of};
use crate::config::journey::{ANSWER_OCTETS_MAX, COOKIES_MAX, Find, Journey, SAVED_OCTETS_MAX, Step, filled};
use crate::health::outcome::Failure;

/// A target of a journey, made ready.
pub(super) struct JourneyTarget {
    origin: Origin,
    steps: Vec<Step>,
    /// The step that is under way; a target has one probe out at a time.
    under_way: AtomicUsize,
}

/// What is carried from step to step.
#[derive(Debug, Default)]
struct Luggage {
    saved: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
}

/// Why a step did not bring what it must: the target's failure, or nothing learned.
type Stop = Finding;

/// How much of a path stands in evidence, in characters.
const PATH_TOLD_MAX: usize = 40;

impl JourneyTarget {
    pub(super) fn new(address: SocketAddr, spec: &Journey, trust: &mut TrustCache) -> Result<Self, String> {
        let origin = Origin::new(address, spec.host.as_deref(), spec.tls.as_ref(), trust)?;
        Ok(Self { origin, steps: spec.steps.clone(), under_way: AtomicUsize::new(0) })
    }

    pub(super) async fn probe(&self) -> Finding {
        let mut luggage = Luggage::default();
        for (number, step) in self.steps.iter().enumerate() {
            self.under_way.store(number, Ordering::Relaxed);
            match self.take(step, &mut luggage).await {
                Ok(()) => {}
                Err(Finding::Fail(failure)) => return self.failed_by(&failure),
                Err(other) => return other,
            }
        }
        Finding::Pass
    }

    /// The failure of the step under way, with its name.
    pub(super) fn failed_by(&self, failure: &Failure) -> Finding {
        let number = self.under_way.load(Ordering::Relaxed);
        let Step { method, path, .. } = &self.steps[number];
        let path: String = path.chars().take(PATH_TOLD_MAX).collect();
        let text = format!("step {}, {} {path}: {failure}", number + 1, method.as_str());
        Finding::Fail(Failure::Other(bounded(text)))
    }

    async fn take(&self, step: &Step, luggage: &mut Luggage) -> Result<(), Stop> {
        let request = self.request(step, luggage)?;
        let response = self.origin.client.execute(request).await.map_err(|error| finding_of(&error))?;
        let status = response.status().as_u16();
        if !step.status.contains(&status) {
            return Err(Finding::Fail(Failure::Status(status)));
        }
        for (name, wanted) in &step.header_contains {
            let mut values = response.headers().get_all(name.as_str()).iter();
            if !values.any(|value| contains(value.as_bytes(), filled(wanted, &luggage.saved).as_bytes())) {
                return Err(failed(format!("header {name} does not match")));
            }
        }
        luggage.keep_cookies(response.headers());
        let headers = response.headers().clone();
        let body = if step.looks_at_body() { read_body(response).await? } else { Vec::new() };
        if let Some(wanted) = &step.body_contains
            && !contains(&body, filled(wanted, &luggage.saved).as_bytes())
        {
            return Err(Finding::Fail(Failure::Body));
        }
        for (name, find) in &step.save {
            let value = find.within(&headers, &body).filter(|value| value.len() <= SAVED_OCTETS_MAX);
            let value = value.ok_or_else(|| failed(format!("{name} is not found in the answer")))?;
            luggage.saved.push((name.clone(), value));
        }
        Ok(())
    }

    fn request(&self, step: &Step, luggage: &Luggage) -> Result<Request, Stop> {
        let mut url = self.origin.url.clone();
        // Split before it is filled in, so that what is saved cannot make a query of a path.
        let (path, query) = step.path.split_once('?').map_or((&*step.path, None), |(p, q)| (p, Some(q)));
        url.set_path(&filled(path, &luggage.saved));
        url.set_query(query.map(|query| filled(query, &luggage.saved)).as_deref());
        let method = step.method.as_str().parse().expect("its words are those of the protocol");
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        if let Some(host) = &self.origin.host {
            headers.insert(HOST, host.clone());
        }
        if let Some(cookies) = luggage.cookie_header() {
            headers.insert(COOKIE, cookies);
        }
        for (name, value) in &step.headers {
            let name: HeaderName =
                name.parse().map_err(|_| Finding::Nothing(format!("{name:?} is no name of a header")))?;
            // What the target gave to be saved may not fit, and that is the target's failure.
            let value = HeaderValue::from_str(&filled(value, &luggage.saved))
                .map_err(|_| failed(format!("what was saved does not fit into header {name}")))?;
            headers.insert(name, value);
        }
        if let Some(body) = &step.body {
            *request.body_mut() = Some(Body::from(filled(body, &luggage.saved)));
        }
        Ok(request)
    }
}

fn failed(why: String) -> Stop {
    Finding::Fail(Failure::Other(why))
}

/// The body's first [`ANSWER_OCTETS_MAX`] octets.
async fn read_body(mut response: Response) -> Result<Vec<u8>, Stop> {
    let mut body = Vec::new();
    while body.len() < ANSWER_OCTETS_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_OCTETS_MAX - body.len())])
            }
            Ok(None) => break,
            Err(error) => return Err(finding_of(&error)),
        }
    }
    Ok(body)
}

impl Step {
    fn looks_at_body(&self) -> bool {
        let in_body = |find: &Find| !matches!(find, Find::Header(_));
        self.body_contains.is_some() || self.save.iter().any(|(_, find)| in_body(find))
    }
}

impl Find {
    /// What is found in an answer.
    fn within(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        match self {
            Self::Header(name) => Some(headers.get(name.as_str())?.to_str().ok()?.to_owned()),
            Self::Json(pointer) => {
                match serde_json::from_slice::<serde_json::Value>(body).ok()?.pointer(pointer)? {
                    serde_json::Value::String(text) => Some(text.clone()),
                    value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                        Some(value.to_string())
                    }
                    _ => None,
                }
            }
            Self::Between(after, before) => {
                let text = String::from_utf8_lossy(body);
                let (_, rest) = text.split_once(after.as_str())?;
                Some(rest.split_once(before.as_str())?.0.to_owned())
            }
        }
    }
}

impl Luggage {
    /// Keeps the cookies of an answer (RFC 6265), all of one host. One that ends at once is dropped.
    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            self.cookies.retain(|(known, _)| known != name);
            let ends = parts.any(|attribute| {
                attribute.split_once('=').is_some_and(|(key, age)| {
                    key.eq_ignore_ascii_case("max-age") && age.parse().is_ok_and(|age: i64| age <= 0)
                })
            });
            if !ends && self.cookies.len() < COOKIES_MAX && cookie.len() <= SAVED_OCTETS_MAX {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn cookie_header(&self) -> Option<HeaderValue> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeaderValue::from_str(&pairs.join("; ")).ok().filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::testing::{AMPLE, Certificate, Server, finding, finding_within, ok};
    use crate::config::journey::Method;
    use crate::config::probe::{ProbeKind, TlsTrust};

    fn step(path: &str) -> Step {
        Step {
            method: Method::Get,
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
            status: vec![200],
            body_contains: None,
            header_contains: Vec::new(),
            save: Vec::new(),
        }
    }

    fn journey(address: SocketAddr, steps: Vec<Step>) -> ProbeKind {
        ProbeKind::Journey(Journey { tls: None, port: address.port(), host: None, steps })
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    /// A shop that wants a login, its token and its cookie; it tells each request.
    async fn shop() -> (Server, mpsc::UnboundedReceiver<String>) {
        let (told, requests) = mpsc::unbounded_channel();
        let server = Server::start(move |mut stream| {
            let told = told.clone();
            async move {
                let mut octets = vec![0; 8192];
                let mut length = 0;
                // A request with a body of known length, whole.
                let request = loop {
                    length += stream.read(&mut octets[length..]).await.unwrap_or(0);
                    let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= wanted.map_or(0, |wanted| wanted.parse().unwrap()) {
                        break text;
                    }
                };
                let answer = if request.starts_with("POST /login ") && request.contains("\"user\":\"probe\"") {
                    "HTTP/1.1 200 OK\r\nSet-Cookie: session=s3; Path=/; HttpOnly\r\nSet-Cookie: old=x; Max-Age=0\r\n\
                     X-Shard: 7\r\nContent-Length: 32\r\n\r\n{\"data\":{\"token\":\"t/1\",\"age\":3}} "
                        .to_owned()
                } else if request.starts_with("GET /cart/t%2F1?age=3 ") || request.starts_with("GET /cart/t/1?age=3 ") {
                    let knows = request.contains("cookie: session=s3\r\n") && request.contains("x-shard: 7\r\n");
                    ok(if knows { "<b id=\"count\">4</b> things" } else { "who are you" })
                } else {
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned()
                };
                let _ = told.send(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        (server, requests)
    }

    fn login() -> Step {
        Step {
            method: Method::Post,
            headers: vec![pair("Content-Type", "application/json")],
            body: Some("{\"user\":\"probe\"}".to_owned()),
            header_contains: vec![pair("Set-Cookie", "session=")],
            save: vec![
                ("token".to_owned(), Find::Json("/data/token".to_owned())),
                ("age".to_owned(), Find::Json("/data/age".to_owned())),
                ("shard".to_owned(), Find::Header("x-shard".to_owned())),
            ],
            ..step("/login")
        }
    }

    fn cart() -> Step {
        Step {
            headers: vec![pair("X-Shard", "${shard}")],
            body_contains: Some("things".to_owned()),
            save: vec![("count".to_owned(), Find::Between("id=\"count\">".to_owned(), "<".to_owned()))],
            ..step("/cart/${token}?age=${age}")
        }
    }

    #[tokio::test]
    async fn what_a_step_saves_and_its_cookies_go_on_to_the_next() {
        let (server, mut requests) = shop().await;
        assert_eq!(
            finding(server.address, journey(server.address, vec![login(), cart()])).await,
            Finding::Pass
        );
        let (first, second) = (requests.recv().await.unwrap(), requests.recv().await.unwrap());
        assert!(
            first.contains("content-type: application/json\r\n") && !first.contains("cookie:"),
            "{first}"
        );
        assert!(second.contains("cookie: session=s3\r\n"), "{second}");
        assert_eq!(server.count(), 2, "a connection each");
    }

    #[tokio::test]
    async fn the_step_that_fails_is_named() {
        let (server, _requests) = shop().await;
        let failed =
            async |steps: Vec<Step>| match finding(server.address, journey(server.address, steps)).await {
                Finding::Fail(failure) => failure.to_string(),
                other => panic!("{other:?}"),
            };
        let lost = Step { save: Vec::new(), ..login() };
        assert_eq!(failed(vec![lost, cart()]).await, "step 2, GET /cart/${token}?age=${age}: status 403");
        let stranger = Step { headers: Vec::new(), ..cart() };
        let why = failed(vec![login(), stranger]).await;
        assert_eq!(why, "step 2, GET /cart/${token}?age=${age}: body does not match");
        let elsewhere = vec![("id".to_owned(), Find::Json("/data".to_owned()))];
        let why = failed(vec![Step { save: elsewhere, ..login() }]).await;
        assert_eq!(why, "step 1, POST /login: id is not found in the answer");
        let missing = vec![pair("Location", "/")];
        let why = failed(vec![Step { header_contains: missing, ..login() }]).await;
        assert_eq!(why, "step 1, POST /login: header Location does not match");
    }

    #[tokio::test]
    async fn one_time_out_holds_for_all_steps_and_names_the_one_under_way() {
        let server = Server::start(|mut stream| async move {
            let mut octets = [0; 1024];
            let _ = stream.read(&mut octets).await;
            if octets.starts_with(b"GET /slow") {
                tokio::time::sleep(AMPLE).await;
            }
            let _ = stream.write_all(ok("").as_bytes()).await;
        })
        .await;
        let kind = journey(server.address, vec![step("/quick"), step("/slow")]);
        let finding = finding_within(Duration::from_millis(300), server.address, kind).await;
        assert_eq!(finding, Finding::Fail(Failure::Other("step 2, GET /slow: timed out".to_owned())));
    }

    #[tokio::test]
    async fn no_more_of_a_body_is_read_than_may_be() {
        let server = Server::http(ok(&format!("{}end", "x".repeat(ANSWER_OCTETS_MAX)))).await;
        let wanted = Step { body_contains: Some("end".to_owned()), ..step("/") };
        let kind = journey(server.address, vec![wanted]);
        assert!(matches!(finding(server.address, kind).await, Finding::Fail(_)));
    }

    #[tokio::test]
    async fn what_was_saved_cannot_break_out_of_its_place() {
        let body = "{\"evil\":\"a?b#c\\r\\nX: y\"}";
        let server = Server::http(ok(body)).await;
        let save = vec![("evil".to_owned(), Find::Json("/evil".to_owned()))];
        let first = Step { save, ..step("/") };
        let in_path = vec![first.clone(), step("/${evil}")];
        assert_eq!(finding(server.address, journey(server.address, in_path)).await, Finding::Pass);
        let in_header = Step { headers: vec![pair("X-Evil", "${evil}")], ..step("/") };
        let found = finding(server.address, journey(server.address, vec![first, in_header])).await;
        assert!(
            matches!(&found, Finding::Fail(failure) if failure.to_string().contains("does not fit")),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn https_checks_the_certificate() {
        let of_name = Certificate::of("www.example.com");
        let server = Server::https(&of_name, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let kind = |host: &str| {
            ProbeKind::Journey(Journey {
                tls: Some(TlsTrust::File(of_name.path())),
                port: server.address.port(),
                host: Some(host.to_owned()),
                steps: vec![step("/")],
            })
        };
        assert_eq!(finding(server.address, kind("www.example.com")).await, Finding::Pass);
        assert_ne!(finding(server.address, kind("www.example.net")).await, Finding::Pass);
    }
}
