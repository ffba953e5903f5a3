//! The demo at a person's word: a line kills or revives a region, and what clients see is told as it moves.

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::stage::Stage;
use super::world::REGIONS;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const HELP: &str = "k N kills region N, r N revives it, s shows what clients get, q ends the demo";

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Kill(usize),
    Revive(usize),
    Show,
    Help,
    Quit,
}

/// Plays until the person has enough.
pub(super) fn play(stage: &mut Stage) -> Result<(), String> {
    let words = listen();
    stage.say(HELP);
    loop {
        stage.look()?;
        match words.recv_timeout(LOOK_EVERY) {
            Ok(Word::Kill(position)) => stage.kill(position),
            Ok(Word::Revive(position)) => {
                // A port that somebody took in the meantime is told; the demo goes on.
                if let Err(message) = stage.revive(position) {
                    stage.say(&message);
                }
            }
            Ok(Word::Show) => stage.recall(),
            Ok(Word::Help) => stage.say(HELP),
            Ok(Word::Quit) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Words from the keyboard; an interrupt, or the keyboard's end, means enough.
fn listen() -> Receiver<Word> {
    let (sender, words) = channel();
    let interrupted = sender.clone();
    thread::spawn(move || {
        if wait_for_interrupt().is_ok() {
            let _ = interrupted.send(Word::Quit);
        }
    });
    thread::spawn(move || read_lines(&sender));
    words
}

fn read_lines(sender: &Sender<Word>) {
    for line in io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
        if sender.send(understand(&line)).is_err() {
            return;
        }
    }
    let _ = sender.send(Word::Quit);
}

fn wait_for_interrupt() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())
}

fn understand(line: &str) -> Word {
    let words: Vec<&str> = line.split_whitespace().collect();
    let position = |word: &str| {
        let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        number
            .filter(|position| *position < REGIONS.len())
            .or_else(|| REGIONS.iter().position(|region| region.name == word))
    };
    match words.as_slice() {
        ["k" | "kill", which] => position(which).map_or(Word::Help, Word::Kill),
        ["r" | "revive", which] => position(which).map_or(Word::Help, Word::Revive),
        ["s" | "show"] => Word::Show,
        ["q" | "quit" | "exit"] => Word::Quit,
        _ => Word::Help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_named_by_number_or_by_name_and_what_is_not_understood_is_answered_with_help() {
        let cases = [
            ("k 1", Word::Kill(0)),
            (" revive  ap-south ", Word::Revive(2)),
            ("q", Word::Quit),
            ("s", Word::Show),
            ("k", Word::Help),
            ("k 0", Word::Help),
            ("k 4", Word::Help),
            ("k -1", Word::Help),
            ("what?", Word::Help),
        ];
        for (line, word) in cases {
            assert_eq!(understand(line), word, "{line}");
        }
    }
}
