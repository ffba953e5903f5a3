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
            let renewed = |(id, signed): (ZoneId, Arc<SignedZone>)| match signed.renewed(daytime)? {
                Ok(signed) => Some((id, Arc::new(signed))),
                Err(fault) => {
                    error!("a zone cannot be signed anew: {fault}");
                    None
                }
            };
            let zones = priority::stepped_back(|| due.into_iter().filter_map(renewed).collect());
            let _ = inbox.blocking_send(Message::Resigned(number, zones));
        });
    }

    /// Puts zones that were signed anew in force.
    pub(super) fn resigned(&mut self, generation: u64, zones: Vec<(ZoneId, Arc<SignedZone>)>) {
        self.resigning = false;
        let origin = |zone: &ZoneId| self.state.generation().config.zones.get(zone.index());
        for zone in zones.iter().filter_map(|(id, _)| origin(id)) {
            info!(zone = %zone.origin, "what was due of the zone is signed anew");
        }
        if !zones.is_empty() {
            self.step(Event::Resigned { generation, zones }, clock::now());
        }
    }
}
