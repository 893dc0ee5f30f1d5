//! Everything that is in force in this process: file, flags and environment as one value.

use std::net::SocketAddr;
use std::path::PathBuf;

use verdict::id::WorkloadId;
use verdict::policy::PolicySpec;

use crate::agent::{AgentBlock, complaining, trusted_proxy};
use crate::blocks::{self, PolicyBlocks};
use crate::bounds::Bounds;
use crate::decode::Complaint;
use crate::endpoint::SocketPath;
use crate::file::FileConfig;
use crate::overrides::{Override, Overrides, Source, Sourced};
use crate::problem::{ConfigErrors, Input, Problem, Problems, Rule};
use crate::spire::{DEFAULT_SPIRE_SOCKET, NamedTimings, Timing, Timings};
use crate::tree::Place;
use crate::values::{self, AdminAddress, OnFull, Sink, SocketMode, TrustedProxy};

/// Where the published agent listens unless told otherwise.
pub const DEFAULT_AGENT_SOCKET: &str = "/tmp/sentinel-spiffe.sock";

/// One validated configuration. It can only be made by [`Settings::resolve`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub(crate) file: Option<FileConfig>,
    spire_socket: Sourced<SocketPath>,
    agent: Agent,
}

/// What the process itself does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where the proxies' protocol is spoken.
    pub socket: Sourced<SocketPath>,
    /// Permission bits of that socket.
    pub socket_mode: SocketMode,
    /// Its group, if not our own.
    pub socket_group: Option<Sourced<String>>,
    /// Whose word counts, as it was said.
    pub trusted_proxies: Option<Sourced<Vec<TrustedProxy>>>,
    /// Users and groups whose processes may connect to Unix sockets; empty: whoever the mode admits.
    pub trusted_accounts: Vec<TrustedProxy>,
    /// The gRPC door, and how it knows its callers.
    pub grpc: Option<GrpcDoor>,
    /// The status page and the probes.
    pub admin: Sourced<AdminAddress>,
    /// Whether readiness goes while the agent answers from what it has of an absent SPIRE.
    pub degraded_is_unready: bool,
    /// Whether pushes are applied; else they are answered allow and ignored.
    pub accept_pushed_config: Sourced<bool>,
    /// Where bundles survive a restart.
    pub state_dir: Option<Sourced<PathBuf>>,
    /// Where decision records go.
    pub sinks: Vec<Sink>,
    /// What it means for requests that a record cannot be kept.
    pub on_full: OnFull,
    /// Debug logging.
    pub verbose: Sourced<bool>,
    /// Every bound.
    pub bounds: Bounds,
    /// What flag, environment or file say about plaintext; [`GrpcDoor`] says what follows.
    pub insecure_plaintext: Sourced<bool>,
}

/// A TCP door. Plaintext beyond loopback exists only where somebody insisted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcDoor {
    /// Where it listens.
    pub address: Sourced<SocketAddr>,
    /// How it knows its callers.
    pub security: DoorSecurity,
}

/// How a TCP door knows its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorSecurity {
    /// Mutual TLS; these proxies are trusted.
    MutualTls(Vec<WorkloadId>),
    /// Plaintext on this machine: served with a warning, takes no pushes.
    PlaintextLoopback,
    /// Plaintext that `insecure-plaintext` insists on.
    PlaintextInsecure,
}

