//! What servers do in a world: hear reports, change their minds, answer from new tables.

use super::*;

impl World<'_> {
    pub(super) fn start(&mut self, server: usize, with_twin: bool) -> Server {
        let made = || state::State::new(generation(self.scenario, self.bug), &[], Duration::ZERO, self.now);
        let state = made();
        let twin = with_twin.then(|| {
            let mut generation = generation(self.scenario, self.bug);
            if self.bug == Some(Bug::SaltPerNode) {
                generation.plan.services.iter_mut().for_each(|service| service.salt += 1);
            }
            State::new(generation, &[], Duration::ZERO, self.now)
        });
        Server {
            table: Arc::clone(state.table()),
            witness: Witness::new(server, self.scenario.vantages, self.scenario.regions),
            arrivals: vec![None; self.scenario.vantages],
            started: self.now,
            ticks_at: Moment(u64::MAX),
            state,
            twin,
        }
    }

    pub(super) fn arrives(
        &mut self,
        server: usize,
        agent: usize,
        clock: Duration,
        report: &Arc<Report>,
    ) -> Result<(), String> {
        // What was on its way when the connection broke is lost.
        if self.truth.parted(agent, server) && self.bug != Some(Bug::SilenceIsDown) {
            return Ok(());
        }
        if !self.is_timely(server, agent, clock, report) {
            return Ok(());
        }
        self.step(server, Some(report))?;
        if self.bug == Some(Bug::VotesTwice) {
            let mut second = Report::clone(report);
            second.vantage = VantageId::from_index((agent + 1) % self.scenario.vantages);
            second.agent = 1;
            self.step(server, Some(&Arc::new(second)))?;
        }
        Ok(())
    }

    /// Whether the intake lets a report pass.
    fn is_timely(&mut self, server: usize, agent: usize, clock: Duration, report: &Report) -> bool {
        let stamp = Stamp { boot: report.boot, number: report.number, clock };
        match &mut self.servers[server].arrivals[agent] {
            Some(arrivals) => arrivals.take(stamp, self.now).is_ok(),
            none => {
                *none = Some(Arrivals::new(stamp, self.now));
                true
            }
        }
    }

    /// Gives a server a report, or the time.
    pub(super) fn step(&mut self, server: usize, report: Option<&Arc<Report>>) -> Result<(), String> {
        let now = self.now;
        let one = &mut self.servers[server];
        if report.is_none() && one.ticks_at == now {
            one.ticks_at = Moment(u64::MAX);
        }
        let give = |state: &mut State| {
            let event = match report {
                Some(report) => {
                    let reports = vec![Arc::clone(report)];
                    state::Event::Reports { generation: state.number(), reports }
                }
                None => state::Event::Tick,
            };
            state.step(event, now)
        };
        let effects = give(&mut one.state);
        if let Some(twin) = &mut one.twin {
            let twins = give(twin);
            if effects.table.is_some() != twins.table.is_some() {
                return Err("of two nodes that heard the same one made a new table".to_owned());
            }
        }
        self.follow(server, effects.change, effects.table)?;
        self.plan_tick(server);
        Ok(())
    }

    pub(super) fn plan_tick(&mut self, server: usize) {
        let Some(wake) = self.servers[server].state.wake() else { return };
        let wake = wake.max(self.now);
        if wake < self.servers[server].ticks_at {
            self.servers[server].ticks_at = wake;
            self.push(wake, Event::Ticks(server));
        }
    }

    /// What a step brought.
    pub(super) fn follow(
        &mut self,
        server: usize,
        change: Change,
        table: Option<Arc<AnswerTable>>,
    ) -> Result<(), String> {
        for one in &change.transitions {
            self.note(format!("s{server} {one}"));
            self.played.transitions += 1;
            self.played.withdrawals += u64::from(one.to == Verdict::Down && one.from != Verdict::Down);
            self.servers[server].witness.transition(one, &self.truth, self.now)?;
        }
        for one in &change.moves {
            self.note(format!("s{server} v{}: {one}", one.vantage.0));
            self.servers[server].witness.moved(one, &self.truth, self.now)?;
        }
        if !change.notices.is_empty() {
            self.note(format!("s{server} {:?}", change.notices));
        }
        if !change.rechecks.is_empty() {
            let targets: Arc<[TargetId]> = change.rechecks.into();
            let heard: Vec<usize> =
                (0..self.agents.len()).filter(|agent| !self.truth.parted(*agent, server)).collect();
            for agent in heard {
                self.push(self.now + WAY, Event::Recheck { agent, targets: Arc::clone(&targets) });
            }
        }
        match table {
            Some(table) if self.bug == Some(Bug::DelayedApplier) => {
                let late = Duration::from_millis(self.chance.bits() % LATE_MILLIS);
                self.push(self.now + late, Event::Applies { server, table });
                Ok(())
            }
            Some(table) => self.apply(server, table),
            None => Ok(()),
        }
    }

    /// A server answers from a new table from now on.
    pub(super) fn apply(&mut self, server: usize, table: Arc<AnswerTable>) -> Result<(), String> {
        let services = self.scenario.services;
        let table = match self.bug {
            Some(Bug::RotatingLots) => self.with_other_lots(server),
            Some(Bug::SharesIgnored) => self.with_whole_shares(server),
            _ => table,
        };
        let one = &mut self.servers[server];
        let old = std::mem::replace(&mut one.table, Arc::clone(&table));
        one.witness.table(&old, &table, services, one.state.board())?;
        if let Some(twin) = &one.twin {
            Witness::alike(one.state.table(), twin.table(), services)?;
        }
        for resolver in 0..self.resolvers.len() {
            if self.resolvers[resolver].server == server {
                (0..services).for_each(|service| self.ask_next(resolver, service));
            }
        }
        Ok(())
    }

    /// The table of the moment if what is usable in part were wholly usable.
    fn with_whole_shares(&self, server: usize) -> Arc<AnswerTable> {
        let state = &self.servers[server].state;
        let whole = |endpoint: EndpointId| {
            let standing = state.board().standing(endpoint);
            let usable = if standing.usable > Share::NONE { Share::WHOLE } else { Share::NONE };
            Standing { usable, ..standing }
        };
        let mut counters = Default::default();
        Arc::new(state.generation().plan.table(state.table().generation(), &whole, &mut counters))
    }

    /// The table of the moment if lots fell otherwise in each generation.
    pub(super) fn with_other_lots(&self, server: usize) -> Arc<AnswerTable> {
        let state = &self.servers[server].state;
        let mut generation = generation(self.scenario, self.bug);
        let number = state.table().generation();
        generation.plan.services.iter_mut().for_each(|service| service.salt = number * 0x9e37);
        let mut counters = Default::default();
        Arc::new(generation.plan.table(number, &state::Believed(state.board()), &mut counters))
    }
}
