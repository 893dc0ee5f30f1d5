//! The chaos tool.

mod commands;

use std::process::ExitCode;

use clap::Parser;

use commands::{damage, real, replay, run, scenarios, simulate};

#[derive(Parser)]
#[command(
    name = "chaos",
    about = "Breaks what the agent stands on, and holds it to its promises"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Plays scenarios on the built agent.
    Run(run::Options),
    /// Names every scenario, with what it shows.
    List,
    /// Prints the agent's configuration that a scenario assumes.
    Config(scenarios::Config),
    /// Plays seeds under a virtual clock.
    Simulate(simulate::Options),
    /// Plays one seed and tells every event.
    Replay(replay::Options),
    /// Holds the agent to its promises about outages, on a real SPIRE server and agent.
    Real(real::Options),
    /// Reads damaged state files.
    Damage(damage::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::List => scenarios::list(),
        Command::Config(options) => scenarios::config(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Real(options) => real::run(&options),
        Command::Damage(options) => damage::run(&options),
    };
    result.unwrap_or_else(|error| commands::end(&error))
}
