//! Zones signed anew: beside the control task, since a large one takes its time, which then puts them in force. They are
//! when signatures or keys are due, and when challenges come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task;
use tracing::{error, info};

use super::metrics::Metrics;
use super::request::Response;
use super::run::{Control, Message};
use super::state::Event;
use super::tell;
use crate::answer::compile_signed::DueZone;
use crate::answer::signed::SignedZone;
use crate::clock;
use crate::ids::ZoneId;
use crate::name::Name;
use crate::process::priority;

impl Control {
    /// Tells the time of day where zones are signed, and has those that are due signed anew.
    pub(super) fn keep_signed(&mut self) {
        if !self.state.generation().plan.is_signed() {
            return;
        }
        let daytime = clock::wall();
        self.step(Event::Daytime(daytime), clock::now());
        let due = self.state.due_zones(daytime);
        if due.is_empty() || self.resigning {
            return;
        }
        self.resigning = true;
        let (number, inbox) = (self.state.number(), self.inbox.clone());
        task::spawn_blocking(move || {
            let sign =
                |due: DueZone| (due.id, due.sign(daytime).map(Arc::new).map_err(|fault| fault.to_string()));
            let zones = priority::stepped_back(|| due.into_iter().map(sign).collect());
            let _ = inbox.blocking_send(Message::Resigned(number, zones));
        });
    }

    /// Takes zones that were signed anew; what became due meanwhile is next.
    pub(super) fn resigned(&mut self, generation: u64, made: Vec<(ZoneId, Result<Arc<SignedZone>, String>)>) {
        self.resigning = false;
        if generation == self.state.number() {
            self.put_signed_in_force(generation, made);
        }
        self.tell_challengers();
    }

    /// Has zones signed whose challenges have changed, and answers those who set and cleared them once they are in force,
    /// or cannot be.
    pub(super) fn tell_challengers(&mut self) {
        self.keep_signed();
        for (name, reply) in std::mem::take(&mut self.challenging) {
            let fault = self.unsigned.iter().find(|(zone, _)| name.is_at_or_below(zone));
            let response = match fault {
                _ if self.state.is_challenged(&name) => tell::challenged(&self.state, &name),
                Some((zone, fault)) => {
                    Response::Failed { faults: vec![format!("{zone} cannot be signed anew: {fault}")] }
                }
                None => {
                    self.challenging.push((name, reply));
                    continue;
                }
            };
            // Whoever asked may have gone.
            let _ = reply.send(response);
        }
    }

    /// Puts zones that were signed anew in force, and tells once of each that could not be.
    fn put_signed_in_force(&mut self, generation: u64, made: Vec<(ZoneId, Result<Arc<SignedZone>, String>)>) {
        let config = Arc::clone(&self.state.generation().config);
        let mut zones = Vec::new();
        for (id, made) in made {
            let origin = &config.zones[id.index()].origin;
            let signed = tell(origin, made, &mut self.unsigned, &self.metrics);
            zones.extend(signed.map(|signed| (id, signed)));
        }
        if !zones.is_empty() {
            self.step(Event::Resigned { generation, zones }, clock::now());
        }
    }
}

/// Tells what came of signing a zone anew, a failure once for each reason; gives what was made. `unsigned` holds the
/// zones that could not be, and why.
fn tell<Z>(
    origin: &Name,
    made: Result<Z, String>,
    unsigned: &mut BTreeMap<Name, String>,
    metrics: &Metrics,
) -> Option<Z> {
    metrics.signing_failed(origin, made.is_err());
    match made {
        Ok(signed) => {
            info!(zone = %origin, "what was due of the zone is signed anew");
            unsigned.remove(origin);
            Some(signed)
        }
        Err(fault) => {
            if unsigned.get(origin) != Some(&fault) {
                error!(zone = %origin, "the zone cannot be signed anew: {fault}");
                unsigned.insert(origin.clone(), fault);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Keeps what is logged, each event in one line.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0 += &format!(" {field}={value:?}");
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_zone_that_cannot_be_signed_anew_is_counted_and_told_once_for_each_reason() {
        let (log, metrics) = (Log::default(), Metrics::default());
        let zone: Name = "example.com".parse().unwrap();
        let mut unsigned = BTreeMap::new();
        let mut came = |made: Result<u8, &str>| {
            let given = tracing::subscriber::with_default(log.clone(), || {
                tell(&zone, made.map_err(str::to_owned), &mut unsigned, &metrics)
            });
            let page = metrics.render();
            let failed = page
                .lines()
                .find_map(|line| line.strip_prefix("rhumb_signing_failed{zone=\"example.com.\"} "));
            (given, failed.unwrap().to_owned(), log.0.lock().unwrap().drain(..).collect::<Vec<_>>())
        };
        let error = |why: &str| {
            vec![format!("{} message=the zone cannot be signed anew: {why} zone=example.com.", Level::ERROR)]
        };
        assert_eq!(came(Err("too large")), (None, "1".to_owned(), error("too large")));
        assert_eq!(came(Err("too large")), (None, "1".to_owned(), vec![]));
        assert_eq!(came(Err("larger still")), (None, "1".to_owned(), error("larger still")));
        let (given, failed, told) = came(Ok(7));
        assert_eq!((given, failed.as_str(), told.len()), (Some(7), "0", 1));
        assert_eq!(
            came(Err("larger still")),
            (None, "1".to_owned(), error("larger still")),
            "it failed anew"
        );
    }
}
