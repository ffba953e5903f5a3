//! The speed limit on withdrawal, per service: however good the evidence looks, traffic leaves in steps, so that
//! a mistake in the evidence costs a part and leaves time to see it. Lifted where every eligible vantage agrees.

use super::rules::SpeedLimit;
use crate::ids::RegionId;
use crate::time::Moment;

/// A withdrawal that was made; of one endpoint the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Where the endpoint stands.
    pub region: RegionId,
    /// Its part of the service.
    pub capacity: u64,
    /// When.
    pub at: Moment,
}

/// A withdrawal that the evidence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where the endpoint stands.
    pub region: RegionId,
    /// Its part of the service.
    pub capacity: u64,
    /// Since when it is asked for.
    pub since: Moment,
    /// Every eligible vantage agrees.
    pub corroborated: bool,
}

/// Whether a withdrawal may be made now; if not, when to ask again. `past` are the withdrawals of the service's
/// other endpoints, `whole` is its capacity.
///
/// A limit slows, it does not forbid: an endpoint that alone is more than the share allowed goes once nothing
/// else went for the whole span and it has been asked for as long.
pub fn may_withdraw(
    wanted: &Wanted,
    past: impl Iterator<Item = Past> + Clone,
    whole: u64,
    limit: &SpeedLimit,
    now: Moment,
) -> Result<(), Moment> {
    if wanted.corroborated {
        return Ok(());
    }
    let mut ask_again = None;
    let mut wait = |until: Moment| ask_again = ask_again.max(Some(until));

    let other_region = past
        .clone()
        .filter(|one| one.region != wanted.region && now.since(one.at) < limit.region_every)
        .map(|one| one.at + limit.region_every);
    other_region.for_each(&mut wait);

    let recent = past.filter(|one| now.since(one.at) < limit.capacity_every);
    let gone: u64 = recent.clone().map(|one| one.capacity).sum();
    if limit.capacity.is_exceeded(gone + wanted.capacity, whole) {
        let first_return = recent.map(|one| one.at + limit.capacity_every).min();
        let outsized = limit.capacity.is_exceeded(wanted.capacity, whole);
        let patient = wanted.since + limit.capacity_every;
        match first_return {
            Some(until) => wait(until),
            None if outsized && now < patient => wait(patient),
            None => {}
        }
    }
    ask_again.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: u64) -> Moment {
        Moment::from_millis(second * 1000)
    }

    fn past(region: u16, capacity: u64, second: u64) -> Past {
        Past { region: RegionId(region), capacity, at: at(second) }
    }

    /// Region 0 asks at `second`, since then; the service has a capacity of 100.
    fn asked(capacity: u64, second: u64, history: &[Past]) -> Result<(), Moment> {
        let wanted = Wanted { region: RegionId(0), capacity, since: at(second), corroborated: false };
        may_withdraw(&wanted, history.iter().copied(), 100, &SpeedLimit::default(), at(second))
    }

    #[test]
    fn one_region_goes_every_ten_seconds() {
        assert_eq!(asked(10, 109, &[past(1, 10, 100)]), Err(at(110)));
        assert_eq!(asked(10, 110, &[past(1, 10, 100)]), Ok(()));
        assert_eq!(asked(10, 101, &[past(0, 10, 100)]), Ok(()), "the same region goes on");
    }

    #[test]
    fn half_of_the_capacity_goes_every_minute() {
        assert_eq!(asked(50, 100, &[]), Ok(()));
        assert_eq!(asked(30, 120, &[past(1, 30, 100)]), Err(at(160)));
        assert_eq!(asked(20, 120, &[past(1, 30, 100)]), Ok(()));
        assert_eq!(asked(30, 160, &[past(1, 30, 100)]), Ok(()));
    }

    #[test]
    fn all_vantages_together_lift_the_limit() {
        let wanted = Wanted { region: RegionId(0), capacity: 90, since: at(100), corroborated: true };
        let history = [past(1, 10, 100)];
        assert_eq!(may_withdraw(&wanted, history.into_iter(), 100, &SpeedLimit::default(), at(100)), Ok(()));
    }

    #[test]
    fn what_is_larger_than_the_limit_waits_but_not_for_ever() {
        assert_eq!(asked(75, 100, &[]), Err(at(160)));
        let wanted = Wanted { region: RegionId(0), capacity: 75, since: at(100), corroborated: false };
        let limit = SpeedLimit::default();
        assert_eq!(may_withdraw(&wanted, [].into_iter(), 100, &limit, at(160)), Ok(()));
    }

    proptest! {
        /// Endpoints of capacity 10 in four regions ask in any order at any time.
        #[test]
        fn the_limits_hold_on_every_history(asks in prop::collection::vec((0u16..4, 0usize..10, 0u64..8), 0..120)) {
            let mut history: Vec<Past> = Vec::new();
            let mut second = 0;
            for (region, _, gap) in asks {
                second += gap;
                let wanted =
                    Wanted { region: RegionId(region), capacity: 10, since: at(second), corroborated: false };
                let limit = SpeedLimit::default();
                match may_withdraw(&wanted, history.iter().copied(), 100, &limit, at(second)) {
                    Ok(()) => history.push(past(region, 10, second)),
                    Err(until) => prop_assert!(until > at(second), "to ask again is later"),
                }
            }
            for (index, one) in history.iter().enumerate() {
                let later = || history[index + 1..].iter();
                let within = |span: u64| move |other: &&Past| other.at < one.at + std::time::Duration::from_secs(span);
                prop_assert!(later().filter(within(10)).all(|other| other.region == one.region));
                prop_assert!(later().filter(within(60)).count() < 5);
            }
        }
    }
}
