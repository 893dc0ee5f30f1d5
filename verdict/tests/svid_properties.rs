//! What holds of every input: nothing panics, nothing altered is believed, and our reading of a
//! certificate is the reading of others.

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
use proptest::prelude::*;
use std::sync::LazyLock;
use verdict::anchors::AnchorSet;
use verdict::svid::{Leaf, examine, validate};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const ID: &str = "spiffe://example.org/web";

struct Chain {
    leaf: Vec<u8>,
    intermediate: Vec<u8>,
    root: Vec<u8>,
}

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let root = Issuer::root("root");
    let intermediate = root.below("intermediate");
    let leaf = intermediate.leaf(ID);
    Chain {
        leaf,
        intermediate: intermediate.der,
        root: root.der,
    }
});

fn verified_id(leaf: &[u8], intermediate: &[u8], root: &[u8]) -> Option<String> {
    let presented = examine(&[leaf.to_vec(), intermediate.to_vec()]).ok()?;
    let anchors = AnchorSet::from_der(root).ok()?;
    let verified = validate(&presented, &anchors, NOW).ok()?;
    Some(verified.id().to_string())
}

/// Every copy of these bytes with one bit changed.
fn flips(der: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..der.len() * 8).map(|bit| {
        let mut flipped = der.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn no_flipped_bit_of_a_chain_is_believed() {
    let Chain {
        leaf,
        intermediate,
        root,
    } = &*CHAIN;
    assert_eq!(verified_id(leaf, intermediate, root).as_deref(), Some(ID));
    for flipped in flips(leaf) {
        assert_eq!(verified_id(&flipped, intermediate, root), None);
    }
    for flipped in flips(intermediate) {
        assert_eq!(verified_id(leaf, &flipped, root), None);
    }
    // A bundle is trusted as it comes: what its own signature covers may change nothing.
    for flipped in flips(root) {
        let id = verified_id(leaf, intermediate, &flipped);
        assert!(id.is_none() || id.as_deref() == Some(ID));
    }
}

#[test]
fn no_truncation_of_a_chain_is_read() {
    let Chain {
        leaf,
        intermediate,
        root,
    } = &*CHAIN;
    for length in 0..leaf.len() {
        assert!(examine(&[leaf[..length].to_vec()]).is_err());
    }
    for length in 0..intermediate.len() {
        assert!(examine(&[leaf.clone(), intermediate[..length].to_vec()]).is_err());
    }
    for length in 1..root.len() {
        assert!(AnchorSet::from_der(&root[..length]).is_err());
    }
}

/// Reads a leaf as x509-parser does, and compares.
fn assert_same_reading(leaf: &Leaf) {
    let (rest, other) = X509Certificate::from_der(leaf.der()).expect("x509-parser reads it too");
    assert!(rest.is_empty());
    assert_eq!(other.validity().not_before.timestamp(), leaf.not_before().0);
    assert_eq!(other.validity().not_after.timestamp(), leaf.not_after().0);
    let serial: String = other
        .raw_serial()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    assert_eq!(
        serial.trim_start_matches("00"),
        leaf.serial().trim_start_matches("00")
    );
    let san = other.subject_alternative_name().unwrap().unwrap();
    let is_uri = |name: &&GeneralName<'_>| matches!(name, GeneralName::URI(_));
    let uris: Vec<_> = san.value.general_names.iter().filter(is_uri).collect();
    assert_eq!(uris, [&GeneralName::URI(leaf.id().as_str())]);
    let usage = other.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    assert!(!other.is_ca());
    let purposes = other.extended_key_usage().unwrap();
    assert!(purposes.is_none_or(|purposes| purposes.value.client_auth));
}

/// Whatever we accept as a leaf, webpki and x509-parser read, and read alike. No signature is
/// checked here, so that altered certificates get this far.
#[test]
fn readers_agree_on_every_leaf_that_is_accepted() {
    let mut accepted = 0;
    for flipped in flips(&CHAIN.leaf) {
        let Ok(presented) = examine(std::slice::from_ref(&flipped)) else {
            continue;
        };
        let der = rustls_pki_types::CertificateDer::from(flipped.as_slice());
        let other = webpki::EndEntityCert::try_from(&der).expect("webpki reads it too");
        let uris: Vec<_> = other.valid_uri_names().collect();
        assert_eq!(uris, [presented.id().as_str()]);
        assert_same_reading(presented.leaf());
        accepted += 1;
    }
    assert!(
        accepted > 500,
        "signatures, keys and names may change freely: {accepted}"
    );
}

/// Bytes that look like DER: nested elements with honest and dishonest lengths.
fn der_like() -> impl Strategy<Value = Vec<u8>> {
    let element = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(tag, value)| tlv(tag, &value));
    element.prop_recursive(6, 64, 6, |inner| {
        let tag =
            prop::sample::select(vec![0x30u8, 0x31, 0xa0, 0xa3, 0x04, 0x03, 0x86, 0x02, 0x06]);
        (tag, prop::collection::vec(inner, 0..6)).prop_map(|(tag, parts)| tlv(tag, &parts.concat()))
    })
}

/// The contents of a name: sets of attributes with values of any type.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let value = (0u8..0x1f, prop::collection::vec(any::<u8>(), 0..60));
    let attribute = (prop::collection::vec(0u8..0x80, 1..5), value)
        .prop_map(|(arcs, (tag, value))| sequence(&[&oid(&arcs), &tlv(tag, &value)]));
    let set = prop::collection::vec(attribute, 1..4).prop_map(|all| tlv(0x31, &all.concat()));
    prop::collection::vec(set, 0..40).prop_map(|sets| sets.concat())
}

