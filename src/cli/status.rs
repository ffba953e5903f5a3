//! `status`: what the running server believes, the alarms on top.

use std::time::Duration;

use serde_json::json;

use super::client::{ask_running, out_of_turn};
use super::said::{Code, Failure, Outcome, Said, shows_colours};
use super::table::{Cell, Colour, Row, lay_out, paint};
use super::{Running, challenge};
use crate::control::request::{
    AgentStatus, EndpointStatus, PartStatus, Request, Response, ServiceStatus, Status,
};

pub(super) fn run(running: &Running) -> Outcome {
    let status = ask(running)?;
    Ok(Said { text: render(&status, shows_colours()), json: json!(status), remarks: Vec::new() })
}

/// The status of the server that is meant.
pub(super) fn ask(running: &Running) -> Result<Status, Failure> {
    match ask_running(running, &Request::Status, Code::Failed)? {
        Response::Status(status) => Ok(*status),
        other => Err(out_of_turn(&other)),
    }
}

fn render(status: &Status, colours: bool) -> String {
    let mut text = String::new();
    for alarm in &status.alarms {
        text.push_str(&paint(&Cell::coloured(format!("ALARM  {alarm}"), Some(Colour::Bad)), colours));
        text.push('\n');
    }
    if !status.alarms.is_empty() {
        text.push('\n');
    }
    text.push_str(&head(status));
    if !status.agents.is_empty() {
        let rows: Vec<Row<3>> = status.agents.iter().map(agent_row).collect();
        text.push_str(&format!("\nagents\n{}", lay_out(&rows, "  ", colours)));
    }
    if !status.challenges.is_empty() {
        let lines: Vec<String> = status.challenges.iter().map(challenge::line).collect();
        text.push_str(&format!("\nchallenges\n  {}\n", lines.join("\n  ")));
    }
    for service in &status.services {
        text.push_str(&render_service(service, colours));
    }
    text
}

fn head(status: &Status) -> String {
    let uptime = span(Duration::from_secs(status.uptime_seconds));
    let zones: Vec<String> =
        status.zones.iter().map(|zone| format!("{} (serial {})", zone.origin, zone.serial)).collect();
    let line = |key: &str, value: String| [Cell::plain(key), Cell::plain(value)];
    let lines = [
        line("rhumb", format!("{}, up for {uptime}", status.version)),
        line("listens on", status.listen.join(", ")),
        line(
            "generation",
            format!("{} of the answers, {} of the configuration", status.generation, status.configuration),
        ),
        line("zones", zones.join(", ")),
    ];
    lay_out(&lines, "", false)
}

fn render_service(service: &ServiceStatus, colours: bool) -> String {
    let all_down = match service.all_down {
        true => paint(&Cell::coloured("  nothing usable for some clients", Some(Colour::Bad)), colours),
        false => String::new(),
    };
    let names = service.names.join(", ");
    let rows: Vec<Row<6>> = service.endpoints.iter().map(row).collect();
    format!("\n{}  {names}{all_down}\n{}", service.service, lay_out(&rows, "  ", colours))
}

fn agent_row(agent: &AgentStatus) -> Row<3> {
    [
        Cell::plain(format!("{}/{}", agent.vantage, agent.agent)),
        Cell::plain(format!("heard {} ago", span(Duration::from_secs_f64(agent.heard_seconds.max(0.0))))),
        Cell::plain(&*agent.sight),
    ]
}

fn row(endpoint: &EndpointStatus) -> Row<6> {
    let mut evidence = match &endpoint.note {
        Some(note) if endpoint.evidence.is_empty() => note.clone(),
        Some(note) => format!("{note}; {}", endpoint.evidence),
        None => endpoint.evidence.clone(),
    };
    if !endpoint.parts.is_empty() {
        let parts: Vec<String> = endpoint.parts.iter().map(part).collect();
        evidence.push_str(&format!(" [{}]", parts.join(", ")));
    }
    [
        Cell::plain(&*endpoint.region),
        Cell::plain(&*endpoint.address),
        Cell::coloured(&*endpoint.state, colour(&endpoint.state)),
        Cell::plain(span(Duration::from_secs(endpoint.held_seconds))),
        Cell::plain(usable(endpoint)),
        Cell::plain(evidence),
    ]
}

