//! Ping, cancel, health and metrics (agent protocol, section 6).

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::Encoding;
use super::error::{About, PayloadError};
use super::event::{CORRELATION_ID, missing, take_correlation_id};
use super::json;
use super::object::{Field, Message, Trace, Value, parse};

const CANCEL: About = About {
    name: "Cancel",
    section: 6,
};
const PING: About = About {
    name: "Ping",
    section: 6,
};

/// Reads a Cancel, which is JSON whatever was negotiated, and yields the id of the event that needs
/// no answer. The id may never have been seen: pools cancel on all of their connections.
///
/// # Errors
/// Not the message; it has no answer either way.
pub fn cancel(payload: &[u8]) -> Result<Cow<'_, str>, PayloadError> {
    let mut cancel = CancelMessage(None);
    parse(CANCEL, Encoding::Json, payload, &mut cancel)?;
    cancel.0.ok_or_else(|| missing(CANCEL, CORRELATION_ID.path))
}

struct CancelMessage<'a>(Option<Cow<'a, str>>);

impl<'a> Message<'a> for CancelMessage<'a> {
    const FIELDS: &'static [Field] = &[CORRELATION_ID];

    fn field<V: Value<'a>>(&mut self, _: usize, value: V, trace: &Trace) -> Result<(), V::Error> {
        take_correlation_id(&mut self.0, value, trace)
    }
}

/// A Ping; the Pong says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// Which ping of the connection.
    pub sequence: u64,
    /// When it was sent, milliseconds since the Unix epoch, by the proxy's clock.
    pub timestamp_ms: u64,
}

/// Reads a Ping, which is JSON whatever was negotiated.
///
/// # Errors
/// Not the message.
pub fn ping(payload: &[u8]) -> Result<Ping, PayloadError> {
    let mut ping = PingMessage::default();
    parse(PING, Encoding::Json, payload, &mut ping)?;
    Ok(Ping {
        sequence: ping.sequence.ok_or_else(|| missing(PING, "sequence"))?,
        timestamp_ms: ping
            .timestamp_ms
            .ok_or_else(|| missing(PING, "timestamp_ms"))?,
    })
}

#[derive(Default)]
struct PingMessage {
    sequence: Option<u64>,
    timestamp_ms: Option<u64>,
}

impl<'a> Message<'a> for PingMessage {
    const FIELDS: &'static [Field] = &[
        Field {
            key: "sequence",
            path: "sequence",
            must_be: "a number without sign",
        },
        Field {
            key: "timestamp_ms",
            path: "timestamp_ms",
            must_be: "a number without sign",
        },
    ];

    fn field<V: Value<'a>>(&mut self, index: usize, value: V, _: &Trace) -> Result<(), V::Error> {
        let number = Some(value.read(PhantomData::<u64>)?);
        match index {
            0 => self.sequence = number,
            _ => self.timestamp_ms = number,
        }
        Ok(())
    }
}

/// Appends the payload of a Pong, JSON like its Ping.
pub fn pong(out: &mut Vec<u8>, ping: Ping) {
    out.extend_from_slice(b"{\"sequence\":");
    json::number(out, ping.sequence);
    out.extend_from_slice(b",\"timestamp_ms\":");
    json::number(out, ping.timestamp_ms);
    out.push(b'}');
}

/// How the agent is, by the protocol's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum HealthState {
    /// All well.
    Healthy = 1,
    /// Answering, but something is missing.
    Degraded = 2,
    /// Finishing what is in flight.
    Draining = 3,
    /// Refusing.
    Unhealthy = 4,
}

/// Appends the payload of a HealthStatus: the integer form, the only one clients parse.
pub fn health(
    out: &mut Vec<u8>,
    encoding: Encoding,
    agent_id: &str,
    state: HealthState,
    timestamp_ms: u64,
) {
    #[derive(Serialize)]
    struct Health<'h> {
        agent_id: &'h str,
        state: u8,
        timestamp_ms: u64,
    }
    let health = Health {
        agent_id,
        state: state as u8,
        timestamp_ms,
    };
    append(out, encoding, &health);
}

