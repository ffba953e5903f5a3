//! A server that has no peace: services whose verdicts, configuration and database change while it answers. What is
//! written for it, and who disturbs it.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rhumb::wire::ask;
use rhumb::wire::code::RecordType;
use rustix::process::{Pid, Signal, kill_process};

use super::chance::Chance;

/// The regions of every service.
pub(crate) const REGIONS: usize = 3;
/// Changes of the outside program's word per second.
const CHANGES_PER_SECOND: u32 = 10;
/// An endpoint that was said to be down is said to be up again after so many changes.
const CHANGES_DOWN: usize = 50;

/// The folder of a server, its number of services, and how it is reached.
pub(crate) struct Restless {
    pub(crate) folder: PathBuf,
    pub(crate) services: usize,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// What does not stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unrest {
    /// Everything does.
    None,
    /// What an outside program says of endpoints: [`CHANGES_PER_SECOND`].
    Verdicts,
    /// The configuration is read again and again.
    Reloads,
    /// So it is, and each time the database is another.
    Databases,
}

impl Restless {
    /// Writes the configuration, a zone, two databases and the outside program's first word.
    pub(crate) fn write(&self, interval: Duration, databases: [Vec<u8>; 2]) -> PathBuf {
        let (address, metrics) = (self.address, self.metrics);
        let mut text = format!(
            "[server]\nlisten = [\"{address}\"]\nworkers = 1\nstate-directory = \"state\"\ncontrol-socket = \
             \"rhumb.sock\"\n[metrics]\nlisten = \"{metrics}\"\n[log]\nlevel = \"error\"\n[geoip]\ncountry = \
             \"country.mmdb\"\n[zones.\"{zone}\"]\nfile = \"zone\"\n[probes.outside]\nfile = \"health.state\"\n\
             interval = \"{interval}ms\"\nfall = 1\nrise = 1\n[maps.world]\norder = [\"r0\", \"r1\", \"r2\"]\n\
             [maps.world.clients]\n\"country:DE\" = {{ regions = [\"r1\"] }}\n\"country:US\" = {{ regions = \
             [\"r2\"] }}\n",
            zone = super::ZONE,
            interval = interval.as_millis(),
        );
        for region in 0..REGIONS {
            let _ = writeln!(text, "[regions.r{region}]");
        }
        for service in 0..self.services {
            let name = format!("s{service}.{}", super::ZONE);
            let _ = write!(
                text,
                "[services.s{service}]\nnames = [\"{name}\"]\nmap = \"world\"\nprobe = \"outside\"\n\
                 [services.s{service}.regions]\n"
            );
            for region in 0..REGIONS {
                let _ = writeln!(text, "r{region} = [\"{}\"]", endpoint(service, region));
            }
        }
        let zone = format!(
            "$ORIGIN {}.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 300\n@ NS ns1\nns1 A 192.0.2.1\n",
            super::ZONE
        );
        let write = |file: &str, octets: &[u8]| fs::write(self.folder.join(file), octets).expect("disk");
        write("zone", zone.as_bytes());
        write("country.mmdb", &databases[0]);
        write("a.mmdb", &databases[0]);
        write("b.mmdb", &databases[1]);
        write("health.state", b"* up\n");
        write("rhumb.toml", text.as_bytes());
        self.folder.join("rhumb.toml")
    }

    /// Queries for the services, all as likely.
    pub(crate) fn queries(&self, count: usize) -> Vec<Vec<u8>> {
        let mut chance = Chance::new(7);
        let service = |chance: &mut Chance| chance.below(self.services as u64);
        (0..count).map(|_| self.query(service(&mut chance) as usize)).collect()
    }

    /// A query for a service.
    pub(crate) fn query(&self, service: usize) -> Vec<u8> {
        let name = format!("s{service}.{}", super::ZONE).parse().expect("a name");
        ask::question(0, &name, RecordType::A, None)
    }

    /// Gives the server no peace until told to stop. `process` is its number.
    pub(crate) fn disturb(&self, unrest: Unrest, process: u32, stop: &AtomicBool) {
        let pause = match unrest {
            Unrest::None => return,
            Unrest::Verdicts => Duration::from_secs(1) / CHANGES_PER_SECOND,
            // One that comes while another is under way waits for its end: there is always one under way.
            Unrest::Reloads | Unrest::Databases => Duration::from_millis(50),
        };
        let (mut chance, mut down, mut turn) = (Chance::new(8), Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(pause);
            turn += 1;
            if unrest == Unrest::Verdicts {
                let service = chance.below(self.services as u64) as usize;
                down.push((service, chance.below(REGIONS as u64) as usize));
                self.say_down(&down[down.len().saturating_sub(CHANGES_DOWN)..]);
                continue;
            }
            if unrest == Unrest::Databases {
                let database = self.folder.join(["a.mmdb", "b.mmdb"][turn % 2]);
                self.put_in_place("country.mmdb", |new| fs::hard_link(&database, new).expect("disk"));
            }
            let process = Pid::from_raw(process as i32).expect("the server has a number");
            kill_process(process, Signal::HUP).expect("the server is there");
        }
        self.say_down(&[]);
    }

    /// Says that these endpoints, each a service and a region, are down, and all others up.
    pub(crate) fn say_down(&self, endpoints: &[(usize, usize)]) {
        let mut text = "* up\n".to_owned();
        for (service, region) in endpoints {
            let _ = writeln!(text, "r{region}/s{service}/{} down", endpoint(*service, *region));
        }
        self.put_in_place("health.state", |new| fs::write(new, &text).expect("disk"));
    }

    fn put_in_place(&self, file: &str, make: impl FnOnce(&Path)) {
        let new = self.folder.join(format!("{file}.new"));
        make(&new);
        fs::rename(&new, self.folder.join(file)).expect("disk");
    }

    /// A number on the page for Prometheus.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.metrics).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: rhumb\r\nConnection: close\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        let line = page.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '))?;
        line[name.len()..].trim().parse().ok()
    }
}

/// The address of a service in a region.
pub(crate) fn endpoint(service: usize, region: usize) -> Ipv4Addr {
    let [_, a, b, c] = (service as u32).to_be_bytes();
    Ipv4Addr::new(10 + region as u8, a, b, c)
}