proptest! {
    #[test]
    fn nothing_panics(der in prop_oneof![der_like(), prop::collection::vec(any::<u8>(), 0..300)]) {
        let _ = examine(&[der.clone(), der.clone()]);
        let _ = AnchorSet::from_der(&der);
    }

    /// Any extension value, in any place, is refused or obeyed, never believed beyond the leaf.
    #[test]
    fn no_extension_value_panics(
        value in der_like(),
        oid in prop::sample::select(vec![SKI, KEY_USAGE, SAN, BASIC_CONSTRAINTS, NAME_CONSTRAINTS, AKI, EKU]),
        critical in any::<bool>(),
    ) {
        // The writer adds an authority key identifier of its own, unless told not to.
        let odd = |c: Certificate| {
            let c = c.with(oid, critical, value.clone());
            c.edit(|c| c.issuer_key_id = (oid == AKI).then_some(None))
        };
        let root = Issuer::root_with(Key::p256(), "root", odd);
        let leaf = root.sign(&Certificate::leaf(ID, &Key::p256()));
        let anchors = AnchorSet::from_der(&root.der).unwrap();
        let both = [leaf, root.der.clone()];
        let presented = examine(&both).or_else(|_| examine(&both[..1])).unwrap();
        if let Ok(verified) = validate(&presented, &anchors, NOW) {
            prop_assert_eq!(verified.id().as_str(), ID);
        }
        if let Ok(presented) = examine(&[root.sign(&odd(Certificate::leaf(ID, &Key::p256())))]) {
            prop_assert_eq!(presented.id().as_str(), ID);
        }
    }

    /// Any key and any name are shown in bounded text without control characters.
    #[test]
    fn no_key_or_name_panics(spki in der_like(), name in der_like(), attributes in attributes()) {
        let key = Key::p256();
        let odd = Certificate::leaf(ID, &key).edit(|c| c.spki = tlv(0x30, &spki));
        let _ = examine(&[odd.sign(&tlv(0x30, &[]), &key)]);
        let _ = examine(&[Certificate::leaf(ID, &key).sign(&tlv(0x30, &name), &key)]);
        let named = Certificate::leaf(ID, &key).sign(&tlv(0x30, &attributes), &key);
        let issuer = examine(&[named]).unwrap().leaf().issuer();
        prop_assert!(issuer.len() <= verdict::svid::NAME_TEXT_MAX_BYTES);
        prop_assert!(!issuer.contains(char::is_control));
    }

    /// A leaf holds exactly from notBefore to notAfter, at every second asked.
    #[test]
    fn verified_exactly_while_every_certificate_is_valid(
        leaf in (-50i64..=0, 0i64..50), root in (-50i64..=0, 0i64..50), at in -60i64..60,
    ) {
        let issuer = Issuer::root_with(Key::p256(), "root", |c| c.valid(root.0, root.1));
        let der = issuer.sign(&Certificate::leaf(ID, &Key::p256()).valid(leaf.0, leaf.1));
        let anchors = AnchorSet::from_der(&issuer.der).unwrap();
        let presented = examine(&[der]).unwrap();
        let valid = leaf.0.max(root.0) <= at && at <= leaf.1.min(root.1);
        prop_assert_eq!(validate(&presented, &anchors, later(at)).is_ok(), valid);
        let remembered = validate(&presented, &anchors, NOW).unwrap();
        prop_assert_eq!(remembered.judge(later(at)).is_ok(), valid);
    }
}
