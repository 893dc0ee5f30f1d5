//! Checks 2 to 5: what makes presented bytes a chain, a chain an ID, a leaf an SVID.
//!
//! One table: each row breaks one rule of an otherwise good chain, and names the refusal expected.

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
use verdict::id::IdError;
use verdict::reason::Reason;
use verdict::svid::{
    CERTIFICATE_MAX_BYTES, CHAIN_MAX_CERTIFICATES, CertificateError, DerError, EXTENSIONS_MAX,
    IdRule, KeyError, KeyKind, LeafRule, Malformed, Place, Refusal, examine,
};

const ID: &str = "spiffe://example.org/web";

/// Signs a leaf changed in one place.
fn leaf(edit: impl FnOnce(Certificate) -> Certificate) -> Vec<u8> {
    Issuer::root("root").sign(&edit(Certificate::leaf(ID, &Key::p256())))
}

/// A leaf with this value as its authority key identifier.
fn with_issuer_key_id(value: Vec<u8>) -> Vec<u8> {
    leaf(|c| {
        c.with(AKI, false, value)
            .edit(|c| c.issuer_key_id = Some(None))
    })
}

fn refusal(chain: &[Vec<u8>]) -> Refusal {
    examine(chain).expect_err("must be refused")
}

fn unreadable(rule: CertificateError) -> Refusal {
    Malformed::Certificate {
        place: Place::Leaf,
        rule,
    }
    .into()
}

fn assert_table(rows: Vec<(&str, Vec<u8>, Refusal)>) {
    for (rule, der, expected) in rows {
        assert_eq!(examine(&[der]).map(|_| ()), Err(expected), "{rule}");
    }
}

#[test]
fn a_good_leaf_is_taken_apart() {
    let key = Key::p256();
    let certificate = Certificate::leaf(ID, &key).edit(|c| c.serial = vec![0x00, 0xab, 0xcd]);
    let der = Issuer::root("Example, Inc.").sign(&certificate);
    let presented = examine(std::slice::from_ref(&der)).unwrap();
    let leaf = presented.leaf();
    assert_eq!(presented.id().as_str(), ID);
    assert_eq!(leaf.der(), der);
    assert_eq!(leaf.serial(), "abcd");
    assert_eq!(leaf.issuer(), "CN=Example\\, Inc.");
    assert_eq!(
        (leaf.not_before(), leaf.not_after()),
        (later(-3600), later(3600))
    );
    assert_eq!(leaf.key(), KeyKind::EcdsaP256);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    assert_eq!(leaf.sha256(), digest.as_ref());
    assert!(
        !format!("{presented:?}").contains("der"),
        "certificates stay out of logs"
    );
}

