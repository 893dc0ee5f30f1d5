//! What the authority issues, read back by a parser that did not write it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaos::ca::{
    Authority, AuthorityOptions, CaError, Defect, KeyKind, Rotation, SvidOptions, Window,
};
use x509_parser::prelude::*;

const NOW: u64 = 1_767_323_045;
const ID: &str = "spiffe://example.org/frontend";

fn authority() -> Authority {
    Authority::new("example.org", AuthorityOptions::at(NOW)).unwrap()
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty(), "bytes after the certificate");
    certificate
}

fn uri_sans(certificate: &X509Certificate<'_>) -> Vec<String> {
    let san = certificate.subject_alternative_name().unwrap().unwrap();
    san.value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}

fn subject_key_id<'a>(certificate: &'a X509Certificate<'_>) -> &'a [u8] {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        })
        .expect("a subject key identifier")
}

fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> &'a [u8] {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0)
            }
            _ => None,
        })
        .expect("an authority key identifier")
}

/// Whether `parent` signed `child`, by name, by key identifier and by signature.
fn signed_by(child: &X509Certificate<'_>, parent: &X509Certificate<'_>) -> bool {
    child.issuer() == parent.subject()
        && authority_key_id(child) == subject_key_id(parent)
        && signature_fits(child, parent)
}

/// The signature alone, under any kind of key an authority here can have.
fn signature_fits(child: &X509Certificate<'_>, parent: &X509Certificate<'_>) -> bool {
    let algorithms: [&'static dyn VerificationAlgorithm; 5] = [
        &ECDSA_P256_SHA256_ASN1,
        &ECDSA_P384_SHA384_ASN1,
        &ECDSA_P521_SHA512_ASN1,
        &ED25519,
        &RSA_PKCS1_2048_8192_SHA256,
    ];
    let key = &parent.public_key().subject_public_key.data;
    algorithms.into_iter().any(|algorithm| {
        UnparsedPublicKey::new(algorithm, key)
            .verify(child.tbs_certificate.as_ref(), &child.signature_value.data)
            .is_ok()
    })
}

fn covers(certificate: &X509Certificate<'_>, now: u64) -> bool {
    let now = ASN1Time::from_timestamp(i64::try_from(now).unwrap()).unwrap();
    certificate.validity().is_valid_at(now)
}

/// Every rule of X509-SVID sections 2 to 5 that one certificate can show, at `NOW`, under `root`.
fn is_good_svid(leaf: &X509Certificate<'_>, root: &X509Certificate<'_>) -> bool {
    let san = leaf.subject_alternative_name().unwrap().unwrap();
    let one_workload_id = uri_sans(leaf).len() == 1
        && uri_sans(leaf)[0]
            .strip_prefix("spiffe://example.org/")
            .is_some_and(|path| !path.is_empty());
    let usage = leaf.key_usage().unwrap().is_some_and(|usage| {
        usage.critical
            && usage.value.digital_signature()
            && !usage.value.key_cert_sign()
            && !usage.value.crl_sign()
    });
    let extended = leaf
        .extended_key_usage()
        .unwrap()
        .is_some_and(|usage| usage.value.server_auth && usage.value.client_auth);
    let basic = leaf
        .basic_constraints()
        .unwrap()
        .is_some_and(|basic| !basic.value.ca);
    san.value.general_names.len() == 1
        && one_workload_id
        && usage
        && extended
        && basic
        && covers(leaf, NOW)
        && signed_by(leaf, root)
}

#[test]
fn an_svid_is_what_spire_issues() {
    let authority = authority();
    let svid = authority.issue(ID, &SvidOptions::at(NOW)).unwrap();
    assert_eq!(svid.chain_der.len(), 1);
    let (leaf, root) = (parse(svid.leaf_der()), parse(&authority.anchors()[0]));
    assert!(is_good_svid(&leaf, &root));
    assert_eq!(leaf.version(), X509Version::V3);
    assert_eq!(uri_sans(&leaf), [ID]);
    assert_eq!(leaf.subject().to_string(), "C=US, O=SPIRE");
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.key_encipherment() && usage.key_agreement());
    assert_eq!(leaf.validity().not_before.timestamp(), NOW as i64 - 10);
    assert_eq!(leaf.validity().not_after.timestamp(), NOW as i64 + 3_600);
    assert!(!subject_key_id(&leaf).is_empty());
}

