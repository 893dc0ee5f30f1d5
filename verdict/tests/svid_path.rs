//! Check 9: who may vouch for a leaf, and which of several paths counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod common;

use common::*;
use std::time::{Duration, Instant};
use verdict::anchors::{ANCHORS_MAX, AnchorError, AnchorSet, BUNDLE_MAX_BYTES};
use verdict::reason::Reason;
use verdict::svid::{
    AuthorityRule, CertificateError, PATH_MAX_INTERMEDIATES, PathRule, Place, Refusal,
    SIGNATURES_MAX, VerifiedIdentity, examine, validate,
};
use verdict::time::UnixSeconds;

const ID: &str = "spiffe://example.org/web";

fn bundle(anchors: &[&[u8]]) -> AnchorSet {
    AnchorSet::from_der(&anchors.concat()).unwrap()
}

fn verify_at(
    chain: &[&[u8]],
    anchors: &[&[u8]],
    now: UnixSeconds,
) -> Result<VerifiedIdentity, Refusal> {
    let chain: Vec<_> = chain.iter().map(|der| der.to_vec()).collect();
    validate(&examine(&chain).unwrap(), &bundle(anchors), now)
}

fn verify(chain: &[&[u8]], anchors: &[&[u8]]) -> Result<VerifiedIdentity, Refusal> {
    verify_at(chain, anchors, NOW)
}

#[track_caller]
fn accepted(chain: &[&[u8]], anchors: &[&[u8]]) -> VerifiedIdentity {
    let verified = verify(chain, anchors).unwrap();
    assert_eq!(verified.id().as_str(), ID);
    verified
}

fn rule_of(place: Place, rule: AuthorityRule) -> Refusal {
    PathRule::Authority { place, rule }.into()
}

fn unknown_issuer() -> Refusal {
    PathRule::UnknownIssuer.into()
}

fn bad_signature() -> Refusal {
    PathRule::Signature.into()
}

