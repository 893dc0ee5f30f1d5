//! Updates of a source, one by one and in any order, against a plain model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use verdict::availability::{Event, Stance};
use verdict::decide::decide;
use verdict::evidence::Evidence;
use verdict::id::TrustDomain;
use verdict::limits::TRUST_DOMAINS_MAX;
use verdict::policy::Mode;
use verdict::time::{Contact, Now};
use verdict::trust::{BundleError, Snapshot, Standing, Stored, UpdateError, UpdateReport};

use crate::worlds::*;

const TTL_MS: u64 = 3_600_000;

fn domain(id: &str) -> TrustDomain {
    TrustDomain::from_config(id).unwrap()
}

fn generation(snapshot: &Snapshot, id: &str) -> u64 {
    let mut bundles = snapshot.iter();
    let found = bundles.find(|(domain, _)| domain.id() == id);
    found.unwrap().1.generation().get()
}

fn update(
    snapshot: &Snapshot,
    bundles: &[(&str, &[u8])],
    now: Now,
) -> Result<(Snapshot, UpdateReport), UpdateError> {
    snapshot.updated(bundles.iter().copied(), now)
}

/// What a live world with this material answers at [`at`]`(0)`.
fn answered(snapshot: &Snapshot, chain: &Chain) -> String {
    let world = live(snapshot.clone(), at(-1));
    let settings = Settings::STRICT;
    let (failure, policy) = (settings.failure(), settings.policy());
    let basis = world.basis(&failure, at(0));
    let evidence = Evidence::judge(chain, &world, &basis, &failure, at(0));
    told(&decide(&evidence, &basis, &policy)).verdict
}

#[test]
fn an_omitted_domain_is_dropped_at_once() {
    let p = &*PKI;
    let both = [(HOME, &*p.home.der), (PARTNER, &*p.partner.der)];
    let before = updated(&Snapshot::default(), &both, at(-10));
    assert_eq!(
        answered(&before, &p.good_partner),
        "verified spiffe://partner.test/web"
    );
    let (after, report) = update(&before, &both[..1], at(-5)).unwrap();
    assert_eq!(
        answered(&after, &p.good_partner),
        "deny 401 UNKNOWN_TRUST_DOMAIN"
    );
    assert_eq!(
        answered(&after, &p.good),
        "verified spiffe://example.org/web"
    );
    assert_eq!(report.removed, [domain(PARTNER)]);
    assert_eq!((after.len(), after.is_empty()), (1, false));
}

#[test]
fn an_empty_bundle_rejects_every_svid_of_its_domain() {
    let p = &*PKI;
    let before = updated(&Snapshot::default(), &[(HOME, &p.home.der)], at(-10));
    let (after, report) = update(&before, &[(HOME, &[])], at(-5)).unwrap();
    assert_eq!(answered(&after, &p.good), "deny 401 UNTRUSTED");
    assert_eq!(report.changed, [domain(HOME)]);
    // Even alone it is a full update.
    assert_eq!(after.contact(), Some(Contact::at(at(-5))));
}

/// A bundle that was confirmed a moment ago may verify nobody: it says why, and whose affair that is.
#[test]
fn a_bundle_without_a_usable_authority_is_barren_and_says_why() {
    use verdict::trust::Coverage;
    let p = &*PKI;
    let bundles = [(HOME, &*p.home.der), (EMPTY, &[][..])];
    let held = updated(&Snapshot::default(), &bundles, at(0));
    let barren = |now_s: i64| {
        let mut barren: Vec<_> = held.barren(at(now_s)).collect();
        barren.sort_by_key(|(domain, _)| domain.to_string());
        let told = barren.iter().map(|(domain, why)| {
            assert!(!why.remedy().is_empty());
            format!("{domain} {} {why}", why.reason())
        });
        (
            told.collect::<Vec<_>>(),
            Coverage::of(barren.len(), held.len()),
        )
    };
    let (told, coverage) = barren(0);
    assert_eq!(coverage, Coverage::Some);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with("UNTRUSTED its bundle holds no authority"),
        "{told:?}"
    );
    let a_century_s = 100 * 366 * 86_400;
    for (now_s, says) in [
        (
            a_century_s,
            "EXPIRED every authority of its bundle has expired, the last one ",
        ),
        (
            -a_century_s / 4,
            "NOT_YET_VALID no authority of its bundle is valid yet, the next one in ",
        ),
    ] {
        let (told, coverage) = barren(now_s);
        assert_eq!(coverage, Coverage::Nobody);
        assert!(told.iter().any(|one| one.contains(says)), "{told:?}");
    }
    assert_eq!(Coverage::of(0, 0), Coverage::Every);
}

