//! An agent with a gRPC door, and proxies of either package.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actors::agent::Agent;
use actors::clock::Clock;
use actors::doors::grpc::tls::provider;
use chaos::ca::IssuedSvid;
use chaos::spire::WorkloadSvid;
use chaos::world::World;
use config::{FileConfig, Override, Overrides, Settings};
use hyper_util::rt::TokioIo;
use proto::sentinel::grpc::v2;
use proto::sentinel::grpc::v2::agent_service_v2_client::AgentServiceV2Client;
use proto::sentinel::grpc::v2::agent_to_proxy::Message as Answer;
use proto::sentinel::grpc::v2::proxy_to_agent::Message as Ask;
use proto::sentinel::grpc::zentinel::agent_service_v2_client::AgentServiceV2Client as ZentinelClient;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};
use verdict::availability::Phase;
use verdict::svid;

use super::soon;

pub(crate) const FRONTEND: &str = "spiffe://example.org/frontend";
pub(crate) const PROXY: &str = "spiffe://example.org/proxy";
const AGENT: &str = "spiffe://example.org/agents/spiffe";

pub(crate) struct Stage {
    pub(crate) agent: Agent,
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn plaintext() -> Self {
        Self::with("", None).await
    }

    pub(crate) async fn mutual_tls() -> Self {
        let stage = Self::with("", Some(PROXY)).await;
        stage.trusted_can_ask().await;
        let untrusted = &stage.agent.doors().metrics.untrusted_proxy;
        untrusted.store(0, std::sync::atomic::Ordering::Relaxed);
        stage
    }

    /// SPIRE has no SVID for the agent.
    pub(crate) async fn unregistered() -> Self {
        Self::build("", Some(PROXY), |_| {}).await
    }

    pub(crate) async fn with(agent: &str, proxy: Option<&str>) -> Self {
        Self::build(agent, proxy, register).await
    }

    /// SPIRE has an SVID for the agent from now on.
    pub(crate) fn register(&self) {
        register(&self.world);
    }

    /// Waits until the trusted proxy is served: a door serves from the first moment, its certificate
    /// comes when SPIRE gives it. There is nothing to wait for but an attempt that succeeds.
    pub(crate) async fn trusted_can_ask(&self) {
        let asking = async {
            while !self.can_ask(self.tls_channel(Some(PROXY)).await).await {
                tokio::task::yield_now().await;
            }
        };
        soon(asking).await;
    }

    async fn build(agent: &str, proxy: Option<&str>, register: impl Fn(&World)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let world = World::start(home.path().join("spire.sock"), now.as_secs()).unwrap();
        register(&world);
        let audit = home.path().join("audit.jsonl");
        let text = format!(
            "agent {{ accept-pushed-config true; {agent} }}\n\
             allowlist {{ trust-domains \"example.org\" }}\n\
             audit {{ sink \"file\" path={audit:?} }}\n"
        );
        let file = FileConfig::parse("test.kdl", &text).unwrap();
        let address = free_address();
        let path = |name| home.path().join(name).display().to_string();
        let mut overrides = Overrides::default()
            .with_flag(Override::Socket, path("agent.sock"))
            .with_flag(Override::SpireSocket, path("spire.sock"))
            .with_flag(Override::AdminAddress, "none")
            .with_flag(Override::GrpcAddress, address.to_string());
        if let Some(proxy) = proxy {
            overrides = overrides.with_flag(Override::TrustedProxies, proxy.to_owned());
        }
        let settings = Settings::resolve(Some(file), &overrides).unwrap();
        let agent = Agent::start(settings, Clock::system()).await.unwrap();
        let stage = Self {
            agent,
            world,
            address,
            _home: home,
        };
        soon(stage.live()).await;
        stage
    }

    async fn live(&self) {
        let mut changes = self.agent.trust().subscribe();
        while self.agent.trust().phase() != Phase::Live {
            changes.changed().await.unwrap();
        }
    }

    pub(crate) fn svid(&self, id: &str) -> IssuedSvid {
        self.world.svid(id).unwrap()
    }

    pub(crate) async fn plain_channel(&self) -> Channel {
        self.try_plain_channel().await.unwrap()
    }

    pub(crate) async fn try_plain_channel(&self) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        soon(endpoint.connect()).await
    }

    pub(crate) async fn tls_channel(
        &self,
        id: Option<&str>,
    ) -> Result<Channel, tonic::transport::Error> {
        let svid = id.map(|id| self.svid(id));
        self.tls_channel_as(svid.as_ref()).await
    }

    pub(crate) async fn tls_channel_as(
        &self,
        svid: Option<&IssuedSvid>,
    ) -> Result<Channel, tonic::transport::Error> {
        let connector = TlsConnector::from(Arc::new(client_config(svid)));
        let address = self.address;
        let connect = tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("agent.test").unwrap();
                let stream = connector.connect(name, stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://agent.test");
        soon(endpoint.connect_with_connector(connect)).await
    }

    /// A conversation in plaintext, after the handshake.
    pub(crate) async fn talk(&self) -> Talk {
        let mut talk = Talk::open(self.plain_channel().await).await;
        talk.greet().await;
        talk
    }

    /// Whether a request is served there.
    pub(crate) async fn can_ask(&self, channel: Result<Channel, tonic::transport::Error>) -> bool {
        let Ok(channel) = channel else {
            return false;
        };
        let mut client = AgentServiceV2Client::new(channel);
        soon(client.process_event(ping(1))).await.is_ok()
    }
}