#[test]
fn a_leaf_of_its_domains_root_is_verified() {
    let root = Issuer::root("root");
    let leaf = root.leaf(ID);
    let verified = accepted(&[&leaf], &[&root.der]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    assert_eq!(verified.leaf_sha256(), digest.as_ref());
    assert_eq!(
        (verified.not_before(), verified.not_after()),
        (later(-3600), later(3600))
    );
    accepted(&[&leaf, &root.der], &[&root.der]);
}

#[test]
fn every_signature_algorithm_of_svids_verifies() {
    for algorithm in [
        Algorithm::P256,
        Algorithm::P384,
        Algorithm::P521,
        Algorithm::Ed25519,
        Algorithm::Rsa2048,
    ] {
        let root = Issuer::root_with(Key::new(algorithm), "root", |c| c);
        let intermediate = root.below("intermediate");
        accepted(&[&root.leaf(ID)], &[&root.der]);
        accepted(&[&intermediate.leaf(ID), &intermediate.der], &[&root.der]);
        // With a namesake in the path our own signature check runs too.
        let namesake = root.below("root");
        accepted(&[&namesake.leaf(ID), &namesake.der], &[&root.der]);
    }
}

#[test]
fn only_the_given_anchors_count() {
    let root = Issuer::root("root");
    let other = Issuer::root("other");
    let leaf = root.leaf(ID);
    assert_eq!(verify(&[&leaf], &[]), Err(PathRule::EmptyBundle.into()));
    assert_eq!(verify(&[&leaf], &[&other.der]), Err(unknown_issuer()));
    // A presented root adds no trust.
    assert_eq!(
        verify(&[&leaf, &root.der], &[&other.der]),
        Err(unknown_issuer())
    );
    // A root of the same name, as SPIRE servers have, is another root.
    let namesake = Issuer::root("root");
    assert_eq!(verify(&[&leaf], &[&namesake.der]), Err(bad_signature()));
    for refusal in [
        PathRule::EmptyBundle,
        PathRule::UnknownIssuer,
        PathRule::Signature,
    ] {
        assert_eq!(Refusal::from(refusal).reason(), Reason::Untrusted);
    }
}

#[test]
fn a_tampered_signature_is_refused() {
    let root = Issuer::root("root");
    let intermediate = root.below("intermediate");
    let damage = |der: &[u8]| {
        let mut der = der.to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        der
    };
    let leaf = intermediate.leaf(ID);
    assert_eq!(
        verify(&[&damage(&leaf), &intermediate.der], &[&root.der]),
        Err(bad_signature())
    );
    assert_eq!(
        verify(&[&leaf, &damage(&intermediate.der)], &[&root.der]),
        Err(bad_signature())
    );
    // An anchor's own signature says nothing: it is trusted because it is in the bundle.
    accepted(&[&leaf, &intermediate.der], &[&damage(&root.der)]);
}

#[test]
fn intermediates_come_in_any_order_and_with_strangers() {
    let root = Issuer::root("root");
    let a = root.below("a");
    let b = a.below("b");
    let stranger = Issuer::root("stranger");
    let leaf = b.leaf(ID);
    accepted(&[&leaf, &b.der, &a.der], &[&root.der]);
    accepted(&[&leaf, &a.der, &b.der], &[&root.der]);
    accepted(
        &[&leaf, &stranger.der, &a.der, &leaf, &b.der, &root.der],
        &[&root.der],
    );
    assert_eq!(
        verify(&[&leaf, &a.der], &[&root.der]),
        Err(unknown_issuer())
    );
    // An anchor need not be self-signed: the path ends there (X509-SVID 6.1).
    accepted(&[&leaf, &b.der], &[&a.der]);
    accepted(&[&leaf], &[&b.der]);
}

#[test]
fn an_intermediate_may_be_of_another_domain_or_of_none() {
    let root = Issuer::root_with(Key::p256(), "root", |c| c.without(SAN));
    for edit in [
        |c: Certificate| c.without(SAN),
        |c: Certificate| c.san(&[uri("spiffe://upstream.test")]),
        |c: Certificate| c.san(&[uri("https://ca.example.org/path"), dns("ca.example.org")]),
        |c: Certificate| c.with(EKU, false, extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH])),
        |c: Certificate| c.with(UNKNOWN, false, vec![5, 0]),
        |c: Certificate| c.with(BASIC_CONSTRAINTS, true, authority(Some(0))),
        |c: Certificate| c.with(SAN, true, tlv(0x30, &dns("ca.example.org"))),
        |c: Certificate| c.with(SAN, false, tlv(0x30, &tlv(0xa4, &name("x")))),
        |c: Certificate| c.without(SKI),
        |c: Certificate| c.edit(|c| c.issuer_key_id = Some(None)),
        |c: Certificate| c.edit(|c| c.issuer_key_id = Some(Some(b"contradiction".to_vec()))),
    ] {
        let intermediate = root.below_with("intermediate", edit);
        accepted(&[&intermediate.leaf(ID), &intermediate.der], &[&root.der]);
    }
}

type Edit = fn(Certificate) -> Certificate;

