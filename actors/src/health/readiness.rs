//! Whether traffic may come: a pure rule with a latch.
//!
//! Start-up ends once. After it, an agent that refuses is still ready: it is there to say so, and
//! taking its traffic away would turn a denial with a reason into an outage without one.

use super::Health;

/// Whether traffic may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not once yet, for want of this.
    Starting(Wanting),
    /// It may.
    Ready,
    /// SPIRE is away, and `degraded-is-unready` takes that for a reason.
    Degraded,
    /// Requests are refused for the want of a record, and `degraded-is-unready` likewise.
    Unrecorded,
    /// No more: what is in flight is finished.
    Draining,
}

/// What the start-up waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanting {
    /// A policy, from the file or a push.
    Policy,
    /// A full update from SPIRE: there are no bundles on disk either.
    Trust,
    /// SPIRE's first answer, or that it is known to be away: the bundles on disk count then.
    Answer,
    /// A full update from SPIRE: no policy accepts the bundles on disk.
    Acceptance,
}

/// What readiness is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How the agent is.
    pub health: Health,
    /// Whether a policy was ever in force.
    pub policy: bool,
    /// What is still wanted of the source; nothing once it was `Live`, or while the mode accepts what
    /// lay on disk.
    pub wanting: Option<Wanting>,
    /// Whether requests are refused because their records cannot be kept.
    pub unrecorded: bool,
    /// `degraded-is-unready`.
    pub strict: bool,
}

impl Readiness {
    /// What follows from what is seen now.
    #[must_use]
    pub const fn step(self, seen: Seen) -> Self {
        match (self, seen.health) {
            (Self::Draining, _) | (_, Health::Draining) => Self::Draining,
            (Self::Starting(_), _) if !seen.policy => Self::Starting(Wanting::Policy),
            (Self::Starting(_), _) if let Some(wanting) = seen.wanting => Self::Starting(wanting),
            (_, Health::Degraded | Health::Unhealthy) if seen.strict && seen.unrecorded => {
                Self::Unrecorded
            }
            (_, Health::Degraded | Health::Unhealthy) if seen.strict => Self::Degraded,
            (
                Self::Starting(_) | Self::Ready | Self::Degraded | Self::Unrecorded,
                Health::Healthy | Health::Degraded | Health::Unhealthy,
            ) => Self::Ready,
        }
    }

    /// Whether traffic may come.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting(Wanting::Policy) => "starting: no policy is in force yet",
            Self::Starting(Wanting::Trust) => "starting: no bundles from SPIRE yet, nor on disk",
            Self::Starting(Wanting::Answer) => {
                "starting: SPIRE has not answered yet; bundles on disk count once it is known to be away"
            }
            Self::Starting(Wanting::Acceptance) => {
                "starting: SPIRE has not answered, and spire-unavailable or cache-ttl refuses the bundles on disk"
            }
            Self::Ready => "ready",
            Self::Degraded => "SPIRE is away, and degraded-is-unready is true",
            Self::Unrecorded => {
                "no record can be kept (audit.on-full), and degraded-is-unready is true"
            }
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Readiness = Readiness::Starting(Wanting::Policy);

    const fn seen(health: Health, policy: bool, trust: bool) -> Seen {
        Seen {
            health,
            policy,
            wanting: if trust { None } else { Some(Wanting::Trust) },
            unrecorded: false,
            strict: false,
        }
    }

    #[test]
    fn a_start_waits_for_a_policy_and_for_something_to_verify_by() {
        for (policy, trust, expected) in [
            (false, false, Readiness::Starting(Wanting::Policy)),
            (false, true, Readiness::Starting(Wanting::Policy)),
            (true, false, Readiness::Starting(Wanting::Trust)),
            (true, true, Readiness::Ready),
        ] {
            for health in [Health::Healthy, Health::Degraded, Health::Unhealthy] {
                let stepped = NEW.step(seen(health, policy, trust));
                assert_eq!(stepped, expected, "{health:?} {policy} {trust}");
            }
        }
    }

    #[test]
    fn once_started_an_outage_takes_nothing_away() {
        for health in [Health::Healthy, Health::Degraded, Health::Unhealthy] {
            for (policy, trust) in [(true, true), (false, false)] {
                let stepped = Readiness::Ready.step(seen(health, policy, trust));
                assert_eq!(stepped, Readiness::Ready, "{health:?}");
            }
        }
    }

    #[test]
    fn the_strict_are_unready_while_degraded_and_come_back() {
        for health in [Health::Degraded, Health::Unhealthy] {
            let strict = Seen {
                strict: true,
                ..seen(health, true, true)
            };
            let away = Readiness::Ready.step(strict);
            assert_eq!(away, Readiness::Degraded, "{health:?}");
            let back = Seen {
                health: Health::Healthy,
                ..strict
            };
            assert_eq!(away.step(back), Readiness::Ready);
        }
    }

    #[test]
    fn who_refuses_for_the_want_of_a_record_stays_ready_unless_strict() {
        let refusing = Seen {
            unrecorded: true,
            ..seen(Health::Unhealthy, true, true)
        };
        assert_eq!(Readiness::Ready.step(refusing), Readiness::Ready);
        let strict = Seen {
            strict: true,
            ..refusing
        };
        assert_eq!(Readiness::Ready.step(strict), Readiness::Unrecorded);
    }

    #[test]
    fn draining_is_final() {
        for from in [NEW, Readiness::Ready, Readiness::Degraded] {
            let drained = from.step(seen(Health::Draining, true, true));
            assert_eq!(drained, Readiness::Draining);
            let later = drained.step(seen(Health::Healthy, true, true));
            assert_eq!(later, Readiness::Draining);
        }
    }
}
