//! A chain of certificates, DER one after the other: from bytes to the verdict.
//!
//! - what the leaf's own rules accept has the shape they promise;
//! - **nothing is verified but what the authority signed**: any identity that comes out was signed
//!   by keys that no longer exist, under that very ID;
//! - an identity never outlives its leaf; another trust domain's bundle never verifies it;
//! - `decide` allows as verified only such an identity, and nothing at all under `Refuse`.

use std::sync::LazyLock;

use config::{Overrides, Push, Settings};
use verdict::anchors::AnchorSet;
use verdict::availability::{Event, Found, Loss, Phase, Stance, State, Timing};
use verdict::decide::{Passage, Verdict, decide};
use verdict::evidence::Evidence;
use verdict::policy::Policy;
use verdict::svid::{
    self, CERTIFICATE_MAX_BYTES, CHAIN_MAX_CERTIFICATES, Presented, Refusal, VerifiedIdentity,
};
use verdict::time::{Now, UnixSeconds};
use verdict::trust::{Basis, Snapshot, World};

use super::known::{self, ANCHORS, CLOCKS, NOW};

/// Seconds that certificates in the world are judged at: the signing, a moment before and after
/// every border of the seeds, and the ends of time.
const MOMENTS: [i64; 8] = [
    NOW.0,
    NOW.0 - 11,
    NOW.0 - 10,
    NOW.0 + 3_600,
    NOW.0 + 3_601,
    0,
    i64::MIN,
    i64::MAX,
];

/// A credential that must pass: without it the claims would hold for an agent that refuses all.
static GOOD: LazyLock<()> = LazyLock::new(|| {
    let chain = split(include_bytes!("../seeds/svid/nested"));
    let presented = svid::examine(&chain).expect("a good chain");
    let identity = svid::validate(&presented, &ANCHORS, NOW).expect("signed by the authority");
    assert_eq!(identity.id().as_str(), "spiffe://example.org/frontend/a");
    let passed = SCENES.iter().filter(|scene| {
        let (basis, evidence) = scene.judge(&chain);
        let decision = decide(&evidence, &basis, &scene.policy);
        match decision.verdict() {
            Verdict::Allow(permit) => matches!(permit.passage(), Passage::Verified(_)),
            Verdict::Deny(_) => false,
        }
    });
    assert!(passed.count() >= 6, "live in three modes, and cached");
});

pub fn check(data: &[u8]) {
    LazyLock::force(&GOOD);
    let chain = split(data);
    let presented = match svid::examine(&chain) {
        Ok(presented) => presented,
        Err(refusal) => {
            super::check_error(&refusal);
            return check_verdicts(&chain);
        }
    };
    check_leaf(&presented, &chain);
    for moment in MOMENTS {
        check_path(&presented, UnixSeconds(moment));
    }
    check_verdicts(&chain);
}

fn check_leaf(presented: &Presented, chain: &[Vec<u8>]) {
    let leaf = presented.leaf();
    assert!((1..=CHAIN_MAX_CERTIFICATES).contains(&chain.len()));
    assert!(chain.iter().all(|der| der.len() <= CERTIFICATE_MAX_BYTES));
    assert_eq!(leaf.der(), chain[0], "the leaf is the first certificate");
    assert!(!leaf.id().path().is_empty(), "an SVID names a workload");
    super::spiffe_id::check(leaf.id().as_str().as_bytes());
    assert!(
        (1..=40).contains(&leaf.serial().len()),
        "serial {}",
        leaf.serial()
    );
    let issuer = leaf.issuer();
    assert!(issuer.chars().all(|c| !c.is_control()), "issuer {issuer:?}");
    // Asked again, it says the same.
    let again = svid::examine(chain).expect("accepted once");
    assert_eq!(again.leaf().sha256(), leaf.sha256());
}

fn check_path(presented: &Presented, now: UnixSeconds) {
    match svid::validate(presented, &ANCHORS, now) {
        Ok(identity) => {
            check_identity(&identity);
            assert!(identity.judge(now).is_ok(), "valid when it was judged");
            assert!(identity.not_before() >= presented.leaf().not_before());
            assert!(identity.not_after() <= presented.leaf().not_after());
            assert!((identity.not_before()..=identity.not_after()).contains(&now));
        }
        Err(refusal) => {
            super::check_error(&refusal);
            assert!(
                matches!(
                    refusal,
                    Refusal::Untrusted(_) | Refusal::Expired { .. } | Refusal::NotYetValid { .. }
                ),
                "a path cannot fail as {refusal}"
            );
        }
    }
    let nobody = AnchorSet::from_der(&[]).expect("an empty bundle is one");
    assert!(
        svid::validate(presented, &nobody, now).is_err(),
        "an empty bundle verifies nobody"
    );
}

