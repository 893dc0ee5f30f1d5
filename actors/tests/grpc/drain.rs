//! The drain, and peers that read nothing: they hold it up no longer than at the Unix socket.

use std::time::Instant;

use tonic::transport::Endpoint;

use super::soon;
use super::stage::{Stage, Talk, headers};

/// What the peer's side takes unread, bytes.
const WINDOW_BYTES: u32 = 16 * 1_024;

/// Of an answer, which repeats it: some of them fill the window. It may not be much longer.
const ID_BYTES: usize = 1_000;

/// More answers than fit, and fewer than are made before no more questions are read.
const UNREAD: u64 = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_reads_no_answers_holds_up_no_drain() {
    let stage = Stage::plaintext().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", stage.address)).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let mut talk = Talk::open(soon(endpoint.connect()).await.unwrap()).await;
    talk.greet().await;
    let asks = talk.asks.clone();
    let flood = tokio::spawn(async move {
        let id = "x".repeat(ID_BYTES);
        while asks.send(headers(&id, None)).await.is_ok() {}
    });
    let answered = || stage.agent.doors().metrics.denied_total();
    let stuck = async {
        while answered() < UNREAD {
            tokio::task::yield_now().await;
        }
    };
    soon(stuck).await;
    let begun = Instant::now();
    let down = soon(stage.agent.shutdown()).await;
    let took = begun.elapsed();
    assert!(down.killed.is_empty(), "{down:?} after {took:?}");
    flood.abort();
    let _ = talk.end().await;
}
