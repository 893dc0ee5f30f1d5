//! `completions SHELL` and `man [COMMAND]`: made from the flags themselves, for packages to install.

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;

use crate::cli::{Cli, Completions, Man};
use crate::exit::Exit;
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
    let command = match &args.command {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(name).cloned();
            found.ok_or_else(|| anyhow!("there is no command {name:?}"))?
        }
    };
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.context("render the manual page")?;
    print(page)
}

fn print(text: Vec<u8>) -> anyhow::Result<Exit> {
    say_styled(&String::from_utf8(text)?);
    Ok(Exit::Success)
}
