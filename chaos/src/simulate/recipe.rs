//! The head of a log: what it takes to play the same again.

use std::fmt;

use super::schedule::Schedule;

/// A seed, and which of its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The seed.
    pub seed: u64,
    /// The faults that are played, by their place in the whole schedule.
    pub faults: Vec<usize>,
}

/// Why a text is no recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it does not begin with a line `# seed N, faults N N ...`, as every log of a broken seed does"
)]
pub struct NoRecipe;

impl Recipe {
    /// What makes this schedule of its seed.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Self {
        let whole = Schedule::of(schedule.seed);
        let mut wanted = schedule.faults.iter().peekable();
        let places = whole.faults.iter().enumerate();
        let faults = places.filter(|(_, timed)| wanted.next_if(|next| next == timed).is_some());
        Self {
            seed: schedule.seed,
            faults: faults.map(|(place, _)| place).collect(),
        }
    }

    /// The recipe in the first line of a log.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(log: &str) -> Result<Self, NoRecipe> {
        let line = log
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# seed "));
        let (seed, faults) = line
            .and_then(|line| line.split_once(", faults"))
            .ok_or(NoRecipe)?;
        let places = faults.split_whitespace().map(str::parse);
        Ok(Self {
            seed: seed.parse().map_err(|_| NoRecipe)?,
            faults: places.collect::<Result<_, _>>().map_err(|_| NoRecipe)?,
        })
    }

    /// The schedule.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::of(self.seed);
        let mut place = 0;
        schedule.faults.retain(|_| {
            place += 1;
            self.faults.contains(&(place - 1))
        });
        schedule
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "# seed {}, faults", self.seed)?;
        self.faults
            .iter()
            .try_for_each(|place| write!(out, " {place}"))
    }
}