#[test]
fn an_identical_update_renews_contact_and_nothing_else() {
    let bundles = [(HOME, &*PKI.home.der), (EMPTY, &[][..])];
    let before = updated(&Snapshot::default(), &bundles, at(-10));
    let (after, report) = update(&before, &bundles, at(-5)).unwrap();
    assert_eq!(report, UpdateReport::default());
    for id in [HOME, EMPTY] {
        assert_eq!(generation(&after, id), generation(&before, id));
        let bundle = after.bundle(&domain(id), 0, at(0)).unwrap();
        assert_eq!(bundle.contact(), Contact::at(at(-5)));
        assert_eq!(bundle.standing(), Standing::Confirmed);
    }
    assert_eq!(after.contact(), Some(Contact::at(at(-5))));
}

/// decisions.md: generations are per trust domain.
#[test]
fn changed_anchors_are_a_new_generation_of_that_domain_alone() {
    let p = &*PKI;
    let before = [(HOME, &*p.home.der), (PARTNER, &*p.partner.der)];
    let before = updated(&Snapshot::default(), &before, at(-10));
    let rotated = [&*p.forger.der, &p.home.der].concat();
    let after = [(HOME, &*rotated), (PARTNER, &*p.partner.der)];
    let (after, report) = update(&before, &after, at(-5)).unwrap();
    assert_ne!(generation(&after, HOME), generation(&before, HOME));
    assert_eq!(generation(&after, PARTNER), generation(&before, PARTNER));
    assert_eq!(report.changed, [domain(HOME)]);
    assert_eq!(
        answered(&after, &p.good),
        "verified spiffe://example.org/web"
    );
    assert_eq!(
        answered(&after, &p.forged),
        "verified spiffe://example.org/web"
    );
}

#[test]
fn an_unreadable_domain_keeps_its_bundle_and_that_ones_contact_and_holds_back_no_other() {
    let p = &*PKI;
    let before = [(HOME, &*p.home.der), (PARTNER, &*p.partner.der)];
    let before = updated(&Snapshot::default(), &before, at(-20));
    let mut half = p.home.der.clone();
    half.pop();
    for garbage in [GARBAGE, &half, b"-----BEGIN CERTIFICATE-----"] {
        let update_1 = [(HOME, garbage), (PARTNER, &p.home.der)];
        let (first, report) = update(&before, &update_1, at(-10)).unwrap();
        // And again: the contact stays that of the bundle, not of the first failure.
        let (second, _) = update(&first, &update_1, at(-5)).unwrap();
        for after in [&first, &second] {
            let kept = after.bundle(&domain(HOME), 20, at(0)).unwrap();
            assert_eq!(kept.standing(), Standing::Kept);
            assert_eq!(kept.contact(), Contact::at(at(-20)));
            assert_eq!(generation(after, HOME), generation(&before, HOME));
            assert!(after.bundle(&domain(HOME), 19, at(0)).is_none());
            // The partner is as new as the update.
            let partner = after.bundle(&domain(PARTNER), 0, at(0)).unwrap();
            assert_eq!(partner.anchors().as_der(), p.home.der);
        }
        assert_eq!(report.changed, [domain(PARTNER)]);
        assert_eq!(report.unreadable.len(), 1);
        assert!(report.removed.is_empty() && report.added.is_empty());
        assert_eq!(first.contact(), Some(Contact::at(at(-10))));
    }
}

#[test]
fn a_kept_bundle_that_can_be_read_again_is_confirmed() {
    let p = &*PKI;
    let good = [(HOME, &*p.home.der), (EMPTY, &[][..])];
    let bad = [(HOME, GARBAGE), (EMPTY, &[][..])];
    let first = updated(&Snapshot::default(), &good, at(-20));
    let kept = updated(&first, &bad, at(-10));
    let (again, report) = update(&kept, &good, at(-5)).unwrap();
    let bundle = again.bundle(&domain(HOME), 0, at(0)).unwrap();
    assert_eq!(bundle.standing(), Standing::Confirmed);
    assert_eq!(bundle.contact(), Contact::at(at(-5)));
    assert_eq!(generation(&again, HOME), generation(&first, HOME));
    assert_eq!(report, UpdateReport::default());
    // Omitted while kept: dropped like any other.
    let dropped = updated(&kept, &[(EMPTY, &[])], at(-5));
    assert!(dropped.bundle(&domain(HOME), u64::MAX, at(0)).is_none());
}

