//! An outage, as `explain` meets it: why SPIRE cannot be asked, what a running agent says of it, and
//! what requests meet in each mode.

use std::path::Path;

use actors::admin::status::Status;
use actors::policies::InForce;
use actors::trust::requests_meet;
use anyhow::bail;
use config::{AdminAddress, Settings};
use serde::Serialize;
use verdict::availability::{Blame, Phase, State, Trouble};
use verdict::policy::{Failure, Mode};
use verdict::time::{Age, Now};

use crate::material::Material;
use crate::status::ask;
use crate::when::span;

/// What is told of it.
#[derive(Debug, Serialize)]
pub(crate) struct Away {
    /// Why SPIRE cannot be asked; absent where it was not to be.
    pub(crate) spire: Option<String>,
    /// What to do about that.
    pub(crate) remedy: Option<String>,
    /// The state that is judged by, and how old the bundles are.
    pub(crate) state: String,
    /// What requests meet, in each mode.
    pub(crate) modes: Vec<Meets>,
}

/// What requests meet in one mode.
#[derive(Debug, Serialize)]
pub(crate) struct Meets {
    pub(crate) mode: &'static str,
    /// Whether it is the policy's.
    pub(crate) in_force: bool,
    pub(crate) requests: String,
}

/// `None` where SPIRE is there.
pub(super) fn of(material: &Material, policy: Option<&InForce>, now: Now) -> Option<Away> {
    let world = &material.world;
    let phase = world.state().settled(world.timing(), now).phase();
    let unasked = material.unasked.as_ref();
    if phase == Phase::Live && unasked.is_none() {
        return None;
    }
    let failure = policy.map_or_else(Failure::default, |policy| *policy.policy.failure());
    let meets = |mode: Mode| {
        let asked = Failure {
            spire_unavailable: mode,
            ..failure
        };
        let requests = requests_meet(world, &[asked], now);
        let prefix = format!("{}: ", mode.as_str());
        Meets {
            mode: mode.as_str(),
            in_force: policy.is_some() && failure.spire_unavailable == mode,
            requests: requests
                .strip_prefix(&prefix)
                .unwrap_or(&requests)
                .to_owned(),
        }
    };
    let age = match world.snapshot().contact().map(|contact| contact.age(now)) {
        None => "no bundles".to_owned(),
        Some(Age::Ms(ms)) => format!("bundles confirmed {} ago", span(ms)),
        Some(Age::InTheFuture) => "bundles from the future: the clock was set back".to_owned(),
    };
    Some(Away {
        spire: unasked.map(|unasked| unasked.why.clone()),
        remedy: unasked.map(|unasked| unasked.remedy.clone()),
        state: format!("{}, {age}", phase.as_str()),
        modes: Mode::ALL.map(meets).into(),
    })
}

/// What a running agent knows that asks the same SPIRE: since when it is away, and where its bundles
/// are kept. Without one, what an agent would know that starts now.
///
/// # Errors
/// It has bundles, and none of them is to be had here.
pub(super) async fn as_the_agent(
    settings: &Settings,
    material: Material,
    now: Now,
) -> anyhow::Result<Material> {
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return Ok(material);
    };
    let Ok((200, json)) = ask::get(address, "/status").await else {
        return Ok(material);
    };
    let status = serde_json::from_slice::<Status>(&json).ok();
    let socket = settings.spire_socket().value.as_path();
    let said = |status: &Status, key: &str| {
        let mut all = status.configuration.iter();
        let setting = all.find(|setting| setting.key == key)?;
        Some(setting.value.trim_matches('"').to_owned())
    };
    // Another agent's SPIRE is not ours.
    let ours = |status: &Status| {
        said(status, "spire.socket").is_some_and(|path| Path::new(&path) == socket)
    };
    let Some(status) = status.filter(ours) else {
        return Ok(material);
    };
    let kept = said(&status, "agent.state-dir").filter(|_| settings.agent().state_dir.is_none());
    let material = match kept {
        Some(dir) => material.with_stored(Path::new(&dir), socket, now),
        None => material,
    };
    let told = format!(
        "{}; the agent at {address} says {} for {}",
        material.origin,
        status.trust.state,
        span(status.trust.for_ms)
    );
    if material.world.snapshot().is_empty() && status.trust.domains_total > 0 {
        let why = material.unasked.map(|unasked| unasked.why);
        bail!(
            "{}, while the agent at {address} has bundles: by what it judges is not to be had here; run this as the \
             agent's user, or give the bundles: --bundle DOMAIN=FILE",
            why.unwrap_or_default()
        );
    }
    let state = state_of(&status, now).unwrap_or(material.world.state());
    Ok(Material {
        origin: told,
        ..material.in_state(state)
    })
}

/// The state that the agent says it is in.
fn state_of(status: &Status, now: Now) -> Option<State> {
    let since_ms = now.boot_ms.saturating_sub_unsigned(status.trust.for_ms);
    let blame = match status.trust.fault.as_str() {
        "ours" => Blame::Ours,
        _ => Blame::Theirs,
    };
    let trouble = Trouble {
        blame,
        ..Trouble::NONE
    };
    let mut phases = Phase::ALL.into_iter();
    let phase = phases.find(|phase| phase.as_str() == status.trust.state)?;
    Some(match phase {
        Phase::Starting => return None,
        Phase::Live => State::Live { since_ms },
        Phase::Interrupted => State::Interrupted { since_ms, trouble },
        Phase::Outage => State::Outage { since_ms, trouble },
        Phase::Withdrawn => State::Withdrawn { since_ms, blame },
    })
}
