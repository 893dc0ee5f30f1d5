//! What the story plays on: a simulated SPIRE, the real agent, and a proxy for each outage mode.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actors::agent::Agent;
use actors::clock::Clock;
use actors::trust::TrustStore;
use anyhow::{Context as _, bail};
use chaos::ca::{IssuedSvid, Rotation};
use chaos::client::{Answer, Client, Hello, Request};
use chaos::spire::SocketFile;
use chaos::world::{HOME, World};
use config::{FileConfig, Override, Overrides, Settings};
use serde_json::json;
use verdict::availability::Phase;
use verdict::policy::Mode;
use verdict::trust::Generation;

use crate::logging;
use crate::telemetry::{Plan, Telemetry};

/// The documented policy; the demo adds where to record, and that its proxies may push a mode each.
const DOCUMENTED: &str = include_str!("../../config/examples/documented.kdl");

/// An absence this long is an outage, in the demo; the default is a minute.
const UNAVAILABLE_AFTER_MS: u64 = 1_000;

/// How long the story waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy's connection.
pub(super) struct Proxy {
    client: Client,
    pub(super) mode: Mode,
}

/// Everything on stage.
pub(super) struct Stage {
    home: PathBuf,
    pub(super) world: World,
    agent: Agent,
    proxies: Vec<Proxy>,
    /// What `/metrics` reads; nothing is exported.
    _telemetry: Telemetry,
}

impl Stage {
    /// Sets the stage in a directory of its own.
    pub(super) async fn set() -> anyhow::Result<Self> {
        let home = home()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("read the clock")?;
        let world = World::start(home.join("spire.sock"), now.as_secs())
            .context("start the simulated SPIRE")?;
        let mut telemetry = Telemetry::start(Plan::none(), || logging::filter(false))?;
        let settings = settings(&home)?;
        let agent =
            Agent::start_observed(settings, Clock::system(), telemetry.observer(), None).await;
        let agent = agent.context("start the agent")?;
        telemetry.read(&agent);
        let mut stage = Self {
            home,
            world,
            agent,
            proxies: Vec::new(),
            _telemetry: telemetry,
        };
        stage.reached(Phase::Live).await?;
        for mode in Mode::ALL {
            stage
                .proxies
                .push(Proxy::connect(&stage.socket(), mode).await?);
        }
        Ok(stage)
    }

    /// The agent's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.home.join("agent.sock")
    }

    /// SPIRE's socket, the Workload API.
    pub(super) fn spire_socket(&self) -> PathBuf {
        self.home.join("spire.sock")
    }

    /// Where the status page is.
    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.agent.admin().map(|admin| admin.address())
    }

    /// Where decisions are recorded.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.home.join("audit.jsonl")
    }

    /// Asks through the proxy with this outage mode.
    pub(super) async fn ask(&self, mode: Mode, request: &Request) -> anyhow::Result<Answer> {
        let Some(proxy) = self.proxies.iter().find(|proxy| proxy.mode == mode) else {
            bail!("no proxy for {}", mode.as_str());
        };
        proxy.client.ask(request).await.context("ask the agent")
    }

    /// Waits until the agent sees SPIRE in this state.
    pub(super) async fn reached(&self, phase: Phase) -> anyhow::Result<()> {
        let trust: &Arc<TrustStore> = self.agent.trust();
        let mut changes = trust.subscribe();
        let reached = async {
            while trust.phase() != phase {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        waited
            .with_context(|| format!("the trust source did not become {} in time", phase.as_str()))
    }

    /// SPIRE goes away, and stays away for as long as it takes to be an outage.
    pub(super) async fn lose_spire(&self) -> anyhow::Result<()> {
        self.world
            .spire()
            .stop(SocketFile::Left)
            .await
            .context("stop SPIRE")
    }

    /// SPIRE comes back.
    pub(super) fn return_spire(&self) -> anyhow::Result<()> {
        self.world.spire().start().context("start SPIRE again")
    }

    /// The root of `example.org` is replaced at once, and the agent has followed when this returns.
    pub(super) async fn rotate(&mut self) -> anyhow::Result<()> {
        let before = self.home_generation();
        let mut changes = self.agent.trust().subscribe();
        self.world
            .rotate(Rotation::Abrupt)
            .context("rotate the root")?;
        let followed = async {
            while self.home_generation() == before {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, followed)
            .await
            .context("the rotation was not followed in time")
    }

    fn home_generation(&self) -> Option<Generation> {
        let world = self.agent.trust().load();
        let mut bundles = world.snapshot().iter();
        bundles
            .find(|(domain, _)| domain.as_str() == HOME)
            .map(|(_, bundle)| bundle.generation())
    }

    /// A request that carries this SVID as Envoy forwards it.
    pub(super) fn request(svid: &IssuedSvid) -> Request {
        Request::get("/api/orders").header("x-forwarded-client-cert", svid.xfcc())
    }

    /// Takes everything down and cleans up.
    pub(super) async fn strike(self) {
        drop(self.proxies);
        self.agent.shutdown().await;
        // What could not be removed lies in the system's temporary directory, which is cleaned for us.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Proxy {
    async fn connect(socket: &Path, mode: Mode) -> anyhow::Result<Self> {
        let config = json!({
            "spire": { "unavailable-after-ms": UNAVAILABLE_AFTER_MS },
            "failure": { "spire-unavailable": mode.as_str() },
        });
        let client = Client::connect(socket, Hello::with_config(config)).await;
        Ok(Self {
            client: client.with_context(|| format!("connect to {}", socket.display()))?,
            mode,
        })
    }
}

/// A directory of our own, closed to others.
fn home() -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let home = std::env::temp_dir().join(format!("sentinel-spiffe-demo-{}", std::process::id()));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&home);
    made.with_context(|| format!("make {}", home.display()))?;
    Ok(home)
}

fn settings(home: &Path) -> anyhow::Result<Settings> {
    let audit = home.join("audit.jsonl");
    let text = DOCUMENTED
        .replacen(
            "config {",
            "config {\n agent { accept-pushed-config true }\n",
            1,
        )
        .replacen(
            "audit {",
            &format!("audit {{\n sink \"file\" path={audit:?}\n"),
            1,
        );
    // Where status and doctor say it is.
    let path = home.join("config.kdl");
    std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    let file = FileConfig::parse(&path.display().to_string(), &text)
        .map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let overrides = Overrides::default()
        .with_flag(
            Override::Socket,
            home.join("agent.sock").display().to_string(),
        )
        .with_flag(
            Override::SpireSocket,
            home.join("spire.sock").display().to_string(),
        )
        // An agent that runs on this machine has the default port.
        .with_flag(Override::AdminAddress, "127.0.0.1:0");
    Settings::resolve(Some(file), &overrides).map_err(|errors| anyhow::anyhow!("{errors}"))
}