#[test]
fn leaves_that_break_no_rule() {
    let accepted: Vec<(&str, Vec<u8>)> = vec![
        (
            "X509-SVID 3.1: subject may be filled",
            leaf(|c| c.edit(|c| c.subject = name("web"))),
        ),
        (
            "X509-SVID 2: other names carry no identity",
            leaf(|c| {
                c.san(&[
                    dns("a.test"),
                    uri(ID),
                    dns("b.test"),
                    tlv(0x87, &[127, 0, 0, 1]),
                    tlv(0x81, b"a@b"),
                ])
            }),
        ),
        (
            "RFC 5280 4.2.1.6: every form of name is known",
            leaf(|c| {
                let directory = tlv(0xa4, &name("x"));
                let other = tlv(0xa0, &[oid(&[1, 2]), tlv(0xa0, &tlv(5, &[]))].concat());
                c.san(&[
                    other,
                    tlv(0xa3, &[]),
                    directory,
                    tlv(0xa5, &[]),
                    tlv(0x88, &[1, 2]),
                    uri(ID),
                ])
            }),
        ),
        (
            "X509-SVID 3.1: a SAN need not be critical beside a subject",
            leaf(|c| c.with(SAN, false, tlv(0x30, &uri(ID)))),
        ),
        (
            "X509-SVID 4.1: basicConstraints may be absent",
            leaf(|c| c.without(BASIC_CONSTRAINTS)),
        ),
        (
            "X.690 11.5: an explicit cA FALSE is read",
            leaf(|c| c.with(BASIC_CONSTRAINTS, true, sequence(&[&[1, 1, 0]]))),
        ),
        (
            "X509-SVID 4.3: digitalSignature alone",
            leaf(|c| c.with(KEY_USAGE, true, key_usage(DIGITAL_SIGNATURE))),
        ),
        (
            "X509-SVID 4.4: extKeyUsage may be absent",
            leaf(|c| c.without(EKU)),
        ),
        (
            "X509-SVID 4.4: clientAuth alone",
            leaf(|c| c.with(EKU, true, extended_key_usage(&[CLIENT_AUTH]))),
        ),
        (
            "RFC 5280 4.2: an unknown extension that is not critical",
            leaf(|c| c.with(UNKNOWN, false, vec![1, 2])),
        ),
        (
            "RFC 5280 4.1.2.2: serial zero is read",
            leaf(|c| c.edit(|c| c.serial = vec![0])),
        ),
        (
            "RFC 5280 4.1.2.2: serial of 20 octets",
            leaf(|c| {
                c.edit(|c| {
                    c.serial = [&[0][..], &[0xff; 20]].concat();
                })
            }),
        ),
        (
            "RFC 5280 4.1.2.5: GeneralizedTime before 2050 is read",
            leaf(|c| {
                c.edit(|c| {
                    c.not_after = generalized_time(later(60));
                })
            }),
        ),
        (
            "RFC 5280 4.2.1.1: a key identifier is only a hint",
            leaf(|c| c.edit(|c| c.issuer_key_id = Some(Some(vec![7])))),
        ),
        (
            "RFC 5280 4.2.1.1: a key identifier may be absent, or empty",
            leaf(|c| c.edit(|c| c.issuer_key_id = Some(Some(vec![])))),
        ),
        (
            "RFC 5280 4.2.1.1: the issuer may be told by name and serial number",
            with_issuer_key_id(tlv(
                0x30,
                &[
                    tlv(0x80, &[1, 2]),
                    tlv(0xa1, &tlv(0xa4, &name("root"))),
                    tlv(0x82, &[1]),
                ]
                .concat(),
            )),
        ),
        (
            "RFC 5280 4.1.2.4: a value of a name is of any type",
            leaf(|c| {
                let attribute = sequence(&[&oid(&[0x55, 4, 45]), &tlv(3, &[0, 1])]);
                c.edit(|c| c.subject = tlv(0x30, &tlv(0x31, &attribute)))
            }),
        ),
        (
            "RFC 5280 4.2: what nobody reads may have any shape",
            leaf(|c| c.with(CERTIFICATE_POLICIES, false, vec![5, 0])),
        ),
    ];
    for (rule, der) in accepted {
        assert_eq!(
            examine(&[der]).map(|p| p.id().to_string()),
            Ok(ID.to_owned()),
            "{rule}"
        );
    }
}

