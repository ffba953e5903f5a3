//! A world to ask: a configuration with its zone files in a folder of its own, what is believed, and its table.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rhumb::answer::challenges::Challenges;
use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Action, Envelope, Transport, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::config::generation::{self, Generation};
use rhumb::config::key_store;
use rhumb::dnssec::Algorithm;
use rhumb::dnssec::key::{Key, SECURE_ENTRY, ZONE_KEY};
use rhumb::dnssec::signatures::Signatures;
use rhumb::dnssec::timing::Timing;
use rhumb::health::verdict::{Share, Standing, State};
use rhumb::ids::{EndpointId, ServiceId};
use rhumb::time::WallTime;
use rhumb::wire::code::RecordType;
use rhumb::wire::cookie::Secret;
use rhumb::zone::rdata;

use crate::ask::Asked;

/// The time of day that worlds are made at.
pub(crate) const NOW: WallTime = WallTime(1_767_225_600_000);

/// In the first zone, stands for the DS record of the second, which has a new key each time.
const DS_OF_SECOND: &str = "2 13 2 0000000000000000000000000000000000000000000000000000000000000002";

/// What stands before every configuration, unless it has regions of its own.
const REGIONS: &str = r#"
regions.eu = { continent = "EU", location = [53.35, -6.26] }
regions.us = { continent = "NA", location = [39.04, -77.49] }
regions.ap = { continent = "AS", location = [1.29, 103.85] }
"#;

pub(crate) struct World {
    pub(crate) generation: Generation,
    pub(crate) table: AnswerTable,
    numbers: CounterNumbers,
    pub(crate) signatures: Signatures,
    standings: HashMap<EndpointId, Standing>,
}

impl World {
    /// Builds a world of zones (origin and master file) and the rest of a configuration, everything up.
    pub(crate) fn new(zones: &[(&str, &str)], configuration: &str) -> Result<Self, String> {
        Self::signed(zones, configuration, "")
    }

    /// The same, the zones signed with a new key each where `dnssec` has the rules of signing.
    pub(crate) fn signed(zones: &[(&str, &str)], configuration: &str, dnssec: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), zones, configuration, dnssec);
        let (mut generation, _) = generation::load(&file, NOW)
            .map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())?;
        generation.lend_secret(Secret::new(*b"a test's secret."));
        let mut numbers = CounterNumbers::default();
        let mut table = generation.plan.table(1, &|_| Standing::UP, &mut numbers);
        let mut signatures = Signatures::default();
        let all: Vec<_> = (0..generation.plan.services.len()).map(ServiceId::from_index).collect();
        generation.plan.sign(&mut table, all.iter().copied(), &mut signatures, NOW);
        for service in all.into_iter().filter(|service| generation.plan.signs(*service)) {
            generation.plan.sign_ahead(service, &|_| Standing::UP, &mut signatures, NOW);
        }
        Ok(Self { generation, table, numbers, signatures, standings: HashMap::new() })
    }

    /// Takes lines `region/service/address WORDS` for what is believed; what no line names is up.
    pub(crate) fn believe(&mut self, lines: &str) -> Result<(), String> {
        let mut standings = HashMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, words) = line.split_once(' ').ok_or_else(|| format!("no verdict in {line:?}"))?;
            let at = self.generation.board.endpoints.iter().position(|endpoint| endpoint.key == key);
            let at = at.ok_or_else(|| format!("no endpoint {key}"))?;
            standings.insert(EndpointId::from_index(at), standing(words)?);
        }
        self.take(standings);
        Ok(())
    }

    /// Takes standings, by the way a server takes them: only the services that they touch are compiled anew.
    pub(crate) fn take(&mut self, standings: HashMap<EndpointId, Standing>) {
        let endpoints = self.generation.board.endpoints.iter().enumerate();
        let touched: Vec<ServiceId> = endpoints
            .filter(|(at, _)| {
                let id = EndpointId::from_index(*at);
                standings.get(&id) != self.standings.get(&id)
            })
            .map(|(_, endpoint)| endpoint.service)
            .collect();
        self.standings = standings;
        let believed = |id: EndpointId| self.standings.get(&id).copied().unwrap_or(Standing::UP);
        let plan = &self.generation.plan;
        let mut next = plan.next_table(&self.table, &touched, &believed, &mut self.numbers);
        plan.sign(&mut next, touched, &mut self.signatures, NOW);
        self.table = next;
    }

    /// Sets these challenges, names and values, in the place of all there were.
    pub(crate) fn challenge(&mut self, values: &[(&str, &str)]) {
        let names: Vec<rhumb::name::Name> = values.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let values = names.iter().zip(values).map(|(name, (_, value))| (name.as_wire(), *value));
        let (set, plan) = (Challenges::new(values), &mut self.generation.plan);
        let signed = plan.due_zones(&set, NOW).into_iter();
        let signed = signed.map(|due| (due.id, Arc::new(due.sign(NOW).unwrap()))).collect();
        let mut table = self.table.clone().next();
        plan.replace_signed(signed, &mut table);
        table.set_challenges(plan.answerable(&set));
        let all = (0..plan.services.len()).map(ServiceId::from_index);
        plan.sign(&mut table, all, &mut self.signatures, NOW);
        self.table = table;
    }

    /// The table for the same standings, made from nothing.
    pub(crate) fn table_from_scratch(&mut self) -> AnswerTable {
        let believed = |id: EndpointId| self.standings.get(&id).copied().unwrap_or(Standing::UP);
        self.generation.plan.table(1, &believed, &mut self.numbers)
    }

    /// The reply, if there is one.
    pub(crate) fn ask(&self, asked: &Asked) -> Option<Vec<u8>> {
        reply(&self.table, &asked.packet, asked.source, asked.transport)
    }
}

