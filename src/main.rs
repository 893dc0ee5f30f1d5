//! `sentinel-spiffe-agent`: authenticates workloads by their SPIFFE identity for a reverse proxy.

mod audit;
#[cfg(feature = "chaos-hooks")]
mod chaos_hooks;
mod check_config;
mod cli;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
mod doctor;
mod edited;
mod exit;
mod explain;
mod inspect;
mod logging;
mod machine;
mod material;
mod output;
mod print_config;
mod read;
mod serve;
mod shell;
mod signals;
mod status;
mod telemetry;
mod when;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::misused(&error),
    };
    let result = match &cli.command {
        None => serve::run(&cli.serve),
        Some(Command::CheckConfig(args)) => check_config::run(args),
        Some(Command::Audit(args)) => audit::run(args),
        Some(Command::Explain(args)) => explain::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
        Some(Command::Status(args)) => status::status(args),
        Some(Command::Top(args)) => status::top(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::PrintConfig(args)) => print_config::run(args),
        Some(Command::Completions(args)) => shell::completions(args),
        Some(Command::Man(args)) => shell::man(args),
        #[cfg(feature = "demo")]
        Some(Command::Demo(args)) => demo::run(args),
    };
    exit::code(result, cli.output())
}