/// Check 2 of the structure: RFC 5280 §4.1.
#[test]
fn what_is_not_one_certificate_is_malformed() {
    let good = leaf(|c| c);
    let trailing = [&good[..], &[0]].concat();
    let mut damaged = good.clone();
    damaged[0] ^= 1;
    let truncated = good[..good.len() - 1].to_vec();
    let mut long_form = good.clone();
    // 30 82 LL LL becomes 30 83 00 LL LL.
    long_form.splice(1..2, [0x83, 0]);
    let der = |rule| unreadable(CertificateError::Der(rule));
    assert_table(vec![
        ("no bytes", vec![], der(DerError::Unexpected)),
        (
            "bytes after the certificate",
            trailing,
            der(DerError::Trailing),
        ),
        ("the first byte damaged", damaged, der(DerError::Unexpected)),
        ("cut short", truncated, der(DerError::Truncated)),
        (
            "X.690 10.1: length not shortest",
            long_form,
            der(DerError::Length),
        ),
        (
            "two certificates in one",
            [good.clone(), good].concat(),
            der(DerError::Trailing),
        ),
        (
            "PEM is not DER",
            b"-----BEGIN CERTIFICATE-----".to_vec(),
            der(DerError::Unexpected),
        ),
        (
            "4.1.2.1: version 1",
            leaf(|c| c.edit(|c| c.version = None)),
            unreadable(CertificateError::Version),
        ),
        (
            "4.1.2.1: version 2",
            leaf(|c| c.edit(|c| c.version = Some(tlv(2, &[1])))),
            unreadable(CertificateError::Version),
        ),
        (
            "4.1.2.1: version 4",
            leaf(|c| c.edit(|c| c.version = Some(tlv(2, &[3])))),
            der(DerError::Contents),
        ),
        (
            "4.1.2.1: version twice",
            leaf(|c| c.edit(|c| c.version = Some([2, 1, 2, 2, 1, 2].to_vec()))),
            der(DerError::Trailing),
        ),
        (
            "4.1.2.2: negative serial",
            leaf(|c| c.edit(|c| c.serial = vec![0x80])),
            unreadable(CertificateError::Serial),
        ),
        (
            "4.1.2.2: serial of 21 octets",
            leaf(|c| c.edit(|c| c.serial = vec![0x7f; 21])),
            unreadable(CertificateError::Serial),
        ),
        (
            "X.690 8.3.2: padded serial",
            leaf(|c| c.edit(|c| c.serial = vec![0, 1])),
            der(DerError::Contents),
        ),
        (
            "4.1.1.2: two algorithms",
            leaf(|c| c.edit(|c| c.inner_algorithm = Some(sequence(&[&oid(&[1, 2])])))),
            unreadable(CertificateError::AlgorithmMismatch),
        ),
        (
            "4.1.2.5: time with an offset",
            leaf(|c| c.edit(|c| c.not_after = tlv(0x17, b"3001010000+00"))),
            unreadable(CertificateError::Time),
        ),
        (
            "4.1.2.5: a third date",
            leaf(|c| c.edit(|c| c.not_after.extend(tlv(0x17, b"300101000000Z")))),
            der(DerError::Trailing),
        ),
        (
            "4.1.2.8: issuerUniqueID",
            leaf(|c| c.edit(|c| c.before_extensions = tlv(0x81, &[0, 1]))),
            unreadable(CertificateError::UniqueIdentifier),
        ),
        (
            "4.1.2.8: subjectUniqueID",
            leaf(|c| c.edit(|c| c.before_extensions = tlv(0x82, &[0, 1]))),
            unreadable(CertificateError::UniqueIdentifier),
        ),
        (
            "4.1: bytes after the extensions",
            leaf(|c| c.edit(|c| c.after_extensions = vec![5, 0])),
            der(DerError::Trailing),
        ),
        (
            "4.2: SAN twice",
            leaf(|c| c.and(SAN, false, tlv(0x30, &uri(ID)))),
            unreadable(CertificateError::DuplicateExtension),
        ),
        (
            "4.2: keyUsage twice",
            leaf(|c| c.and(KEY_USAGE, false, key_usage(DIGITAL_SIGNATURE))),
            unreadable(CertificateError::DuplicateExtension),
        ),
        (
            "4.2: an unknown extension twice",
            leaf(|c| c.and(UNKNOWN, false, vec![]).and(UNKNOWN, false, vec![])),
            unreadable(CertificateError::DuplicateExtension),
        ),
        (
            "4.1.2.4: a subject that is no set of attributes",
            leaf(|c| c.edit(|c| c.subject = sequence(&[&tlv(0x0c, b"web")]))),
            unreadable(CertificateError::Name),
        ),
        (
            "4.1.2.4: an empty set of attributes",
            leaf(|c| c.edit(|c| c.subject = sequence(&[&tlv(0x31, &[])]))),
            unreadable(CertificateError::Name),
        ),
        (
            "4.1.2.4: an attribute's type cut short",
            leaf(|c| {
                let attribute = sequence(&[&oid(&[0x55, 0x84]), &tlv(0x0c, b"web")]);
                c.edit(|c| c.subject = sequence(&[&tlv(0x31, &attribute)]))
            }),
            unreadable(CertificateError::Name),
        ),
        (
            "4.1.2.4: an issuer that is no set of attributes",
            Certificate::leaf(ID, &Key::p256()).sign(&sequence(&[&[5, 0]]), &Key::p256()),
            unreadable(CertificateError::Name),
        ),
        (
            "X.690 8.19: an extension's identifier cut short",
            leaf(|c| c.with(&[0x2a, 0x84], false, vec![])),
            unreadable(CertificateError::ExtensionId),
        ),
        (
            "X.690 8.19: an extension's identifier padded",
            leaf(|c| c.with(&[0x55, 0x1d, 0x80, 17], false, vec![])),
            unreadable(CertificateError::ExtensionId),
        ),
        (
            "X.690 8.19: an extension without identifier",
            leaf(|c| c.with(&[], false, vec![])),
            unreadable(CertificateError::ExtensionId),
        ),
        (
            "4.2.1.1: an authority key identifier that is no sequence",
            with_issuer_key_id(tlv(4, &[1])),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "4.2.1.1: bytes after the authority key identifier",
            with_issuer_key_id([tlv(0x30, &tlv(0x80, &[1])), vec![5, 0]].concat()),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "4.2.1.1: an unknown field in the authority key identifier",
            with_issuer_key_id(tlv(0x30, &tlv(0x83, &[1]))),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "4.2.1.1: a critical authority key identifier",
            leaf(|c| {
                c.with(AKI, true, tlv(0x30, &tlv(0x80, &[1])))
                    .edit(|c| c.issuer_key_id = Some(None))
            }),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "4.2.1.2: a subject key identifier that is no octet string",
            leaf(|c| c.with(SKI, false, vec![5, 0])),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "4.2.1.2: a critical subject key identifier",
            leaf(|c| c.with(SKI, true, tlv(4, &[1]))),
            unreadable(CertificateError::KeyIdentifier),
        ),
        (
            "limit: extensions",
            leaf(|mut c| {
                for n in 0..=EXTENSIONS_MAX as u8 {
                    c = c.and(&[0x2a, n], false, vec![]);
                }
                c
            }),
            unreadable(CertificateError::TooManyExtensions),
        ),
    ]);
}

