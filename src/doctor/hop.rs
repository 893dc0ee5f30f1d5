//! Whether the hop overwrites the credential header: a request through it, with a forged one.
//!
//! The agent records what reaches it, and the forged certificate has a name of its own.

use std::path::Path;
use std::time::Duration;

use actors::audit::Recorded;
use anyhow::{Context as _, bail};
use config::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use verdict::policy::CertFormat;

use super::finding::Examination;
use super::marker::Marker;
use super::records::tail;
use crate::when;

/// How long the hop may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the record may take after the answer.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks at the records.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn probe(
    url: &str,
    settings: &Settings,
    records: Option<&Path>,
    examination: &mut Examination,
) {
    let Some(records) = records else {
        let fix = "name the agent's file of records with --records";
        return examination.warn(
            "probe-unseen",
            "the probe cannot be followed",
            "no file of records",
            fix,
        );
    };
    let tls = settings.policy().map(|policy| &policy.tls);
    let header = tls.map_or("X-Forwarded-Client-Cert", |tls| {
        tls.client_cert_header.as_str()
    });
    let format = tls.map_or(CertFormat::Auto, |tls| tls.client_cert_format);
    let marker = Marker::new();
    let since = actors::audit::rfc3339(when::now().wall_ms);
    let value = marker.header(format);
    let sending = send(url, header, &value);
    let sent = tokio::time::timeout(PATIENCE, sending).await;
    if let Err(error) = sent.unwrap_or_else(|_| bail_late()) {
        let fix =
            "name the hop's own address, as http://HOST:PORT/PATH of a route that asks the agent";
        let evidence = format!("{url}: {error:#}");
        return examination.warn(
            "probe-failed",
            "the probe did not get through",
            &evidence,
            fix,
        );
    }
    match watched(records, &marker.id, &since).await {
        Arrival::Marker => examination.problem(
            "hop-forwards",
            "the hop forwards a client's own credential header: anybody can be anybody",
            &format!("the agent recorded the forged {}", marker.id),
            "overwrite or delete the header in the hop, on every listener and route (README, step 3)",
        ),
        Arrival::Others(count) => examination.well(format!(
            "the forged credential did not arrive: it is in none of the {count} records since"
        )),
        Arrival::Nothing => examination.warn(
            "probe-unseen",
            "the probe left no record",
            &format!("no record in {} since {since}", records.display()),
            "does the route ask the agent, are these its records, and is audit.log-failure on?",
        ),
    }
}

/// What the records show after the probe.
enum Arrival {
    Marker,
    /// So many records, and not of it.
    Others(usize),
    Nothing,
}

async fn watched(records: &Path, id: &str, since: &str) -> Arrival {
    let deadline = tokio::time::Instant::now() + RECORDED_WITHIN;
    loop {
        let lines = tail(records).unwrap_or_default();
        if lines.iter().rev().any(|line| line.contains(id)) {
            return Arrival::Marker;
        }
        if tokio::time::Instant::now() >= deadline {
            let newer = lines
                .iter()
                .rev()
                .map_while(|line| Recorded::parse(line.as_bytes()).ok());
            // RFC 3339 in UTC sorts as its text does.
            return match newer
                .take_while(|record| record.time.as_str() >= since)
                .count()
            {
                0 => Arrival::Nothing,
                count => Arrival::Others(count),
            };
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn bail_late() -> anyhow::Result<()> {
    bail!("no answer within {} s", PATIENCE.as_secs())
}

/// One HTTP/1.1 request. Nothing of the answer matters but that there is one.
async fn send(url: &str, header: &str, value: &str) -> anyhow::Result<()> {
    let rest = url
        .strip_prefix("http://")
        .context("only http:// is spoken")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        bail!("that is no URL");
    }
    let address = match host.contains(':') {
        true => host.to_owned(),
        false => format!("{host}:80"),
    };
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}: {value}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    if &start != b"HTTP/" {
        bail!("what answers does not speak HTTP");
    }
    Ok(())
}
