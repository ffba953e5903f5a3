//! The sockets of a server, open before anything else runs: opening them may need root, and what comes after must
//! not. A predecessor or a supervisor may have opened them already.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;

use tracing::{info, warn};

use super::StartFault;
use super::settings::{Shown, settings};
use crate::config::Config;
use crate::control::socket::OperatorSocket;
use crate::control::succession::Predecessor;
use crate::process::handed::{Handed, Label, purpose};
use crate::process::lock;
use crate::serve::{Listeners, descriptors};

/// The sockets that face the network, and what else was handed over.
#[derive(Debug)]
pub(in crate::cli) struct Opened {
    pub(super) listeners: Listeners,
    pub(super) metrics: Option<TcpListener>,
    pub(super) agents: Option<TcpListener>,
    pub(super) gauges: Option<TcpListener>,
    /// What clients of encrypted transports are shown.
    pub(super) shown: Option<Shown>,
    /// The limit of open files allows for fewer connections than are configured.
    pub(super) fewer_connections: bool,
    handed: Handed,
    /// Who handed over and is to be told.
    predecessor: Option<Predecessor>,
}

/// What is local: the operator's socket and the state folder, this server's alone.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) operator: OperatorSocket,
    pub(super) state_lock: File,
    pub(super) predecessor: Option<Predecessor>,
}

impl Opened {
    /// Opens what the configuration names. With `take_over` the sockets of the server that runs there are taken, if
    /// one does.
    pub(in crate::cli) fn new(config: &Config, take_over: bool) -> Result<Self, StartFault> {
        // First of all, since a predecessor's descriptors count too.
        let limit = descriptors::raise();
        let shown = Shown::read(config).map_err(StartFault::Certificate)?;
        let mut settings = settings(config, shown.as_ref());
        descriptors::suffice(&settings, limit).map_err(StartFault::Descriptors)?;
        let fewer_connections = descriptors::share(&mut settings, limit);
        let mut handed = Handed::of_environment().map_err(StartFault::Environment)?;
        let mut predecessor = None;
        if take_over {
            let asked = Predecessor::ask(&config.server.control_socket).map_err(StartFault::TakeOver)?;
            (predecessor, handed) = asked.map_or((None, handed), |(asked, theirs)| (Some(asked), theirs));
        }
        let listeners = Listeners::obtain(&settings, &mut handed).map_err(StartFault::Listen)?;
        let mut listener = |purpose, address| match handed.take_one(purpose, Some(address)) {
            Some(given) => Ok(given.into()),
            None => TcpListener::bind(address),
        };
        let metrics = config.metrics_listen.map(|address| {
            listener(purpose::METRICS, address).map_err(|error| StartFault::Metrics(address, error))
        });
        let agents = config.agents.as_ref().map(|agents| {
            listener(purpose::AGENTS, agents.listen)
                .map_err(|error| StartFault::Agents(format!("{} cannot be had: {error}", agents.listen)))
        });
        let gauges = config.gauges_listen.map(|address| {
            listener(purpose::GAUGES, address).map_err(|error| StartFault::Gauges(address, error))
        });
        Ok(Self {
            listeners,
            metrics: metrics.transpose()?,
            agents: agents.transpose()?,
            gauges: gauges.transpose()?,
            shown,
            fewer_connections,
            handed,
            predecessor,
        })
    }

    /// Opens what is local, as the user that the server runs as.
    pub(super) fn local(&mut self, config: &Config) -> Result<Local, StartFault> {
        let server = &config.server;
        let state_lock = match self.handed.take_one(purpose::STATE_LOCK, None) {
            Some(lock) => lock.into(),
            None => lock_state(&server.state_directory)
                .map_err(|error| StartFault::StateDirectory(server.state_directory.clone(), error))?,
        };
        let operator = OperatorSocket::bind(&server.control_socket, &mut self.handed)
            .map_err(|error| StartFault::OperatorSocket(server.control_socket.clone(), error))?;
        for label in self.handed.left() {
            warn!(
                purpose = label.purpose, address = ?label.address,
                "a socket that was handed over is not in the configuration; it is closed"
            );
        }
        Ok(Local { operator, state_lock, predecessor: self.predecessor.take() })
    }

    /// Copies of the listeners that are not for queries, for a successor.
    pub(super) fn copies(&self, config: &Config) -> io::Result<Vec<(Label, OwnedFd)>> {
        let metrics = self.metrics.iter().zip(config.metrics_listen).map(|pair| (purpose::METRICS, pair));
        let agents = config.agents.as_ref().map(|agents| agents.listen);
        let agents = self.agents.iter().zip(agents).map(|pair| (purpose::AGENTS, pair));
        let gauges = self.gauges.iter().zip(config.gauges_listen).map(|pair| (purpose::GAUGES, pair));
        let copy = |(purpose, (listener, address)): (&str, (&TcpListener, _))| {
            Ok((Label::new(purpose, Some(address)), listener.try_clone()?.into()))
        };
        metrics.chain(agents).chain(gauges).map(copy).collect()
    }
}

impl Local {
    /// Copies of what is local, for a successor.
    pub(super) fn copies(&self) -> io::Result<Vec<(Label, OwnedFd)>> {
        let mut copies = self.operator.copies()?;
        copies.push((Label::new(purpose::STATE_LOCK, None), self.state_lock.try_clone()?.into()));
        Ok(copies)
    }
}

/// Tells the predecessor, if there is one, that this server answers.
pub(super) fn dismiss(predecessor: Option<Predecessor>) {
    match predecessor.map(Predecessor::dismiss) {
        Some(Ok(())) => info!("took over from the server that ran here"),
        Some(Err(error)) => {
            warn!(%error, "the server that ran here did not say that it leaves; look at its log");
        }
        None => {}
    }
}

fn lock_state(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    lock::take(&folder.join("lock"), "another server keeps its state there; give each a folder of its own")
}
