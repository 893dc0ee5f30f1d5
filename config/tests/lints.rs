//! What `check-config` warns about, where, and by which name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use config::{FileConfig, Overrides, Settings, Severity, lint};
use miette::Diagnostic;

/// A policy about which there is nothing to say.
const QUIET: &str = r#"
tls { client-cert-format "xfcc"; xfcc-element "only" }
allowlist { exact "spiffe://example.org/a" }
"#;

fn settings(text: &str) -> Settings {
    let file = FileConfig::parse("f.kdl", text).unwrap();
    Settings::resolve(Some(file), &Overrides::default()).unwrap()
}

/// `severity code excerpt`, one line each.
fn found(text: &str) -> Vec<String> {
    let findings = lint(&settings(text));
    let line = |finding: &config::Finding| {
        let excerpt = match &finding.at {
            config::Place::Span { start, len } => text.get(*start..start + len).unwrap(),
            _ => "-",
        };
        let severity = match finding.severity {
            Severity::Warning => "warning",
            Severity::Advice => "advice",
        };
        assert!(!finding.message.is_empty() && !finding.advice.is_empty());
        format!("{severity} {} {excerpt}", finding.code)
    };
    findings.iter().map(line).collect()
}

/// What a flag or a variable says does not stand in the file.
#[test]
fn a_lint_names_the_variable_that_says_it() {
    let file = format!("{QUIET}agent {{ socket-group \"a\"; socket-mode \"0600\" }}");
    let file = FileConfig::parse("f.kdl", &file).unwrap();
    let variables = Overrides::from_variables(|name| match name {
        "SOCKET_GROUP" => Some("b"),
        "INSECURE_PLAINTEXT" => Some("yes"),
        _ => None,
    });
    let settings = Settings::resolve(Some(file), &variables).unwrap();
    let mut told: Vec<String> = lint(&settings).iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("INSECURE_PLAINTEXT: "), "{told:?}");
    assert!(told[1].starts_with("SOCKET_GROUP: "), "{told:?}");
}

#[test]
fn a_careful_policy_is_quiet() {
    assert_eq!(found(QUIET), [""; 0]);
}

#[test]
fn each_lint_has_its_code_and_place() {
    for (text, expected) in [
        (
            "failure { spire-unavailable \"fail_open\" }",
            vec!["warning fail-open spire-unavailable"],
        ),
        (
            "failure { spire-unavailable \"cache\" }",
            vec!["warning cache-in-memory spire-unavailable"],
        ),
        (
            "failure { spire-unavailable \"cache\" }\nagent { state-dir \"/s\" }",
            vec![],
        ),
        (
            "failure { spire-unavailable \"cache\"; cache-ttl 86401 }\nagent { state-dir \"/s\" }",
            vec!["warning cache-ttl-long cache-ttl"],
        ),
        (
            "failure { spire-unavailable \"cache\"; cache-ttl 60 }\nagent { state-dir \"/s\" }",
            vec!["warning cache-ttl-short cache-ttl"],
        ),
        ("failure { cache-ttl 0 }", vec![]),
        (
            "failure { validation-failure \"log_and_allow\" }",
            vec!["warning invalid-allowed validation-failure"],
        ),
        (
            "failure { enforce #false }",
            vec!["warning not-enforced enforce"],
        ),
        (
            "failure { reveal-reason #true }",
            vec!["advice reason-revealed reveal-reason"],
        ),
        (
            "failure { unavailable-status 403 }",
            vec!["advice outage-as-client-error unavailable-status"],
        ),
        (
            "audit { log-failure #false }",
            vec!["warning failures-not-logged log-failure"],
        ),
        (
            "agent { accept-pushed-config #true }",
            vec!["advice pushes-replace-file accept-pushed-config"],
        ),
        (
            "agent { socket-mode \"0666\" }",
            vec!["warning socket-open socket-mode"],
        ),
        (
            "agent { grpc-address \"127.0.0.1:1\" }",
            vec!["warning plaintext-loopback grpc-address"],
        ),
        (
            "agent { grpc-address \"0.0.0.0:1\"; insecure-plaintext #true }",
            vec!["warning plaintext insecure-plaintext"],
        ),
        (
            "agent { insecure-plaintext #true }",
            vec!["advice plaintext-unused insecure-plaintext"],
        ),
        (
            "agent { socket-group \"proxy\"; socket-mode \"0600\" }",
            vec!["warning group-unused socket-group"],
        ),
        (
            "agent { socket-group \"proxy\"; socket-mode \"0660\" }",
            vec![],
        ),
        (
            "agent { trusted-proxies \"uid:1\" \"spiffe://example.org/proxy\" }",
            vec!["advice proxy-ids-unused trusted-proxies"],
        ),
        (
            "agent { limits { decision-deadline-ms 100 } }",
            vec!["advice deadline-late decision-deadline-ms"],
        ),
        (
            "denylist { any #true }",
            vec!["warning denies-everybody any"],
        ),
        (
            "denylist { prefix \"spiffe://example.org\" }",
            vec!["warning never-allowed \"spiffe://example.org/a\""],
        ),
    ] {
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        let mut answered = found(&format!("{QUIET}{text}"));
        expected.sort();
        answered.sort();
        assert_eq!(answered, expected, "{text}");
    }
}

#[test]
fn lists_and_formats_are_looked_at_too() {
    let found = found(
        "allowlist { any #true }\ntls { require-mtls #false }\nfailure { spire-unavailable \"fail_open\" }",
    );
    for expected in [
        "warning allows-everybody any",
        "warning anonymous-allowed require-mtls",
        "warning fail-open-any spire-unavailable",
        "advice format-guessed tls",
        "advice xfcc-last tls",
    ] {
        assert!(
            found.iter().any(|line| line == expected),
            "{expected}: {found:?}"
        );
    }
    // What matters most comes first.
    let first_advice = found
        .iter()
        .position(|line| line.starts_with("advice"))
        .unwrap();
    assert!(
        found
            .iter()
            .skip(first_advice)
            .all(|line| line.starts_with("advice"))
    );
}

#[test]
fn an_element_is_chosen_of_xfcc_only() {
    let of_nginx = QUIET.replace("\"xfcc\"", "\"pem-urlencoded\"");
    assert_eq!(
        found(&of_nginx),
        ["advice xfcc-element-unused xfcc-element"]
    );
}

#[test]
fn nobody_and_no_policy_are_different_things() {
    let nobody = found("allowlist { }");
    assert!(
        nobody
            .iter()
            .any(|line| line.starts_with("warning allows-nobody")),
        "{nobody:?}"
    );
    assert_eq!(found("spire { }"), ["warning no-policy -"]);
    // How to tell of decisions decides nothing.
    assert_eq!(found("audit { sink \"stderr\" }"), ["warning no-policy -"]);
    let waiting = Settings::resolve(None, &Overrides::default()).unwrap();
    let findings = lint(&waiting);
    let codes: Vec<_> = findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(codes, [("no-policy", Severity::Advice)]);
}

#[test]
fn a_finding_shows_its_excerpt() {
    let text = format!("{QUIET}failure {{ enforce #false }}");
    let findings = lint(&settings(&text));
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.code().unwrap().to_string(), "not-enforced");
    assert_eq!(
        Diagnostic::severity(finding),
        Some(miette::Severity::Warning)
    );
    assert_eq!(finding.labels().unwrap().count(), 1);
    let mut shown = String::new();
    let handler = miette::NarratableReportHandler::new();
    handler.render_report(&mut shown, finding).unwrap();
    assert!(
        shown.contains("f.kdl") && shown.contains("enforce"),
        "{shown}"
    );
}
