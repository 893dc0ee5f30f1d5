//! Availability × modes × supervision × restart, explored exhaustively.
//!
//! The rules are the product's: `State::resume`, `step` and `settled`, `stance`, the age of a contact,
//! restart budgets. Around them time passes in whole seconds up to a horizon, SPIRE and the parts of
//! the agent fail a bounded number of times in every order, and after the last fault what is broken is
//! mended before time goes on. Each property has a variant that breaks it on purpose, and the
//! exploration must find that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use actors::supervision::{Restart, RestartBudget, Ruling};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use verdict::availability::{
    Earlier, Effect, Event, Found, Loss, Phase, Refusal, Stance, State, Timing, stance,
};
use verdict::policy::{Failure, Mode};
use verdict::time::{Contact, Now};

/// `unavailable-after-ms`: two steps of time.
const UNAVAILABLE_AFTER: u8 = 2;
/// `withdrawal-grace-ms`: one step.
const GRACE: u8 = 1;
/// `cache-ttl`: three steps.
const TTL: u8 = 3;
/// Where time ends.
const HORIZON: u8 = 9;
/// Faults in one life; one more where there is a release build to bear it.
const FAULTS: u8 = if cfg!(debug_assertions) { 3 } else { 4 };
/// Restarts of the watcher within [`WITHIN_MS`]; then the process ends.
const RESTARTS: u32 = 1;
const WITHIN_MS: u64 = 3_000;

const TIMING: Timing = Timing {
    unavailable_after_ms: UNAVAILABLE_AFTER as u64 * 1_000,
    withdrawal_grace_ms: GRACE as u64 * 1_000,
};

const fn now(time: u8) -> Now {
    Now {
        wall_ms: 1_700_000_000_000 + time as i64 * 1_000,
        boot_ms: 1_000_000 + time as i64 * 1_000,
    }
}

/// The step of time at this boot-time millisecond; what was before the first is the first.
fn step_of(boot_ms: i64) -> u8 {
    u8::try_from((boot_ms - now(0).boot_ms) / 1_000).unwrap_or_default()
}

