//! Which seeds are played: those that once failed first, then a range.

use std::ops::Range;
use std::path::Path;

use crate::commands::CommandError;

/// The seeds that once failed; every run begins with them.
const KEPT: &str = include_str!("../../../seeds.txt");

/// Seeds in the order in which they are played. A range takes no memory, however long it is.
#[derive(Debug)]
pub(super) struct Seeds {
    listed: Vec<u64>,
    range: Range<u64>,
}

impl Seeds {
    pub(super) const fn listed(listed: Vec<u64>) -> Self {
        Self {
            listed,
            range: 0..0,
        }
    }

    pub(super) const fn then(listed: Vec<u64>, range: Range<u64>) -> Self {
        Self { listed, range }
    }

    /// The one at this place, from 0.
    pub(super) fn get(&self, at: u64) -> Option<u64> {
        let listed = self.listed.len() as u64;
        match at.checked_sub(listed) {
            None => usize::try_from(at)
                .ok()
                .and_then(|at| self.listed.get(at).copied()),
            Some(at) => {
                let seed = self.range.start.checked_add(at);
                seed.filter(|seed| self.range.contains(seed))
            }
        }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> u64 {
        let range = self.range.end.saturating_sub(self.range.start);
        range.saturating_add(self.listed.len() as u64)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_seeds_there_are_take_no_memory() {
        let all = Seeds::then(vec![7, 9], 0..u64::MAX);
        let first: Vec<_> = (0..4).map(|at| all.get(at)).collect();
        assert_eq!(first, [Some(7), Some(9), Some(0), Some(1)]);
        assert_eq!(all.count(), u64::MAX);
        assert_eq!(all.get(u64::MAX), Some(u64::MAX - 2));
        let few = Seeds::then(vec![7], 5..7);
        assert_eq!((few.get(2), few.get(3), few.count()), (Some(6), None, 3));
        let last = Seeds::then(vec![7], u64::MAX - 1..u64::MAX);
        assert_eq!((last.get(1), last.get(2)), (Some(u64::MAX - 1), None));
        assert_eq!(Seeds::listed(vec![7]).get(1), None);
    }
}