/// Check 2 of the chain: limits, and nothing is skipped.
#[test]
fn a_chain_is_bounded_and_every_certificate_of_it_is_read() {
    let good = leaf(|c| c);
    assert_eq!(refusal(&[]), Malformed::Empty.into());
    assert!(examine(&vec![good.clone(); CHAIN_MAX_CERTIFICATES]).is_ok());
    let too_many = vec![good.clone(); CHAIN_MAX_CERTIFICATES + 1];
    assert_eq!(
        refusal(&too_many),
        Malformed::TooManyCertificates { found: 17 }.into()
    );
    // Ed25519 signatures have one length.
    let root = Issuer::root_with(Key::new(Algorithm::Ed25519), "root", |c| c);
    let key = Key::new(Algorithm::Ed25519);
    let padding =
        |octets| root.sign(&Certificate::leaf(ID, &key).with(UNKNOWN, false, vec![0; octets]));
    let padded = |target: usize| padding(8000 + target - padding(8000).len());
    assert!(examine(&[padded(CERTIFICATE_MAX_BYTES)]).is_ok());
    let long = padded(CERTIFICATE_MAX_BYTES + 1);
    let too_long = |place| {
        Malformed::TooLong {
            place,
            bytes: CERTIFICATE_MAX_BYTES + 1,
        }
        .into()
    };
    assert_eq!(refusal(std::slice::from_ref(&long)), too_long(Place::Leaf));
    assert_eq!(
        refusal(&[good.clone(), good.clone(), long]),
        too_long(Place::Chain(3))
    );

    let garbage = refusal(&[good.clone(), vec![1, 2, 3]]);
    assert_eq!(garbage.reason(), Reason::Malformed);
    let negative = Issuer::root_with(Key::p256(), "odd", |c| c.edit(|c| c.serial = vec![0x80]));
    let rule = CertificateError::Serial;
    assert_eq!(
        refusal(&[good.clone(), negative.der]),
        Malformed::Certificate {
            place: Place::Chain(2),
            rule
        }
        .into()
    );
    let v1 = Issuer::root_with(Key::p256(), "old", |c| c.edit(|c| c.version = None));
    let rule = CertificateError::Version;
    assert_eq!(
        refusal(&[good, v1.der]),
        Malformed::Certificate {
            place: Place::Chain(2),
            rule
        }
        .into()
    );
}

