//! What can be wrong, or only unusual, about a leaf.

use super::common::*;
use super::scene::{Act, Edit, Step, with_usage};

pub const CRL_POINTS: &[u8] = &[0x55, 0x1d, 31];
pub const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
pub const INHIBIT_ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
pub const AUTHORITY_INFO: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// 2.25.340282366920938463463374607431768211455: an UUID, with an arc of 128 bits.
pub const UUID_OID: &[u8] = &[
    0x69, 0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0x7f,
];

pub fn crl_points() -> Vec<u8> {
    let full_name = tlv(0xa0, &tlv(0xa0, &uri("http://crl.example.org/x")));
    sequence(&[&sequence(&[&full_name])])
}

pub fn authority_info() -> Vec<u8> {
    sequence(&[&sequence(&[
        &oid(&[0x2b, 6, 1, 5, 5, 7, 48, 1]),
        &uri("http://ocsp.example.org"),
    ])])
}

pub fn policies(oids: &[&[u8]]) -> Vec<u8> {
    tlv(
        0x30,
        &oids
            .iter()
            .flat_map(|id| sequence(&[&oid(id)]))
            .collect::<Vec<_>>(),
    )
}

/// Text that a UTF8String must not have.
pub fn odd_name() -> Vec<u8> {
    sequence(&[&tlv(
        0x31,
        &sequence(&[&oid(&[0x55, 4, 3]), &tlv(0x0c, b"caf\xe9")]),
    )])
}

pub fn bit_string_name() -> Vec<u8> {
    sequence(&[&tlv(
        0x31,
        &sequence(&[&oid(&[0x55, 4, 45]), &tlv(3, &[0, 1])]),
    )])
}

const WEB: &str = "spiffe://example.org/web";

pub fn steps() -> Vec<Step> {
    let uris = URIS
        .iter()
        .map(|(tag, text)| Step::new(tag, Act::LeafUri(text)));
    let edits = [NAMES, USAGES, EXTENSIONS, FIELDS, KEYS].concat();
    let edits = edits
        .iter()
        .map(|(tag, edit)| Step::new(tag, Act::Leaf(*edit)));
    uris.chain(edits).collect()
}

const LONG: [u8; 2049] = long();

const fn long() -> [u8; 2049] {
    let mut text = [b'p'; 2049];
    let start = b"spiffe://example.org/";
    let mut at = 0;
    while at < start.len() {
        text[at] = start[at];
        at += 1;
    }
    text
}

const URIS: &[(&str, &[u8])] = &[
    ("leaf-id-of-https", b"https://example.org/web"),
    ("leaf-id-without-path", b"spiffe://example.org"),
    ("leaf-id-with-root-path", b"spiffe://example.org/"),
    ("leaf-id-upper-scheme", b"SPIFFE://example.org/web"),
    ("leaf-id-upper-domain", b"spiffe://Example.org/web"),
    ("leaf-id-percent", b"spiffe://example.org/%61"),
    ("leaf-id-percent-in-domain", b"spiffe://exam%70le.org/web"),
    ("leaf-id-port", b"spiffe://example.org:443/web"),
    ("leaf-id-user", b"spiffe://web@example.org/web"),
    ("leaf-id-parent-segment", b"spiffe://example.org/../web"),
    ("leaf-id-dot-segment", b"spiffe://example.org/./web"),
    ("leaf-id-empty-segment", b"spiffe://example.org//web"),
    ("leaf-id-trailing-slash", b"spiffe://example.org/web/"),
    ("leaf-id-query", b"spiffe://example.org/web?admin"),
    ("leaf-id-empty-query", b"spiffe://example.org/web?"),
    ("leaf-id-fragment", b"spiffe://example.org/web#admin"),
    ("leaf-id-empty-fragment", b"spiffe://example.org/web#"),
    ("leaf-id-backslash", b"spiffe://example.org\\web/web"),
    ("leaf-id-nul", b"spiffe://example.org/web\0"),
    ("leaf-id-new-line", b"spiffe://example.org/web\n"),
    ("leaf-id-space", b"spiffe://example.org/we b"),
    ("leaf-id-eight-bits", b"spiffe://example.org/w\xe9b"),
    ("leaf-id-utf8", "spiffe://example.org/wéb".as_bytes()),
    ("leaf-id-comma", b"spiffe://example.org/web,By=x"),
    ("leaf-id-empty", b""),
    ("leaf-id-scheme-only", b"spiffe://"),
    ("leaf-id-without-domain", b"spiffe:///web"),
    ("leaf-id-one-slash", b"spiffe:/example.org/web"),
    ("leaf-id-domain-in-brackets", b"spiffe://[::1]/web"),
    (
        "leaf-id-dots-in-segments",
        b"spiffe://example.org/.../a..b/.c",
    ),
    ("leaf-id-every-letter", b"spiffe://example.org/aZ09.-_/x"),
    ("leaf-id-over-2048-bytes", &LONG),
    ("leaf-id-of-unknown-domain", b"spiffe://nobody.test/web"),
    ("leaf-id-of-longer-domain", b"spiffe://sub.example.org/web"),
    (
        "leaf-id-of-longer-name",
        b"spiffe://example.org.evil.test/web",
    ),
];

