//! Vantages beside the agents that could report from them: one without the other is of no use.

use crate::config::findings::Findings;
use crate::config::section::region::Vantage;
use crate::config::text::Span;

/// Whether somebody can report from the vantages, and from somewhere.
pub(in crate::config) fn check_vantages(vantages: &[Vantage], agents: Option<Span>, findings: &Findings) {
    match (vantages.first(), agents) {
        (Some(first), None) => findings.warning(
            first.span,
            "no agent can report from a vantage, and with vantages the server itself does not probe",
            "write [agents] with an address to listen on, or leave the vantages out",
        ),
        (None, Some(agents)) => findings.warning(
            agents,
            "agents stand at vantages, and there is none: every report is refused",
            "write [vantages.NAME] for each place that agents stand in",
        ),
        _ => {}
    }
}
