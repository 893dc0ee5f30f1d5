//! The built binary, a simulated SPIRE and a proxy's client: what every test of the process stands on.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and print, and no test uses everything"
)]

pub mod expect;
pub mod load;
pub mod schema;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use chaos::ca::IssuedSvid;
use chaos::client::{Answer, Client, Hello, Request};
use chaos::world::World;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// On the documented allowlist.
pub const FRONTEND: &str = "spiffe://example.org/frontend";
/// Federated, and on no list.
pub const PARTNER: &str = "spiffe://partner.test/billing";

/// Longest wait for anything that must come: this machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// No decision of a busy machine is late.
const PATIENT: &str = "agent { limits { decision-deadline-ms 20000 } }";

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// A directory of one test, with a simulated SPIRE in it.
pub struct Site {
    home: TempDir,
    pub world: World,
}

/// Another build of the agent to put to these tests: the gate holds the released one to its size.
pub fn other_binary() -> Option<std::ffi::OsString> {
    std::env::var_os("AGENT_BIN")
}

fn binary() -> std::ffi::OsString {
    other_binary().unwrap_or_else(|| env!("CARGO_BIN_EXE_sentinel-spiffe-agent").into())
}

impl Site {
    /// A SPIRE that serves `example.org` and the federated `partner.test`.
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("spiffe").tempdir().unwrap();
        let world = World::start(home.path().join("spire.sock"), unix_now()).unwrap();
        Self { home, world }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("agent.sock")
    }

    /// The program with nothing of our environment, on this site's sockets.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.env_clear();
        // Many agents run at once, and the default address is one.
        command.env("AGENT_ADMIN_ADDRESS", "none");
        command.arg("--socket").arg(self.socket());
        command.arg("--spire-socket").arg(self.path("spire.sock"));
        command
    }

    /// The program with this configuration file; records go to this site's `audit.jsonl`.
    pub fn configured(&self, config: &str) -> Command {
        let mut command = self.command();
        command.arg("--config").arg(self.write_config(config));
        command
    }

    /// Writes the configuration, its audit block completed by a sink, and a wide deadline where it names
    /// none: a debug build on a busy machine is not what is tested.
    pub fn write_config(&self, config: &str) -> PathBuf {
        let sink = format!("sink \"file\" path={:?}", self.path("audit.jsonl"));
        let config = match (config.contains("agent {"), config.contains("config {")) {
            (true, _) => config.to_owned(),
            (false, true) => config.replacen("config {", &format!("config {{\n{PATIENT}\n"), 1),
            (false, false) => format!("{config}\n{PATIENT}\n"),
        };
        let text = match config.contains("audit {") {
            true => config.replacen("audit {", &format!("audit {{\n{sink}\n"), 1),
            false => format!("{config}\naudit {{\n{sink}\n}}\n"),
        };
        let path = self.path("agent.kdl");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs until it serves.
    pub async fn serve(&self, command: Command) -> Agent {
        let mut agent = Agent::spawn(command, self.socket(), self.path("audit.jsonl"));
        agent.serving().await;
        agent
    }

    /// Runs with this configuration until it serves and has SPIRE's bundles.
    pub async fn live(&self, config: &str) -> Agent {
        let agent = self.serve(self.configured(config)).await;
        agent.said(0, "to=\"Live\"").await;
        agent
    }

    /// A request that carries a good SVID of this ID as Envoy forwards it.
    pub fn asks(&self, id: &str) -> Request {
        carrying(&self.world.svid(id).unwrap())
    }
}

/// A request that carries this SVID as Envoy forwards it.
pub fn carrying(svid: &IssuedSvid) -> Request {
    Request::get("/api/orders").header("x-forwarded-client-cert", svid.xfcc())
}

/// A running agent; killed when dropped.
pub struct Agent {
    child: Option<Child>,
    orders: Option<ChildStdin>,
    pid: rustix::process::Pid,
    pub socket: PathBuf,
    audit: PathBuf,
    stderr: watch::Receiver<String>,
    stdout: watch::Receiver<String>,
    /// Open, so that their pipes fill up.
    _unread: Vec<Box<dyn Read + Send>>,
}

/// Which of the program's streams somebody reads; the others fill up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Both,
    OnlyStderr,
    Nothing,
    StdoutClosed,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
    pub stdout: String,
}

impl Agent {
    /// Runs the program; it may not be serving yet.
    pub fn spawn(command: Command, socket: PathBuf, audit: PathBuf) -> Self {
        Self::spawn_heard(command, Heard::Both, socket, audit)
    }