/// decisions.md: "in every state has none once it is older than the policy's `cache-ttl`".
#[test]
fn a_kept_bundle_is_none_after_cache_ttl_in_every_state() {
    let p = &*PKI;
    let good = [(HOME, &*p.home.der), (EMPTY, &[][..])];
    let kept_at = at(-10 * SECOND);
    let first = updated(&Snapshot::default(), &good, kept_at);
    let kept = updated(&first, &[(HOME, GARBAGE), (EMPTY, &[])], at(-2 * SECOND));
    let lost = |ms| {
        let events = [(at(-20 * SECOND), Event::FullUpdate), (at(ms), GONE)];
        played(at(-20 * SECOND), &events)
    };
    let timing = verdict::availability::Timing {
        unavailable_after_ms: 1_000,
        ..TIMING
    };
    let states = [
        (lost(0), TIMING, Mode::FailClosed, "Live, just lost"),
        (
            played(at(-1), &[(at(-1), Event::FullUpdate)]),
            TIMING,
            Mode::FailClosed,
            "Live",
        ),
        (lost(-2_000), timing, Mode::Cache, "Outage"),
        (lost(-2_000), timing, Mode::FailOpen, "Outage"),
    ];
    for (state, timing, mode, name) in states {
        let world = verdict::trust::World::new(state, timing, kept.clone());
        for (cache_ttl_s, within) in [(10, true), (9, false)] {
            let settings = Settings {
                cache_ttl_s,
                mode,
                ..Settings::STRICT
            };
            let (failure, policy) = (settings.failure(), settings.policy());
            let basis = world.basis(&failure, at(0));
            assert!(basis.stance.judges_trust(), "{name}");
            let evidence = Evidence::judge(&p.good, &world, &basis, &failure, at(0));
            let told = told(&decide(&evidence, &basis, &policy));
            let expected = match (within, basis.stance) {
                (true, _) => "verified spiffe://example.org/web",
                (false, Stance::OpenMaterial) => "unverified-fail-open",
                (false, _) => "deny 401 UNKNOWN_TRUST_DOMAIN",
            };
            assert_eq!(told.verdict, expected, "{name} {mode:?} {cache_ttl_s}");
        }
    }
}

#[test]
fn an_update_without_a_readable_bundle_is_discarded_whole() {
    assert_eq!(
        update(&Snapshot::default(), &[], at(0)).unwrap_err(),
        UpdateError::Empty
    );
    let unreadable = [(HOME, GARBAGE), ("example.org", &[][..])];
    let error = update(&Snapshot::default(), &unreadable, at(0)).unwrap_err();
    assert!(matches!(error, UpdateError::NoneReadable(first) if first.domain == HOME));
    let names: Vec<_> = (0..=TRUST_DOMAINS_MAX)
        .map(|n| format!("spiffe://d{n}"))
        .collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    assert_eq!(
        update(&Snapshot::default(), &many, at(0)).unwrap_err(),
        UpdateError::TooManyDomains(TRUST_DOMAINS_MAX + 1)
    );
    assert_eq!(
        updated(&Snapshot::default(), &many[1..], at(0)).len(),
        TRUST_DOMAINS_MAX
    );
}

