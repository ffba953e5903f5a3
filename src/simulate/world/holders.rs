//! Resolvers of a world: when they ask, and how much of what they hold is wrong.

use super::*;

impl World<'_> {
    pub(super) fn ask_next(&mut self, resolver: usize, service: usize) {
        if let Some(at) = self.resolvers[resolver].asks_next(service, self.now) {
            self.push(at, Event::Asks { resolver, service });
        }
    }

    pub(super) fn asks(&mut self, resolver: usize, service: usize) {
        let one = &mut self.resolvers[resolver];
        let before = one.held[service].region;
        let region = one.ask(service, &self.servers[one.server].table, self.now);
        let wrong = |region: Option<usize>| {
            i64::from(region.is_some_and(|region| self.truth.health(region).value != Health::Works))
        };
        let difference = wrong(region) - wrong(before);
        self.count_wrong(difference);
    }

    pub(super) fn recount_wrong(&mut self) {
        let held = self.resolvers.iter().flat_map(|resolver| &resolver.held);
        let dead = |region: usize| self.truth.health(region).value != Health::Works;
        let wrong = held.filter(|held| held.region.is_some_and(dead)).count() as i64;
        self.count_wrong(wrong - self.wrong as i64);
    }

    /// Adds up what was handed out wrongly until now, and changes the count.
    pub(super) fn count_wrong(&mut self, difference: i64) {
        let span = self.now.since(self.wrong_since).as_secs_f64();
        let holders = (self.resolvers.len() * self.scenario.services).max(1);
        self.played.wrong_seconds += span * self.wrong as f64 / holders as f64;
        self.wrong_since = self.now;
        self.wrong = self.wrong.saturating_add_signed(difference);
    }
}
