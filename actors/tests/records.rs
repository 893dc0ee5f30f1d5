//! A record holds what is needed to decide again, whatever was decided and why.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::{Arc, LazyLock};

use actors::audit::{Corrects, Grounds, Recorded, Request, render};
use actors::policies::{InForce, Policies};
use chaos::ca::{Authority, AuthorityOptions, Defect, SvidOptions, Window};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proto::cert_header::Bounds;
use verdict::availability::{Blame, Refusal, State, Timing, Trouble};
use verdict::decide::{Intake, Verdict, decide, refuse};
use verdict::evidence::{Check, Evidence, Fault};
use verdict::headers::{HeaderName, IdentityHeaders};
use verdict::lists::{List, ListSpec};
use verdict::policy::{
    Audit, CertFormat, DenyStatus, Failure, Mode, PolicySpec, Tls, ValidationFailure, XfccElement,
};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Snapshot, World};

const NOW_S: u64 = 1_893_456_000;
const WEB: &str = "spiffe://example.org/web";

fn now() -> Now {
    Now {
        wall_ms: i64::try_from(NOW_S).unwrap() * 1_000,
        boot_ms: 500_000_000,
    }
}

/// Chains of every kind, made once.
struct Pki {
    home: Authority,
    chains: Vec<Vec<Vec<u8>>>,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let home = Authority::new("example.org", AuthorityOptions::at(NOW_S)).unwrap();
    let stranger = Authority::new("stranger.test", AuthorityOptions::at(NOW_S)).unwrap();
    let at = || SvidOptions::at(NOW_S);
    let past = Window::from(NOW_S - 7_200, 3_600);
    let issued = [
        home.issue(WEB, &at()),
        home.forge().unwrap().issue(WEB, &at()),
        stranger.issue("spiffe://stranger.test/web", &at()),
        home.issue(WEB, &at().with_window(past)),
        home.issue(WEB, &at().with_defect(Defect::CaTrue)),
    ];
    let chain = |svid: chaos::ca::IssuedSvid| {
        let leaf = std::iter::once(svid.leaf_der().to_vec());
        leaf.chain(svid.intermediates_der().iter().cloned())
            .collect()
    };
    let chains = issued.map(|svid| chain(svid.unwrap())).to_vec();
    Pki { home, chains }
});

#[derive(Clone, Debug)]
enum Shown {
    Nothing,
    Faulty(Check, Reason),
    Chain(usize),
}

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        Just(Shown::Nothing),
        Just(Shown::Faulty(Check::Parse, Reason::Malformed)),
        Just(Shown::Faulty(Check::Agreement, Reason::CredentialsDisagree)),
        (0..5_usize).prop_map(Shown::Chain),
    ]
}

fn state() -> impl Strategy<Value = State> {
    let since_ms = now().boot_ms - 1_000;
    let trouble = Trouble {
        refusal: Refusal::Never,
        blame: Blame::Theirs,
    };
    prop_oneof![
        Just(State::Live { since_ms }),
        Just(State::Interrupted { since_ms, trouble }),
        Just(State::Outage { since_ms, trouble }),
        Just(State::Withdrawn {
            since_ms,
            blame: Blame::Theirs
        }),
    ]
}

fn list(id: Option<usize>) -> Arc<List> {
    let entries = [WEB, "spiffe://stranger.test/web", "spiffe://example.org/db"];
    let spec = ListSpec {
        exact: id.iter().map(|at| entries[*at].to_owned()).collect(),
        ..ListSpec::default()
    };
    Arc::new(List::compile(&spec).unwrap())
}

fn policy() -> impl Strategy<Value = PolicySpec> {
    let modes = prop::sample::select(Mode::ALL.to_vec());
    let listed = || prop::option::of(0..3_usize);
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (modes, listed(), listed(), switches, 400..600_u16).prop_map(
        |(mode, allowed, denied, (tolerant, enforce, require_mtls, include_cert_info), status)| {
            let header = HeaderName::parse("x-forwarded-client-cert").unwrap();
            PolicySpec {
                allowlist: list(allowed),
                denylist: list(denied),
                headers: IdentityHeaders::new(|_| None, &header).unwrap(),
                tls: Tls {
                    require_mtls,
                    client_cert_header: header,
                    client_cert_format: CertFormat::Auto,
                    xfcc_element: XfccElement::Last,
                },
                failure: Failure {
                    spire_unavailable: mode,
                    validation_failure: match tolerant {
                        true => ValidationFailure::LogAndAllow,
                        false => ValidationFailure::Reject,
                    },
                    enforce,
                    unavailable_status: DenyStatus::new(status).unwrap(),
                    ..Failure::default()
                },
                audit: Audit {
                    include_cert_info,
                    ..Audit::default()
                },
            }
        },
    )
}

