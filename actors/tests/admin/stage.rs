//! An agent with an admin listener, a simulated SPIRE, and whoever reads the page.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actors::admin::status::Status;
use actors::agent::Agent;
use actors::clock::Clock;
use chaos::client::{Client, Hello};
use chaos::world::World;
use config::{FileConfig, Override, Overrides, Settings};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use verdict::availability::Phase;

pub(crate) const FRONTEND: &str = "spiffe://example.org/frontend";

const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

/// Looks until it is so; for what nobody tells us of.
pub(crate) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(SOON, looking).await;
    assert!(seen.is_ok(), "waited in vain for {what}");
}

pub(crate) struct Stage {
    pub(crate) agent: Agent,
    pub(crate) world: World,
    home: tempfile::TempDir,
}

impl Stage {
    /// With SPIRE's bundles.
    pub(crate) async fn live(config: &str) -> Self {
        let stage = Self::start(config, true).await;
        let mut changes = stage.agent.trust().subscribe();
        soon(async {
            while stage.agent.trust().phase() != Phase::Live {
                changes.changed().await.unwrap();
            }
        })
        .await;
        stage
    }

    /// With SPIRE there or away.
    pub(crate) async fn start(config: &str, spire: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let world = World::start(home.path().join("spire.sock"), now.as_secs()).unwrap();
        if !spire {
            world
                .spire()
                .stop(chaos::spire::SocketFile::Left)
                .await
                .unwrap();
        }
        let path = |name: &str| home.path().join(name).display().to_string();
        let overrides = Overrides::default()
            .with_flag(Override::Socket, path("agent.sock"))
            .with_flag(Override::SpireSocket, path("spire.sock"))
            .with_flag(Override::AdminAddress, "127.0.0.1:0");
        // A busy machine is not what is tested.
        let config = match config.contains("agent {") {
            true => config.to_owned(),
            false => format!("{config}\nagent {{ limits {{ decision-deadline-ms 20000 }} }}"),
        };
        let file = FileConfig::parse("test.kdl", &config).unwrap();
        let settings = Settings::resolve(Some(file), &overrides).unwrap();
        let agent = Agent::start(settings, Clock::system()).await.unwrap();
        Self { agent, world, home }
    }

    /// A proxy.
    pub(crate) async fn proxy(&self) -> Client {
        let socket = self.home.path().join("agent.sock");
        soon(Client::connect(socket, Hello::default()))
            .await
            .unwrap()
    }

    pub(crate) async fn dial(&self) -> TcpStream {
        let address = self.agent.admin().expect("a listener").address();
        soon(TcpStream::connect(address)).await.unwrap()
    }

    /// A request's answer.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await
    }

    pub(crate) async fn ask(&self, request: &str) -> Response {
        let mut stream = self.dial().await;
        // Who is refused early may not want all of it.
        let _ = soon(stream.write_all(request.as_bytes())).await;
        let mut text = Vec::new();
        let _ = soon(stream.read_to_end(&mut text)).await;
        Response::parse(&String::from_utf8(text).unwrap())
    }

    /// What `/status` says, no older than this call.
    pub(crate) async fn status(&self) -> Status {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let response = self.get("/status").await;
        assert_eq!(response.status, 200, "{response:?}");
        serde_json::from_str(&response.body).unwrap()
    }

    /// Follows `/events`.
    pub(crate) async fn events(&self) -> Events {
        let mut stream = self.dial().await;
        let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        soon(stream.write_all(request)).await.unwrap();
        Events {
            stream,
            read: String::new(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.unwrap_or_default(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
    }
}

pub(crate) struct Events {
    stream: TcpStream,
    read: String,
}

impl Events {
    /// Reads on until an event satisfies `wanted`.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                while let Some(end) = self.read.find("\n\n") {
                    let event: String = self.read.drain(..end + 2).collect();
                    let Some((_, json)) = event.split_once("event: status\ndata: ") else {
                        continue;
                    };
                    // A chunk's size and end may stand around, never within.
                    let value: Value = serde_json::from_str(json.trim()).unwrap();
                    if wanted(&value) {
                        return value;
                    }
                }
                assert!(self.more().await, "the stream ended");
            }
        })
        .await
    }

    /// Whether there is more.
    pub(crate) async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 64 * 1024];
        let count = soon(self.stream.read(&mut bytes)).await.unwrap_or(0);
        self.read
            .push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    /// The head of the response, once it is there.
    pub(crate) async fn head(&mut self) -> Response {
        while !self.read.contains("\r\n\r\n") && self.more().await {}
        Response::parse(&self.read)
    }
}