/// What a signing certificate must be, wherever it stands (X509-SVID §3.2, §4).
fn unfit() -> Vec<(&'static str, Edit, AuthorityRule)> {
    use AuthorityRule as R;
    vec![
        (
            "RFC 5280 4.2.1.9: no basicConstraints",
            |c| c.without(BASIC_CONSTRAINTS),
            R::NotAnAuthority,
        ),
        (
            "X509-SVID 4.1: cA false",
            |c| c.with(BASIC_CONSTRAINTS, true, sequence(&[])),
            R::NotAnAuthority,
        ),
        (
            "RFC 5280 4.2.1.9: unreadable basicConstraints",
            |c| c.with(BASIC_CONSTRAINTS, true, vec![5, 0]),
            R::NotAnAuthority,
        ),
        (
            "X509-SVID 4.3: no keyCertSign",
            |c| c.with(KEY_USAGE, true, key_usage(CRL_SIGN)),
            R::NoKeyCertSign,
        ),
        (
            "X509-SVID 4.3: unreadable keyUsage",
            |c| c.with(KEY_USAGE, true, vec![3, 2, 9, KEY_CERT_SIGN]),
            R::NoKeyCertSign,
        ),
        (
            "X509-SVID 4.3: no keyUsage",
            |c| c.without(KEY_USAGE),
            R::KeyUsageMissing,
        ),
        (
            "X509-SVID 4.4: serverAuth only",
            |c| c.with(EKU, false, extended_key_usage(&[SERVER_AUTH])),
            R::NoClientAuth,
        ),
        (
            "X509-SVID 4.4: anyExtendedKeyUsage only",
            |c| c.with(EKU, false, extended_key_usage(&[ANY_USAGE])),
            R::NoClientAuth,
        ),
        (
            "RFC 5280 4.2.1.12: empty extKeyUsage",
            |c| c.with(EKU, false, sequence(&[])),
            R::NoClientAuth,
        ),
        (
            "X.690 8.19: a purpose that is no object identifier",
            |c| {
                c.with(
                    EKU,
                    false,
                    extended_key_usage(&[CLIENT_AUTH, &[0x2a, 0x84]]),
                )
            },
            R::NoClientAuth,
        ),
        (
            "RFC 5280 4.2.1.6: an address of 5 octets",
            |c| c.san(&[tlv(0x87, &[1; 5])]),
            R::SubjectAltName,
        ),
        (
            "RFC 5280 4.2: unknown critical",
            |c| c.with(UNKNOWN, true, vec![5, 0]),
            R::CriticalExtension,
        ),
        (
            "RFC 5280 4.2: critical certificatePolicies",
            |c| c.with(CERTIFICATE_POLICIES, true, sequence(&[])),
            R::CriticalExtension,
        ),
        (
            "RFC 5280 4.2: a critical SAN with names of other forms only",
            |c| c.with(SAN, true, tlv(0x30, &tlv(0xa4, &name("x")))),
            R::CriticalExtension,
        ),
        (
            "RFC 5280 4.2: a critical SAN without names",
            |c| c.with(SAN, true, sequence(&[])),
            R::CriticalExtension,
        ),
        (
            "RFC 5280 4.2.1.11: policyConstraints that are not critical",
            |c| c.with(POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[0])])),
            R::PolicyConstraints,
        ),
        (
            "X509-SVID 3.2: the ID of a workload",
            |c| c.san(&[uri("spiffe://example.org/ca")]),
            R::WorkloadId,
        ),
        (
            "X509-SVID 3.2: a workload's ID of another domain",
            |c| c.san(&[uri("spiffe://other.test/ca")]),
            R::WorkloadId,
        ),
        (
            "X509-SVID 3.2: two URIs, one of a workload",
            |c| c.san(&[uri("https://a"), uri("spiffe://example.org/ca")]),
            R::WorkloadId,
        ),
        (
            "SPIFFE-ID 2: not quite an ID",
            |c| c.san(&[uri("SPIFFE://example.org")]),
            R::InvalidSpiffeId,
        ),
        (
            "SPIFFE-ID 2: an ID with a port",
            |c| c.san(&[uri("spiffe://example.org:1/ca")]),
            R::InvalidSpiffeId,
        ),
        (
            "RFC 5280 4.2.1.6: unreadable SAN",
            |c| c.with(SAN, false, tlv(0x30, &tlv(0x89, b"x"))),
            R::SubjectAltName,
        ),
        (
            "X509-SVID 4.2: permitted URIs",
            |c| {
                c.with(
                    NAME_CONSTRAINTS,
                    true,
                    name_constraints(&uri("example.org"), &[]),
                )
            },
            R::NameConstraints,
        ),
        (
            "X509-SVID 4.2: excluded URIs, not critical",
            |c| {
                c.with(
                    NAME_CONSTRAINTS,
                    false,
                    name_constraints(&[], &uri("evil.test")),
                )
            },
            R::NameConstraints,
        ),
        (
            "RFC 5280 4.2.1.10: directory names",
            |c| {
                c.with(
                    NAME_CONSTRAINTS,
                    true,
                    name_constraints(&tlv(0xa4, &name("x")), &[]),
                )
            },
            R::NameConstraints,
        ),
        (
            "RFC 5280 4.2.1.10: unreadable",
            |c| c.with(NAME_CONSTRAINTS, true, vec![5, 0]),
            R::NameConstraints,
        ),
        (
            "RFC 5280 4.2.1.10: neither permitted nor excluded",
            |c| c.with(NAME_CONSTRAINTS, true, sequence(&[])),
            R::NameConstraints,
        ),
        (
            "RFC 5280 4.2.1.10: a list of none",
            |c| c.with(NAME_CONSTRAINTS, true, sequence(&[&tlv(0xa0, &[])])),
            R::NameConstraints,
        ),
    ]
}

