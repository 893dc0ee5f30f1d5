//! No request reaches an upstream with an identity header that we did not set (decisions.md, "Verdicts").

use proptest::prelude::*;
use verdict::availability::{Event, Loss};
use verdict::decide::{Permit, Verdict, decide};
use verdict::evidence::Evidence;
use verdict::headers::{HeaderName, IdentityHeaders, Slot};
use verdict::policy::Mode;
use verdict::trust::{Basis, Snapshot, World};
use verdict::upstream::{HeaderOp, header_ops};

use crate::worlds::*;

/// One way for a request to pass, and the values it must carry by slot.
struct Way {
    name: &'static str,
    permit: Permit,
    basis: Basis,
    values: [Option<&'static str>; 6],
}

fn way(
    name: &'static str,
    settings: Settings,
    chain: Option<&Chain>,
    world: &World,
    values: [Option<&'static str>; 6],
) -> Way {
    let (failure, policy) = (settings.failure(), settings.policy());
    let basis = world.basis(&failure, at(1_999));
    let evidence = match chain {
        Some(chain) => Evidence::judge(chain, world, &basis, &failure, at(1_999)),
        None => Evidence::absent(world),
    };
    let decision = decide(&evidence, &basis, &policy);
    let Verdict::Allow(permit) = decision.verdict() else {
        panic!("{name}: {:?}", told(&decision));
    };
    Way {
        name,
        permit: permit.clone(),
        basis,
        values,
    }
}

fn ways() -> Vec<Way> {
    let p = &*PKI;
    let snapshot = updated(
        &Snapshot::default(),
        &[(HOME, &p.home.der)],
        at(-10 * MINUTE),
    );
    let live = live(snapshot.clone(), at(-10 * MINUTE));
    let events = [
        (at(-10 * MINUTE), Event::FullUpdate),
        (at(-5 * MINUTE), Event::Lost(Loss::Ended)),
    ];
    let away = World::new(played(at(-10 * MINUTE), &events), TIMING, snapshot);
    let strict = Settings::STRICT;
    let cache = Settings {
        mode: Mode::Cache,
        ..strict
    };
    let open = Settings {
        mode: Mode::FailOpen,
        ..strict
    };
    let tolerant = Settings {
        tolerant: true,
        ..strict
    };
    let trial = Settings {
        enforce: false,
        ..strict
    };
    let lax = Settings {
        require_mtls: false,
        ..strict
    };
    let verified = |basis| {
        [
            Some("spiffe://example.org/web"),
            Some("example.org"),
            Some("/web"),
            Some("spiffe"),
            Some("1767225601"),
            Some(basis),
        ]
    };
    let unverified = |method| [None, None, None, Some(method), None, None];
    let bad = Some(&p.forged);
    vec![
        way(
            "verified, live",
            strict,
            Some(&p.good),
            &live,
            verified("Live;age=601"),
        ),
        way(
            "verified, cached",
            cache,
            Some(&p.good),
            &away,
            verified("Outage;age=601"),
        ),
        way(
            "fail_open",
            open,
            bad,
            &away,
            unverified("unverified-fail-open"),
        ),
        way(
            "log_and_allow",
            tolerant,
            bad,
            &live,
            unverified("unverified-log-and-allow"),
        ),
        way(
            "not enforced",
            trial,
            bad,
            &live,
            unverified("unverified-not-enforced"),
        ),
        way("anonymous", lax, None, &live, [None; 6]),
    ]
}

type Headers = Vec<(String, String)>;

/// As a proxy does it: names are compared without regard to case, and nothing is folded.
fn apply(headers: &mut Headers, ops: &[HeaderOp<'_>]) {
    for op in ops {
        match op {
            HeaderOp::Remove(name) => headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name)),
            HeaderOp::Set(name, value) => {
                headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
                headers.push(((*name).to_owned(), value.clone().into_owned()));
            }
        }
    }
}

/// As a back end may read a name: CGI turns `-` to `_` and lower case to upper.
fn cgi(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.map(|c| if c == '-' { '_' } else { c }).collect()
}

fn names_in_force(configured: &[Option<String>]) -> Option<IdentityHeaders> {
    let credential = HeaderName::parse("X-Forwarded-Client-Cert").unwrap();
    let name_of = |slot: Slot| {
        let place = Slot::ALL.iter().position(|s| *s == slot).unwrap();
        configured[place].as_deref()
    };
    IdentityHeaders::new(name_of, &credential).ok()
}

const TOKEN: &str = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}";

