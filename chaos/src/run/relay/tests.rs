#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

/// A directory with a socket that sends back what it gets, as a SPIRE that answers.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let listener = UnixListener::bind(site.path("spire.sock")).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn relay(&self) -> Relay {
        self.behind(Door::of(&self.path("agent.sock")))
    }

    fn behind(&self, door: Door) -> Relay {
        Relay::behind(door, &self.path("relay.sock"), &self.path("spire.sock")).unwrap()
    }

    /// A connection on which SPIRE has spoken.
    async fn agent(&self) -> UnixStream {
        let mut stream = UnixStream::connect(self.path("relay.sock")).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        stream
    }

    fn refused(&self, at: &Path) -> String {
        let refused = Relay::start(at, &self.path("spire.sock"), &self.path("agent.sock"));
        refused.err().unwrap().to_string()
    }
}

/// The other side has hung up.
async fn ends(stream: &mut UnixStream) {
    let read = tokio::time::timeout(WITHIN, stream.read(&mut [0; 1])).await;
    assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
}

#[tokio::test]
async fn what_lies_at_the_path_is_refused_and_stays() {
    let site = Site::new();
    let live = site.refused(&site.path("spire.sock"));
    assert!(
        live.contains("--relay") && live.contains("spire.sock"),
        "{live}"
    );
    assert!(UnixStream::connect(site.path("spire.sock")).await.is_ok());
    std::fs::write(site.path("file"), "mine").unwrap();
    let file = site.refused(&site.path("file"));
    assert!(file.contains("a file lies there"), "{file}");
    assert_eq!(std::fs::read(site.path("file")).unwrap(), b"mine");
}

/// As of a tool that was killed.
#[tokio::test]
async fn a_socket_of_ours_on_which_nobody_listens_is_replaced() {
    let site = Site::new();
    drop(std::os::unix::net::UnixListener::bind(site.path("relay.sock")).unwrap());
    let _relay = site.relay();
    site.agent().await;
}

