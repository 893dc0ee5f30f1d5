//! `check-config FILE`: what is wrong with a configuration, what is unwise, and what is amiss here.

use crate::cli::CheckConfig;
use crate::exit::Exit;
use crate::logging::say;
use crate::output::counted;
use crate::serve::{read, resolve};

/// Checks; errors fail, findings do not.
pub(crate) fn run(args: &CheckConfig) -> anyhow::Result<Exit> {
    let Some(file) = read(&args.file)? else {
        return Ok(Exit::Config);
    };
    let Some(settings) = resolve(Some(file), &args.given.overrides())? else {
        return Ok(Exit::Config);
    };
    let mut findings = config::lint(&settings);
    findings.extend(crate::machine::look(&settings));
    for finding in &findings {
        say(&format!("{:?}", miette::Report::new(finding.clone())));
    }
    say(&format!(
        "{}: no errors, {}",
        args.file.display(),
        counted(findings.len(), "finding", "findings")
    ));
    Ok(Exit::Success)
}