/// Names an operator may choose: the default ones, odd ones, and ones full of `-` and `_`.
fn configured() -> impl Strategy<Value = Vec<Option<String>>> {
    let name = prop_oneof![
        3 => Just(None),
        1 => TOKEN.prop_map(Some),
        2 => "[xX][-_][-_a-bA-B]{1,3}".prop_map(Some),
    ];
    prop::collection::vec(name, 6)
}

/// A spelling of a name that a back end may take for it.
fn respelled(name: &str, bits: u64) -> String {
    let letters = name.chars().enumerate().map(|(at, c)| {
        let other = bits >> (at % 64) & 1 == 1;
        match c {
            '-' if other => '_',
            '_' if other => '-',
            c if other && c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            c if other => c.to_ascii_lowercase(),
            c => c,
        }
    });
    letters.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Whatever headers came, under whatever names: what remains of ours is what we set.
    #[test]
    fn no_identity_header_survives_but_ours(
        configured in configured(),
        strangers in prop::collection::vec(TOKEN, 0..6),
        spoofs in prop::collection::vec((0..6_usize, any::<u64>()), 0..8),
        shown in any::<bool>(),
    ) {
        let Some(names) = names_in_force(&configured) else { return Ok(()) };
        let ours: Vec<_> = names.iter().map(|(slot, name)| (slot, name.as_str().to_owned())).collect();
        let mut request: Headers = strangers.into_iter().map(|n| (n, "stranger".into())).collect();
        for (at, bits) in spoofs {
            let (_, name) = &ours[at % ours.len()];
            // What the proxy does not show us can only be removed by its very name.
            let spelling = if shown { respelled(name, bits) } else { respelled(name, bits).replace(['-', '_'], "-") };
            request.push((spelling, "spoofed".into()));
        }
        let is_ours = |name: &str| ours.iter().any(|(_, o)| cgi(o) == cgi(name));
        for way in WAYS.with(|ways| ways.clone()).iter() {
            let seen: Vec<&str> = if shown {
                request.iter().map(|(name, _)| name.as_str()).collect()
            } else {
                Vec::new()
            };
            let ops = header_ops(&way.permit, Some(&way.basis), &names, &seen, at(1_999));
            let mut sent = request.clone();
            if !shown {
                sent.retain(|(name, _)| !is_ours(name) || ours.iter().any(|(_, o)| o.eq_ignore_ascii_case(name)));
            }
            let strangers: Headers = sent.iter().filter(|(name, _)| !is_ours(name)).cloned().collect();
            apply(&mut sent, &ops);
            let (mut kept, mut left) = (Headers::new(), Headers::new());
            for header in sent {
                if is_ours(&header.0) { left.push(header) } else { kept.push(header) }
            }
            let mut expected: Headers = Vec::new();
            for (slot, name) in &ours {
                let place = Slot::ALL.iter().position(|s| s == slot).unwrap();
                expected.extend(way.values[place].map(|value| (name.clone(), value.to_owned())));
            }
            left.sort();
            expected.sort();
            prop_assert_eq!(left, expected, "{}", way.name);
            prop_assert_eq!(kept, strangers, "{}", way.name);
        }
    }
}

thread_local! {
    static WAYS: std::rc::Rc<Vec<Way>> = std::rc::Rc::new(ways());
}

/// decisions.md: `Verified` looks the same live or cached; only `trust-basis` tells, if named.
#[test]
fn verified_looks_the_same_live_or_cached() {
    let names = names_in_force(&[None, None, None, None, None, None]).unwrap();
    let ways = ways();
    let ops = |way: &Way| {
        let mut headers = Headers::new();
        apply(
            &mut headers,
            &header_ops(&way.permit, Some(&way.basis), &names, &[], at(1_999)),
        );
        headers
    };
    assert_eq!(ops(&ways[0]), ops(&ways[1]));
    assert_eq!(ops(&ways[0]).len(), 5);
    assert_ne!(ways[0].basis, ways[1].basis);
}

/// decisions.md: a name that is not ours stays as it came, however near.
#[test]
fn names_of_others_stay() {
    let names = names_in_force(&[None, None, None, None, None, None]).unwrap();
    let near = [
        "X-SPIFFE-Ids",
        "X-SPIFFE",
        "XSPIFFE-Id",
        "X-SPIFFE.Id",
        "X-Auth-Methods",
        "X--Auth-Method",
        "trust-basis",
    ];
    for way in ways() {
        let ops = header_ops(&way.permit, None, &names, &near, at(0));
        for op in &ops {
            let (HeaderOp::Remove(name) | HeaderOp::Set(name, _)) = op;
            assert!(!near.contains(name), "{name}");
        }
    }
}
