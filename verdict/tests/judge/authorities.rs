//! What can be wrong, or only unusual, about a signing certificate: an anchor, an intermediate,
//! or a stray one.

use super::common::*;
use super::leaves::{
    AUTHORITY_INFO, CRL_POINTS, UUID_OID, authority_info, bit_string_name, crl_points, ec_key,
    off_curve, policies,
};
use super::scene::{Act, DOMAINS, Edit, LONG_DOMAIN, Step, with_usage, without_key_ids};

type Row = (&'static str, Edit);

pub fn steps() -> Vec<Step> {
    let tag = |role: &str, tag: &str| format!("{role}-{tag}");
    let both = BOTH.iter().flat_map(|(name, edit)| {
        [
            Step::new(&tag("anchor", name), Act::Anchor(*edit)),
            Step::new(&tag("intermediate", name), Act::Intermediate(*edit)),
        ]
    });
    let path = INTERMEDIATE.iter();
    let path =
        path.map(|(name, edit)| Step::new(&tag("intermediate", name), Act::Intermediate(*edit)));
    let stray = STRAY.iter();
    let stray = stray.map(|(name, edit)| Step::new(&tag("stray", name), Act::Stray(*edit)));
    both.chain(path).chain(stray).collect()
}

fn constrained(certificate: Certificate, permitted: &[u8], excluded: &[u8]) -> Certificate {
    certificate.with(
        NAME_CONSTRAINTS,
        true,
        name_constraints(permitted, excluded),
    )
}

/// Subtrees of every trust domain that a scene may have; an address can be in none.
fn every_domain(tag: u8) -> Vec<u8> {
    let long = LONG_DOMAIN.to_owned();
    let domains = DOMAINS
        .iter()
        .map(|domain| (*domain).to_owned())
        .chain([long]);
    let subtrees: Vec<u8> = domains
        .flat_map(|domain| sequence(&[&uri(&domain)]))
        .collect();
    sequence(&[&tlv(tag, &subtrees)])
}

fn critical_directory_name(certificate: Certificate) -> Certificate {
    certificate.with(SAN, true, tlv(0x30, &tlv(0xa4, &name("x"))))
}

/// Go must be able to read these: a bundle that it cannot read is no case.
const BOTH: &[Row] = &[
    ("not-ca", |c| c.with(BASIC_CONSTRAINTS, true, sequence(&[]))),
    ("without-basic-constraints", |c| {
        c.without(BASIC_CONSTRAINTS)
    }),
    ("basic-constraints-not-critical", |c| {
        c.with(BASIC_CONSTRAINTS, false, authority(None))
    }),
    ("path-length-enough", |c| {
        c.with(BASIC_CONSTRAINTS, true, authority(Some(4)))
    }),
    ("without-cert-sign", |c| with_usage(c, CRL_SIGN)),
    ("cert-sign-only", |c| with_usage(c, KEY_CERT_SIGN)),
    ("without-key-usage", |c| c.without(KEY_USAGE)),
    ("expired", |c| c.valid(-100, -1)),
    ("at-not-after", |c| c.valid(-100, 0)),
    ("at-not-before", |c| c.valid(0, 100)),
    ("early", |c| c.valid(1, 100)),
    ("with-workload-id", |c| {
        c.san(&[uri("spiffe://example.org/web")])
    }),
    ("with-foreign-workload-id", |c| {
        c.san(&[uri("spiffe://other.test/web"), dns("a.test")])
    }),
    ("with-foreign-id", |c| {
        c.san(&[uri("spiffe://upstream.test")])
    }),
    ("with-two-ids", |c| {
        c.san(&[uri("spiffe://example.org"), uri("spiffe://partner.test")])
    }),
    ("with-upper-scheme", |c| {
        c.san(&[uri("SPIFFE://example.org")])
    }),
    ("with-id-and-port", |c| {
        c.san(&[uri("spiffe://example.org:443")])
    }),
    ("with-https-id", |c| {
        c.san(&[uri("https://ca.example.org/x")])
    }),
    ("without-id", |c| c.without(SAN)),
    ("san-of-another-form-critical", critical_directory_name),
    ("unknown-critical", |c| c.with(UNKNOWN, true, vec![5, 0])),
    ("unknown", |c| c.with(UNKNOWN, false, vec![5, 0])),
    ("eku-both", |c| {
        c.with(EKU, false, extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH]))
    }),
    ("eku-without-client-auth", |c| {
        c.with(EKU, false, extended_key_usage(&[SERVER_AUTH]))
    }),
    ("eku-any", |c| {
        c.with(EKU, false, extended_key_usage(&[ANY_USAGE]))
    }),
    ("policies", |c| {
        c.with(CERTIFICATE_POLICIES, false, policies(&[&[0x2a, 3, 4]]))
    }),
    ("critical-policies", |c| {
        c.with(CERTIFICATE_POLICIES, true, policies(&[&[0x2a, 3, 4]]))
    }),
    // requireExplicitPolicy after 0, and after 9 certificates; nobody here names a policy.
    ("policy-constraints", |c| {
        c.with(POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[0])]))
    }),
    ("policy-constraints-far-away", |c| {
        c.with(POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[9])]))
    }),
    ("policy-constraints-critical", |c| {
        c.with(POLICY_CONSTRAINTS, true, sequence(&[&tlv(0x80, &[0])]))
    }),
    ("crl-points", |c| c.with(CRL_POINTS, false, crl_points())),
    ("authority-info", |c| {
        c.with(AUTHORITY_INFO, false, authority_info())
    }),
    ("name-constraints-permit", |c| {
        c.with(NAME_CONSTRAINTS, true, every_domain(0xa0))
    }),
    ("name-constraints-exclude", |c| {
        c.with(NAME_CONSTRAINTS, true, every_domain(0xa1))
    }),
    ("name-constraints-permit-another", |c| {
        constrained(c, &uri("other.test"), &[])
    }),
    ("name-constraints-exclude-another", |c| {
        constrained(c, &[], &uri("other.test"))
    }),
    ("name-constraints-on-dns", |c| {
        constrained(c, &dns("a.test"), &dns("b.test"))
    }),
    ("name-constraints-on-a-directory", |c| {
        constrained(c, &tlv(0xa4, &name("x")), &[])
    }),
    ("name-constraints-on-other-names", |c| {
        constrained(c, &tlv(0x88, &[0x2a, 3]), &[])
    }),
    ("key-id-other", |c| c.with(SKI, false, tlv(4, &[7; 20]))),
    ("without-key-ids", without_key_ids),
    ("serial-of-21-octets", |c| {
        c.edit(|c| c.serial = vec![0x7f; 21])
    }),
    ("unique-id", |c| {
        c.edit(|c| c.before_extensions = tlv(0x82, &[0, 1]))
    }),
    ("version-1", |c| c.edit(|c| c.version = None)),
    ("subject-empty", |c| c.edit(|c| c.subject = sequence(&[]))),
    ("until-2060", |c| {
        c.edit(|c| c.not_after = tlv(0x18, b"20600101000000Z"))
    }),
];

