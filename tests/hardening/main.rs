//! What a server gives up, what it withstands, and how it is replaced: the real binary, killed, starved, taken over
//! from, and told by a supervisor.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the test")]
#![allow(clippy::disallowed_methods, reason = "it waits for processes, in real time")]

mod crash;
mod descriptors;
mod panics;
mod place;
mod privileges;
mod succession;
mod supervisor;
mod transports;
mod units;
