//! What we answer.

use super::v2::agent_response::Decision as Decision2;
use super::v2::agent_to_proxy::Message;
use super::{v1, v2};
use crate::sentinel::control::{Counter, Gauge, HealthState, Histogram, MetricsReport, Ping};
use crate::sentinel::handshake::{Capabilities, PREFERRED_CHUNK_BYTES, VERSION};
use crate::sentinel::reply::{Audit, Decision, HeaderOp, Reply, WebSocket, custom};

/// Accepts a handshake.
#[must_use]
pub fn accept(capabilities: &Capabilities<'_>) -> v2::AgentToProxy {
    handshake(capabilities, None)
}

/// Refuses a handshake; the stream is to end after it. The proxy logs `error`.
#[must_use]
pub fn refuse(capabilities: &Capabilities<'_>, error: &str) -> v2::AgentToProxy {
    handshake(capabilities, Some(error.to_owned()))
}

fn handshake(capabilities: &Capabilities<'_>, error: Option<String>) -> v2::AgentToProxy {
    let events = capabilities.events.iter();
    let response = v2::HandshakeResponse {
        protocol_version: VERSION,
        capabilities: Some(v2::AgentCapabilities {
            protocol_version: VERSION,
            agent_id: capabilities.agent_id.to_owned(),
            name: capabilities.name.to_owned(),
            version: capabilities.version.to_owned(),
            supported_events: events.map(|event| event.grpc_number()).collect(),
            features: Some(v2::AgentFeatures {
                streaming_body: false,
                websocket: false,
                guardrails: false,
                config_push: true,
                metrics_export: true,
                concurrent_requests: capabilities.max_concurrency,
                cancellation: true,
                flow_control: false,
                health_reporting: true,
            }),
            limits: Some(v2::AgentLimits {
                max_body_size: 0,
                max_concurrency: capabilities.max_concurrency,
                preferred_chunk_size: PREFERRED_CHUNK_BYTES,
            }),
        }),
        success: error.is_none(),
        error,
    };
    message(Message::Handshake(response))
}

const fn message(message: Message) -> v2::AgentToProxy {
    v2::AgentToProxy {
        message: Some(message),
    }
}

/// The answer to an event; there are no WebSocket decisions here.
#[must_use]
pub fn response(reply: &Reply<'_>, correlation_id: &str) -> v2::AgentToProxy {
    let decision = match reply.decision {
        Decision::Allow => Decision2::Allow(v2::AllowDecision {}),
        Decision::Block {
            status,
            body,
            headers,
        } => Decision2::Block(v2::BlockDecision {
            status: u32::from(status.as_u16()),
            body: Some(body.to_owned()),
            headers: headers.iter().map(|line| header(*line)).collect(),
        }),
    };
    message(Message::Response(v2::AgentResponse {
        correlation_id: correlation_id.to_owned(),
        decision: Some(decision),
        request_headers: reply.header_ops.iter().map(header_op).collect(),
        audit: Some(v2::AuditMetadata {
            tags: owned(reply.audit.tags),
            rule_ids: owned(reply.audit.rule_ids),
            reason_codes: owned(reply.audit.reason_codes),
            custom: owned_pairs(custom(&reply.audit, correlation_id)),
        }),
    }))
}