/// Writes zones, new keys and a configuration into `folder`; gives the configuration's file.
pub(crate) fn write(folder: &Path, zones: &[(&str, &str)], configuration: &str, dnssec: &str) -> PathBuf {
    let mut source = String::new();
    let mut texts: Vec<String> = zones.iter().map(|(_, text)| (*text).to_owned()).collect();
    if !configuration.contains("[regions") {
        source.push_str(REGIONS);
    }
    source.push_str("server.listen = [\"127.0.0.1:5300\"]\n");
    for (index, (origin, _)) in zones.iter().enumerate() {
        let mut signed = String::new();
        if !dnssec.is_empty() {
            let (flags, timing) = (ZONE_KEY | SECURE_ENTRY, Timing::from_now(NOW));
            let algorithm = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519][index % 2];
            let key = Key::generate(origin.parse().unwrap(), flags, algorithm, timing);
            key_store::write(folder, &key, 3600).unwrap();
            if index == 1 {
                let mut ds = String::new();
                rdata::show(RecordType::DS, &key.ds(), &mut ds).unwrap();
                texts[0] = texts[0].replace(DS_OF_SECOND, &ds);
            }
            signed = format!(", dnssec = {{ keys = \".\", {dnssec} }}");
        }
        writeln!(source, "zones.{origin:?} = {{ file = \"{index}.zone\"{signed} }}").unwrap();
    }
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("{index}.zone")), text).unwrap();
    }
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    source.push_str(&configuration.replace("FIXTURES", fixtures));
    let file = folder.join("rhumb.toml");
    fs::write(&file, source).unwrap();
    file
}

/// What `table` replies.
pub(crate) fn reply(
    table: &AnswerTable,
    packet: &[u8],
    source: IpAddr,
    transport: Transport,
) -> Option<Vec<u8>> {
    // What the last reply left in a buffer must not show.
    let mut buffer = vec![0xa5; transport.reply_octets_max()];
    let counters = Counters::new(table.answer_counters());
    let envelope = Envelope { source, transport, at: WallTime::default(), is_last: false };
    match respond(table, packet, envelope, &mut buffer, &counters) {
        Action::Ignore => None,
        Action::Send(length) => {
            buffer.truncate(length);
            Some(buffer)
        }
    }
}

fn standing(words: &str) -> Result<Standing, String> {
    let mut words = words.split_whitespace();
    let word = words.next().unwrap_or_default();
    let share = words.next().map(|text| text.trim_end_matches('%').parse::<f64>().map(|it| it / 100.0));
    let share = share.transpose().map_err(|error| error.to_string())?.map(Share::of_ratio);
    let up = Standing::UP;
    Ok(match word {
        "up" => up,
        "unknown" => Standing { state: State::Unknown, ..up },
        "suspect" => Standing { state: State::Suspect, ..up },
        "down" => Standing { state: State::Down, ..up },
        "forced-down" => Standing { state: State::Down, forced_down: true, ..up },
        "drained" => Standing { ramp: Share::NONE, ..up },
        "draining" => Standing { ramp: share.ok_or("draining to what share?")?, ..up },
        "recovering" => {
            Standing { state: State::Recovering, ramp: share.ok_or("recovering to what share?")?, ..up }
        }
        "usable" => Standing { usable: share.ok_or("usable to what share?")?, ..up },
        _ => return Err(format!("{word:?} is no verdict")),
    })
}
