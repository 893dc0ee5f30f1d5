//! The published schema of a record, held against what the program writes in every shape of answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::collections::BTreeSet;

use chaos::ca::Defect;
use chaos::client::{Frame, Request, kind};
use common::schema::misfits;
use common::{Agent, FRONTEND, PARTNER, Site, carrying};
use serde_json::{Value, json};
use verdict::evidence::Check;
use verdict::reason::Reason;

const SCHEMA: &str = include_str!("../deploy/audit/record.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// Callers of every kind.
fn everybody(site: &Site) -> Vec<Request> {
    let world = &site.world;
    let stranger = chaos::ca::AuthorityOptions::at(common::unix_now());
    let stranger = chaos::ca::Authority::new("stranger.test", stranger).unwrap();
    let options = chaos::ca::SvidOptions::at(common::unix_now());
    let unknown = stranger
        .issue("spiffe://stranger.test/web", &options)
        .unwrap();
    vec![
        site.asks(FRONTEND),
        site.asks(PARTNER),
        site.asks("spiffe://example.org/denied"),
        carrying(&world.forged(FRONTEND).unwrap()),
        carrying(&world.expired(FRONTEND).unwrap()),
        carrying(&world.defective(FRONTEND, Defect::NotYetValid).unwrap()),
        carrying(&world.defective(FRONTEND, Defect::CaTrue).unwrap()),
        carrying(&world.defective(FRONTEND, Defect::NoUriSan).unwrap()),
        carrying(&world.defective(FRONTEND, Defect::TwoUriSans).unwrap()),
        carrying(&unknown),
        Request::get("/"),
        Request::get("/").header("x-forwarded-client-cert", "Cert=\"%zz\""),
    ]
}

const LISTS: &str = "allowlist { exact \"spiffe://example.org/frontend\" \"spiffe://example.org/denied\" }\n\
                     denylist { exact \"spiffe://example.org/denied\" }\n";

/// What an agent of this configuration records of them all; it may lack its SPIRE.
async fn records(config: &str, has_spire: bool) -> Vec<Value> {
    let site = Site::new();
    let mut command = site.configured(config);
    if !has_spire {
        command = std::process::Command::new(command.get_program());
        command.env_clear();
        command.arg("--socket").arg(site.socket());
        command.arg("--spire-socket").arg(site.path("nobody.sock"));
        command.arg("--config").arg(site.path("agent.kdl"));
    }
    let agent = site.serve(command).await;
    let state = if has_spire {
        "to=\"Live\""
    } else {
        "to=\"Outage\""
    };
    agent.said(0, state).await;
    let client = agent.connect().await;
    for (n, request) in everybody(&site).into_iter().enumerate() {
        let request = request.with_id(format!("n-{n}"));
        client.ask(&request).await.unwrap();
        agent.record(&format!("n-{n}")).await;
    }
    unreadable(&client).await;
    drop(client);
    finished(agent, site).await
}

async fn unreadable(client: &chaos::client::Client) {
    let unreadable = Frame {
        kind: kind::REQUEST_HEADERS,
        payload: b"{}".to_vec(),
    };
    client.send_frame(&unreadable).await.unwrap();
    client.answer("").await.unwrap();
}

async fn finished(agent: Agent, site: Site) -> Vec<Value> {
    agent.stop().await;
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    records.collect()
}

#[tokio::test]
async fn the_schema_fits_every_shape_of_record_and_nothing_beside() {
    let schema = schema();
    let away = "spire { unavailable-after-ms 1 }\n";
    let mut all = records(LISTS, true).await;
    for (config, has_spire) in [
        ("audit { log-success #true }".to_owned(), true),
        (format!("{LISTS}audit {{ include-cert-info #false }}"), true),
        (
            format!(
                "{LISTS}tls {{ require-mtls #false }}\nfailure {{ validation-failure \"log_and_allow\" }}"
            ),
            true,
        ),
        (format!("{LISTS}failure {{ enforce #false }}"), true),
        (
            format!("{LISTS}{away}failure {{ spire-unavailable \"fail_open\" }}"),
            false,
        ),
        (
            format!("{LISTS}{away}failure {{ unavailable-status 429 }}"),
            false,
        ),
    ] {
        all.extend(records(&config, has_spire).await);
    }
    for record in &all {
        let misfits = misfits(&schema, record);
        assert!(misfits.is_empty(), "{misfits:#?}\n{record}");
    }
    let seen = |field: &str| -> BTreeSet<String> {
        let texts = all.iter().filter_map(|record| record[field].as_str());
        texts.map(str::to_owned).collect()
    };
    assert_eq!(seen("identity").len(), 6, "{:?}", seen("identity"));
    assert!(seen("reason").len() >= 13, "{:?}", seen("reason"));
    if let Some(path) = std::env::var_os("AUDIT_RECORDS") {
        // For another validator to read.
        let lines: Vec<String> = all.iter().map(Value::to_string).collect();
        std::fs::write(path, lines.join("\n")).unwrap();
    }
    for record in &all {
        is_tight(&schema, record);
    }
}

/// A record that no decision leaves does not fit.
fn is_tight(schema: &Value, record: &Value) {
    let change = |field: &str, value: Value| {
        let mut changed = record.clone();
        changed[field] = value;
        changed
    };
    let turned = match record["verdict"].as_str() {
        Some("allow") => "deny",
        _ => "allow",
    };
    for changed in [
        change("extra", json!(1)),
        change("reason", json!("BECAUSE")),
        change("verdict", json!(turned)),
        change("seq", json!(0)),
        change("prev", json!("abc")),
        change("cert", json!({ "pem": "-----BEGIN" })),
    ] {
        assert!(!misfits(schema, &changed).is_empty(), "{changed}");
    }
    for field in record
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| *key != "cert")
    {
        let mut changed = record.clone();
        changed.as_object_mut().unwrap().remove(field);
        assert!(!misfits(schema, &changed).is_empty(), "{changed}");
    }
}

/// What is listed in the schema is what there is.
#[test]
fn the_words_of_the_schema_are_those_of_the_code() {
    let schema = schema();
    let words = |of: &Value| -> BTreeSet<String> {
        let all = of["enum"].as_array().unwrap().iter();
        all.filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let of_code =
        |all: &[&str]| -> BTreeSet<String> { all.iter().map(|word| (*word).to_owned()).collect() };
    let properties = &schema["properties"];
    assert_eq!(
        words(&properties["reason"]),
        of_code(&Reason::ALL.map(Reason::as_str))
    );
    let stances = verdict::availability::Stance::ALL.map(|stance| stance.as_str());
    assert_eq!(words(&properties["basis"]), of_code(&stances));
    let phases = verdict::availability::Phase::ALL.map(|phase| phase.as_str());
    assert_eq!(words(&properties["state"]), of_code(&phases));
    let outcomes = verdict::decide::Outcome::ALL.map(|outcome| outcome.as_str());
    assert_eq!(words(&schema["$defs"]["outcome"]), of_code(&outcomes));
    let checks = properties["checks"]["properties"].as_object().unwrap();
    let checks: BTreeSet<String> = checks.keys().cloned().collect();
    assert_eq!(checks, of_code(&Check::ALL.map(Check::as_str)));
}
