//! `serve`: stub, the lead's own file replaces it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::generation::Generation;

/// A server at work.
#[derive(Debug)]
pub(super) struct Server;

impl Server {
    pub(super) fn start(_: Generation, _: PathBuf) -> Result<Self, String> {
        Err("not wired".to_owned())
    }
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &[]
    }
    pub(super) fn stop(self) {}
}

pub(super) fn run(_: &Path) -> ExitCode {
    ExitCode::FAILURE
}
