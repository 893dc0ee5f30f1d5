//! `check-config FILE`: what is wrong with a configuration, what is unwise, and what is amiss here.

use config::Settings;

use crate::cli::{CheckConfig, Serve};
use crate::exit::Exit;
use crate::logging::{say, say_error};
use crate::serve::read;

/// Checks; errors fail, findings do not.
pub(crate) fn run(args: &CheckConfig, serve: &Serve) -> anyhow::Result<Exit> {
    let Some(file) = read(&args.file)? else {
        return Ok(Exit::Config);
    };
    let settings = match Settings::resolve(Some(file), &serve.overrides()) {
        Ok(settings) => settings,
        Err(errors) => {
            say_error(&format!("{:?}", miette::Report::new(errors)));
            return Ok(Exit::Config);
        }
    };
    let mut findings = config::lint(&settings);
    findings.extend(crate::machine::look(&settings));
    for finding in &findings {
        say(&format!("{:?}", miette::Report::new(finding.clone())));
    }
    say(&format!(
        "{}: no errors, {} findings",
        args.file.display(),
        findings.len()
    ));
    Ok(Exit::Success)
}
