//! `sentinel-spiffe-agent`: authenticates workloads by their SPIFFE identity for a reverse proxy.

mod audit;
#[cfg(feature = "chaos-hooks")]
mod chaos_hooks;
mod check_config;
mod cli;
#[cfg(feature = "demo")]
mod demo;
mod exit;
mod logging;
mod machine;
mod serve;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => serve::run(&cli.serve),
        Some(Command::CheckConfig(args)) => check_config::run(args, &cli.serve),
        Some(Command::Audit(args)) => Ok(audit::run(args)),
        #[cfg(feature = "demo")]
        Some(Command::Demo(args)) => demo::run(args),
    };
    exit::code(result)
}
