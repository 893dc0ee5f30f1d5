//! What goes wrong beside the requests costs them nothing: the slowest of a hundred is as fast as ever.
//!
//! Ratios of windows that follow each other, never times: machines that test are busy. They want the
//! released build, and nothing beside them. The gate's step `footprint` asks for both, one after the other:
//!
//! ```sh
//! AGENT_BIN=target/release/sentinel-spiffe-agent cargo test --test undisturbed -- \
//!     --include-ignored --nocapture --test-threads 1
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chaos::client::{Client, Request};
use common::{Agent, FRONTEND, LOAD_POLICY, Site};

/// Requests of a window: its p99 is the tenth slowest.
const WINDOW: usize = 1_000;
/// Pairs of windows; the median counts.
const PAIRS: usize = 31;
/// Promised: the p99 of a disturbed window is at most so many times that of the quiet one beside it.
const PROMISED: f64 = 1.25;

/// One window, one request after the other.
async fn p99(client: &Client, request: &Request) -> Duration {
    let mut took = Vec::with_capacity(WINDOW);
    for _ in 0..WINDOW {
        let begun = Instant::now();
        assert!(client.ask(request).await.unwrap().is_allow());
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took[WINDOW * 99 / 100]
}

/// Rounds at most: what runs beside a test makes a ratio worse, never better, and does not last. What the
/// agent does to itself is there in each.
const ROUNDS: usize = 3;

/// That a round keeps the promise.
async fn held(what: &str, mut window: impl AsyncFnMut(bool) -> Duration) {
    let mut ratios = Vec::new();
    while ratios.len() < ROUNDS {
        let ratio = ratio(&mut window).await;
        eprintln!(
            "{what}: p99 {ratio:.2} times the undisturbed, median of {PAIRS} pairs of windows"
        );
        if ratio <= PROMISED {
            return;
        }
        ratios.push(ratio);
    }
    panic!("{what}: more than {PROMISED} times in each round: {ratios:.2?}");
}

/// The median of the ratios of pairs, disturbed to quiet; which comes first changes.
async fn ratio(window: &mut impl AsyncFnMut(bool) -> Duration) -> f64 {
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let first = window(pair % 2 == 0).await;
        let second = window(pair % 2 != 0).await;
        let (disturbed, quiet) = if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        ratios.push(disturbed.as_secs_f64() / quiet.as_secs_f64());
    }
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[PAIRS / 2]
}

async fn serving(site: &Site, sink: &str) -> Agent {
    let config = site.path("agent.kdl");
    let audit = format!("audit {{ sink \"file\" path={sink:?} }}");
    std::fs::write(&config, format!("{LOAD_POLICY}\n{audit}\n")).unwrap();
    let mut command = site.command();
    command.arg("--config").arg(config);
    let agent = Agent::spawn(command, site.socket(), site.path("audit.jsonl"));
    agent.said(0, "to=\"Live\"").await;
    agent
}

#[tokio::test]
#[ignore = "a ratio that wants the released build and a quiet machine: .ci/run footprint"]
async fn a_full_disk_makes_no_request_slower() {
    let (well, full) = (Site::new(), Site::new());
    let agents = [
        serving(&well, &well.path("audit.jsonl").display().to_string()).await,
        serving(&full, "/dev/full").await,
    ];
    let clients = [agents[0].connect().await, agents[1].connect().await];
    let requests = [well.asks(FRONTEND), full.asks(FRONTEND)];
    held("a full disk", async |is_disturbed| {
        let at = usize::from(is_disturbed);
        p99(&clients[at], &requests[at]).await
    })
    .await;
    agents[1].said(0, "No space left on device").await;
}

/// Readers of the admin listener without a pause, and viewers of the page who stay.
struct Hammer {
    goes: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
}

/// As many as find a place at once.
const READERS: usize = 8;
const PATHS: [&str; 4] = ["/", "/status", "/metrics", "/healthz?verbose"];

impl Hammer {
    fn new(address: SocketAddr) -> Self {
        let (goes, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        for number in 0..READERS {
            let (goes, served) = (Arc::clone(&goes), Arc::clone(&served));
            std::thread::spawn(move || {
                // Their own work is not the agent's: it stands for other machines, and yields.
                let _ = rustix::process::nice(19);
                for n in number.. {
                    while !goes.load(Relaxed) {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    let path = PATHS[n % PATHS.len()];
                    served.fetch_add(u64::from(read(address, path).is_ok()), Relaxed);
                }
            });
        }
        Self { goes, served }
    }
}

fn read(address: SocketAddr, path: &str) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())
}

#[tokio::test]
#[ignore = "a ratio that wants the released build and a quiet machine: .ci/run footprint"]
async fn a_hammered_admin_listener_makes_no_request_slower() {
    let site = Site::new();
    let mut command = site.configured(LOAD_POLICY);
    command.env("AGENT_ADMIN_ADDRESS", "127.0.0.1:0");
    let agent = site.serve(command).await;
    agent.said(0, "to=\"Live\"").await;
    let (client, request) = (agent.connect().await, site.asks(FRONTEND));
    let hammer = Hammer::new(agent.admin_address());
    held("a hammered admin listener", async |is_disturbed| {
        hammer.goes.store(is_disturbed, Relaxed);
        let took = p99(&client, &request).await;
        hammer.goes.store(false, Relaxed);
        took
    })
    .await;
    let served = hammer.served.load(Relaxed);
    eprintln!("{served} pages served meanwhile");
    assert!(served > 0);
}