fn check_identity(identity: &VerifiedIdentity) {
    let vouched = known::vouched_for(identity.leaf_sha256());
    assert_eq!(
        vouched,
        Some(identity.id().as_str()),
        "FORGED: verified, but never signed"
    );
}

/// A world, and what may be concluded in it.
struct Scene {
    world: World,
    policy: Policy,
    now: Now,
}

impl Scene {
    fn judge(&self, chain: &[Vec<u8>]) -> (Basis, Evidence) {
        let failure = self.policy.failure();
        let basis = self.world.basis(failure, self.now);
        let evidence = Evidence::judge(chain, &self.world, &basis, failure, self.now);
        (basis, evidence)
    }
}

/// Every stance there is: live; outages in the three modes, with material fresh and too old; refused.
static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| {
    let later = |seconds: i64| Now {
        wall_ms: CLOCKS.wall_ms + seconds * 1000,
        boot_ms: CLOCKS.boot_ms + seconds * 1000,
    };
    let mut scenes = Vec::new();
    for mode in ["fail_closed", "cache", "fail_open"] {
        for ttl in [10, 100_000] {
            for (event, after) in [(None, 0), (Some(Loss::Ended), 100)] {
                scenes.push(Scene {
                    world: world(event),
                    policy: policy(mode, ttl),
                    now: later(after),
                });
            }
        }
        scenes.push(Scene {
            world: World::new(
                State::start(Found::Tombstone, Timing::default(), CLOCKS),
                Timing::default(),
                Snapshot::default(),
            ),
            policy: policy(mode, 10),
            now: CLOCKS,
        });
    }
    let stances: Vec<_> = scenes
        .iter()
        .map(|s| s.world.basis(s.policy.failure(), s.now).stance)
        .collect();
    for stance in [
        Stance::Refuse,
        Stance::Verify,
        Stance::OpenMaterial,
        Stance::Open,
    ] {
        assert!(
            stances.contains(&stance),
            "no scene for {}",
            stance.as_str()
        );
    }
    scenes
});

fn world(loss: Option<Loss>) -> World {
    let timing = Timing::default();
    let bundles = [("spiffe://example.org", known::BUNDLE)];
    let (snapshot, _) = Snapshot::default()
        .updated(bundles.into_iter(), CLOCKS)
        .expect("the bundle of the seeds is one");
    let (mut state, _) =
        State::start(Found::Nothing, timing, CLOCKS).step(Event::FullUpdate, timing, CLOCKS);
    if let Some(loss) = loss {
        (state, _) = state.step(Event::Lost(loss), timing, CLOCKS);
    }
    World::new(state, timing, snapshot)
}

/// The policy lets `/frontend` pass, and denies `/banned`.
fn policy(mode: &str, ttl_s: u64) -> Policy {
    let json = format!(
        r#"{{"allowlist":{{"prefix":["spiffe://example.org/frontend"]}},
            "denylist":{{"exact":["spiffe://example.org/frontend/banned"]}},
            "failure":{{"spire-unavailable":"{mode}","cache-ttl":{ttl_s}}}}}"#
    );
    let settings = Settings::resolve(None, &Overrides::default()).expect("defaults are settings");
    let push = Push::parse(json.as_bytes())
        .expect("a good push")
        .expect("a push");
    let applied = push.apply(&settings).expect("a good policy");
    Policy::new(applied.policy)
}

fn check_verdicts(chain: &[Vec<u8>]) {
    for scene in SCENES.iter() {
        let (basis, evidence) = scene.judge(chain);
        let decision = decide(&evidence, &basis, &scene.policy);
        let Verdict::Allow(permit) = decision.verdict() else {
            continue;
        };
        match permit.passage() {
            Passage::Verified(identity) => {
                check_identity(identity);
                assert!(basis.stance.judges_trust(), "verified without judging");
                let id = identity.id().as_str();
                let listed = id == "spiffe://example.org/frontend"
                    || id.starts_with("spiffe://example.org/frontend/");
                assert!(listed && !id.ends_with("/banned"), "{id} is not allowed");
            }
            Passage::Unverified(_) => {
                let open = matches!(basis.stance, Stance::Open | Stance::OpenMaterial);
                assert!(
                    open && basis.phase == Phase::Outage,
                    "unverified although nothing is out"
                );
            }
            Passage::Anonymous => panic!("a credential was presented"),
        }
    }
}

/// Splits at the outermost lengths; what is left over is one more, broken certificate.
fn split(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    while !data.is_empty() {
        let length = super::der::whole_length(data).unwrap_or(data.len());
        let (one, rest) = data.split_at(length.min(data.len()));
        chain.push(one.to_vec());
        data = rest;
    }
    chain
}
