//! A server that may open few files: it starts with enough, or says how many that were.

use std::process::Command;

use crate::place::Place;

/// Two workers for one address.
const ENOUGH: u32 = 46;

/// `serve` where a process may open so many files.
fn serve_with(place: &Place, files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "ulimit -n \"$1\" && exec \"$0\" serve",
        env!("CARGO_BIN_EXE_rhumb"),
        &files.to_string(),
    ]);
    shell.current_dir(place.path("."));
    shell
}

#[test]
fn too_few_descriptors_are_told_at_the_start_with_how_many_there_should_be() {
    let place = Place::new();
    for files in [12, 24, ENOUGH - 1] {
        let output = serve_with(&place, files).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{files}: {said}");
        let told = format!("the limit of open files is {files}, and this configuration takes {ENOUGH} ");
        assert!(said.contains(&told) && said.contains("LimitNOFILE="), "{files}: {said}");
        assert_eq!(said.lines().count(), 1, "{files}: {said}");
    }
}

#[test]
fn with_just_enough_descriptors_a_server_judges_keeps_verdicts_and_answers_verbs() {
    let place = Place::new();
    let log = std::fs::File::create(place.path("log")).unwrap();
    let process = serve_with(&place, ENOUGH).stderr(log).spawn().unwrap();
    let server = place.wait_for_server(process);
    assert_eq!(server.steered(), Some([192, 0, 2, 10]));
    place.write("health/state", "us-east/* up\neu-west/* down\n");
    place.eventually("the withdrawal", || (server.steered() == Some([192, 0, 2, 20])).then_some(()));
    place.eventually("verdicts on disk", || place.read("state/verdicts.json").contains("down").then_some(()));
    let (code, said) = place.run("reload");
    assert_eq!(code, 0, "{said}");
    assert!(!place.read("log").contains("Too many open files"), "{}", place.read("log"));
}
