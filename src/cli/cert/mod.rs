//! `cert`: the certificates by which agents and servers know each other. For a small fleet, kept in one folder; who
//! has an authority of their own needs none of this, only certificates that say the same things.

mod fleet;
mod make;

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::json;

use self::fleet::{Fleet, Held};
use super::said::{Failure, Outcome, Said};
use crate::clock;
use crate::config::limit::WORD_OCTETS_MAX;
use crate::exchange::identity::Identity;
use crate::time::WallTime;

/// What `cert` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a new authority in a folder, and certificates for servers and agents.
    Init(Wanted),
    /// Make certificates for more servers and agents.
    Issue(Wanted),
    /// Make new certificates, with new keys, in the place of those that end within a third of their life, or of the
    /// ones that are named.
    Renew(Named),
    /// Put certificates on the list of those that are not believed any more.
    Revoke(Named),
    /// Tell what is in a folder, and when it ends.
    Show {
        /// The folder.
        folder: PathBuf,
    },
}

/// Which certificates are wanted.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// The folder of the fleet.
    folder: PathBuf,
    /// A server, by the names and addresses that agents know it by.
    #[arg(long = "server", value_name = "NAME[=HOST,ADDRESS,...]")]
    servers: Vec<Server>,
    /// An agent, by its vantage and its number there.
    #[arg(long = "agent", value_name = "VANTAGE[/NUMBER]")]
    agents: Vec<Identity>,
}

/// Which certificates are meant.
#[derive(Debug, clap::Args)]
struct Named {
    /// The folder of the fleet.
    folder: PathBuf,
    /// Servers such as ns1, and agents such as dublin/1.
    names: Vec<Holder>,
}

/// A server's name in the fleet, and what agents call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    name: String,
    hosts: Vec<String>,
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A server, by its name.
    Server(String),
    /// An agent.
    Agent(Identity),
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let now = clock::wall();
    match &arguments.verb {
        Verb::Init(wanted) => {
            let fleet = Fleet::found(&wanted.folder, now).map_err(Failure::failed)?;
            issue(&fleet, wanted, now)
        }
        Verb::Issue(wanted) => {
            let fleet = Fleet::open(&wanted.folder).map_err(Failure::failed)?;
            if wanted.servers.is_empty() && wanted.agents.is_empty() {
                return Err(Failure::usage("nobody is named; write --server NAME or --agent VANTAGE/NUMBER"));
            }
            issue(&fleet, wanted, now)
        }
        Verb::Renew(named) => renew(named, now),
        Verb::Revoke(named) => revoke(named, now),
        Verb::Show { folder } => {
            let fleet = Fleet::open(folder).map_err(Failure::failed)?;
            Ok(shown(&fleet.all().map_err(Failure::failed)?, now))
        }
    }
}

fn issue(fleet: &Fleet, wanted: &Wanted, now: WallTime) -> Outcome {
    let servers =
        wanted.servers.iter().map(|server| (Holder::Server(server.name.clone()), server.hosts.clone()));
    let agents = wanted.agents.iter().map(|agent| (Holder::Agent(agent.clone()), Vec::new()));
    let wanted: Vec<_> = servers.chain(agents).collect();
    if let Some((holder, _)) = wanted.iter().find(|(holder, _)| fleet.has(holder)) {
        return Err(Failure::failed(format!(
            "{holder} has a certificate already; renew it by `rhumb cert renew`"
        )));
    }
    for (holder, hosts) in &wanted {
        fleet.issue(holder, hosts, now).map_err(Failure::failed)?;
    }
    Ok(shown(&fleet.all().map_err(Failure::failed)?, now))
}

