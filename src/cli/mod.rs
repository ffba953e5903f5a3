//! The shell: what a person or a script types, one file per verb. It parses, asks, prints, and gives the exit
//! code; it decides nothing that an answer depends on. What is said here once is both the parser and the help.

mod agent;
mod cert;
mod challenge;
mod check;
mod check_file;
mod client;
mod demo;
mod dnssec;
mod explain;
mod fail_back;
mod gauge;
mod log;
mod reload;
mod said;
pub mod serve;
mod simulate;
mod status;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An authoritative DNS server that steers each client to the nearest region that works.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 not understood, 78 a configuration, zone file or \
                          database is at fault.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve: answer queries and probe endpoints until a signal ends it. SIGHUP reloads.
    Serve(serve::Arguments),
    /// Stand in a region: probe what the servers say and report what is seen.
    Agent(agent::Arguments),
    /// Make, renew and revoke the certificates by which agents and servers know each other.
    Cert(cert::Arguments),
    /// Make the keys that zones are signed by, tell what they do, and roll them over.
    Dnssec(dnssec::Arguments),
    /// Check a configuration with all that it names, or one file, and list every fault.
    Check(check::Arguments),
    /// Make the running server read its configuration anew; done only once the new state is live.
    Reload(Running),
    /// Tell what the running server believes of every endpoint, and what somebody should look at.
    Status(Running),
    /// Tell step by step why a question gets its answer.
    Explain(explain::Arguments),
    /// Answer a certificate authority that asks by DNS (ACME DNS-01), for as long as it takes.
    Challenge(challenge::Arguments),
    /// Let endpoints come back that work again but wait for a person's word.
    FailBack(fail_back::Arguments),
    /// Tell the running server what a gauge shows: load, error share, replication lag.
    Gauge(gauge::Arguments),
    /// Play with a whole world on loopback: three regions, a server, real queries. Nothing to install.
    Demo(demo::Arguments),
    /// Play servers, agents and resolvers in virtual time against what must hold, and count what the rules are worth.
    Simulate(simulate::Arguments),
}

/// Which configuration is meant.
#[derive(Clone, Debug, clap::Args)]
struct Configuration {
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = "rhumb.toml")]
    config: PathBuf,
}

/// Which running server is meant.
#[derive(Clone, Debug, clap::Args)]
struct Running {
    #[command(flatten)]
    configuration: Configuration,
    /// The operator's socket of the server, where the configuration cannot be asked for it.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Runs the verb that the command line names.
#[must_use]
pub fn run() -> ExitCode {
    let CommandLine { verb, json } = CommandLine::parse();
    let outcome = match verb {
        Verb::Serve(arguments) => serve::run(&arguments, json),
        Verb::Demo(arguments) => return demo::run(&arguments, json),
        Verb::Agent(arguments) => agent::run(&arguments, json),
        Verb::Cert(arguments) => cert::run(&arguments),
        Verb::Dnssec(arguments) => dnssec::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Reload(running) => reload::run(&running),
        Verb::Status(running) => status::run(&running),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Challenge(arguments) => challenge::run(&arguments),
        Verb::Gauge(arguments) => gauge::run(&arguments),
        Verb::FailBack(arguments) => fail_back::run(&arguments),
        Verb::Simulate(arguments) => return simulate::run(&arguments, json),
    };
    said::tell(outcome, json)
}

impl Configuration {
    fn path(&self) -> &Path {
        &self.config
    }
}