#[test]
fn an_unfit_intermediate_signs_nothing() {
    let root = Issuer::root("root");
    for (rule, edit, expected) in unfit() {
        let intermediate = root.below_with("intermediate", edit);
        let result = verify(&[&intermediate.leaf(ID), &intermediate.der], &[&root.der]);
        assert_eq!(result, Err(rule_of(Place::Chain(2), expected)), "{rule}");
    }
}

#[test]
fn an_unfit_anchor_anchors_nothing_and_says_why() {
    let fresh = Issuer::root("fresh");
    let old: Edit = |c| c.edit(|c| c.version = None);
    let twice: Edit = |c| c.and(UNKNOWN, false, vec![]).and(UNKNOWN, false, vec![]);
    let unique_id: Edit = |c| c.edit(|c| c.before_extensions = tlv(0x82, &[0, 1]));
    let odd_key_id: Edit = |c| c.with(SKI, false, vec![5, 0]);
    let profile = AuthorityRule::Profile;
    let rows = unfit().into_iter().chain([
        (
            "RFC 5280 4.1.2.1: version 1",
            old,
            profile(CertificateError::Version),
        ),
        (
            "RFC 5280 4.2: an extension twice",
            twice,
            profile(CertificateError::DuplicateExtension),
        ),
        (
            "RFC 5280 4.1.2.8: a unique identifier",
            unique_id,
            profile(CertificateError::UniqueIdentifier),
        ),
        (
            "RFC 5280 4.2.1.1: an unreadable key identifier",
            odd_key_id,
            profile(CertificateError::KeyIdentifier),
        ),
    ]);
    for (rule, edit, expected) in rows {
        let root = Issuer::root_with(Key::p256(), "root", edit);
        let expected = rule_of(Place::Anchor, expected);
        let leaf = root.leaf(ID);
        assert_eq!(
            verify(&[&leaf], &[&root.der]),
            Err(expected.clone()),
            "{rule}"
        );
        let intermediate = root.below("intermediate");
        let chain = [&*intermediate.leaf(ID), &intermediate.der];
        assert_eq!(
            verify(&chain, &[&root.der]),
            Err(expected.clone()),
            "{rule}"
        );
        // It is kept, shown, and holds back no other.
        let set = bundle(&[&root.der, &fresh.der]);
        assert_eq!(
            set.iter().map(|a| a.usable_at(NOW)).collect::<Vec<_>>(),
            [Err(expected), Ok(())],
            "{rule}"
        );
        accepted(&[&fresh.leaf(ID)], &[&root.der, &fresh.der]);
    }
}

#[test]
fn a_workload_signs_nothing() {
    let root = Issuer::root("root");
    let key = Key::p256();
    let workload =
        Certificate::leaf("spiffe://example.org/evil", &key).edit(|c| c.subject = name("workload"));
    let issuer = Issuer {
        name: name("workload"),
        key,
        der: root.sign(&workload),
    };
    let forged = issuer.leaf(ID);
    let refusal = verify(&[&forged, &issuer.der], &[&root.der]);
    assert_eq!(
        refusal,
        Err(rule_of(Place::Chain(2), AuthorityRule::NotAnAuthority))
    );
    // Nor if its SVID slipped into the bundle,
    let refusal = verify(&[&forged], &[&issuer.der]);
    assert_eq!(
        refusal,
        Err(rule_of(Place::Anchor, AuthorityRule::NotAnAuthority))
    );
    // and a self-signed one in the bundle does not vouch for itself.
    let key = Key::p256();
    let own = Certificate::leaf(ID, &key).edit(|c| c.subject = name("self"));
    let own = own.sign(&name("self"), &key);
    assert_eq!(
        verify(&[&own], &[&own]),
        Err(rule_of(Place::Anchor, AuthorityRule::NotAnAuthority))
    );
}

#[test]
fn path_length_is_honoured_of_intermediates_and_anchors() {
    let limited = |c: Certificate| c.with(BASIC_CONSTRAINTS, true, authority(Some(0)));
    let root = Issuer::root("root");
    let a = root.below_with("a", limited);
    let b = a.below("b");
    accepted(&[&a.leaf(ID), &a.der], &[&root.der]);
    let too_long = |place| Err(PathRule::PathLength { place }.into());
    assert_eq!(
        verify(&[&b.leaf(ID), &b.der, &a.der], &[&root.der]),
        too_long(Place::Chain(3))
    );
    let root = Issuer::root_with(Key::p256(), "root", limited);
    accepted(&[&root.leaf(ID)], &[&root.der]);
    let a = root.below("a");
    assert_eq!(
        verify(&[&a.leaf(ID), &a.der], &[&root.der]),
        too_long(Place::Anchor)
    );
}