/// Check 3: X509-SVID §2, SPIFFE-ID §2.
#[test]
fn a_leaf_names_exactly_one_spiffe_id() {
    let san = |names: &[Vec<u8>]| leaf(|c| c.san(names));
    let unreadable = |rule| Refusal::from(IdRule::Unreadable(rule));
    let several = |count| Refusal::from(IdRule::Several { count });
    let not_spiffe = |e| Refusal::from(IdRule::NotSpiffe(e));
    assert_table(vec![
        ("no SAN", leaf(|c| c.without(SAN)), Refusal::NoSpiffeId),
        (
            "no extensions at all",
            leaf(|c| {
                c.edit(|c| {
                    c.extensions.clear();
                    c.issuer_key_id = Some(None);
                })
            }),
            Refusal::NoSpiffeId,
        ),
        ("empty SAN", san(&[]), Refusal::NoSpiffeId),
        (
            "DNS only",
            san(&[dns("web.example.org")]),
            Refusal::NoSpiffeId,
        ),
        ("the ID as a DNS name", san(&[dns(ID)]), Refusal::NoSpiffeId),
        (
            "the ID in the common name only",
            leaf(|c| c.without(SAN).edit(|c| c.subject = name(ID))),
            Refusal::NoSpiffeId,
        ),
        ("the same URI twice", san(&[uri(ID), uri(ID)]), several(2)),
        (
            "two IDs",
            san(&[uri(ID), uri("spiffe://example.org/admin")]),
            several(2),
        ),
        (
            "two URIs, the second https",
            san(&[uri(ID), uri("https://example.org")]),
            several(2),
        ),
        (
            "two URIs, the first https, DNS between",
            san(&[uri("https://a.test"), dns("a.test"), uri(ID)]),
            several(2),
        ),
        (
            "an https URI",
            san(&[uri("https://example.org/web")]),
            not_spiffe(IdError::Scheme),
        ),
        ("an empty URI", san(&[uri("")]), not_spiffe(IdError::Empty)),
        (
            "upper-case scheme",
            san(&[uri("SPIFFE://example.org/web")]),
            not_spiffe(IdError::SchemeCase),
        ),
        (
            "a GeneralName tag that is not defined",
            san(&[uri(ID), tlv(0x89, b"x")]),
            unreadable(DerError::Unexpected),
        ),
        (
            "a URI in constructed form",
            san(&[tlv(0xa6, ID.as_bytes())]),
            unreadable(DerError::Unexpected),
        ),
        (
            "a universal tag as GeneralName",
            san(&[uri(ID), tlv(0x16, ID.as_bytes())]),
            unreadable(DerError::Unexpected),
        ),
        (
            "a name cut short",
            san(&[uri(ID), vec![0x82, 9, b'x']]),
            unreadable(DerError::Truncated),
        ),
        (
            "RFC 5280 4.2.1.6: a DNS name that is not IA5",
            san(&[uri(ID), tlv(0x82, b"caf\xe9.test")]),
            unreadable(DerError::Contents),
        ),
        (
            "RFC 5280 4.2.1.6: an email address that is not IA5",
            san(&[uri(ID), tlv(0x81, b"caf\xe9@test")]),
            unreadable(DerError::Contents),
        ),
        (
            "RFC 5280 4.2.1.6: a URI that is not IA5",
            san(&[tlv(0x86, b"spiffe://example.org/caf\xe9")]),
            unreadable(DerError::Contents),
        ),
        (
            "RFC 5280 4.2.1.6: an IP address of 5 octets",
            san(&[uri(ID), tlv(0x87, &[1; 5])]),
            unreadable(DerError::Contents),
        ),
        (
            "RFC 5280 4.2.1.6: an IP address of 8 octets, as in a constraint",
            san(&[uri(ID), tlv(0x87, &[1; 8])]),
            unreadable(DerError::Contents),
        ),
        (
            "SAN is no sequence",
            leaf(|c| c.with(SAN, true, uri(ID))),
            unreadable(DerError::Unexpected),
        ),
        (
            "bytes after the SAN",
            leaf(|c| c.with(SAN, true, [tlv(0x30, &uri(ID)), vec![5, 0]].concat())),
            unreadable(DerError::Trailing),
        ),
        (
            "an empty SAN extension",
            leaf(|c| c.with(SAN, true, vec![])),
            unreadable(DerError::Unexpected),
        ),
    ]);
    for bad in [
        "spiffe://example.org/web\0",
        "spiffe://example.org/w\u{e9}b",
        "spiffe://example.org:8443/web",
        "spiffe://example.org/web/",
        "spiffe://example.org/../web",
        "spiffe://example.org/%77eb",
        "spiffe://Example.org/web",
        "spiffe:///web",
        " spiffe://example.org/web",
    ] {
        assert_eq!(
            refusal(&[san(&[uri(bad)])]).reason(),
            Reason::InvalidSpiffeId,
            "{bad:?}"
        );
    }
    let not_utf8 = san(&[tlv(0x86, b"spiffe://example.org/\xff\xfe")]);
    assert_eq!(refusal(&[not_utf8]).reason(), Reason::InvalidSpiffeId);
}