/// "page works", "load works 40%", "disk fails (watch-only)".
fn part(part: &PartStatus) -> String {
    let share = part.usable_percent.filter(|percent| *percent < 100).map(|percent| format!(" {percent}%"));
    let role = if part.role == "vote" { String::new() } else { format!(" ({})", part.role) };
    format!("{} {}{}{role}", part.probe, part.says, share.unwrap_or_default())
}

fn colour(state: &str) -> Option<Colour> {
    match state {
        "up" => Some(Colour::Good),
        "suspect" | "recovering" => Some(Colour::Doubtful),
        "down" => Some(Colour::Bad),
        _ => None,
    }
}

/// How much of it is usable, and of how many of its lots, where that is not all.
fn usable(endpoint: &EndpointStatus) -> String {
    let usable = format!("{}% usable", endpoint.usable_percent);
    match (endpoint.usable_percent, endpoint.ramp_percent) {
        (0, _) | (_, 100) => usable,
        (_, ramp) => format!("{usable}, {ramp}% of its lots"),
    }
}

/// A span of time in its greatest unit and the next: "2d 3h", "45s".
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let greatest = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (length, unit) in units.iter().skip(greatest).take(2) {
        if rest >= *length || words.is_empty() {
            words.push(format!("{}{unit}", rest / length));
        }
        rest %= length;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::request::ZoneStatus;

    fn endpoint(region: &str, state: &str, note: Option<&str>) -> EndpointStatus {
        EndpointStatus {
            region: region.to_owned(),
            address: "192.0.2.1".to_owned(),
            state: state.to_owned(),
            held_seconds: 125,
            usable_percent: if state == "down" { 0 } else { 100 },
            ramp_percent: if state == "recovering" { 5 } else { 100 },
            evidence: "1 of 1 vantages".to_owned(),
            note: note.map(str::to_owned),
            parts: match state {
                "recovering" => vec![
                    PartStatus {
                        probe: "page".to_owned(),
                        role: "vote".to_owned(),
                        says: "works".to_owned(),
                        usable_percent: Some(40),
                        ..PartStatus::default()
                    },
                    PartStatus {
                        probe: "disk".to_owned(),
                        role: "watch-only".to_owned(),
                        says: "fails".to_owned(),
                        ..PartStatus::default()
                    },
                ],
                _ => Vec::new(),
            },
        }
    }

    #[test]
    fn alarms_stand_on_top_and_columns_align() {
        let service = ServiceStatus {
            service: "www".to_owned(),
            names: vec!["www.example.com.".to_owned()],
            all_down: true,
            endpoints: vec![
                endpoint("eu-west", "up", None),
                endpoint("us", "recovering", None),
                endpoint("ap", "down", Some("suppressed")),
            ],
        };
        let status = Status {
            version: "0.1.0".to_owned(),
            generation: 7,
            configuration: 2,
            uptime_seconds: 93_784,
            listen: vec!["127.0.0.1:53".to_owned()],
            zones: vec![ZoneStatus { origin: "example.com.".to_owned(), serial: 5, ..ZoneStatus::default() }],
            agents: vec![AgentStatus {
                vantage: "dublin".to_owned(),
                agent: 1,
                heard_seconds: 0.2,
                sight: "sees".to_owned(),
            }],
            services: vec![service],
            challenges: Vec::new(),
            alarms: vec!["www: all regions are down".to_owned()],
        };
        let expected = "\
ALARM  www: all regions are down

rhumb       0.1.0, up for 1d 2h
listens on  127.0.0.1:53
generation  7 of the answers, 2 of the configuration
zones       example.com. (serial 5)

agents
  dublin/1  heard 0s ago  sees

www  www.example.com.  nothing usable for some clients
  eu-west  192.0.2.1  up          2m 5s  100% usable                  1 of 1 vantages
  us       192.0.2.1  recovering  2m 5s  100% usable, 5% of its lots  1 of 1 vantages [page works 40%, disk fails (watch-only)]
  ap       192.0.2.1  down        2m 5s  0% usable                    suppressed; 1 of 1 vantages
";
        assert_eq!(render(&status, false), expected);
        assert!(render(&status, true).contains("\x1b[31mdown\x1b[0m"));
    }

    #[test]
    fn spans_are_told_in_two_units() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [told(0), told(59), told(60), told(3_661), told(86_405)],
            ["0s", "59s", "1m", "1h 1m", "1d"]
        );
    }
}