    /// The same, reading only this much of what it says.
    pub fn spawn_heard(
        mut command: Command,
        heard: Heard,
        socket: PathBuf,
        audit: PathBuf,
    ) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: a signal to the tests is not one to the agent.
        command.process_group(0);
        let mut child = command.spawn().expect("the program starts");
        let orders = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut unread: Vec<Box<dyn Read + Send>> = Vec::new();
        let mut ignored = |stream: Box<dyn Read + Send>| {
            unread.push(stream);
            watch::channel(String::new()).1
        };
        let (stdout, stderr) = match heard {
            Heard::Both => (follow(stdout), follow(stderr)),
            Heard::OnlyStderr => (ignored(Box::new(stdout)), follow(stderr)),
            Heard::Nothing => (ignored(Box::new(stdout)), ignored(Box::new(stderr))),
            Heard::StdoutClosed => {
                drop(stdout);
                (watch::channel(String::new()).1, follow(stderr))
            }
        };
        Self {
            pid: rustix::process::Pid::from_child(&child),
            child: Some(child),
            orders,
            _unread: unread,
            socket,
            audit,
            stderr,
            stdout,
        }
    }

    async fn serving(&mut self) {
        self.said(0, "serving").await;
    }

    /// Gives an order, which a build for chaos tests obeys and every other leaves unread.
    pub fn order(&mut self, order: &str) -> std::io::Result<()> {
        writeln!(self.orders.as_mut().unwrap(), "{order}")
    }

    /// What was logged so far: the place to hear later lines from.
    pub fn mark(&self) -> usize {
        self.stderr.borrow().len()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Standard output so far.
    pub fn output(&self) -> String {
        self.stdout.borrow().clone()
    }

    /// Where the admin listener is, as the log says.
    pub fn admin_address(&self) -> std::net::SocketAddr {
        let log = self.log();
        let (_, rest) = log
            .split_once("admin=\"")
            .expect("an admin address in the log");
        rest.split('"').next().unwrap().parse().unwrap()
    }

    /// Waits until `text` is logged beyond `mark`.
    pub async fn said(&self, mark: usize, text: &str) {
        let mut stderr = self.stderr.clone();
        let heard = stderr.wait_for(|log| log.get(mark..).is_some_and(|new| new.contains(text)));
        let heard = matches!(tokio::time::timeout(PATIENCE, heard).await, Ok(Ok(_)));
        assert!(heard, "waited in vain for {text:?} in:\n{}", self.log());
    }

    /// A proxy that pushes nothing.
    pub async fn connect(&self) -> Client {
        self.connect_as(Hello::default()).await
    }

    /// A proxy.
    pub async fn connect_as(&self, hello: Hello) -> Client {
        let client = self.dial().await;
        client.handshake(hello).await.expect("a handshake");
        client
    }

    /// A connection without a handshake.
    pub async fn dial(&self) -> Client {
        let client = Client::dial(&self.socket).await.expect("a connection");
        client.with_timeout(PATIENCE)
    }

    /// Whole audit records so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                // Every record holds what is needed to decide again.
                let recorded = actors::audit::Recorded::parse(line.as_bytes());
                let replayed = recorded.and_then(|recorded| recorded.replay());
                replayed.unwrap_or_else(|error| panic!("{error}: {line}"));
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
            })
            .collect()
    }

    /// The one record of the request that was sent under this correlation id.
    pub async fn record(&self, id: &str) -> Value {
        let mut found = Vec::new();
        eventually(&format!("a record of {id}"), async || {
            found = self.records();
            found.retain(|record| record["correlation_id"] == id);
            !found.is_empty()
        })
        .await;
        assert_eq!(found.len(), 1, "one record per decision: {found:?}");
        found.remove(0)
    }

    /// Kilobytes resident now.
    pub fn rss_kib(&self) -> u64 {
        self.status_number("VmRSS:")
    }

    /// A number of `/proc/PID/status`.
    pub fn status_number(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Open descriptors now.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        std::fs::read_dir(path).expect("the process lives").count()
    }

    /// Its process, which was started here.
    pub fn pid(&self) -> rustix::process::Pid {
        self.pid
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        rustix::process::kill_process(self.pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let mut child = self.child.take().unwrap();
        let (pid, log) = (self.pid, self.stderr.clone());
        let waiting = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let Ok(status) = tokio::time::timeout(PATIENCE + PATIENCE, waiting).await else {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("it does not end:\n{}", *log.borrow());
        };
        let status = status.unwrap();
        // Both end when the process has: their writers are gone.
        for stream in [&mut self.stderr, &mut self.stdout] {
            while stream.changed().await.is_ok() {}
        }
        let (stderr, stdout) = (self.log(), self.output());
        Ended {
            status,
            stderr,
            stdout,
        }
    }

    /// Stops it as a service manager does; it must end well and leave no socket.
    pub async fn stop(self) -> Ended {
        let socket = self.socket.clone();
        self.terminate();
        let ended = self.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(!socket.exists(), "the socket is left behind");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Collects lines as they come.
fn follow(stream: impl Read + Send + 'static) -> watch::Receiver<String> {
    let (lines, text) = watch::channel(String::new());
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let read = String::from_utf8_lossy(&line).into_owned();
            lines.send_modify(|text| text.push_str(&read));
            line.clear();
        }
    });
    text
}

/// Looks until it is so; for what nobody tells us of.
pub async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looking).await;
    assert!(seen.is_ok(), "waited in vain for {what}");
}

/// The documented configuration as it is shipped, without what names paths.
pub fn documented() -> String {
    let text = include_str!("../../config/examples/documented.kdl");
    assert!(text.contains("audit {"));
    text.to_owned()
}

/// Whether a file is there.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A policy that tells the callers of [`load::mixed`] apart.
pub const LOAD_POLICY: &str = "allowlist {\n exact \"spiffe://example.org/frontend\"\n prefix \"spiffe://example.org/services/\"\n}\n";

/// Asks, and fails the test unless the answer is the expected one.
pub async fn asked(client: &Client, request: &Request, expected: &expect::Expected) -> Answer {
    for _ in 0..50 {
        let answer = client.ask(request).await.expect("an answer");
        // Without a file there is no wider deadline; a busy machine may pass it, which is no wrong answer.
        if request.id.is_none() && answer.reason_codes == ["OVERLOADED"] {
            continue;
        }
        expected.of(request, &answer);
        return answer;
    }
    panic!("overloaded for ever");
}