impl Settings {
    /// Puts file, flags and environment together.
    ///
    /// # Errors
    /// Everything that is wrong with flags and environment, or with all three together.
    pub fn resolve(file: Option<FileConfig>, overrides: &Overrides) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::default();
        let named = file.as_ref();
        let block = named.map(|file| file.blocks.agent.clone());
        let block = block.unwrap_or_default();
        let in_file = named.and_then(|file| file.blocks.spire.socket.clone());
        let spire_socket = spire_socket(in_file, overrides, &mut problems);
        let agent = agent(block, named, overrides, &mut problems);
        one_socket(&agent.socket, &spire_socket, named, &mut problems);
        let settings = Self {
            spire_socket,
            agent,
            file,
        };
        let input = settings.file.as_ref().map_or(Input::Process, |file| {
            let text = file.text.clone();
            let name = file.name.clone();
            Input::File { name, text }
        });
        problems.or(settings, input)
    }

    /// The policy before any push. `None`: nothing was said about requests, so none is answered.
    #[must_use]
    pub fn policy(&self) -> Option<&PolicySpec> {
        let file = self.file.as_ref()?;
        let decides = file.blocks.policy.decide_something();
        decides.then_some(&file.spec)
    }

    /// Where SPIRE is.
    #[must_use]
    pub const fn spire_socket(&self) -> &Sourced<SocketPath> {
        &self.spire_socket
    }

    /// What the process itself does.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The times in force, `pushed` being the latest value that a push named for each.
    #[must_use]
    pub fn timings(&self, pushed: &NamedTimings) -> Timings {
        self.file_timings().over(pushed).or_defaults()
    }

    /// Where one of the times comes from.
    #[must_use]
    pub fn timing_source(&self, timing: Timing, pushed: &NamedTimings) -> Source {
        if self.file_timings().named(timing).is_some() {
            Source::File
        } else if pushed.named(timing).is_some() {
            Source::Push
        } else {
            Source::Default
        }
    }

    fn file_timings(&self) -> NamedTimings {
        let file = self.file.as_ref();
        file.map(|file| file.blocks.spire.timings)
            .unwrap_or_default()
    }

    pub(crate) fn file_blocks(&self) -> PolicyBlocks {
        let file = self.file.as_ref();
        file.map(|file| file.blocks.policy.clone())
            .unwrap_or_default()
    }

    /// Where a key stands in the file.
    pub(crate) fn place(&self, key: &str) -> Place {
        let file = self.file.as_ref();
        let at = file.and_then(|file| file.blocks.places.get(key));
        at.cloned().unwrap_or(Place::Whole)
    }
}

/// Flag, `SPIRE_AGENT_SOCKET`, file, `SPIFFE_ENDPOINT_SOCKET`, default.
fn spire_socket(
    file: Option<SocketPath>,
    overrides: &Overrides,
    problems: &mut Problems,
) -> Sourced<SocketPath> {
    let parse = |text: &str| blocks::socket("spire.socket", text);
    let before = overrides.pick(Override::SpireSocket, parse, file, problems);
    before
        .or_else(|| overrides.pick(Override::EndpointSocket, parse, None, problems))
        .unwrap_or_else(|| constant_socket(DEFAULT_SPIRE_SOCKET))
}

fn constant_socket(path: &'static str) -> Sourced<SocketPath> {
    #[expect(
        clippy::expect_used,
        reason = "called with two constants; a test reads both"
    )]
    Sourced::default(SocketPath::parse(path).expect("an absolute path"))
}

fn agent(
    block: AgentBlock,
    file: Option<&FileConfig>,
    overrides: &Overrides,
    problems: &mut Problems,
) -> Agent {
    let socket = |text: &str| blocks::socket("agent.socket", text);
    let group = |text: &str| complaining("socket-group", values::group(text));
    let admin = |text: &str| complaining("admin-address", AdminAddress::parse(text));
    let proxies = block.trusted_proxies.clone();
    let proxies = overrides.pick(Override::TrustedProxies, trusted_proxies, proxies, problems);
    let proxies_at = proxies
        .as_ref()
        .map(|proxies| place(proxies.source, "agent.trusted-proxies", file));
    let named = proxies.as_ref().map(|proxies| proxies.value.as_slice());
    let (ids, trusted_accounts) = split(named.unwrap_or_default());
    let ids_alone = !ids.is_empty() && trusted_accounts.is_empty();
    let insecure_plaintext = switch(
        Override::InsecurePlaintext,
        "insecure-plaintext",
        block.insecure_plaintext,
        (overrides, problems),
    );
    let accept = block.accept_pushed_config.map(|value| Sourced {
        value,
        source: Source::File,
    });
    let insecure = insecure_plaintext.value;
    let door = block.grpc_address.is_some() || overrides.name(Override::GrpcAddress);
    let grpc = grpc(&block, file, ids, insecure, (overrides, problems));
    if let Some(at) = proxies_at.filter(|_| ids_alone && !door) {
        let advice = "name the proxy's account, uid:N or gid:N, or open a door with grpc-address \
                      (--grpc-address, AGENT_GRPC_ADDRESS)";
        problems.push(Problem::new(at, Rule::NobodyAtTheDoor).advise(advice));
    }
    Agent {
        grpc,
        socket: overrides
            .pick(Override::Socket, socket, block.socket, problems)
            .unwrap_or_else(|| constant_socket(DEFAULT_AGENT_SOCKET)),
        admin: overrides
            .pick(Override::AdminAddress, admin, block.admin_address, problems)
            .unwrap_or(Sourced::default(AdminAddress::default())),
        degraded_is_unready: block.degraded_is_unready.unwrap_or(false),
        socket_mode: block.socket_mode.unwrap_or_default(),
        socket_group: overrides.pick(Override::SocketGroup, group, block.socket_group, problems),
        trusted_proxies: proxies,
        trusted_accounts,
        // With a file of its own, the process's operator has spoken.
        accept_pushed_config: accept.unwrap_or(Sourced::default(file.is_none())),
        state_dir: overrides.pick(Override::StateDir, state_dir, block.state_dir, problems),
        on_full: block.audit.on_full.unwrap_or_default(),
        sinks: block.audit.sinks.unwrap_or_else(|| vec![Sink::Stdout]),
        verbose: switch(Override::Verbose, "verbose", None, (overrides, problems)),
        bounds: block.bounds,
        insecure_plaintext,
    }
}