#[test]
fn name_constraints_that_webpki_applies_are_applied() {
    let permits = |base: Vec<u8>| {
        move |c: Certificate| c.with(NAME_CONSTRAINTS, true, name_constraints(&base, &[]))
    };
    let leaf = |issuer: &Issuer, host: &str| {
        issuer.sign(&Certificate::leaf(ID, &Key::p256()).san(&[uri(ID), dns(host)]))
    };
    let root = Issuer::root("root");
    let a = root.below_with("a", permits(dns("example.org")));
    accepted(&[&a.leaf(ID), &a.der], &[&root.der]);
    accepted(&[&leaf(&a, "web.example.org"), &a.der], &[&root.der]);
    let outside = Err(PathRule::NameConstraints.into());
    assert_eq!(
        verify(&[&leaf(&a, "web.evil.test"), &a.der], &[&root.der]),
        outside
    );
    let root = Issuer::root_with(Key::p256(), "root", permits(dns("example.org")));
    accepted(&[&leaf(&root, "web.example.org")], &[&root.der]);
    assert_eq!(
        verify(&[&leaf(&root, "web.evil.test")], &[&root.der]),
        outside
    );
}

#[test]
fn every_certificate_of_the_path_is_valid_now() {
    let expired = |place, seconds_ago| Err(Refusal::Expired { place, seconds_ago });
    let early = |place, seconds_ahead| {
        Err(Refusal::NotYetValid {
            place,
            seconds_ahead,
        })
    };
    let root = Issuer::root("root");
    let leaf = root.sign(&Certificate::leaf(ID, &Key::p256()).valid(-100, -1));
    assert_eq!(verify(&[&leaf], &[&root.der]), expired(Place::Leaf, 1));
    // The leaf's time is judged before the bundle, empty or not.
    assert_eq!(verify(&[&leaf], &[]), expired(Place::Leaf, 1));

    let old = root.below_with("old", |c| c.valid(-100, -7));
    assert_eq!(
        verify(&[&old.leaf(ID), &old.der], &[&root.der]),
        expired(Place::Chain(2), 7)
    );
    let new = root.below_with("new", |c| c.valid(7, 100));
    assert_eq!(
        verify(&[&new.leaf(ID), &new.der], &[&root.der]),
        early(Place::Chain(2), 7)
    );

    let stale = Issuer::root_with(Key::p256(), "stale", |c| c.valid(-100, -7));
    assert_eq!(
        verify(&[&stale.leaf(ID)], &[&stale.der]),
        expired(Place::Anchor, 7)
    );
    let future = Issuer::root_with(Key::p256(), "future", |c| c.valid(7, 100));
    assert_eq!(
        verify(&[&future.leaf(ID)], &[&future.der]),
        early(Place::Anchor, 7)
    );
    let set = bundle(&[&stale.der, &future.der]);
    let unusable: Vec<_> = set
        .iter()
        .map(|a| Err(a.usable_at(NOW).unwrap_err()))
        .collect();
    assert_eq!(
        unusable,
        [expired(Place::Anchor, 7), early(Place::Anchor, 7)]
    );
}

#[test]
fn both_ends_of_an_authoritys_validity_belong_to_it() {
    let root = Issuer::root_with(Key::p256(), "root", |c| c.valid(-10, 10));
    let leaf = root.leaf(ID);
    for (seconds, ok) in [(-11, false), (-10, true), (10, true), (11, false)] {
        let result = verify_at(&[&leaf], &[&root.der], later(seconds));
        assert_eq!(result.is_ok(), ok, "{seconds}");
    }
}

