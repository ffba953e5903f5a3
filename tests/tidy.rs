//! Reads the repository: layers, clocks, chance and size, so that they hold by test and not by memory.

#![allow(clippy::unwrap_used, reason = "a repository that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src` and what each may use of the others, by layer: a module may use those of earlier layers.
const LAYERS: &[&[&str]] = &[
    &["beside", "ids", "name", "net", "pattern", "place", "time", "fault", "exposition"],
    &["wire"],
    &["zone", "geo", "health"],
    &["policy", "dnssec"],
    &["answer"],
    &["config", "publish"],
    &["clock", "exchange"],
    &["credentials", "process"],
    &["serve", "agent", "control"],
    &["simulate"],
    &["cli"],
    &["main"],
];
/// Modules of one layer that know each other all the same: the ground is one thing.
const GROUND: usize = 0;

/// Crates that do I/O, read clocks or speak, and the modules that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("tokio", &["serve", "agent", "control", "credentials", "cli"]),
    ("reqwest", &["agent", "control", "cli"]),
    ("rustls", &["serve", "agent", "control", "credentials", "cli"]),
    ("tokio_rustls", &["serve", "agent", "control"]),
    ("x509_parser", &["credentials"]),
    ("rcgen", &["cli"]),
    ("hyper", &["serve", "control"]),
    ("hyper_util", &["serve", "control"]),
    ("http_body_util", &["serve"]),
    ("quinn", &["serve"]),
    ("axum", &["control"]),
    ("tracing", &["serve", "agent", "control", "credentials", "cli"]),
    ("metrics", &["control", "cli"]),
    ("maxminddb", &["geo"]),
    ("ring", &["dnssec"]),
    ("hickory_proto", &["agent"]),
    ("toml", &["config"]),
    ("libc", &["serve", "process"]),
    ("rustix", &["serve", "clock", "process", "control"]),
    ("nix", &["process"]),
    ("landlock", &["process"]),
    ("seccompiler", &["process"]),
    ("listenfd", &["process"]),
    ("socket2", &["serve", "agent", "control"]),
    ("clap", &["cli"]),
];

/// What only certain files may say, and what to say instead.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("Instant::now", &["src/clock.rs"], "take `now: Moment` as an argument"),
    ("SystemTime::now", &["src/clock.rs"], "take a `WallTime` as an argument"),
    ("RandomState", &["src/agent/chance.rs", "src/control/secret.rs"], "take chance as an argument"),
    (
        "unsafe {",
        &["src/process/heap.rs", "src/process/scheduler.rs", "src/serve/mmsg.rs"],
        "say it in safe Rust",
    ),
    ("std::fs", RIMS, "take octets or a closure as an argument"),
    ("std::net::UdpSocket", RIMS, "leave sockets to the rims"),
    ("println!", &["src/cli/", "src/main.rs"], "return what is to be said; the shell speaks"),
];
const RIMS: &[&str] = &[
    "src/config/",
    "src/zone/load.rs",
    "src/serve/",
    "src/agent/",
    "src/control/",
    "src/credentials/",
    "src/process/",
    "src/cli/",
];

/// A file with more lines of code, its tests not counted, is two files.
const FILE_LINES_MAX: usize = 450;

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(Path::new("src"), &mut found);
    assert!(found.len() > 20, "the sources are found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The module of `src` that a file belongs to.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The file without its tests, which stand at its foot, and without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let without_tests = text.split("#[cfg(test)]\nmod ").next().unwrap();
    without_tests.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test_file(path: &Path) -> bool {
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    in_tests || path.file_name().is_some_and(|name| name == "tests.rs" || name == "testing.rs")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn nothing_uses_a_layer_above_it_or_its_neighbour() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "lib" || is_test_file(&path) {
            continue;
        }
        let own = layer_of(&module).unwrap_or_else(|| panic!("{module} has no layer in tests/tidy.rs"));
        for (at, line) in code(&text) {
            for used in used_modules(line) {
                let Some(layer) = layer_of(&used) else { continue };
                let allowed = used == module || layer < own || layer == own && own == GROUND;
                if !allowed {
                    faults.push(format!("{}:{}: {module} may not use {used}", path.display(), at + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The modules named in `crate::module` on a line, `crate::{a, b::c}` included.
fn used_modules(line: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let mut used = Vec::new();
    for part in line.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(list) => used.extend(list.split(',').map(|item| word(item.trim()))),
            None => used.push(word(part)),
        }
    }
    used
}

#[test]
fn crates_are_named_only_where_they_have_their_place() {
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test_file(path)) {
        let module = module_of(&path);
        for (at, line) in code(&text) {
            for (name, places) in CRATES {
                let named = line.contains(&format!("use {name}::")) || line.contains(&format!(" {name}::"));
                if named && !places.contains(&module.as_str()) {
                    faults.push(format!("{}:{}: {module} may not name {name}", path.display(), at + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn clocks_files_and_speech_stay_at_the_rims() {
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test_file(path)) {
        let place = path.to_str().unwrap().to_owned();
        for (at, line) in code(&text) {
            for (word, places, instead) in WORDS {
                if line.contains(word) && !places.iter().any(|allowed| place.starts_with(allowed)) {
                    faults.push(format!("{place}:{}: no `{word}` here; {instead}", at + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_and_ends_in_time() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} begins with what it is", path.display());
        let lines = if is_test_file(&path) { 0 } else { code(&text).count() };
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines; make it two", path.display());
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let mut in_dependencies = false;
    let mut reasoned = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        }
        let is_entry = in_dependencies && line.contains('=') && line.starts_with(|c: char| c.is_alphabetic());
        assert!(!is_entry || reasoned, "Cargo.toml: no reason stands above `{line}`");
        // Entries of one family may share a reason, line under line.
        reasoned = line.starts_with('#') || is_entry && reasoned;
    }
}
