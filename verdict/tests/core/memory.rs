//! What is remembered: never longer than it holds, and never saying other than a fresh judgement
//! would ("What is remembered", decisions.md).

use proptest::prelude::*;
use verdict::availability::{Effect, Event, Found, Loss, State, Timing};
use verdict::decide::decide;
use verdict::evidence::{Check, Evidence, Fault, Remembered};
use verdict::policy::{Mode, Policy};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Snapshot, World};

use crate::worlds::*;

/// The pure half of the actor that owns the world: the machine is stepped, its effects carried out.
struct Source {
    world: World,
    timing: Timing,
}

impl Source {
    fn new(bundles: &[(&str, &[u8])], timing: Timing, now: Now) -> Self {
        let start = State::start(Found::Nothing, timing, now);
        let world = World::new(start, timing, Snapshot::default());
        let mut source = Self { world, timing };
        source.update(bundles, now);
        source
    }

    fn update(&mut self, bundles: &[(&str, &[u8])], now: Now) {
        self.event(Event::Tick, now);
        if let Ok((snapshot, _)) = self.world.snapshot().updated(bundles.iter().copied(), now) {
            let (state, effects) = self.world.state().step(Event::FullUpdate, self.timing, now);
            assert!(!effects.contains(&Effect::Withdraw));
            self.world = self.world.next(state, self.timing, snapshot.into());
        }
    }

    fn event(&mut self, event: Event, now: Now) {
        let (state, effects) = self.world.state().step(event, self.timing, now);
        let snapshot = if effects.contains(&Effect::Withdraw) {
            self.world.snapshot().withdrawn().into()
        } else {
            self.world.snapshot().clone()
        };
        self.world = self.world.next(state, self.timing, snapshot);
    }
}

fn judged(chain: &Chain, world: &World, settings: Settings, now: Now) -> Evidence {
    let failure = settings.failure();
    Evidence::judge(chain, world, &world.basis(&failure, now), &failure, now)
}

fn verdict(evidence: &Evidence, world: &World, settings: Settings, now: Now) -> String {
    let basis = world.basis(&settings.failure(), now);
    told(&decide(evidence, &basis, &settings.policy())).verdict
}

/// What the memory says, as a verdict; `None` where it says nothing.
fn recalled(memory: &Remembered, world: &World, settings: Settings, now: Now) -> Option<String> {
    let failure = settings.failure();
    let basis = world.basis(&failure, now);
    let evidence = memory.recall(world, &basis, &failure, now)?;
    Some(verdict(&evidence, world, settings, now))
}

/// How long failures are remembered here, milliseconds: the default.
const FAILURE_MS: i64 = 2_000;

const WEB: &str = "verified spiffe://example.org/web";
const STRICT: Settings = Settings::STRICT;

fn says(verdict: &str) -> Option<String> {
    Some(verdict.to_owned())
}

#[test]
fn nothing_but_a_verified_identity_is_remembered_for_long() {
    let p = &*PKI;
    let home = Source::new(&[(HOME, &p.home.der), (EMPTY, &[])], TIMING, at(-10));
    let remembered = |chain: &Chain| judged(chain, &home.world, STRICT, at(0)).remembered();
    assert_eq!(remembered(&p.good).unwrap().id().path(), "/web");
    for chain in [
        &p.forged,
        &p.expired,
        &p.not_yet,
        &p.unknown_domain,
        &p.empty_domain,
        &p.path_expired,
        &p.no_path,
    ] {
        assert!(remembered(chain).is_none());
    }
    assert!(Evidence::absent(&home.world).remembered().is_none());
    // In an outage that asks for no judgement there is nothing to remember.
    let mut away = home;
    away.event(GONE, at(0));
    let later = at(2 * MINUTE);
    let unjudged = judged(&p.good, &away.world, STRICT, later);
    assert!(unjudged.remembered().is_none());
    assert!(
        unjudged
            .remembered_failure(later, FAILURE_MS as u64)
            .is_none()
    );
}