/// Our own socket where SPIRE's is: we would take its place, or ask ourselves for bundles.
fn one_socket(
    ours: &Sourced<SocketPath>,
    spire: &Sourced<SocketPath>,
    file: Option<&FileConfig>,
    problems: &mut Problems,
) {
    if ours.value != spire.value {
        return;
    }
    let at = place(ours.source, "agent.socket", file);
    let advice = "agent.socket (--socket) is where proxies connect, spire.socket (--spire-socket) where SPIRE listens";
    let rule = Rule::OneSocket(ours.value.to_string());
    problems.push(Problem::new(at, rule).advise(advice));
}

/// What a value is picked from, and where complaints go.
type Picking<'a> = (&'a Overrides, &'a mut Problems);

fn switch(
    which: Override,
    key: &'static str,
    file: Option<bool>,
    (overrides, problems): Picking<'_>,
) -> Sourced<bool> {
    let parse = |text: &str| complaining(key, values::switch(text));
    let picked = overrides.pick(which, parse, file, problems);
    picked.unwrap_or(Sourced::default(false))
}

fn grpc(
    block: &AgentBlock,
    file: Option<&FileConfig>,
    ids: Vec<WorkloadId>,
    insecure: bool,
    (overrides, problems): Picking<'_>,
) -> Option<GrpcDoor> {
    let parse = |text: &str| complaining("grpc-address", values::listen_address(text));
    let address = overrides.pick(Override::GrpcAddress, parse, block.grpc_address, problems)?;
    let at = place(address.source, "agent.grpc-address", file);
    grpc_door(address, ids, insecure, at, problems)
}

/// systemd gives several directories separated by colons; the first is ours.
fn state_dir(text: &str) -> Result<PathBuf, Complaint> {
    let first = text.split(':').next().unwrap_or_default();
    complaining("state-dir", values::absolute_path(first))
}

fn trusted_proxies(text: &str) -> Result<Vec<TrustedProxy>, Complaint> {
    let mut proxies = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let proxy = trusted_proxy("trusted-proxies", entry, proxies.len())?;
        proxies.push(proxy);
    }
    Ok(proxies)
}

/// Identities for TLS, accounts for Unix sockets.
fn split(proxies: &[TrustedProxy]) -> (Vec<WorkloadId>, Vec<TrustedProxy>) {
    let mut ids = Vec::new();
    let mut accounts = Vec::new();
    for proxy in proxies {
        match proxy {
            TrustedProxy::Spiffe(id) => ids.push(id.clone()),
            account => accounts.push(account.clone()),
        }
    }
    (ids, accounts)
}

/// Where a value was said: its place in the file, its flag or its variable.
fn place(source: Source, key: &str, file: Option<&FileConfig>) -> Place {
    let in_file = file.and_then(|file| file.blocks.places.get(key));
    match (source, in_file) {
        (Source::File, Some(place)) => place.clone(),
        (source, _) => source.place(),
    }
}

/// Decisions, "The trusted hop": TCP is mutual TLS, or stays on this machine, or was insisted on.
fn grpc_door(
    address: Sourced<SocketAddr>,
    ids: Vec<WorkloadId>,
    insecure: bool,
    at: Place,
    problems: &mut Problems,
) -> Option<GrpcDoor> {
    let security = if !ids.is_empty() {
        DoorSecurity::MutualTls(ids)
    } else if address.value.ip().to_canonical().is_loopback() {
        DoorSecurity::PlaintextLoopback
    } else if insecure {
        DoorSecurity::PlaintextInsecure
    } else {
        let advice = "name the proxy's SPIFFE ID in trusted-proxies; --insecure-plaintext \
                      (INSECURE_PLAINTEXT, agent.insecure-plaintext) serves it all the same";
        problems.push(Problem::new(at, Rule::Plaintext).advise(advice));
        return None;
    };
    Some(GrpcDoor { address, security })
}
