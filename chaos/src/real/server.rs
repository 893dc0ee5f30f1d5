//! A SPIRE server on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::process::Command;

use super::daemon::{self, Daemon, End};
use super::{Binaries, RealError};
use crate::ca::IssuedSvid;

/// A registration entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryId(String);

/// A server, running or not.
pub struct SpireServer {
    binary: PathBuf,
    directory: PathBuf,
    trust_domain: String,
    port: u16,
    running: Option<Daemon>,
}

impl SpireServer {
    /// Starts a new one; its data are kept in `directory`, which is made.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(
        binaries: &Binaries,
        directory: &Path,
        trust_domain: &str,
    ) -> Result<Self, RealError> {
        let made = std::fs::create_dir(directory);
        made.map_err(RealError::system(directory.display().to_string()))?;
        let mut server = Self {
            binary: binaries.server.clone(),
            directory: directory.to_owned(),
            trust_domain: trust_domain.to_owned(),
            port: free_port()?,
            running: None,
        };
        let written = std::fs::write(server.config(), server.configuration());
        written.map_err(RealError::system("write server.conf"))?;
        server.start_again().await?;
        Ok(server)
    }

    /// Starts it where it was stopped; nothing if it runs.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_again(&mut self) -> Result<(), RealError> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("-config").arg(self.config());
        let log = self.directory.join("server.log");
        let mut daemon = Daemon::start("spire-server", &command, &log)?;
        let healthy = || async { self.command(&["healthcheck"]).await.is_ok() };
        daemon.until("spire-server is healthy", healthy).await?;
        self.running = Some(daemon);
        Ok(())
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

    /// An SVID signed by the authority that is active now.
    ///
    /// # Errors
    /// The server is away.
    pub async fn mint(&self, spiffe_id: &str) -> Result<IssuedSvid, RealError> {
        let words = ["x509", "mint", "-spiffeID", spiffe_id, "-ttl", "1h"];
        let answer = self.ask(&words).await?;
        let chain = answer.get("x509_svid").and_then(Value::as_array);
        let chain = chain.map(|chain| chain.iter().filter_map(|der| decoded(der.as_str()?)));
        let chain: Vec<_> = chain.into_iter().flatten().collect();
        let key = daemon::text(&answer, "/private_key", "x509 mint")?;
        match (chain.is_empty(), decoded(&key)) {
            (false, Some(key)) => Ok(IssuedSvid::new(spiffe_id.to_owned(), chain, key)),
            _ => Err(RealError::Answer {
                command: "x509 mint".to_owned(),
                field: "x509_svid",
            }),
        }
    }

    pub(super) async fn register(
        &self,
        spiffe_id: &str,
        parent: &str,
        selector: &str,
        partner: Option<&str>,
    ) -> Result<EntryId, RealError> {
        let words = ["entry", "create", "-spiffeID", spiffe_id];
        let mut words = [&words[..], &["-parentID", parent, "-selector", selector]].concat();
        words.extend(partner.into_iter().flat_map(|id| ["-federatesWith", id]));
        let answer = self.ask(&words).await?;
        daemon::text(&answer, "/results/0/entry/id", "entry create").map(EntryId)
    }

    pub(super) async fn forget(&self, entry: &EntryId) -> Result<(), RealError> {
        let words = ["entry", "delete", "-entryID", &entry.0];
        self.command(&words).await.map(drop)
    }

    pub(super) async fn join_token(&self, agent_id: &str) -> Result<String, RealError> {
        let words = ["token", "generate", "-spiffeID", agent_id];
        daemon::text(&self.ask(&words).await?, "/value", "token generate")
    }

    pub(super) async fn bundle_pem(&self) -> Result<String, RealError> {
        self.command(&["bundle", "show"]).await
    }

    /// Takes another server's bundle in; entries name whose they want.
    pub(super) async fn take_in(&self, other: &Self) -> Result<(), RealError> {
        let path = self.directory.join(format!("{}.pem", other.trust_domain));
        let written = std::fs::write(&path, other.bundle_pem().await?);
        written.map_err(RealError::system(path.display().to_string()))?;
        let id = format!("spiffe://{}", other.trust_domain);
        let path = path.display().to_string();
        let words = ["bundle", "set", "-id", &id, "-path", &path];
        self.command(&words).await.map(drop)
    }

    pub(super) async fn prepare_authority(&self) -> Result<String, RealError> {
        let answer = self.ask(&["localauthority", "x509", "prepare"]).await?;
        daemon::text(&answer, "/prepared_authority/authority_id", "prepare")
    }

    pub(super) async fn old_authority(&self) -> Result<String, RealError> {
        let answer = self.ask(&["localauthority", "x509", "show"]).await?;
        daemon::text(&answer, "/old/authority_id", "show")
    }

    pub(super) async fn activate_authority(&self, id: &str) -> Result<(), RealError> {
        self.authority("activate", id).await
    }

    pub(super) async fn taint_authority(&self, id: &str) -> Result<(), RealError> {
        self.authority("taint", id).await
    }

    pub(super) async fn revoke_authority(&self, id: &str) -> Result<(), RealError> {
        self.authority("revoke", id).await
    }

    async fn authority(&self, what: &str, id: &str) -> Result<(), RealError> {
        let words = ["localauthority", "x509", what, "-authorityID", id];
        self.ask(&words).await.map(drop)
    }

    pub(super) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    async fn command(&self, words: &[&str]) -> Result<String, RealError> {
        let socket = self.socket();
        daemon::run(
            &self.binary,
            &[words, &["-socketPath", &socket][..]].concat(),
        )
        .await
    }

    async fn ask(&self, words: &[&str]) -> Result<Value, RealError> {
        let socket = self.socket();
        daemon::ask(
            &self.binary,
            &[words, &["-socketPath", &socket][..]].concat(),
        )
        .await
    }

    fn config(&self) -> PathBuf {
        self.directory.join("server.conf")
    }

    fn socket(&self) -> String {
        self.directory.join("server.sock").display().to_string()
    }

    fn configuration(&self) -> String {
        let (directory, port) = (self.directory.display(), self.port);
        let (socket, domain) = (self.socket(), &self.trust_domain);
        format!(
            r#"
server {{
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{socket}"
    trust_domain = "{domain}"
    data_dir = "{directory}"
    log_level = "INFO"
    ca_ttl = "24h"
    default_x509_svid_ttl = "1h"
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{directory}/datastore.sqlite3"
        }}
    }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ keys_path = "{directory}/keys.json" }} }}
}}
"#
        )
    }
}

pub(super) fn decoded(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

/// A loopback port that was free a moment ago.
fn free_port() -> Result<u16, RealError> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.map_err(RealError::system("find a free port"))?;
    Ok(port.port())
}
