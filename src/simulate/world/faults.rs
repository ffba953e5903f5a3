//! What befalls a world, and what must come of it.

use super::*;

impl World<'_> {
    pub(super) fn befall(&mut self, fault: Fault) -> Result<(), String> {
        if self.mended_at.is_some() {
            return Ok(());
        }
        self.note(format!("{fault:?}"));
        self.truth.befall(fault, self.now);
        match fault {
            Fault::Region(region, health) => self.falls(region, health),
            Fault::Restart(server) => self.restart(server)?,
            Fault::Reload(server, takes) => self.push(self.now + takes, Event::Reloaded(server)),
            // Until it is heard again it tells all that it sees, and at its full pace.
            Fault::Jump(agent, _) => self.agents[agent].is_troubled(self.now),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn falls(&mut self, region: usize, health: Health) {
        self.recount_wrong();
        if health == Health::Works {
            return;
        }
        let since = self.truth.health(region).since;
        self.push(self.now + WITHDRAWN_WITHIN, Event::MustBeWithdrawn { region, since });
        if health == Health::Killed {
            // Who held a connection notices that it broke.
            let of_region =
                (0..self.scenario.services).map(|s| TargetId::from_index(s * self.scenario.regions + region));
            let targets: Arc<[TargetId]> = of_region.collect();
            for agent in 0..self.agents.len() {
                let path = self.truth.path(agent, region).value;
                if path < 1.0 && !self.truth.isolated(agent) && self.truth.mood(agent) == Mood::Well {
                    let targets = Arc::clone(&targets);
                    self.push(self.now + WAY / 10, Event::Recheck { agent, targets });
                }
            }
        }
    }

    pub(super) fn restart(&mut self, server: usize) -> Result<(), String> {
        let one = &self.servers[server];
        let with_twin = one.twin.is_some();
        let before = self.standings(server);
        let forgets = self.bug == Some(Bug::ForgottenVerdicts);
        let saved = if forgets { Vec::new() } else { one.state.board().saved(self.now) };
        let again = || State::new(generation(self.scenario, self.bug), &saved, Duration::ZERO, self.now);
        let state = again();
        let twin = with_twin.then(again);
        let witness = Witness::new(server, self.scenario.vantages, self.scenario.regions);
        let table = Arc::clone(state.table());
        let started = self.now;
        let arrivals = vec![None; self.scenario.vantages];
        self.servers[server] =
            Server { table, state, twin, witness, arrivals, started, ticks_at: Moment(u64::MAX) };
        self.agents.iter_mut().for_each(|agent| agent.tell_all = true);
        self.plan_tick(server);
        let serves = |standing: &Standing| standing.state != Verdict::Down && standing.ramp.parts() > 0;
        let idle = before.iter().enumerate().filter(|(_, standing)| !serves(standing));
        let idle = idle.map(|(endpoint, _)| EndpointId::from_index(endpoint));
        self.servers[server].witness.knows_idle(idle);
        for (endpoint, (was, is)) in before.iter().zip(self.standings(server)).enumerate() {
            if serves(was) != serves(&is) {
                return Err(format!(
                    "endpoint {endpoint} was {} and is {} after a restart",
                    was.state, is.state
                ));
            }
        }
        Ok(())
    }

    pub(super) fn reload(&mut self, server: usize) -> Result<(), String> {
        let now = self.now;
        let before = self.standings(server);
        let (scenario, bug) = (self.scenario, self.bug);
        let one = &mut self.servers[server];
        let anew = || state::Event::Reload(Box::new(generation(scenario, bug)));
        let effects = one.state.step(anew(), now);
        if let Some(twin) = &mut one.twin {
            let _ = twin.step(anew(), now);
        }
        if before != self.standings(server) {
            return Err("a reload that changes nothing changed a verdict".to_owned());
        }
        self.follow(server, effects.change, effects.table)?;
        self.plan_tick(server);
        Ok(())
    }

    pub(super) fn standings(&self, server: usize) -> Vec<Standing> {
        let count = self.scenario.services * self.scenario.regions;
        let board = self.servers[server].state.board();
        (0..count).map(|endpoint| board.standing(EndpointId::from_index(endpoint))).collect()
    }

    pub(super) fn must_be_withdrawn(&mut self, region: usize, since: Moment) -> Result<(), String> {
        let health = self.truth.health(region);
        if health.value == Health::Works || health.since != since {
            return Ok(());
        }
        for server in &self.servers {
            if self.now.since(server.started) < WITHDRAWN_WITHIN {
                continue;
            }
            for service in 0..self.scenario.services {
                let endpoint = EndpointId::from_index(service * self.scenario.regions + region);
                server.witness.is_withdrawn(endpoint, server.state.board(), &self.truth, self.now)?;
            }
        }
        Ok(())
    }

    pub(super) fn expected(&mut self, expected: Expectation) -> Result<(), String> {
        for server in 0..self.servers.len() {
            for service in 0..self.scenario.services {
                let endpoint = service * self.scenario.regions + expected.region;
                if expected.believed == Believed::Given {
                    self.is_given(server, service, expected.region)?;
                    continue;
                }
                let standing = self.standings(server)[endpoint];
                let state = standing.state;
                let is = match expected.believed {
                    Believed::Down => state == Verdict::Down,
                    Believed::Up => state == Verdict::Up,
                    Believed::Share(share) => state == Verdict::Up && standing.usable == share,
                    Believed::Serving => matches!(state, Verdict::Up | Verdict::Suspect | Verdict::Unknown),
                    Believed::Held => state == Verdict::Recovering && standing.ramp.parts() == 0,
                    Believed::Given => unreachable!("that is seen in the answers"),
                };
                if !is {
                    return Err(format!("{expected:?}, but s{server} believes {state}"));
                }
            }
        }
        Ok(())
    }

    /// Whether clients near every region are given this one.
    fn is_given(&self, server: usize, service: usize, region: usize) -> Result<(), String> {
        for near in 0..self.scenario.regions {
            let given =
                given(&self.servers[server].table, service, client(near, 0)).map(|(region, _)| region);
            if given != Some(region) {
                return Err(format!("s{server} gives {given:?} to clients near r{near}, not r{region}"));
            }
        }
        Ok(())
    }

    pub(super) fn all_mends(&mut self) {
        self.note("all is mended".to_owned());
        self.truth.mend(self.now);
        self.mended_at = Some(self.now);
        self.recount_wrong();
        self.push(self.now + LOOK_EVERY, Event::IsBack);
    }

    /// A person says that what works may come back.
    fn let_back(&mut self) -> Result<(), String> {
        let all = self.scenario.services * self.scenario.regions;
        for server in 0..self.servers.len() {
            let now = self.now;
            let one = &mut self.servers[server];
            let word = || state::Event::AllowFailBack((0..all).map(EndpointId::from_index).collect());
            let effects = one.state.step(word(), now);
            if let Some(twin) = &mut one.twin {
                let _ = twin.step(word(), now);
            }
            self.follow(server, effects.change, effects.table)?;
            self.plan_tick(server);
        }
        Ok(())
    }

    pub(super) fn is_back(&mut self) -> Result<(), String> {
        if self.scenario.manual_fail_back {
            self.let_back()?;
        }
        let mended = self.mended_at.expect("it is looked only after the mending");
        let up = |standing: &Standing| standing.state == Verdict::Up && standing.usable == Share::WHOLE;
        if (0..self.servers.len()).all(|server| self.standings(server).iter().all(up)) {
            self.ended = true;
        } else if self.now.since(mended) > BACK_WITHIN && self.scenario.loss < 0.01 {
            return Err(format!("all works for {BACK_WITHIN:?}, and not all is up"));
        } else if self.now.since(mended) > BACK_WITHIN {
            // Where probes fail now and then something is always in doubt.
            self.ended = true;
        }
        self.push(self.now + LOOK_EVERY, Event::IsBack);
        Ok(())
    }
}
