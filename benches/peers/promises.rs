//! What was promised of the query path, as ratios, beside what this run found.

use super::{Figures, ratios, spread};

/// A figure of rhumb over another figure, and what their ratio must be.
struct Promise {
    what: &'static str,
    ours: (&'static str, &'static str),
    /// Nothing where the figure itself is bounded.
    theirs: Option<(&'static str, &'static str, &'static str)>,
    bound: Bound,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Zero in every round.
    Never,
}

use Bound::{AtLeast, AtMost, Never};

const CPU: &str = "CPU, ns";
const USER: &str = "of it user, ns";
const RATE: &str = "queries/s";

const PROMISES: &[Promise] = &[
    over("CPU / reflector, plain, 50,000/s", "Plain at a rate", CPU, "reflector", AtMost(1.05)),
    over("CPU / reflector, steered, 20,000/s", "Steered at a rate", CPU, "reflector", AtMost(1.06)),
    over("user CPU / gdnsd, plain, saturated", "Plain saturated", USER, "gdnsd", AtMost(0.65)),
    over("user CPU / gdnsd, steered, saturated", "Steered saturated", USER, "gdnsd", AtMost(0.65)),
    over("user CPU / Knot, steered, saturated", "Steered saturated", USER, "knot", AtMost(0.25)),
    within("user CPU, NXDOMAIN / positive", "Missing saturated", "Plain saturated", USER, AtMost(1.3)),
    within("user CPU, 10^6 names / 10^4", "Large saturated", "Plain saturated", USER, AtMost(1.3)),
    over("queries/s / reflector, plain", "Plain saturated", RATE, "reflector", AtLeast(0.97)),
    over("queries/s / reflector, steered", "Steered saturated", RATE, "reflector", AtLeast(0.93)),
    over("queries/s / gdnsd, plain", "Plain saturated", RATE, "gdnsd", AtLeast(1.0)),
    over("queries/s / gdnsd, steered", "Steered saturated", RATE, "gdnsd", AtLeast(1.0)),
    over("TCP CPU / gdnsd", "Tcp persistent", CPU, "gdnsd", AtMost(0.9)),
    over("10^6 names, ready / Knot", "Load", "ready, s", "knot", AtMost(0.8)),
    over("10^6 names, memory / gdnsd", "Load", "memory, MiB", "gdnsd", AtMost(1.0)),
    itself("worker's CPU, verdicts / peace", "Change Apart Verdicts", "worker's CPU / peace", AtMost(1.03)),
    itself("worker's CPU, reloads / peace", "Change Apart Reloads", "worker's CPU / peace", AtMost(1.03)),
    itself("worker's CPU, databases / peace", "Change Apart Databases", "worker's CPU / peace", AtMost(1.03)),
    itself("p99, verdicts / peace", "Change Apart Verdicts", "p99 / peace", AtMost(1.5)),
    itself("p99, reloads / peace", "Change Apart Reloads", "p99 / peace", AtMost(1.5)),
    itself("p99, databases / peace", "Change Apart Databases", "p99 / peace", AtMost(1.5)),
    itself(
        "one core: worker's CPU, verdicts / peace",
        "Change Beside Verdicts",
        "worker's CPU / peace",
        AtMost(1.03),
    ),
    itself(
        "one core: worker's CPU, reloads / peace",
        "Change Beside Reloads",
        "worker's CPU / peace",
        AtMost(1.03),
    ),
    itself(
        "one core: worker's CPU, databases / peace",
        "Change Beside Databases",
        "worker's CPU / peace",
        AtMost(1.03),
    ),
    itself("one core: p99, verdicts / peace", "Change Beside Verdicts", "p99 / peace", AtMost(1.5)),
    itself("one core: p99, reloads / peace", "Change Beside Reloads", "p99 / peace", AtMost(1.5)),
    itself("one core: p99, databases / peace", "Change Beside Databases", "p99 / peace", AtMost(1.5)),
    lost("queries lost, verdicts", "Change Apart Verdicts"),
    lost("queries lost, reloads", "Change Apart Reloads"),
    lost("queries lost, databases", "Change Apart Databases"),
    lost("one core: queries lost, verdicts", "Change Beside Verdicts"),
    lost("one core: queries lost, reloads", "Change Beside Reloads"),
    lost("one core: queries lost, databases", "Change Beside Databases"),
];

const fn over(
    what: &'static str,
    work: &'static str,
    figure: &'static str,
    peer: &'static str,
    bound: Bound,
) -> Promise {
    Promise { what, ours: (work, figure), theirs: Some((work, figure, peer)), bound }
}

const fn within(
    what: &'static str,
    work: &'static str,
    base: &'static str,
    figure: &'static str,
    bound: Bound,
) -> Promise {
    Promise { what, ours: (work, figure), theirs: Some((base, figure, "rhumb")), bound }
}

const fn itself(what: &'static str, work: &'static str, figure: &'static str, bound: Bound) -> Promise {
    Promise { what, ours: (work, figure), theirs: None, bound }
}

const fn lost(what: &'static str, work: &'static str) -> Promise {
    Promise { what, ours: (work, "lost queries"), theirs: None, bound: Never }
}

/// Prints every promise of which both sides were measured.
pub(super) fn print(figures: &Figures) {
    println!("\n| promise | bound | found, median [range] | holds |\n|---|---|---|---|");
    let values = |(work, figure): (&str, &'static str), peer: &str| {
        figures.get(&(work.to_owned(), figure)).and_then(|by_peer| by_peer.get(peer))
    };
    for Promise { what, ours, theirs, bound } in PROMISES {
        let Some(ours) = values(*ours, "rhumb") else { continue };
        let found = match theirs {
            None => ours.clone(),
            Some((work, figure, peer)) => match values((*work, *figure), peer) {
                Some(theirs) => ratios(ours, theirs),
                None => continue,
            },
        };
        let median = median(&found);
        let (word, holds) = match bound {
            AtMost(limit) => (format!("at most {limit}"), median <= *limit),
            AtLeast(limit) => (format!("at least {limit}"), median >= *limit),
            Never => ("none".to_owned(), found.iter().all(|lost| *lost == 0.0)),
        };
        println!("| {what} | {word} | {} | {} |", spread(&found), if holds { "yes" } else { "no" });
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
