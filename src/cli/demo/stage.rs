//! The demo's stage: the world at work, and what is told of it as it moves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use serde_json::{Value, json};

use super::backend::Backend;
use super::view::{Asker, View};
use super::world::{CLIENTS, Client, Folder, NAME, REGIONS, Region, find_database};
use crate::cli::said::print;
use crate::cli::serve::Server;
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::time::Moment;

/// The world at work.
#[derive(Debug)]
pub(super) struct Stage {
    /// In the order of [`REGIONS`].
    backends: Vec<Backend>,
    server: Server,
    asker: Asker,
    /// What each client saw last, in the order of [`CLIENTS`].
    views: Vec<Option<View>>,
    begun: Moment,
    json: bool,
    _folder: Folder,
}

const PORT: u16 = 5300;
/// So many ports are tried from [`PORT`] on.
const PORTS_TRIED: u16 = 100;

impl Stage {
    /// Starts the backends and the server.
    pub(super) fn set_up(port: Option<u16>, json: bool) -> Result<Self, String> {
        let begun = clock::now();
        let (port, backends) = claim(port)?;
        let folder = Folder::new().map_err(|error| format!("no temporary folder can be made: {error}"))?;
        let database = find_database();
        let path = folder
            .furnish(port, &backends, database.as_deref())
            .map_err(|error| format!("its files cannot be written: {error}"))?;
        let (mut generation, _) = generation::load(&path, clock::wall())
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        forgive_flapping(&mut generation);
        let server = Server::start(generation, path.clone()).map_err(|fault| fault.to_string())?;
        let address = *server.addresses().first().ok_or("the server listens nowhere")?;
        let asker = Asker::new(address).map_err(|error| format!("no socket for queries: {error}"))?;
        let stage =
            Self { backends, server, asker, views: vec![None; CLIENTS.len()], begun, json, _folder: folder };
        if database.is_none() {
            stage.say("no geoip/country.mmdb here: the clients are told apart by rules for their networks");
        }
        if address.port() != PORT {
            stage.say(&format!("the server answers at port {}, not at {PORT}", address.port()));
        }
        stage.introduce(address, &path.display().to_string());
        Ok(stage)
    }

    fn introduce(&self, server: SocketAddr, configuration: &str) {
        let mut lines = vec![format!("{NAME} is served by three regions:")];
        for (number, backend) in self.backends.iter().enumerate() {
            let (region, address) = (backend.region(), backend.address());
            lines.push(format!("  {}  {region:<9} http://{address}/", number + 1));
        }
        lines.push("ask as one of three clients, from another terminal:".to_owned());
        for client in &CLIENTS {
            let (who, network) = (client.who, client.network);
            lines.push(format!(
                "  dig @{} -p {} {NAME} +subnet={network}    # {who}",
                server.ip(),
                server.port()
            ));
        }
        lines.push(format!("  rhumb status --config {configuration}"));
        self.tell(
            &lines.join("\n"),
            json!({ "event": "begin", "server": server.to_string(), "configuration": configuration }),
        );
    }

    /// Asks for every client, and tells of each answer that is another than the last.
    pub(super) fn look(&mut self) -> Result<Vec<View>, String> {
        let mut views = Vec::new();
        for (at, client) in CLIENTS.iter().enumerate() {
            let view = self.asker.ask(client)?;
            if self.views[at].as_ref() != Some(&view) {
                self.tell_view(client, &view);
                self.views[at] = Some(view.clone());
            }
            views.push(view);
        }
        Ok(views)
    }

    /// Tells what every client saw last.
    pub(super) fn recall(&self) {
        for (client, view) in CLIENTS.iter().zip(&self.views) {
            if let Some(view) = view {
                self.tell_view(client, view);
            }
        }
    }

    /// Kills the region at `position` of [`REGIONS`].
    pub(super) fn kill(&mut self, position: usize) {
        let backend = &mut self.backends[position];
        backend.kill();
        let region = backend.region();
        self.tell(&format!("kill {region}"), json!({ "event": "kill", "region": region }));
    }

    /// Revives the region at `position` of [`REGIONS`].
    pub(super) fn revive(&mut self, position: usize) -> Result<(), String> {
        let backend = &mut self.backends[position];
        let region = backend.region();
        backend.revive().map_err(|error| format!("{region} cannot listen again: {error}"))?;
        self.tell(&format!("revive {region}"), json!({ "event": "revive", "region": region }));
        Ok(())
    }

    /// Says something that is no event; programs are spared it.
    pub(super) fn say(&self, text: &str) {
        if !self.json {
            print(text);
        }
    }

    /// Tells an event with the time since the beginning.
    pub(super) fn tell(&self, text: &str, mut event: Value) {
        let elapsed = clock::now().since(self.begun);
        if self.json {
            event["seconds"] = json!((elapsed.as_secs_f64() * 1000.0).round() / 1000.0);
            print(&event.to_string());
        } else {
            print(&format!("{:>6.2} s  {}", elapsed.as_secs_f64(), text.replace('\n', "\n          ")));
        }
    }

    fn tell_view(&self, client: &Client, view: &View) {
        let event = json!({
            "event": "answer",
            "client": client.network,
            "region": view.region,
            "address": view.address,
            "ttl": view.ttl,
            "extended-errors": view.extended_errors,
        });
        self.tell(&format!("  {:<13}  {view}", client.who), event);
    }

    /// Ends everything.
    pub(super) fn tear_down(self) {
        self.server.stop();
    }
}

/// The port that was asked for, or the first from [`PORT`] on that is free; and the backends at the same port of
/// their own addresses, by which a second demo sees that the port is taken before the server listens there.
fn claim(port: Option<u16>) -> Result<(u16, Vec<Backend>), String> {
    if let Some(port) = port {
        return Ok((port, start_backends(port)?));
    }
    let mut refused = String::new();
    for port in PORT..PORT + PORTS_TRIED {
        match start_backends(port) {
            Ok(backends) if is_free(port) => return Ok((port, backends)),
            Ok(_) => refused = format!("127.0.0.1:{port} is in use"),
            Err(error) => refused = error,
        }
    }
    Err(format!("none of {PORTS_TRIED} ports from {PORT} on will do; of the last one, {refused}"))
}

fn start_backends(port: u16) -> Result<Vec<Backend>, String> {
    let start = |region: &Region| {
        let at = SocketAddr::new(region.address.into(), port);
        Backend::start(region.name, at)
            .map_err(|error| format!("the backend of {} cannot listen at {at}: {error}", region.name))
    };
    REGIONS.iter().map(start).collect()
}

/// Whether the server could listen there, by UDP and TCP.
fn is_free(port: u16) -> bool {
    let at = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
}

/// Who plays kills a region more often than a region dies: here it comes back each time, though it flaps.
fn forgive_flapping(generation: &mut Generation) {
    generation.board.rules.damping.suppress = u32::MAX;
}
