//! What is true: kept from what was said and done, by the words of the decisions, not by the agent's code.
//!
//! The oracles hold every answer against it. It knows authorities and callers by name; the agent
//! sees bytes.

use std::collections::{BTreeMap, BTreeSet};

use verdict::availability::{Loss, Phase};
use verdict::time::Now;

use super::cast::{Domain, Root};
use super::schedule::Times;
use super::source::{Content, Said};

/// A contact this far in the future is unusable, ms (decisions, "Time").
const FUTURE_MS: i64 = 60_000;

/// When something was said, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    wall_ms: i64,
    /// Unknown after a reboot.
    boot_ms: Option<i64>,
}

impl When {
    const fn of(now: Now) -> Self {
        Self {
            wall_ms: now.wall_ms,
            boot_ms: Some(now.boot_ms),
        }
    }

    /// The age in ms; none if it lies in the future.
    #[must_use]
    pub fn age_ms(&self, now: Now) -> Option<i64> {
        let by_wall = now.wall_ms - self.wall_ms;
        let by_boot = self
            .boot_ms
            .map_or(by_wall, |boot_ms| now.boot_ms - boot_ms);
        let usable = by_wall >= -FUTURE_MS && by_boot >= -FUTURE_MS;
        usable.then(|| by_wall.max(by_boot).max(0))
    }

    /// Whether the agent says the same.
    #[must_use]
    pub fn is(&self, contact: verdict::time::Contact) -> bool {
        self.wall_ms == contact.wall_ms && self.boot_ms == contact.boot_ms
    }
}

/// The bundle of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its authorities.
    pub roots: BTreeSet<Root>,
    /// When they were last confirmed.
    pub contact: When,
    /// Whether a later update could not be read for this domain.
    pub kept: bool,
}

/// The last full update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// When it came.
    pub contact: When,
    /// What it says.
    pub domains: BTreeMap<Domain, Held>,
}

/// What the state file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum OnDisk {
    /// Nothing, or nothing that was ours.
    #[default]
    Nothing,
    /// A withdrawal.
    Tombstone,
    /// Material, written in this boot of the machine.
    Material(Material, u64),
}

/// How the absence began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    /// With the process; whether older material lay on disk.
    Fresh { older: bool },
    /// With a loss, or young material on disk.
    Lost,
}

/// The source is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Away {
    began: Began,
    since_ms: i64,
    refused_ms: Option<i64>,
    ours: bool,
    /// What has come about already; no later setting takes it back.
    settled: Phase,
}

/// The truth about one agent and its source.
#[derive(Clone, Debug)]
pub struct Ledger {
    times: Times,
    /// None: a full update is the last that was heard.
    away: Option<Away>,
    material: Option<Material>,
    disk: OnDisk,
    /// The first refusal, as far as it is on disk, and the boot of the machine in which it was noted.
    /// Nothing but a full update or a withdrawal ends it there: no restart, no damage to the bundles.
    noted: Option<(When, u64)>,
}

impl Ledger {
    /// Before the first process.
    #[must_use]
    pub const fn new(times: Times) -> Self {
        Self {
            times,
            away: None,
            material: None,
            disk: OnDisk::Nothing,
            noted: None,
        }
    }

    /// A process starts in this boot of the machine.
    pub fn started(&mut self, times: Times, boot: u64, now: Now) {
        self.times = times;
        self.material = None;
        let mut away = Away {
            began: Began::Fresh { older: false },
            since_ms: now.boot_ms,
            refused_ms: None,
            ours: false,
            settled: Phase::Starting,
        };
        match &self.disk {
            OnDisk::Nothing => {}
            OnDisk::Tombstone => away.settled = Phase::Withdrawn,
            OnDisk::Material(material, written) => {
                let material = after_boot(material.clone(), *written == boot);
                let age_ms = material.contact.age_ms(now);
                match age_ms {
                    None => {}
                    Some(age_ms) if age_ms < signed(times.unavailable_after_ms) => {
                        away.began = Began::Lost;
                        away.since_ms -= age_ms;
                        away.settled = Phase::Interrupted;
                    }
                    Some(_) => away.began = Began::Fresh { older: true },
                }
                self.material = Some(material);
            }
        }
        match self.refused_ago_ms(boot, now) {
            None => {}
            Some(None) => away.settled = Phase::Withdrawn,
            Some(Some(ago_ms)) => away.refused_ms = Some(now.boot_ms - ago_ms),
        }
        self.away = Some(away);
        self.settle(now);
    }

    /// How long ago an earlier process was first refused, ms; of unknown age if that lies in the future.
    fn refused_ago_ms(&self, boot: u64, now: Now) -> Option<Option<i64>> {
        let (mut first, written) = self.noted?;
        if written != boot {
            first.boot_ms = None;
        }
        Some(first.age_ms(now))
    }

    /// Whether SPIRE has said no, and the grace is not over.
    #[must_use]
    pub fn is_in_grace(&self, now: Now) -> bool {
        let refused = self.away.is_some_and(|away| away.refused_ms.is_some());
        refused && self.phase(now) != Phase::Withdrawn
    }