#[test]
fn a_root_is_what_spire_publishes() {
    let authority = authority();
    let root = parse(&authority.anchors()[0]);
    assert!(root.is_ca());
    assert_eq!(uri_sans(&root), ["spiffe://example.org"]);
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert!(signature_fits(&root, &root), "self-signed");
    assert!(covers(&root, NOW));
}

#[test]
fn every_kind_of_key_signs_and_is_signed() {
    for kind in KeyKind::ALL {
        let authority =
            Authority::new("example.org", AuthorityOptions::at(NOW).with_key(kind)).unwrap();
        let svid = authority
            .issue(ID, &SvidOptions::at(NOW).with_key(kind))
            .unwrap();
        let (leaf, root) = (parse(svid.leaf_der()), parse(&authority.anchors()[0]));
        assert!(is_good_svid(&leaf, &root), "{kind:?}");
    }
}

#[test]
fn every_defect_makes_a_bad_svid_and_no_defect_a_good_one() {
    let authority = authority();
    let root = parse(&authority.anchors()[0]);
    for defect in Defect::ALL {
        let id = if defect == Defect::AnyId {
            "spiffe://partner.test/frontend"
        } else {
            ID
        };
        let svid = authority
            .issue(id, &SvidOptions::at(NOW).with_defect(defect))
            .unwrap();
        let leaf = parse(svid.leaf_der());
        assert!(
            !is_good_svid(&leaf, &root),
            "{defect:?} passes for a good SVID"
        );
        // And it is the asked defect, not a broken signature, that makes it bad.
        assert_eq!(
            signed_by(&leaf, &root),
            defect != Defect::Forged,
            "{defect:?}"
        );
    }
}

#[test]
fn each_defect_is_the_one_named() {
    let authority = authority();
    let spoiled = |defect| {
        authority
            .issue(ID, &SvidOptions::at(NOW).with_defect(defect))
            .unwrap()
    };
    let check = |defect, is_so: &dyn Fn(&X509Certificate<'_>) -> bool| {
        let svid = spoiled(defect);
        assert!(is_so(&parse(svid.leaf_der())), "{defect:?}");
    };
    let usage = |leaf: &X509Certificate<'_>| leaf.key_usage().unwrap().map(|usage| *usage.value);
    check(Defect::Expired, &|leaf| {
        leaf.validity().not_after.timestamp() == NOW as i64 - 11
    });
    check(Defect::NotYetValid, &|leaf| {
        leaf.validity().not_before.timestamp() == NOW as i64 + 3_601
    });
    check(Defect::NoUriSan, &|leaf| uri_sans(leaf).is_empty());
    check(Defect::TwoUriSans, &|leaf| {
        uri_sans(leaf) == [ID, "https://frontend.example/"]
    });
    check(Defect::PathlessId, &|leaf| {
        uri_sans(leaf) == ["spiffe://example.org"]
    });
    check(Defect::WrongExtendedKeyUsage, &|leaf| {
        !leaf
            .extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .client_auth
    });
    check(Defect::CaTrue, &|leaf| leaf.is_ca());
    check(Defect::NoKeyUsage, &|leaf| usage(leaf).is_none());
    check(Defect::NoDigitalSignature, &|leaf| {
        !usage(leaf).unwrap().digital_signature()
    });
    check(Defect::KeyCertSign, &|leaf| {
        usage(leaf).unwrap().key_cert_sign()
    });
    check(Defect::CrlSign, &|leaf| usage(leaf).unwrap().crl_sign());
}