fn header((name, value): (&str, &str)) -> v2::Header {
    v2::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn header_op(op: &HeaderOp<'_>) -> v2::HeaderOp {
    use v2::header_op::Operation;
    let operation = match *op {
        HeaderOp::Set { name, value } => Operation::Set(header((name, value))),
        HeaderOp::Remove { name } => Operation::Remove(name.to_owned()),
    };
    v2::HeaderOp {
        operation: Some(operation),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn owned_pairs<'p>(
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) -> std::collections::HashMap<String, String> {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The answer to an event of version 1.
#[must_use]
pub fn response_v1(reply: &Reply<'_>, correlation_id: &str) -> v1::AgentResponse {
    v1::AgentResponse {
        version: crate::sentinel::v1::VERSION,
        request_headers: reply.header_ops.iter().map(header_op_v1).collect(),
        audit: Some(audit_v1(&reply.audit, correlation_id)),
        decision: Some(decision_v1(&reply.decision)),
        websocket_decision: websocket_v1(reply.websocket),
    }
}

fn decision_v1(decision: &Decision<'_>) -> v1::agent_response::Decision {
    match *decision {
        Decision::Allow => v1::agent_response::Decision::Allow(v1::AllowDecision {}),
        Decision::Block {
            status,
            body,
            headers,
        } => v1::agent_response::Decision::Block(v1::BlockDecision {
            status: u32::from(status.as_u16()),
            body: Some(body.to_owned()),
            headers: owned_pairs(headers.iter().copied()),
        }),
    }
}

fn header_op_v1(op: &HeaderOp<'_>) -> v1::HeaderOp {
    use v1::header_op::Operation;
    let operation = match *op {
        HeaderOp::Set { name, value } => Operation::Set(v1::SetHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        HeaderOp::Remove { name } => Operation::Remove(v1::RemoveHeader {
            name: name.to_owned(),
        }),
    };
    v1::HeaderOp {
        operation: Some(operation),
    }
}

fn audit_v1(audit: &Audit<'_>, correlation_id: &str) -> v1::AuditMetadata {
    v1::AuditMetadata {
        tags: owned(audit.tags),
        rule_ids: owned(audit.rule_ids),
        reason_codes: owned(audit.reason_codes),
        custom: owned_pairs(custom(audit, correlation_id)),
    }
}

fn websocket_v1(decision: WebSocket<'_>) -> Option<v1::agent_response::WebsocketDecision> {
    use v1::agent_response::WebsocketDecision as Wire;
    match decision {
        WebSocket::NotAsked => None,
        WebSocket::Allow => Some(Wire::WebsocketAllow(v1::WebSocketAllowDecision {})),
        WebSocket::Drop => Some(Wire::WebsocketDrop(v1::WebSocketDropDecision {})),
        WebSocket::Close { code, reason } => {
            Some(Wire::WebsocketClose(v1::WebSocketCloseDecision {
                code: u32::from(code),
                reason: reason.to_owned(),
            }))
        }
    }
}

/// Answers a ping. After a Configure it also says that the configuration was accepted.
#[must_use]
pub const fn pong(ping: Ping, timestamp_ms: u64) -> v2::AgentToProxy {
    message(Message::Pong(v2::Pong {
        sequence: ping.sequence,
        ping_timestamp_ms: ping.timestamp_ms,
        timestamp_ms,
    }))
}

/// How the agent is.
#[must_use]
pub fn health(agent_id: &str, state: HealthState, timestamp_ms: u64) -> v2::AgentToProxy {
    message(Message::Health(v2::HealthStatus {
        agent_id: agent_id.to_owned(),
        state: i32::from(state as u8),
        message: None,
        timestamp_ms,
    }))
}

/// The agent's metrics. Values that are not finite are left out, as in JSON.
#[must_use]
pub fn metrics(report: &MetricsReport<'_>) -> v2::AgentToProxy {
    let gauges = report.gauges.iter().filter(|each| each.value.is_finite());
    let histograms = report.histograms.iter().filter(|each| each.sum.is_finite());
    message(Message::Metrics(v2::MetricsReport {
        agent_id: report.agent_id.to_owned(),
        timestamp_ms: report.timestamp_ms,
        interval_ms: report.interval_ms,
        counters: report.counters.iter().map(counter).collect(),
        gauges: gauges.map(gauge).collect(),
        histograms: histograms.map(histogram).collect(),
    }))
}

fn counter(counter: &Counter<'_>) -> v2::CounterMetric {
    v2::CounterMetric {
        name: counter.name.to_owned(),
        help: Some(counter.help.to_owned()),
        labels: owned_pairs(counter.labels.iter().copied()),
        value: counter.value,
    }
}

fn gauge(gauge: &Gauge<'_>) -> v2::GaugeMetric {
    v2::GaugeMetric {
        name: gauge.name.to_owned(),
        help: Some(gauge.help.to_owned()),
        labels: owned_pairs(gauge.labels.iter().copied()),
        value: gauge.value,
    }
}

fn histogram(histogram: &Histogram<'_>) -> v2::HistogramMetric {
    let buckets = histogram.buckets.iter();
    v2::HistogramMetric {
        name: histogram.name.to_owned(),
        help: Some(histogram.help.to_owned()),
        labels: owned_pairs(histogram.labels.iter().copied()),
        sum: histogram.sum,
        count: histogram.count,
        buckets: buckets
            .map(|&(le, count)| v2::HistogramBucket { le, count })
            .collect(),
    }
}
