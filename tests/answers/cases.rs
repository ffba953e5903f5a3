//! Every file of `tests/cases/answers` is a behaviour. What stands before its first section says which. Sections
//! begin with `==`:
//!
//! ```text
//! == zone example.com        a master file
//! == toml                    the configuration but for zones, listen and regions eu, us and ap
//! == verdicts                `region/service/address WORDS`: what is believed from here on, all else being up
//! == dig NAME TYPE +WORD... from ADDRESS
//! == packet HEX name:NAME... from ADDRESS
//! ```
//!
//! Below `dig` and `packet` stands the reply in dig's words. `UPDATE_EXPECT=1` writes the replies anew.

use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::world::World;
use crate::{ask, oracle};

struct Section {
    head: String,
    body: String,
}

/// What the file says, and its sections.
fn read(text: &str) -> (String, Vec<Section>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut claim = String::new();
    for line in text.lines() {
        match (line.strip_prefix("== "), sections.last_mut()) {
            (Some(head), _) => sections.push(Section { head: head.to_owned(), body: String::new() }),
            (None, Some(section)) => writeln!(section.body, "{line}").unwrap(),
            (None, None) => writeln!(claim, "{line}").unwrap(),
        }
    }
    for section in &mut sections {
        section.body = section.body.trim_end().to_owned();
    }
    (claim.trim_end().to_owned(), sections)
}

fn write((claim, sections): &(String, Vec<Section>)) -> String {
    let mut text = claim.clone();
    text.push('\n');
    for Section { head, body } in sections {
        write!(text, "\n== {head}\n").unwrap();
        if !body.is_empty() {
            writeln!(text, "{body}").unwrap();
        }
    }
    text
}

/// Fills in the replies.
fn play(sections: &mut [Section]) -> Result<(), String> {
    let of_zone = |section: &Section| section.head.strip_prefix("zone ").map(str::to_owned);
    let zones: Vec<(String, String)> = sections
        .iter()
        .filter_map(|section| of_zone(section).map(|origin| (origin, section.body.clone() + "\n")))
        .collect();
    let zones: Vec<(&str, &str)> = zones.iter().map(|(origin, text)| (&**origin, &**text)).collect();
    let configuration = sections.iter().find(|section| section.head == "toml");
    let mut world = World::new(&zones, configuration.map_or("", |section| &section.body))?;
    for section in sections.iter_mut() {
        match section.head.split_whitespace().next() {
            Some("zone" | "toml") => {}
            Some("verdicts") => world.believe(&section.body)?,
            _ => section.body = reply(&world, &section.head)?,
        }
    }
    Ok(())
}

fn reply(world: &World, question: &str) -> Result<String, String> {
    let asked = ask::read(question).map_err(|fault| format!("{question}: {fault}"))?;
    let judged =
        catch_unwind(AssertUnwindSafe(|| world.ask(&asked).map(|reply| oracle::judge(&asked, &reply))));
    match judged {
        Ok(Some(shown)) => Ok(shown.to_string().trim_end().to_owned()),
        Ok(None) => Ok(";; no reply".to_owned()),
        Err(_) => Err(format!("{question}: see the panic above")),
    }
}

#[test]
fn every_case_is_answered_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/answers");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 60, "the cases are found");
    let mut faults = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (claim, mut sections) = read(&text);
        if let Err(fault) = play(&mut sections) {
            faults.push(format!("{name}: {fault}"));
            continue;
        }
        let played = write(&(claim, sections));
        if played != text && update {
            fs::write(&path, played).unwrap();
        } else if played != text {
            faults.push(format!("{name}: {}", difference(&text, &played)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The lines that differ, with the section that they are in.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found) = (read(expected).1, read(found).1);
    let differing = expected.iter().zip(&found).filter(|(a, b)| a.body != b.body);
    let told =
        differing.map(|(a, b)| format!("\n== {}\n-- expected\n{}\n-- found\n{}", a.head, a.body, b.body));
    told.collect::<String>() + "\n(or the layout: UPDATE_EXPECT=1 sets it right)"
}
