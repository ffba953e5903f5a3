//! What is believed of endpoints: outcomes of probes in, verdicts out. Pure: time is an argument.

pub mod outcome;
pub mod streak;
pub mod verdict;
