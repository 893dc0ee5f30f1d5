//! SPIFFE ID vectors: each row names the rule that decides it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use proptest::prelude::*;
use verdict::id::{
    IdError, MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId, TrustDomain, WorkloadId,
};

/// Accepted: `Ok(path)`. Refused: the rule.
type Expected = Result<&'static str, IdError>;

/// Number, input, rule, expectation. Rows 81 to 84 and 86 are built in tests of their own.
#[rustfmt::skip]
const VECTORS: &[(u8, &str, &str, Expected)] = &[
    (1, "spiffe://example.org", "1.1 the path is optional", Ok("")),
    (2, "spiffe://example.org/web", "1.1 name and path", Ok("/web")),
    (3, "spiffe://example.org/ns/prod/sa/api", "1.5 segments", Ok("/ns/prod/sa/api")),
    (4, "spiffe://example.org/9eeb-12bf_40a6.v1", "1.5 digits and . - _", Ok("/9eeb-12bf_40a6.v1")),
    (5, "spiffe://a/b", "1.2 one letter", Ok("/b")),
    (6, "spiffe://1.2.3.4/a", "1.3 looks like IPv4", Ok("/a")),
    (7, "spiffe://under_score.example/a", "1.2 underscore", Ok("/a")),
    (8, "spiffe://-lead/a", "1.3 leading hyphen", Ok("/a")),
    (9, "spiffe://trail-/a", "1.3 trailing hyphen", Ok("/a")),
    (10, "spiffe://./a", "1.3 a dot is a name", Ok("/a")),
    (11, "spiffe://../a", "1.3 two dots are a name", Ok("/a")),
    (12, "spiffe://a..b/a", "1.3 no labels", Ok("/a")),
    (13, "spiffe://example.org./a", "1.4 a name of its own", Ok("/a")),
    (14, "spiffe://_/_", "1.3 underscore alone", Ok("/_")),
    (15, "spiffe://0/0", "1.3 digit alone", Ok("/0")),
    (16, "spiffe://example.org/...", "1.6 three dots are a segment", Ok("/...")),
    (17, "spiffe://example.org/.hidden", "1.6 leading dot", Ok("/.hidden")),
    (18, "spiffe://example.org/..hidden", "1.6 two leading dots", Ok("/..hidden")),
    (19, "spiffe://example.org/a./b", "1.6 trailing dot", Ok("/a./b")),
    (20, "spiffe://example.org/a../b", "1.6 two trailing dots", Ok("/a../b")),
    (21, "spiffe://example.org/UPPER/Case", "1.5 path keeps its case", Ok("/UPPER/Case")),
    (22, "spiffe://example.org/a-b_c.d", "1.5 the whole set", Ok("/a-b_c.d")),
    (23, "spiffe://example.org/-", "1.5 hyphen alone", Ok("/-")),
    (24, "spiffe://example.org/....", "1.6 four dots", Ok("/....")),
    (25, "", "1.1 not empty", Err(IdError::Empty)),
    (26, "spiffe", "1.1 scheme", Err(IdError::Scheme)),
    (27, "spiffe:", "1.1 scheme", Err(IdError::Scheme)),
    (28, "spiffe:/example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (29, "spiffe:example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (30, "//example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (31, "example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (32, "https://example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (33, "spiff://example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (34, "spiffes://example.org/a", "1.1 scheme", Err(IdError::Scheme)),
    (35, " spiffe://example.org/a", "1.1 leading space", Err(IdError::Scheme)),
    (36, "spiffe://", "1.1 name not empty", Err(IdError::EmptyTrustDomain)),
    (37, "spiffe:///", "1.1 name not empty", Err(IdError::EmptyTrustDomain)),
    (38, "spiffe:///a", "1.1 name not empty", Err(IdError::EmptyTrustDomain)),
    (39, "spiffe://example.org/", "1.6 trailing slash", Err(IdError::TrailingSlash)),
    (40, "spiffe://example.org?x=1", "1.1 no query", Err(IdError::Query)),
    (41, "spiffe://example.org/a?x=1", "1.1 no query", Err(IdError::Query)),
    (42, "spiffe://example.org#f", "1.1 no fragment", Err(IdError::Fragment)),
    (43, "spiffe://example.org/a#f", "1.1 no fragment", Err(IdError::Fragment)),
    (44, "spiffe://exa%6dple.org/a", "1.2 no percent", Err(IdError::PercentInTrustDomain)),
    (45, "spiffe://example.org:8443/a", "1.2 no port", Err(IdError::Port)),
    (46, "spiffe://user@example.org/a", "1.2 no user", Err(IdError::UserInfo)),
    (47, "spiffe://user:pw@example.org/a", "1.2 no user", Err(IdError::UserInfo)),
    (48, "spiffe://[::1]/a", "1.3 no IPv6", Err(IdError::TrustDomainByte { byte: b'[' })),
    (49, "spiffe://exam ple.org/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b' ' })),
    (50, "spiffe://exämple.org/a", "1.2 set", Err(IdError::TrustDomainByte { byte: 0xc3 })),
    (51, r"spiffe://example.org\evil/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b'\\' })),
    (52, "spiffe://example.org,evil/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b',' })),
    (53, "spiffe://example.org;x/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b';' })),
    (54, "spiffe://example.org+x/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b'+' })),
    (55, "spiffe://example.org~/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b'~' })),
    (56, "spiffe://example$org/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b'$' })),
    (57, "spiffe://*.example.org/a", "1.2 set", Err(IdError::TrustDomainByte { byte: b'*' })),
    (58, "spiffe://example.org/a/", "1.6 trailing slash", Err(IdError::TrailingSlash)),
    (59, "spiffe://example.org//a", "1.6 empty segment", Err(IdError::EmptySegment)),
    (60, "spiffe://example.org/a//b", "1.6 empty segment", Err(IdError::EmptySegment)),
    (61, "spiffe://example.org//", "1.6 empty segment", Err(IdError::EmptySegment)),
    (62, "spiffe://example.org/.", "1.6 dot segment", Err(IdError::DotSegment)),
    (63, "spiffe://example.org/..", "1.6 dot segment", Err(IdError::DotSegment)),
    (64, "spiffe://example.org/./a", "1.6 dot segment", Err(IdError::DotSegment)),
    (65, "spiffe://example.org/../a", "1.6 dot segment", Err(IdError::DotSegment)),
    (66, "spiffe://example.org/a/.", "1.6 dot segment", Err(IdError::DotSegment)),
    (67, "spiffe://example.org/a/..", "1.6 dot segment", Err(IdError::DotSegment)),
    (68, "spiffe://example.org/a/../b", "1.6 dot segment", Err(IdError::DotSegment)),
    (69, "spiffe://example.org/a%2Fb", "1.5 no percent", Err(IdError::PercentInPath)),
    (70, "spiffe://example.org/%61", "1.5 no percent", Err(IdError::PercentInPath)),
    (71, "spiffe://example.org/a%", "1.5 no percent", Err(IdError::PercentInPath)),
    (72, "spiffe://example.org/a b", "1.5 set", Err(IdError::PathByte { byte: b' ' })),
    (73, r"spiffe://example.org/a\b", "1.5 set", Err(IdError::PathByte { byte: b'\\' })),
    (74, "spiffe://example.org/naïve", "1.5 set", Err(IdError::PathByte { byte: 0xc3 })),
    (75, "spiffe://example.org/a$", "1.5 set", Err(IdError::PathByte { byte: b'$' })),
    (76, "spiffe://example.org/a:b", "1.5 set", Err(IdError::PathByte { byte: b':' })),
    (77, "spiffe://example.org/a@b", "1.5 set", Err(IdError::PathByte { byte: b'@' })),
    (78, "spiffe://example.org/a*", "1.5 set", Err(IdError::PathByte { byte: b'*' })),
    (79, "spiffe://example.org/a,b", "1.5 set", Err(IdError::PathByte { byte: b',' })),
    (80, "spiffe://example.org/a~b", "1.5 set", Err(IdError::PathByte { byte: b'~' })),
    (85, "SPIFFE://Example.org/a", "1.9 lower case", Err(IdError::SchemeCase)),
    // Our own.
    (101, "spiffe://Example.org/a", "1.9 lower-case name", Err(IdError::TrustDomainCase)),
    (102, "spiffE://example.org/a", "1.9 lower-case scheme", Err(IdError::SchemeCase)),
    (103, "spiffe://example.org/a#", "1.1 empty fragment", Err(IdError::Fragment)),
    (104, "spiffe://example.org?", "1.1 empty query", Err(IdError::Query)),
    (105, "spiffe://example.org:/a", "1.2 empty port", Err(IdError::Port)),
    (106, "spiffe://@example.org/a", "1.2 empty user", Err(IdError::UserInfo)),
    (107, "spiffe:\\\\example.org\\a", "1.10 no URL library", Err(IdError::Scheme)),
    (108, "spiffe://example.org/%2e%2e/a", "1.10 no URL library", Err(IdError::PercentInPath)),
    (109, "spiffe://example.org/a;b=c", "1.5 set", Err(IdError::PathByte { byte: b';' })),
    (110, "spiffe://spiffe://example.org/a", "1.2 no port", Err(IdError::Port)),
    (111, "spiffe://example.org/spiffe:/a", "1.5 set", Err(IdError::PathByte { byte: b':' })),
    (112, "spiffe://example.org/\u{2215}a", "1.5 set", Err(IdError::PathByte { byte: 0xe2 })),
    (113, "\u{feff}spiffe://example.org/a", "1.1 byte order mark", Err(IdError::Scheme)),
    (114, "spiffe://xn--exmple-cua.org/a", "1.3 no meaning in DNS", Ok("/a")),
];

fn path_of(id: &[u8]) -> Result<String, IdError> {
    SpiffeId::parse(id).map(|id| id.path().to_owned())
}

#[test]
fn every_vector_is_decided_by_its_rule() {
    for &(row, input, rule, expected) in VECTORS {
        assert_eq!(
            path_of(input.as_bytes()),
            expected.map(str::to_owned),
            "row {row}: {input:?}: {rule}"
        );
    }
}

#[test]
fn the_table_holds_every_row_of_the_digest() {
    let here: Vec<_> = VECTORS
        .iter()
        .map(|row| row.0)
        .filter(|row| *row <= 86)
        .collect();
    let elsewhere = [81, 82, 83, 84, 86];
    let all: Vec<_> = (1..=86).filter(|row| !elsewhere.contains(row)).collect();
    assert_eq!(here, all);
}

#[test]
fn rows_81_and_82_a_name_has_at_most_255_bytes() {
    let name = "a".repeat(MAX_TRUST_DOMAIN_BYTES);
    assert_eq!(
        path_of(format!("spiffe://{name}/a").as_bytes()),
        Ok("/a".to_owned())
    );
    let refused = Err(IdError::TrustDomainTooLong { bytes: 256 });
    assert_eq!(path_of(format!("spiffe://{name}a/a").as_bytes()), refused);
    assert_eq!(
        path_of(format!("spiffe://{name}a").as_bytes()),
        refused,
        "without a path too"
    );
}

#[test]
fn rows_83_and_84_an_id_has_at_most_2048_bytes() {
    let start = "spiffe://example.org/";
    let id = format!("{start}{}", "p".repeat(MAX_ID_BYTES - start.len()));
    assert_eq!(id.len(), 2048);
    assert!(path_of(id.as_bytes()).is_ok());
    assert_eq!(
        path_of(format!("{id}p").as_bytes()),
        Err(IdError::TooLong { bytes: 2049 })
    );
}

#[test]
fn row_86_control_characters_at_the_end() {
    for byte in [0, b'\n', b'\r', b'\t'] {
        let id = [b"spiffe://example.org/a".as_slice(), &[byte]].concat();
        assert_eq!(path_of(&id), Err(IdError::PathByte { byte }));
        let id = [b"spiffe://example.org".as_slice(), &[byte]].concat();
        assert_eq!(path_of(&id), Err(IdError::TrustDomainByte { byte }));
    }
}

/// Rules 1.2 and 1.5, written as the sets stand in the specification.
const NAME_SET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789.-_";
const SEGMENT_SET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

#[test]
fn every_byte_appended_to_a_name() {
    for byte in 0..=u8::MAX {
        let alone = [b"spiffe://example.org".as_slice(), &[byte]].concat();
        let with_path = [b"spiffe://example.org".as_slice(), &[byte], b"/web"].concat();
        let name = [b"example.org".as_slice(), &[byte]].concat();
        let right = NAME_SET.contains(&byte);
        assert_eq!(SpiffeId::parse(&alone).is_ok(), right, "{byte:#x}");
        assert_eq!(TrustDomain::parse(&name).is_ok(), right, "{byte:#x}");
        // `//web` after the name is an empty segment.
        assert_eq!(SpiffeId::parse(&with_path).is_ok(), right, "{byte:#x}");
    }
}

#[test]
fn every_byte_appended_to_a_path() {
    for byte in 0..=u8::MAX {
        let last = [b"spiffe://example.org/web".as_slice(), &[byte]].concat();
        let inner = [b"spiffe://example.org/web".as_slice(), &[byte], b"x"].concat();
        let right = SEGMENT_SET.contains(&byte);
        assert_eq!(SpiffeId::parse(&last).is_ok(), right, "{byte:#x}");
        assert_eq!(
            SpiffeId::parse(&inner).is_ok(),
            right || byte == b'/',
            "{byte:#x}"
        );
    }
}

#[test]
fn every_byte_in_the_scheme() {
    for at in 0..9 {
        for byte in 0..=u8::MAX {
            let mut id = *b"spiffe://example.org/web";
            let right = id[at] == byte;
            id[at] = byte;
            assert_eq!(SpiffeId::parse(&id).is_ok(), right, "{byte:#x} at {at}");
        }
    }
}

#[test]
fn a_workload_has_a_path() {
    let domain = SpiffeId::parse(b"spiffe://example.org").unwrap();
    let refused = WorkloadId::try_from(domain.clone()).unwrap_err();
    assert_eq!(refused.id, domain);
    assert!(refused.to_string().contains("X509-SVID 5.2"));

    let id = WorkloadId::try_from(SpiffeId::parse(b"spiffe://example.org/ns/a").unwrap()).unwrap();
    assert_eq!(
        (id.path(), id.as_str()),
        ("/ns/a", "spiffe://example.org/ns/a")
    );
    assert_eq!(id.trust_domain().id(), "spiffe://example.org");
    assert_eq!(id.to_string(), id.as_spiffe_id().to_string());
}

#[test]
fn a_trust_domain_is_compared_whole() {
    let name = |text: &str| TrustDomain::parse(text.as_bytes()).unwrap();
    assert_eq!(name("example.org"), name("example.org"));
    for other in [
        "example.org.",
        "example.org.evil",
        "xexample.org",
        "example.or",
        "examplexorg",
    ] {
        assert_ne!(name("example.org"), name(other), "rules 1.4 and 1.11");
    }
}

#[test]
fn what_an_operator_writes_for_a_trust_domain() {
    let advice = |written: &str| {
        let error = TrustDomain::from_config(written).unwrap_err();
        (error, error.advice(written))
    };
    let write = |text: &str| Some(format!("write \"{text}\""));
    for written in ["example.org", "spiffe://example.org"] {
        assert_eq!(
            TrustDomain::from_config(written).unwrap().as_str(),
            "example.org"
        );
    }
    assert_eq!(
        advice("Example.ORG"),
        (IdError::TrustDomainCase, write("example.org"))
    );
    assert_eq!(
        advice("SPIFFE://Example.org"),
        (IdError::SchemeCase, write("spiffe://example.org"))
    );
    assert_eq!(
        advice("spiffe://Example.org"),
        (IdError::TrustDomainCase, write("spiffe://example.org"))
    );
    assert_eq!(
        advice("spiffe://example.org/a"),
        (IdError::PathInTrustDomain, write("example.org"))
    );
    assert_eq!(
        advice("spiffe://example.org/"),
        (IdError::PathInTrustDomain, write("example.org"))
    );
    assert_eq!(
        advice("example.org/a"),
        (IdError::PathInTrustDomain, write("example.org"))
    );
    assert_eq!(
        advice("https://example.org"),
        (IdError::Scheme, write("spiffe://example.org"))
    );
    assert_eq!(advice("spiffe:/example.org").0, IdError::Scheme);
    assert_eq!(advice(""), (IdError::EmptyTrustDomain, None));
    assert_eq!(advice("spiffe://"), (IdError::EmptyTrustDomain, None));
    assert_eq!(
        advice("*.example.org"),
        (IdError::TrustDomainByte { byte: b'*' }, None)
    );
    assert_eq!(
        advice(" example.org").0,
        IdError::TrustDomainByte { byte: b' ' }
    );
}

#[test]
fn advice_for_ids_is_itself_valid_and_keeps_the_case_of_the_path() {
    let advice = |written: &str| {
        SpiffeId::parse(written.as_bytes())
            .unwrap_err()
            .advice(written)
    };
    let write = |text: &str| Some(format!("write \"{text}\""));
    assert_eq!(
        advice("SPIFFE://Example.org/Web"),
        write("spiffe://example.org/Web")
    );
    assert_eq!(
        advice("spiffe://Example.org/Web"),
        write("spiffe://example.org/Web")
    );
    assert_eq!(advice("example.org/web"), write("spiffe://example.org/web"));
    assert_eq!(
        advice("spiffe://example.org/web/"),
        write("spiffe://example.org/web")
    );
    assert_eq!(advice("SPIFFE://Exämple.org/web"), None);
    assert_eq!(advice("http://"), None);
    assert_eq!(advice(&"A".repeat(5000)), None);
}

#[test]
fn every_error_names_its_section() {
    for (_, _, _, expected) in VECTORS {
        if let Err(error) = expected {
            assert!(error.to_string().contains("(SPIFFE-ID 2"), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn what_the_grammar_makes_is_parsed_and_comes_back(
        name in "[a-z0-9._-]{1,255}",
        segments in prop::collection::vec("[A-Za-z0-9._-]{1,40}", 0..20),
    ) {
        let dots = segments.iter().any(|segment| segment == "." || segment == "..");
        let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        let text = format!("spiffe://{name}{path}");
        match SpiffeId::parse(text.as_bytes()) {
            Ok(id) => {
                prop_assert!(!dots);
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(id.trust_domain().as_str(), &name);
                prop_assert_eq!(id.path(), &path);
                prop_assert_eq!(SpiffeId::parse(id.to_string().as_bytes()), Ok(id));
            }
            Err(error) => prop_assert!(dots && error == IdError::DotSegment),
        }
    }

    #[test]
    fn any_bytes_are_an_answer_and_what_is_accepted_is_unchanged(
        raw in prop::collection::vec(any::<u8>(), 0..64),
        likely in "spiffe://[a-zA-Z./%:-]{0,24}",
    ) {
        for raw in [raw.as_slice(), likely.as_bytes()] {
            if let Ok(id) = SpiffeId::parse(raw) {
                prop_assert_eq!(id.as_str().as_bytes(), raw);
                prop_assert_eq!(format!("{}{}", id.trust_domain().id(), id.path()), id.as_str());
            }
        }
    }
}
