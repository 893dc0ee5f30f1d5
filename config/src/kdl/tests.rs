#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// The tree as a text to compare: `name arg key=value {child}`.
fn shape(nodes: &[Node]) -> String {
    let one = |node: &Node| {
        let args = node.args.iter().map(|v| format!(" {:?}", v.scalar));
        let props = node
            .props
            .iter()
            .map(|p| format!(" {}={:?}", p.key, p.value.scalar));
        let entries: String = args.chain(props).collect();
        let children = node.children.as_ref();
        let children = children.map(|c| format!(" {{{}}}", shape(c)));
        format!("{}{entries}{}", node.name, children.unwrap_or_default())
    };
    let all: Vec<String> = nodes.iter().map(one).collect();
    all.join("; ")
}

#[test]
fn reads_both_versions_and_the_documented_lists() {
    for (text, expected) in [
        ("", ""),
        ("\u{feff}a", "a"),
        ("a; b\nc", "a; b; c"),
        (
            "a 1 -2 +3 0x1F 0o17 0b11 1_000",
            "a Integer(1) Integer(-2) Integer(3) Integer(31) Integer(15) Integer(3) Integer(1000)",
        ),
        (
            "a 1.5 1e3 1.5E-3 #inf",
            "a Fraction Fraction Fraction Fraction",
        ),
        (
            "a true #true false #false null #null",
            "a Bool(true) Bool(true) Bool(false) Bool(false) Null Null",
        ),
        ("a bare \"b c\"", "a Text(\"bare\") Text(\"b c\")"),
        (
            r###"a r"\d" r#"""# #"\d"# ##"x"# y"##"###,
            "a Text(\"\\\\d\") Text(\"\\\"\") Text(\"\\\\d\") Text(\"x\\\"# y\")",
        ),
        (r#"a "\n\t\"\\\/\u{e9}\s""#, "a Text(\"\\n\\t\\\"\\\\/é \")"),
        ("a \"x\\\n   y\"", "a Text(\"xy\")"),
        (
            "a \"\"\"\n    x\n      y\n    \"\"\"",
            "a Text(\"x\\n  y\")",
        ),
        ("a #\"\"\"\n  \\d\n  \"\"\"#", "a Text(\"\\\\d\")"),
        (
            "a k=1 \"l m\"=2 n = 3",
            "a k=Integer(1) l m=Integer(2) n=Integer(3)",
        ),
        ("a { b; c { d } }", "a {b; c {d}}"),
        ("a { b \"x\" }", "a {b Text(\"x\")}"),
        ("a{}", "a {}"),
        ("a [ \"b\" \"c\" ]", "a Text(\"b\") Text(\"c\")"),
        (
            "a [\"b\", \"c\"] d",
            "a Text(\"b\") Text(\"c\") Text(\"d\")",
        ),
        (
            "a [ // one\n \"b\" // two\n /* three */ \"c\" /- \"d\"\n]\ne",
            "a Text(\"b\") Text(\"c\"); e",
        ),
        ("a []", "a"),
        ("a /* x /* y */ z */ 1 // end", "a Integer(1)"),
        ("a \\ // more\n  1", "a Integer(1)"),
        ("/- a { b } \nc", "c"),
        ("a /- 1 2 /- k=3 /- { x } { y }", "a Integer(2) {y}"),
        ("(t)a (u)1 k=(v)2", "a Integer(1) k=Integer(2)"),
        ("\"quoted name\" 1", "quoted name Integer(1)"),
        ("a \"line\nline\"", "a Text(\"line\\nline\")"),
        ("a b: // c", "a Text(\"b:\")"),
        ("a b// c", "a Text(\"b\")"),
        ("a - -x", "a Text(\"-\") Text(\"-x\")"),
    ] {
        let nodes = read(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(shape(&nodes), expected, "{text}");
    }
}

#[test]
fn each_mistake_has_its_rule_and_place() {
    use Syntax as S;
    for (text, what, start) in [
        ("a {", S::UnclosedBlock, 2),
        ("a { b {\n}\n", S::UnclosedBlock, 2),
        ("a }", S::StrayBrace, 2),
        ("a\n}", S::StrayBrace, 2),
        ("a [ \"b\"", S::UnclosedList, 2),
        ("a { b [ \"c\" }", S::UnclosedList, 6),
        ("a [ [ ] ]", S::ListInList, 4),
        ("a [ k=1 ]", S::PropertyInList, 5),
        ("a \"b", S::UnclosedString, 2),
        ("a “spiffe://b”", S::CurlyQuote(0x201c), 2),
        ("a b”", S::CurlyQuote(0x201d), 3),
        ("a ‘b’", S::CurlyQuote(0x2018), 2),
        ("“a” 1", S::CurlyQuote(0x201c), 0),
        ("a #\"b\"", S::UnclosedString, 2),
        ("a \"\"\"\nb", S::UnclosedString, 2),
        ("a /* b", S::UnclosedComment, 2),
        ("a {} b", S::NoTerminator, 5),
        ("a {} {}", S::NoTerminator, 5),
        ("a \"b\"\"c\"", S::NoSpace, 5),
        ("a[\"b\"]", S::NoSpace, 1),
        ("a ]", S::NoValue, 2),
        ("a k=", S::NoValue, 4),
        ("a =", S::NoValue, 2),
        ("{ }", S::NoName, 0),
        ("] a", S::NoName, 0),
        ("1 a", S::NumberAsName, 0),
        ("a 1=2", S::BadKey, 3),
        ("a () 1", S::BadAnnotation, 3),
        ("(a b", S::BadAnnotation, 3),
        ("a { b spiffe://c/d }", S::CutByComment, 6),
        ("a {\n  b spiffe://c/d\n}", S::CutByComment, 8),
        ("a [ \"b\" https://c ]", S::CutByComment, 8),
        ("a k=spiffe://c", S::CutByComment, 4),
        ("a {\n  spiffe://c\n}", S::CutByComment, 6),
        ("a #yes", S::UnknownKeyword, 2),
        ("a 0x", S::BadNumber, 2),
        ("a 1.", S::BadNumber, 2),
        ("a 1.2.3", S::BadNumber, 2),
        ("a 10s", S::BadNumber, 2),
        (
            "a 999999999999999999999999999999999999999999",
            S::HugeNumber,
            2,
        ),
        ("a \"example\\.org\"", S::BadEscape, 10),
        ("a \"\\u{110000}\"", S::BadEscape, 3),
        ("a \"\\u{}\"", S::BadEscape, 3),
        ("a \"\"\"b\"\"\"", S::BadMultiline, 2),
        ("a \"\"\"\n b\n  \"\"\"", S::BadMultiline, 2),
        ("a \\ b", S::BadContinuation, 2),
        ("a /-", S::NothingHidden, 2),
        ("/- /- a", S::NothingHidden, 0),
        ("a \u{202e}b", S::Disallowed(0x202e), 2),
        ("a \0", S::Disallowed(0), 2),
        ("a \u{feff}", S::Disallowed(0xfeff), 2),
    ] {
        let error = read(text).map(|nodes| shape(&nodes)).unwrap_err();
        assert_eq!((error.what, error.at.start()), (what, start), "{text}");
    }
}

#[test]
fn a_missing_quote_is_sought_where_the_string_began() {
    let error = read("a \"b\nc \"d\ne\" f\" g\nh ]").unwrap_err();
    assert_eq!(error.string_from, Some(Place::span(2, 3)));
}

#[test]
fn bombs_cost_neither_stack_nor_time() {
    let started = Instant::now();
    for unit in [
        "a {",
        "{",
        "a {}\n",
        "}",
        "/-",
        "/- a ",
        "/*",
        "(",
        "(a)",
        "[",
        "a [",
        "a [ \"",
        "\"",
        "\"\"\"\n",
        "#",
        "#\"",
        "r#\"",
        "a \\\n",
        "\\",
        "a=",
        "a ",
        "a;",
        "=",
        "\\u{",
        "\"\\u{",
        "1",
        "-",
        "0x",
        "a b=1 ",
        "\u{feff}",
        "a \"x\"\n",
        "// \n",
        "/* */",
        "a /* ",
        ",",
        "[,",
    ] {
        let text = unit.repeat(60_000 / unit.len());
        let _ = read(&text);
    }
    // A tenth of a second each in a debug build on a busy machine; quadratic time takes minutes.
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// What lures a parser into its own depths, and what is answered instead. Of each that speaks of
/// recovery, a string or levels, 700 repetitions (of most, 70) abort the process in a thread of 2 MiB
/// with kdl 6.7.1 as the parser, though hardly one nests, hides or comments: a bound on those before
/// the parser would not help. `(true` panics in kdl 4.7.1.
fn lures() -> Vec<(String, Option<Syntax>)> {
    use Syntax as S;
    let deepest = MAX_DEPTH - 1;
    vec![
        // Recovery from a bad token eats the `}` behind it: blocks side by side become nested.
        ("a {b 1.}\n".repeat(100_000), Some(S::BadNumber)),
        ("a {b 0x}\n".repeat(100_000), Some(S::BadNumber)),
        ("a {b #}\n".repeat(100_000), Some(S::UnknownKeyword)),
        ("a {(t)}\n".repeat(100_000), Some(S::NoName)),
        // Recovery from a bad token goes on inside the string behind it.
        (format!("a 1\"{}\"", "{".repeat(900_000)), Some(S::NoSpace)),
        (
            format!("a \"\\q {}\"", "a {".repeat(300_000)),
            Some(S::BadEscape),
        ),
        (
            format!("a \"\\q/{}\"", "*".repeat(900_000)),
            Some(S::BadEscape),
        ),
        // A valid string of KDL 1 is structure to a parser of KDL 2.
        (format!("a r\"{}\"", "{".repeat(900_000)), None),
        (format!("a \"\n{}\"", "a {\n".repeat(200_000)), None),
        // One level of recovery for each mistake.
        ("a ]\n".repeat(200_000), Some(S::NoValue)),
        ("a)\n".repeat(300_000), Some(S::NoSpace)),
        ("a =\n".repeat(200_000), Some(S::NoValue)),
        ("a {} ".repeat(200_000), Some(S::NoTerminator)),
        // One level for each `*` in a comment.
        (format!("a /*{}*/", "*".repeat(900_000)), None),
        // Twice the time for each level.
        ("a /- {\n".repeat(deepest) + &"}\n".repeat(deepest), None),
        // The square of the time.
        (
            format!("a \"\"\"\n{}\n\"\"\"", "\\\n".repeat(400_000)),
            None,
        ),
        // The deepest that is read, and a keyword where a type stands.
        ("a {\n".repeat(deepest) + &"}\n".repeat(deepest), None),
        ("(true".to_owned(), Some(S::BadAnnotation)),
    ]
}

/// A quarter of what a worker thread has.
const SMALL_STACK_BYTES: usize = 512 * 1024;

#[test]
fn no_mistake_drives_the_reader_deep() {
    let started = Instant::now();
    let small = std::thread::Builder::new().stack_size(SMALL_STACK_BYTES);
    let all = small.spawn(|| {
        for (text, expected) in lures() {
            let start: String = text.chars().take(20).collect();
            let found = read(&text).err().map(|error| error.what);
            assert_eq!(found, expected, "{start}");
        }
    });
    all.unwrap().join().unwrap();
    // A second each in a debug build on a busy machine; what doubles or squares takes minutes.
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn depth_and_count_are_bounded() {
    let nested = |levels: usize| format!("{}{}", "a {".repeat(levels), "}".repeat(levels));
    assert!(read(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(read(&nested(MAX_DEPTH)).unwrap_err().what, Syntax::TooDeep);
    let nodes = |count: usize| "a;".repeat(count);
    assert!(read(&nodes(MAX_ITEMS)).is_ok());
    let error = read(&nodes(MAX_ITEMS + 1)).unwrap_err();
    assert_eq!(error.what, Syntax::TooMany);
}

/// The same tree out of the `kdl` crate.
fn judged(document: &::kdl::KdlDocument) -> String {
    let scalar = |value: &::kdl::KdlValue| match value {
        ::kdl::KdlValue::String(text) => Scalar::Text(text.clone()),
        ::kdl::KdlValue::Integer(number) => Scalar::Integer(*number),
        ::kdl::KdlValue::Float(_) => Scalar::Fraction,
        ::kdl::KdlValue::Bool(bool) => Scalar::Bool(*bool),
        ::kdl::KdlValue::Null => Scalar::Null,
    };
    let one = |node: &::kdl::KdlNode| {
        let (props, args): (Vec<_>, Vec<_>) =
            node.entries().iter().partition(|e| e.name().is_some());
        let args = args.iter().map(|e| format!(" {:?}", scalar(e.value())));
        let props = props.iter().map(|e| {
            let name = e.name().map_or("", |name| name.value());
            format!(" {name}={:?}", scalar(e.value()))
        });
        let entries: String = args.chain(props).collect();
        let children = node.children().map(|c| format!(" {{{}}}", judged(c)));
        let name = node.name().value();
        format!("{name}{entries}{}", children.unwrap_or_default())
    };
    let all: Vec<String> = document.nodes().iter().map(one).collect();
    all.join("; ")
}

/// Pieces of KDL, so that many generated texts are valid and few are boring.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "node-b",
        " ",
        "  ",
        "\n",
        ";",
        "{",
        "}",
        " {\n",
        "\n}\n",
        "\"x\"",
        "\"\"",
        "\"a\\nb\"",
        "#\"raw\"#",
        "1",
        "-5",
        "0xff",
        "1.5",
        "#true",
        "#false",
        "#null",
        "k=1",
        "k=\"v\"",
        "// c\n",
        "/* c */",
        "/-",
        " /- ",
        "\\\n",
        "(t)",
        "\u{e9}",
        "\t",
        "=",
        "\"\"\"\n  x\n  \"\"\"",
        "true",
        "r\"x\"",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the judge reads as KDL 2, we read alike; what it reads as KDL 1 only, we read alike or
    /// refuse: it takes names and values there that no version of KDL has (`-5` as a name).
    #[test]
    fn agrees_with_the_kdl_crate(text in pieces()) {
        let ours = read(&text).map(|nodes| shape(&nodes));
        // The judge's parser recurses for each of these.
        prop_assume!(text.matches("/-").count() < 8);
        // `/-a{}a`: it lets a hidden node end without a line end, which KDL 2 does not.
        let hides = text.contains("/-") && ours.is_err();
        if let (Ok(document), false) = (::kdl::KdlDocument::parse_v2(&text), hides) {
            prop_assert_eq!(ours, Ok(judged(&document)), "{}", text);
        } else if let (Ok(ours), Ok(document)) = (ours, ::kdl::KdlDocument::parse_v1(&text)) {
            prop_assert_eq!(ours, judged(&document), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_bytes_of_syntax_are_read_or_refused(text in "[\\[\\]{}()\"#=/*\\-\\\\ \na1;,]{0,300}") {
        if let Err(error) = read(&text) {
            prop_assert!(error.at.start() <= text.len());
        }
    }
}