fn renew(named: &Named, now: WallTime) -> Outcome {
    let fleet = Fleet::open(&named.folder).map_err(Failure::failed)?;
    let all = fleet.all().map_err(Failure::failed)?;
    let is_meant = |held: &&Held| match &held.holder {
        None => false,
        Some(_) if named.names.is_empty() => held.is_ageing(now),
        Some(holder) => named.names.contains(holder),
    };
    check_names(&all, &named.names)?;
    let mut renewed = Vec::new();
    for held in all.iter().filter(is_meant) {
        let holder = held.holder.as_ref().expect("the authority is not meant");
        fleet.issue(holder, &held.hosts, now).map_err(Failure::failed)?;
        renewed.push(holder.to_string());
    }
    let text = match renewed.len() {
        0 => "nothing ends soon".to_owned(),
        _ => format!("renewed: {}", renewed.join(", ")),
    };
    Ok(Said {
        text,
        json: json!({ "done": true, "renewed": renewed }),
        remarks: authority_remarks(&all, now),
    })
}

fn revoke(named: &Named, now: WallTime) -> Outcome {
    if named.names.is_empty() {
        return Err(Failure::usage(
            "nobody is named; write a server such as ns1 or an agent such as dublin/1",
        ));
    }
    let fleet = Fleet::open(&named.folder).map_err(Failure::failed)?;
    let all = fleet.all().map_err(Failure::failed)?;
    check_names(&all, &named.names)?;
    let count = fleet.revoke(&named.names, now).map_err(Failure::failed)?;
    let list = fleet.revocations().display().to_string();
    Ok(Said {
        text: format!("{count} revoked; copy {list} to every server and agent that names it"),
        json: json!({ "done": true, "revoked": count, "list": list }),
        remarks: Vec::new(),
    })
}

fn check_names(all: &[Held], names: &[Holder]) -> Result<(), Failure> {
    let unknown = names.iter().find(|name| all.iter().all(|held| held.holder.as_ref() != Some(*name)));
    unknown.map_or(Ok(()), |name| Err(Failure::usage(format!("{name} has no certificate in this folder"))))
}

fn authority_remarks(all: &[Held], now: WallTime) -> Vec<String> {
    let ageing = all.iter().any(|held| held.holder.is_none() && held.is_ageing(now));
    let remark = "warning: the authority itself ends soon; docs/agents.md tells how to change it";
    if ageing { vec![remark.to_owned()] } else { Vec::new() }
}

fn shown(all: &[Held], now: WallTime) -> Said {
    let width = all.iter().map(|held| held.title().len()).max().unwrap_or(0);
    let lines: Vec<String> = all
        .iter()
        .map(|held| {
            let days = held.days_left(now);
            let state = match (held.revoked, days) {
                (true, _) => "revoked".to_owned(),
                (false, 0) => "has ended".to_owned(),
                (false, 1) => "ends within a day".to_owned(),
                (false, days) => format!("ends in {days} days"),
            };
            format!("{:<width$}  {state:<20}  {}", held.title(), held.path.display())
        })
        .collect();
    let told: Vec<_> = all
        .iter()
        .map(|held| {
            json!({
                "name": held.title(),
                "file": held.path.display().to_string(),
                "days-left": held.days_left(now),
                "revoked": held.revoked,
            })
        })
        .collect();
    Said {
        text: lines.join("\n"),
        json: json!({ "done": true, "certificates": told }),
        remarks: authority_remarks(all, now),
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, hosts) = text.split_once('=').unwrap_or((text, text));
        let Ok(Holder::Server(name)) = name.parse() else {
            return Err(format!("{name:?} cannot be the name of a server; write for example ns1=192.0.2.53"));
        };
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        let is_host = |host: &String| {
            host.parse::<IpAddr>().is_ok() || rustls::pki_types::DnsName::try_from(host.as_str()).is_ok()
        };
        match hosts.iter().find(|host| !is_host(host)) {
            Some(odd) => Err(format!("{odd:?} is neither a host's name nor an address")),
            None => Ok(Self { name, hosts }),
        }
    }
}

impl FromStr for Holder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return text
                .parse()
                .map(Self::Agent)
                .map_err(|fault: crate::exchange::identity::IdentityFault| fault.to_string());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits =
            (1..=WORD_OCTETS_MAX).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.');
        if fits {
            Ok(Self::Server(text.to_owned()))
        } else {
            Err("write a server such as ns1, or an agent such as dublin/1".to_owned())
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(name) => f.write_str(name),
            Self::Agent(identity) => write!(f, "{identity}"),
        }
    }
}

#[cfg(test)]
mod tests;
