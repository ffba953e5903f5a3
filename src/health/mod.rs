//! What is believed of endpoints: outcomes of probes in, verdicts out. Pure: time is an argument.
//!
//! Read upwards: an agent's [`outcome`]s of a target make a [`streak`]; the agents of a [`vantage`] have a
//! majority; the vantages have a [`quorum`]; its finding moves an endpoint's [`machine`], slowed by [`damping`]
//! (coming back) and [`limit`] (going). The [`board`] holds all of it, [`rules`] are its knobs, [`evidence`] is
//! what it says, [`check`] judges several targets as one, [`usable`] how much of an endpoint is, [`verdict`] is what the choice of answers reads. Who probes, and how reports travel, is unknown
//! here.

pub mod board;
pub mod check;
pub mod damping;
pub mod evidence;
pub mod limit;
pub mod machine;
pub mod outcome;
pub mod quorum;
pub mod rules;
pub mod streak;
pub mod usable;
pub mod vantage;
pub mod verdict;
