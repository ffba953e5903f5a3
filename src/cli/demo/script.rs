//! One failover without a keyboard. Each step waits for what clients must see, and fails when they do not in time.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::stage::Stage;
use super::view::View;
use super::world::{CLIENTS, TTL_MOVED, TTL_STEADY, TTL_SUSPECT};
use crate::clock;

/// How long a step may take on a busy machine; an idle one needs less than eight seconds for the longest.
const STEP_WITHIN: Duration = Duration::from_secs(25);
/// From one look to the next: what lasts for a second is not missed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const EU_WEST: usize = 0;
const US_EAST: usize = 1;
const AP_SOUTH: usize = 2;

/// Plays it; why it went wrong, if it did.
pub(super) fn play(stage: &mut Stage) -> Result<(), String> {
    let begun = clock::now();
    expect(stage, "every client gets its nearest region, to keep for 30 s", at_home)?;

    stage.kill(EU_WEST);
    expect(stage, "eu-west is suspect: its clients keep its answer for 5 s only", |views| {
        is(&views[EU_WEST], "eu-west", TTL_SUSPECT) && rest_at_home(views)
    })?;
    expect(
        stage,
        "eu-west is withdrawn: its clients get the next region, the others notice nothing",
        |views| is(&views[EU_WEST], "us-east", TTL_MOVED) && rest_at_home(views),
    )?;

    stage.kill(US_EAST);
    stage.kill(AP_SOUTH);
    expect(
        stage,
        "everything is down, and nobody gets an empty answer: each its nearest region, and a word why",
        |views| {
            homes(views).all(|(view, home)| is(view, home, TTL_SUSPECT) && !view.extended_errors.is_empty())
        },
    )?;

    stage.revive(US_EAST)?;
    stage.revive(AP_SOUTH)?;
    expect(stage, "two regions are back: only the clients of eu-west are still elsewhere", |views| {
        is(&views[EU_WEST], "us-east", TTL_MOVED) && rest_at_home(views)
    })?;

    stage.revive(EU_WEST)?;
    expect(stage, "eu-west recovers, and takes its clients back step by step with a short TTL", |views| {
        views[EU_WEST].ttl == TTL_SUSPECT && rest_at_home(views)
    })?;
    expect(stage, "all is as it was", at_home)?;

    let seconds = clock::now().since(begun).as_secs_f64();
    stage.tell(&format!("the demo passed in {seconds:.1} s"), json!({ "event": "passed" }));
    Ok(())
}

/// Looks until clients see what they must.
fn expect(stage: &mut Stage, claim: &str, holds: impl Fn(&[View]) -> bool) -> Result<(), String> {
    let begun = clock::now();
    loop {
        let views = stage.look()?;
        if holds(&views) {
            stage.tell(&format!("ok: {claim}"), json!({ "event": "step", "passed": true, "claim": claim }));
            return Ok(());
        }
        if clock::now().since(begun) > STEP_WITHIN {
            stage.tell(&format!("NOT: {claim}"), json!({ "event": "step", "passed": false, "claim": claim }));
            return Err(format!("not seen within {} s: {claim}", STEP_WITHIN.as_secs()));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn is(view: &View, region: &str, ttl: u32) -> bool {
    view.region == region && view.ttl == ttl
}

fn homes(views: &[View]) -> impl Iterator<Item = (&View, &'static str)> {
    views.iter().zip(CLIENTS.iter().map(|client| client.home))
}

fn at_home(views: &[View]) -> bool {
    homes(views).all(|(view, home)| is(view, home, TTL_STEADY) && view.extended_errors.is_empty())
}

/// Clients whose home is not eu-west.
fn rest_at_home(views: &[View]) -> bool {
    homes(views).skip(1).all(|(view, home)| is(view, home, TTL_STEADY))
}