/// A count that only grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counter<'a> {
    /// Its name, as Prometheus has it.
    pub name: &'a str,
    /// One line for people.
    pub help: &'a str,
    /// Labels, each name once.
    pub labels: &'a [(&'a str, &'a str)],
    /// The count.
    pub value: u64,
}

/// A value that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge<'a> {
    /// Its name, as Prometheus has it.
    pub name: &'a str,
    /// One line for people.
    pub help: &'a str,
    /// Labels, each name once.
    pub labels: &'a [(&'a str, &'a str)],
    /// The value. JSON cannot say NaN or infinity, and a client drops a whole report over one: such
    /// a gauge is left out.
    pub value: f64,
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// Its name, as Prometheus has it.
    pub name: &'a str,
    /// One line for people.
    pub help: &'a str,
    /// Labels, each name once.
    pub labels: &'a [(&'a str, &'a str)],
    /// Sum of what was observed; left out with the histogram if not finite.
    pub sum: f64,
    /// How often was observed.
    pub count: u64,
    /// Cumulative counts by upper limit; infinity is the last.
    pub buckets: &'a [(f64, u64)],
}

/// The agent's metrics, for the proxy to export.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricsReport<'a> {
    /// The agent's id.
    pub agent_id: &'a str,
    /// Now, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Since the last report, milliseconds.
    pub interval_ms: u64,
    /// Counters.
    pub counters: &'a [Counter<'a>],
    /// Gauges.
    pub gauges: &'a [Gauge<'a>],
    /// Histograms.
    pub histograms: &'a [Histogram<'a>],
}

impl MetricsReport<'_> {
    /// Appends the payload of a MetricsReport.
    pub fn render(&self, out: &mut Vec<u8>, encoding: Encoding) {
        append(out, encoding, self);
    }
}

fn append<T: Serialize>(out: &mut Vec<u8>, encoding: Encoding, value: &T) {
    match encoding {
        Encoding::Json => json::value(out, value),
        Encoding::MsgPack => super::msgpack::append(out, value),
    }
}

impl Serialize for MetricsReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let gauges = self.gauges.iter().filter(|gauge| gauge.value.is_finite());
        let histograms = self.histograms.iter().filter(|each| each.sum.is_finite());
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("agent_id", self.agent_id)?;
        map.serialize_entry("timestamp_ms", &self.timestamp_ms)?;
        map.serialize_entry("interval_ms", &self.interval_ms)?;
        map.serialize_entry("counters", self.counters)?;
        map.serialize_entry("gauges", &gauges.collect::<Vec<_>>())?;
        map.serialize_entry("histograms", &histograms.collect::<Vec<_>>())?;
        map.end()
    }
}

impl Serialize for Counter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("help", self.help)?;
        map.serialize_entry("labels", &Labels(self.labels))?;
        map.serialize_entry("value", &self.value)?;
        map.end()
    }
}

impl Serialize for Gauge<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("help", self.help)?;
        map.serialize_entry("labels", &Labels(self.labels))?;
        map.serialize_entry("value", &self.value)?;
        map.end()
    }
}

impl Serialize for Histogram<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets: Vec<_> = self.buckets.iter().map(|&(le, n)| Bucket(le, n)).collect();
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("help", self.help)?;
        map.serialize_entry("labels", &Labels(self.labels))?;
        map.serialize_entry("sum", &self.sum)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("buckets", &buckets)?;
        map.end()
    }
}

struct Bucket(f64, u64);

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        if self.0.is_finite() {
            map.serialize_entry("le", &self.0)?;
        } else {
            map.serialize_entry("le", "+Inf")?;
        }
        map.serialize_entry("count", &self.1)?;
        map.end()
    }
}

struct Labels<'l>(&'l [(&'l str, &'l str)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