#[test]
fn a_forgery_bears_every_name_of_the_real_one() {
    let options = AuthorityOptions::at(NOW).with_intermediates(2);
    let authority = Authority::new("example.org", options).unwrap();
    let real = authority.issue(ID, &SvidOptions::at(NOW)).unwrap();
    let forged = authority
        .issue(ID, &SvidOptions::at(NOW).with_defect(Defect::Forged))
        .unwrap();
    assert_eq!(real.chain_der.len(), forged.chain_der.len());
    for (real, forged) in real.chain_der.iter().zip(&forged.chain_der) {
        let (real, forged) = (parse(real), parse(forged));
        assert_eq!(real.subject(), forged.subject());
        assert_eq!(real.issuer(), forged.issuer());
        assert_eq!(authority_key_id(&real), authority_key_id(&forged));
        assert_ne!(real.public_key().raw, forged.public_key().raw);
    }
    let root = parse(&authority.anchors()[0]);
    let top = parse(forged.chain_der.last().unwrap());
    assert_eq!(authority_key_id(&top), subject_key_id(&root));
    assert!(!signature_fits(&top, &root));
}

#[test]
fn a_chain_leads_from_the_leaf_to_the_root() {
    for depth in [1, 3, 20] {
        let options = AuthorityOptions::at(NOW).with_intermediates(depth);
        let authority = Authority::new("example.org", options).unwrap();
        let svid = authority.issue(ID, &SvidOptions::at(NOW)).unwrap();
        assert_eq!(svid.chain_der.len(), depth + 1);
        let mut path: Vec<_> = svid.chain_der.iter().map(|der| parse(der)).collect();
        path.push(parse(&authority.anchors()[0]));
        for pair in path.windows(2) {
            assert!(signed_by(&pair[0], &pair[1]));
            assert!(pair[1].is_ca());
        }
    }
}

#[test]
fn an_overlapping_rotation_keeps_the_old_root_an_abrupt_one_does_not() {
    let mut authority = authority();
    let before = authority.issue(ID, &SvidOptions::at(NOW)).unwrap();
    let window = Window::from(NOW + 60, 3_600);
    authority.rotate(Rotation::Overlapping, window).unwrap();
    assert_eq!(authority.anchors().len(), 2);
    assert_eq!(authority.anchors_der(), authority.anchors().concat());
    let after = authority.issue(ID, &SvidOptions::at(NOW + 60)).unwrap();
    let (old, new) = (
        authority.anchors()[0].clone(),
        authority.anchors()[1].clone(),
    );
    assert!(signed_by(&parse(before.leaf_der()), &parse(&old)));
    assert!(signed_by(&parse(after.leaf_der()), &parse(&new)));
    assert!(!signed_by(&parse(after.leaf_der()), &parse(&old)));
    // SPIRE's roots share one subject: only the key identifier tells them apart.
    assert_eq!(parse(&old).subject(), parse(&new).subject());

    authority.retire_old_roots();
    assert_eq!(authority.anchors(), [new]);
    authority.rotate(Rotation::Abrupt, window).unwrap();
    assert_eq!(authority.anchors().len(), 1);
    assert!(!signed_by(
        &parse(after.leaf_der()),
        &parse(&authority.anchors()[0])
    ));
}

#[test]
fn what_cannot_be_made_is_refused_by_name() {
    let authority = authority();
    let options = SvidOptions::at(NOW);
    for id in [
        "spiffe://example.org.evil/x",
        "spiffe://example.org",
        "spiffe://partner.test/x",
        "",
    ] {
        let error = authority.issue(id, &options).unwrap_err();
        assert!(matches!(error, CaError::ForeignId { .. }), "{id}: {error}");
    }
    let late = options.with_window(Window {
        not_before: NOW,
        not_after: u64::MAX,
    });
    assert!(matches!(
        authority.issue(ID, &late),
        Err(CaError::TimeOutOfRange { unix_s: u64::MAX })
    ));
    let deep = AuthorityOptions::at(NOW).with_intermediates(21);
    assert!(matches!(
        Authority::new("example.org", deep),
        Err(CaError::TooManyIntermediates { asked: 21, max: 20 })
    ));
}