/// Workload API, 5.1: the keys of the map are trust domain IDs, and nothing looser.
#[test]
fn keys_are_strict() {
    let p = &*PKI;
    let keys = [
        "example.org",
        "spiffe://example.org/",
        "spiffe://example.org/web",
        "spiffe://EXAMPLE.org",
        "SPIFFE://example.org",
        "spiffe://example.org:443",
        "spiffe://user@example.org",
        "spiffe://example.org?a",
        "spiffe://example.org#a",
        " spiffe://example.org",
        "spiffe://example.org ",
        "spiffe://",
        "",
        "spiffe://ex\u{e4}mple.org",
        "spiffe://example%2eorg",
    ];
    for key in keys {
        let before = updated(
            &Snapshot::default(),
            &[(HOME, &p.home.der), (EMPTY, &[])],
            at(-10),
        );
        let (after, report) = update(&before, &[(key, &p.home.der), (EMPTY, &[])], at(-5)).unwrap();
        // A key that is no domain keeps no domain: HOME was omitted.
        assert!(
            after.bundle(&domain(HOME), u64::MAX, at(0)).is_none(),
            "{key}"
        );
        assert_eq!(report.unreadable.len(), 1, "{key}");
        assert_eq!(report.removed, [domain(HOME)], "{key}");
        let wrong = &report.unreadable[0].error;
        assert!(
            matches!(wrong, BundleError::Key(_) | BundleError::KeyWithPath),
            "{key}: {wrong}"
        );
        assert!(update(&before, &[(key, &p.home.der)], at(-5)).is_err());
    }
}

/// What a source says is shown to people: escaped and short, whatever it is.
#[test]
fn a_hostile_key_is_shown_escaped_and_short() {
    let key = format!("spiffe://\u{1b}[31m\n{}", "x".repeat(5_000));
    let update = [(key.as_str(), &[][..]), (EMPTY, &[][..])];
    let (_, report) = Snapshot::default()
        .updated(update.into_iter(), at(0))
        .unwrap();
    let shown = report.unreadable[0].to_string();
    assert!(shown.len() < 400, "{shown}");
    assert!(!shown.contains(['\n', '\u{1b}']));
}

/// decisions.md: `Withdrawn` drops all material; what was remembered stays forgotten.
#[test]
fn after_a_withdrawal_the_same_bundle_is_another_generation() {
    let p = &*PKI;
    let bundles = [(HOME, &*p.home.der)];
    let before = updated(&Snapshot::default(), &bundles, at(-20));
    let settings = Settings::STRICT;
    let failure = settings.failure();
    let world = live(before.clone(), at(-20));
    let basis = world.basis(&failure, at(0));
    let evidence = Evidence::judge(&p.good, &world, &basis, &failure, at(0));
    let remembered = evidence.remembered().unwrap();
    assert!(remembered.recall(&world, &basis, &failure, at(0)).is_some());

    let gone = before.withdrawn();
    assert!(gone.is_empty() && gone.contact().is_none());
    assert_eq!(gone.iter().count(), 0);
    let (back, report) = update(&gone, &bundles, at(-5)).unwrap();
    assert!(generation(&back, HOME) > generation(&before, HOME));
    assert_eq!(report.added, [domain(HOME)]);
    let world = live(back, at(-5));
    let basis = world.basis(&failure, at(0));
    assert!(remembered.recall(&world, &basis, &failure, at(0)).is_none());
    // A domain that was unreadable in the update after a withdrawal has nothing to keep.
    let (back, _) = update(&gone, &[(HOME, GARBAGE), (EMPTY, &[])], at(-5)).unwrap();
    assert!(back.bundle(&domain(HOME), u64::MAX, at(0)).is_none());
}

fn stored<'a>(key: &'a str, der: &'a [u8], age_ms: i64, standing: Standing) -> Stored<'a> {
    Stored {
        key,
        der,
        contact: Contact {
            wall_ms: at(-age_ms).wall_ms,
            boot_ms: None,
        },
        standing,
    }
}

#[test]
fn a_restored_snapshot_is_as_old_as_it_was() {
    let p = &*PKI;
    let contact = Contact {
        wall_ms: at(-100).wall_ms,
        boot_ms: None,
    };
    let entries = [
        stored(HOME, &p.home.der, 100, Standing::Confirmed),
        stored(KEPT, &p.home.der, 300, Standing::Kept),
        stored(PARTNER, GARBAGE, 100, Standing::Confirmed),
        stored("partner.test", &p.home.der, 100, Standing::Confirmed),
    ];
    let (snapshot, left_out) = Snapshot::restored(entries.into_iter(), contact);
    assert_eq!(snapshot.contact(), Some(contact));
    assert_eq!((snapshot.len(), left_out.len()), (2, 2));
    assert!(snapshot.bundle(&domain(HOME), 0, at(0)).is_some());
    assert!(snapshot.bundle(&domain(KEPT), 299, at(0)).is_none());
    assert!(snapshot.bundle(&domain(KEPT), 300, at(0)).is_some());
    assert_ne!(generation(&snapshot, HOME), generation(&snapshot, KEPT));
    // The first update goes on from there.
    let (after, report) = update(&snapshot, &[(HOME, &p.home.der)], at(0)).unwrap();
    assert_eq!(report.removed, [domain(KEPT)]);
    assert!(report.changed.is_empty() && report.added.is_empty());
    assert_eq!(after.contact(), Some(Contact::at(at(0))));
}

