//! `print-config`: every setting in force, and who said so. The text is a configuration file again.

use config::{Effective, Settings, Source, Value};
use serde::Serialize;

use crate::cli::PrintConfig;
use crate::exit::Exit;
use crate::output::{FAINT, Page, Report, show};
use crate::serve;

/// Prints what the agent would be started with under these flags, variables and file.
pub(crate) fn run(args: &PrintConfig) -> anyhow::Result<Exit> {
    let settings = serve::settings(&args.serve)?;
    show(&InForce::new(&settings), args.output)?;
    Ok(Exit::Success)
}

/// What is in force.
#[derive(Serialize)]
pub(crate) struct InForce {
    /// Whether requests can be decided before a proxy pushes a policy.
    policy: bool,
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Setting {
    key: String,
    value: Value,
    source: &'static str,
    /// The flag, the variable, or the place in the file.
    by: Option<String>,
}

impl InForce {
    pub(crate) fn new(settings: &Settings) -> Self {
        let file = settings.file_name().unwrap_or_default();
        let all = settings.effective();
        Self {
            policy: settings.policy().is_some(),
            settings: all.into_iter().map(|one| Setting::new(one, file)).collect(),
        }
    }
}

impl Setting {
    fn new(setting: Effective, file: &str) -> Self {
        let (source, by) = match setting.source {
            Source::Flag(name) => ("flag", Some(name.to_owned())),
            Source::Variable(name) => ("environment", Some(name.to_owned())),
            Source::File => {
                let at = setting
                    .at
                    .map(|(line, column)| format!("{file}:{line}:{column}"));
                ("file", Some(at.unwrap_or_else(|| file.to_owned())))
            }
            Source::Push => ("push", None),
            Source::Default => ("default", None),
        };
        Self {
            key: setting.key,
            value: setting.value,
            source,
            by,
        }
    }

    fn said_by(&self) -> &str {
        self.by.as_deref().unwrap_or(self.source)
    }
}

impl Report for InForce {
    fn write(&self, page: &mut Page) {
        if !self.policy {
            page.line("// No policy: until a proxy pushes one, every request is NOT_CONFIGURED.");
        }
        let mut open: Vec<&str> = Vec::new();
        for setting in &self.settings {
            let mut path: Vec<&str> = setting.key.split('.').collect();
            let key = path.pop().unwrap_or_default();
            close(page, &mut open, &path);
            for block in path.get(open.len()..).unwrap_or_default() {
                page.line(format_args!("{}{block} {{", indent(open.len())));
                open.push(block);
            }
            for line in lines(setting, key) {
                let comment = format!("{FAINT}// {}{FAINT:#}", setting.said_by());
                page.line(format_args!("{}{line}  {comment}", indent(open.len())));
            }
        }
        close(page, &mut open, &[]);
    }
}

fn lines(setting: &Setting, key: &str) -> Vec<String> {
    match &setting.value {
        Value::List(sinks) if setting.key == "audit.sink" => {
            sinks.iter().map(|sink| format!("sink {sink}")).collect()
        }
        Value::Unset => vec![format!("// {key}: not set")],
        Value::List(list) if list.is_empty() => vec![format!("// {key}: none")],
        value => vec![format!("{key} {value}")],
    }
}

/// Closes the blocks that `path` does not lie in.
fn close(page: &mut Page, open: &mut Vec<&str>, path: &[&str]) {
    while !path.starts_with(open) {
        open.pop();
        page.line(format_args!("{}}}", indent(open.len())));
    }
}

fn indent(depth: usize) -> String {
    "    ".repeat(depth)
}