/// Independent of the encoder: every `%XX`, nothing else.
fn percent_decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).unwrap()
}

fn pem_blocks(text: &str) -> Vec<Vec<u8>> {
    x509_parser::pem::Pem::iter_from_buffer(text.as_bytes())
        .map(|pem| pem.unwrap().contents)
        .collect()
}

#[test]
fn headers_carry_the_certificates_in_each_proxys_writing() {
    let options = AuthorityOptions::at(NOW).with_intermediates(2);
    let svid = Authority::new("example.org", options)
        .unwrap()
        .issue(ID, &SvidOptions::at(NOW))
        .unwrap();

    let xfcc = svid.xfcc();
    let parts: Vec<_> = xfcc
        .split(';')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["Hash", "Cert", "Chain", "Subject", "URI"],
        "Envoy's order"
    );
    assert_eq!(parts[0].1, svid.leaf_sha256_hex());
    assert_eq!(svid.leaf_sha256_hex().len(), 64);
    let unquoted = |index: usize| parts[index].1.trim_matches('"');
    assert_eq!(
        pem_blocks(&percent_decode(unquoted(1))),
        [svid.leaf_der().to_vec()]
    );
    assert_eq!(pem_blocks(&percent_decode(unquoted(2))), svid.chain_der);
    assert!(!unquoted(2).contains([' ', '+', '/', '=', '\n', ',']));
    assert_eq!(parts[4].1, ID);
    assert!(
        svid.xfcc_as("spiffe://example.org/admin")
            .ends_with(";URI=spiffe://example.org/admin")
    );
    assert!(!svid.xfcc_without_cert().contains("Cert"));

    assert_eq!(
        pem_blocks(&percent_decode(&svid.pem_urlencoded())),
        [svid.leaf_der().to_vec()]
    );
    assert!(
        svid.pem_urlencoded()
            .starts_with("-----BEGIN%20CERTIFICATE-----%0A")
    );
    assert!(
        svid.pem_spaces()
            .starts_with("-----BEGIN CERTIFICATE----- M")
    );
    assert!(!svid.pem_spaces().contains('\n'));
    assert_eq!(STANDARD.decode(svid.der_base64()).unwrap(), svid.leaf_der());
    let list: Vec<_> = svid
        .der_base64_list()
        .split(',')
        .map(|item| STANDARD.decode(item).unwrap())
        .collect();
    assert_eq!(list, svid.chain_der);

    let item = |text: &str| {
        STANDARD
            .decode(text.strip_prefix(':').unwrap().strip_suffix(':').unwrap())
            .unwrap()
    };
    assert_eq!(item(&svid.rfc9440_client_cert()), svid.leaf_der());
    let chain = svid.rfc9440_client_cert_chain().unwrap();
    let chain: Vec<_> = chain.split(", ").map(item).collect();
    assert_eq!(chain, svid.intermediates_der());
    assert!(
        authority()
            .issue(ID, &SvidOptions::at(NOW))
            .unwrap()
            .rfc9440_client_cert_chain()
            .is_none()
    );
}

#[test]
fn debug_output_shows_no_key_and_no_certificate() {
    let authority = authority();
    let svid = authority.issue(ID, &SvidOptions::at(NOW)).unwrap();
    let workload = chaos::spire::WorkloadSvid {
        svid: svid.clone(),
        hint: String::new(),
    };
    let shown = format!("{svid:?} {svid:#?} {authority:?} {workload:?}");
    assert!(shown.contains(ID));
    assert!(shown.len() < 800, "only names and counts: {shown}");
    // A vector of bytes would show as a list of numbers.
    let key = svid.key_pkcs8_der();
    assert!(!shown.contains(&format!("{}, {}, {}", key[0], key[1], key[2])));
}
