//! `check-config FILE`: what is wrong with a configuration, what is unwise, and what is amiss here.

use config::{Finding, Settings, Severity, Told};
use serde::Serialize;

use crate::cli::CheckConfig;
use crate::exit::Exit;
use crate::logging::{say, say_error};
use crate::output::{Output, clean, counted, say_json};
use crate::print_config::InForce;
use crate::serve::{Wrong, load};

/// Checks; errors fail, findings do not.
pub(crate) fn run(args: &CheckConfig) -> anyhow::Result<Exit> {
    let file = args.file.display().to_string();
    let checked = check(args);
    let exit = match &checked {
        Ok(_) => Exit::Success,
        Err(_) => Exit::Config,
    };
    match args.output {
        Output::Json => say_json(&serde_json::to_string(&Checked::of(file, &checked))?),
        Output::Text => tell(&file, checked),
    }
    Ok(exit)
}

fn check(args: &CheckConfig) -> Result<(Settings, Vec<Finding>), Wrong> {
    let file = load(&args.file)?;
    let settings = Settings::resolve(Some(file), &args.given.overrides()).map_err(Wrong::Said)?;
    let mut findings = config::lint(&settings);
    findings.extend(crate::machine::look(&settings));
    Ok((settings, findings))
}

fn tell(file: &str, checked: Result<(Settings, Vec<Finding>), Wrong>) {
    let findings = match checked {
        Ok((_, findings)) => findings,
        Err(wrong) => return say_error(&wrong.told()),
    };
    let count = counted(findings.len(), "finding", "findings");
    for mut finding in findings {
        finding.message = clean(&finding.message);
        finding.advice = clean(&finding.advice);
        say(&format!("{:?}", miette::Report::new(finding)));
    }
    say(&format!("{}: no errors, {count}", clean(file)));
}

/// The same for programs.
#[derive(Serialize)]
struct Checked {
    file: String,
    /// What is wrong: with any of it there is nothing else.
    errors: Vec<Wrongly>,
    /// How many more are wrong.
    errors_left_out: usize,
    findings: Vec<Found>,
    /// What would be in force, as `print-config` has it.
    effective: Option<InForce>,
}

#[derive(Serialize)]
pub(crate) struct Wrongly {
    place: String,
    error: String,
    advice: Option<String>,
}

#[derive(Serialize)]
struct Found {
    code: &'static str,
    severity: &'static str,
    what: String,
    fix: String,
}

impl Checked {
    fn of(file: String, checked: &Result<(Settings, Vec<Finding>), Wrong>) -> Self {
        let mut all = Self {
            file,
            errors: Vec::new(),
            errors_left_out: 0,
            findings: Vec::new(),
            effective: None,
        };
        match checked {
            Ok((settings, findings)) => {
                all.findings = findings.iter().map(Found::from).collect();
                all.effective = Some(InForce::new(settings));
            }
            Err(wrong) => (all.errors, all.errors_left_out) = wrongly(wrong),
        }
        all
    }
}

/// What is wrong, and how many more are.
pub(crate) fn wrongly(wrong: &Wrong) -> (Vec<Wrongly>, usize) {
    match wrong {
        Wrong::Said(errors) => (
            errors.told().map(Wrongly::from).collect(),
            errors.unreported(),
        ),
        Wrong::Unread { file, error } => {
            let (place, error) = (file.clone(), format!("{error:#}"));
            let advice = None;
            (
                vec![Wrongly {
                    place,
                    error,
                    advice,
                }],
                0,
            )
        }
    }
}

impl From<Told> for Wrongly {
    fn from(told: Told) -> Self {
        let Told {
            place,
            error,
            advice,
        } = told;
        Self {
            place,
            error,
            advice,
        }
    }
}

impl From<&Finding> for Found {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code,
            severity: match finding.severity {
                Severity::Warning => "warning",
                Severity::Advice => "advice",
            },
            what: finding.to_string(),
            fix: finding.advice.clone(),
        }
    }
}
