//! The agent, put together: what is owned above the actors, and the tree of actors.
//!
//! ```text
//! root                    one_for_one; gives up -> drain, then the process ends
//! |- admin                probes, metrics, the status page
//! |- audit                writes decision records
//! |- health               lets time pass, says how we are
//! |- trust                one_for_one
//! |  |- cache             the snapshot on disk
//! |  |- identity          our own SVID, where a door needs one
//! |  `- bundles           watches the Workload API
//! |- validation           one_for_one
//! |  |- worker-0          certificates not seen before
//! |  `- worker-1
//! `- doors                one_for_one
//!    |- sentinel          accepts on the agent's Unix socket
//!    |- grpc              accepts on the gRPC address, if there is one
//!    `- connection ...    one each, temporary
//! ```

mod grpc;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Bound, GrpcDoor, Settings, TrustedProxy};
use tokio::net::{TcpListener, UnixListener};

use self::grpc::{Grpc, bind};
use crate::admin::denials::Denials;
use crate::admin::{self, Admin, AdminError};
use crate::audit::{AuditActor, AuditArgs, AuditQueue, Carrier, Desk, SharedDesk, Sink, SinkError};
use crate::bundles::{BundleWatcher, WatcherArgs};
use crate::cache::{self, CacheActor, CacheArgs};
use crate::clock::Clock;
use crate::configured::{Configured, availability_timing};
use crate::doors::budget::FrameBudget;
use crate::doors::grpc::identity::{IdentityActor, IdentityArgs, OwnIdentity};
use crate::doors::peer::TrustedPeer;
use crate::doors::socket::{self, SocketError, SocketFile};
use crate::doors::{
    AllPlaces, Bounds, Doors, Entrance, ListenerActor, ListenerArgs, Places, Proxies,
};
use crate::health::{HealthActor, HealthArgs, HealthBoard};
use crate::judge::Judge;
use crate::memory::{self, Memory};
use crate::metrics::Metrics;
use crate::observe::{self, Observer, Restarts};
use crate::policies::PolicyError;
use crate::remedy;
use crate::supervision::{
    Address, ChildSpec, Ended, Farewell, Restart, Root, Shutdown, StartError, SupervisorSpec,
};
use crate::trust::{Advice, TrustStore};
use crate::validation::{Validation, Worker, WorkerArgs, workers};

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The file's policy cannot be put in force.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The socket cannot be served.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// A sink of the audit cannot be opened.
    #[error("{0}")]
    Audit(#[from] SinkError),
    /// The gRPC address cannot be served.
    #[error("bind --grpc-address {address}: {error}{}", remedy::of_address(error))]
    GrpcAddress {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The admin address that was asked for cannot be served.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// TLS cannot be set up.
    #[error("TLS of the gRPC door: {0}")]
    Tls(#[from] rustls::Error),
    /// The tree did not come up.
    #[error("{0}")]
    Tree(#[from] StartError),
}

/// A running agent.
pub struct Agent {
    root: Root,
    doors: Arc<Doors>,
    trust: Arc<TrustStore>,
    admin: Option<Arc<Admin>>,
    drain_within: Duration,
    _socket: SocketFile,
}

/// What is owned above the actors.
struct Owned {
    trust: Arc<TrustStore>,
    doors: Arc<Doors>,
    validation: Arc<Validation>,
    workers: usize,
    desk: SharedDesk,
    listener: Arc<UnixListener>,
    grpc: Option<Grpc>,
    admin: Option<Arc<Admin>>,
    clock: Clock,
}

impl AgentError {
    /// Whether the configuration is wrong, and trying again as it is would not help. A fault of the
    /// machine is none: a mount may come late, a group be made.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Policy(_) => true,
            Self::Audit(error) => error.is_configuration(),
            Self::Socket(_)
            | Self::GrpcAddress { .. }
            | Self::Admin(_)
            | Self::Tls(_)
            | Self::Tree(_) => false,
        }
    }
}

impl Agent {
    /// Starts the agent; it serves when this returns.
    ///
    /// # Errors
    /// The policy is wrong, the socket is taken, or an actor cannot be started.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, AgentError> {
        Self::start_observed(settings, clock, observe::unobserved(), None).await
    }

    /// The same, told to an observer; `carrier` is where `sink "otlp"` leads.
    ///
    /// # Errors
    /// As for [`Agent::start`].
    pub async fn start_observed(
        settings: Settings,
        clock: Clock,
        observer: Arc<dyn Observer>,
        carrier: Option<Arc<dyn Carrier>>,
    ) -> Result<Self, AgentError> {
        let metrics = Arc::new(Metrics::default());
        let trust = restore(&settings, &clock, &metrics).observed(Arc::clone(&observer));
        let trust = Arc::new(trust);
        let agent = settings.agent();
        let sinks = agent.sinks.iter();
        let sinks: Vec<_> = sinks
            .map(|named| Sink::of(named, carrier.as_ref()))
            .collect::<Result<_, _>>()?;
        let group = agent
            .socket_group
            .as_ref()
            .map(|group| socket::Group::find(&group.value))
            .transpose()?;
        let admin = admin::listen(agent.admin)?;
        let path = agent.socket.value.as_path().to_owned();
        let (listener, socket_file) =
            socket::bind(&path, agent.socket_mode.bits(), group.as_ref())?;
        let grpc = match &agent.grpc {
            None => None,
            Some(door) => Some((door.clone(), bind(door.address.value).await?)),
        };
        let drain_within = Duration::from_millis(agent.bounds.value(Bound::DrainTimeoutMs));
        let shared = (&clock, &metrics, &observer);
        let mut owned = Owned::new(settings, (listener, grpc), sinks, &trust, shared)?;
        owned.doors.health.stand_at(socket_file.lost());
        let admin = admin
            .map(|listener| Admin::new(listener, &owned.doors))
            .transpose()?;
        owned.admin = admin.map(Arc::new);
        let admin = owned.admin.clone();
        let doors = Arc::clone(&owned.doors);
        let farewell = farewell(&doors, drain_within);
        let restarts = Arc::new(Restarts(observer));
        let root = Root::start_watched(owned.tree(), farewell, Some(restarts)).await?;
        Ok(Self {
            root,
            doors,
            trust,
            admin,
            drain_within,
            _socket: socket_file,
        })
    }

    /// The tree, the world, the counters: for status, tests and chaos.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// What doors share.
    #[must_use]
    pub const fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// The admin listener, where there is one.
    #[must_use]
    pub const fn admin(&self) -> Option<&Arc<Admin>> {
        self.admin.as_ref()
    }

    /// The world's owner.
    #[must_use]
    pub const fn trust(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    /// Waits until the tree has ended by itself: a restart budget was used up.
    pub async fn ended(&self) -> Ended {
        self.root.ended().await
    }

    /// Drains: stops accepting, finishes what is in flight, then stops the tree in order.
    pub async fn shutdown(self) -> Shutdown {
        let Farewell {
            first,
            first_within,
            stop_within,
        } = farewell(&self.doors, self.drain_within);
        // Whoever is not done in time is cut off.
        let _ = tokio::time::timeout(first_within, first()).await;
        self.root.shutdown(stop_within).await
    }
}

/// How the agent ends, asked to or not: requests in flight are finished, then the tree is stopped.
fn farewell(doors: &Arc<Doors>, drain_within: Duration) -> Farewell {
    let doors = Arc::clone(doors);
    let stop_within = (drain_within / STOP_SHARE).max(STOP_WITHIN_MIN);
    Farewell {
        first: Arc::new(move || {
            let doors = Arc::clone(&doors);
            Box::pin(async move {
                doors.health.drain();
                doors.drained().await;
            })
        }),
        first_within: drain_within.saturating_sub(stop_within),
        stop_within,
    }
}

/// The part of the drain's time that is kept for stopping the tree: both together are `drain-timeout-ms`.
const STOP_SHARE: u32 = 6;

/// The tree gets at least this, however short the drain.
const STOP_WITHIN_MIN: Duration = Duration::from_millis(500);

fn restore(settings: &Settings, clock: &Clock, metrics: &Arc<Metrics>) -> TrustStore {
    let timing = availability_timing(&settings.timings(&config::NamedTimings::default()));
    let spire = settings.spire_socket().value.as_path();
    let loaded = match &settings.agent().state_dir {
        Some(dir) => cache::load(&dir.value, spire, clock),
        None => cache::Loaded::default(),
    };
    let advice = Advice {
        uid: rustix::process::geteuid().as_raw(),
        socket: spire.to_owned(),
    };
    let world = loaded.world(timing, clock.now());
    TrustStore::new(world, clock.clone(), Arc::clone(metrics), advice)
}

impl Owned {
    fn new(
        settings: Settings,
        (listener, grpc): (UnixListener, Option<(GrpcDoor, TcpListener)>),
        sinks: Vec<Sink>,
        trust: &Arc<TrustStore>,
        (clock, metrics, observer): (&Clock, &Arc<Metrics>, &Arc<dyn Observer>),
    ) -> Result<Self, AgentError> {
        let (bounds, on_full) = (settings.agent().bounds.clone(), settings.agent().on_full);
        let places = bounds.count(Bound::AuditQueue);
        let (audit, records) = AuditQueue::new(places, on_full, Arc::clone(metrics));
        let deadline_ms = bounds.value(Bound::DecisionDeadlineMs);
        let within = Duration::from_millis(deadline_ms);
        let desk = Desk::shared(records, sinks, Arc::clone(metrics)).within(within);
        let memory = Arc::new(Memory::new(memory::Bounds {
            identities_bytes: bounds.value(Bound::RememberedIdentitiesBytes),
            failures: bounds.value(Bound::RememberedFailures),
            failure_ms: bounds.value(Bound::RememberedFailureMs),
        }));
        let workers = workers(bounds.count(Bound::ValidationWorkers));
        let validation = Arc::new(Validation::new(
            workers,
            Arc::clone(&memory),
            Arc::clone(metrics),
        ));
        let doors = Doors {
            judge: Judge {
                trust: Arc::clone(trust),
                memory,
                validation: Arc::clone(&validation),
                metrics: Arc::clone(metrics),
            },
            configured: Configured::new(
                settings,
                Arc::clone(trust),
                Arc::clone(metrics),
                Arc::clone(observer),
            )?,
            observer: Arc::clone(observer),
            health: HealthBoard::new(Arc::clone(trust), clock, &audit, deadline_ms),
            audit,
            denials: Denials::default(),
            proxies: Proxies::default(),
            metrics: Arc::clone(metrics),
            clock: clock.clone(),
            frames: FrameBudget::new(bounds.count(Bound::FrameMemoryBytes)),
            bounds: Bounds {
                decision_deadline_ms: deadline_ms,
                connections: bounds.count(Bound::Connections),
                in_flight: bounds.count(Bound::InFlightPerConnection),
                handshake_timeout_ms: bounds.value(Bound::HandshakeTimeoutMs),
            },
            places: AllPlaces::default(),
            open: tokio_util::task::TaskTracker::new(),
        };
        let grpc = grpc
            .map(|(door, listener)| Grpc::new(door, listener, &doors))
            .transpose()?;
        Ok(Self {
            trust: Arc::clone(trust),
            doors: doors.shared(),
            validation,
            workers,
            desk,
            listener: Arc::new(listener),
            grpc,
            admin: None,
            clock: clock.clone(),
        })
    }

    fn tree(&self) -> SupervisorSpec {
        let root = SupervisorSpec::new("root");
        // First up and last down: it shows how the others come and go.
        let root = match &self.admin {
            None => root,
            Some(admin) => root.child(admin.child()),
        };
        root.child(self.audit())
            .child(self.health())
            .child(ChildSpec::supervisor(Restart::STANDARD, self.trust()))
            .child(ChildSpec::supervisor(Restart::STANDARD, self.validation()))
            .child(ChildSpec::supervisor(Restart::STANDARD, self.doors()))
    }

    fn audit(&self) -> ChildSpec {
        let args = AuditArgs {
            desk: self.desk.clone(),
        };
        ChildSpec::actor("audit", Restart::STANDARD, &Address::new(), move |_| {
            (AuditActor, args.clone())
        })
    }

    fn health(&self) -> ChildSpec {
        let args = HealthArgs {
            trust: Arc::clone(&self.trust),
            board: self.doors.health.clone(),
            in_force: self.doors.policies_in_force(),
            degraded_is_unready: self.doors.configured.settings().agent().degraded_is_unready,
        };
        ChildSpec::actor("health", Restart::STANDARD, &Address::new(), move |_| {
            (HealthActor, args.clone())
        })
    }

    fn trust(&self) -> SupervisorSpec {
        let settings = self.doors.configured.settings();
        let spire: PathBuf = settings.spire_socket().value.as_path().to_owned();
        let watcher = WatcherArgs {
            socket: spire.clone(),
            trust: Arc::clone(&self.trust),
            timings: self.doors.configured.timings(),
            clock: self.clock.clone(),
        };
        let bundles = ChildSpec::actor("bundles", Restart::STANDARD, &Address::new(), move |_| {
            (BundleWatcher, watcher.clone())
        });
        let tree = SupervisorSpec::new("trust");
        let tree = match &settings.agent().state_dir {
            None => tree,
            Some(dir) => {
                let args = CacheArgs {
                    dir: dir.value.clone(),
                    socket: spire,
                    trust: Arc::clone(&self.trust),
                    clock: self.clock.clone(),
                    keeping: self.doors.health.keeping().clone(),
                };
                tree.child(ChildSpec::actor(
                    "cache",
                    Restart::STANDARD,
                    &Address::new(),
                    move |_| (CacheActor, args.clone()),
                ))
            }
        };
        let tree = match self.grpc.as_ref().and_then(|grpc| grpc.identity.as_ref()) {
            None => tree,
            Some(identity) => tree.child(self.identity(identity)),
        };
        tree.child(bundles)
    }

    fn identity(&self, identity: &Arc<OwnIdentity>) -> ChildSpec {
        let settings = self.doors.configured.settings();
        let args = IdentityArgs {
            socket: settings.spire_socket().value.as_path().to_owned(),
            identity: Arc::clone(identity),
            timings: self.doors.configured.timings(),
            observer: Arc::clone(&self.doors.observer),
        };
        ChildSpec::actor("identity", Restart::STANDARD, &Address::new(), move |_| {
            (IdentityActor, args.clone())
        })
    }

    fn validation(&self) -> SupervisorSpec {
        (0..self.workers).fold(SupervisorSpec::new("validation"), |tree, place| {
            let validation = Arc::clone(&self.validation);
            let name = format!("worker-{place}");
            tree.child(ChildSpec::actor(
                name,
                Restart::STANDARD,
                &Address::new(),
                move |_| {
                    let validation = Arc::clone(&validation);
                    (Worker::new(), WorkerArgs { validation, place })
                },
            ))
        })
    }

    fn doors(&self) -> SupervisorSpec {
        let settings = self.doors.configured.settings();
        let trusted = settings
            .agent()
            .trusted_accounts
            .iter()
            .filter_map(|proxy| match proxy {
                TrustedProxy::Uid(uid) => Some(TrustedPeer::Uid(*uid)),
                TrustedProxy::Gid(gid) => Some(TrustedPeer::Gid(*gid)),
                TrustedProxy::Spiffe(_) => None,
            });
        let unix = Entrance::Unix {
            listener: Arc::clone(&self.listener),
            trusted: trusted.collect(),
        };
        let doors = SupervisorSpec::new("doors").child(self.listener("sentinel", unix));
        let doors = match &self.grpc {
            None => doors,
            Some(grpc) => {
                let entrance = Entrance::Grpc(Arc::clone(&grpc.entrance));
                doors.child(self.listener("grpc", entrance))
            }
        };
        doors.temporary("connection")
    }

    fn listener(&self, name: &'static str, entrance: Entrance) -> ChildSpec {
        // Each door has its own places: who fills one does not close the other.
        let connections = self.doors.bounds.connections;
        let metrics = Arc::clone(&self.doors.metrics);
        let places = Arc::new(Places::new(name, connections, metrics));
        self.doors.places.add(&places);
        let args = ListenerArgs {
            entrance,
            doors: Arc::clone(&self.doors),
            places,
            connections: None,
        };
        ChildSpec::actor(name, Restart::STANDARD, &Address::new(), move |start| {
            let args = ListenerArgs {
                connections: start.temporaries("connection"),
                ..args.clone()
            };
            (ListenerActor, args)
        })
    }
}
