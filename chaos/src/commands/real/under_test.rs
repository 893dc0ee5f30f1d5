//! The agent under test, and who asks it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use chaos::ca::IssuedSvid;
use chaos::client::{Answer, Client, Decision, Hello, Request};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::Failed;

pub(super) const FRONTEND: &str = "spiffe://example.org/frontend";
/// Longest wait for anything of the agent's, on a busy machine.
const WITHIN: Duration = Duration::from_secs(30);
/// Between two requests of one caller.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What a caller was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Allowed as whom its certificate names.
    Verified,
    /// Allowed, but not as a verified identity.
    Unverified,
    /// Denied, for this reason.
    Denied(String),
}

/// The agent in one mode, with a directory of its own.
pub(super) struct UnderTest {
    binary: PathBuf,
    directory: PathBuf,
    arguments: Vec<String>,
    running: Option<Child>,
}

impl UnderTest {
    pub(super) async fn start(
        binary: &Path,
        directory: &Path,
        spire: &Path,
        mode: &str,
    ) -> Result<Self, Failed> {
        let path = |name: &str| directory.join(name).display().to_string();
        std::fs::create_dir_all(directory.join("state")).map_err(Failed::system("make state"))?;
        let config = configuration(mode, &path("audit.jsonl"));
        std::fs::write(path("agent.kdl"), config).map_err(Failed::system("write agent.kdl"))?;
        let spire = spire.display().to_string();
        let flags = [
            ("--config", path("agent.kdl")),
            ("--socket", path("agent.sock")),
            ("--state-dir", path("state")),
            ("--spire-socket", spire),
        ];
        let flags = flags.into_iter();
        let mut agent = Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            arguments: flags
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            running: None,
        };
        agent.start_again()?;
        Ok(agent)
    }

    /// A new process, as a service manager starts it.
    pub(super) fn start_again(&mut self) -> Result<(), Failed> {
        let mut log = File::options();
        let log = log.create(true).append(true);
        let log = log.open(self.directory.join("agent.log"));
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.map_err(Failed::system("open agent.log"))?);
        let child = command.spawn().map_err(Failed::system("start the agent"))?;
        self.running = Some(child);
        Ok(())
    }

    /// SIGKILL, and its end.
    pub(super) async fn kill(&mut self) -> Result<(), Failed> {
        match self.running.take() {
            Some(mut child) => child.kill().await.map_err(Failed::system("kill the agent")),
            None => Ok(()),
        }
    }

    /// A connection, as soon as there is somebody to connect to.
    pub(super) async fn connect(&self) -> Result<Client, Failed> {
        let began = Instant::now();
        loop {
            match Client::connect(self.directory.join("agent.sock"), Hello::default()).await {
                Ok(client) => return Ok(client.with_timeout(WITHIN)),
                Err(error) if began.elapsed() > WITHIN => return Err(error.into()),
                Err(_) => sleep(ASK_EVERY).await,
            }
        }
    }
}

fn configuration(mode: &str, audit: &str) -> String {
    format!(
        "allowlist {{ exact \"{FRONTEND}\" }}\n\
         failure {{ spire-unavailable \"{mode}\" }}\n\
         spire {{\n    bundle-refresh-interval 2\n    api-timeout-ms 1000\n\
         \x20   unavailable-after-ms 1\n    withdrawal-grace-ms 1000\n}}\n\
         agent {{ limits {{ decision-deadline-ms 5000 }} }}\n\
         audit {{ sink \"file\" path={audit:?} }}\n"
    )
}

/// A caller: what it sends, and whom it may be taken for.
pub(super) struct Caller {
    request: Request,
    may_be: Option<&'static str>,
}

impl Caller {
    /// Whoever the certificate names.
    pub(super) fn honest(svid: &IssuedSvid) -> Self {
        Self {
            request: carrying(svid),
            may_be: Some(FRONTEND),
        }
    }

    /// Somebody else's certificate under the same name.
    pub(super) fn impostor(svid: &IssuedSvid) -> Self {
        Self {
            request: carrying(svid).header("x-spiffe-id", FRONTEND),
            may_be: None,
        }
    }

    /// Asks once; a wrong allow is an error.
    pub(super) async fn ask(&self, client: &Client) -> Result<Said, Failed> {
        let answer = client.ask(&self.request).await?;
        let said = said(&self.request, &answer);
        match (said, self.may_be) {
            (Said::Verified, None) => Err(Failed::Broken(format!(
                "an impostor was verified: {}",
                answer.json
            ))),
            (said, _) => Ok(said),
        }
    }

    /// Asks until this is said, and gives the moment; whatever else is said meanwhile must be one of
    /// `meanwhile`.
    pub(super) async fn until(
        &self,
        client: &Client,
        wanted: &Said,
        meanwhile: &[Said],
    ) -> Result<Instant, Failed> {
        let began = Instant::now();
        loop {
            let said = self.ask(client).await?;
            if said == *wanted {
                return Ok(Instant::now());
            }
            if !meanwhile.contains(&said) && said != Said::Denied("OVERLOADED".to_owned()) {
                return Err(Failed::Broken(format!(
                    "waiting for {wanted:?}, heard {said:?}"
                )));
            }
            if began.elapsed() > 2 * WITHIN {
                return Err(Failed::Broken(format!("never {wanted:?}, but {said:?}")));
            }
            sleep(ASK_EVERY).await;
        }
    }
}

fn carrying(svid: &IssuedSvid) -> Request {
    Request::get("/").header("x-forwarded-client-cert", svid.xfcc())
}

fn said(request: &Request, answer: &Answer) -> Said {
    if let Decision::Allow = answer.decision {
        let upstream = answer.upstream_headers(&request.headers);
        let is = |name: &str, value: &str| upstream.get(name).is_some_and(|all| all == &[value]);
        return match is("x-auth-method", "spiffe") && is("x-spiffe-id", FRONTEND) {
            true => Said::Verified,
            false => Said::Unverified,
        };
    }
    Said::Denied(answer.reason_codes.first().cloned().unwrap_or_default())
}