/// Check 4: X509-SVID §3 to §5.
#[test]
fn a_leaf_alone_breaks_no_rule_of_svids() {
    let not = |rule: LeafRule| Refusal::from(rule);
    let constraints = |value: Vec<u8>| leaf(|c| c.with(BASIC_CONSTRAINTS, true, value));
    let usage = |value: Vec<u8>| leaf(|c| c.with(KEY_USAGE, true, value));
    let purposes = |value: Vec<u8>| leaf(|c| c.with(EKU, false, value));
    assert_table(vec![
        (
            "X509-SVID 5.2: an ID without a path",
            leaf(|c| c.san(&[uri("spiffe://example.org")])),
            not(LeafRule::NoPath),
        ),
        (
            "X509-SVID 4.1: cA",
            constraints(authority(None)),
            not(LeafRule::IsAuthority),
        ),
        (
            "X509-SVID 4.1: cA with pathLen",
            constraints(authority(Some(0))),
            not(LeafRule::IsAuthority),
        ),
        (
            "RFC 5280 4.2.1.9: pathLen without cA",
            constraints(sequence(&[&tlv(2, &[0])])),
            not(LeafRule::BasicConstraints(DerError::Contents)),
        ),
        (
            "RFC 5280 4.2.1.9: basicConstraints no sequence",
            constraints(vec![1, 1, 0]),
            not(LeafRule::BasicConstraints(DerError::Unexpected)),
        ),
        (
            "RFC 5280 4.2.1.9: basicConstraints empty",
            constraints(vec![]),
            not(LeafRule::BasicConstraints(DerError::Unexpected)),
        ),
        (
            "X.690 11.1: a boolean neither 00 nor ff",
            constraints(sequence(&[&[1, 1, 1]])),
            not(LeafRule::BasicConstraints(DerError::Contents)),
        ),
        (
            "RFC 5280 4.2.1.9: negative pathLen",
            constraints(sequence(&[&[1, 1, 0xff, 2, 1, 0xff]])),
            not(LeafRule::BasicConstraints(DerError::Contents)),
        ),
        (
            "RFC 5280 4.2.1.9: bytes after basicConstraints",
            constraints([sequence(&[]), vec![5, 0]].concat()),
            not(LeafRule::BasicConstraints(DerError::Trailing)),
        ),
        (
            "RFC 5280 4.2.1.9: bytes inside basicConstraints",
            constraints(sequence(&[&[1, 1, 0, 5, 0]])),
            not(LeafRule::BasicConstraints(DerError::Trailing)),
        ),
        (
            "X509-SVID 4.3: no keyUsage",
            leaf(|c| c.without(KEY_USAGE)),
            not(LeafRule::KeyUsageMissing),
        ),
        (
            "X509-SVID 4.3: no digitalSignature",
            usage(key_usage(KEY_ENCIPHERMENT)),
            not(LeafRule::NoDigitalSignature),
        ),
        (
            "X509-SVID 4.3: no bits",
            usage(tlv(3, &[0])),
            not(LeafRule::NoDigitalSignature),
        ),
        (
            "X509-SVID 4.3: only decipherOnly",
            usage(tlv(3, &[7, 0, 0x80])),
            not(LeafRule::NoDigitalSignature),
        ),
        (
            "X509-SVID 5.2: keyCertSign",
            usage(key_usage(DIGITAL_SIGNATURE | KEY_CERT_SIGN)),
            not(LeafRule::KeyCertSign),
        ),
        (
            "X509-SVID 5.2: cRLSign",
            usage(key_usage(DIGITAL_SIGNATURE | CRL_SIGN)),
            not(LeafRule::CrlSign),
        ),
        (
            "RFC 5280 4.2.1.3: keyUsage no bit string",
            usage(tlv(4, &[0x80])),
            not(LeafRule::KeyUsage(DerError::Unexpected)),
        ),
        (
            "X.690 8.6: unused bits set",
            usage(tlv(3, &[7, 0xff])),
            not(LeafRule::KeyUsage(DerError::Contents)),
        ),
        (
            "X.690 8.6: eight unused bits",
            usage(tlv(3, &[8, 0x80])),
            not(LeafRule::KeyUsage(DerError::Contents)),
        ),
        (
            "RFC 5280 4.2.1.3: bytes after keyUsage",
            usage([key_usage(0x80), vec![0]].concat()),
            not(LeafRule::KeyUsage(DerError::Trailing)),
        ),
        (
            "X509-SVID 4.4: serverAuth only",
            purposes(extended_key_usage(&[SERVER_AUTH])),
            not(LeafRule::NoClientAuth),
        ),
        (
            "X509-SVID 4.4: anyExtendedKeyUsage only",
            purposes(extended_key_usage(&[ANY_USAGE])),
            not(LeafRule::NoClientAuth),
        ),
        (
            "RFC 5280 4.2.1.12: empty extKeyUsage",
            purposes(sequence(&[])),
            not(LeafRule::ExtendedKeyUsage(DerError::Unexpected)),
        ),
        (
            "RFC 5280 4.2.1.12: not an OID beside clientAuth",
            purposes(sequence(&[&oid(CLIENT_AUTH), &[5, 0]])),
            not(LeafRule::ExtendedKeyUsage(DerError::Unexpected)),
        ),
        (
            "X.690 8.19: a purpose cut short beside clientAuth",
            purposes(extended_key_usage(&[CLIENT_AUTH, &[0x2a, 0x84]])),
            not(LeafRule::ExtendedKeyUsage(DerError::Contents)),
        ),
        (
            "RFC 5280 4.2.1.11: policyConstraints, critical or not",
            leaf(|c| c.with(POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[0])]))),
            not(LeafRule::PolicyConstraints),
        ),
        (
            "RFC 5280 4.2: unknown critical extension",
            leaf(|c| c.with(UNKNOWN, true, vec![5, 0])),
            not(LeafRule::CriticalExtension),
        ),
        (
            "RFC 5280 4.2: critical certificatePolicies",
            leaf(|c| c.with(CERTIFICATE_POLICIES, true, sequence(&[]))),
            not(LeafRule::CriticalExtension),
        ),
        (
            "RFC 5280 4.2.1.10: critical nameConstraints on a leaf",
            leaf(|c| c.with(NAME_CONSTRAINTS, true, name_constraints(&dns("a"), &[]))),
            not(LeafRule::CriticalExtension),
        ),
    ]);
}

