//! The simulator: the real pure parts of servers and agents in a world of virtual time that tries to fool them.
//! It opens no socket and reads no clock; one seed is one history.
//!
//! [`false_alarms`] plays chance alone, over more hours than a whole world could; [`subsets`] every set of cut paths.

pub mod false_alarms;
pub mod subsets;
