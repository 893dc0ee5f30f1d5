//! Before a run on somebody's deployment: whether its agent answers as every scenario assumes.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, ClientError, Decision, Hello};
use crate::run::recording::Outcome;
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;

use super::RunError;
use super::callers::{Callers, Question};
use super::classify::{classify, let_pass_by};

/// How long a deployment's agent may take to find SPIRE behind the relay.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(250);
/// Tries in a row that may stay without an answer, each for as long as a proxy waits: once, a machine may be
/// busy.
const UNANSWERED_MAX: u8 = 1;

/// Waits until the caller with the real certificate is allowed as itself.
pub(super) async fn until_verified(socket: &Path, callers: &Callers) -> Result<(), RunError> {
    let question = callers.ask(Caller::Frontend, 0);
    let question = question.ok_or(RunError::Unready("nobody to ask as".to_owned()))?;
    let until = Instant::now() + READY_WITHIN;
    let mut unanswered = Unanswered::default();
    loop {
        let asked = asked(socket, &question).await;
        if unanswered.is_silence_with(&asked) {
            return Err(silent(socket));
        }
        let seen = match asked {
            Ok(answer) => match classify(&question, &answer, None) {
                Outcome::Said(Said::Verified) => return Ok(()),
                other => {
                    condition(&question, &answer)?;
                    named_otherwise(&other, &answer)?;
                    unlike_verified(&other)
                }
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(RunError::flag("--agent-socket", socket, seen));
        }
        tokio::time::sleep(READY_EVERY).await;
    }
}

/// Tries in a row without an answer.
#[derive(Default)]
struct Unanswered(u8);

impl Unanswered {
    /// Whether they are more with this one than a busy machine explains.
    fn is_silence_with<T>(&mut self, asked: &Result<T, ClientError>) -> bool {
        self.0 = match asked {
            Ok(_) => 0,
            Err(ClientError::Timeout { .. }) => self.0.saturating_add(1),
            Err(_) => self.0,
        };
        self.0 > UNANSWERED_MAX
    }
}

/// A second try, as a machine may be busy once.
async fn asked_again(socket: &Path, question: &Question) -> Result<Answer, RunError> {
    let answer = match asked(socket, question).await {
        Ok(answer) => return Ok(answer),
        Err(_) => asked(socket, question).await,
    };
    answer.map_err(|error| match error {
        ClientError::Timeout { .. } => silent(socket),
        other => RunError::flag("--agent-socket", socket, other.to_string()),
    })
}

async fn asked(socket: &Path, question: &Question) -> Result<Answer, ClientError> {
    let client = Client::connect(socket, Hello::default()).await?;
    client.ask(&question.request).await
}

/// Somebody listens there and is not at work, or is no agent.
fn silent(socket: &Path) -> RunError {
    RunError::Unready(format!(
        "who listens on --agent-socket {} does not answer: see whether its process is stopped (SIGSTOP, a \
         debugger), and whether it is the agent",
        socket.display()
    ))
}

/// What came instead of an allowed caller, and what to do about it.
fn unlike_verified(outcome: &Outcome) -> String {
    let said = match outcome {
        Outcome::Said(said) => said,
        Outcome::Wrong(what) => return format!("the caller of --caller {}", brief(what)),
        Outcome::Lost | Outcome::Unsent | Outcome::Silent => return "no answer came".to_owned(),
    };
    let remedy = match said {
        Said::Verified => "",
        Said::FailOpen | Said::Denied("TRUST_UNAVAILABLE") => return no_bundles(*said),
        Said::Denied("MALFORMED" | "NO_CREDENTIAL") => {
            ": the tool sends Envoy's x-forwarded-client-cert and nothing else: give the agent under test \
             client-cert-header \"x-forwarded-client-cert\" and client-cert-format \"xfcc\""
        }
        Said::Denied("NOT_ALLOWED") => ": its policy does not list the ID; name one that it does",
        Said::Denied("EXPIRED") => ": fetch the certificate again",
        Said::Denied(_) => ": its log and its record say why",
    };
    format!("the caller of --caller is answered {said}{remedy}")
}

/// An allow that nobody could read: no time helps.
fn named_otherwise(outcome: &Outcome, answer: &Answer) -> Result<(), RunError> {
    match outcome {
        Outcome::Wrong(what) if answer.decision == Decision::Allow => {
            Err(RunError::Unready(format!(
                "the caller of --caller {}: scenarios read identity headers by their default names; give \
                 the agent under test `headers` as they are by default",
                brief(what)
            )))
        }
        _ => Ok(()),
    }
}

/// Without the answer itself, of which nobody reads so much.
fn brief(what: &str) -> &str {
    what.split(": {").next().unwrap_or(what)
}

/// The agent that is behind the relay gets what SPIRE gives the tool.
fn no_bundles(said: Said) -> String {
    let uid = rustix::process::geteuid().as_raw();
    format!(
        "the caller of --caller is answered {said}: the agent has no bundles from SPIRE. Whoever comes by \
         the relay is the tool to SPIRE: SPIRE must attest the tool itself and give it an SVID, so \
         register an entry whose selectors fit the tool, as unix:uid:{uid}; and see that the SPIRE agent \
         is well. The agent's log says what it was told"
    )
}

/// Whether those whom nobody may take for somebody are refused: an agent that is to let them pass breaks no
/// promise by it, and no scenario shows anything of it.
pub(super) async fn until_refused(socket: &Path, callers: &Callers) -> Result<(), RunError> {
    for caller in [Caller::Nobody, Caller::Garbage, Caller::Forged] {
        if let Some(question) = callers.ask(caller, 0) {
            let answer = asked_again(socket, &question).await?;
            condition(&question, &answer)?;
        }
    }
    Ok(())
}

/// An answer by a setting that no scenario has.
fn condition(question: &Question, answer: &Answer) -> Result<(), RunError> {
    let Some(setting) = let_pass_by(question, answer) else {
        return Ok(());
    };
    Err(RunError::Unready(format!(
        "its agent lets {} pass without identity, by {setting}: scenarios assume that it refuses; give the \
         agent under test the default",
        question.caller.as_str()
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// As one whose process is stopped: the kernel takes connections for it.
    #[tokio::test]
    async fn an_agent_that_does_not_answer_is_told_to_be_silent() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("agent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let now = crate::run::callers::unix_now();
        let world = crate::world::World::start(home.path().join("spire.sock"), now).unwrap();
        let callers = Callers::of(&world).unwrap();
        let why = until_verified(&socket, &callers).await.unwrap_err();
        assert!(matches!(why, RunError::Unready(_)), "{why}");
        assert!(why.to_string().contains("does not answer"), "{why}");
    }

    #[test]
    fn silence_is_of_tries_in_a_row() {
        let late = || {
            Err(ClientError::Timeout {
                what: "an answer".to_owned(),
                after_ms: 0,
            })
        };
        let mut unanswered = Unanswered::default();
        let silent = [late(), Ok(()), late(), late()].map(|one| unanswered.is_silence_with(&one));
        assert_eq!(silent, [false, false, false, true]);
    }

    /// It hangs up on whoever comes.
    #[tokio::test]
    async fn who_is_to_be_refused_is_asked_for_a_second_time() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let came = tokio::spawn(async move {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        });
        let now = crate::run::callers::unix_now();
        let world = crate::world::World::start(home.path().join("spire.sock"), now).unwrap();
        let callers = Callers::of(&world).unwrap();
        let why = until_refused(&socket, &callers).await.unwrap_err();
        assert!(why.to_string().starts_with("--agent-socket "), "{why}");
        came.await.unwrap();
    }

    #[test]
    fn an_agent_without_bundles_is_told_whom_spire_attests() {
        for said in [Said::Denied("TRUST_UNAVAILABLE"), Said::FailOpen] {
            let told = unlike_verified(&Outcome::Said(said));
            for words in [
                &said.to_string(),
                "attest the tool itself",
                "an SVID",
                "unix:uid:",
            ] {
                assert!(told.contains(words), "{told}");
            }
        }
    }
}
