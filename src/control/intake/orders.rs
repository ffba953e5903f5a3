//! The orders of one agent: an answer that never ends, so that a recheck is there as soon as it is wanted. First
//! what to probe, again whenever that changes; rechecks as they come; every second a word that the server is there.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::sleep;

use super::Shared;
use super::connections::Peer;
use super::known::Known;
use super::refusal::Refusal;
use crate::control::run::{RECHECKS_MAX, Rechecks};
use crate::exchange::order::Order;

/// A line goes out at least so often, so that either side notices when the other is gone.
const WAIT_EVERY: Duration = Duration::from_secs(1);
/// Lines that wait for an agent that does not read; one more and its connection is closed.
const LINES_MAX: usize = 64;

pub(super) async fn orders(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Arc<Peer>>,
) -> Response {
    if shared.known.borrow().vantage(&peer.identity.vantage).is_none() {
        let refusal = Refusal::UnknownVantage;
        shared.metrics.refused_agent(refusal.reason());
        return (refusal.status(), format!("{refusal}\n")).into_response();
    }
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = lines.closed() => {}
            () = tell(&shared, &peer.identity.vantage, &lines) => {}
        }
    });
    Response::new(Body::new(Lines(receiver)))
}

/// Where the line that makes agents probe again goes to all of them.
pub(super) fn recheck_lines() -> broadcast::Sender<Bytes> {
    broadcast::Sender::new(RECHECKS_MAX)
}

/// Makes one line of each recheck, for all agents, until there are no more.
pub(super) async fn write_rechecks(
    mut rechecks: broadcast::Receiver<Rechecks>,
    known: watch::Receiver<Arc<Known>>,
    lines: broadcast::Sender<Bytes>,
) {
    loop {
        match rechecks.recv().await {
            // One of another configuration comes too late, or too early: the agents probe in their turn.
            Ok(recheck) if recheck.number == known.borrow().number => {
                // Without agents there is nobody to tell.
                let _ = lines.send(known.borrow().recheck(&recheck.targets));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends orders until the agent no longer keeps up, or its vantage is none any more.
async fn tell(shared: &Shared, vantage: &str, lines: &mpsc::Sender<Bytes>) {
    let mut known = shared.known.clone();
    let mut rechecks = shared.rechecks.subscribe();
    let wait = Bytes::from(Order::Wait.line());
    let mut next = known.borrow_and_update().line(vantage);
    // What is still in `lines` when this ends is sent all the same.
    while let Some(line) = next
        && lines.try_send(line).is_ok()
    {
        next = tokio::select! {
            changed = known.changed() => match changed {
                Ok(()) => known.borrow_and_update().line(vantage),
                Err(_) => None,
            },
            line = rechecks.recv() => match line {
                Ok(line) => Some(line),
                // Too many to keep up with: the agents probe in their turn.
                Err(RecvError::Lagged(_)) => Some(wait.clone()),
                Err(RecvError::Closed) => None,
            },
            () = sleep(WAIT_EVERY) => Some(wait.clone()),
        };
    }
}

/// Lines as the body of an answer.
struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