    /// A message; whether it is a full update.
    pub fn heard(&mut self, content: &Content, now: Now) -> bool {
        self.settle(now);
        if !content.values().any(|said| matches!(said, Said::Roots(_))) {
            return false;
        }
        let before = self
            .material
            .take()
            .map(|material| material.domains)
            .unwrap_or_default();
        let contact = When::of(now);
        let held = |(domain, said): (&Domain, &Said)| match said {
            Said::Roots(roots) => Some((
                *domain,
                Held {
                    roots: roots.clone(),
                    contact,
                    kept: false,
                },
            )),
            Said::Unreadable => before.get(domain).map(|last| {
                (
                    *domain,
                    Held {
                        kept: true,
                        ..last.clone()
                    },
                )
            }),
        };
        let domains = content.iter().filter_map(held).collect();
        self.material = Some(Material { contact, domains });
        self.away = None;
        true
    }

    /// The source was lost, or an attempt failed.
    pub fn lost(&mut self, loss: Loss, now: Now) {
        self.settle(now);
        let away = self.away.get_or_insert(Away {
            began: Began::Lost,
            since_ms: now.boot_ms,
            refused_ms: None,
            ours: false,
            settled: Phase::Interrupted,
        });
        away.ours |= loss == Loss::OurFault;
        if away.settled == Phase::Withdrawn {
            return;
        }
        if loss == Loss::Refused {
            away.refused_ms.get_or_insert(now.boot_ms);
        }
        if away.settled == Phase::Starting && away.began == (Began::Fresh { older: true }) {
            away.settled = Phase::Outage;
        }
        self.settle(now);
    }

    /// Other deadlines.
    pub fn pushed(&mut self, unavailable_after_ms: u64, withdrawal_grace_ms: u64, now: Now) {
        self.settle(now);
        self.times.unavailable_after_ms = unavailable_after_ms;
        self.times.withdrawal_grace_ms = withdrawal_grace_ms;
        self.settle(now);
    }

    /// The disk was brought up to date.
    pub fn written(&mut self, boot: u64, now: Now) {
        if self.phase(now) == Phase::Withdrawn {
            self.disk = OnDisk::Tombstone;
            self.noted = None;
            return;
        }
        if let Some(material) = &self.material {
            self.disk = OnDisk::Material(material.clone(), boot);
            self.noted = None;
        }
        if let Some(first_ms) = self.away.and_then(|away| away.refused_ms) {
            let first = When {
                wall_ms: now.wall_ms - (now.boot_ms - first_ms),
                boot_ms: Some(first_ms),
            };
            self.noted = Some((first, boot));
        }
    }

    /// Something befell the state file; a withdrawal is not forgotten by that.
    pub fn damaged(&mut self) {
        if self.disk != OnDisk::Tombstone {
            self.disk = OnDisk::Nothing;
        }
    }

    /// The state the source is in.
    #[must_use]
    pub fn phase(&self, now: Now) -> Phase {
        self.away
            .map_or(Phase::Live, |away| self.by_now(&away, now))
    }

    /// Whether it is our fault that there is nothing.
    #[must_use]
    pub const fn is_our_fault(&self) -> bool {
        matches!(self.away, Some(Away { ours: true, .. }))
    }

    /// What there is to judge by; a withdrawal leaves nothing.
    #[must_use]
    pub fn material(&self, now: Now) -> Option<&Material> {
        self.material
            .as_ref()
            .filter(|_| self.phase(now) != Phase::Withdrawn)
    }

    /// The moments, in boot-time ms, at which time alone changes something: where errors hide.
    pub fn deadlines(&self) -> impl Iterator<Item = i64> {
        let away = self.away.into_iter();
        away.flat_map(|away| {
            let outage = away.since_ms + signed(self.times.unavailable_after_ms);
            let withdrawn = away
                .refused_ms
                .map(|ms| ms + signed(self.times.withdrawal_grace_ms));
            [Some(outage), withdrawn].into_iter().flatten()
        })
    }

    fn settle(&mut self, now: Now) {
        if let Some(mut away) = self.away {
            away.settled = self.by_now(&away, now);
            if away.settled == Phase::Withdrawn {
                self.material = None;
            }
            self.away = Some(away);
        }
    }

    fn by_now(&self, away: &Away, now: Now) -> Phase {
        let over = |since_ms: i64, limit_ms: u64| now.boot_ms >= since_ms + signed(limit_ms);
        let refused = away
            .refused_ms
            .is_some_and(|ms| over(ms, self.times.withdrawal_grace_ms));
        if away.settled == Phase::Withdrawn || refused {
            Phase::Withdrawn
        } else if away.settled == Phase::Outage
            || over(away.since_ms, self.times.unavailable_after_ms)
        {
            Phase::Outage
        } else {
            away.settled
        }
    }
}

/// Boot-time readings of another boot mean nothing.
fn after_boot(mut material: Material, same_boot: bool) -> Material {
    if !same_boot {
        material.contact.boot_ms = None;
        for held in material.domains.values_mut() {
            held.contact.boot_ms = None;
        }
    }
    material
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
