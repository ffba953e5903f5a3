//! DNS over HTTPS (RFC 8484): HTTP/2, and HTTP/1.1 for clients that know no better. One request is one message,
//! answered as it would be by TCP. What a request asks is judged in [`request`], what a connection may cost without
//! asking anything in [`meter`].

mod meter;
pub mod request;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

pub(super) use meter::{Meter, Metered};
use request::{Asked, MESSAGE_TYPE, Refusal};

use super::closing::Closing;
use super::office::{MESSAGE_OCTETS_MAX, Office};
use super::seats::{Limits, Phase, Seat};
use super::{Responder, skim};

/// The longest head of a request in octets: a message of some 8,000 octets fits into the path.
const HEAD_OCTETS_MAX: u32 = 16 * 1024;
/// Header lines of a request by HTTP/1.1.
const HEADERS_MAX: usize = 64;
/// What a client may send before we take it, in octets, on one stream and on a connection: a message of any length.
const WINDOW_OCTETS: u32 = 65_535;
/// What waits on one stream for a client that does not read, in octets.
const SEND_OCTETS_MAX: usize = 16 * 1024;
/// Streams that a client may reset before they were looked at (CVE-2023-44487); one more ends the connection.
const RESETS_PENDING_MAX: usize = 20;
/// Streams that we may have to reset for a client's faults; one more ends the connection.
const RESETS_OURS_MAX: usize = 64;

/// One client's connection.
struct Visit<R> {
    client: IpAddr,
    seat: Arc<Seat>,
    meter: Arc<Meter>,
    office: Arc<Office<R>>,
    path: Arc<str>,
    /// Requests that may still be made.
    left: AtomicU64,
    /// Told by HTTP/2 when there are none.
    last: Notify,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<R: Responder>(
    stream: TlsStream<Metered<TcpStream>>,
    meter: Arc<Meter>,
    client: IpAddr,
    seat: Arc<Seat>,
    office: &Arc<Office<R>>,
    path: &Arc<str>,
) {
    let limits = *seat.limits();
    let is_second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(Closing(stream));
    let visit = Arc::new(Visit {
        client,
        seat,
        meter,
        office: Arc::clone(office),
        path: Arc::clone(path),
        left: AtomicU64::new(limits.queries),
        last: Notify::new(),
    });
    let service = {
        let visit = Arc::clone(&visit);
        service_fn(move |request| answer(request, Arc::clone(&visit)))
    };
    // How a connection fails is the client's business; after the last request it ends when that is answered.
    let failed = if is_second {
        let mut connection = pin!(second(&limits).serve_connection(stream, service));
        tokio::select! {
            ended = connection.as_mut() => ended.is_err(),
            () = visit.last.notified() => {
                connection.as_mut().graceful_shutdown();
                connection.await.is_err()
            }
        }
    } else {
        first().serve_connection(stream, service).await.is_err()
    };
    if failed {
        visit.seat.break_off();
    }
}

fn second(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEAD_OCTETS_MAX)
        .initial_stream_window_size(WINDOW_OCTETS)
        .initial_connection_window_size(WINDOW_OCTETS)
        .max_send_buf_size(SEND_OCTETS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OURS_MAX);
    builder
}

fn first() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The keeper of the seats watches the time: a head that dribbles is a connection without a query.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_OCTETS_MAX as usize);
    builder
}

async fn answer<R: Responder>(
    request: Request<Incoming>,
    visit: Arc<Visit<R>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (version, without_body) = (request.version(), request.method() == Method::HEAD);
    let mut response = match visit.message(request).await {
        Ok(message) => visit.reply(&message),
        Err(refusal) => refused(refusal),
    };
    if visit.is_last_answer() {
        match version {
            Version::HTTP_2 => visit.last.notify_one(),
            // Requests that follow without waiting are not looked at any more.
            _ => drop(response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"))),
        }
    }
    if without_body {
        let octets = response.body().size_hint().exact().expect("a whole body knows its length");
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(octets));
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

impl<R: Responder> Visit<R> {
    /// The message that a request holds.
    async fn message(&self, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        let asked = request::check_host(request.version(), request.headers())
            .and_then(|()| request::judge(request.method(), request.uri(), request.headers(), &self.path));
        let (mut body, limit) = (request.into_body(), self.seat.limits().message);
        let read = match asked {
            Ok(Asked::Inline(message)) => Ok(message.into()),
            Ok(Asked::Body) => timeout(limit, read(&mut body)).await.unwrap_or(Err(Refusal::Slow)),
            Err(refusal) => Err(refusal),
        };
        if matches!(read, Err(refusal) if refusal != Refusal::Slow) {
            // What does not come in time is no reason to say something else.
            let _ = timeout(limit, drop_rest(&mut body)).await;
        }
        read
    }

    fn reply(&self, message: &[u8]) -> Response<Full<Bytes>> {
        let reply = self.office.answer_one(message, self.client, |reply| {
            (Bytes::copy_from_slice(reply), skim::freshness(reply))
        });
        // A message that deserves no reply, such as one that is a reply itself: HTTP has to say something.
        let Some((octets, seconds)) = reply else { return refused(Refusal::Malformed) };
        let mut response = Response::new(Full::new(octets));
        // Who asks from elsewhere may be steered elsewhere: a cache that clients share must not keep the reply.
        let cache = HeaderValue::try_from(format!("max-age={seconds}, private")).expect("digits are text");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE_TYPE));
        response.headers_mut().insert(CACHE_CONTROL, cache);
        response
    }

    /// Notes that a request was answered; whether it was the last.
    fn is_last_answer(&self) -> bool {
        self.meter.reset();
        // Whoever does not read stays under the time limit for that.
        if self.seat.phase() != Phase::Writing {
            self.seat.enter(Phase::Idle);
        }
        self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// The message that a body is.
async fn read(body: &mut Incoming) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, MESSAGE_OCTETS_MAX).collect().await;
    whole
        .map(Collected::to_bytes)
        .map_err(|error| if error.is::<LengthLimitError>() { Refusal::TooLong } else { Refusal::Malformed })
}

/// Reads what is left of a body that is refused, as far as a message may be long: HTTP/2 resets a stream whose body is
/// not read, right behind the refusal, and some clients then show the reset alone. What says that it is longer is not
/// begun.
async fn drop_rest(body: &mut Incoming) {
    if body.size_hint().lower() > MESSAGE_OCTETS_MAX as u64 {
        return;
    }
    let mut rest = Limited::new(body, MESSAGE_OCTETS_MAX);
    while let Some(Ok(_)) = rest.frame().await {}
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(refusal.reason().as_bytes())));
    *response.status_mut() = refusal.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(request::METHODS));
    }
    response
}
