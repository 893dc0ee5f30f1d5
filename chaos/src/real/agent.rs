//! A SPIRE agent of one server: join token, workloads told by the path of their binary.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use super::daemon::{self, Daemon, End, eventually};
use super::server::decoded;
use super::{Binaries, RealError, SpireServer};
use crate::ca::IssuedSvid;

/// What it logs each time it has renewed its own SVID.
const RENEWED: &str = "Successfully rotated agent SVID";

/// An agent, running or not.
pub struct SpireAgent {
    binary: PathBuf,
    directory: PathBuf,
    id: String,
    socket: PathBuf,
    running: Option<Daemon>,
}

impl SpireAgent {
    pub(super) async fn start(
        binaries: &Binaries,
        directory: &Path,
        server: &SpireServer,
    ) -> Result<Self, RealError> {
        let made = std::fs::create_dir(directory);
        made.map_err(RealError::system(directory.display().to_string()))?;
        let mut agent = Self {
            binary: binaries.agent.clone(),
            directory: directory.to_owned(),
            id: format!("spiffe://{}/node", server.trust_domain()),
            socket: directory.join("agent.sock"),
            running: None,
        };
        agent.write("bootstrap.pem", &server.bundle_pem().await?)?;
        agent.write("agent.conf", &agent.configuration(server))?;
        let token = server.join_token(&agent.id).await?;
        agent.run(&["-joinToken", &token]).await?;
        Ok(agent)
    }

    /// Starts it where it was stopped; nothing if it runs. Healthy when this returns.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_again(&mut self) -> Result<(), RealError> {
        self.run(&[]).await
    }

    /// Ends it; nothing if it does not run.
    ///
    /// # Errors
    /// The system does not let us.
    pub async fn end(&mut self, end: End) -> Result<(), RealError> {
        match self.running.take() {
            Some(daemon) => daemon.end(end).await,
            None => Ok(()),
        }
    }

    /// Nothing moves on any connection from now on: SIGSTOP.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn freeze(&self) -> Result<(), RealError> {
        self.signal(Signal::STOP)
    }

    /// It moves again: SIGCONT.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn thaw(&self) -> Result<(), RealError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), RealError> {
        let running = self.running.as_ref();
        running.map_or(Ok(()), |daemon| daemon.signal(signal))
    }

    async fn run(&mut self, more: &[&str]) -> Result<(), RealError> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        let config = self.directory.join("agent.conf");
        command.arg("run").arg("-config").arg(config).args(more);
        let mut daemon = Daemon::start("spire-agent", &command, &self.log())?;
        let healthy = || async { self.command(&["healthcheck"]).await.is_ok() };
        daemon.until("spire-agent is healthy", healthy).await?;
        self.running = Some(daemon);
        Ok(())
    }

    /// What the Workload API gives to a workload with this ID, waited for: an entry reaches an agent
    /// by its next synchronization.
    pub(super) async fn svid(&self, spiffe_id: &str) -> Result<IssuedSvid, RealError> {
        let what = format!("the SVID of {spiffe_id}");
        eventually(&what, || self.fetched(spiffe_id)).await
    }

    async fn fetched(&self, spiffe_id: &str) -> Option<IssuedSvid> {
        let socket = self.socket.display().to_string();
        let words = ["api", "fetch", "x509", "-socketPath", &socket];
        let answer = daemon::ask(&self.binary, &words).await.ok()?;
        let of = |svid: &&Value| svid.get("spiffe_id").and_then(Value::as_str) == Some(spiffe_id);
        let svid = answer.get("svids")?.as_array()?.iter().find(of)?;
        let text = |name: &str| decoded(svid.get(name)?.as_str()?);
        let chain = apart(&text("x509_svid")?);
        let key = text("x509_svid_key")?;
        (!chain.is_empty()).then(|| IssuedSvid::new(spiffe_id.to_owned(), chain, key))
    }

    /// How often it has renewed its own SVID.
    pub(super) fn renewals(&self) -> Result<usize, RealError> {
        let log = std::fs::read_to_string(self.log());
        let log = log.map_err(RealError::system("read agent.log"))?;
        Ok(log.matches(RENEWED).count())
    }

    pub(super) async fn renewed_since(&self, renewals: usize) -> Result<(), RealError> {
        let renewed = || async { self.renewals().ok().filter(|now| *now > renewals) };
        let what = "spire-agent renews its own SVID";
        eventually(what, renewed).await.map(drop)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    async fn command(&self, words: &[&str]) -> Result<String, RealError> {
        let socket = self.socket.display().to_string();
        daemon::run(
            &self.binary,
            &[words, &["-socketPath", &socket][..]].concat(),
        )
        .await
    }

    fn log(&self) -> PathBuf {
        self.directory.join("agent.log")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), RealError> {
        let written = std::fs::write(self.directory.join(name), text);
        written.map_err(RealError::system(format!("write {name}")))
    }

    fn configuration(&self, server: &SpireServer) -> String {
        let (directory, socket) = (self.directory.display(), self.socket.display());
        let (port, domain) = (server.port(), server.trust_domain());
        format!(
            r#"
agent {{
    data_dir = "{directory}"
    log_level = "INFO"
    server_address = "127.0.0.1"
    server_port = "{port}"
    socket_path = "{socket}"
    trust_domain = "{domain}"
    trust_bundle_path = "{directory}/bootstrap.pem"
    experimental {{ sync_interval = "1s" }}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ directory = "{directory}" }} }}
    WorkloadAttestor "unix" {{
        plugin_data {{
            discover_workload_path = true
            workload_size_limit = -1
        }}
    }}
}}
"#
        )
    }
}

/// Takes certificates apart that stand one after the other: each a SEQUENCE with a length of two bytes.
fn apart(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    while let [0x30, 0x82, high, low, ..] = *der {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        let Some((certificate, rest)) = der.split_at_checked(length) else {
            break;
        };
        chain.push(certificate.to_vec());
        der = rest;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn certificates_that_stand_one_after_the_other_are_taken_apart() {
        let certificate = |byte: u8| [&[0x30, 0x82, 1, 0][..], &[byte; 256]].concat();
        let chain = [certificate(1), certificate(2)];
        assert_eq!(apart(&chain.concat()), chain);
        let torn = chain.concat();
        assert_eq!(apart(torn.get(..300).unwrap_or_default()), [certificate(1)]);
    }
}
