//! How loud a failure is: a source that is away for days must not fill the log.

use verdict::availability::Loss;

/// Failures of one kind in a row that are worth a warning.
const LOUD_MAX: u32 = 3;

/// How to log a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loudness {
    /// As a warning.
    Loud,
    /// As a warning that says that the next ones are quiet.
    LastLoud,
    /// For debugging only.
    Quiet,
}

/// What has been complained about since the last full update.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Complaints {
    latest: Option<(Loss, u32)>,
    total: u32,
}

impl Complaints {
    /// Takes note of a failure.
    pub(super) fn failed(&mut self, loss: Loss) -> Loudness {
        self.total = self.total.saturating_add(1);
        let times = match self.latest {
            Some((same, times)) if same == loss => times.saturating_add(1),
            Some(_) | None => 1,
        };
        self.latest = Some((loss, times));
        match times.cmp(&LOUD_MAX) {
            std::cmp::Ordering::Less => Loudness::Loud,
            std::cmp::Ordering::Equal => Loudness::LastLoud,
            std::cmp::Ordering::Greater => Loudness::Quiet,
        }
    }

    /// Takes note of a full update: how many failures it ended.
    pub(super) fn recovered(&mut self) -> u32 {
        std::mem::take(self).total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_of_a_kind_are_loud_and_recovery_starts_anew() {
        let mut complaints = Complaints::default();
        let of = |complaints: &mut Complaints, loss| complaints.failed(loss);
        assert_eq!(of(&mut complaints, Loss::Transport), Loudness::Loud);
        assert_eq!(of(&mut complaints, Loss::Transport), Loudness::Loud);
        assert_eq!(of(&mut complaints, Loss::Transport), Loudness::LastLoud);
        assert_eq!(of(&mut complaints, Loss::Transport), Loudness::Quiet);
        assert_eq!(of(&mut complaints, Loss::Refused), Loudness::Loud);
        assert_eq!(complaints.recovered(), 5);
        assert_eq!(complaints.recovered(), 0);
        assert_eq!(of(&mut complaints, Loss::Refused), Loudness::Loud);
    }
}
