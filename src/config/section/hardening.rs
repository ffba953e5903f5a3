//! `[hardening]`: what the process gives up once its sockets are open. In a server's file and in an agent's alike.

use crate::config::table::{Section, Table};

/// What the process gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// The user to become, by name or number; who starts the process when absent.
    pub user: Option<String>,
    /// The group to become; the user's own when absent.
    pub group: Option<String>,
    /// Whether Landlock keeps the rest of the file system out of reach.
    pub landlock: bool,
    /// Whether system calls that are no use to the process are denied.
    pub system_call_filter: bool,
}

pub(in crate::config) const HARDENING: Section =
    Section { path: "hardening", keys: &["user", "group", "landlock", "system-call-filter"] };

/// Reads `[hardening]`.
pub(in crate::config) fn read_hardening(top: Table) -> Hardening {
    let table = top.table("hardening", &HARDENING);
    let name = |key: &str| table.value(key).and_then(|value| value.text("rhumb")).map(str::to_owned);
    let switch = |key: &str| table.value(key).and_then(|value| value.boolean()).unwrap_or(true);
    Hardening {
        user: name("user"),
        group: name("group"),
        landlock: switch("landlock"),
        system_call_filter: switch("system-call-filter"),
    }
}