fn in_force(spec: PolicySpec) -> Arc<InForce> {
    Policies::new(64, Bounds::default()).own(spec).unwrap()
}

fn request() -> Request<'static> {
    Request {
        id: Some("r-1"),
        correlation_id: "c-1",
        trace_id: None,
        client_ip: Some("10.0.0.7"),
        proxy: "uid:0",
        door: "sentinel-v2",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_record_alone_gives_the_same_verdict_for_the_same_reason(
        shown in shown(),
        state in state(),
        material in any::<bool>(),
        spec in policy(),
    ) {
        let pki = &*PKI;
        let (key, der) = (pki.home.bundle_key(), pki.home.anchors_der());
        let bundles = [(key.as_str(), der.as_slice())];
        let snapshot = match material {
            true => Snapshot::default().updated(bundles.into_iter(), now()).unwrap().0,
            false => Snapshot::default(),
        };
        let world = World::new(state, Timing::default(), snapshot);
        let policy = in_force(spec);
        let failure = policy.policy.failure();
        let basis = world.basis(failure, now());
        let evidence = match shown {
            Shown::Nothing => Evidence::absent(&world),
            Shown::Faulty(check, reason) => {
                Evidence::faulty(Fault::new(check, reason, &"a rule"), &world)
            }
            Shown::Chain(at) => Evidence::judge(&pki.chains[at], &world, &basis, failure, now()),
        };
        let decision = decide(&evidence, &basis, &policy.policy);
        let grounds = Grounds { evidence: &evidence, basis: &basis };
        let line = render(&decision, Some(grounds), Some(&policy), request(), now(), Corrects::Nothing)
            .unwrap();
        let recorded = Recorded::parse(&line).unwrap();
        let replayed = recorded.replay().unwrap();
        prop_assert_eq!(replayed.reason, decision.fault().map(Fault::reason));
        let status = match decision.verdict() {
            Verdict::Deny(denial) => Some(denial.status()),
            Verdict::Allow(_) => None,
        };
        prop_assert_eq!(replayed.answer.status(), status);
        // A verdict that does not follow from the evidence is told.
        let mut forged = recorded.clone();
        forged.status = match status {
            None => Some(401),
            Some(_) => None,
        };
        prop_assert!(forged.replay().is_err());
    }
}

#[test]
fn a_refusal_at_the_door_is_replayed_with_and_without_a_policy() {
    for intake in [
        Intake::BadEvent,
        Intake::NotConfigured,
        Intake::Overloaded,
        Intake::Internal,
    ] {
        let line = render(
            &refuse(intake, &"why"),
            None,
            None,
            request(),
            now(),
            Corrects::Nothing,
        )
        .unwrap();
        let replayed = Recorded::parse(&line).unwrap().replay().unwrap();
        assert_eq!(replayed.reason, Some(intake.reason()));
    }
}

#[test]
fn what_is_no_record_is_refused() {
    let line = render(
        &refuse(Intake::Internal, &"why"),
        None,
        None,
        request(),
        now(),
        Corrects::Nothing,
    )
    .unwrap();
    let text = String::from_utf8(line).unwrap();
    for (whole, changed) in [
        ("\"deny\"", "\"deny\",\"extra\":1"),
        ("INTERNAL", "INTERNAL_ERROR"),
        ("not_reached", "unknown"),
        ("\"lists\":\"not_reached\"", "\"list\":\"not_reached\""),
    ] {
        assert!(text.contains(whole), "{text}");
        let changed = text.replacen(whole, changed, 1);
        assert!(Recorded::parse(changed.as_bytes()).is_err(), "{changed}");
    }
}

/// Every setting is in the fingerprint.
#[test]
fn two_policies_have_two_fingerprints() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: Vec<(PolicySpec, Arc<str>)> = Vec::new();
    for _ in 0..300 {
        let spec = policy().new_tree(&mut runner).unwrap().current();
        let print = in_force(spec.clone()).fingerprint.clone();
        for (other, other_print) in &seen {
            assert_eq!(*other == spec, *other_print == print, "{other:?}\n{spec:?}");
        }
        seen.push((spec, print));
    }
}