type Row = (&'static str, Edit);

const NAMES: &[Row] = &[
    ("leaf-without-san", |c| c.without(SAN)),
    ("leaf-san-empty", |c| c.with(SAN, false, sequence(&[]))),
    ("leaf-san-empty-critical", |c| c.san(&[])),
    ("leaf-san-unreadable", |c| c.with(SAN, true, vec![5, 0])),
    ("leaf-dns-only", |c| c.san(&[dns("web.example.org")])),
    ("leaf-id-as-dns", |c| c.san(&[dns(WEB)])),
    ("leaf-two-uris", |c| {
        c.san(&[uri(WEB), uri("https://example.org")])
    }),
    ("leaf-two-ids", |c| {
        c.san(&[uri(WEB), uri("spiffe://example.org/admin")])
    }),
    ("leaf-same-uri-twice", |c| c.san(&[uri(WEB), uri(WEB)])),
    ("leaf-san-not-critical", |c| {
        let value = san(&c);
        c.with(SAN, false, value)
    }),
    ("leaf-other-names", |c| {
        add_names(
            c,
            &[
                dns("a.test"),
                tlv(0x87, &[1; 4]),
                tlv(0x87, &[1; 16]),
                tlv(0x81, b"a@b.test"),
            ],
        )
    }),
    ("leaf-every-form-of-name", |c| {
        let other = tlv(
            0xa0,
            &[oid(&[0x2a, 3]), tlv(0xa0, &tlv(0x0c, b"x"))].concat(),
        );
        add_names(
            c,
            &[
                other,
                tlv(0xa4, &name("x")),
                tlv(0x88, &[0x2a, 3]),
                tlv(0xa3, &[]),
                tlv(0xa5, &[]),
            ],
        )
    }),
    ("leaf-dns-not-ia5", |c| {
        add_names(c, &[tlv(0x82, b"caf\xe9.test")])
    }),
    ("leaf-email-not-ia5", |c| {
        add_names(c, &[tlv(0x81, b"caf\xe9@b.test")])
    }),
    ("leaf-ip-of-5-octets", |c| {
        add_names(c, &[tlv(0x87, &[1; 5])])
    }),
    ("leaf-unknown-form-of-name", |c| {
        add_names(c, &[tlv(0x89, b"x")])
    }),
    ("leaf-subject-filled", |c| {
        c.edit(|c| c.subject = name("web"))
    }),
    ("leaf-subject-no-name", |c| {
        c.edit(|c| c.subject = sequence(&[&[5, 0]]))
    }),
    ("leaf-subject-type-cut", |c| {
        c.edit(|c| {
            c.subject = sequence(&[&tlv(
                0x31,
                &sequence(&[&oid(&[0x55, 0x84]), &tlv(0x0c, b"x")]),
            )])
        })
    }),
    ("leaf-subject-empty-set", |c| {
        c.edit(|c| c.subject = sequence(&[&tlv(0x31, &[])]))
    }),
    ("leaf-subject-not-utf8", |c| {
        c.edit(|c| c.subject = odd_name())
    }),
    ("leaf-subject-of-bits", |c| {
        c.edit(|c| c.subject = bit_string_name())
    }),
];

/// The leaf's SAN, unless another mutation took it.
fn san(certificate: &Certificate) -> Vec<u8> {
    let san = certificate.extensions.iter().find(|e| e.oid == SAN);
    san.map_or_else(|| sequence(&[]), |san| san.value.clone())
}

fn add_names(certificate: Certificate, names: &[Vec<u8>]) -> Certificate {
    // Two bytes of tag and length: the names of a good leaf are short.
    let names = [&san(&certificate)[2..], &names.concat()].concat();
    certificate.with(SAN, true, tlv(0x30, &names))
}

const USAGES: &[Row] = &[
    ("leaf-ca", |c| {
        c.with(BASIC_CONSTRAINTS, true, authority(None))
    }),
    ("leaf-without-basic-constraints", |c| {
        c.without(BASIC_CONSTRAINTS)
    }),
    ("leaf-ca-explicitly-false", |c| {
        c.with(BASIC_CONSTRAINTS, true, sequence(&[&[1, 1, 0]]))
    }),
    ("leaf-ca-of-another-true", |c| {
        c.with(BASIC_CONSTRAINTS, true, sequence(&[&[1, 1, 1]]))
    }),
    ("leaf-basic-constraints-unreadable", |c| {
        c.with(BASIC_CONSTRAINTS, true, vec![5, 0])
    }),
    ("leaf-path-length", |c| {
        c.with(BASIC_CONSTRAINTS, true, sequence(&[&[2, 1, 0]]))
    }),
    ("leaf-key-cert-sign", |c| {
        with_usage(c, DIGITAL_SIGNATURE | KEY_CERT_SIGN)
    }),
    ("leaf-crl-sign", |c| {
        with_usage(c, DIGITAL_SIGNATURE | CRL_SIGN)
    }),
    ("leaf-digital-signature-only", |c| {
        with_usage(c, DIGITAL_SIGNATURE)
    }),
    ("leaf-key-usage-not-critical", |c| {
        c.with(KEY_USAGE, false, key_usage(DIGITAL_SIGNATURE))
    }),
    ("leaf-key-usage-of-nine-bits", |c| {
        c.with(KEY_USAGE, true, tlv(3, &[7, DIGITAL_SIGNATURE, 0x80]))
    }),
    ("leaf-without-digital-signature", |c| {
        with_usage(c, KEY_ENCIPHERMENT)
    }),
    ("leaf-without-key-usage", |c| c.without(KEY_USAGE)),
    ("leaf-key-usage-empty", |c| {
        c.with(KEY_USAGE, true, tlv(3, &[0]))
    }),
    ("leaf-key-usage-unreadable", |c| {
        c.with(KEY_USAGE, true, vec![5, 0])
    }),
    ("leaf-without-eku", |c| c.without(EKU)),
    ("leaf-eku-client-only", |c| {
        c.with(EKU, true, extended_key_usage(&[CLIENT_AUTH]))
    }),
    ("leaf-eku-without-client-auth", |c| {
        c.with(EKU, false, extended_key_usage(&[SERVER_AUTH]))
    }),
    ("leaf-eku-any", |c| {
        c.with(EKU, false, extended_key_usage(&[ANY_USAGE]))
    }),
    ("leaf-eku-empty", |c| c.with(EKU, false, sequence(&[]))),
    ("leaf-eku-unreadable", |c| c.with(EKU, false, vec![5, 0])),
    ("leaf-eku-cut", |c| {
        c.with(
            EKU,
            false,
            extended_key_usage(&[CLIENT_AUTH, &[0x2a, 0x84]]),
        )
    }),
    ("leaf-eku-of-a-long-arc", |c| {
        c.with(EKU, false, extended_key_usage(&[CLIENT_AUTH, UUID_OID]))
    }),
];

const EXTENSIONS: &[Row] = &[
    ("leaf-unknown-critical", |c| {
        c.with(UNKNOWN, true, vec![5, 0])
    }),
    ("leaf-unknown", |c| c.with(UNKNOWN, false, vec![5, 0])),
    ("leaf-unknown-twice", |c| {
        c.and(UNKNOWN, false, vec![]).and(UNKNOWN, false, vec![])
    }),
    ("leaf-san-twice", |c| c.and(SAN, true, tlv(0x30, &uri(WEB)))),
    ("leaf-extension-of-a-long-arc", |c| {
        c.with(UUID_OID, false, vec![5, 0])
    }),
    ("leaf-extension-cut", |c| {
        c.with(&[0x2a, 0x84], false, vec![5, 0])
    }),
    ("leaf-65-extensions", |c| {
        (0..65).fold(c, |c, n| c.and(&[0x2a, n], false, vec![]))
    }),
    ("leaf-policies", |c| {
        c.with(CERTIFICATE_POLICIES, false, policies(&[&[0x2a, 3, 4]]))
    }),
    ("leaf-policies-unreadable", |c| {
        c.with(CERTIFICATE_POLICIES, false, vec![5, 0])
    }),
    ("leaf-policy-twice", |c| {
        c.with(
            CERTIFICATE_POLICIES,
            false,
            policies(&[&[0x2a, 3], &[0x2a, 3]]),
        )
    }),
    ("leaf-critical-policies", |c| {
        c.with(CERTIFICATE_POLICIES, true, policies(&[&[0x2a, 3, 4]]))
    }),
    ("leaf-policy-mappings-unreadable", |c| {
        c.with(POLICY_MAPPINGS, false, vec![5, 0])
    }),
    ("leaf-policy-constraints-unreadable", |c| {
        c.with(POLICY_CONSTRAINTS, false, vec![5, 0])
    }),
    ("leaf-policy-constraints", |c| {
        c.with(POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[0])]))
    }),
    ("leaf-policy-constraints-critical", |c| {
        c.with(POLICY_CONSTRAINTS, true, sequence(&[&tlv(0x80, &[0])]))
    }),
    ("leaf-inhibit-any-policy-unreadable", |c| {
        c.with(INHIBIT_ANY_POLICY, false, vec![5, 0])
    }),
    ("leaf-crl-points", |c| {
        c.with(CRL_POINTS, false, crl_points())
    }),
    ("leaf-crl-points-unreadable", |c| {
        c.with(CRL_POINTS, false, vec![5, 0])
    }),
    ("leaf-authority-info", |c| {
        c.with(AUTHORITY_INFO, false, authority_info())
    }),
    ("leaf-authority-info-unreadable", |c| {
        c.with(AUTHORITY_INFO, false, vec![5, 0])
    }),
    ("leaf-authority-info-critical", |c| {
        c.with(AUTHORITY_INFO, true, authority_info())
    }),
    ("leaf-name-constraints", |c| {
        c.with(
            NAME_CONSTRAINTS,
            false,
            name_constraints(&uri("a.test"), &[]),
        )
    }),
    ("leaf-name-constraints-unreadable", |c| {
        c.with(NAME_CONSTRAINTS, false, vec![5, 0])
    }),
    ("leaf-critical-name-constraints", |c| {
        c.with(
            NAME_CONSTRAINTS,
            true,
            name_constraints(&uri("a.test"), &[]),
        )
    }),
    ("leaf-key-id", |c| c.with(SKI, false, tlv(4, &[1; 20]))),
    ("leaf-key-id-unreadable", |c| c.with(SKI, false, vec![5, 0])),
    ("leaf-key-id-critical", |c| c.with(SKI, true, tlv(4, &[1]))),
    ("leaf-issuer-key-id-other", |c| {
        c.edit(|c| c.issuer_key_id = Some(Some(vec![7; 20])))
    }),
    ("leaf-issuer-key-id-absent", |c| {
        c.edit(|c| c.issuer_key_id = Some(None))
    }),
    ("leaf-issuer-key-id-by-name", |c| {
        own_issuer_key_id(
            c,
            false,
            tlv(
                0x30,
                &[tlv(0xa1, &tlv(0xa4, &name("x"))), tlv(0x82, &[1])].concat(),
            ),
        )
    }),
    ("leaf-issuer-key-id-unreadable", |c| {
        own_issuer_key_id(c, false, vec![5, 0])
    }),
    ("leaf-issuer-key-id-critical", |c| {
        own_issuer_key_id(c, true, tlv(0x30, &tlv(0x80, &[1])))
    }),
    ("leaf-issuer-key-id-and-more", |c| {
        own_issuer_key_id(c, false, tlv(0x30, &tlv(0x83, &[1])))
    }),
];