fn contact(time: u8) -> Contact {
    Contact::at(now(time))
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Every answer of SPIRE renews contact, also an error.
    FailureRenewsContact,
    /// `cache-ttl` is not asked.
    NoTtl,
    /// `fail_open` opens while the source is only interrupted.
    OpensEarly,
    /// `fail_open` opens although we call SPIRE wrongly.
    OpensAtOurFault,
    /// A start takes a tombstone for an empty disk, and what lay there before for material.
    TombstoneLost,
    /// A start does not read the note of a refusal.
    RefusalForgotten,
    /// The watcher does not call again after a refusal.
    NeverCallsAgain,
    /// A watcher that used up its restarts is left dead, with the process alive.
    NobodyEscalates,
    /// `fail_closed` verifies as `cache` does.
    ClosedIsOpen,
    /// An interruption is taken for an outage at once.
    NoPatience,
    /// `fail_open` and `cache` refuse in an outage, as `fail_closed` does.
    ModesForgotten,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Spire {
    Well,
    Away,
    /// The agent's entry is gone.
    Refuses,
    /// It says that we call it wrongly.
    Blames,
}

impl Spire {
    const BROKEN: [Self; 3] = [Self::Away, Self::Refuses, Self::Blames];

    const fn event(self) -> Event {
        match self {
            Self::Well => Event::FullUpdate,
            Self::Away => Event::Lost(Loss::Transport),
            Self::Refuses => Event::Lost(Loss::Refused),
            Self::Blames => Event::Lost(Loss::OurFault),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Disk {
    Nothing,
    Material(u8),
    /// With what stood there before: a variant reads it.
    Tombstone(Option<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Watcher {
    /// It has called at this time.
    Called(u8),
    /// It has a call to make.
    Due,
    /// Dead, and started again soon.
    Dead,
    /// Dead for good.
    GivenUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Health {
    Alive,
    Dead,
}

/// The agent's process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    state: State,
    /// When the material in memory was delivered.
    material: Option<u8>,
    watcher: Watcher,
    deaths: Vec<u8>,
    health: Health,
}

/// What really happened: the properties speak of this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Truth {
    /// The last full update that this process knows of.
    updated: Option<u8>,
    /// The first refusal since the last full update, this process's or a recorded one.
    refused: Option<u8>,
    /// A withdrawal came about; the disk may know.
    withdrawn: bool,
    /// A call was answered that we call wrongly, since the last full update.
    blamed: bool,
    /// When the absence began: a loss, or the start of a process that knew nothing young.
    away: Option<u8>,
    /// The process started with material too old to be an interruption: one failure is an outage.
    old_disk: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    time: u8,
    faults: u8,
    spire: Spire,
    disk: Disk,
    /// The first refusal, as the disk has it.
    noted: Option<u8>,
    process: Option<Process>,
    truth: Truth,
    /// Since when nothing breaks any more, and SPIRE and the process are there.
    clear: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pass,
    SpireBreaks(Spire),
    SpireMends,
    /// The stream breaks, SPIRE stays as it is.
    StreamEnds,
    Call,
    HealthTicks,
    DiskIsWritten,
    DiskIsLost,
    KillWatcher,
    StartWatcher,
    KillHealth,
    StartHealth,
    KillProcess,
    StartProcess,
}

struct Agent {
    broken: Broken,
}

impl Agent {
    const fn sound() -> Self {
        Self {
            broken: Broken::Nothing,
        }
    }

    fn failure(mode: Mode) -> Failure {
        Failure {
            spire_unavailable: mode,
            cache_ttl_s: u64::from(TTL),
            ..Failure::default()
        }
    }

    /// What a request may rest on now.
    fn stance(&self, world: &World, mode: Mode) -> Option<Stance> {
        let process = world.process.as_ref()?;
        let now = now(world.time);
        let mode = match self.broken {
            Broken::ClosedIsOpen if mode == Mode::FailClosed => Mode::Cache,
            Broken::ModesForgotten => Mode::FailClosed,
            _ => mode,
        };
        let material = process.material.map(|time| match self.broken {
            Broken::NoTtl => contact(world.time.max(time)),
            _ => contact(time),
        });
        let state = match (self.broken, process.state) {
            (Broken::OpensEarly | Broken::NoPatience, State::Interrupted { since_ms, trouble }) => {
                State::Outage { since_ms, trouble }
            }
            (
                Broken::OpensAtOurFault,
                State::Outage {
                    since_ms,
                    mut trouble,
                },
            ) => {
                trouble.blame = verdict::availability::Blame::Theirs;
                State::Outage { since_ms, trouble }
            }
            (_, state) => state,
        };
        Some(stance(state, TIMING, material, &Self::failure(mode), now))
    }

    fn event(&self, world: &mut World, event: Event) {
        let time = world.time;
        world.truth.hear(event, time);
        let Some(process) = &mut world.process else {
            return;
        };
        if event == Event::FullUpdate {
            // As the store does: what time has withdrawn is gone before an update is taken.
            process.step(Event::Tick, time);
            process.material = Some(time);
        }
        process.step(event, time);
        if self.broken == Broken::FailureRenewsContact && process.material.is_some() {
            process.material = Some(time);
        }
    }

    fn start(&self, world: &mut World) {
        let found = match (world.disk, self.broken) {
            (Disk::Tombstone(Some(time)), Broken::TombstoneLost) => Found::Material(contact(time)),
            (Disk::Tombstone(None), Broken::TombstoneLost) | (Disk::Nothing, _) => Found::Nothing,
            (Disk::Material(time), _) => Found::Material(contact(time)),
            (Disk::Tombstone(_), _) => Found::Tombstone,
        };
        let material = match (world.disk, self.broken) {
            (Disk::Material(time), _) | (Disk::Tombstone(Some(time)), Broken::TombstoneLost) => {
                Some(time)
            }
            _ => None,
        };
        let earlier = match (world.noted, self.broken) {
            (None, _) | (_, Broken::RefusalForgotten) => Earlier::Nothing,
            (Some(first), _) => Earlier::Refused(contact(first)),
        };
        world.truth = Truth::at_start(world.disk, world.noted, world.time);
        let state = State::resume(found, earlier, TIMING, now(world.time));
        world.process = Some(Process {
            state,
            // As the cache does: what is withdrawn by now is dropped.
            material: material.filter(|_| state.phase() != Phase::Withdrawn),
            watcher: Watcher::Due,
            deaths: Vec::new(),
            health: Health::Alive,
        });
    }

    fn kill_watcher(&self, world: &mut World) {
        let Some(process) = &mut world.process else {
            return;
        };
        process.deaths.push(world.time);
        let restart = Restart::new(RESTARTS, WITHIN_MS, 1, 2).unwrap();
        let mut budget = RestartBudget::new(restart);
        let rulings = process
            .deaths
            .iter()
            .map(|time| budget.on_failure(u64::from(*time) * 1_000));
        match (rulings.last(), self.broken) {
            (Some(Ruling::GiveUp), Broken::NobodyEscalates) => process.watcher = Watcher::GivenUp,
            (Some(Ruling::GiveUp), _) => world.process = None,
            _ => process.watcher = Watcher::Dead,
        }
    }

    fn call(&self, world: &mut World) {
        let (event, time) = (world.spire.event(), world.time);
        self.event(world, event);
        if let Some(process) = &mut world.process {
            process.watcher = Watcher::Called(time);
        }
    }

    /// Whether something is to be done before time goes on, now that nothing more breaks.
    fn is_urgent(world: &World) -> bool {
        world.faults == 0
            && (world.spire != Spire::Well
                || world.process.as_ref().is_none_or(|process| {
                    matches!(process.watcher, Watcher::Dead | Watcher::Due)
                        || process.health == Health::Dead
                }))
    }
}

impl Process {
    fn step(&mut self, event: Event, time: u8) {
        let (state, effects) = self.state.step(event, TIMING, now(time));
        self.state = state;
        if effects.contains(&Effect::Withdraw) {
            self.material = None;
        }
    }
}

impl Truth {
    fn hear(&mut self, event: Event, time: u8) {
        self.settle(time);
        match event {
            Event::FullUpdate => {
                *self = Self {
                    updated: Some(time),
                    ..Self::default()
                };
            }
            Event::Lost(loss) => {
                self.away.get_or_insert(time);
                self.blamed |= loss == Loss::OurFault;
                if loss == Loss::Refused {
                    self.refused.get_or_insert(time);
                }
                self.settle(time);
            }
            Event::Tick => {}
        }
    }

    fn settle(&mut self, time: u8) {
        self.withdrawn |= self.refused.is_some_and(|refused| time >= refused + GRACE);
    }

    fn at_start(disk: Disk, noted: Option<u8>, time: u8) -> Self {
        let fresh = Self {
            away: Some(time),
            refused: noted,
            withdrawn: noted.is_some_and(|first| time >= first + GRACE),
            ..Self::default()
        };
        match disk {
            Disk::Nothing => fresh,
            Disk::Tombstone(_) => Self {
                withdrawn: true,
                ..fresh
            },
            Disk::Material(updated) if time - updated < UNAVAILABLE_AFTER => Self {
                updated: Some(updated),
                away: Some(updated),
                ..fresh
            },
            Disk::Material(updated) => Self {
                updated: Some(updated),
                old_disk: true,
                ..fresh
            },
        }
    }

    /// Whether there is material, from a source that is there or has not been away for long.
    fn is_there(&self, time: u8) -> bool {
        let away = self
            .away
            .is_some_and(|away| time >= away + UNAVAILABLE_AFTER);
        self.updated.is_some() && !self.withdrawn && !self.old_disk && !away
    }

    /// Whether an outage may have been declared by now.
    fn may_be_outage(&self, time: u8) -> bool {
        self.old_disk
            || self
                .away
                .is_some_and(|away| time >= away + UNAVAILABLE_AFTER)
    }
}

impl Model for Agent {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let begin = |spire| World {
            time: 0,
            faults: FAULTS,
            spire,
            disk: Disk::Nothing,
            noted: None,
            process: None,
            truth: Truth::default(),
            clear: None,
        };
        vec![
            begin(Spire::Well),
            begin(Spire::Away),
            begin(Spire::Refuses),
        ]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.time < HORIZON && !Self::is_urgent(world) {
            actions.push(Action::Pass);
        }
        if world.spire != Spire::Well {
            actions.push(Action::SpireMends);
        }
        match &world.process {
            None => actions.push(Action::StartProcess),
            Some(process) => {
                actions.push(Action::DiskIsWritten);
                match process.watcher {
                    Watcher::Dead => actions.push(Action::StartWatcher),
                    Watcher::Due => actions.push(Action::Call),
                    Watcher::Called(_) | Watcher::GivenUp => {}
                }
                match process.health {
                    Health::Alive => actions.push(Action::HealthTicks),
                    Health::Dead => actions.push(Action::StartHealth),
                }
            }
        }
        if world.faults > 0 {
            actions.extend(Spire::BROKEN.map(Action::SpireBreaks));
            actions.extend([
                Action::StreamEnds,
                Action::DiskIsLost,
                Action::KillWatcher,
                Action::KillHealth,
                Action::KillProcess,
            ]);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Pass => {
                world.time += 1;
                world.forget_deaths();
                if let Some(process) = &mut world.process
                    && let Watcher::Called(_) = process.watcher
                    && process.state.phase() != Phase::Live
                    && !(self.broken == Broken::NeverCallsAgain && world.truth.refused.is_some())
                {
                    process.watcher = Watcher::Due;
                }
            }
            Action::SpireBreaks(how) => {
                world.faults -= 1;
                world.spire = how;
                world.stream_ends(self, how.event());
            }
            Action::SpireMends => world.spire = Spire::Well,
            Action::StreamEnds => {
                world.faults -= 1;
                world.stream_ends(self, Event::Lost(Loss::Ended));
            }
            Action::Call => self.call(&mut world),
            Action::HealthTicks => {
                let time = world.time;
                world.process.as_mut()?.step(Event::Tick, time);
            }
            Action::DiskIsWritten => world.write_disk(),
            Action::DiskIsLost => {
                world.faults -= 1;
                world.disk = Disk::Nothing;
                world.noted = None;
            }
            Action::KillWatcher => {
                world.faults -= 1;
                self.kill_watcher(&mut world);
            }
            Action::StartWatcher => world.process.as_mut()?.watcher = Watcher::Due,
            Action::KillHealth => {
                world.faults -= 1;
                world.process.as_mut()?.health = Health::Dead;
            }
            Action::StartHealth => world.process.as_mut()?.health = Health::Alive,
            Action::KillProcess => {
                world.faults -= 1;
                world.process = None;
            }
            Action::StartProcess => self.start(&mut world),
        }
        world.truth.settle(world.time);
        let since = world.clear.filter(|_| world.faults == before.faults);
        world.clear = (world.spire == Spire::Well && world.process.is_some())
            .then(|| since.unwrap_or(world.time));
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("too old", |model: &Self, world: &World| {
                every_mode(model, world, |stance, _| {
                    let fresh = world
                        .truth
                        .updated
                        .is_some_and(|updated| world.time - updated <= TTL);
                    let out = phase(world) == Some(Phase::Outage);
                    !out || !stance.judges_trust() || fresh
                })
            }),
            Property::always("opens in an outage alone", |model: &Self, world: &World| {
                every_mode(model, world, |stance, mode| {
                    let opens = matches!(stance, Stance::Open | Stance::OpenMaterial);
                    !opens || (mode == Mode::FailOpen && world.truth.may_be_outage(world.time))
                })
            }),
            Property::always(
                "opens at no fault of ours",
                |model: &Self, world: &World| {
                    every_mode(model, world, |stance, _| {
                        !matches!(stance, Stance::Open | Stance::OpenMaterial)
                            || !world.truth.blamed
                    })
                },
            ),
            Property::always("withdrawn refuses", |model: &Self, world: &World| {
                every_mode(model, world, |stance, _| {
                    !world.truth.withdrawn || stance == Stance::Refuse
                })
            }),
            Property::always("only an update renews contact", |_, world: &World| {
                let material = world.process.as_ref().and_then(|process| process.material);
                material.is_none() || material == world.truth.updated
            }),
            Property::always(
                "closed refuses in an outage",
                |model: &Self, world: &World| {
                    let out = phase(world) == Some(Phase::Outage);
                    !out || model.stance(world, Mode::FailClosed) == Some(Stance::Refuse)
                },
            ),
            Property::always("finds its way back", |_, world: &World| {
                let clear =
                    world.faults == 0 && world.clear.is_some_and(|since| world.time >= since + 2);
                !clear || phase(world) == Some(Phase::Live)
            }),
            Property::always(
                "a short absence denies nothing",
                |model: &Self, world: &World| {
                    !world.truth.is_there(world.time)
                        || every_mode(model, world, |stance, _| stance == Stance::Verify)
                },
            ),
            Property::always(
                "an outage answers as the mode promised",
                |model: &Self, world: &World| {
                    let out = phase(world) == Some(Phase::Outage);
                    !out || every_mode(model, world, |stance, mode| world.promised(mode) == stance)
                },
            ),
            Property::sometimes("withdrawn", |_, world: &World| {
                phase(world) == Some(Phase::Withdrawn)
            }),
            Property::sometimes("opens", |model: &Self, world: &World| {
                model.stance(world, Mode::FailOpen) == Some(Stance::Open)
            }),
            Property::sometimes("verifies in an outage", |model: &Self, world: &World| {
                phase(world) == Some(Phase::Outage)
                    && model.stance(world, Mode::Cache) == Some(Stance::Verify)
            }),
            Property::sometimes("the end is reached", |_, world: &World| {
                world.time == HORIZON && world.faults == 0
            }),
        ]
    }
}

impl World {
    /// What no budget counts any more makes no difference.
    fn forget_deaths(&mut self) {
        let time = self.time;
        if let Some(process) = &mut self.process {
            let counts = |died: &u8| u64::from(time - died) * 1_000 <= WITHIN_MS;
            process.deaths.retain(counts);
        }
    }

    fn stream_ends(&mut self, agent: &Agent, event: Event) {
        let time = self.time;
        let streaming = self.process.as_mut().filter(|process| {
            matches!(process.watcher, Watcher::Called(_)) && process.state.phase() == Phase::Live
        });
        if let Some(process) = streaming {
            process.watcher = Watcher::Due;
            process.step(Event::Tick, time);
            agent.event(self, event);
        }
    }

    fn write_disk(&mut self) {
        let time = self.time;
        let Some(process) = &self.process else { return };
        let before = match self.disk {
            Disk::Material(time) | Disk::Tombstone(Some(time)) => Some(time),
            Disk::Nothing | Disk::Tombstone(None) => None,
        };
        match (
            process.state.settled(TIMING, now(time)).phase(),
            process.material,
        ) {
            (Phase::Withdrawn, _) => {
                self.disk = Disk::Tombstone(before);
                self.noted = None;
                return;
            }
            (_, Some(material)) => {
                self.disk = Disk::Material(material);
                self.noted = None;
            }
            (_, None) => {}
        }
        if let Refusal::Since(first_ms) = process.state.refusal() {
            self.noted = Some(step_of(first_ms));
        }
    }
}

impl World {
    /// What the table of the decisions says of an outage.
    fn promised(&self, mode: Mode) -> Stance {
        let fresh = self
            .truth
            .updated
            .is_some_and(|updated| self.time - updated <= TTL);
        match (mode, fresh) {
            (Mode::FailClosed, _) | (Mode::Cache, false) => Stance::Refuse,
            (Mode::Cache, true) => Stance::Verify,
            (Mode::FailOpen, _) if self.truth.blamed => Stance::Refuse,
            (Mode::FailOpen, true) => Stance::OpenMaterial,
            (Mode::FailOpen, false) => Stance::Open,
        }
    }
}

fn phase(world: &World) -> Option<Phase> {
    let process = world.process.as_ref()?;
    Some(process.state.settled(TIMING, now(world.time)).phase())
}

fn every_mode(model: &Agent, world: &World, holds: impl Fn(Stance, Mode) -> bool) -> bool {
    Mode::ALL.into_iter().all(|mode| {
        model
            .stance(world, mode)
            .is_none_or(|stance| holds(stance, mode))
    })
}

#[test]
fn every_order_of_faults_keeps_every_promise() {
    let checker = Agent::sound().checker().threads(2).spawn_bfs().join();
    eprintln!(
        "{} states, {} of them different, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[test]
fn every_defect_made_on_purpose_is_found() {
    let defects = [
        (
            Broken::FailureRenewsContact,
            "only an update renews contact",
        ),
        (Broken::NoTtl, "too old"),
        (Broken::OpensEarly, "opens in an outage alone"),
        (Broken::OpensAtOurFault, "opens at no fault of ours"),
        (Broken::TombstoneLost, "withdrawn refuses"),
        (Broken::RefusalForgotten, "withdrawn refuses"),
        (Broken::NeverCallsAgain, "finds its way back"),
        (Broken::NobodyEscalates, "finds its way back"),
        (Broken::ClosedIsOpen, "closed refuses in an outage"),
        (Broken::NoPatience, "a short absence denies nothing"),
        (
            Broken::ModesForgotten,
            "an outage answers as the mode promised",
        ),
    ];
    let safe = Agent::sound().properties().into_iter();
    let safe = safe.filter(|property| matches!(property.expectation, Expectation::Always));
    for property in safe {
        let broken = defects.iter().any(|(_, name)| *name == property.name);
        assert!(broken, "no defect is made for {:?}", property.name);
    }
    for (broken, property) in defects {
        let checker = Agent { broken }
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        let found = checker.discovery(property);
        assert!(
            found.is_some(),
            "{broken:?} breaks {property:?}, and it was not found"
        );
    }
}
