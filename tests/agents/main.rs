//! Agents and a server as real processes on loopback: quorum, a stopped agent, ill ones, reports that are not what they should
//! be, certificates that are revoked or exchanged, and what an agent may be made to probe.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

mod forged;
mod ill;
mod namespaces;
mod shares;
mod trust;
mod verdicts;
mod world;