/// decisions.md, "Basis": without material an outage is `Refuse` or `Open`, not `Verify`.
#[test]
fn a_restored_snapshot_of_nothing_is_no_material() {
    let contact = Contact::at(at(-100));
    let entries = [stored(HOME, GARBAGE, 100, Standing::Confirmed)];
    for taken in [0, 1] {
        let entries = entries.iter().copied().take(taken);
        let (snapshot, left_out) = Snapshot::restored(entries, contact);
        assert_eq!(left_out.len(), taken);
        assert_eq!(snapshot.contact(), None);
        let outage = played(at(-HOUR), &[(at(0), GONE)]);
        let world = verdict::trust::World::new(outage, TIMING, snapshot);
        for (mode, stance) in [
            (Mode::Cache, Stance::Refuse),
            (Mode::FailOpen, Stance::Open),
        ] {
            let settings = Settings {
                mode,
                ..Settings::STRICT
            };
            assert_eq!(world.basis(&settings.failure(), at(0)).stance, stance);
        }
    }
}

/// Which domains, with what: a random history of a source.
#[derive(Clone, Debug)]
enum Step {
    Update(BTreeMap<&'static str, u8>),
    Withdraw,
    Restart,
    Wait(i64),
}

const DOMAINS: [&str; 4] = [HOME, PARTNER, EMPTY, KEPT];
const BAD_KEYS: [&str; 2] = ["example.org", "spiffe://Partner.test"];

/// Bundles by number; `None` is unreadable.
fn bytes(kind: u8) -> Option<Vec<u8>> {
    let p = &*PKI;
    match kind {
        0 => Some(Vec::new()),
        1 => Some(p.home.der.clone()),
        2 => Some(p.partner.der.clone()),
        3 => Some([&*p.home.der, &p.partner.der].concat()),
        4 => Some([&*p.partner.der, &p.home.der].concat()),
        _ => None,
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys: Vec<&'static str> = DOMAINS.into_iter().chain(BAD_KEYS).collect();
    let map = prop::collection::btree_map(prop::sample::select(keys), 0..7_u8, 0..6);
    let step = prop_oneof![
        8 => map.prop_map(Step::Update),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Restart),
        4 => (0..4_000_000_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..24)
}

#[derive(Clone, Debug, PartialEq)]
struct Held {
    der: Vec<u8>,
    since_ms: i64,
    kept: bool,
    generation: u64,
}

/// The model: a map, and what decisions.md says of it.
#[derive(Default)]
struct Model {
    held: BTreeMap<&'static str, Held>,
    contact_ms: Option<i64>,
    /// Generations that ever were, since the process started.
    used: BTreeSet<u64>,
}

impl Model {
    /// Whether the update is taken; generations are learnt from what the product gave.
    fn update(&mut self, map: &BTreeMap<&'static str, u8>, now_ms: i64, product: &Snapshot) {
        let mut next = BTreeMap::new();
        for (key, kind) in map.iter().filter(|(key, _)| DOMAINS.contains(key)) {
            let before = self.held.get(key).cloned();
            let Some(der) = bytes(*kind) else {
                next.extend(before.map(|held| (*key, Held { kept: true, ..held })));
                continue;
            };
            let same = before.filter(|held| held.der == der);
            let generation = match same {
                Some(held) => held.generation,
                None => {
                    let new = generation(product, key);
                    assert!(self.used.insert(new), "generation {new} was used before");
                    new
                }
            };
            let held = Held {
                der,
                since_ms: now_ms,
                kept: false,
                generation,
            };
            next.insert(*key, held);
        }
        self.held = next;
        self.contact_ms = Some(now_ms);
    }

    fn compare(&self, product: &Snapshot, now: Now, now_ms: i64) {
        assert_eq!(
            product.contact().map(|c| c.wall_ms),
            self.contact_ms.map(|ms| at(ms).wall_ms)
        );
        assert_eq!(product.len(), self.held.len());
        for id in DOMAINS {
            for ttl in [0, 1, 60_000, TTL_MS, u64::MAX] {
                let held = self
                    .held
                    .get(id)
                    .filter(|h| !h.kept || (now_ms - h.since_ms) as u64 <= ttl);
                let shown = product.bundle(&domain(id), ttl, now).map(|bundle| Held {
                    der: bundle.anchors().as_der().to_vec(),
                    since_ms: bundle.contact().wall_ms - at(0).wall_ms,
                    kept: bundle.standing() == Standing::Kept,
                    generation: bundle.generation().get(),
                });
                assert_eq!(shown.as_ref(), held, "{id} {ttl}");
            }
        }
    }
}

fn reported(report: &UpdateReport, before: &Model, after: &Model, map: &BTreeMap<&str, u8>) {
    let ids = |list: &[TrustDomain]| list.iter().map(TrustDomain::id).collect::<BTreeSet<_>>();
    let named = |test: &dyn Fn(&str) -> bool| {
        let named = DOMAINS.into_iter().filter(|id| test(id));
        named.map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    };
    let (old, new) = (&before.held, &after.held);
    let differ = |id: &str| old.get(id).map(|h| &h.der) != new.get(id).map(|h| &h.der);
    assert_eq!(
        ids(&report.added),
        named(&|id| !old.contains_key(id) && new.contains_key(id))
    );
    assert_eq!(
        ids(&report.removed),
        named(&|id| old.contains_key(id) && !new.contains_key(id))
    );
    assert_eq!(
        ids(&report.changed),
        named(&|id| old.contains_key(id) && new.contains_key(id) && differ(id))
    );
    let unreadable = |(key, kind): &(&&str, &u8)| !DOMAINS.contains(key) || bytes(**kind).is_none();
    assert_eq!(
        report.unreadable.len(),
        map.iter().filter(unreadable).count()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any order of updates: the product holds what the model holds, at every moment.
    #[test]
    fn updates_in_any_order(steps in steps()) {
        let mut model = Model::default();
        let mut snapshot = Snapshot::default();
        let mut now_ms = 0;
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Withdraw => {
                    snapshot = snapshot.withdrawn();
                    model.held.clear();
                    model.contact_ms = None;
                }
                Step::Restart => {
                    // Another process: it has no memory, so generations may begin again.
                    let keys: Vec<_> = snapshot.iter().map(|(domain, _)| domain.id()).collect();
                    let entries = snapshot.iter().zip(&keys).map(|((_, bundle), key)| Stored {
                        key,
                        der: bundle.anchors().as_der(),
                        contact: Contact { boot_ms: None, ..bundle.contact() },
                        standing: bundle.standing(),
                    });
                    if let Some(contact) = snapshot.contact() {
                        let (restored, left_out) = Snapshot::restored(entries, contact);
                        prop_assert!(left_out.is_empty());
                        snapshot = restored;
                        model.used.clear();
                        for (id, held) in &mut model.held {
                            held.generation = generation(&snapshot, id);
                            prop_assert!(model.used.insert(held.generation));
                        }
                    }
                }
                Step::Update(map) => {
                    let values: Vec<_> = map
                        .iter()
                        .map(|(key, kind)| (*key, bytes(*kind).unwrap_or(GARBAGE.to_vec())))
                        .collect();
                    let pairs = values.iter().map(|(key, der)| (*key, der.as_slice()));
                    let readable = map
                        .iter()
                        .any(|(key, kind)| DOMAINS.contains(key) && bytes(*kind).is_some());
                    match snapshot.updated(pairs, at(now_ms)) {
                        Ok((next, report)) => {
                            prop_assert!(readable);
                            let before = Model { held: model.held.clone(), ..Model::default() };
                            model.update(&map, now_ms, &next);
                            reported(&report, &before, &model, &map);
                            snapshot = next;
                        }
                        Err(error) => {
                            prop_assert!(!readable);
                            prop_assert_eq!(error == UpdateError::Empty, map.is_empty());
                        }
                    }
                }
            }
            model.compare(&snapshot, at(now_ms), now_ms);
        }
    }
}