/// Rotation: the same authority, renewed with the same key, beside its expired self.
#[test]
fn a_fresh_anchor_stands_in_for_an_expired_one() {
    let fresh = Issuer::root("root");
    let renewed = Certificate::authority("root", &fresh.key);
    let stale = renewed.valid(-100, -7).sign(&fresh.name, &fresh.key);
    let leaf = fresh.leaf(ID);
    for order in [[&*stale, &fresh.der], [&fresh.der, &stale]] {
        accepted(&[&leaf], &order);
    }
    // The same for a presented intermediate.
    let root = Issuer::root("top");
    let a = root.below("a");
    let stale = root.sign(&Certificate::authority("a", &a.key).valid(-100, -7));
    accepted(&[&a.leaf(ID), &stale, &a.der], &[&root.der]);
    // And for one that breaks a rule, in presence of one that breaks none.
    let unfit = root.sign(&Certificate::authority("a", &a.key).without(KEY_USAGE));
    accepted(&[&a.leaf(ID), &unfit, &a.der], &[&root.der]);
}

/// EXPIRED is said only of a path that would have held: a stranger's is UNTRUSTED.
#[test]
fn the_most_telling_refusal_is_reported_and_it_is_true() {
    let stale = Issuer::root_with(Key::p256(), "root", |c| c.valid(-100, -7));
    let fresh = Issuer::root("root");
    let stranger = Issuer::root("root");
    let anchors = [&*stale.der, &fresh.der];
    let place = Place::Anchor;
    assert_eq!(
        verify(&[&stale.leaf(ID)], &anchors),
        Err(Refusal::Expired {
            place,
            seconds_ago: 7
        })
    );
    assert_eq!(
        verify(&[&stranger.leaf(ID)], &anchors),
        Err(bad_signature())
    );
    let unmarked = Certificate::leaf(ID, &Key::p256()).edit(|c| c.issuer_key_id = Some(None));
    assert_eq!(
        verify(&[&stranger.sign(&unmarked)], &anchors),
        Err(bad_signature())
    );
    assert_eq!(
        verify(&[&stale.sign(&unmarked)], &anchors),
        Err(Refusal::Expired {
            place,
            seconds_ago: 7
        })
    );
}

/// A remembered identity is judged again at every use.
#[test]
fn an_identity_lasts_as_long_as_the_whole_path() {
    let root = Issuer::root_with(Key::p256(), "root", |c| c.valid(-500, 90));
    let a = root.below_with("a", |c| c.valid(-40, 200));
    let leaf = a.sign(&Certificate::leaf(ID, &Key::p256()).valid(-50, 100));
    let verified = accepted(&[&leaf, &a.der], &[&root.der]);
    assert_eq!(
        (verified.not_before(), verified.not_after()),
        (later(-40), later(90))
    );
    assert_eq!(verified.judge(later(90)), Ok(()));
    assert_eq!(verified.judge(later(-40)), Ok(()));
    let place = Place::Anchor;
    assert_eq!(
        verified.judge(later(91)),
        Err(Refusal::Expired {
            place,
            seconds_ago: 1
        })
    );
    let place = Place::Chain(2);
    assert_eq!(
        verified.judge(later(-41)),
        Err(Refusal::NotYetValid {
            place,
            seconds_ahead: 1
        })
    );
    assert_eq!(verified.clone(), verified);
}

#[test]
fn depth_is_bounded() {
    let root = Issuer::root("root");
    let mut authorities = vec![root.below("0")];
    for n in 1..=PATH_MAX_INTERMEDIATES {
        let next = authorities[n - 1].below(&n.to_string());
        authorities.push(next);
    }
    let chain = |n: usize| {
        let leaf = authorities[n - 1].leaf(ID);
        let ders = authorities[..n].iter().map(|a| a.der.clone());
        [vec![leaf], ders.collect()].concat()
    };
    let verify = |chain: Vec<Vec<u8>>| {
        verify(
            &chain.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &[&root.der],
        )
    };
    assert!(verify(chain(PATH_MAX_INTERMEDIATES)).is_ok());
    let too_deep = verify(chain(PATH_MAX_INTERMEDIATES + 1)).unwrap_err();
    assert_eq!(too_deep, PathRule::TooDeep.into());
    let limit = format!("{PATH_MAX_INTERMEDIATES} intermediates");
    assert!(too_deep.to_string().contains(&limit), "{too_deep}");
    // The same chain without what is beyond the limit leads nowhere.
    let mut cut = chain(PATH_MAX_INTERMEDIATES + 1);
    cut.remove(1);
    assert_eq!(verify(cut), Err(unknown_issuer()));
}

