//! A run on somebody's own deployment: a real agent behind the relay, in front of a simulated SPIRE.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use actors::agent::Agent;
use actors::clock::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaos::ca::{SvidOptions, Window};
use chaos::run::{Deployment, Run, RunError, run_deployed};
use chaos::scenario::file::ScenarioFile;
use chaos::world::World;
use config::{FileConfig, Override, Overrides, Settings};

const ID: &str = "spiffe://example.org/frontend";

/// Short for an agent that calls an absence an outage after a minute, as it is by default.
const SCENARIO: &str = r#"
scenario "brief" {
    shows "that a fault which is none to the agent shows nothing"
    timeline lasts-ms=2600 { at 200 { spire kill }; at 600 { spire start } }
    promises {
        window "refused" from=400 to=600 { callers frontend; only TRUST_UNAVAILABLE; states Outage }
        recovery "back" after=600 within-ms=2000 { callers frontend; answer verified }
        transitions "the outage" { in-order Outage Live; never Withdrawn }
    }
    twin breaks="refused" { agent { failure { spire-unavailable "cache" } } }
}
"#;

fn settings(home: &Path, more: &str) -> Settings {
    let audit = home.join("audit.jsonl");
    let text = format!(
        "allowlist {{ exact {ID:?} }}\naudit {{\n    sink \"file\" path={audit:?}\n}}\n{more}\n"
    );
    let path = |name: &str| home.join(name).display().to_string();
    let overrides = Overrides::default()
        .with_flag(Override::Socket, path("agent.sock"))
        .with_flag(Override::SpireSocket, path("relay.sock"))
        .with_flag(Override::AdminAddress, "127.0.0.1:0");
    let file = FileConfig::parse("agent.kdl", &text).unwrap();
    Settings::resolve(Some(file), &overrides).unwrap()
}

fn pem(world: &World) -> String {
    let chain = world.svid(ID).unwrap().chain_der;
    let encoded = chain.iter().map(|der| STANDARD.encode(der));
    encoded
        .map(|text| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))
        .collect()
}

/// The run, where its promises are told the agent's states and where not.
async fn run(tells_states: bool) -> Run {
    run_with("", tells_states).await.unwrap()
}

/// The same of an agent with more in its configuration.
async fn run_with(more: &str, tells_states: bool) -> Result<Run, RunError> {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let world = World::start(home.path().join("spire.sock"), now.as_secs()).unwrap();
    let agent = Agent::start(settings(home.path(), more), Clock::system());
    let agent = agent.await.unwrap();
    let admin = agent.admin().map(|admin| admin.address());
    let deployment = Deployment {
        agent: home.path().join("agent.sock"),
        spire: home.path().join("spire.sock"),
        relay: home.path().join("relay.sock"),
        caller_id: ID.to_owned(),
        caller_pem: pem(&world),
        admin: admin.filter(|_| tells_states),
    };
    let scenario = ScenarioFile::parse("brief.kdl", SCENARIO).unwrap().scenario;
    let run = run_deployed(&scenario, &deployment, &|_| {}).await;
    agent.shutdown().await;
    run
}

fn words<'r>(run: &'r Run, promise: &str) -> &'r str {
    let mut verdicts = run.verdicts.iter();
    let found = verdicts.find(|verdict| verdict.promise == promise);
    found.expect("every promise is told").finding.words()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_is_none_to_the_agent_shows_nothing() {
    let told = run(true).await;
    let why = told.unshown.clone().unwrap();
    assert!(why.contains("never in Outage (Live → Interrupted"), "{why}");
    assert!(told.is_kept(), "{:?}", told.verdicts);
    assert_eq!(words(&told, "the outage"), why);
    assert!(
        words(&told, "back").contains("nothing was lost"),
        "{:?}",
        told.verdicts
    );
    let untold = run(false).await;
    let why = untold.unshown.clone().unwrap();
    assert!(why.contains("no answer is one of an outage"), "{why}");
    assert!(untold.is_kept(), "{:?}", untold.verdicts);
}

/// Two agents of one host: the page is one's, the socket the other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_page_of_another_process_is_refused_before_the_run() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let _spire = std::os::unix::net::UnixListener::bind(path("spire.sock")).unwrap();
    let _agent = std::os::unix::net::UnixListener::bind(path("agent.sock")).unwrap();
    let page = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = page.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = page.accept().unwrap();
        let mut request = [0; 1024];
        assert!(std::io::Read::read(&mut stream, &mut request).unwrap() > 0);
        let status = r#"{"process":{"pid":2147483647},"trust":{"timeline":[]}}"#;
        let answer = format!("HTTP/1.0 200 OK\r\n\r\n{status}");
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
    });
    let deployment = Deployment {
        agent: path("agent.sock"),
        spire: path("spire.sock"),
        relay: path("relay.sock"),
        caller_id: ID.to_owned(),
        caller_pem: String::new(),
        admin: Some(admin),
    };
    let said = deployment.check().await.unwrap_err().to_string();
    assert!(said.starts_with("--admin-address "), "{said}");
    assert!(said.contains("another agent, process 2147483647"), "{said}");
    served.join().unwrap();
}

/// Settings that a deployment may have, and that break no promise.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_to_let_pass_is_an_error_before_the_run() {
    for (more, setting) in [
        ("failure { enforce #false }", "`enforce #false`"),
        (
            "failure { validation-failure \"log_and_allow\" }",
            "`validation-failure",
        ),
        ("tls { require-mtls #false }", "`require-mtls #false`"),
        (
            "headers { auth-method \"x-other\" }",
            "`headers` as they are by default",
        ),
    ] {
        let refused = run_with(more, false).await.unwrap_err();
        assert!(matches!(refused, RunError::Unready(_)), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains(setting) && !said.contains('{'), "{said}");
    }
}

/// What the file itself says is known before anybody is asked.
#[tokio::test]
async fn a_certificate_that_is_not_the_callers_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let world = World::start(home.path().join("spire.sock"), now.as_secs()).unwrap();
    let encoded = |der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let ca = world.defective(ID, chaos::ca::Defect::CaTrue).unwrap();
    let old = world.expired(ID).unwrap();
    let brief = Window::from(now.as_secs(), 30);
    let brief = SvidOptions::at(now.as_secs()).with_window(brief);
    let brief = world.svid_with(ID, &brief).unwrap();
    let other = "spiffe://example.org/other";
    for (id, pem, words) in [
        (
            other,
            pem(&world),
            "is the certificate of spiffe://example.org/frontend",
        ),
        (ID, encoded(&ca.chain_der[0]), "no X.509-SVID"),
        (
            ID,
            encoded(&old.chain_der[0]),
            "fetch the certificate again",
        ),
        (ID, encoded(&brief.chain_der[0]), "ends during the run"),
    ] {
        let deployment = Deployment {
            agent: home.path().join("agent.sock"),
            spire: home.path().join("spire.sock"),
            relay: home.path().join("relay.sock"),
            caller_id: id.to_owned(),
            caller_pem: pem,
            admin: None,
        };
        let scenario = ScenarioFile::parse("brief.kdl", SCENARIO).unwrap().scenario;
        let run = run_deployed(&scenario, &deployment, &|_| {}).await;
        let said = run.unwrap_err().to_string();
        assert!(
            said.starts_with("the caller spiffe://") && said.contains(words),
            "{said}"
        );
    }
}