fn with_spki(spki: Vec<u8>) -> Vec<u8> {
    leaf(|c| c.edit(|c| c.spki = spki))
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = sequence(&[&tlv(2, modulus), &tlv(2, exponent)]);
    let algorithm = sequence(&[
        &oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]),
        &[5, 0],
    ]);
    with_spki(sequence(&[&algorithm, &tlv(3, &[&[0][..], &key].concat())]))
}

/// A modulus of this many bits, as an INTEGER's contents.
fn modulus(bits: usize) -> Vec<u8> {
    let mut octets = vec![0xff; bits.div_ceil(8)];
    octets[0] >>= (8 - bits % 8) % 8;
    if octets[0] & 0x80 != 0 {
        octets.insert(0, 0);
    }
    octets
}

const F4: &[u8] = &[1, 0, 1];

fn ec(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), &oid(curve)]);
    with_spki(sequence(&[
        &algorithm,
        &tlv(3, &[&[0][..], point].concat()),
    ]))
}

/// Check 4: the leaf's own key, at which path validation never looks.
#[test]
fn a_leaf_has_a_key_that_proves_something() {
    let kind = |der: Vec<u8>| examine(&[der]).map(|p| p.leaf().key());
    for (algorithm, expected) in [
        (Algorithm::P256, KeyKind::EcdsaP256),
        (Algorithm::P384, KeyKind::EcdsaP384),
        (Algorithm::P521, KeyKind::EcdsaP521),
        (Algorithm::Ed25519, KeyKind::Ed25519),
        (Algorithm::Rsa2048, KeyKind::Rsa { bits: 2048 }),
    ] {
        let der = Issuer::root("root").sign(&Certificate::leaf(ID, &Key::new(algorithm)));
        assert_eq!(kind(der), Ok(expected));
    }
    assert_eq!(
        kind(rsa(&modulus(8192), F4)),
        Ok(KeyKind::Rsa { bits: 8192 })
    );
    assert_eq!(
        kind(rsa(&modulus(2048), &[1, 0xff, 0xff, 0xff, 0xff])),
        Ok(KeyKind::Rsa { bits: 2048 })
    );

    let point = |octets: usize| [&[4][..], &vec![7; octets]].concat();
    let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let key = |e| Refusal::from(LeafRule::Key(e));
    let encoding = |e| key(KeyError::Encoding(e));
    let rsa_with = |parameters: &[u8]| {
        let key = sequence(&[&tlv(2, &modulus(2048)), &tlv(2, F4)]);
        let algorithm = sequence(&[
            &oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]),
            parameters,
        ]);
        with_spki(sequence(&[&algorithm, &tlv(3, &[&[0][..], &key].concat())]))
    };
    let ed25519 = |key: &[u8], parameters: &[u8]| {
        let algorithm = sequence(&[&oid(&[0x2b, 0x65, 0x70]), parameters]);
        with_spki(sequence(&[&algorithm, &tlv(3, &[&[0][..], key].concat())]))
    };
    assert_table(vec![
        (
            "RSA 1024",
            rsa(&modulus(1024), F4),
            key(KeyError::RsaSize { bits: 1024 }),
        ),
        (
            "RSA 2047",
            rsa(&modulus(2047), F4),
            key(KeyError::RsaSize { bits: 2047 }),
        ),
        (
            "RSA 8193",
            rsa(&modulus(8193), F4),
            key(KeyError::RsaSize { bits: 8193 }),
        ),
        (
            "RSA exponent 1",
            rsa(&modulus(2048), &[1]),
            key(KeyError::RsaExponent),
        ),
        (
            "RSA exponent 3",
            rsa(&modulus(2048), &[3]),
            key(KeyError::RsaExponent),
        ),
        (
            "RSA exponent even",
            rsa(&modulus(2048), &[1, 0, 2]),
            key(KeyError::RsaExponent),
        ),
        (
            "RSA exponent of 34 bits",
            rsa(&modulus(2048), &[3, 0, 0, 0, 1]),
            key(KeyError::RsaExponent),
        ),
        (
            "RSA exponent zero",
            rsa(&modulus(2048), &[0]),
            key(KeyError::RsaExponent),
        ),
        (
            "RFC 4055 1.2: RSA without parameters",
            rsa_with(&[]),
            encoding(DerError::Unexpected),
        ),
        (
            "X.690 8.8.2: RSA with a NULL that has contents",
            rsa_with(&[5, 1, 0]),
            encoding(DerError::Contents),
        ),
        (
            "RSA modulus negative",
            rsa(&[0xff; 256], F4),
            encoding(DerError::Contents),
        ),
        (
            "P-224",
            ec(&[0x2b, 0x81, 4, 0, 0x21], &point(56)),
            key(KeyError::Algorithm),
        ),
        (
            "secp256k1",
            ec(&[0x2b, 0x81, 4, 0, 0x0a], &point(64)),
            key(KeyError::Algorithm),
        ),
        (
            "SEC 1 3.2.2: P-256, not on the curve",
            ec(p256, &point(64)),
            key(KeyError::Point),
        ),
        (
            "SEC 1 3.2.2: P-256, a coordinate beyond the field",
            ec(p256, &[&[4][..], &[0xff; 64]].concat()),
            key(KeyError::Point),
        ),
        (
            "SEC 1 3.2.2: P-384, not on the curve",
            ec(&[0x2b, 0x81, 4, 0, 0x22], &point(96)),
            key(KeyError::Point),
        ),
        (
            "SEC 1 3.2.2: P-521, not on the curve",
            ec(&[0x2b, 0x81, 4, 0, 0x23], &point(132)),
            key(KeyError::Point),
        ),
        (
            "P-256 with a short point",
            ec(p256, &point(63)),
            encoding(DerError::Contents),
        ),
        (
            "P-256, compressed",
            ec(p256, &[&[2][..], &[7; 32]].concat()),
            encoding(DerError::Contents),
        ),
        (
            "P-256, no point",
            ec(p256, &[]),
            encoding(DerError::Contents),
        ),
        (
            "Ed25519 with 31 octets",
            ed25519(&[7; 31], &[]),
            encoding(DerError::Contents),
        ),
        (
            "Ed25519 with parameters",
            ed25519(&[7; 32], &[5, 0]),
            encoding(DerError::Trailing),
        ),
        (
            "Ed448",
            with_spki(sequence(&[
                &sequence(&[&oid(&[0x2b, 0x65, 0x71])]),
                &tlv(3, &[0; 58]),
            ])),
            key(KeyError::Algorithm),
        ),
        (
            "not a key",
            with_spki(sequence(&[])),
            encoding(DerError::Unexpected),
        ),
        (
            "bytes after the key",
            with_spki({
                let spki = Key::p256().spki;
                sequence(&[&spki[2..], &[5, 0]])
            }),
            encoding(DerError::Trailing),
        ),
    ]);
}

