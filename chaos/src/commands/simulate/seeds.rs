//! Which seeds are played: those that once failed first, then a range.

use std::path::Path;

use crate::commands::CommandError;

/// The seeds that once failed; every run begins with them.
const KEPT: &str = include_str!("../../../seeds.txt");

/// The kept seeds.
///
/// # Errors
/// A line is no seed.
pub(super) fn kept() -> Result<Vec<u64>, CommandError> {
    parse(KEPT, Path::new("chaos/seeds.txt"))
}

/// The seeds of a file: one number a line, `#` begins a comment.
///
/// # Errors
/// It cannot be read, or a line is no seed.
pub(super) fn of_file(path: &Path) -> Result<Vec<u64>, CommandError> {
    let seeds = parse(&crate::commands::read(path)?, path)?;
    match seeds.is_empty() {
        true => Err(CommandError::NoSeeds {
            path: path.to_owned(),
        }),
        false => Ok(seeds),
    }
}

fn parse(text: &str, path: &Path) -> Result<Vec<u64>, CommandError> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let numbers = lines.filter(|line| !line.is_empty());
    numbers
        .map(|line| {
            line.parse().map_err(|_| CommandError::Seed {
                path: path.to_owned(),
                line: line.to_owned(),
            })
        })
        .collect()
}