#[test]
fn a_remembered_identity_ends_with_its_leaf() {
    let p = &*PKI;
    let source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-10));
    let chain = &p.short_lived.brief_leaf;
    let memory = judged(chain, &source.world, STRICT, at(0))
        .remembered()
        .unwrap();
    let at_time = |ms| recalled(&memory, &source.world, STRICT, at(ms));
    assert_eq!(at_time(-10_001), says("deny 401 NOT_YET_VALID"));
    assert_eq!(at_time(-10_000), says(WEB));
    assert_eq!(at_time(10_999), says(WEB));
    assert_eq!(at_time(11_000), says("deny 401 EXPIRED"));
}

#[test]
fn a_remembered_identity_ends_with_its_path() {
    let p = &*PKI;
    let source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-10));
    let chain = &p.short_lived.brief_path;
    let memory = judged(chain, &source.world, STRICT, at(0))
        .remembered()
        .unwrap();
    let at_time = |ms| recalled(&memory, &source.world, STRICT, at(ms));
    assert_eq!(at_time(-15_001), None);
    assert_eq!(at_time(-15_000), says(WEB));
    assert_eq!(at_time(15_999), says(WEB));
    assert_eq!(at_time(16_000), None);
}

/// The anchor's validity limits an identity; another anchor may still vouch for it afterwards.
#[test]
fn a_remembered_identity_ends_with_its_anchor() {
    let short = &PKI.short_lived;
    let both = [&*short.early, &short.late].concat();
    let source = Source::new(&[(HOME, &both)], TIMING, at(-10));
    let fresh = |ms| judged(&short.leaf, &source.world, STRICT, at(ms));
    let memory = fresh(-30_000).remembered().unwrap();
    let at_time = |ms| recalled(&memory, &source.world, STRICT, at(ms));
    assert_eq!(at_time(10_999), says(WEB));
    assert_eq!(at_time(11_000), None);
    assert_eq!(
        verdict(&fresh(11_000), &source.world, STRICT, at(11_000)),
        WEB
    );
    assert_eq!(
        verdict(&fresh(41_000), &source.world, STRICT, at(41_000)),
        "deny 401 EXPIRED"
    );
}

#[test]
fn a_remembered_identity_ends_with_its_bundle() {
    let p = &*PKI;
    let home = [(HOME, &*p.home.der), (EMPTY, &[][..])];
    let rotated = [(HOME, &*p.forger.der), (EMPTY, &[])];
    let mut source = Source::new(&home, TIMING, at(-100));
    let memory = judged(&p.good, &source.world, STRICT, at(-90))
        .remembered()
        .unwrap();
    let ask = |source: &Source| recalled(&memory, &source.world, STRICT, at(0));
    source.update(&home, at(-80));
    assert_eq!(
        ask(&source),
        says(WEB),
        "an identical update changes nothing"
    );
    source.update(&[(HOME, GARBAGE), (EMPTY, &[])], at(-70));
    assert_eq!(ask(&source), says(WEB), "a kept bundle still counts");
    let ttl_0 = Settings {
        cache_ttl_s: 0,
        ..STRICT
    };
    assert_eq!(
        recalled(&memory, &source.world, ttl_0, at(0)),
        says("deny 401 UNKNOWN_TRUST_DOMAIN"),
        "but not beyond cache-ttl"
    );
    source.update(&home, at(-60));
    assert_eq!(ask(&source), says(WEB));
    source.update(&rotated, at(-50));
    assert_eq!(ask(&source), None, "rotated");
    source.update(&home, at(-40));
    assert_eq!(ask(&source), None, "rotated back: judged anew all the same");
    source.update(&[(EMPTY, &[])], at(-30));
    assert_eq!(
        ask(&source),
        says("deny 401 UNKNOWN_TRUST_DOMAIN"),
        "the domain is gone"
    );
    source.update(&home, at(-20));
    assert_eq!(ask(&source), None, "and comes back as another generation");
}