/// The verdict's order: 2 before 3 before 4, and 3 before 4 whatever else is wrong.
#[test]
fn the_first_check_that_fails_decides() {
    let all_wrong = leaf(|c| c.without(KEY_USAGE).san(&[uri(ID), uri(ID)]).valid(-10, -5));
    assert_eq!(
        refusal(&[all_wrong.clone(), vec![0]]).reason(),
        Reason::Malformed
    );
    assert_eq!(refusal(&[all_wrong]).reason(), Reason::InvalidSpiffeId);
    let authority = leaf(|c| {
        c.with(BASIC_CONSTRAINTS, true, authority(None))
            .without(SAN)
    });
    assert_eq!(refusal(&[authority]).reason(), Reason::NoSpiffeId);
    let expired = leaf(|c| c.without(KEY_USAGE).valid(-10, -5));
    assert_eq!(refusal(&[expired]).reason(), Reason::NotAnSvid);
}

/// Check 5: RFC 5280 §4.1.2.5, both ends included.
#[test]
fn validity_includes_both_ends() {
    let presented = examine(&[leaf(|c| c.valid(-100, 100))]).unwrap();
    let judge = |seconds| presented.judge_validity(later(seconds));
    assert_eq!(judge(-100), Ok(()));
    assert_eq!(judge(100), Ok(()));
    let place = Place::Leaf;
    assert_eq!(
        judge(101),
        Err(Refusal::Expired {
            place,
            seconds_ago: 1
        })
    );
    assert_eq!(
        judge(-101),
        Err(Refusal::NotYetValid {
            place,
            seconds_ahead: 1
        })
    );
    assert_eq!(judge(101).unwrap_err().reason(), Reason::Expired);
    assert_eq!(judge(-101).unwrap_err().reason(), Reason::NotYetValid);
    let extreme = presented.judge_validity(verdict::time::UnixSeconds(i64::MIN));
    assert_eq!(extreme.unwrap_err().reason(), Reason::NotYetValid);
}

/// Every refusal of one certificate names its section, in one line.
#[test]
fn refusals_name_their_rule() {
    let chains = [
        vec![],
        vec![vec![0]],
        vec![leaf(|c| c.without(SAN))],
        vec![leaf(|c| c.san(&[uri("x:y")]))],
        vec![leaf(|c| c.without(KEY_USAGE))],
        vec![rsa(&modulus(1024), F4)],
    ];
    for chain in chains {
        let text = refusal(&chain).to_string();
        let names_section = text.contains('§') || text.contains("SPIFFE-ID");
        assert!(
            names_section && !text.contains('\n') && !text.ends_with('.'),
            "{text}"
        );
    }
}
