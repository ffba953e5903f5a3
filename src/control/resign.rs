//! Signatures kept alive: what is due is signed anew beside the control task, which then puts it in force.

use std::sync::Arc;

use tokio::task;
use tracing::{error, info};

use super::run::{Control, Message};
use super::state::Event;
use crate::answer::signed::SignedZone;
use crate::clock;
use crate::ids::ZoneId;
use crate::process::priority;

impl Control {
    /// Tells the time of day where zones are signed, and has zones signed anew that are due: beside, since a large one
    /// takes its time.
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
            let renewed = |(id, signed): (ZoneId, Arc<SignedZone>)| {
                Some((id, signed.renewed(daytime)?.map(Arc::new).map_err(|fault| fault.to_string())))
            };
            let zones = priority::stepped_back(|| due.into_iter().filter_map(renewed).collect());
            let _ = inbox.blocking_send(Message::Resigned(number, zones));
        });
    }

    /// Puts zones that were signed anew in force, and tells once of each that could not be.
    pub(super) fn resigned(&mut self, generation: u64, made: Vec<(ZoneId, Result<Arc<SignedZone>, String>)>) {
        self.resigning = false;
        if generation != self.state.number() {
            return;
        }
        let config = Arc::clone(&self.state.generation().config);
        let mut zones = Vec::new();
        for (id, made) in made {
            let origin = &config.zones[id.index()].origin;
            self.metrics.signing_failed(origin, made.is_err());
            match made {
                Ok(signed) => {
                    info!(zone = %origin, "what was due of the zone is signed anew");
                    self.unsigned.remove(origin);
                    zones.push((id, signed));
                }
                Err(fault) if self.unsigned.get(origin) != Some(&fault) => {
                    error!(zone = %origin, "the zone cannot be signed anew: {fault}");
                    self.unsigned.insert(origin.clone(), fault);
                }
                Err(_) => {}
            }
        }
        if !zones.is_empty() {
            self.step(Event::Resigned { generation, zones }, clock::now());
        }
    }
}
