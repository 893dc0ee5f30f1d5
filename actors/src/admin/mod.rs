//! The admin listener: probes, metrics, the status page and its JSON, over HTTP/1.1, read-only.
//!
//! | file | what it does |
//! |---|---|
//! | `actor` | accepts; part of the tree like every door |
//! | `thread` | the one thread it all runs on: a hammered page takes no worker from requests |
//! | `places` | who has a connection; when all are taken the oldest gives way |
//! | `pace` | how many pages are made, and for whom |
//! | `connection` | HTTP/1.1 of one connection, one request each, to its end |
//! | [`guard`] | who may read what |
//! | `answer` | from a request to its response |
//! | `probes` | `/livez`, `/readyz`, `/healthz` |
//! | [`status`] | `/status`: everything that is in force, as data |
//! | `events` | `/events`: the same again and again |
//! | `streams` | who follows: the oldest gives way |
//! | `page` | `/`: the same for people |
//! | [`denials`] | the last denials, explained |
//! | [`rates`] | decisions per second |
//!
//! What names callers (page, status, events) is for whoever is on this machine; from beyond it only
//! probes and metrics are answered, which name nobody. So an address beyond loopback needs no
//! insisting: there is nothing to insist on.

mod actor;
mod answer;
mod connection;
pub mod denials;
mod events;
pub mod guard;
mod pace;
mod page;
mod places;
mod probes;
pub mod rates;
pub mod status;
mod streams;
mod thread;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};

use config::{AdminAddress, Source, Sourced};
use verdict::time::Now;

pub use self::actor::{AdminActor, AdminArgs};
use self::pace::Pace;
use self::rates::Rates;
use self::status::Latest;
use self::streams::Streams;
use self::thread::AdminThread;
use crate::doors::Doors;
use crate::remedy;
use crate::supervision::{Address, ChildSpec, Restart, Tree};

/// Streams of `/events` at once: an operator's screens, not a fleet's.
pub const STREAMS_MAX: usize = 8;

/// Renders what `/metrics` answers, in the format of Prometheus.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What is wrong with the export of telemetry, in sentences.
pub struct Exports {
    /// What of the `OTEL_*` variables cannot be followed.
    pub misread: Vec<String>,
    /// Asks what does not arrive now.
    pub undelivered: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// The listener and what it shows; owned above its actor.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    thread: AdminThread,
    streams: Streams,
    latest: Latest,
    pace: Pace,
    subject: Arc<Subject>,
}

/// What is shown.
pub(crate) struct Subject {
    pub(crate) doors: Arc<Doors>,
    pub(crate) started: Now,
    pub(crate) rates: Rates,
    pub(crate) tree: OnceLock<Arc<Tree>>,
    metrics: OnceLock<MetricsText>,
    exports: OnceLock<Exports>,
}

/// Nobody is refused because the page fails: given up after 64 failures within ten minutes only.
const RESTART: Restart = match Restart::new(64, 600_000, 10, 5_000) {
    Ok(restart) => restart,
    Err(_) => Restart::STANDARD,
};

/// The admin address that was asked for cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "serve --admin-address {address}: {error}{}",
    remedy::of_address(error)
)]
pub struct AdminError {
    address: SocketAddr,
    #[source]
    error: io::Error,
}

/// A listening socket at this address. One that nobody asked for is done without where it is taken:
/// a page must not keep the agent from answering.
///
/// # Errors
/// The address was asked for, and cannot be listened on.
pub fn listen(admin: Sourced<AdminAddress>) -> Result<Option<TcpListener>, AdminError> {
    let AdminAddress::At(address) = admin.value else {
        return Ok(None);
    };
    match TcpListener::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if admin.source == Source::Default => {
            tracing::warn!(
                %address,
                %error,
                "no admin listener, and so no status page and no probes: name another --admin-address, or none"
            );
            Ok(None)
        }
        Err(error) => Err(AdminError { address, error }),
    }
}

impl Admin {
    /// On this listening socket.
    ///
    /// # Errors
    /// The thread cannot be started, or the socket is not what it seems.
    pub fn new(listener: TcpListener, doors: &Arc<Doors>) -> Result<Self, AdminError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = listener.local_addr();
        let address = address.map_err(|error| AdminError {
            address: nowhere,
            error,
        })?;
        let thread = AdminThread::start().map_err(|error| AdminError { address, error })?;
        let doors = Arc::clone(doors);
        let started = doors.clock.now();
        Ok(Self {
            address,
            listener,
            thread,
            streams: Streams::default(),
            latest: Latest::default(),
            pace: Pace::default(),
            subject: Arc::new(Subject {
                doors,
                started,
                rates: Rates::default(),
                tree: OnceLock::new(),
                metrics: OnceLock::new(),
                exports: OnceLock::new(),
            }),
        })
    }

    /// Its actor, for the tree.
    #[must_use]
    pub fn child(self: &Arc<Self>) -> ChildSpec {
        let admin = Arc::clone(self);
        ChildSpec::actor("admin", RESTART, &Address::new(), move |start| {
            let (admin, tree) = (Arc::clone(&admin), Arc::clone(start.tree()));
            (AdminActor, AdminArgs { admin, tree })
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `/metrics` answers from now on; until then there is no such page. The first one stays.
    pub fn expose_metrics(&self, text: MetricsText) {
        let _ = self.subject.metrics.set(text);
    }

    /// Where `/status` asks what is wrong with the export of telemetry. The first to say it holds.
    pub fn tell_of_telemetry(&self, exports: Exports) {
        let _ = self.subject.exports.set(exports);
    }
}