#[test]
fn a_remembered_identity_does_not_survive_a_withdrawal() {
    let p = &*PKI;
    let home = [(HOME, &*p.home.der)];
    let mut source = Source::new(&home, TIMING, at(-90_000));
    let memory = judged(&p.good, &source.world, STRICT, at(-80_000))
        .remembered()
        .unwrap();
    source.event(Event::Lost(Loss::Refused), at(-30_000));
    for mode in Mode::ALL {
        let settings = Settings { mode, ..STRICT };
        let ask = |ms| recalled(&memory, &source.world, settings, at(ms));
        assert_eq!(ask(-1), says(WEB), "the grace is not over");
        assert_eq!(ask(0), says("deny 503 TRUST_UNAVAILABLE"), "nobody ticked");
    }
    source.event(Event::Tick, at(0));
    assert_eq!(
        recalled(&memory, &source.world, STRICT, at(1)),
        says("deny 503 TRUST_UNAVAILABLE")
    );
    source.update(&home, at(2));
    assert_eq!(recalled(&memory, &source.world, STRICT, at(3)), None);
}

#[test]
fn a_remembered_identity_ends_with_cache_ttl_in_an_outage() {
    let p = &*PKI;
    let mut source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-600_000));
    let memory = judged(&p.good, &source.world, STRICT, at(-600_000))
        .remembered()
        .unwrap();
    source.event(GONE, at(-590_000));
    let cache = |cache_ttl_s, mode| Settings {
        cache_ttl_s,
        mode,
        ..STRICT
    };
    let ask = |settings| recalled(&memory, &source.world, settings, at(0));
    assert_eq!(ask(cache(600, Mode::Cache)), says(WEB));
    assert_eq!(
        ask(cache(599, Mode::Cache)),
        says("deny 503 TRUST_UNAVAILABLE")
    );
    assert_eq!(
        ask(cache(600, Mode::FailClosed)),
        says("deny 503 TRUST_UNAVAILABLE")
    );
    assert_eq!(ask(cache(600, Mode::FailOpen)), says(WEB));
    assert_eq!(
        ask(cache(599, Mode::FailOpen)),
        says("unverified-fail-open")
    );
}

#[test]
fn a_remembered_failure_lasts_two_seconds() {
    let p = &*PKI;
    let source = Source::new(&[(HOME, &p.home.der), (EMPTY, &[])], TIMING, at(-10));
    let failure = STRICT.failure();
    for chain in [
        &p.forged,
        &p.empty_domain,
        &p.no_path,
        &p.two_uris,
        &p.no_uri,
        &vec![GARBAGE.to_vec()],
    ] {
        let evidence = judged(chain, &source.world, STRICT, at(0));
        let memory = evidence
            .remembered_failure(at(0), FAILURE_MS as u64)
            .unwrap();
        let basis = source.world.basis(&failure, at(0));
        let recall = |ms| memory.recall(&source.world, &basis, &failure, at(ms));
        let again = recall(FAILURE_MS - 1).unwrap();
        assert_eq!(
            verdict(&again, &source.world, STRICT, at(0)),
            verdict(&evidence, &source.world, STRICT, at(0))
        );
        assert!(recall(2_000).is_none());
        assert!(recall(i64::from(u32::MAX)).is_none());
    }
    // The wall clock standing still does not prolong it.
    let memory = judged(&p.forged, &source.world, STRICT, at(0))
        .remembered_failure(at(0), FAILURE_MS as u64)
        .unwrap();
    let basis = source.world.basis(&failure, at(0));
    let stuck = Now {
        wall_ms: at(0).wall_ms,
        ..at(2_000)
    };
    assert!(
        memory
            .recall(&source.world, &basis, &failure, stuck)
            .is_none()
    );
}

/// What another moment or another bundle may cure is not remembered at all.
#[test]
fn failures_that_time_or_a_bundle_cures_are_not_remembered() {
    let p = &*PKI;
    let source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-10));
    for chain in [
        &p.expired,
        &p.not_yet,
        &p.path_expired,
        &p.path_not_yet,
        &p.unknown_domain,
        &p.good,
    ] {
        let evidence = judged(chain, &source.world, STRICT, at(0));
        assert!(
            evidence
                .remembered_failure(at(0), FAILURE_MS as u64)
                .is_none()
        );
    }
    for (check, reason) in [
        (Check::Validity, Reason::WrongAudience),
        (Check::Agreement, Reason::CredentialsDisagree),
    ] {
        let evidence = Evidence::faulty(Fault::new(check, reason, &""), &source.world);
        assert!(
            evidence
                .remembered_failure(at(0), FAILURE_MS as u64)
                .is_none()
        );
    }
    assert!(
        Evidence::absent(&source.world)
            .remembered_failure(at(0), FAILURE_MS as u64)
            .is_none()
    );
}

