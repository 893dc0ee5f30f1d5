//! The whole table of verdicts: every failure of every check × state × mode × settings, against a
//! second reading of `decisions.md` ("Basis", "Verdicts") that shares nothing with the product.

use std::collections::{BTreeSet, HashMap};

use verdict::availability::{Event, Found, Loss, Stance, State};
use verdict::decide::{Decision, Intake, Outcome, Verdict, decide, refuse};
use verdict::evidence::{Check, Evidence, Fault};
use verdict::policy::{Mode, Policy};
use verdict::reason::Reason;
use verdict::replay;
use verdict::time::Contact;
use verdict::trust::{Basis, Snapshot, World};

use crate::worlds::*;

/// What is presented, and what is true of it.
struct Case {
    name: &'static str,
    shown: Shown,
    /// The first of checks 1 to 6 that fails, whatever the world.
    by_itself: Option<(usize, &'static str)>,
    /// What fails of checks 8 and 9 with the material of [`material`].
    by_trust: Option<(usize, &'static str)>,
    id: &'static str,
}

enum Shown {
    Nothing,
    Chain(Chain),
    Faulty(Check, Reason),
}

fn cases() -> Vec<Case> {
    let p = &*PKI;
    let broken = |name, shown, check, reason| Case {
        name,
        shown,
        by_itself: Some((check, reason)),
        by_trust: None,
        id: "",
    };
    let sound = |name, chain: &Chain, id, by_trust| Case {
        name,
        shown: Shown::Chain(chain.clone()),
        by_itself: None,
        by_trust,
        id,
    };
    let chain = |chain: &Chain| Shown::Chain(chain.clone());
    let many = vec![p.good[0].clone(); 17];
    let half = [p.good.clone(), vec![GARBAGE.to_vec()]].concat();
    vec![
        broken("nothing", Shown::Nothing, 1, "NO_CREDENTIAL"),
        broken(
            "unreadable header",
            Shown::Faulty(Check::Parse, Reason::Malformed),
            2,
            "MALFORMED",
        ),
        broken(
            "garbage",
            Shown::Chain(vec![GARBAGE.to_vec()]),
            2,
            "MALFORMED",
        ),
        broken("no certificate", Shown::Chain(vec![]), 2, "MALFORMED"),
        broken("seventeen certificates", chain(&many), 2, "MALFORMED"),
        broken("garbage after a good leaf", chain(&half), 2, "MALFORMED"),
        broken("no URI", chain(&p.no_uri), 3, "NO_SPIFFE_ID"),
        broken("two URIs", chain(&p.two_uris), 3, "INVALID_SPIFFE_ID"),
        broken("https URI", chain(&p.not_spiffe), 3, "INVALID_SPIFFE_ID"),
        broken("no path", chain(&p.no_path), 4, "NOT_AN_SVID"),
        broken("an authority", chain(&p.is_authority), 4, "NOT_AN_SVID"),
        broken("expired", chain(&p.expired), 5, "EXPIRED"),
        broken("not yet valid", chain(&p.not_yet), 5, "NOT_YET_VALID"),
        broken(
            "another audience",
            Shown::Faulty(Check::Validity, Reason::WrongAudience),
            5,
            "WRONG_AUDIENCE",
        ),
        broken(
            "two credentials",
            Shown::Faulty(Check::Agreement, Reason::CredentialsDisagree),
            6,
            "CREDENTIALS_DISAGREE",
        ),
        sound(
            "no bundle",
            &p.unknown_domain,
            NOBODY,
            Some((8, "UNKNOWN_TRUST_DOMAIN")),
        ),
        sound(
            "kept too long",
            &p.good_stale,
            STALE,
            Some((8, "UNKNOWN_TRUST_DOMAIN")),
        ),
        sound(
            "empty bundle",
            &p.empty_domain,
            EMPTY,
            Some((9, "UNTRUSTED")),
        ),
        sound("forged", &p.forged, HOME, Some((9, "UNTRUSTED"))),
        sound(
            "of the partner's root",
            &p.of_the_partners_root,
            HOME,
            Some((9, "UNTRUSTED")),
        ),
        sound("path expired", &p.path_expired, HOME, Some((9, "EXPIRED"))),
        sound(
            "path not yet valid",
            &p.path_not_yet,
            HOME,
            Some((9, "NOT_YET_VALID")),
        ),
        sound("good", &p.good, HOME, None),
        sound("good, of the partner", &p.good_partner, PARTNER, None),
        sound("good, of a kept bundle", &p.good_kept, KEPT, None),
    ]
}

/// Three updates: the last one finds `stale` and `kept` unreadable, the one before `stale` already.
/// The last contact is `ago_ms` before [`NOW`].
fn material(ago_ms: i64) -> Snapshot {
    let p = &*PKI;
    let all = |kept: &'static [u8], stale: &'static [u8]| {
        vec![
            (HOME, p.home.der.as_slice()),
            (PARTNER, p.partner.der.as_slice()),
            (EMPTY, &[]),
            (KEPT, kept),
            (STALE, stale),
        ]
    };
    let home: &'static [u8] = &p.home.der;
    let first = updated(
        &Snapshot::default(),
        &all(home, home),
        at(-ago_ms - 70 * MINUTE),
    );
    let second = updated(&first, &all(home, GARBAGE), at(-ago_ms - 30 * MINUTE));
    updated(&second, &all(GARBAGE, GARBAGE), at(-ago_ms))
}

/// The table "Basis: state × mode": `fail_closed`, `cache`, `fail_open`.
const BASIS: [(&str, [&str; 3]); 10] = [
    ("Starting", ["Refuse", "Refuse", "Refuse"]),
    (
        "Starting, older material on disk",
        ["Refuse", "Refuse", "Refuse"],
    ),
    ("Live", ["Verify", "Verify", "Verify"]),
    ("Interrupted", ["Verify", "Verify", "Verify"]),
    (
        "Outage, material within",
        ["Refuse", "Verify", "Open(material)"],
    ),
    ("Outage, material older", ["Refuse", "Refuse", "Open"]),
    ("Outage, no material", ["Refuse", "Refuse", "Open"]),
    (
        "Outage, our fault, material within",
        ["Refuse", "Verify", "Refuse"],
    ),
    (
        "Outage, our fault, no material",
        ["Refuse", "Refuse", "Refuse"],
    ),
    ("Withdrawn", ["Refuse", "Refuse", "Refuse"]),
];

const MODES: [Mode; 3] = [Mode::FailClosed, Mode::Cache, Mode::FailOpen];

fn world(row: &str) -> World {
    let (fresh, old) = (10 * MINUTE, 2 * HOUR);
    let went = |ago_ms: i64, lost_ago_ms: i64, cause| {
        let events = [
            (at(-ago_ms), Event::FullUpdate),
            (at(-lost_ago_ms), Event::Lost(cause)),
        ];
        played(at(-ago_ms), &events)
    };
    let outage = |cause| went(fresh, 5 * MINUTE, cause);
    let (state, snapshot) = match row {
        "Starting" => (played(at(-59_999), &[]), Snapshot::default()),
        "Starting, older material on disk" => {
            let found = Found::Material(Contact::at(at(-fresh)));
            (State::start(found, TIMING, at(0)), material(fresh))
        }
        "Live" => (
            played(at(-old), &[(at(-old), Event::FullUpdate)]),
            material(fresh),
        ),
        "Interrupted" => (went(old, 59_999, Loss::Transport), material(fresh)),
        "Outage, material within" => (outage(Loss::Transport), material(fresh)),
        "Outage, material older" => (went(old, HOUR, Loss::Ended), material(old)),
        "Outage, no material" => (played(at(-60_000), &[]), Snapshot::default()),
        "Outage, our fault, material within" => (outage(Loss::OurFault), material(fresh)),
        "Outage, our fault, no material" => (
            played(
                at(-60_000),
                &[(at(-1), Event::Lost(Loss::OurFault)), (at(0), GONE)],
            ),
            Snapshot::default(),
        ),
        "Withdrawn" => (went(fresh, 30_000, Loss::Refused), material(fresh)),
        other => panic!("{other}"),
    };
    World::new(state, TIMING, snapshot)
}

fn evidence(shown: &Shown, world: &World, basis: &Basis, settings: Settings) -> Evidence {
    match shown {
        Shown::Nothing => Evidence::absent(world),
        Shown::Faulty(check, reason) => {
            Evidence::faulty(Fault::new(*check, *reason, &"a rule"), world)
        }
        Shown::Chain(chain) => Evidence::judge(chain, world, basis, &settings.failure(), at(0)),
    }
}

/// The second reading: walks the rows of the table "Verdicts" and says what the answer is.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    verdict: String,
    reason: Option<&'static str>,
    list: Option<&'static str>,
    trail: String,
}

fn oracle(case: &Case, basis: &str, settings: Settings) -> Answer {
    let mut trail = vec!['.'; 11];
    let mut reason = None;
    let mut list = None;
    // How the request passes if nothing stops it.
    let mut pass = format!("verified {}/web", case.id);
    let mut stopped_at = None;
    for row in 0..=10 {
        // Without a credential, and none required, nothing after check 1 is asked.
        if row == 1 && case.by_itself == Some((1, "NO_CREDENTIAL")) && !settings.require_mtls {
            trail[1] = 'S';
            "anonymous".clone_into(&mut pass);
            break;
        }
        let fails = match row {
            1..=6 => case
                .by_itself
                .filter(|(check, _)| *check == row)
                .map(|f| f.1),
            7 => (basis == "Refuse").then_some("TRUST_UNAVAILABLE"),
            8 | 9 if basis == "Open" => {
                trail[row] = 'S';
                "unverified-fail-open".clone_into(&mut pass);
                continue;
            }
            8 | 9 => case
                .by_trust
                .filter(|(check, _)| *check == row)
                .map(|f| f.1),
            10 if settings.denied => {
                list = Some("denylist");
                Some("DENIED")
            }
            10 if settings.allowed => {
                list = Some("allowlist");
                None
            }
            10 => Some("NOT_ALLOWED"),
            _ => None,
        };
        // A domain without a bundle has no path to judge.
        if row == 9 && trail[8] == 'F' {
            continue;
        }
        trail[row] = if fails.is_some() { 'F' } else { 'P' };
        if let Some(label) = fails {
            reason = Some(label);
            if matches!(row, 8 | 9) && basis == "Open(material)" {
                "unverified-fail-open".clone_into(&mut pass);
            } else {
                stopped_at = Some(row);
                break;
            }
        }
    }
    let status = match reason {
        Some("TRUST_UNAVAILABLE") => settings.unavailable_status,
        Some("DENIED" | "NOT_ALLOWED") => 403,
        _ => 401,
    };
    let verdict = match stopped_at {
        None => pass,
        Some(2..=6 | 8 | 9) if settings.tolerant && basis != "Refuse" => {
            "unverified-log-and-allow".into()
        }
        Some(_) if !settings.enforce => "unverified-not-enforced".into(),
        Some(_) => format!("deny {status} {}", reason.unwrap()),
    };
    Answer {
        verdict,
        reason,
        list,
        trail: trail.into_iter().collect(),
    }
}

fn answer(decision: &Decision<'_>) -> Answer {
    let told = told(decision);
    Answer {
        verdict: told.verdict,
        reason: decision.fault().map(|fault| fault.reason().as_str()),
        list: decision.rule().map(|(list, _)| list.as_str()),
        trail: told.trail,
    }
}

/// What a record keeps of a decision.
fn account(decision: &Decision<'_>, grounds: Option<(&Basis, &Policy)>) -> replay::Account {
    replay::Account {
        trail: *decision.trail(),
        reason: decision.fault().map(Fault::reason),
        stance: grounds.map(|(basis, _)| basis.stance),
        terms: grounds.map(|(_, policy)| replay::Terms {
            require_mtls: policy.spec().tls.require_mtls,
            validation_failure: policy.failure().validation_failure,
            enforce: policy.failure().enforce,
            unavailable_status: policy.failure().unavailable_status,
        }),
        listed: decision.rule().map(|(list, _)| *list),
    }
}

/// The record alone gives the same answer, for the same reason, and a change of any check does not.
fn is_replayed(decision: &Decision<'_>, grounds: Option<(&Basis, &Policy)>, context: &str) {
    let account = account(decision, grounds);
    let replayed = replay::replay(&account).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(replayed.reason, account.reason, "{context}");
    let (answer, told) = (replayed.answer, told(decision));
    let words = match (answer.status(), answer.identity()) {
        (Some(status), _) => format!("deny {status} {}", replayed.reason.unwrap()),
        (None, "verified") => told.verdict.clone(),
        (None, identity) => identity.to_owned(),
    };
    assert_eq!(words, told.verdict, "{context}");
    let is_verified = told.verdict.starts_with("verified");
    assert_eq!(answer == replay::Answer::Verified, is_verified, "{context}");
    // Under `Open(material)` a denial by the lists says nothing more of checks 8 and 9.
    let by_lists = replayed.decided_by == Some(Check::Lists);
    let silent = by_lists && account.stance == Some(Stance::OpenMaterial);
    for place in (0..account.trail.len()).filter(|place| !(silent && matches!(place, 8 | 9))) {
        for outcome in Outcome::ALL {
            let mut changed = account;
            changed.trail[place] = outcome;
            let changed = (changed != account).then(|| replay::replay(&changed));
            assert_ne!(changed, Some(Ok(replayed)), "{context}, check {place}");
        }
    }
}

fn all_settings() -> Vec<Settings> {
    let mut all = Vec::new();
    for mode in MODES {
        for bits in 0..64_u8 {
            let bit = |place: u8| bits >> place & 1 == 1;
            all.push(Settings {
                mode,
                tolerant: bit(0),
                enforce: bit(1),
                require_mtls: bit(2),
                allowed: bit(3),
                denied: bit(4),
                unavailable_status: if bit(5) { 429 } else { 503 },
                cache_ttl_s: 3600,
            });
        }
    }
    all
}

/// Another mode helps in an outage alone, so only there may the rule speak of the mode.
#[test]
fn a_refusal_says_what_it_rests_on() {
    for (row, words) in [
        ("Starting", "has given no bundles yet"),
        (
            "Starting, older material on disk",
            "count once it is known to be away",
        ),
        ("Outage, no material", "failure.spire-unavailable refuses"),
        ("Withdrawn", "SPIRE refuses this agent"),
    ] {
        let world = world(row);
        let basis = world.basis(&Settings::STRICT.failure(), at(0));
        let sound = Shown::Chain(PKI.good.clone());
        let evidence = evidence(&sound, &world, &basis, Settings::STRICT);
        let policy = Settings::STRICT.policy();
        let decision = decide(&evidence, &basis, &policy);
        let rule = decision.fault().map(Fault::rule).unwrap_or_default();
        assert!(rule.contains(words), "{row}: {rule}");
    }
}

/// decisions.md, "Basis" and "Verdicts": no wrong allow and no wrong deny anywhere in the table.
#[test]
fn the_whole_table() {
    let policies: Vec<(Settings, Policy)> = all_settings()
        .into_iter()
        .map(|settings| (settings, settings.policy()))
        .collect();
    let cases = cases();
    let mut seen = BTreeSet::new();
    let mut decisions = 0;
    for (row, stances) in BASIS {
        let world = world(row);
        for (mode, stance) in MODES.into_iter().zip(stances) {
            let now = at(0);
            let terms = Settings {
                mode,
                ..Settings::STRICT
            };
            let basis = world.basis(&terms.failure(), now);
            assert_eq!(basis.stance.as_str(), stance, "{row}, {mode:?}");
            for case in &cases {
                let evidence = evidence(&case.shown, &world, &basis, terms);
                for (settings, policy) in policies.iter().filter(|(s, _)| s.mode == mode) {
                    let decision = decide(&evidence, &basis, policy);
                    let expected = oracle(case, stance, *settings);
                    let context = format!("{} in {row}: {settings:?}", case.name);
                    assert_eq!(answer(&decision), expected, "{context}");
                    is_replayed(&decision, Some((&basis, policy)), &context);
                    seen.insert(expected.verdict.replace(&format!(" {}/", case.id), " ID/"));
                    decisions += 1;
                }
            }
        }
    }
    assert_eq!(decisions, 10 * 3 * 25 * 64);
    // Every kind of answer is among them; the table would prove little otherwise.
    for kind in [
        "verified ID/web",
        "anonymous",
        "unverified-fail-open",
        "unverified-log-and-allow",
        "unverified-not-enforced",
    ] {
        assert!(seen.iter().any(|v| v == kind), "{kind}: {seen:?}");
    }
    for reason in Reason::ALL {
        let by_this = |v: &String| v.ends_with(&format!(" {reason}"));
        assert_eq!(
            seen.iter().any(by_this),
            reason > Reason::Internal,
            "{reason}"
        );
    }
}

/// decisions.md: unverified and anonymous requests carry no identity, verified ones their own.
#[test]
fn only_the_verified_carry_an_identity() {
    let names = Settings::STRICT.policy().spec().headers.clone();
    let mut methods: HashMap<String, BTreeSet<usize>> = HashMap::new();
    let cases = cases();
    for (row, _) in BASIS {
        let world = world(row);
        for settings in all_settings() {
            let basis = world.basis(&settings.failure(), at(0));
            let policy = settings.policy();
            for case in cases
                .iter()
                .filter(|c| matches!(c.name, "good" | "forged" | "nothing"))
            {
                let evidence = evidence(&case.shown, &world, &basis, settings);
                let decision = decide(&evidence, &basis, &policy);
                let Verdict::Allow(permit) = decision.verdict() else {
                    continue;
                };
                let ops = verdict::upstream::header_ops(permit, Some(&basis), &names, &[], at(0));
                let set: Vec<_> = ops
                    .iter()
                    .filter_map(|op| match op {
                        verdict::upstream::HeaderOp::Set(name, value) => Some((*name, &**value)),
                        verdict::upstream::HeaderOp::Remove(_) => None,
                    })
                    .collect();
                let method = set.iter().find(|(name, _)| *name == "X-Auth-Method");
                let method = method.map_or("", |(_, value)| value).to_owned();
                assert_eq!(
                    method == "spiffe",
                    told(&decision).verdict.starts_with("verified")
                );
                methods.entry(method).or_default().insert(set.len());
            }
        }
    }
    let expected = [
        ("spiffe", 5),
        ("unverified-fail-open", 1),
        ("unverified-log-and-allow", 1),
        ("unverified-not-enforced", 1),
        ("", 0),
    ];
    let expected = expected.map(|(method, set)| (method.to_owned(), BTreeSet::from([set])));
    assert_eq!(methods, HashMap::from(expected));
}

/// decisions.md, check 0 and "An internal fault is never excused by a mode".
#[test]
fn refusals_at_the_door_have_their_statuses() {
    let rows = [
        (Intake::BadEvent, "deny 400 BAD_EVENT"),
        (Intake::NotConfigured, "deny 503 NOT_CONFIGURED"),
        (Intake::Overloaded, "deny 503 OVERLOADED"),
        (Intake::Internal, "deny 500 INTERNAL"),
    ];
    for (intake, expected) in rows {
        is_replayed(&refuse(intake, &"why"), None, expected);
        let told = told(&refuse(intake, &"why"));
        assert_eq!(told.verdict, expected);
        assert_eq!(told.trail, "F..........");
        assert_eq!(told.fault.unwrap().1, "why");
    }
}

/// decisions.md, "The question": never called with a half-updated world.
#[test]
fn evidence_of_another_world_is_an_internal_fault_under_every_policy() {
    let before = world("Outage, material within");
    let after = before.next(before.state(), TIMING, before.snapshot().clone());
    for settings in all_settings() {
        let policy = settings.policy();
        let failure = settings.failure();
        let then = before.basis(&failure, at(0));
        let now = after.basis(&failure, at(0));
        for case in cases() {
            let old = evidence(&case.shown, &before, &then, settings);
            let new = evidence(&case.shown, &after, &now, settings);
            for (evidence, basis) in [(&old, &now), (&new, &then)] {
                let told = told(&decide(evidence, basis, &policy));
                assert_eq!(told.verdict, "deny 500 INTERNAL", "{}", case.name);
                assert_eq!(told.trail, "F..........");
            }
        }
    }
}

/// A judgement that was not made, because another policy did not ask for it, allows nobody.
#[test]
fn evidence_without_the_judgement_that_the_basis_asks_for_is_an_internal_fault() {
    let world = world("Outage, material within");
    let closed = Settings::STRICT;
    let refusing = world.basis(&closed.failure(), at(0));
    assert_eq!(refusing.stance, Stance::Refuse);
    let unjudged = evidence(&Shown::Chain(PKI.good.clone()), &world, &refusing, closed);
    for settings in all_settings() {
        let basis = world.basis(&settings.failure(), at(0));
        let policy = settings.policy();
        let told = told(&decide(&unjudged, &basis, &policy));
        let internal = settings.mode != Mode::FailClosed;
        assert_eq!(told.verdict == "deny 500 INTERNAL", internal, "{told:?}");
    }
}

/// Checks 2 to 6 are what a credential can fail by itself; any other claim is a defect of ours,
/// which neither `log_and_allow` nor `enforce #false` excuses.
#[test]
fn a_credential_can_only_fail_the_checks_of_a_credential() {
    let world = world("Live");
    for check in Check::ALL {
        for reason in Reason::ALL {
            let fault = Fault::new(check, reason, &"a rule");
            let evidence = Evidence::faulty(fault, &world);
            let own = (Check::Parse..=Check::Agreement).contains(&check)
                && reason.class().status() == 401;
            for settings in all_settings() {
                let basis = world.basis(&settings.failure(), at(0));
                let policy = settings.policy();
                let told = told(&decide(&evidence, &basis, &policy));
                let internal = told.verdict == "deny 500 INTERNAL";
                assert_eq!(internal, !own, "{check:?} {reason}");
                if settings.tolerant || !settings.enforce {
                    assert_eq!(told.verdict.starts_with("deny"), internal);
                }
            }
        }
    }
}
