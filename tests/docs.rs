//! Holds the documents to the code: links lead somewhere, command lines are understood, TOML is accepted, every
//! metric is told. What a sentence means it cannot judge.

#![allow(clippy::unwrap_used, reason = "a repository that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold no documents of ours.
const NOT_OURS: &[&str] = &["target", ".git", "state"];

/// A document and the folder that its links start from.
struct Document {
    path: PathBuf,
    text: String,
}

/// A piece of a document that stands between fences.
struct Block<'d> {
    language: &'d str,
    text: String,
}

#[test]
fn every_link_inside_the_repository_leads_somewhere() {
    let documents = documents();
    let mut broken = Vec::new();
    for document in &documents {
        for link in links(&document.text).filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                document.path.clone()
            } else {
                document.path.parent().unwrap().join(file)
            };
            let found = if anchor.is_empty() { target.exists() } else { has_heading(&target, anchor) };
            if !found {
                broken.push(format!("{}: {link}", document.path.display()));
            }
        }
    }
    assert!(documents.len() > 10, "the documents are found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_test_that_the_standards_name_exists() {
    let book = fs::read_to_string("docs/standards.md").unwrap();
    let mut tests = String::new();
    for folder in ["src", "tests"] {
        collect_sources(Path::new(folder), &mut tests);
    }
    let rows = book
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| RFC") && !line.starts_with("| what |"));
    let mut missing = Vec::new();
    let mut named = 0;
    for row in rows {
        let held = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds: {row}");
        named += names.len();
        missing.extend(names.into_iter().filter(|name| {
            let case = Path::new("tests/cases/answers").join(name);
            !(if name.ends_with(".case") { case.exists() } else { tests.contains(&format!("fn {name}(")) })
        }));
    }
    assert!(named > 40, "rows are found: {named}");
    assert!(missing.is_empty(), "tests that do not exist: {missing:?}");
}

fn collect_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_command_line_is_understood() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        for arguments in code_lines(&document.text).iter().filter_map(|line| arguments_of_rhumb(line)) {
            if seen.insert(arguments.clone()) {
                // Help is printed only when all before it was understood.
                let out = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(&arguments).arg("--help").output();
                let out = out.unwrap();
                assert!(
                    out.status.success(),
                    "{}: rhumb {}\n{}",
                    document.path.display(),
                    arguments.join(" "),
                    String::from_utf8_lossy(&out.stderr)
                );
            }
        }
    }
    assert!(seen.len() > 10, "command lines are found: {seen:?}");
}

#[test]
fn every_verb_is_in_the_book() {
    let help = Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    // What is indented further goes on with the line before.
    let lines =
        listed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let verbs = lines.filter_map(|line| line.split_whitespace().next());
    let book = fs::read_to_string("docs/operate.md").unwrap();
    let missing: Vec<_> =
        verbs.filter(|verb| *verb != "help" && !book.contains(&format!("| `rhumb {verb}"))).collect();
    assert!(missing.is_empty(), "docs/operate.md does not list {missing:?}");
}

#[test]
fn every_metric_is_in_the_book_and_every_metric_of_the_book_exists() {
    let sources = ["src/control/metrics.rs", "src/control/page.rs", "src/agent/metrics.rs"];
    let code = metric_names(&sources.map(|path| fs::read_to_string(path).unwrap()).concat());
    let book = fs::read_to_string("docs/operate.md").unwrap();
    let table: String = book.lines().filter(|line| line.starts_with("| `rhumb_")).collect();
    assert!(code.len() > 10, "the metrics are found: {code:?}");
    assert_eq!(metric_names(&table), code, "left: the table of docs/operate.md, right: {sources:?}");
    for document in documents() {
        let unknown: Vec<_> = metric_names(&document.text)
            .into_iter()
            .filter(|name| !code.iter().any(|known| is_series_of(name, known)))
            .collect();
        assert!(
            unknown.is_empty(),
            "{} names metrics that do not exist: {unknown:?}",
            document.path.display()
        );
    }
}

#[test]
fn every_piece_of_configuration_is_accepted() {
    let example: toml::Table = fs::read_to_string("rhumb.toml").unwrap().parse().unwrap();
    let mut count = 0;
    for document in documents() {
        for block in blocks(&document.text).filter(|block| block.language == "toml") {
            let whole = block.text.contains("[services.") && block.text.contains("[server]");
            let fragment: toml::Table =
                block.text.parse().unwrap_or_else(|fault| panic!("{}: {fault}", document.path.display()));
            let mut laid_over = if whole { toml::Table::new() } else { example.clone() };
            lay_over(&mut laid_over, fragment);
            if let Err(faults) = rhumb::config::parse(&laid_over.to_string(), "block") {
                let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
                panic!("{}:\n{}\n{}", document.path.display(), block.text, told.join("\n"));
            }
            count += 1;
        }
    }
    assert!(count > 10, "pieces of configuration are found");
}

