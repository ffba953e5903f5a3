//! The demo's world: its regions and clients, and the configuration and zone that its server runs by.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::backend::Backend;
use crate::net::Prefix;

/// A region with the address of its one backend.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: &'static str,
    pub(super) address: Ipv4Addr,
    continent: &'static str,
    location: &'static str,
}

/// A network of clients, real ones, and the region nearest to it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) who: &'static str,
    pub(super) network: &'static str,
    pub(super) home: &'static str,
    /// All regions, the nearest first, for a world without a database.
    order: [&'static str; 3],
}

/// Dublin, Ashburn and Mumbai.
pub(super) const REGIONS: [Region; 3] = [
    Region {
        name: "eu-west",
        address: Ipv4Addr::new(127, 0, 1, 1),
        continent: "EU",
        location: "[53.35, -6.26]",
    },
    Region {
        name: "us-east",
        address: Ipv4Addr::new(127, 0, 1, 2),
        continent: "NA",
        location: "[39.04, -77.49]",
    },
    Region {
        name: "ap-south",
        address: Ipv4Addr::new(127, 0, 1, 3),
        continent: "AS",
        location: "[19.08, 72.88]",
    },
];

/// Networks of Eir, Comcast and Jio.
pub(super) const CLIENTS: [Client; 3] = [
    Client {
        who: "Ireland",
        network: "87.32.0.0/24",
        home: "eu-west",
        order: ["eu-west", "us-east", "ap-south"],
    },
    Client {
        who: "United States",
        network: "73.162.0.0/24",
        home: "us-east",
        order: ["us-east", "eu-west", "ap-south"],
    },
    Client {
        who: "India",
        network: "49.36.0.0/24",
        home: "ap-south",
        order: ["ap-south", "eu-west", "us-east"],
    },
];

/// The steered name.
pub(super) const NAME: &str = "www.demo.example";

/// TTLs of [`CONFIGURATION`], which are the defaults: nothing in doubt.
pub(super) const TTL_STEADY: u32 = 30;
/// Something in doubt, or on its way.
pub(super) const TTL_SUSPECT: u32 = 5;
/// Not the first preference.
pub(super) const TTL_MOVED: u32 = 10;

const ZONE: &str = "\
$ORIGIN demo.example.
$TTL 1h
@    IN SOA ns1 hostmaster 1 2h 15m 2w 1m
     IN NS  ns1
ns1  IN A   127.0.0.1
";

/// Probes are fast and the way back is short, so that nobody waits. Twenty failures are asked for, which at the
/// pace of rechecks is a second: the doubt before the withdrawal is to be seen.
const CONFIGURATION: &str = r#"
[probes.web.http]
path = "/"

[probes.web]
interval = "500ms"
fall = 20
rise = 3
window = 20
window-failures = 20

[zones."demo.example"]
file = "demo.example.zone"

[services.www]
names = ["www.demo.example"]
probe = "web"
map = "world"
hold = "1s"
ramp = "3s"
ttl = { steady = "30s", suspect = "5s", moved = "10s" }
"#;

/// A folder of the demo's own, gone with it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// An empty folder that was not there before.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rhumb-demo-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Writes the files of the world; the path of the configuration.
    pub(super) fn furnish(
        &self,
        port: u16,
        backends: &[Backend],
        database: Option<&Path>,
    ) -> io::Result<PathBuf> {
        let configuration = self.0.join("rhumb.toml");
        fs::write(self.0.join("demo.example.zone"), ZONE)?;
        fs::write(&configuration, written(port, backends, database))?;
        Ok(configuration)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays where temporary things are.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Client {
    /// Its network.
    pub(super) fn prefix(&self) -> Prefix {
        self.network.parse().expect("the networks of the demo are well-formed")
    }
}

impl Region {
    /// The name of the region that an address of the demo stands in.
    pub(super) fn name_at(address: IpAddr) -> Option<&'static str> {
        REGIONS.iter().find(|region| region.address == address).map(|region| region.name)
    }
}

/// The country database: of the folder the demo runs in, or of the repository it was built in.
pub(super) fn find_database() -> Option<PathBuf> {
    const SHIPPED: &str = "geoip/country.mmdb";
    let places = [std::env::current_dir().ok(), Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")))];
    places.into_iter().flatten().map(|folder| folder.join(SHIPPED)).find(|path| path.is_file())
}

/// The whole configuration. Without a database the three networks are told apart by rules.
fn written(port: u16, backends: &[Backend], database: Option<&Path>) -> String {
    let mut text = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nworkers = 1\n");
    for Region { name, continent, location, .. } in &REGIONS {
        text += &format!("\n[regions.{name}]\ncontinent = \"{continent}\"\nlocation = {location}\n");
    }
    match database {
        Some(path) => {
            let path = toml_text(&path.display().to_string());
            text += &format!("\n[geoip]\ncountry = {path}\n\n[maps.world]\norder = \"nearest\"\n");
        }
        None => text += &format!("\n[maps.world]\norder = {:?}\n\n{}", CLIENTS[0].order, rules()),
    }
    text += CONFIGURATION;
    text += "\n[services.www.regions]\n";
    for backend in backends {
        let (region, at) = (backend.region(), backend.address());
        text += &format!("{region} = [{{ address = \"{}\", probe-address = \"{at}\" }}]\n", at.ip());
    }
    text
}

fn rules() -> String {
    let rule = |client: &Client| format!("\"net:{}\" = {{ regions = {:?} }}\n", client.network, client.order);
    format!("[maps.world.clients]\n{}", CLIENTS.iter().map(rule).collect::<String>())
}

/// A basic string of TOML, which escapes as JSON does.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::compile::CounterNumbers;
    use crate::config::generation;
    use crate::health::verdict::Standing;
    use crate::ids::EndpointId;

    /// Where the world sends each client, by the order of its class.
    fn orders(database: Option<&Path>) -> Vec<Vec<String>> {
        let backends: Vec<Backend> = REGIONS
            .iter()
            .map(|region| Backend::start(region.name, ([127, 0, 0, 1], 0).into()).unwrap())
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("rhumb.toml");
        fs::write(folder.path().join("demo.example.zone"), ZONE).unwrap();
        let text = written(5300, &backends, database);
        // Each region has an address of its own in the world.
        let text = REGIONS.iter().fold(text, |text, region| {
            text.replacen("address = \"127.0.0.1\"", &format!("address = \"{}\"", region.address), 1)
        });
        fs::write(&configuration, text).unwrap();
        let (generation, warnings) = generation::load(&configuration, crate::clock::wall()).unwrap();
        assert_eq!(warnings, []);
        let plan = &generation.plan;
        let up = |_: EndpointId| Standing::UP;
        let _ = plan.table(1, &up, &mut CounterNumbers::default());
        let order = |client: &Client| {
            let hit = plan.tree(plan.services[0].map).find(client.prefix().first());
            let class = &plan.maps[0].classes[hit.class.index()];
            class.order.iter().map(|region| plan.region_name(*region).to_owned()).collect()
        };
        CLIENTS.iter().map(order).collect()
    }

    #[test]
    fn each_client_has_its_home_with_the_database_and_without() {
        for database in [find_database(), None] {
            let homes: Vec<String> =
                orders(database.as_deref()).into_iter().map(|order| order[0].clone()).collect();
            assert_eq!(homes, CLIENTS.map(|client| client.home));
        }
        assert!(find_database().is_some(), "the database is shipped");
    }
}
