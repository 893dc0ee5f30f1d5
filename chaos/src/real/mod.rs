//! A real SPIRE on loopback, in a directory of its own: a server, an agent, and what happens to them.
//!
//! The binaries are those that `tests/peers/install spire` builds from SPIRE's source. Whoever holds a
//! [`RealSpire`] holds its processes: they end with it. A workload is told by the path of its binary,
//! so the agent under test is registered by its own.

mod agent;
mod binaries;
mod daemon;
mod error;
mod server;

use std::path::{Path, PathBuf};

pub use agent::SpireAgent;
pub use binaries::Binaries;
pub use daemon::End;
pub(crate) use daemon::tied;
pub use error::RealError;
pub use server::{EntryId, SpireServer};

use crate::ca::IssuedSvid;

/// A server, an agent below it, and the entry of the agent under test.
pub struct RealSpire {
    server: SpireServer,
    agent: SpireAgent,
    own: Own,
}

/// Who the agent under test is to SPIRE.
struct Own {
    id: String,
    selector: String,
    entry: Option<EntryId>,
    /// Whose bundle it gets besides our own.
    partner: Option<String>,
}

impl RealSpire {
    /// Starts both for `trust_domain` in `directory`, which must exist, and registers the agent under
    /// test by the path of its binary.
    ///
    /// # Errors
    /// A binary is missing, or does not come up.
    pub async fn start(
        binaries: &Binaries,
        directory: &Path,
        trust_domain: &str,
        agent_under_test: &Path,
    ) -> Result<Self, RealError> {
        let server = SpireServer::start(binaries, &directory.join("server"), trust_domain).await?;
        let agent = SpireAgent::start(binaries, &directory.join("node"), &server).await?;
        let own = Own {
            id: format!("spiffe://{trust_domain}/sentinel-spiffe-agent"),
            selector: selector(agent_under_test),
            entry: None,
            partner: None,
        };
        let mut spire = Self { server, agent, own };
        spire.create_own_entry().await?;
        Ok(spire)
    }

    /// The Workload API's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.agent.socket()
    }

    /// The server, to stop, start and rotate it.
    pub const fn server(&mut self) -> &mut SpireServer {
        &mut self.server
    }

    /// The agent, to stop and start it.
    pub const fn agent(&mut self) -> &mut SpireAgent {
        &mut self.agent
    }

    /// Registers a workload and gives what the Workload API then gives it.
    ///
    /// # Errors
    /// The server is away, or the agent does not learn of the entry in time.
    pub async fn workload(&self, spiffe_id: &str) -> Result<IssuedSvid, RealError> {
        let fetcher = selector(self.agent.binary());
        self.server
            .register(spiffe_id, self.agent.id(), &fetcher, None)
            .await?;
        self.agent.svid(spiffe_id).await
    }

    /// The agent under test is registered; a second call changes nothing.
    ///
    /// # Errors
    /// The server is away.
    pub async fn create_own_entry(&mut self) -> Result<(), RealError> {
        if self.own.entry.is_none() {
            let Own { id, selector, .. } = &self.own;
            let (parent, partner) = (self.agent.id(), self.own.partner.as_deref());
            let entry = self.server.register(id, parent, selector, partner).await?;
            self.own.entry = Some(entry);
        }
        Ok(())
    }

    /// It is registered no more.
    ///
    /// # Errors
    /// The server is away.
    pub async fn delete_own_entry(&mut self) -> Result<(), RealError> {
        if let Some(entry) = self.own.entry.take() {
            self.server.forget(&entry).await?;
        }
        Ok(())
    }

    /// Takes the bundle of another server in, for the agent under test too.
    ///
    /// # Errors
    /// A server is away.
    pub async fn federate(&mut self, partner: &SpireServer) -> Result<(), RealError> {
        self.server.take_in(partner).await?;
        self.own.partner = Some(format!("spiffe://{}", partner.trust_domain()));
        self.delete_own_entry().await?;
        self.create_own_entry().await
    }

    /// Another X.509 authority signs; the old one stays in the bundle.
    ///
    /// # Errors
    /// The server is away.
    pub async fn rotate(&self) -> Result<(), RealError> {
        let authority = self.server.prepare_authority().await?;
        self.server.activate_authority(&authority).await
    }

    /// The old authority is tainted and, once the agent has left it, revoked: it is in no bundle.
    ///
    /// # Errors
    /// The server is away, or the agent does not renew its own SVID in time.
    pub async fn remove_old_authority(&self) -> Result<(), RealError> {
        let (old, renewals) = (self.server.old_authority().await?, self.agent.renewals()?);
        self.server.taint_authority(&old).await?;
        // An agent whose authority is revoked before that is lost.
        self.agent.renewed_since(renewals).await?;
        self.server.revoke_authority(&old).await
    }
}

/// A workload by the path of its binary.
fn selector(binary: &Path) -> String {
    let path: PathBuf = binary.canonicalize().unwrap_or_else(|_| binary.to_owned());
    format!("unix:path:{}", path.display())
}
