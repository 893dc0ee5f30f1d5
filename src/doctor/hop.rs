//! Whether the hop overwrites the credential header: a request through it, with a forged one.
//!
//! The agent records what reaches it, and the forged certificate has a name of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::audit::Recorded;
use actors::policies::InForce;
use config::{Settings, Sink};
use verdict::policy::CertFormat;

use super::finding::Examination;
use super::knock::Hop;
use super::marker::Marker;
use super::records::tail;
use super::shown::Shown;
use crate::cli::Doctor;
use crate::{edited, when};

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
            let place = Place {
                status,
                records,
                policy: edited::in_force(settings).ok().flatten(),
            };
            arrival.tell(&marker, &place, examination);
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
    /// The request, without it.
    Request(Box<Recorded>),
    /// So many records, and none that is surely of it.
    Others(usize),
}

impl Arrival {
    fn tell(self, marker: &Marker, place: &Place<'_>, examination: &mut Examination) {
        match self {
            Self::Marker => examination.problem(
                "hop-forwards",
                "the hop forwards a client's own credential header: anybody can be anybody",
                &format!("the agent recorded the forged {}", marker.id),
                "overwrite or delete the header in the hop, on every listener and route (README, step 3)",
            ),
            Self::Request(record) => place.tell(&record, examination),
            Self::Others(count) => examination.warn(
                "probe-unseen",
                "no record is surely of the probe: it shows nothing",
                &format!(
                    "the hop answered {}; {count} records came since, in {}, none with the probe's \
                     trace ID {} or its X-Request-Id",
                    place.status,
                    place.records.display(),
                    marker.trace_id()
                ),
                match place.status {
                    300..400 => "the hop redirects: name where to (https:// for http://, most often)",
                    _ => {
                        "does the route ask the agent, are these its records, is audit.log-failure on? and let hop \
                         and proxy pass traceparent or X-Request-Id on"
                    }
                },
            ),
        }
    }
}

/// Where the probe was looked for.
struct Place<'a> {
    /// What the hop answered.
    status: u16,
    records: &'a Path,
    /// Whose header was forged.
    policy: Option<Arc<InForce>>,
}

impl Place<'_> {
    /// Of the record of the probe, which does not name what was forged.
    fn tell(&self, record: &Recorded, examination: &mut Examination) {
        let number = record
            .seq
            .map_or(String::new(), |seq| format!(" (seq {seq})"));
        let policy = self.policy.as_ref().map(|policy| &*policy.fingerprint);
        match Shown::by(record, policy) {
            Shown::Another(id) => examination.well(format!(
                "the forged credential did not count on this route: the agent judged another, {id}{number}"
            )),
            Shown::Nothing => examination.well(format!(
                "the forged credential did not arrive on this route: the agent found none{number}"
            )),
            Shown::Mixed(rule) => examination.problem(
                "hop-appends",
                "a hop appends to the credential header instead of overwriting it",
                &format!("the record of the probe{number} says: {rule}"),
                "overwrite the header in the hop (Envoy: forward_client_cert_details: SANITIZE_SET), on every \
                 listener and route (README, step 3)",
            ),
            Shown::Unclear(why) => examination.warn(
                "probe-unseen",
                "the record of the probe shows nothing of the hop",
                &format!("in {}{number}: {why}", self.records.display()),
                "put right what was answered, then probe again",
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
            return Arrival::Request(Box::new(ours.clone()));
        }
        if tokio::time::Instant::now() >= deadline {
            return Arrival::Others(newer.len());
        }
        tokio::time::sleep(LOOK).await;
    }
}