/// Go refuses to read most of these.
const INTERMEDIATE: &[Row] = &[
    ("junk-uri", |c| c.san(&[uri("https://%zz"), uri("::")])),
    ("san-unreadable", |c| c.with(SAN, false, vec![5, 0])),
    ("san-ip-of-5-octets", |c| c.san(&[tlv(0x87, &[1; 5])])),
    ("key-usage-unreadable", |c| {
        c.with(KEY_USAGE, true, vec![5, 0])
    }),
    ("eku-cut", |c| {
        c.with(
            EKU,
            false,
            extended_key_usage(&[CLIENT_AUTH, &[0x2a, 0x84]]),
        )
    }),
    ("extension-of-a-long-arc", |c| {
        c.with(UUID_OID, false, vec![5, 0])
    }),
    ("key-id-unreadable", |c| c.with(SKI, false, vec![5, 0])),
    ("key-id-critical", |c| c.with(SKI, true, tlv(4, &[1]))),
    ("subject-of-bits", |c| {
        c.edit(|c| c.subject = bit_string_name())
    }),
    ("subject-no-name", |c| {
        c.edit(|c| c.subject = sequence(&[&[5, 0]]))
    }),
    ("policies-unreadable", |c| {
        c.with(CERTIFICATE_POLICIES, false, vec![5, 0])
    }),
    ("crl-points-unreadable", |c| {
        c.with(CRL_POINTS, false, vec![5, 0])
    }),
    ("authority-info-unreadable", |c| {
        c.with(AUTHORITY_INFO, false, vec![5, 0])
    }),
    ("name-constraints-empty", |c| constrained(c, &[], &[])),
    ("name-constraints-unreadable", |c| {
        c.with(NAME_CONSTRAINTS, true, vec![5, 0])
    }),
    ("name-constraints-bad-dns", |c| {
        constrained(c, &dns("a..b"), &[])
    }),
    ("name-constraints-bad-ip", |c| {
        constrained(c, &tlv(0x87, &[1; 5]), &[])
    }),
    ("key-not-on-curve", |c| {
        c.edit(|c| c.spki = ec_key(P256_OID, &off_curve(64)))
    }),
    ("negative-serial", |c| c.edit(|c| c.serial = vec![0x80])),
];

const STRAY: &[Row] = &[
    ("good", |c| c),
    ("expired", |c| c.valid(-100, -1)),
    ("not-ca", |c| c.with(BASIC_CONSTRAINTS, true, sequence(&[]))),
    ("unknown-critical", |c| c.with(UNKNOWN, true, vec![5, 0])),
    ("with-workload-id", |c| {
        c.san(&[uri("spiffe://example.org/admin")])
    }),
    ("version-1", |c| c.edit(|c| c.version = None)),
    ("negative-serial", |c| c.edit(|c| c.serial = vec![0x80])),
    ("subject-no-name", |c| {
        c.edit(|c| c.subject = sequence(&[&[5, 0]]))
    }),
    ("key-id-unreadable", |c| c.with(SKI, false, vec![5, 0])),
    ("san-unreadable", |c| c.with(SAN, false, vec![5, 0])),
    ("key-usage-unreadable", |c| {
        c.with(KEY_USAGE, true, vec![5, 0])
    }),
    ("basic-constraints-unreadable", |c| {
        c.with(BASIC_CONSTRAINTS, true, vec![5, 0])
    }),
    ("eku-unreadable", |c| c.with(EKU, false, vec![5, 0])),
    ("name-constraints-unreadable", |c| {
        c.with(NAME_CONSTRAINTS, true, vec![5, 0])
    }),
    ("key-not-on-curve", |c| {
        c.edit(|c| c.spki = ec_key(P256_OID, &off_curve(64)))
    }),
    ("key-unreadable", |c| c.edit(|c| c.spki = sequence(&[]))),
];