fn own_issuer_key_id(certificate: Certificate, critical: bool, value: Vec<u8>) -> Certificate {
    certificate
        .with(AKI, critical, value)
        .edit(|c| c.issuer_key_id = Some(None))
}

const FIELDS: &[Row] = &[
    ("leaf-expired", |c| c.valid(-100, -1)),
    ("leaf-expired-long-ago", |c| {
        c.valid(-900_000_000, -800_000_000)
    }),
    ("leaf-at-not-after", |c| c.valid(-100, 0)),
    ("leaf-at-not-before", |c| c.valid(0, 100)),
    ("leaf-early", |c| c.valid(1, 100)),
    ("leaf-ends-before-it-begins", |c| c.valid(-10, -20)),
    ("leaf-until-2060", |c| {
        c.edit(|c| c.not_after = tlv(0x18, b"20600101000000Z"))
    }),
    ("leaf-until-9999", |c| {
        c.edit(|c| c.not_after = tlv(0x18, b"99991231235959Z"))
    }),
    ("leaf-since-1950", |c| {
        c.edit(|c| c.not_before = tlv(0x17, b"500101000000Z"))
    }),
    ("leaf-generalized-time-now", |c| {
        c.edit(|c| c.not_after = generalized_time(later(60)))
    }),
    ("leaf-time-without-seconds", |c| {
        c.edit(|c| c.not_after = tlv(0x17, b"3001010000Z"))
    }),
    ("leaf-time-with-offset", |c| {
        c.edit(|c| c.not_after = tlv(0x17, b"300101000000+0100"))
    }),
    ("leaf-time-with-fraction", |c| {
        c.edit(|c| c.not_after = tlv(0x18, b"20300101000000.5Z"))
    }),
    ("leaf-time-of-february-30", |c| {
        c.edit(|c| c.not_after = tlv(0x17, b"300230000000Z"))
    }),
    ("leaf-time-of-60-seconds", |c| {
        c.edit(|c| c.not_after = tlv(0x17, b"300101000060Z"))
    }),
    ("leaf-third-date", |c| {
        c.edit(|c| c.not_after.extend(tlv(0x17, b"300101000000Z")))
    }),
    ("leaf-serial-zero", |c| c.edit(|c| c.serial = vec![0])),
    ("leaf-serial-of-20-octets", |c| {
        c.edit(|c| c.serial = vec![0x7f; 20])
    }),
    ("leaf-serial-of-21-octets", |c| {
        c.edit(|c| c.serial = vec![0x7f; 21])
    }),
    ("leaf-serial-negative", |c| {
        c.edit(|c| c.serial = vec![0x80])
    }),
    ("leaf-serial-padded", |c| c.edit(|c| c.serial = vec![0, 1])),
    ("leaf-version-1", |c| c.edit(|c| c.version = None)),
    ("leaf-version-2", |c| {
        c.edit(|c| c.version = Some(vec![2, 1, 1]))
    }),
    ("leaf-version-4", |c| {
        c.edit(|c| c.version = Some(vec![2, 1, 3]))
    }),
    ("leaf-unique-id", |c| {
        c.edit(|c| c.before_extensions = tlv(0x81, &[0, 1]))
    }),
    ("leaf-bytes-after-extensions", |c| {
        c.edit(|c| c.after_extensions = vec![5, 0])
    }),
    ("leaf-two-algorithms", |c| {
        c.edit(|c| c.inner_algorithm = Some(sequence(&[&oid(&[0x2a, 3])])))
    }),
    ("leaf-over-16-kib", |c| {
        c.with(UNKNOWN, false, vec![0; 16 * 1024])
    }),
];