fn register(world: &World) {
    world.spire().set_svids(vec![WorkloadSvid {
        svid: world.svid(AGENT).unwrap(),
        hint: String::new(),
    }]);
}

/// A port that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn client_config(svid: Option<&IssuedSvid>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ExpectAgent));
    let mut config = match svid {
        None => config.with_no_client_auth(),
        Some(svid) => {
            let chain = svid.chain_der.iter().cloned().map(CertificateDer::from);
            let key = PrivatePkcs8KeyDer::from(svid.key_pkcs8_der().to_vec());
            config
                .with_client_auth_cert(chain.collect(), key.into())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Takes the agent's SVID for what it says, and insists that it is one.
#[derive(Debug)]
struct ExpectAgent;

impl ServerCertVerifier for ExpectAgent {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = svid::examine(&[end_entity.to_vec()]).unwrap();
        assert_eq!(presented.id().as_str(), AGENT);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// One `ProcessStream`.
pub(crate) struct Talk {
    pub(crate) asks: mpsc::Sender<v2::ProxyToAgent>,
    answers: Streaming<v2::AgentToProxy>,
}

impl Talk {
    pub(crate) async fn open(channel: Channel) -> Self {
        let (asks, stream) = asks();
        let mut client = AgentServiceV2Client::new(channel);
        let answers = soon(client.process_stream(stream)).await.unwrap();
        Self {
            asks,
            answers: answers.into_inner(),
        }
    }

    pub(crate) async fn open_zentinel(channel: Channel) -> Self {
        let (asks, stream) = asks();
        let mut client = ZentinelClient::new(channel);
        let answers = soon(client.process_stream(stream)).await.unwrap();
        Self {
            asks,
            answers: answers.into_inner(),
        }
    }

    pub(crate) async fn greet(&mut self) {
        self.say(handshake("{}")).await;
        let first = self.next().await.unwrap();
        assert!(matches!(first, Answer::Handshake(h) if h.success));
    }

    pub(crate) async fn say(&self, ask: v2::ProxyToAgent) {
        soon(self.asks.send(ask)).await.unwrap();
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Answer, Option<Status>> {
        match soon(self.answers.message()).await {
            Ok(Some(message)) => Ok(message.message.unwrap()),
            Ok(None) => Err(None),
            Err(status) => Err(Some(status)),
        }
    }

    /// The next answer to an event; reports are passed over.
    pub(crate) async fn answer(&mut self) -> v2::AgentResponse {
        loop {
            match self.next().await.unwrap() {
                Answer::Response(response) => return response,
                Answer::Health(_) | Answer::Metrics(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn pong(&mut self) -> u64 {
        loop {
            match self.next().await.unwrap() {
                Answer::Pong(pong) => return pong.sequence,
                Answer::Health(_) | Answer::Metrics(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// How the stream ends.
    pub(crate) async fn end(&mut self) -> Option<Status> {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }
}

fn asks() -> (
    mpsc::Sender<v2::ProxyToAgent>,
    ReceiverStream<v2::ProxyToAgent>,
) {
    let (asks, stream) = mpsc::channel(16);
    (asks, ReceiverStream::new(stream))
}

pub(crate) fn ask(message: Ask) -> v2::ProxyToAgent {
    v2::ProxyToAgent {
        message: Some(message),
    }
}

pub(crate) fn handshake(config_json: &str) -> v2::ProxyToAgent {
    ask(Ask::Handshake(v2::HandshakeRequest {
        supported_versions: vec![2, 1],
        proxy_id: "sentinel-proxy".to_owned(),
        proxy_version: "0.6.45".to_owned(),
        config_json: config_json.to_owned(),
    }))
}

pub(crate) fn configure(config_json: &str) -> v2::ProxyToAgent {
    ask(Ask::Configure(v2::ConfigureEvent {
        config_json: config_json.to_owned(),
        ..Default::default()
    }))
}

pub(crate) fn ping(sequence: u64) -> v2::ProxyToAgent {
    ask(Ask::Ping(v2::Ping {
        sequence,
        timestamp_ms: 1,
    }))
}

pub(crate) fn other(id: &str) -> v2::ProxyToAgent {
    ask(Ask::RequestBodyChunk(v2::OtherEvent {
        correlation_id: id.to_owned(),
    }))
}

pub(crate) fn headers(id: &str, xfcc: Option<&str>) -> v2::ProxyToAgent {
    let line = |name: &str, value: &str| v2::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut lines = vec![line(":method", "GET"), line("accept", "*/*")];
    lines.extend(xfcc.map(|value| line("x-forwarded-client-cert", value)));
    ask(Ask::RequestHeaders(v2::RequestHeadersEvent {
        metadata: Some(v2::RequestMetadata {
            correlation_id: id.to_owned(),
            request_id: format!("request-{id}"),
            client_ip: "192.0.2.1".to_owned(),
            traceparent: None,
        }),
        headers: lines,
    }))
}
