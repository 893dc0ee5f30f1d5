//! The stage of one run: SPIRE, the agent, bad proxies; and the steps of the timeline done to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::scenario::action::{Action, ClockMove, Damage, Part, Process, Room};
use crate::scenario::caller::Caller;
use crate::scenario::{AgentClock, Scenario};

use super::callers::Callers;
use super::files::Home;
use super::process::{AgentProcess, Launch, Wrapping};
use super::proxies::BadProxies;
use super::recording::Event;
use super::sheet::Sheet;
use super::spire::Spire;
use super::{Acts, Options, RunError};

/// How long the first bundles may take.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// What the agent logs when it takes orders by its standard input.
const HOOKS: &str = "chaos hooks";
/// What it logs of an order that was carried out, and of one that met nobody.
const ORDER_DONE: &str = "chaos hooks: done";
const ORDER_ABOUT_NOBODY: &str = "struck=0";
/// How long an order may take on a busy machine.
const ORDER_WITHIN: Duration = Duration::from_secs(5);
/// Room on a full disk, bytes: none that would do for anything.
const FULL_DISK_BYTES: u64 = 1;

pub(super) struct Stage {
    spire: Spire,
    launch: Launch,
    agent: Option<AgentProcess>,
    proxies: BadProxies,
    pub(super) callers: Arc<Callers>,
    pub(super) sheet: Arc<Sheet>,
    /// The last to go: the others write in it until their end.
    home: Home,
}

impl Acts for Stage {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    async fn act(&mut self, planned_ms: u64, action: &Action) -> Result<(), RunError> {
        let began_ms = self.sheet.now_ms();
        self.perform(action).await?;
        self.sheet.event(Event {
            planned_ms,
            began_ms,
            done_ms: self.sheet.now_ms(),
            action: action.clone(),
        });
        Ok(())
    }
}

impl Stage {
    /// Everything up, and the agent has its first bundles.
    pub(super) async fn set(scenario: &Scenario, options: &Options) -> Result<Self, RunError> {
        let home = Home::new(&scenario.agent)?;
        let mut spire = Spire::start(&home.path(""), scenario, options).await?;
        let sheet = Arc::new(Sheet::new());
        let mut environment = Vec::new();
        if scenario.agent.clock == AgentClock::Driven {
            environment.push(("CHAOS_CLOCK", "driven".to_owned()));
        }
        let launch = Launch {
            binary: options.agent.clone(),
            arguments: home.arguments(&scenario.agent, &spire.socket()),
            environment,
            wrapping: wrapping(scenario),
            sheet: Arc::clone(&sheet),
        };
        let callers = spire.callers().await?;
        let mut stage = Self {
            proxies: BadProxies::new(home.path("agent.sock")),
            agent: Some(launch.start().await?),
            home,
            spire,
            launch,
            callers,
            sheet,
        };
        stage.ready(scenario).await?;
        Ok(stage)
    }

    async fn ready(&mut self, scenario: &Scenario) -> Result<(), RunError> {
        if !self.sheet.said(0, "to=\"Live\"", READY_WITHIN).await {
            return Err(RunError::Agent {
                what: "wait for its first bundles".to_owned(),
                why: self.sheet.last_lines(20),
            });
        }
        if needs_hooks(scenario) && !self.sheet.said(0, HOOKS, Duration::from_millis(50)).await {
            return Err(RunError::Skipped(
                "the agent is built without its chaos hooks (--features chaos-hooks)".to_owned(),
            ));
        }
        Ok(())
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.path("agent.sock")
    }

    async fn perform(&mut self, action: &Action) -> Result<(), RunError> {
        match action {
            Action::Spire(act) => self.spire.act(*act, &self.callers).await,
            Action::Agent(act) => self.process(*act).await,
            Action::Actor(Part::Kill, name) => self.order(&format!("kill {name}")).await,
            Action::Actor(Part::Panic, name) => self.order(&format!("panic {name}")).await,
            Action::Actor(Part::Wedge(ms), name) => self.order(&format!("wedge {name} {ms}")).await,
            Action::Clock(moved) => {
                let order = match moved {
                    ClockMove::Ahead(s) => format!("wall {s}000"),
                    ClockMove::Behind(s) => format!("wall -{s}000"),
                    ClockMove::Sleep(s) => format!("sleep {s}000"),
                };
                self.order(&order).await
            }
            Action::Disk(room) => {
                let most = (*room == Room::Full).then_some(FULL_DISK_BYTES);
                self.agent()?.limit_files(most)
            }
            Action::Descriptors(room) => self.agent()?.limit_descriptors(*room == Room::Full),
            Action::StateFile(damage) => self.damage(*damage),
            Action::Proxy(what, count) => {
                let question = self.callers.ask(Caller::Frontend, 0);
                if let Some(question) = question {
                    self.proxies.begin(*what, *count, &question.request);
                }
                Ok(())
            }
        }
    }

    async fn process(&mut self, act: Process) -> Result<(), RunError> {
        match act {
            Process::Kill => self.agent()?.kill().await?,
            Process::Suspend => self.agent()?.suspend()?,
            Process::Resume => self.agent()?.resume()?,
            Process::Restart => {
                self.agent()?.stop().await?;
                self.agent = Some(self.launch.start().await?);
            }
            Process::Start => self.agent = Some(self.launch.start().await?),
        }
        Ok(())
    }

    /// Returns once it is carried out: an order about nobody shows nothing.
    async fn order(&mut self, order: &str) -> Result<(), RunError> {
        let mark = self.sheet.mark();
        self.agent()?.order(order)?;
        let done = self.sheet.said(mark, ORDER_DONE, ORDER_WITHIN).await;
        if done && !self.sheet.has(mark, ORDER_ABOUT_NOBODY) {
            return Ok(());
        }
        Err(RunError::Agent {
            what: format!("carry out {order:?}"),
            why: self.sheet.last_lines(3),
        })
    }

    fn damage(&self, damage: Damage) -> Result<(), RunError> {
        self.home.damage(damage)
    }

    fn agent(&mut self) -> Result<&mut AgentProcess, RunError> {
        self.agent.as_mut().ok_or_else(|| RunError::Agent {
            what: "act on it".to_owned(),
            why: "it was never started".to_owned(),
        })
    }

    /// Takes everything down in order; the records are whole afterwards.
    pub(super) async fn strike(mut self, scenario: &Scenario) -> Result<Recorded, RunError> {
        drop(self.proxies);
        let ended_ms = self.sheet.now_ms();
        let mut recording = None;
        if let Some(agent) = self.agent.as_mut() {
            // What the process does on its way down is not part of the run.
            recording = Some(self.sheet.take());
            agent.stop().await?;
        }
        let mut recording = recording.unwrap_or_else(|| self.sheet.take());
        recording.ended_ms = ended_ms;
        recording.records = self.home.records(&scenario.agent)?;
        Ok(Recorded(recording))
    }
}

/// What the stage leaves.
pub(super) struct Recorded(pub(super) super::recording::Recording);

fn wrapping(scenario: &Scenario) -> Wrapping {
    use crate::scenario::action::Spire as Act;
    let steps = &scenario.timeline.steps;
    Wrapping {
        survives_a_full_disk: steps
            .iter()
            .any(|step| matches!(step.action, Action::Disk(_))),
        obeys_modes: steps
            .iter()
            .any(|step| step.action == Action::Spire(Act::SocketForbidden)),
    }
}

fn needs_hooks(scenario: &Scenario) -> bool {
    let mut steps = scenario.timeline.steps.iter();
    steps.any(|step| matches!(step.action, Action::Actor(..) | Action::Clock(_)))
}
