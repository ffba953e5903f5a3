//! Rhumb: an authoritative DNS server that steers each client to the nearest region that works.
//!
//! Read in this order. The ground: [`name`], [`net`], [`pattern`], [`place`], [`ids`], [`time`], [`exposition`]. What is known: [`wire`]
//! (messages), [`zone`] (zone files), [`geo`] (where clients are), [`health`] (what is believed of endpoints),
//! [`policy`] (which region suits), [`dnssec`] (keys and signatures). What is answered: [`answer`]; how a new table
//! reaches who answers: [`publish`]. What was written: [`config`]. What agents and servers say to each other: [`exchange`],
//! [`credentials`]. What the process may do: [`process`]. The rims, where the sockets, clocks and logs live: [`serve`],
//! [`agent`], [`control`];
//! [`simulate`] plays their pure parts in virtual time; [`cli`] puts them together.
//! ARCHITECTURE.md tells the three walks through them; `tests/tidy.rs` holds the layers.

pub mod beside;
pub mod exposition;
pub mod fault;
pub mod ids;
pub mod name;
pub mod net;
pub mod pattern;
pub mod place;
pub mod time;

pub mod dnssec;
pub mod geo;
pub mod health;
pub mod policy;
pub mod wire;
pub mod zone;

pub mod answer;
pub mod publish;

pub mod config;

pub mod clock;
pub mod credentials;
pub mod exchange;
pub mod process;

pub mod agent;
pub mod control;
pub mod serve;

pub mod simulate;

pub mod cli;
