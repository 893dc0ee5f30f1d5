//! The protocol over gRPC: bytes, paths, and what becomes of headers and answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::pin::Pin;

use common::{Recorder, begin, hex, in_place};
use prost::Message as _;
use proto::sentinel::control::{Counter, Gauge, HealthState, Histogram, MetricsReport, Ping};
use proto::sentinel::grpc::v2::agent_response::Decision as Decision2;
use proto::sentinel::grpc::v2::agent_service_v2_client::AgentServiceV2Client;
use proto::sentinel::grpc::v2::agent_service_v2_server::{AgentServiceV2, AgentServiceV2Server};
use proto::sentinel::grpc::v2::agent_to_proxy::Message as Answer;
use proto::sentinel::grpc::v2::proxy_to_agent::Message as Ask;
use proto::sentinel::grpc::zentinel::agent_service_v2_client::AgentServiceV2Client as ZentinelClient;
use proto::sentinel::grpc::zentinel::agent_service_v2_server::{
    AgentServiceV2 as ZentinelService, AgentServiceV2Server as ZentinelServer,
};
use proto::sentinel::grpc::{self, v1, v2};
use proto::sentinel::handshake::{Capabilities, Event};
use proto::sentinel::reply::{Audit, BlockStatus, Decision, HeaderOp, Reply, WebSocket};
use tokio_stream::{Stream, StreamExt as _};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};

type IsRight = fn(&Ask) -> bool;

// Bytes: field numbers and wire types, by hand.

#[test]
fn a_request_as_a_proxy_encodes_it() {
    // ProxyToAgent 2 { metadata 1 { 1 "c", 2 "r", 3 "::1", 4 port 80, 6 "HTTP/1.1", 11 "t" },
    //   method 2 "GET", uri 3 "/", http_version 4 "x", headers 5 { 1 "a", 2 "1" } twice }
    let metadata = "0a0163 120172 1a033a3a31 2050 3208485454502f312e31 5a0174";
    let body =
        format!("0a1a {metadata} 1203474554 1a012f 220178 2a06 0a0161 120131 2a06 0a0161 120132");
    let bytes = hex(&body);
    let mut framed = vec![0x12, u8::try_from(bytes.len()).unwrap()];
    framed.extend(bytes);
    let message = v2::ProxyToAgent::decode(framed.as_slice()).unwrap();
    let Some(Ask::RequestHeaders(event)) = message.message else {
        panic!("{message:?}");
    };
    let mut sink = Recorder::default();
    let read = grpc::request_headers(&event, &mut sink).unwrap();
    assert_eq!(read.correlation_id, "c");
    assert_eq!(read.request_id.as_deref(), Some("r"));
    assert_eq!(read.client_ip.as_deref(), Some("::1"));
    assert_eq!(read.traceparent.as_deref(), Some("t"));
    assert_eq!(sink.0, [begin("a"), in_place("1"), in_place("2")]);
}

