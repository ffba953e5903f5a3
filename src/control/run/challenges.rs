//! Challenges as operators set and clear them: who does is answered when they are in force, which in a signed zone is when
//! that was signed anew.

use tokio::sync::oneshot;
use tracing::info;

use super::Control;
use crate::clock;
use crate::control::challenge::challenged;
use crate::control::request::Response;
use crate::control::state::{Effects, Event};
use crate::control::tell;
use crate::name::Name;

impl Control {
    /// Sets a challenge; gives its name, or why there is none.
    pub(super) fn set_challenge(&mut self, name: &str, token: &str, seconds: u64) -> Result<Name, String> {
        let now = clock::now();
        let challenge = tell::challenge(&self.state, name, token, seconds, now)?;
        let name = challenge.name.clone();
        let Effects { table, challenge_fault, .. } = self.state.step(Event::SetChallenge(challenge), now);
        if let Some(fault) = challenge_fault {
            return Err(fault.to_string());
        }
        info!(%name, seconds, "a challenge is set");
        self.publish(table);
        Ok(name)
    }

    /// Clears challenges; gives the name where they stood.
    pub(super) fn clear_challenge(&mut self, name: &str, token: Option<String>) -> Result<Name, String> {
        let name = challenged(&tell::domain(name)?);
        let effects = self.state.step(Event::ClearChallenge(name.clone(), token), clock::now());
        self.publish(effects.table);
        Ok(name)
    }

    /// Answers who has set or cleared challenges at a name, now or when the zone is signed that they are in.
    pub(super) fn answer_challenger(&mut self, done: Result<Name, String>, reply: oneshot::Sender<Response>) {
        match done {
            Ok(name) => {
                self.keep_signed();
                self.challenging.push((name, reply));
                self.tell_challengers();
            }
            // Whoever asked may have gone.
            Err(fault) => drop(reply.send(Response::Failed { faults: vec![fault] })),
        }
    }

    /// Answers those who set and cleared challenges that are in force now, or cannot be.
    pub(in crate::control) fn tell_challengers(&mut self) {
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
}
