//! The file: a scenario, and its twin.

use std::collections::BTreeSet;

use super::caller::Caller;
use super::error::{Rule, ScenarioError};
use super::promise::{A_PROMISE, Always, Kind, Promise, promise};
use super::reader::{Node, Read, Source};
use super::{Records, Scenario, Twin, ends, process, setup, timeline};

/// What a scenario's file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioFile {
    /// The scenario.
    pub scenario: Scenario,
    /// The same with one promise broken on purpose.
    pub twin: Twin,
}

const KEYS: [&str; 6] = ["shows", "agent", "load", "timeline", "promises", "twin"];
const TWIN_KEYS: [&str; 4] = ["agent", "load", "timeline", "promises"];

impl ScenarioFile {
    /// Reads a file's text. `file` is its name; without `.kdl` it must be the scenario's.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let document = source.parse()?;
        let mut nodes = document.nodes().iter().map(|node| Node::new(node, &source));
        let root = nodes.next().ok_or_else(|| {
            let (of, what) = (file.to_owned(), "a scenario");
            source.fail(0, Rule::Missing { of, what })
        })?;
        for node in [root].into_iter().chain(nodes.next()) {
            if node.name() != "scenario" {
                return Err(node.unknown(
                    "thing to put here",
                    node.name(),
                    ["scenario"].into_iter(),
                ));
            }
        }
        if let Some(second) = document.nodes().get(1) {
            return Err(Node::new(second, &source).fail(Rule::Twice("scenario".to_owned())));
        }
        named_as_its_file(&root, file)?;
        root.only(&[], &KEYS)?;
        let twin = root.child("twin")?.ok_or_else(|| root.missing("twin"))?;
        let (plain, altered) = (scenario(&root, None)?, read_twin(&root, &twin)?);
        if plain == altered.scenario {
            return Err(twin.fail(Rule::SameTwin));
        }
        Ok(Self {
            scenario: plain,
            twin: altered,
        })
    }
}

fn named_as_its_file(root: &Node<'_>, file: &str) -> Read<()> {
    let stem = file.strip_suffix(".kdl").unwrap_or(file);
    let stem = stem.rsplit('/').next().unwrap_or(stem);
    let name = root.word("a name")?;
    if name == stem {
        return Ok(());
    }
    let (name, file) = (name.to_owned(), stem.to_owned());
    Err(root.fail(Rule::Named { name, file }))
}

fn read_twin(root: &Node<'_>, twin: &Node<'_>) -> Read<Twin> {
    twin.no_arguments()?;
    twin.only(&["breaks"], &TWIN_KEYS)?;
    let breaks = twin.named("breaks")?;
    let breaks = breaks.ok_or_else(|| twin.missing("breaks"))?.to_owned();
    let scenario = scenario(root, Some(twin))?;
    let always = Always::ALL.iter().any(|always| always.as_str() == breaks);
    if !always
        && !scenario
            .promises
            .iter()
            .any(|promise| promise.name == breaks)
    {
        return Err(twin.fail(Rule::NoSuchPromise(breaks)));
    }
    Ok(Twin { breaks, scenario })
}

/// The scenario's node, and its twin's where that is read.
struct Written<'n> {
    root: &'n Node<'n>,
    twin: Option<&'n Node<'n>>,
}

impl<'n> Written<'n> {
    /// Where a promise is given: the twin's, if it alters it.
    fn place(&self, promise: &Promise) -> Node<'n> {
        let given = |by: &Node<'n>| {
            let named = |node: &Node<'n>| node.word("").is_ok_and(|name| name == promise.name);
            let promises = by.child("promises").ok().flatten()?;
            promises.children().find(named)
        };
        let altered = self.twin.and_then(given);
        altered.or_else(|| given(self.root)).unwrap_or(*self.root)
    }
}

fn scenario(root: &Node<'_>, twin: Option<&Node<'_>>) -> Read<Scenario> {
    // What the twin says holds in place of what the scenario says.
    let place = |name| match twin.map(|twin| twin.child(name)).transpose()?.flatten() {
        Some(altered) => Ok(Some(altered)),
        None => root.child(name),
    };
    let shows = root.child("shows")?.ok_or_else(|| root.missing("shows"))?;
    shows.only(&[], &[])?;
    let mut agents: Vec<_> = root.child("agent")?.into_iter().collect();
    if let Some(twin) = twin {
        agents.extend(twin.child("agent")?);
    }
    let timeline = place("timeline")?.ok_or_else(|| root.missing("timeline"))?;
    let scenario = Scenario {
        name: root.word("a name")?.to_owned(),
        shows: shows.word("a sentence")?.to_owned(),
        agent: setup::agent(root, &agents)?,
        load: setup::load(place("load")?)?,
        timeline: timeline::timeline(&timeline)?,
        promises: promises(root, twin)?,
    };
    let written = Written { root, twin };
    check(&written, &scenario)?;
    process::check(root, &scenario)?;
    if twin.is_none() {
        shows_something(&written, &scenario)?;
    }
    Ok(scenario)
}

