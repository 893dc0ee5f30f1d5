//! gRPC health checking on the door.

use chaos::ca::Rotation;
use chaos::spire::EndOfStreams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::soon;
use super::stage::{PROXY, Stage};

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let mut client = HealthClient::new(channel.clone());
    let answer = soon(client.check(about(service))).await?;
    Ok(answer.into_inner().status())
}

struct Watch(Streaming<HealthCheckResponse>);

impl Watch {
    async fn open(channel: Channel, service: &str) -> Self {
        let mut client = HealthClient::new(channel);
        Self(
            soon(client.watch(about(service)))
                .await
                .unwrap()
                .into_inner(),
        )
    }

    /// The next state; None at an end in good order.
    async fn next(&mut self) -> Result<Option<ServingStatus>, Status> {
        let state = soon(self.0.message()).await?;
        Ok(state.map(|state| state.status()))
    }

    /// Passes over what was before.
    async fn until(&mut self, status: ServingStatus) {
        while self.next().await.unwrap().expect("a state") != status {}
    }

    async fn says(&mut self, status: ServingStatus) {
        assert_eq!(self.next().await.unwrap(), Some(status));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_and_each_of_its_services_are_known() {
    let stage = Stage::plaintext().await;
    let channel = stage.plain_channel().await;
    let mut watch = Watch::open(channel.clone(), "").await;
    watch.until(ServingStatus::Serving).await;
    for service in [
        "",
        "sentinel.agent.v2.AgentServiceV2",
        "zentinel.agent.v2.AgentServiceV2",
        "sentinel.agent.v1.AgentProcessor",
    ] {
        assert_eq!(
            check(&channel, service).await.unwrap(),
            ServingStatus::Serving
        );
    }
    let unknown = check(&channel, "sentinel.agent.v3").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = Watch::open(channel, "sentinel.agent.v3").await;
    watch.says(ServingStatus::ServiceUnknown).await;
    soon(stage.agent.shutdown()).await;
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_is_told_of_an_outage_its_end_and_the_drain() {
    let stage = Stage::with("degraded-is-unready true;", None).await;
    let channel = stage.plain_channel().await;
    let mut watch = Watch::open(channel.clone(), "").await;
    watch.until(ServingStatus::Serving).await;
    let spire = stage.world.spire();
    spire.hang();
    spire.end_streams(EndOfStreams::Cleanly);
    watch.says(ServingStatus::NotServing).await;
    assert_eq!(
        check(&channel, "").await.unwrap(),
        ServingStatus::NotServing
    );
    spire.answer_normally();
    watch.says(ServingStatus::Serving).await;
    // Neither the open watch nor its connection holds the drain up.
    let down = tokio::spawn(stage.agent.shutdown());
    watch.says(ServingStatus::NotServing).await;
    assert_eq!(watch.next().await.unwrap(), None);
    let down = soon(down).await.unwrap();
    assert!(down.killed.is_empty(), "{down:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_alone_is_not_unready() {
    let stage = Stage::plaintext().await;
    let channel = stage.plain_channel().await;
    let mut watch = Watch::open(channel.clone(), "").await;
    watch.until(ServingStatus::Serving).await;
    // From before anything changes: what came sooner is no change.
    let mut phases = stage.agent.trust().subscribe();
    stage.world.spire().hang();
    stage.world.spire().end_streams(EndOfStreams::Cleanly);
    soon(phases.changed()).await.unwrap();
    assert_eq!(check(&channel, "").await.unwrap(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_the_callers_standing() {
    let mut stage = Stage::mutual_tls().await;
    let channel = stage.tls_channel(Some(PROXY)).await.unwrap();
    let mut watch = Watch::open(channel, "").await;
    watch.until(ServingStatus::Serving).await;
    stage.world.rotate(Rotation::Abrupt).unwrap();
    let refused = watch.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("UNTRUSTED_PROXY"), "{refused}");
}

/// It greets and never says another word, not even that it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_mute_holds_up_no_drain() {
    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let stage = Stage::plaintext().await;
    let mut mute = TcpStream::connect(stage.address).await.unwrap();
    mute.write_all(GREETING).await.unwrap();
    // It is served from when its greeting is returned.
    mute.read_exact(&mut [0; 9]).await.unwrap();
    let down = soon(stage.agent.shutdown()).await;
    assert!(down.killed.is_empty(), "{down:?}");
}