/// 1.2.840.10045.2.1
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// The generator of P-224: a point like any other (SEC 2 §3.2.2).
const P224_POINT: [u8; 57] = [
    4, 0xb7, 0x0e, 0x0c, 0xbd, 0x6b, 0xb4, 0xbf, 0x7f, 0x32, 0x13, 0x90, 0xb9, 0x4a, 0x03, 0xc1,
    0xd3, 0x56, 0xc2, 0x11, 0x22, 0x34, 0x32, 0x80, 0xd6, 0x11, 0x5c, 0x1d, 0x21, 0xbd, 0x37, 0x63,
    0x88, 0xb5, 0xf7, 0x23, 0xfb, 0x4c, 0x22, 0xdf, 0xe6, 0xcd, 0x43, 0x75, 0xa0, 0x5a, 0x07, 0x47,
    0x64, 0x44, 0xd5, 0x81, 0x99, 0x85, 0x00, 0x7e, 0x34,
];

const KEYS: &[Row] = &[
    ("leaf-rsa-1024", |c| with_key(c, rsa_key(1024, &[1, 0, 1]))),
    ("leaf-rsa-8192", |c| with_key(c, rsa_key(8192, &[1, 0, 1]))),
    ("leaf-rsa-exponent-3", |c| with_key(c, rsa_key(2048, &[3]))),
    ("leaf-rsa-exponent-even", |c| {
        with_key(c, rsa_key(2048, &[1, 0, 2]))
    }),
    ("leaf-rsa-exponent-negative", |c| {
        with_key(c, rsa_key(2048, &[0x80]))
    }),
    ("leaf-rsa-without-parameters", |c| {
        with_key(c, rsa_key_with(&[], 2048, &[1, 0, 1]))
    }),
    ("leaf-rsa-null-with-contents", |c| {
        with_key(c, rsa_key_with(&[5, 1, 0], 2048, &[1, 0, 1]))
    }),
    ("leaf-p224", |c| {
        with_key(c, ec_key(&[0x2b, 0x81, 4, 0, 0x21], &P224_POINT))
    }),
    ("leaf-secp256k1", |c| {
        with_key(c, ec_key(&[0x2b, 0x81, 4, 0, 0x0a], &off_curve(64)))
    }),
    ("leaf-p256-not-on-curve", |c| {
        with_key(c, ec_key(P256_OID, &off_curve(64)))
    }),
    ("leaf-p384-not-on-curve", |c| {
        with_key(c, ec_key(P384_OID, &off_curve(96)))
    }),
    ("leaf-p521-not-on-curve", |c| {
        with_key(c, ec_key(P521_OID, &off_curve(132)))
    }),
    ("leaf-p256-compressed", |c| {
        with_key(c, ec_key(P256_OID, &[&[2][..], &[7; 32]].concat()))
    }),
    ("leaf-p256-short", |c| {
        with_key(c, ec_key(P256_OID, &off_curve(63)))
    }),
    ("leaf-p256-infinity", |c| {
        with_key(c, ec_key(P256_OID, &[0]))
    }),
    ("leaf-x25519", |c| {
        with_key(c, public_key(&[&oid(&[0x2b, 0x65, 0x6e])], &[7; 32]))
    }),
    ("leaf-ed25519-short", |c| {
        with_key(c, public_key(&[&oid(&[0x2b, 0x65, 0x70])], &[7; 31]))
    }),
    ("leaf-ed25519-with-parameters", |c| {
        with_key(
            c,
            public_key(&[&oid(&[0x2b, 0x65, 0x70]), &[5, 0]], &[7; 32]),
        )
    }),
    ("leaf-key-of-unknown-type", |c| {
        with_key(c, public_key(&[&oid(&[0x2a, 3])], &[7; 32]))
    }),
    ("leaf-key-unreadable", |c| with_key(c, sequence(&[]))),
];

fn with_key(certificate: Certificate, spki: Vec<u8>) -> Certificate {
    certificate.edit(|c| c.spki = spki)
}

pub fn public_key(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(algorithm), &tlv(3, &[&[0][..], key].concat())])
}

pub fn off_curve(octets: usize) -> Vec<u8> {
    [vec![4], vec![7; octets]].concat()
}

pub fn ec_key(curve: &[u8], point: &[u8]) -> Vec<u8> {
    public_key(&[&oid(EC_KEY), &oid(curve)], point)
}

fn rsa_key(bits: usize, exponent: &[u8]) -> Vec<u8> {
    rsa_key_with(&[5, 0], bits, exponent)
}

fn rsa_key_with(parameters: &[u8], bits: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = [vec![0], vec![0xff; bits / 8]].concat();
    let key = sequence(&[&tlv(2, &modulus), &tlv(2, exponent)]);
    public_key(&[&oid(RSA_KEY), parameters], &key)
}
