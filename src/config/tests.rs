//! The configuration as a whole: the example, faults as data, and what is believed of small documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

use super::*;
use crate::policy::service::TtlPolicy;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn example() -> String {
    fs::read_to_string(repository().join("rhumb.toml")).unwrap()
}

/// The example with every line that is switched off switched on.
fn example_with_all_lines() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    example().lines().map(|line| on(line) + "\n").collect()
}

fn shown(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect::<Vec<_>>().join("\n")
}

fn believed(source: &str) -> Config {
    match parse(source, "rhumb.toml") {
        Ok((config, _)) => config,
        Err(faults) => panic!("{}", shown(&faults)),
    }
}

#[test]
fn the_example_has_no_faults() {
    let (_, warnings) = load(&repository().join("rhumb.toml")).map_err(|faults| shown(&faults)).unwrap();
    let expected = "the path of the control socket";
    let others: Vec<_> = warnings.into_iter().filter(|fault| !fault.message.starts_with(expected)).collect();
    assert!(others.is_empty(), "{}", shown(&others));
    let (_, warnings) =
        parse(&example_with_all_lines(), "rhumb.toml").map_err(|faults| shown(&faults)).unwrap();
    assert!(warnings.is_empty(), "{}", shown(&warnings));
}

/// Nothing unknown is shown, since the example has no faults; so nothing known may be left out.
#[test]
fn the_example_shows_every_key() {
    let source = example_with_all_lines();
    let document = DeTable::parse(&source).unwrap();
    let mut keys = BTreeMap::new();
    keys_by_path(&mut keys, "", document.get_ref());
    for section in section::ALL {
        let known: BTreeSet<_> = section.keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(keys.get(section.path), Some(&known), "[{}]", section.path);
    }
}

/// The keys of all tables that stand at the same path, written as the paths of sections are.
fn keys_by_path(found: &mut BTreeMap<String, BTreeSet<String>>, path: &str, table: &DeTable) {
    let names_are_free = ["regions", "vantages", "probes", "maps", "clients", "zones", "services", "save"];
    let free = names_are_free.contains(&path.rsplit('.').next().unwrap());
    for (key, value) in table {
        let step = if free { "*" } else { key.get_ref() };
        let inner = if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
        if !free {
            found.entry(path.to_owned()).or_default().insert(key.get_ref().to_string());
        }
        match value.get_ref() {
            DeValue::Table(table) => keys_by_path(found, &inner, table),
            DeValue::Array(array) => {
                for table in array.iter().filter_map(|element| element.get_ref().as_table()) {
                    keys_by_path(found, &format!("{inner}.[]"), table);
                }
            }
            _ => {}
        }
    }
}

/// What is not told as read is out of reach once the process is shut in. Whatever a configuration holds as a path begins
/// with its folder.
#[test]
fn every_file_that_the_example_names_is_known_as_read_or_written() {
    let mut pieces = example_with_all_lines().split("ca.pem").map(str::to_owned).collect::<Vec<_>>();
    let last = pieces.pop().unwrap();
    let numbered = pieces.iter().enumerate().map(|(number, piece)| format!("{piece}ca{number}.pem"));
    let source = numbered.collect::<String>() + &last;
    let (config, _) = parse(&source, "/the folder/rhumb.toml").map_err(|faults| shown(&faults)).unwrap();
    let read = files::of_server("/the folder/rhumb.toml".as_ref(), &config);
    let written = [&config.server.state_directory, &config.server.control_socket];
    let folders = files::folders_of_server(&config);
    let known: BTreeSet<_> =
        read.iter().chain(&folders).chain(written).map(|path| path.to_str().unwrap()).collect();
    let printed = format!("{config:?}");
    let named = printed.split('"').filter(|piece| piece.starts_with("/the folder/"));
    let named: BTreeSet<_> = named.collect();
    assert!(named.len() > 12, "{named:?}");
    assert!(named.is_subset(&known), "forgotten: {:?}", named.difference(&known));
}