#[tokio::test]
async fn its_own_socket_goes_with_it_and_no_other() {
    let site = Site::new();
    let path = site.path("relay.sock");
    drop(site.relay());
    assert!(!path.exists());
    for act in [Act::Stop, Act::SocketDeleted, Act::Kill] {
        let mut relay = site.relay();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
        relay.act(act).await.unwrap();
        for act in [Act::Start, Act::SocketReplaced, Act::SocketForbidden] {
            assert!(relay.act(act).await.is_err(), "{act}");
        }
        drop(relay);
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn it_counts_who_spire_answers_and_until_when() {
    let site = Site::new();
    let mut relay = site.relay();
    let own = Some(rustix::process::getpid());
    assert!(!relay.carries(own, Duration::ZERO).await);
    // Who only connects has not reached SPIRE.
    let _silent = UnixStream::connect(site.path("relay.sock")).await.unwrap();
    assert_eq!(relay.traffic(None), Traffic::default());
    let mut agent = site.agent().await;
    assert!(relay.carries(own, WITHIN).await);
    let is_root = rustix::process::geteuid().is_root();
    let expected = Traffic {
        carried: 1,
        open: 1,
        by_root: is_root,
    };
    assert_eq!(relay.traffic(own), expected);
    relay.act(Act::Kill).await.unwrap();
    ends(&mut agent).await;
    let mut arrivals = relay.arrivals.subscribe();
    let gone = arrivals.wait_for(|arrivals| Traffic::of(arrivals, own).open == 0);
    tokio::time::timeout(WITHIN, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn streams_end_and_the_socket_is_left_as_it_is() {
    let site = Site::new();
    let mut relay = site.relay();
    let path = site.path("relay.sock");
    let inode = std::fs::metadata(&path).unwrap().ino();
    let mut agent = site.agent().await;
    relay.act(Act::EndStreams).await.unwrap();
    ends(&mut agent).await;
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    // And it still leads somewhere.
    let mut agent = site.agent().await;
    relay.act(Act::SocketDeleted).await.unwrap();
    relay.act(Act::EndStreams).await.unwrap();
    ends(&mut agent).await;
    assert!(!path.exists());
    relay.act(Act::SocketRecreated).await.unwrap();
    site.agent().await;
}

#[tokio::test]
async fn frozen_nothing_moves_and_thawed_it_does() {
    let site = Site::new();
    let mut relay = site.relay();
    let mut agent = site.agent().await;
    relay.act(Act::Freeze).await.unwrap();
    agent.write_all(b"x").await.unwrap();
    let mut answer = [0; 1];
    let read = tokio::time::timeout(Duration::from_millis(50), agent.read(&mut answer));
    assert!(read.await.is_err());
    relay.act(Act::Thaw).await.unwrap();
    agent.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"x");
}

#[tokio::test]
async fn whoever_the_agent_runs_as_may_connect() {
    let site = Site::new();
    let mut relay = site.relay();
    let mode = || std::fs::metadata(site.path("relay.sock")).unwrap().mode() & 0o777;
    assert_eq!(mode(), 0o666);
    relay.act(Act::SocketForbidden).await.unwrap();
    assert_eq!(mode(), 0);
    relay.act(Act::SocketAllowed).await.unwrap();
    assert_eq!(mode(), 0o666);
}

#[tokio::test]
async fn who_comes_is_told_apart_from_others_where_the_agent_has_a_number() {
    let site = Site::new();
    let relay = site.relay();
    let _agent = site.agent().await;
    let own = Some(rustix::process::getpid());
    let open = |of| relay.traffic(of).open;
    assert_eq!((open(own), open(None), open(Some(Pid::INIT))), (1, 1, 0));
    assert!(!relay.carries(Some(Pid::INIT), Duration::ZERO).await);
    // One from another pid namespace is not the agent, which has a number here.
    let one = *relay.arrivals.borrow().get(&own).unwrap();
    relay.arrivals.send_replace(HashMap::from([(None, one)]));
    assert_eq!((open(Some(Pid::INIT)), open(None)), (0, 1));
}

#[tokio::test]
async fn processes_that_are_told_apart_are_bounded() {
    let site = Site::new();
    let relay = site.relay();
    let others = (1..).filter_map(Pid::from_raw).map(Some);
    let others = others.filter(|pid| *pid != Some(rustix::process::getpid()));
    let full = others
        .take(PROCESSES_MAX)
        .map(|pid| (pid, Traffic::default()));
    relay.arrivals.send_replace(full.collect());
    drop(site.agent().await);
    assert_eq!(relay.arrivals.borrow().len(), PROCESSES_MAX);
}

/// Whoever SPIRE answers here gets the tool's SVID with its key. No user is root or the tool here, so that
/// the test's own is a stranger.
#[tokio::test]
async fn a_user_who_is_not_the_agents_gets_nothing_from_spire() {
    let site = Site::new();
    let nobodys = [u32::MAX, u32::MAX];
    let agent = site.path("agent.sock");
    let relay = site.behind(Door::with(nobodys, u32::MAX, &agent));
    let mut stranger = UnixStream::connect(site.path("relay.sock")).await.unwrap();
    // Hung up on already, perhaps.
    let _ = stranger.write_all(b"hello").await;
    ends(&mut stranger).await;
    assert_eq!(relay.traffic(None), Traffic::default());
    assert_eq!(
        relay.refused_uid(),
        Some(rustix::process::geteuid().as_raw())
    );
    // The same user, once it is the one who listens on the agent's socket.
    let _listener = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    site.agent().await;
    assert_eq!(relay.traffic(None).carried, 1);
    drop(relay);
    // One that stands for many users is nobody's.
    let own = rustix::process::geteuid().as_raw();
    let _relay = site.behind(Door::with(nobodys, own, &agent));
    let mut stranger = UnixStream::connect(site.path("relay.sock")).await.unwrap();
    let _ = stranger.write_all(b"hello").await;
    ends(&mut stranger).await;
}
