//! Composed checks beside each other: none may rest on itself, and none may grow beyond what can be judged.

use crate::config::findings::Findings;
use crate::config::probe::{PARTS_IN_ALL_MAX, Probe, ProbeKind};
use crate::config::table::Entry;
use crate::health::check::DEPTH_MAX;
use crate::ids::ProbeId;

/// Refuses compositions that go round in a circle, are too deep or too large; such a probe is put out of use, so
/// that whoever reads on does not follow it.
pub(in crate::config) fn check_compositions(probes: &mut [Probe], entries: &[Entry], findings: &Findings) {
    let mut faulty = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut path = vec![ProbeId::from_index(index)];
        match measure(probes, &mut path) {
            Ok(count) if count > PARTS_IN_ALL_MAX => {
                let message = format!("the check rests on {count} probes in all, each as often as it is met");
                findings.error(entry.span, message, format!("compose it of at most {PARTS_IN_ALL_MAX}"));
                faulty.push(index);
            }
            Ok(_) => {}
            Err(Ill::Circle(circle)) => {
                let names: Vec<&str> = circle.iter().map(|probe| &*probes[probe.index()].name).collect();
                // A circle is told once, where it was written first, and not at those that lead into it.
                if circle.iter().min() == Some(&ProbeId::from_index(index)) {
                    let message = format!("the check rests on itself: {}", names.join(" -> "));
                    findings.error(entry.span, message, "take one of these out of another");
                }
                faulty.push(index);
            }
            Err(Ill::Deep) => {
                let message = format!("checks stand in each other more than {DEPTH_MAX} deep");
                findings.error(entry.span, message, "compose it of fewer levels");
                faulty.push(index);
            }
        }
    }
    for index in faulty {
        probes[index].kind = ProbeKind::Tcp { port: 0 };
    }
}

enum Ill {
    Circle(Vec<ProbeId>),
    Deep,
}

/// How many probes the last of `path` rests on.
fn measure(probes: &[Probe], path: &mut Vec<ProbeId>) -> Result<usize, Ill> {
    let last = *path.last().expect("a path begins somewhere");
    let ProbeKind::Composed(composition) = &probes[last.index()].kind else { return Ok(1) };
    if path.len() > DEPTH_MAX {
        return Err(Ill::Deep);
    }
    let mut count = 0_usize;
    for child in &composition.of {
        if let Some(at) = path.iter().position(|known| *known == child.probe) {
            let circle = path[at..].iter().copied().chain([child.probe]);
            return Err(Ill::Circle(circle.collect()));
        }
        path.push(child.probe);
        count += measure(probes, path)?;
        path.pop();
        if count > PARTS_IN_ALL_MAX {
            return Ok(count);
        }
    }
    Ok(count)
}