/// The scenario's, each replaced by the twin's of the same name.
fn promises(root: &Node<'_>, twin: Option<&Node<'_>>) -> Read<Vec<Promise>> {
    let mut promises = Vec::new();
    let node = root
        .child("promises")?
        .ok_or_else(|| root.missing("promises"))?;
    is_a_list(&node)?;
    for child in node.children() {
        let new = promise(&child)?;
        let known = |known: &Promise| known.name == new.name;
        if Always::ALL.iter().any(|always| always.as_str() == new.name) {
            return Err(child.fail(Rule::Unasked(new.name)));
        }
        if promises.iter().any(known) {
            return Err(child.fail(Rule::Twice(new.name)));
        }
        promises.push(new);
    }
    let altered = twin.map(|twin| twin.child("promises")).transpose()?;
    if let Some(node) = altered.flatten() {
        is_a_list(&node)?;
    }
    for child in altered.flatten().iter().flat_map(Node::children) {
        let new = promise(&child)?;
        let mut known = promises.iter_mut();
        match known.find(|known| known.name == new.name) {
            Some(known) => *known = new,
            None => return Err(child.fail(Rule::NoSuchPromise(new.name))),
        }
    }
    Ok(promises)
}

/// Promises and nothing else; one at least, or the file says that it promises and does not.
fn is_a_list(node: &Node<'_>) -> Read<()> {
    node.no_arguments()?;
    node.only_properties(&[])?;
    match node.children().next() {
        Some(_) => Ok(()),
        None => Err(node.missing(A_PROMISE)),
    }
}

/// What no single node shows: moments within the timeline, callers within the load.
fn check(written: &Written<'_>, scenario: &Scenario) -> Read<()> {
    let lasts_ms = scenario.timeline.lasts_ms;
    let asking: BTreeSet<Caller> = scenario.load.callers.iter().copied().collect();
    for promise in &scenario.promises {
        let place = written.place(promise);
        let (callers, at_ms): (&[Caller], u64) = match &promise.kind {
            Kind::Window {
                callers,
                to_ms,
                states,
                ..
            } => {
                let has_records = matches!(scenario.agent.records, Records::Kept | Records::Lossy);
                if !states.is_empty() && !has_records {
                    return Err(place.fail(Rule::NoRecords));
                }
                (callers, *to_ms)
            }
            Kind::Recovery {
                callers, after_ms, ..
            } => (callers, *after_ms),
            Kind::Recoveries { callers, .. } => (callers, 0),
            Kind::Restarts { actor, .. } => {
                is_restarted(&place, actor, scenario)?;
                (&[], 0)
            }
            Kind::Transitions { .. } | Kind::Says(_) => (&[], 0),
        };
        if at_ms > lasts_ms {
            return Err(place.fail(Rule::TooLate { at_ms, lasts_ms }));
        }
        if let Some(silent) = callers.iter().find(|caller| !asking.contains(caller)) {
            return Err(place.fail(Rule::NeverAsks(silent.as_str())));
        }
    }
    Ok(())
}

/// Whoever is never started again has no restarts to promise, few or many.
fn is_restarted(place: &Node<'_>, actor: &str, scenario: &Scenario) -> Read<()> {
    let (all, restarted) = (&scenario.agent.actors, scenario.agent.actors.restarted());
    if restarted.has(actor) {
        return Ok(());
    }
    let known = restarted.to_string();
    let actor = actor.to_owned();
    Err(place.fail(match all.has(&actor) {
        true => Rule::NeverRestarted { actor, known },
        false => Rule::NoActor { actor, known },
    }))
}

/// What a scenario must show by itself. A twin may leave a step out: that may be how it breaks.
fn shows_something(written: &Written<'_>, scenario: &Scenario) -> Read<()> {
    let steps = &scenario.timeline.steps;
    if steps.is_empty() {
        return Err(written.root.fail(Rule::NoSteps));
    }
    ends::check(written.root, scenario)?;
    for promise in &scenario.promises {
        let Kind::Recovery {
            after_ms,
            within_ms,
            ..
        } = promise.kind
        else {
            continue;
        };
        let place = written.place(promise);
        if !steps.iter().any(|step| step.at_ms == after_ms) {
            return Err(place.fail(Rule::NoStep(after_ms)));
        }
        let (at_ms, lasts_ms) = (
            after_ms.saturating_add(within_ms),
            scenario.timeline.lasts_ms,
        );
        if at_ms > lasts_ms {
            return Err(place.fail(Rule::TooLate { at_ms, lasts_ms }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
