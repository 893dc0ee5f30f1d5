//! `completions SHELL` and `man [COMMAND]`: made from the flags themselves, for packages to install.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{Cli, Completions, Man};
use crate::exit::{Exit, Usage};
use crate::output::say_styled;

/// Prints the completions of a shell.
pub(crate) fn completions(args: &Completions) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(script)
}

/// Prints a manual page in roff.
pub(crate) fn man(args: &Man) -> anyhow::Result<Exit> {
    let mut all = Cli::command();
    all.build();
    let mut command = &all;
    for name in &args.command {
        let found = command.find_subcommand(name);
        command = found.ok_or_else(|| Usage(format!("there is no command {name:?}")))?;
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.context("render the manual page")?;
    print(page)
}

fn print(text: Vec<u8>) -> anyhow::Result<Exit> {
    say_styled(&String::from_utf8(text)?);
    Ok(Exit::Success)
}
