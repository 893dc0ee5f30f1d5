//! The agent's states as its status page tells them, for who gave us its address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Pid;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use verdict::availability::Phase;

use crate::run::recording::Transition;

/// How long the page may take: it stands back behind requests.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of the page: far beyond what it has.
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const OK: &str = "200 OK";

/// The states in a run, the one that it began in first; or why they are not known.
pub(super) type States = Result<Vec<Transition>, String>;

#[derive(Deserialize)]
struct Status {
    process: Process,
    trust: Trust,
}

#[derive(Deserialize)]
struct Process {
    pid: i32,
}

#[derive(Deserialize)]
struct Trust {
    timeline: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    ago_ms: u64,
    from: Option<String>,
    to: String,
}

/// Those of a run that began so many milliseconds ago, of an agent that is this process where that is known:
/// two agents of one host have a page each.
pub(super) async fn states(address: SocketAddr, agent: Option<Pid>, began_ago_ms: u64) -> States {
    let fail = |why: String| format!("the status page at {address} {why}");
    let page = match timeout(WITHIN, fetch(address)).await {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => return Err(fail(format!("cannot be had: {error}"))),
        Err(_) => return Err(fail(format!("does not answer in {} s", WITHIN.as_secs()))),
    };
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((&page, ""));
    let said = head.lines().next().unwrap_or_default();
    if !said.ends_with(OK) {
        return Err(fail(format!("says {said:?}")));
    }
    let status: Status =
        serde_json::from_str(body).map_err(|_| fail("is none of this agent's".to_owned()))?;
    is_of(status.process.pid, agent).map_err(fail)?;
    within(&status.trust.timeline, began_ago_ms).map_err(fail)
}

/// Whether the page is that agent's, by its process. An agent calls itself by the number in its own pid
/// namespace, which the kernel tells of it, too.
fn is_of(told: i32, agent: Option<Pid>) -> Result<(), String> {
    let Some(agent) = agent.map(Pid::as_raw_pid) else {
        return Ok(());
    };
    let path = format!("/proc/{agent}/status");
    let known = std::fs::read_to_string(path).unwrap_or_default();
    match told == own_number(&known, agent) {
        true => Ok(()),
        false => Err(format!(
            "is of another agent, process {told}: process {agent} listens on --agent-socket; name the \
             --admin-address of that one"
        )),
    }
}

/// What a process calls itself, which has this number here: the innermost of its numbers. By another, an
/// agent of another container would do.
fn own_number(status: &str, here: i32) -> i32 {
    numbers(status).last().unwrap_or(here)
}

/// Of a process in each of its pid namespaces (proc_pid_status(5), `NSpid`).
fn numbers(status: &str) -> impl Iterator<Item = i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let words = line.into_iter().flat_map(str::split_whitespace);
    words.filter_map(|word| word.parse().ok())
}

/// HTTP/1.0: the answer is whole when the connection ends. A host that is not its own is refused.
fn request(address: SocketAddr) -> String {
    format!("GET /status HTTP/1.0\r\nhost: {address}\r\n\r\n")
}

async fn fetch(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request(address).as_bytes()).await?;
    let mut page = String::new();
    stream
        .take(PAGE_BYTES_MAX)
        .read_to_string(&mut page)
        .await?;
    Ok(page)
}

fn within(timeline: &[Change], began_ago_ms: u64) -> States {
    let is_whole = timeline
        .first()
        .is_some_and(|change| change.from.is_none() || change.ago_ms >= began_ago_ms);
    if !is_whole {
        let count = timeline.len();
        return Err(format!(
            "keeps {count} changes, and there were more in the run"
        ));
    }
    // An agent that is new begins in no state before it.
    let is_new = |change: &Change| change.from.is_none() && change.ago_ms < began_ago_ms;
    if timeline.first().is_some_and(is_new) {
        return Err(
            "is of an agent that was started again in the run: nobody tells its states before"
                .to_owned(),
        );
    }
    let mut states = Vec::new();
    for change in timeline {
        let known = Phase::ALL.iter().find(|phase| phase.as_str() == change.to);
        let to = *known.ok_or_else(|| format!("names a state nobody knows, {:?}", change.to))?;
        if change.ago_ms >= began_ago_ms {
            states.clear();
        }
        let at_ms = began_ago_ms.saturating_sub(change.ago_ms);
        states.push(Transition { at_ms, to });
    }
    Ok(states)
}

