//! Which scenarios there are, `list`; and what one of them sets the agent up with, `config`.

mod embedded;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos::scenario::ScenarioError;
use chaos::scenario::file::ScenarioFile;

use super::{CommandError, terminal};
use embedded::EMBEDDED;

/// Similar names in an error.
const SIMILAR_MAX: usize = 3;
/// Of a name's letters, how many may be others for it to be similar: one in so many.
const ONE_IN: usize = 3;

/// What to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// A scenario's name, or a file's path
    scenario: String,
}

/// Prints every name with its sentence.
///
/// # Errors
/// A scenario of ours cannot be read.
pub(crate) fn list() -> Result<ExitCode, CommandError> {
    for (name, text) in EMBEDDED {
        let shows = parse(name, text)?.scenario.shows;
        terminal::say(&format!("{name:<42} {shows}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the agent's configuration that a scenario assumes.
///
/// # Errors
/// There is no such scenario, or it cannot be read.
pub(crate) fn config(options: &Config) -> Result<ExitCode, CommandError> {
    let file = find(&options.scenario)?;
    terminal::say(file.scenario.agent.config.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Every scenario of this repository.
pub(super) fn all() -> Result<Vec<ScenarioFile>, CommandError> {
    let files = EMBEDDED.iter().map(|(name, text)| parse(name, text));
    files.collect()
}

/// The file at this path, or the scenario of this name.
pub(super) fn find(scenario: &str) -> Result<ScenarioFile, CommandError> {
    let path = Path::new(scenario);
    if path.is_file() || scenario.contains('/') || scenario.ends_with(".kdl") {
        let text = super::read(path)?;
        return parse(scenario, &text);
    }
    match EMBEDDED.iter().find(|(name, _)| *name == scenario) {
        Some((name, text)) => parse(name, text),
        None => Err(CommandError::NoScenario {
            name: scenario.to_owned(),
            similar: similar(scenario),
        }),
    }
}

fn parse(file: &str, text: &str) -> Result<ScenarioFile, CommandError> {
    let parsed = ScenarioFile::parse(file, text);
    parsed.map_err(|error: ScenarioError| CommandError::Scenario(Box::new(error)))
}

/// Names that somebody who wrote this may have meant, as a part of a sentence.
fn similar(name: &str) -> String {
    let mut near: Vec<(usize, &str)> = Vec::new();
    for (known, _) in EMBEDDED {
        let away = distance(name, known);
        let is_part = !name.is_empty() && known.contains(name);
        if is_part || away <= name.len() / ONE_IN {
            near.push((away, known));
        }
    }
    near.sort_unstable();
    near.truncate(SIMILAR_MAX);
    let near: Vec<&str> = near.into_iter().map(|(_, known)| known).collect();
    match near.is_empty() {
        true => String::new(),
        false => format!(" (similar: {})", near.join(", ")),
    }
}

/// How many letters are to be put in, left out or changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (1..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let (mut diagonal, mut left) = (at, at + 1);
        for (cell, wanted) in row.iter_mut().zip(other.bytes()) {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(one.len())
}

/// A socket's path as people write it: with `unix://` or `unix:` before it, or alone.
pub(super) fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    let path = path
        .strip_prefix("//")
        .filter(|_| path != text)
        .unwrap_or(path);
    match path.is_empty() {
        true => Err("is the path of a socket".to_owned()),
        false => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn the_binary_has_every_scenario_of_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            names.extend(name.strip_suffix(".kdl").map(str::to_owned));
        }
        names.sort();
        let embedded: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        assert_eq!(embedded, names);
        assert_eq!(all().unwrap().len(), names.len());
    }

    #[test]
    fn an_unknown_name_is_told_with_those_that_may_be_meant() {
        let told = |name: &str| find(name).unwrap_err().to_string();
        let slip = told("spire-kiled-cache");
        assert!(slip.contains("\"spire-kiled-cache\"") && slip.contains("spire-killed-cache"));
        assert!(slip.contains("path"), "{slip}");
        assert!(told("federation").contains("federation-outage"));
        assert!(!told("xyzzy").contains("similar"), "{}", told("xyzzy"));
        let path = told("./nowhere/mine.kdl");
        assert!(path.contains("./nowhere/mine.kdl"), "{path}");
    }

    #[test]
    fn letters_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "xbcd"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_socket_is_named_as_spire_names_it_or_by_its_path() {
        for text in [
            "unix:///run/agent.sock",
            "unix:/run/agent.sock",
            "/run/agent.sock",
        ] {
            assert_eq!(
                socket(text).unwrap(),
                PathBuf::from("/run/agent.sock"),
                "{text}"
            );
        }
        assert_eq!(
            socket("//run/agent.sock").unwrap(),
            PathBuf::from("//run/agent.sock")
        );
        assert!(socket("unix://").is_err());
    }
}