#[test]
fn a_remembered_failure_ends_with_its_bundle() {
    let p = &*PKI;
    let home = [(HOME, &*p.home.der), (EMPTY, &[][..])];
    let mut source = Source::new(&home, TIMING, at(-100));
    let memory = judged(&p.forged, &source.world, STRICT, at(-90))
        .remembered_failure(at(-90), FAILURE_MS as u64)
        .unwrap();
    let failure = STRICT.failure();
    let ask = |source: &Source| {
        let basis = source.world.basis(&failure, at(0));
        let evidence = memory.recall(&source.world, &basis, &failure, at(0))?;
        Some(verdict(&evidence, &source.world, STRICT, at(0)))
    };
    source.update(&home, at(-80));
    assert_eq!(ask(&source), says("deny 401 UNTRUSTED"));
    let both = [&*p.home.der, &p.forger.der].concat();
    source.update(&[(HOME, &both), (EMPTY, &[])], at(-70));
    assert_eq!(ask(&source), None, "the new bundle vouches for it");
    source.update(&[(EMPTY, &[])], at(-60));
    assert_eq!(ask(&source), None, "the domain is gone");
}

/// Time is judged each time: the wall clock may pass the leaf's end within the two seconds.
#[test]
fn a_remembered_failure_ends_with_its_leaf() {
    let p = &*PKI;
    let source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-10));
    let failure = STRICT.failure();
    let basis = source.world.basis(&failure, at(0));
    let memory = judged(&p.short_lived.brief_forged, &source.world, STRICT, at(0))
        .remembered_failure(at(0), FAILURE_MS as u64)
        .unwrap();
    for (jump_ms, holds) in [
        (10_999, true),
        (11_000, false),
        (-10_000, true),
        (-10_001, false),
    ] {
        let now = Now {
            wall_ms: at(jump_ms).wall_ms,
            ..at(0)
        };
        let again = memory.recall(&source.world, &basis, &failure, now);
        assert_eq!(again.is_some(), holds, "{jump_ms}");
    }
}

/// Where the basis asks for no judgement, a remembered one is not brought up.
#[test]
fn a_remembered_failure_says_nothing_where_nothing_is_judged() {
    let p = &*PKI;
    let mut source = Source::new(&[(HOME, &p.home.der)], TIMING, at(-10 * MINUTE));
    source.event(GONE, at(-5 * MINUTE));
    let cache = Settings {
        mode: Mode::Cache,
        ..STRICT
    };
    let memory = judged(&p.forged, &source.world, cache, at(0))
        .remembered_failure(at(0), FAILURE_MS as u64)
        .unwrap();
    for (mode, cache_ttl_s, speaks) in [
        (Mode::Cache, 600, true),
        (Mode::FailOpen, 600, true),
        (Mode::Cache, 599, false),
        (Mode::FailOpen, 599, false),
        (Mode::FailClosed, 600, false),
    ] {
        let settings = Settings {
            mode,
            cache_ttl_s,
            ..STRICT
        };
        let failure = settings.failure();
        let basis = source.world.basis(&failure, at(0));
        let again = memory.recall(&source.world, &basis, &failure, at(0));
        assert_eq!(again.is_some(), speaks, "{mode:?} {cache_ttl_s}");
    }
}

/// One thing that happens, and how far the two clocks go meanwhile.
#[derive(Clone, Debug)]
struct Move {
    what: What,
    boot_ms: i64,
    wall_jump_ms: i64,
}

#[derive(Clone, Debug)]
enum What {
    Nothing,
    Update(usize),
    Lost(Loss),
    Tick,
}

/// The home domain's bundle by number; beyond the end it is omitted.
fn home_bundles() -> Vec<Vec<u8>> {
    let p = &*PKI;
    let short = &p.short_lived;
    vec![
        p.home.der.clone(),
        [&*p.home.der, &short.early, &short.late].concat(),
        [&*short.late, &p.home.der, &short.early].concat(),
        p.forger.der.clone(),
        Vec::new(),
        GARBAGE.to_vec(),
    ]
}