/// Under each header of the example in turn, whatever the table is.
#[test]
fn a_stray_line_is_told_in_every_table() {
    let source = example_with_all_lines();
    let lines: Vec<_> = source.lines().collect();
    let headers: Vec<_> = (0..lines.len()).filter(|at| lines[*at].starts_with('[')).collect();
    assert!(headers.len() > 25);
    for header in headers {
        let mut lines = lines.clone();
        lines.insert(header + 1, "stray = true");
        let faults = parse(&lines.join("\n"), "rhumb.toml").unwrap_err();
        let told: Vec<_> =
            faults.iter().filter_map(|fault| fault.spot.as_ref().map(|spot| spot.line)).collect();
        assert!(told.contains(&(header + 2)), "{}: {}", lines[header], shown(&faults));
    }
}

/// Each `tests/cases/config/*.toml` has beside it the faults that it must give, all of them.
/// `UPDATE_EXPECT=1` writes them anew.
#[test]
fn every_fault_is_told_where_it_stands() {
    let folder = repository().join("tests/cases/config");
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        cases += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = match parse(&fs::read_to_string(&path).unwrap(), name) {
            Ok((_, warnings)) => format!("accepted\n\n{}", shown(&warnings)),
            Err(faults) => shown(&faults),
        };
        let expected_path = path.with_extension("err");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected_path, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name} gives\n{found}\ninstead of\n{expected}"));
        }
    }
    assert!(cases >= 25, "{cases} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A whole configuration of two regions, with `services` as its last table.
fn with_services(services: &str) -> String {
    format!(
        r#"
        [server]
        listen = ["127.0.0.1:0"]
        [regions.eu]
        [regions.us]
        [probes.web]
        http = {{}}
        [probes.other]
        http = {{ port = 8080 }}
        [probes.states]
        file = "states"
        [maps.world]
        order = ["us"]
        [zones."example.com"]
        file = "example.com.zone"
        [zones."sub.example.com"]
        file = "sub.example.com.zone"
        {services}
        "#
    )
}

#[test]
fn regions_keep_the_order_written() {
    let source = with_services("").replace("[regions.eu]", "[regions.zz]\n[regions.eu]");
    let names: Vec<_> = believed(&source).regions.into_iter().map(|region| region.name).collect();
    assert_eq!(names, ["zz", "eu", "us"]);
}

#[test]
fn an_address_is_probed_once_per_distinct_probe() {
    let config = believed(&with_services(
        r#"
        [services]
        a = { names = ["a.example.com"], probe = "web", map = "world", regions = { eu = [
            "192.0.2.1", { address = "192.0.2.2", probe-address = "192.0.2.1" },
            { address = "192.0.2.3", probe = "other" }, { address = "192.0.2.4", probe-address = "192.0.2.1:81" },
        ] } }
        b = { names = ["b.example.com"], probe = "web", map = "world", regions = { us = ["192.0.2.1"] } }
        c = { names = ["c.example.com"], map = "world", regions = { us = ["192.0.2.1"] } }
        "#,
    ));
    let targets: Vec<_> = config.targets.iter().map(|t| (t.address.to_string(), t.key.as_str())).collect();
    assert_eq!(
        targets,
        [
            ("192.0.2.1:80".to_owned(), "eu/a/192.0.2.1"),
            ("192.0.2.3:8080".to_owned(), "eu/a/192.0.2.3"),
            ("192.0.2.1:81".to_owned(), "eu/a/192.0.2.4"),
        ]
    );
    let ids: Vec<_> = config
        .services
        .iter()
        .flat_map(|service| &service.regions[0].endpoints)
        .map(|endpoint| (endpoint.id.0, endpoint.target.map(|target| target.0)))
        .collect();
    assert_eq!(ids, [(0, Some(0)), (1, Some(0)), (2, Some(1)), (3, Some(2)), (4, Some(0)), (5, None)]);
    assert_eq!(config.endpoint_count, 6);
}

#[test]
fn a_state_file_tells_services_apart() {
    let service = |name: &str| {
        format!(
            "[services.{name}]\nnames = [\"{name}.example.com\"]\nprobe = \"states\"\nmap = \"world\"\n\
             regions = {{ eu = [\"192.0.2.1\"] }}\n"
        )
    };
    let config = believed(&with_services(&(service("a") + &service("b"))));
    let keys: Vec<_> = config.targets.iter().map(|target| target.key.as_str()).collect();
    assert_eq!(keys, ["eu/a/192.0.2.1", "eu/b/192.0.2.1"]);
}

#[test]
fn the_longest_zone_holds_a_name() {
    let config = believed(&with_services(""));
    let zone = |name: &str| config.zone_of(&name.parse().unwrap()).map(|zone| zone.0);
    assert_eq!(zone("www.sub.example.com"), Some(1));
    assert_eq!(zone("sub.example.com"), Some(1));
    assert_eq!(zone("www.example.com"), Some(0));
    assert_eq!(zone("example.org"), None);
}

#[test]
fn paths_are_relative_to_the_configuration() {
    let (config, _) = parse(&with_services(""), "/etc/rhumb/rhumb.toml").unwrap();
    assert_eq!(config.zones[0].file, Path::new("/etc/rhumb/example.com.zone"));
    assert_eq!(config.server.state_directory, Path::new("/etc/rhumb/state"));
}

#[test]
fn ttls_that_are_not_written_fit_those_that_are() {
    let ttl = |written: &str| {
        let service = format!(
            "[services.a]\nnames = [\"a.example.com\"]\nmap = \"world\"\nttl = {{ {written} }}\n\
             regions = {{ eu = [\"192.0.2.1\"] }}\n"
        );
        let TtlPolicy { steady, suspect, moved, floor } = believed(&with_services(&service)).services[0].ttl;
        (steady, suspect, moved, floor)
    };
    assert_eq!(ttl(""), (30, 5, 10, 1));
    assert_eq!(ttl("steady = \"3s\""), (3, 3, 3, 1));
    assert_eq!(ttl("steady = \"0s\""), (0, 0, 0, 0));
    assert_eq!(ttl("suspect = \"0s\""), (30, 0, 10, 0));
    assert_eq!(ttl("floor = \"20s\""), (30, 20, 20, 20));
    assert_eq!(ttl("floor = \"1m\""), (60, 60, 60, 60));
}

#[test]
fn steered_names_are_held_against_their_zones() {
    let services = "[services.a]\nnames = [\"a.example.com\"]\nmap = \"world\"\n\
                    regions = { eu = [\"192.0.2.1\"] }\n\
                    [services.c]\nnames = [\"c.example.com\"]\nmap = \"world\"\nanswer = \"cname\"\n\
                    regions = { eu = { endpoints = [\"192.0.2.1\"], cname = \"host.example.net\" } }\n";
    let config = believed(&with_services(services));
    let faults = |held: HeldInZone| {
        let faults = config.check_against_zones(|_, _| held.clone());
        faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("\n")
    };
    let rtypes = |rtypes: &[RecordType]| HeldInZone { rtypes: rtypes.to_vec(), taken_by: None };
    assert_eq!(faults(HeldInZone::default()), "");
    assert_eq!(faults(rtypes(&[RecordType::CNAME])), "a.example.com. has a CNAME in its zone file");
    assert_eq!(
        faults(rtypes(&[RecordType::A])),
        "c.example.com. has a record of type A in its zone file, and nothing stands beside a CNAME"
    );
    let taken = HeldInZone { rtypes: Vec::new(), taken_by: Some("example.com".parse().unwrap()) };
    assert_eq!(faults(taken).lines().count(), 2);
}

#[test]
fn bindings_are_read_once_and_faults_point_at_them() {
    let services = "[services.a]\nnames = [\"a.sub.example.com\"]\nmap = \"world\"\nhttps = [\"good\", \"bad\"]\n\
                    regions = { eu = [\"192.0.2.1\"] }\n";
    let mut config = believed(&with_services(services));
    let read = |_, text: &str, origin: &Name| match text {
        "good" => Ok(origin.as_wire().into()),
        _ => Err(("no record data".to_owned(), "write some")),
    };
    let faults = config.bind(read).unwrap_err();
    assert_eq!(config.services[0].bindings[0].rdata.as_ref(), b"\x03sub\x07example\x03com\x00");
    let marked: Vec<_> = faults.iter().map(|fault| fault.spot.as_ref().unwrap().length).collect();
    assert_eq!(marked, ["\"bad\"".len()]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_without_a_place() {
    let faults = load(Path::new("/nonexistent/rhumb.toml")).unwrap_err();
    assert!(faults[0].message.starts_with("the file cannot be opened"), "{}", faults[0]);
    assert_eq!(faults[0].spot, None);
}

#[test]
fn more_endpoints_than_a_region_may_have_are_refused() {
    let many = |count: usize| {
        let list: Vec<_> = (0..count).map(|n| format!("\"192.0.2.{n}\"")).collect();
        with_services(&format!(
            "[services.a]\nnames = [\"a.example.com\"]\nmap = \"world\"\nregions = {{ eu = [{}] }}\n",
            list.join(", ")
        ))
    };
    assert!(parse(&many(limit::REGION_ENDPOINTS_MAX), "f").is_ok());
    assert!(parse(&many(limit::REGION_ENDPOINTS_MAX + 1), "f").is_err());
}

#[test]
fn the_list_of_faults_has_a_limit() {
    let lines: String = (0..limit::FAULTS_MAX * 2).map(|n| format!("key{n} = 1\n")).collect();
    let faults = parse(&lines, "f").unwrap_err();
    assert_eq!(faults.len(), limit::FAULTS_MAX + 1);
    assert_eq!(faults[limit::FAULTS_MAX].message, "and 1001 more errors");
}

#[test]
fn odd_documents_are_read_or_refused() {
    let plain = with_services("");
    assert!(parse(&format!("\u{feff}{plain}"), "f").is_ok(), "a byte order mark is no fault");
    assert!(parse(&plain.replace('\n', "\r\n"), "f").is_ok());
    for refused in [
        format!("x = {}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("x{} = 1", ".x".repeat(10_000)),
        "server = 1979-05-27\nlog = inf\nmetrics = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
            .to_owned(),
        plain.replace("127.0.0.1:0", "\\u0000"),
        plain.replace("\"us\"", "\"\\u001b[2J\""),
        plain.replace("\"us\"", &format!("{:?}", "x".repeat(1_000_000))),
        "\0".to_owned(),
    ] {
        let faults = parse(&refused, "f").unwrap_err();
        let shown = shown(&faults);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(shown.len() < 10_000, "what is quoted is bounded");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Lines lost, doubled and swapped, and single characters replaced: what people and editors do.
    #[test]
    fn no_mutated_text_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, "\\PC|[\"\\[\\]{}=,.#\\n0-9-]"), 1..8)
    ) {
        let mut lines: Vec<String> = example_with_all_lines().lines().map(str::to_owned).collect();
        for (at, edit, character) in edits {
            let line = at.index(lines.len());
            let place = at.index(lines[line].chars().count() + 1);
            match edit {
                0 => { lines.remove(line); }
                1 => { let copy = lines[line].clone(); lines.push(copy); }
                2 => { let other = lines.len() - 1 - line; lines.swap(line, other); }
                3 => lines[line] = lines[line].chars().take(place).collect::<String>() + &character,
                _ => {
                    let mut characters: Vec<char> = lines[line].chars().collect();
                    characters.splice(place.min(characters.len())..(place + 1).min(characters.len()), character.chars());
                    lines[line] = characters.into_iter().collect();
                }
            }
        }
        let result = parse(&lines.join("\n"), "rhumb.toml");
        for fault in result.as_ref().map_or_else(|faults| faults, |(_, warnings)| warnings) {
            prop_assert!(!fault.to_string().is_empty() && !fault.message.is_empty());
        }
    }

    #[test]
    fn no_other_text_panics(text in "\\PC{0,60}") {
        let _ = parse(&text, "rhumb.toml");
    }
}
