//! The query path as a stranger sees it: octets in, octets out. Cases as data, properties, and a comparison with
//! another server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod amplification;
mod ask;
mod bindings;
mod cases;
mod challenged;
mod envelope;
mod fuzz;
mod mutation;
mod oracle;
mod peers;
mod proofs;
mod properties;
mod reload;
mod rollover;
mod signed;
mod world;
