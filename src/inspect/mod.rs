//! `inspect`: what the Workload API gives this process: its SVIDs, and the bundles it would judge by.

mod files;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use actors::bundles::ask;
use actors::bundles::loss::End;
use anyhow::Context as _;
use config::{NamedTimings, Override, Overrides, Settings};
use proto::workload::{X509BundlesResponse, X509svidResponse};
use verdict::time::Now;
use verdict::trust::Snapshot;

pub(crate) use self::report::{Authority, BundleShown, Inspected, SvidShown, why};
use crate::cli::Inspect;
use crate::exit::Exit;
use crate::output::show;
use crate::{serve, when};

/// Wait before a stream that ended is begun anew.
const RETRY: Duration = Duration::from_secs(1);

/// What was received so far.
pub(crate) struct Received {
    pub(crate) bundles: Result<X509BundlesResponse, End>,
    pub(crate) svids: Result<X509svidResponse, End>,
}

impl Received {
    /// Why an agent takes none of the bundles that came: it reads an answer whole, and so does this.
    pub(crate) fn discarded(&self, now: Now) -> Option<End> {
        let bundles = &self.bundles.as_ref().ok()?.bundles;
        let update = bundles
            .iter()
            .map(|(key, der)| (key.as_str(), der.as_slice()));
        let read = Snapshot::default().updated(update, now);
        read.err().map(|error| End::discarded(&error))
    }
}

/// Asks once, or goes on.
pub(crate) fn run(args: &Inspect) -> anyhow::Result<Exit> {
    let settings = settings(args)?;
    let socket = settings.spire_socket().value.as_path().to_owned();
    let timings = settings.timings(&NamedTimings::default());
    let timeout = Duration::from_millis(args.timeout_ms.unwrap_or(timings.api_timeout_ms));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("start the runtime")?;
    if args.watch {
        return runtime.block_on(watch(args, socket));
    }
    let received = runtime.block_on(once(&socket, timeout));
    if let Some(dir) = &args.write {
        files::write(dir, &received)?;
    }
    let inspected = Inspected::of(&socket, &received, when::now());
    show(&inspected, args.output)?;
    Ok(match inspected.is_served() {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

fn settings(args: &Inspect) -> anyhow::Result<Settings> {
    let mut overrides = Overrides::from_variables(|name| std::env::var_os(name));
    if let Some(socket) = &args.spire_socket {
        overrides = overrides.with_flag(Override::SpireSocket, socket.clone());
    }
    serve::resolve(None, &overrides)
}

/// The first messages of both streams.
pub(crate) async fn once(socket: &std::path::Path, timeout: Duration) -> Received {
    let bundles = async { ask::bundles(socket).await?.next().await };
    let svids = async { ask::svids(socket).await?.next().await };
    let (bundles, svids) = tokio::join!(ask::within(timeout, bundles), ask::within(timeout, svids));
    Received { bundles, svids }
}

/// Shows every change until it is interrupted.
async fn watch(args: &Inspect, socket: PathBuf) -> anyhow::Result<Exit> {
    let (changes, mut news) = tokio::sync::mpsc::channel(1);
    tokio::spawn(follow_bundles(socket.clone(), changes.clone()));
    tokio::spawn(follow_svids(socket.clone(), changes));
    let mut received = Received {
        bundles: Err(End::in_order()),
        svids: Err(End::in_order()),
    };
    let (mut bundles_heard, mut svids_heard) = (false, false);
    loop {
        let change = tokio::select! {
            change = news.recv() => change,
            _ = tokio::signal::ctrl_c() => None,
        };
        match change {
            None => return Ok(Exit::Success),
            Some(Change::Bundles(bundles)) => {
                received.bundles = bundles;
                bundles_heard = true;
            }
            Some(Change::Svids(svids)) => {
                received.svids = svids;
                svids_heard = true;
            }
        }
        if bundles_heard && svids_heard {
            show(&Inspected::of(&socket, &received, when::now()), args.output)?;
        }
    }
}

enum Change {
    Bundles(Result<X509BundlesResponse, End>),
    Svids(Result<X509svidResponse, End>),
}

type Changes = tokio::sync::mpsc::Sender<Change>;

/// Ends when nobody listens any more.
async fn follow_bundles(socket: PathBuf, changes: Changes) {
    loop {
        let ended = async {
            let mut stream = ask::bundles(&socket).await?;
            loop {
                let message = stream.next().await?;
                if changes.send(Change::Bundles(Ok(message))).await.is_err() {
                    return Ok::<(), End>(());
                }
            }
        };
        let Err(end) = ended.await else { return };
        if changes.send(Change::Bundles(Err(end))).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Ends when nobody listens any more.
async fn follow_svids(socket: PathBuf, changes: Changes) {
    loop {
        let ended = async {
            let mut stream = ask::svids(&socket).await?;
            loop {
                let message = stream.next().await?;
                if changes.send(Change::Svids(Ok(message))).await.is_err() {
                    return Ok::<(), End>(());
                }
            }
        };
        let Err(end) = ended.await else { return };
        if changes.send(Change::Svids(Err(end))).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}
