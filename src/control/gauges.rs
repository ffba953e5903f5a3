//! Gauges: numbers that somebody outside tells, by `rhumb gauge` or by HTTP on a loopback address. What they mean is
//! `config::probe::Gauge`'s word; here is whose they are, and the listener.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Given};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::http::Limited;
use super::request::{GaugeTold, Request, Response};
use super::run::Message;
use crate::config::Config;
use crate::config::probe::ProbeKind;
use crate::health::outcome::Failure;
use crate::health::verdict::Share;
use crate::ids::TargetId;
use crate::pattern::matches;

/// The most gauges in one message, by HTTP or by the operator's socket.
pub const GAUGES_TOLD_MAX: usize = 10_000;
/// The longest message in octets.
const MESSAGE_OCTETS_MAX: usize = 1024 * 1024;
/// How long the server may take to hear a message.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// What a gauge means for a target: how much of it is usable, or how it fails.
pub type Meaning = (TargetId, Result<Share, Failure>);

/// What gauges mean for each target, in the order told.
///
/// # Errors
/// When one of them is none, is of no endpoint, or shows no number; nothing is told then.
pub(super) fn meanings(config: &Config, told: &[GaugeTold]) -> Result<Vec<Meaning>, Vec<String>> {
    if told.len() > GAUGES_TOLD_MAX {
        return Err(vec![format!("{} gauges are told at once; tell at most {GAUGES_TOLD_MAX}", told.len())]);
    }
    let (mut meanings, mut faults) = (Vec::new(), Vec::new());
    for one in told {
        match meaning(config, one) {
            Ok(found) => meanings.extend(found),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(meanings) } else { Err(faults) }
}

fn meaning(config: &Config, told: &GaugeTold) -> Result<Vec<Meaning>, String> {
    let GaugeTold { endpoint, gauge: name, value } = told;
    let known = config.probes.iter().find(|probe| probe.name == *name).map(|probe| &probe.kind);
    let Some(ProbeKind::Gauge(gauge)) = known else {
        let is_gauge = |kind: &ProbeKind| matches!(kind, ProbeKind::Gauge(_));
        let known = config.probes.iter().filter(|probe| is_gauge(&probe.kind)).map(|probe| &*probe.name);
        let known: Vec<&str> = known.collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("there is no gauge {name:?}; there are: {known}"));
    };
    if !value.is_finite() {
        return Err(format!("{value} is no number that gauge {name:?} can show"));
    }
    let behind = config.targets.len();
    let rows = config.derived.iter().enumerate().filter(|(_, derived)| {
        let is_pushed = matches!(derived.source, crate::health::board::Source::Pushed { .. });
        is_pushed
            && config.probes[derived.probe.index()].name == *name
            && matches(endpoint, &derived.endpoint)
    });
    let outcome = gauge.judge(*value);
    let found: Vec<_> = rows.map(|(row, _)| (TargetId::from_index(behind + row), outcome.clone())).collect();
    if found.is_empty() {
        return Err(format!(
            "no endpoint {endpoint:?} has the gauge {name:?}; endpoints are named REGION/SERVICE/ADDRESS"
        ));
    }
    Ok(found)
}

/// Serves those who tell gauges until it is dropped.
///
/// # Errors
/// When the runtime does not take the listener.
pub async fn serve(listener: StdListener, inbox: mpsc::Sender<Message>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/gauges", post(take))
        .layer(DefaultBodyLimit::max(MESSAGE_OCTETS_MAX))
        .with_state(Arc::new(inbox));
    axum::serve(Limited::new(listener), router).await
}

async fn take(Given(inbox): Given<Arc<mpsc::Sender<Message>>>, body: String) -> HttpResponse {
    let told = match read(&body) {
        Ok(told) => told,
        Err(fault) => return (StatusCode::BAD_REQUEST, format!("{fault}\n")).into_response(),
    };
    let (reply, answer) = oneshot::channel();
    let ask = async {
        inbox.send(Message::Operator(Request::Gauges { told }, reply)).await.ok()?;
        answer.await.ok()
    };
    match timeout(HEARD_WITHIN, ask).await {
        Ok(Some(Response::GaugesTold { gauges })) => format!("{gauges} told\n").into_response(),
        Ok(Some(Response::Failed { faults })) => {
            (StatusCode::BAD_REQUEST, faults.join("\n") + "\n").into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping, or behind\n").into_response(),
    }
}

/// Reads lines of ENDPOINT GAUGE VALUE; what follows a `#` is a comment.
fn read(body: &str) -> Result<Vec<GaugeTold>, String> {
    let mut told = Vec::new();
    for (at, line) in body.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let fault = || {
            format!("line {}: write ENDPOINT GAUGE VALUE, such as eu-west/www/192.0.2.10 load 0.82", at + 1)
        };
        match *words.as_slice() {
            [] => {}
            [endpoint, gauge, value] => told.push(GaugeTold {
                endpoint: endpoint.to_owned(),
                gauge: gauge.to_owned(),
                value: value.parse().map_err(|_| fault())?,
            }),
            _ => return Err(fault()),
        }
    }
    if told.is_empty() {
        Err("nothing is told; write lines of ENDPOINT GAUGE VALUE".to_owned())
    } else {
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_one_gauge_each() {
        let told = read("# at noon\neu/www/192.0.2.1 load 0.82\n\n*/www/* lag -3 # all\n").unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!((told[1].endpoint.as_str(), told[1].value), ("*/www/*", -3.0));
        for odd in ["", "# nothing", "a b", "a b c", "a b 1 2"] {
            assert!(read(odd).is_err(), "{odd:?}");
        }
        assert!(read("a b 1\na b x").unwrap_err().starts_with("line 2: "));
    }
}