#[test]
fn every_default_that_the_example_tells_is_the_one_that_holds() {
    let example = fs::read_to_string("rhumb.toml").unwrap();
    let lines: Vec<&str> = example.lines().collect();
    let mut count = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some(key) = key_of(line) else { continue };
        let comments =
            lines[..at].iter().rev().take_while(|line| line.starts_with("# ")).map(|line| &line[2..]);
        let comment = comments.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" ");
        let Some(told) = comment.split("Default: ").nth(1).and_then(value_told) else { continue };
        let (written, left_out) =
            (believed(&lines, at, &format!("{key} = {told}")), believed(&lines, at, ""));
        assert_eq!(written, left_out, "rhumb.toml:{}: the default of {key} is not {told}", at + 1);
        count += 1;
    }
    assert!(count > 20, "defaults are found: {count}");
}

fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    collect(Path::new("."), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<Document>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            collect(&path, found);
        } else if name.ends_with(".md") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Document { path, text });
        }
    }
}

/// What stands in the parentheses of `[text](link)`, outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

/// Whether a document has a heading whose anchor, as GitHub makes it, is this.
fn has_heading(path: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        heading.chars().filter(|c| kept(*c)).map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let language = lines.by_ref().find_map(|line| line.trim_start().strip_prefix("```"))?;
        let inside = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        Some(Block { language, text: inside.map(|line| format!("{line}\n")).collect() })
    })
}

#[test]
fn every_unit_runs_what_is_understood() {
    let mut count = 0;
    for entry in fs::read_dir("dist/systemd").unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            let arguments = arguments_of_rhumb(&line.replace('=', " ")).expect(line);
            let out =
                Command::new(env!("CARGO_BIN_EXE_rhumb")).args(&arguments).arg("--help").output().unwrap();
            assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
            count += 1;
        }
    }
    assert!(count >= 3, "{count} command lines are found");
}

/// Lines of code: indented, between fences, or between backticks within a line.
fn code_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            lines.push(line.trim().to_owned());
        } else {
            lines.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    lines
}

/// The arguments, where a line runs the binary: `rhumb`, or a path to it, and then a verb. Words in capitals
/// stand for the operator's own.
fn arguments_of_rhumb(line: &str) -> Option<Vec<String>> {
    let command = line.split(['#', '|', ';']).next()?;
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_program = |word: &str| word == "rhumb" || word.ends_with("/rhumb");
    let at = words.windows(2).position(|pair| is_program(pair[0]) && is_verb(pair[1]))?;
    Some(words[at + 1..].iter().map(|word| (*stand_in(word)).to_owned()).collect())
}

fn is_verb(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    plain && !word.starts_with('-') && word != "rhumb"
}

fn stand_in(word: &str) -> &str {
    match word {
        "ADDR" => "192.0.2.1",
        "TYPE" => "A",
        "NAME" => "www.example.com",
        "VALUE" => "0.5",
        other => other,
    }
}

fn metric_names(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        format!("rhumb_{}", &rest[..end])
    };
    text.split("rhumb_").skip(1).map(name).filter(|name| name.len() > "rhumb_".len()).collect()
}

/// Whether Prometheus shows `known` under this name: itself, or a series of a histogram.
fn is_series_of(name: &str, known: &str) -> bool {
    let rest = name.strip_prefix(known);
    rest.is_some_and(|rest| matches!(rest, "" | "_count" | "_sum" | "_bucket"))
}

/// The key that a line writes, switched on or off.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '-').then_some(key)
}

/// The TOML value that a sentence begins with, if it is one.
fn value_told(sentence: &str) -> Option<String> {
    let ends = sentence.match_indices(['.', ',', ';', ' ']).map(|(at, _)| at);
    let longest_first = ends.collect::<Vec<_>>().into_iter().rev().map(|end| &sentence[..end]);
    let is_value = |text: &&str| format!("key = {text}").parse::<toml::Table>().is_ok();
    longest_first.into_iter().find(is_value).map(str::to_owned)
}

/// What is believed of the example with another text in the place of one line, places in the file left out.
fn believed(lines: &[&str], at: usize, instead: &str) -> String {
    let mut lines = lines.to_vec();
    lines[at] = instead;
    let (config, _) = rhumb::config::parse(&lines.join("\n"), "rhumb.toml").expect(instead);
    let details: Vec<_> = config.details.iter().map(|details| (details.fail_back, details.ramp)).collect();
    let server = (config.server, config.hardening, config.log, config.metrics_listen, config.geoip);
    format!("{server:?} {:?} {:?} {:?} {details:?}", config.regions, config.probes, config.services)
}

/// Puts the keys of `upper` over those of `lower`, table by table.
fn lay_over(lower: &mut toml::Table, upper: toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}