#[test]
fn every_message_of_a_proxy_by_its_number() {
    let id = "0a0163";
    let asks: [(&str, IsRight); 11] = [
        (
            "0a02 0802",
            |ask| matches!(ask, Ask::Handshake(h) if h.supported_versions == [2]),
        ),
        ("1200", |ask| matches!(ask, Ask::RequestHeaders(_))),
        (
            "1a03",
            |ask| matches!(ask, Ask::RequestBodyChunk(e) if e.correlation_id == "c"),
        ),
        (
            "2203",
            |ask| matches!(ask, Ask::ResponseHeaders(e) if e.correlation_id == "c"),
        ),
        (
            "2a03",
            |ask| matches!(ask, Ask::ResponseBodyChunk(e) if e.correlation_id == "c"),
        ),
        (
            "3203",
            |ask| matches!(ask, Ask::WebsocketFrame(e) if e.correlation_id == "c"),
        ),
        (
            "3a03",
            |ask| matches!(ask, Ask::Guardrail(e) if e.correlation_id == "c"),
        ),
        (
            "4203",
            |ask| matches!(ask, Ask::RequestComplete(e) if e.correlation_id == "c"),
        ),
        (
            "4a03",
            |ask| matches!(ask, Ask::Cancel(e) if e.correlation_id == "c"),
        ),
        ("5208 0a027b7d 120137 1801 2007", |ask| {
            matches!(ask, Ask::Configure(e)
            if e.config_json == "{}" && e.config_version.as_deref() == Some("7") && e.is_initial && e.timestamp_ms == 7)
        }),
        (
            "5a04 0801 1002",
            |ask| matches!(ask, Ask::Ping(p) if (p.sequence, p.timestamp_ms) == (1, 2)),
        ),
    ];
    for (bytes, is_right) in asks {
        let bytes = match bytes.len() {
            4 if !bytes.ends_with("00") => format!("{bytes}{id}"),
            _ => bytes.to_owned(),
        };
        let mut bytes = hex(&bytes);
        bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        let message = v2::ProxyToAgent::decode(bytes.as_slice()).unwrap();
        assert!(is_right(message.message.as_ref().unwrap()), "{message:?}");
    }
}

#[test]
fn answers_byte_for_byte() {
    let reply = Reply {
        header_ops: &[
            HeaderOp::Remove { name: "a" },
            HeaderOp::Set {
                name: "b",
                value: "1",
            },
        ],
        audit: Audit {
            tags: &["t"],
            rule_ids: &["r"],
            reason_codes: &["e"],
            custom: &[("correlation_id", "forged")],
        },
        ..Reply::ALLOW
    };
    // 2 response { 1 "c", 2 allow {}, 10 { remove 3 "a" }, 10 { set 1 { "b", "1" } },
    //   12 { 1 "t", 2 "r", 4 "e", 5 { "correlation_id": "c" } } }
    let custom = "2a13 0a0e636f7272656c6174696f6e5f6964 120163";
    let audit = format!("621e 0a0174 120172 220165 {custom}");
    let expected = format!("1234 0a0163 1200 5203 1a0161 5208 0a06 0a0162 120131 {audit}");
    assert_eq!(grpc::response(&reply, "c").encode_to_vec(), hex(&expected));

    // 3 block { 1 401, 2 "no", 3 { "h", "v" } }, audit as before without lists.
    let block = Reply {
        decision: Decision::Block {
            status: BlockStatus::UNAUTHORIZED,
            body: "no",
            headers: &[("h", "v")],
        },
        ..Reply::ALLOW
    };
    let expected = format!("122b 0a0163 1a0f 089103 12026e6f 1a06 0a0168 120176 6215 {custom}");
    assert_eq!(grpc::response(&block, "c").encode_to_vec(), hex(&expected));

    let pong = grpc::pong(
        Ping {
            sequence: 1,
            timestamp_ms: 2,
        },
        3,
    );
    assert_eq!(pong.encode_to_vec(), hex("3a06 0801 1002 1803"));
    let health = grpc::health("s", HealthState::Draining, 9);
    assert_eq!(health.encode_to_vec(), hex("1a07 0a0173 1003 3809"));
}

const CAPABILITIES: Capabilities<'static> = Capabilities {
    agent_id: "s",
    name: "n",
    version: "v",
    events: &[Event::RequestHeaders, Event::Configure],
    max_concurrency: 100,
};

#[test]
fn handshakes_byte_for_byte() {
    // 1 { 1 2, 2 { 1 2, 2 "s", 3 "n", 4 "v", 5 [1, 8], 6 features, 7 limits }, 3 true }
    let features = "3208 2001 2801 3064 3801 4801";
    let limits = "3a06 1064 18808004";
    let expected =
        format!("0a2b 0802 1225 0802 120173 1a016e 220176 2a020108 {features} {limits} 1801");
    let mut expected = hex(&expected);
    // Lengths of the nested messages follow from their parts.
    let features_at = expected.iter().position(|byte| *byte == 0x32).unwrap();
    expected[features_at + 1] = 10;
    let length = |value: usize| u8::try_from(value).unwrap();
    expected[1] = length(expected.len() - 2);
    expected[5] = length(expected.len() - 6 - 2);
    assert_eq!(grpc::accept(&CAPABILITIES).encode_to_vec(), expected);

    let refused = grpc::refuse(&CAPABILITIES, "wrong");
    let Some(Answer::Handshake(response)) = refused.message else {
        panic!("{refused:?}");
    };
    assert!(!response.success);
    assert_eq!(response.error.as_deref(), Some("wrong"));
}