/// SPIRE's roots share one subject; the right one is found by its key identifier, wherever it is.
#[test]
fn many_same_named_roots_cost_one_signature() {
    let roots: Vec<_> = (0..120).map(|_| Issuer::root("SPIFFE")).collect();
    let ders: Vec<_> = roots.iter().map(|r| &*r.der).collect();
    for index in [0, 60, 119] {
        accepted(&[&roots[index].leaf(ID)], &ders);
        let a = roots[index].below("SPIFFE");
        accepted(&[&a.leaf(ID), &a.der], &ders);
    }
    // Without an identifier they are tried one after the other, to a limit.
    let unmarked = Certificate::leaf(ID, &Key::p256()).edit(|c| c.issuer_key_id = Some(None));
    let few = SIGNATURES_MAX / 2;
    accepted(&[&roots[few - 1].sign(&unmarked)], &ders[..few]);
    let nowhere = Issuer::root("SPIFFE").sign(&unmarked);
    assert_eq!(verify(&[&nowhere], &ders), Err(bad_signature()));
    // Roots without an identifier of their own are found as well.
    let plain = Issuer::root_with(Key::p256(), "SPIFFE", |c| c.without(SKI));
    accepted(&[&plain.leaf(ID)], &[&ders[..few], &[&plain.der]].concat());
    // An identifier that contradicts is a hint, not a rule.
    let odd =
        Certificate::leaf(ID, &Key::p256()).edit(|c| c.issuer_key_id = Some(Some(vec![7; 20])));
    accepted(&[&roots[0].sign(&odd)], &ders[..few]);
}

