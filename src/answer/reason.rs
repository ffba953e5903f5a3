//! What the extended error (RFC 8914) of a steered answer says: why it is not what the client's class would rather have.

use crate::ids::RegionId;
use crate::policy::fitness::Fitness;
use crate::policy::select::Selection;
use crate::policy::variant::{Reason, Variant};

/// The text of a variant of `service`, or of none where there is nothing to give; `None` where the answer is what it
/// should be. `name` tells the names of regions.
pub(super) fn text<'n>(
    service: &str,
    variant: Option<&Variant>,
    selection: &Selection,
    name: &dyn Fn(RegionId) -> &'n str,
) -> Option<String> {
    let Some(variant) = variant else {
        return Some(format!("{service}: {}", selection.outcome));
    };
    let region = variant.region.map_or("the fallback", name);
    match variant.reason {
        Reason::Steady | Reason::Suspect | Reason::Shifting => None,
        Reason::Moved => Some(format!("{service}: {}", moved(variant.region, selection, name))),
        Reason::Degraded => Some(format!("{service}: {region} answers, degraded; nothing better is left")),
        Reason::FailOpen => {
            Some(format!("{service}: no region is usable; {region} answers as the last resort"))
        }
        Reason::Fallback => Some(format!("{service}: no region is usable; the fallback answers")),
    }
}

/// Why the first preference does not answer, and what does: "eu-west withdrawn, us-east is the second choice".
fn moved<'n>(region: Option<RegionId>, selection: &Selection, name: &dyn Fn(RegionId) -> &'n str) -> String {
    let place = selection.candidates.iter().position(|candidate| Some(candidate.region) == region);
    let answers = region.map_or("the fallback", name);
    let first = selection.candidates.first().filter(|first| Some(first.region) != region);
    let (Some(first), Some(place)) = (first, place) else {
        return format!("{answers} answers in place of the first preference");
    };
    let why = match first.health.weakest {
        Fitness::ForcedDown => "forced down",
        Fitness::Down | Fitness::Absent => "withdrawn",
        Fitness::Drained => "drained",
        Fitness::Held => "not back yet",
        Fitness::Usable if first.degraded => "degraded",
        Fitness::Usable if first.health.ramping => "on a ramp",
        Fitness::Usable => "usable in part",
    };
    let choice = ["first", "second", "third", "fourth"].get(place).copied().unwrap_or("next");
    format!("{} {why}, {answers} is the {choice} choice", name(first.region))
}
