//! A push: the proxy's handshake `config`, or a Configure message. It is applied whole or not at all.

use std::fmt;

use verdict::policy::PolicySpec;

use crate::blocks::{self, Blocks};
use crate::decode::Decoder;
use crate::endpoint::SocketPath;
use crate::file::MAX_CONFIG_BYTES;
use crate::json::Json;
use crate::problem::{ConfigErrors, Input, Problem, Rule, Shown};
use crate::settings::Settings;
use crate::spire::NamedTimings;
use crate::tree::{Node, Place};

/// A push that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push(Blocks);

/// What becomes of a push. All three are answered allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `accept-pushed-config` is false: a refusal would make the proxy drop every connection.
    Ignored,
    /// `{}` or `null`: the policy stays as it was, perhaps none.
    Nothing,
    /// The policy of the connection from now on.
    Applied(Box<Applied>),
}

/// The effect of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The connection's policy.
    pub policy: PolicySpec,
    /// The times the push names; they outlive a push that omits them ([`NamedTimings::over`]).
    pub timings: NamedTimings,
    /// What was not applied, for the log.
    pub notices: Vec<Notice>,
}

/// Something a push said that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The trust root is not the pusher's to choose.
    OtherSpireSocket {
        /// As pushed.
        pushed: SocketPath,
        /// The one in force.
        in_force: SocketPath,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSpireSocket { pushed, in_force } => write!(
                f,
                "spire.socket: pushed {pushed}, but {in_force} is in force: a push cannot choose the trust root"
            ),
        }
    }
}

impl Push {
    /// Reads a push; `None` is no push at all (`{}`, `null`).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Option<Self>, ConfigErrors> {
        if json.len() > MAX_CONFIG_BYTES {
            let rule = Rule::TooLarge {
                max: MAX_CONFIG_BYTES,
                found: json.len(),
            };
            return Err(fatal(rule));
        }
        let json: Json = serde_json::from_slice(json)
            .map_err(|error| fatal(Rule::Json(Shown::new(&error.to_string()))))?;
        Self::from_json(json)
    }

    /// The same for a push that came as part of something larger.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(json: Json) -> Result<Option<Self>, ConfigErrors> {
        if json.says_nothing() {
            return Ok(None);
        }
        let nodes = json
            .into_nodes()
            .map_err(|found| fatal(Rule::NotAnObject(found)))?;
        let mut decoder = Decoder::default();
        refuse_own(&nodes, &mut decoder);
        let blocks = blocks::read(&nodes, &mut decoder);
        decoder.problems.or(Some(Self(blocks)), Input::Push)
    }

    /// The policy that follows, blocks this push does not name coming from the file, else the default.
    ///
    /// # Errors
    /// When the pushed blocks do not go together with the file's.
    pub fn apply(&self, settings: &Settings) -> Result<Applied, ConfigErrors> {
        let blocks = self.0.policy.over(&settings.file_blocks());
        let policy = blocks
            .spec(&self.0.places)
            .map_err(|problem| ConfigErrors::fatal(problem, Input::Push))?;
        let in_force = &settings.spire_socket().value;
        let other = self.0.spire.socket.as_ref();
        let other = other.filter(|pushed| *pushed != in_force);
        let notice = |pushed: &SocketPath| Notice::OtherSpireSocket {
            pushed: pushed.clone(),
            in_force: in_force.clone(),
        };
        Ok(Applied {
            policy,
            timings: self.0.spire.timings,
            notices: other.map(notice).into_iter().collect(),
        })
    }
}

impl Settings {
    /// Takes a push as it comes in.
    ///
    /// # Errors
    /// Everything that is wrong with it: answer block with [`ConfigErrors::to_text`].
    pub fn take_push(&self, json: &[u8]) -> Result<Outcome, ConfigErrors> {
        self.take(|| Push::parse(json))
    }

    /// The same for a push that came as part of something larger.
    ///
    /// # Errors
    /// As [`Settings::take_push`].
    pub fn take_json(&self, json: Json) -> Result<Outcome, ConfigErrors> {
        self.take(|| Push::from_json(json))
    }

    /// Where pushes are not accepted, they are not even read: a refusal would break the proxy.
    fn take(
        &self,
        read: impl FnOnce() -> Result<Option<Push>, ConfigErrors>,
    ) -> Result<Outcome, ConfigErrors> {
        if !self.agent().accept_pushed_config.value {
            return Ok(Outcome::Ignored);
        }
        match read()? {
            None => Ok(Outcome::Nothing),
            Some(push) => Ok(Outcome::Applied(Box::new(push.apply(self)?))),
        }
    }
}

/// What only the process's own file may say.
fn refuse_own(nodes: &[Node], decoder: &mut Decoder) {
    let advice = "leave it out of the proxy's config, and say it in the agent's --config";
    let mut refuse = |at: &Place, key| {
        let problem = Problem::new(at.clone(), Rule::NotPushable(key));
        decoder.problems.push(problem.advise(advice));
    };
    for node in nodes {
        match node.name.as_str() {
            "agent" => refuse(&node.at, "agent"),
            "audit" => {
                let children = node.children.iter().flatten();
                for child in children {
                    match child.name.as_str() {
                        "sink" => refuse(&child.at, "audit.sink"),
                        "on-full" => refuse(&child.at, "audit.on-full"),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn fatal(rule: Rule) -> ConfigErrors {
    ConfigErrors::fatal(Problem::new(Place::Whole, rule), Input::Push)
}