/// Chains made to be expensive end within the budget.
#[test]
fn hostile_chains_are_cheap() {
    let unmarked = |c: Certificate| c.edit(|c| c.issuer_key_id = Some(None)).without(SKI);
    let root = Issuer::root_with(Key::p256(), "SPIFFE", unmarked);
    let stranger = Issuer::root("SPIFFE");
    let maze: Vec<_> = (0..14)
        .map(|_| stranger.below_with("SPIFFE", unmarked))
        .collect();
    let right = root.below_with("SPIFFE", unmarked);
    let leaf = right.sign(&unmarked(Certificate::leaf(ID, &Key::p256())));
    let chain = |strangers: usize| {
        let strangers = maze[..strangers].iter().map(|m| &*m.der);
        [&*leaf]
            .into_iter()
            .chain(strangers)
            .chain([&*right.der])
            .collect::<Vec<_>>()
    };
    accepted(&chain(1), &[&root.der]);
    let many: Vec<_> = (0..120).map(|_| Issuer::root("SPIFFE").der).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let began = Instant::now();
    // The right path is the last of some hundred, then of some million: both cost the same.
    // webpki would give up on such names by itself, and say so in other words.
    assert_eq!(verify(&chain(4), &[&root.der]), Err(bad_signature()));
    assert_eq!(verify(&chain(14), &[&root.der]), Err(bad_signature()));
    assert_eq!(verify(&chain(14), &many), Err(bad_signature()));
    // Debug builds on a busy machine: generous, yet far below 15!/9! paths.
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

/// Dead weight in a bundle costs a valid path nothing.
#[test]
fn copies_and_expired_namesakes_do_not_use_up_the_budget() {
    let unmarked = |c: Certificate| c.edit(|c| c.issuer_key_id = Some(None)).without(SKI);
    let root = Issuer::root_with(Key::p256(), "SPIFFE", unmarked);
    let leaf = root.sign(&unmarked(Certificate::leaf(ID, &Key::p256())));
    let namesake = Issuer::root_with(Key::p256(), "SPIFFE", unmarked);
    let copies = [&*namesake.der; 120];
    accepted(&[&leaf], &[&copies[..], &[&root.der]].concat());
    let stale: Vec<_> = (0..120)
        .map(|_| Issuer::root_with(Key::p256(), "SPIFFE", |c| unmarked(c).valid(-100, -7)).der)
        .collect();
    let stale: Vec<&[u8]> = stale.iter().map(Vec::as_slice).collect();
    accepted(&[&leaf], &[&stale[..], &[&root.der]].concat());
}

/// A self-signed stranger leads back to itself; it is taken once (RFC 4158 §5.2).
#[test]
fn a_loop_of_names_leads_nowhere() {
    let root = Issuer::root("root");
    let stranger = Issuer::root("stranger");
    let leaf = stranger.leaf(ID);
    let copies = [&*stranger.der; 15];
    let chain = [&[&*leaf], &copies[..]].concat();
    assert_eq!(verify(&chain, &[&root.der]), Err(unknown_issuer()));
}

#[test]
fn bundles_are_concatenated_der_and_nothing_else() {
    let (a, b) = (Issuer::root("a"), Issuer::root("b"));
    let empty = AnchorSet::from_der(&[]).unwrap();
    assert!(empty.is_empty() && empty.as_der().is_empty());
    let both = [&*a.der, &b.der].concat();
    let set = AnchorSet::from_der(&both).unwrap();
    assert_eq!((set.len(), set.as_der()), (2, &*both));
    let subjects: Vec<_> = set.iter().map(verdict::anchors::Anchor::subject).collect();
    assert_eq!(subjects, ["CN=a", "CN=b"]);
    assert_eq!(set, AnchorSet::from_der(&both).unwrap());
    assert_ne!(set, AnchorSet::from_der(&a.der).unwrap());
    assert_ne!(set, empty);
    // The same authority twice is no second candidate, and no error.
    accepted(&[&a.leaf(ID)], &[&a.der, &a.der]);

    let error = |der: &[u8]| AnchorSet::from_der(der).unwrap_err();
    let not_der = |der: &[u8], at| {
        assert!(
            matches!(error(der), AnchorError::NotConcatenatedDer { position, .. } if position == at)
        )
    };
    not_der(&[&both[..], &[0]].concat(), 3);
    not_der(&both[..both.len() - 1], 2);
    not_der(b"-----BEGIN CERTIFICATE-----", 1);
    not_der(&[0xff], 1);
    let wrapped = error(&sequence(&[&both]));
    assert!(
        matches!(wrapped, AnchorError::Certificate { position: 1, .. }),
        "{wrapped}"
    );
}

#[test]
fn bundles_are_bounded() {
    let der = Issuer::root("a").der;
    let most = der.repeat(ANCHORS_MAX);
    assert_eq!(AnchorSet::from_der(&most).unwrap().len(), ANCHORS_MAX);
    assert_eq!(
        AnchorSet::from_der(&der.repeat(ANCHORS_MAX + 1)),
        Err(AnchorError::TooMany)
    );
    let bytes = BUNDLE_MAX_BYTES + 1;
    assert_eq!(
        AnchorSet::from_der(&vec![0; bytes]),
        Err(AnchorError::TooLong { bytes })
    );
}

/// Issuer keys that are too weak sign nothing, even from within the bundle.
#[test]
fn weak_issuer_algorithms_are_refused() {
    let root = Issuer::root_with(Key::new(Algorithm::Rsa2048), "root", |c| c);
    let leaf = root.leaf(ID);
    // sha256WithRSAEncryption becomes sha1WithRSAEncryption, inside and outside.
    let sha256 = root.key.algorithm_id();
    let mut sha1 = leaf.clone();
    let places: Vec<_> = (0..leaf.len() - sha256.len())
        .filter(|&i| leaf[i..].starts_with(&sha256))
        .collect();
    assert_eq!(places.len(), 2);
    for place in places {
        sha1[place + 12] = 5;
    }
    assert_eq!(
        verify(&[&sha1], &[&root.der]),
        Err(PathRule::SignatureAlgorithm.into())
    );
}

/// An ordinary chain, written by other hands.
#[test]
fn chains_written_by_rcgen_verify() {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
        SanType,
    };
    let time = |seconds: u64| rcgen::date_time_ymd(2026, 1, 1) + Duration::from_secs(seconds);
    let params = |names: &[&str]| {
        let mut params = CertificateParams::default();
        let uris = names
            .iter()
            .map(|name| SanType::URI((*name).try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        (params.not_before, params.not_after) = (time(0), time(60));
        params.use_authority_key_identifier_extension = true;
        params
    };
    let mut root = params(&["spiffe://example.org"]);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = params(&[ID]);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = leaf
        .signed_by(&KeyPair::generate().unwrap(), &root)
        .unwrap();
    accepted(&[leaf.der()], &[root.der()]);
}