/// A state between two moments that is none of these.
pub(super) fn stray(
    states: &[Transition],
    (from_ms, to_ms): (u64, u64),
    allowed: &[Phase],
) -> Option<Phase> {
    let before = states.iter().rev().find(|state| state.at_ms <= from_ms);
    let within = states
        .iter()
        .filter(|state| state.at_ms > from_ms && state.at_ms <= to_ms);
    let mut all = before.into_iter().chain(within).map(|state| state.to);
    all.find(|state| !allowed.contains(state))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn change(ago_ms: u64, from: Option<Phase>, to: Phase) -> Change {
        Change {
            ago_ms,
            from: from.map(|phase| phase.as_str().to_owned()),
            to: to.as_str().to_owned(),
        }
    }

    #[test]
    fn a_run_has_the_states_since_it_began_and_the_one_that_it_began_in() {
        let timeline = [
            change(9_000, None, Phase::Starting),
            change(8_000, Some(Phase::Starting), Phase::Live),
            change(3_000, Some(Phase::Live), Phase::Outage),
        ];
        let states = within(&timeline, 5_000).unwrap();
        let told: Vec<_> = states.iter().map(|one| (one.at_ms, one.to)).collect();
        assert_eq!(told, [(0, Phase::Live), (2_000, Phase::Outage)]);
        let lost = within(timeline.get(2..).unwrap(), 5_000).unwrap_err();
        assert!(lost.contains("keeps 1 changes"), "{lost}");
        let again = within(&timeline, 9_001).unwrap_err();
        assert!(again.contains("started again in the run"), "{again}");
    }

    #[test]
    fn a_window_in_another_state_is_found() {
        let at = |at_ms, to| Transition { at_ms, to };
        let states = [at(0, Phase::Live), at(2_000, Phase::Outage)];
        let of = |from, to| stray(&states, (from, to), &[Phase::Outage]);
        assert_eq!(of(2_000, 3_000), None);
        assert_eq!(of(1_999, 3_000), Some(Phase::Live));
        assert_eq!(
            stray(&states, (0, 3_000), &[Phase::Live]),
            Some(Phase::Outage)
        );
    }

    #[test]
    fn a_page_of_another_process_is_refused_by_its_number() {
        let own = rustix::process::getpid();
        assert_eq!(is_of(own.as_raw_pid(), Some(own)), Ok(()));
        assert_eq!(is_of(7, None), Ok(()));
        let why = is_of(i32::MAX, Some(own)).unwrap_err();
        assert!(
            why.contains("another agent") && why.contains("--admin-address"),
            "{why}"
        );
        // One in a container calls itself by its number there.
        let known = "Name:\tx\nNSpid:\t4567\t1\nVmPeak: 7 kB\n";
        assert_eq!(own_number(known, 4567), 1);
        assert_eq!(own_number("", 4567), 4567);
    }

    #[tokio::test]
    async fn a_page_that_is_none_is_said_to_be_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; request(address).len()];
            stream.read_exact(&mut request).await.unwrap();
            let answer = b"HTTP/1.0 200 OK\r\n\r\nhello";
            stream.write_all(answer).await.unwrap();
        });
        let said = states(address, None, 1).await.unwrap_err();
        assert!(said.contains("none of this agent's"), "{said}");
        served.await.unwrap();
        let said = states(address, None, 1).await.unwrap_err();
        assert!(said.contains("cannot be had"), "{said}");
    }
}
