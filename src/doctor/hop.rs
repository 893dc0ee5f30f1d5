//! Whether the hop overwrites the credential header: a request through it, with a forged one.
//!
//! The agent records what reaches it, and the forged certificate has a name of its own.

use std::path::Path;
use std::time::Duration;

use actors::audit::Recorded;
use config::{Settings, Sink};
use verdict::policy::CertFormat;

use super::finding::Examination;
use super::knock::Hop;
use super::marker::Marker;
use super::records::tail;
use crate::cli::Doctor;
use crate::when;

/// How long the record may take after the answer.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks at the records.
const LOOK: Duration = Duration::from_millis(50);

/// What proxies take the name of a request from.
const NAMES: [&str; 3] = ["X-Request-Id", "X-Correlation-Id", "X-Trace-Id"];

pub(super) async fn probe(
    url: &str,
    args: &Doctor,
    settings: &Settings,
    records: Option<&Path>,
    examination: &mut Examination,
) {
    let Some(records) = records else {
        return unfollowed(settings, examination);
    };
    let marker = Marker::new();
    let since = actors::audit::rfc3339(when::now().wall_ms);
    match send(url, args, settings, &marker).await {
        Ok(status) => {
            let arrival = watched(records, &marker, &since).await;
            arrival.tell(&marker, status, records, examination);
        }
        Err(error) => examination.warn(
            "probe-failed",
            "the probe did not get through",
            &format!("{url}: {error:#}"),
            "name the hop's own address, as http://HOST:PORT/PATH or https://… of a route that asks the \
             agent; a hop that insists on a client certificate wants one: --client-svid DIR",
        ),
    }
}

/// Without a file of records there is nothing to look the probe up in.
fn unfollowed(settings: &Settings, examination: &mut Examination) {
    let sinks = &settings.agent().sinks;
    let (seen, fix) = match sinks.contains(&Sink::Stdout) || sinks.contains(&Sink::Stderr) {
        true => (
            "no file of records: records go to standard output or standard error",
            "write down what the agent says while this runs (journalctl -f -o cat -u UNIT >FILE, or the log of the \
             pod), and name that file with --records; or add sink \"file\" path=\"…\"",
        ),
        false => (
            "no file of records",
            "name the agent's file of records with --records, or add sink \"file\" path=\"…\"",
        ),
    };
    examination.warn("probe-unseen", "the probe cannot be followed", seen, fix);
}

async fn send(
    url: &str,
    args: &Doctor,
    settings: &Settings,
    marker: &Marker,
) -> anyhow::Result<u16> {
    let tls = settings.policy().map(|policy| &policy.tls);
    let header = tls.map_or("X-Forwarded-Client-Cert", |tls| {
        tls.client_cert_header.as_str()
    });
    let format = tls.map_or(CertFormat::Auto, |tls| tls.client_cert_format);
    let (value, traceparent) = (marker.header(format), marker.traceparent());
    let mut headers = vec![(header, value.as_str()), ("traceparent", &traceparent)];
    headers.extend(NAMES.map(|name| (name, marker.request_id.as_str())));
    Hop::new(url, args.client_svid.as_ref())?
        .ask(&headers)
        .await
}

/// What the records show after the probe.
enum Arrival {
    /// What was forged.
    Marker,
    /// The request, without it: its record's number in the chain.
    Request(Option<u64>),
    /// So many records, and none that is surely of it.
    Others(usize),
}

impl Arrival {
    fn tell(self, marker: &Marker, status: u16, records: &Path, examination: &mut Examination) {
        match self {
            Self::Marker => examination.problem(
                "hop-forwards",
                "the hop forwards a client's own credential header: anybody can be anybody",
                &format!("the agent recorded the forged {}", marker.id),
                "overwrite or delete the header in the hop, on every listener and route (README, step 3)",
            ),
            Self::Request(number) => {
                let number = number.map_or(String::new(), |number| format!(" (seq {number})"));
                examination.well(format!(
                    "the agent recorded the request that carried a forged credential{number}, and not the \
                     credential: on this route the hop overwrites the header"
                ));
            }
            Self::Others(count) => examination.warn(
                "probe-unseen",
                "no record is surely of the probe: it shows nothing",
                &format!(
                    "the hop answered {status}; {count} records came since, in {}, none with the probe's \
                     trace ID {} or its X-Request-Id",
                    records.display(),
                    marker.trace_id()
                ),
                "does the route ask the agent, are these its records, is audit.log-failure on? and let hop \
                 and proxy pass traceparent or X-Request-Id on",
            ),
        }
    }
}

async fn watched(records: &Path, marker: &Marker, since: &str) -> Arrival {
    let deadline = tokio::time::Instant::now() + RECORDED_WITHIN;
    loop {
        let lines = tail(records).unwrap_or_default();
        if lines.iter().rev().any(|line| line.contains(&marker.id)) {
            return Arrival::Marker;
        }
        let newer = lines
            .iter()
            .rev()
            .map_while(|line| Recorded::parse(line.as_bytes()).ok());
        // RFC 3339 in UTC sorts as its text does.
        let newer: Vec<_> = newer
            .take_while(|record| record.time.as_str() >= since)
            .collect();
        if let Some(ours) = newer.iter().find(|record| marker.is_of(record)) {
            return Arrival::Request(ours.seq);
        }
        if tokio::time::Instant::now() >= deadline {
            return Arrival::Others(newer.len());
        }
        tokio::time::sleep(LOOK).await;
    }
}
