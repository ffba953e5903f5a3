//! `challenge`: values that a certificate authority looks for (ACME DNS-01), set for as long as it takes to look.

use std::time::Duration;

use serde_json::json;

use super::client::{ask_running, out_of_turn};
use super::said::{Code, Failure, Outcome, Said};
use super::{Running, status};
use crate::config::duration::parse_duration;
use crate::control::request::{ChallengeStatus, Request, Response};

/// What `challenge` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// Answer TXT at _acme-challenge.NAME with TOKEN, beside what is set there already.
    Set {
        /// The domain that is to be certified; of a wildcard the name behind the asterisk counts.
        name: String,
        /// The value that the authority looks for.
        token: String,
        /// For how long, such as "10m".
        #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = duration)]
        time: Duration,
        #[command(flatten)]
        running: Running,
    },
    /// Take away TOKEN, or everything that is set at NAME.
    Clear {
        /// The domain.
        name: String,
        /// The value [default: all of them].
        token: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// List what is set, and for how long.
    List(Running),
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|fault| fault.to_string())
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let (request, running) = match &arguments.deed {
        Deed::List(running) => return list(running),
        Deed::Set { name, token, time, running } => {
            let (name, token, seconds) = (name.clone(), token.clone(), time.as_secs());
            (Request::SetChallenge { name, token, seconds }, running)
        }
        Deed::Clear { name, token, running } => {
            (Request::ClearChallenge { name: name.clone(), token: token.clone() }, running)
        }
    };
    match ask_running(running, &request, Code::Failed)? {
        Response::Challenged { name, values } => Ok(Said {
            text: match values {
                0 => format!("nothing is set at {name}"),
                1 => format!("1 value is set at {name}"),
                _ => format!("{values} values are set at {name}"),
            },
            json: json!({ "done": true, "name": name, "values": values }),
            remarks: Vec::new(),
        }),
        other => Err(out_of_turn(&other)),
    }
}

fn list(running: &Running) -> Result<Said, Failure> {
    let challenges = status::ask(running)?.challenges;
    let lines: Vec<String> = challenges.iter().map(line).collect();
    let text = if lines.is_empty() { "no challenge is set".to_owned() } else { lines.join("\n") };
    Ok(Said { text, json: json!({ "challenges": challenges }), remarks: Vec::new() })
}

/// "_acme-challenge.example.com. TXT "token", for 5m"
pub(super) fn line(challenge: &ChallengeStatus) -> String {
    let ChallengeStatus { name, token, seconds_left } = challenge;
    let left = crate::config::duration::write_duration(Duration::from_secs(*seconds_left));
    format!("{name} TXT {token:?}, for {left}")
}