#[test]
fn metrics_leave_out_what_is_not_finite() {
    let report = MetricsReport {
        agent_id: "s",
        timestamp_ms: 1,
        interval_ms: 2,
        counters: &[Counter {
            name: "c",
            help: "h",
            labels: &[("k", "v")],
            value: 3,
        }],
        gauges: &[Gauge {
            name: "g",
            help: "",
            labels: &[],
            value: f64::INFINITY,
        }],
        histograms: &[Histogram {
            name: "h",
            help: "",
            labels: &[],
            sum: 0.5,
            count: 1,
            buckets: &[(f64::INFINITY, 1)],
        }],
    };
    let Some(Answer::Metrics(metrics)) = grpc::metrics(&report).message else {
        panic!();
    };
    assert_eq!(
        metrics.counters[0].encode_to_vec(),
        hex("0a0163 120168 1a06 0a016b 120176 2003")
    );
    assert!(metrics.gauges.is_empty());
    assert_eq!(metrics.histograms[0].buckets[0].le, f64::INFINITY);
}

// Meaning.

fn header(name: &str, value: &str) -> v2::Header {
    v2::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn event(headers: Vec<v2::Header>) -> v2::RequestHeadersEvent {
    v2::RequestHeadersEvent {
        metadata: Some(v2::RequestMetadata {
            correlation_id: "c".to_owned(),
            ..Default::default()
        }),
        headers,
    }
}

#[test]
fn flattened_headers_are_brought_together_in_their_order() {
    let event = event(vec![
        header("b", "1"),
        header("a", "2"),
        header("b", "0"),
        header("B", "3"),
    ]);
    let mut sink = Recorder::default();
    let read = grpc::request_headers(&event, &mut sink).unwrap();
    assert_eq!(
        (read.request_id, read.client_ip, read.traceparent),
        (None, None, None)
    );
    let expected = [
        begin("B"),
        in_place("3"),
        begin("a"),
        in_place("2"),
        begin("b"),
        in_place("1"),
        in_place("0"),
    ];
    assert_eq!(sink.0, expected);
}

#[test]
fn a_million_torn_header_lines_are_read_in_time_and_order() {
    let name = |n: u32| if n.is_multiple_of(2) { "a" } else { "b" };
    let lines = (0..1_000_000).map(|n| header(name(n), &n.to_string()));
    let mut sink = Recorder::default();
    grpc::request_headers(&event(lines.collect()), &mut sink).unwrap();
    let lines_of = |first: u32| {
        (first..1_000_000)
            .step_by(2)
            .map(|n| in_place(&n.to_string()))
    };
    let mut expected = vec![begin("a")];
    expected.extend(lines_of(0));
    expected.push(begin("b"));
    expected.extend(lines_of(1));
    assert!(sink.0 == expected);
}

fn refusal<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn broken_messages_are_refused_by_their_rule() {
    let mut sink = Recorder::default();
    let mut read =
        |event: &v2::RequestHeadersEvent| refusal(grpc::request_headers(event, &mut sink));
    let mut broken = event(vec![header("a", "b")]);
    broken.metadata.as_mut().unwrap().correlation_id = String::new();
    assert_eq!(
        read(&broken),
        "gRPC RequestHeadersEvent field `metadata.correlation_id` is missing (agent protocol, section 8)"
    );
    broken.metadata.as_mut().unwrap().correlation_id = "x".repeat(1025);
    assert_eq!(
        read(&broken),
        "gRPC RequestHeadersEvent field `metadata.correlation_id` is 1025 bytes long, over the limit of 1024 (agent protocol, section 8)"
    );
    broken.metadata.as_mut().unwrap().correlation_id = "c".to_owned();
    broken.metadata.as_mut().unwrap().request_id = "x".repeat(1025);
    assert_eq!(
        read(&broken),
        "gRPC RequestHeadersEvent field `metadata.request_id` is 1025 bytes long, over the limit of 1024 (agent protocol, section 8)"
    );
    broken.metadata = None;
    assert_eq!(
        read(&broken),
        "gRPC RequestHeadersEvent field `metadata` is missing (agent protocol, section 8)"
    );
    assert_eq!(sink.0, []);

    let none = v2::OtherEvent::default();
    assert_eq!(
        refusal(grpc::other_event(&none)),
        "gRPC event field `correlation_id` is missing (agent protocol, section 8)"
    );
    let none = v1::OtherEvent::default();
    assert_eq!(
        refusal(grpc::other_event_v1(&none)),
        "version 1 gRPC event field `correlation_id` is missing (agent protocol, section 9)"
    );
    let none = v1::RequestHeadersEvent::default();
    assert_eq!(
        refusal(grpc::request_headers_v1(&none, &mut sink)),
        "version 1 gRPC RequestHeadersEvent field `metadata` is missing (agent protocol, section 9)"
    );

    let mut handshake = v2::HandshakeRequest {
        supported_versions: vec![1],
        proxy_id: "x".repeat(1025),
        ..Default::default()
    };
    assert_eq!(
        refusal(grpc::handshake(&handshake)),
        "gRPC HandshakeRequest field `supported_versions` must contain 2, the version this agent speaks here (agent protocol, section 8)"
    );
    handshake.supported_versions = vec![2, 1];
    assert_eq!(
        refusal(grpc::handshake(&handshake)),
        "gRPC HandshakeRequest field `proxy_id` is 1025 bytes long, over the limit of 1024 (agent protocol, section 8)"
    );
}

#[test]
fn handshakes_carry_the_configuration_as_text() {
    for (json, config) in [
        ("", None),
        ("{}", Some("{}")),
        ("{\"a\":1}", Some("{\"a\":1}")),
    ] {
        let handshake = v2::HandshakeRequest {
            supported_versions: vec![2, 1],
            config_json: json.to_owned(),
            ..Default::default()
        };
        assert_eq!(grpc::handshake(&handshake).unwrap().config, config);
    }
}

// Version 1.

#[test]
fn version_1_headers_are_a_map_whose_duplicates_stay_visible() {
    // 1 version, 10 { 1 { 1 "c" }, 4 { 1 "a", 2 { 1 "1", 1 "2" } }, 4 { 1 "a", 2 { 1 "3" } } }
    let entries = "220b 0a0161 1206 0a0131 0a0132 2208 0a0161 1203 0a0133";
    let bytes = hex(&format!("0801 521c 0a03 0a0163 {entries}"));
    let request = v1::AgentRequest::decode(bytes.as_slice()).unwrap();
    let Some(v1::agent_request::Event::RequestHeaders(event)) = request.event else {
        panic!("{request:?}");
    };
    let mut sink = Recorder::default();
    let read = grpc::request_headers_v1(&event, &mut sink).unwrap();
    assert_eq!(read.correlation_id, "c");
    assert_eq!(
        sink.0,
        [
            begin("a"),
            in_place("1"),
            in_place("2"),
            begin("a"),
            in_place("3")
        ]
    );
}

#[test]
fn version_1_answers_byte_for_byte() {
    let reply = Reply {
        header_ops: &[
            HeaderOp::Remove { name: "a" },
            HeaderOp::Set {
                name: "b",
                value: "1",
            },
        ],
        websocket: WebSocket::Drop,
        ..Reply::ALLOW
    };
    let custom = "2a13 0a0e636f7272656c6174696f6e5f6964 120163";
    // 1 version, 2 allow, 10 { remove 3 { "a" } }, 10 { set 1 { "b", "1" } }, 13 audit, 31 drop
    let expected =
        format!("0801 1200 5205 1a03 0a0161 5208 0a06 0a0162 120131 6a15 {custom} fa0100");
    assert_eq!(
        grpc::response_v1(&reply, "c").encode_to_vec(),
        hex(&expected)
    );
    let block = Reply::block(BlockStatus::FORBIDDEN, "no");
    let expected = format!("0801 1a07 089303 12026e6f 6a15 {custom}");
    assert_eq!(
        grpc::response_v1(&block, "c").encode_to_vec(),
        hex(&expected)
    );
}

// The services, under both names.

struct Agent;

type Answers = Pin<Box<dyn Stream<Item = Result<v2::AgentToProxy, Status>> + Send>>;
type Controls = Pin<Box<dyn Stream<Item = Result<v2::ProxyControl, Status>> + Send>>;

fn answer(ask: v2::ProxyToAgent) -> Result<v2::AgentToProxy, Status> {
    match ask.message {
        Some(Ask::RequestHeaders(event)) => {
            let read = grpc::request_headers(&event, &mut Recorder::default())
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(grpc::response(&Reply::ALLOW, &read.correlation_id))
        }
        _ => Err(Status::invalid_argument("not asked here")),
    }
}

macro_rules! serve {
    ($service:ident) => {
        #[tonic::async_trait]
        impl $service for Agent {
            type ProcessStreamStream = Answers;
            type ControlStreamStream = Controls;

            async fn process_stream(
                &self,
                request: Request<Streaming<v2::ProxyToAgent>>,
            ) -> Result<Response<Answers>, Status> {
                let answers = request.into_inner().map(|ask| answer(ask?));
                Ok(Response::new(Box::pin(answers)))
            }

            async fn control_stream(
                &self,
                _: Request<Streaming<v2::AgentControl>>,
            ) -> Result<Response<Controls>, Status> {
                Ok(Response::new(Box::pin(tokio_stream::empty())))
            }

            async fn process_event(
                &self,
                request: Request<v2::ProxyToAgent>,
            ) -> Result<Response<v2::AgentToProxy>, Status> {
                answer(request.into_inner()).map(Response::new)
            }
        }
    };
}

serve!(AgentServiceV2);
serve!(ZentinelService);

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

#[tokio::test]
async fn both_names_serve_the_same_messages() {
    let (sentinel, zentinel) = (AgentServiceV2Server::new(Agent), ZentinelServer::new(Agent));
    assert_eq!(name(&sentinel), "sentinel.agent.v2.AgentServiceV2");
    assert_eq!(name(&zentinel), "zentinel.agent.v2.AgentServiceV2");
    let ask = v2::ProxyToAgent {
        message: Some(Ask::RequestHeaders(event(vec![]))),
    };
    let asks = || tokio_stream::iter(vec![ask.clone(), ask.clone()]);

    let mut client = AgentServiceV2Client::new(sentinel);
    let answers = client.process_stream(asks()).await.unwrap().into_inner();
    let from_sentinel: Vec<_> = answers.collect().await;
    let mut client = ZentinelClient::new(zentinel);
    let answers = client.process_stream(asks()).await.unwrap().into_inner();
    let from_zentinel: Vec<_> = answers.collect().await;

    assert_eq!(from_sentinel.len(), 2);
    for answer in from_sentinel.into_iter().chain(from_zentinel) {
        let Some(Answer::Response(response)) = answer.unwrap().message else {
            panic!();
        };
        assert_eq!(response.correlation_id, "c");
        assert_eq!(
            response.decision,
            Some(Decision2::Allow(v2::AllowDecision {}))
        );
    }
    let answer = client.process_event(ask).await.unwrap().into_inner();
    assert!(matches!(answer.message, Some(Answer::Response(_))));
}