fn chains() -> Vec<Chain> {
    let p = &*PKI;
    let short = &p.short_lived;
    vec![
        p.good.clone(),
        short.leaf.clone(),
        short.leaf.clone(),
        short.brief_leaf.clone(),
        short.brief_path.clone(),
        p.forged.clone(),
        short.brief_forged.clone(),
        p.of_the_partners_root.clone(),
        p.no_path.clone(),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let what = prop_oneof![
        3 => Just(What::Nothing),
        4 => (0..7_usize).prop_map(What::Update),
        2 => prop::sample::select(Loss::ALL.to_vec()).prop_map(What::Lost),
        1 => Just(What::Tick),
    ];
    let jump = prop_oneof![6 => Just(0), 1 => -60_000..60_000_i64];
    let step = (what, prop_oneof![0..1_500_i64, 0..15_000_i64], jump);
    let step = step.prop_map(|(what, boot_ms, wall_jump_ms)| Move {
        what,
        boot_ms,
        wall_jump_ms,
    });
    prop::collection::vec(step, 1..10)
}

fn settings() -> impl Strategy<Value = Settings> {
    let mode = prop::sample::select(Mode::ALL.to_vec());
    (
        mode,
        prop::sample::select(vec![0, 1, 10, 3600]),
        any::<[bool; 2]>(),
    )
        .prop_map(|(mode, cache_ttl_s, [tolerant, enforce])| Settings {
            mode,
            cache_ttl_s,
            tolerant,
            enforce,
            ..STRICT
        })
}

fn compare(
    what: &str,
    recalled: Option<Evidence>,
    chain: &Chain,
    world: &World,
    settings: Settings,
    policy: &Policy,
    now: Now,
) -> bool {
    let Some(recalled) = recalled else {
        return false;
    };
    let basis = world.basis(&settings.failure(), now);
    let fresh = judged(chain, world, settings, now);
    assert_eq!(
        told(&decide(&recalled, &basis, policy)),
        told(&decide(&fresh, &basis, policy)),
        "{what} {settings:?} {now:?}"
    );
    assert_eq!(recalled.generation(), fresh.generation());
    assert_eq!(
        recalled.leaf().map(|leaf| leaf.der()),
        fresh.leaf().map(|leaf| leaf.der())
    );
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever happened since: what the memory says, a fresh judgement says too.
    #[test]
    fn the_memory_never_says_other_than_a_fresh_judgement(
        chain in 0..9_usize,
        first in 0..3_usize,
        before in settings(),
        moves in moves(),
        afterwards in prop::collection::vec(settings(), 10),
    ) {
        let timing = Timing { unavailable_after_ms: 5_000, withdrawal_grace_ms: 3_000 };
        let chain = &chains()[chain];
        let bundles = home_bundles();
        let mut now = at(0);
        let mut source = Source::new(&[(HOME, &bundles[first]), (EMPTY, &[])], timing, now);
        let evidence = judged(chain, &source.world, before, now);
        let memory = evidence.remembered();
        let failure_memory = evidence.remembered_failure(now, FAILURE_MS as u64);
        prop_assert!(memory.is_none() || failure_memory.is_none());
        for (step, settings) in moves.into_iter().zip(afterwards) {
            now.boot_ms += step.boot_ms;
            now.wall_ms += step.boot_ms + step.wall_jump_ms;
            match step.what {
                What::Nothing => {}
                What::Tick => source.event(Event::Tick, now),
                What::Lost(loss) => source.event(Event::Lost(loss), now),
                What::Update(kind) => match bundles.get(kind) {
                    Some(der) => source.update(&[(HOME, der), (EMPTY, &[])], now),
                    None => source.update(&[(EMPTY, &[])], now),
                },
            }
            let failure = settings.failure();
            let policy = settings.policy();
            let basis = source.world.basis(&failure, now);
            let recall = memory.as_ref().and_then(|m| m.recall(&source.world, &basis, &failure, now));
            compare("identity", recall, chain, &source.world, settings, &policy, now);
            let recall = failure_memory.as_ref().and_then(|m| m.recall(&source.world, &basis, &failure, now));
            let spoke = compare("failure", recall, chain, &source.world, settings, &policy, now);
            prop_assert!(!spoke || now.boot_ms - at(0).boot_ms < FAILURE_MS);
        }
    }
}
