//! What holds for every input: no panic, places inside the text, and one meaning in three notations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;

use config::{ConfigErrors, FileConfig, Outcome, Overrides, Place, Push, Settings};
use proptest::prelude::*;
use verdict::policy::PolicySpec;

/// One key: a switch, a number, a word or a list.
#[derive(Clone, Debug)]
enum Given {
    Switch(bool),
    Number(u64),
    Word(String),
    Words(Vec<String>),
}

type Blocks = Vec<(&'static str, Vec<(&'static str, Given)>)>;

fn maybe(
    key: &'static str,
    value: impl Strategy<Value = Given> + 'static,
) -> impl Strategy<Value = Option<(&'static str, Given)>> {
    prop::option::of(value).prop_map(move |value| value.map(|value| (key, value)))
}

fn switch() -> impl Strategy<Value = Given> {
    any::<bool>().prop_map(Given::Switch)
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Given> {
    prop::sample::select(words).prop_map(|word| Given::Word(word.to_owned()))
}

fn words(pattern: &'static str) -> impl Strategy<Value = Given> {
    prop::collection::vec(pattern, 0..4).prop_map(Given::Words)
}

fn list() -> impl Strategy<Value = Vec<(&'static str, Given)>> {
    (
        maybe(
            "exact",
            words("spiffe://[a-z]{1,5}\\.test/[a-zA-Z0-9]{1,5}"),
        ),
        maybe("prefix", words("spiffe://[a-z]{1,5}\\.test/[a-z]{1,5}/?")),
        maybe("trust-domains", words("[a-z]{1,5}\\.test")),
        maybe(
            "patterns",
            words("spiffe://[a-z]{1,5}\\\\\\.test/[a-z]{1,5}-\\.\\*"),
        ),
        maybe("any", switch()),
    )
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].into_iter().flatten().collect())
}

fn blocks() -> impl Strategy<Value = Blocks> {
    let tls = (
        maybe("require-mtls", switch()),
        maybe("client-cert-format", word(&["auto", "xfcc", "rfc9440"])),
        maybe("xfcc-element", word(&["last", "only"])),
    )
        .prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect::<Vec<_>>());
    let failure = (
        maybe(
            "spire-unavailable",
            word(&["fail_closed", "fail_open", "cache"]),
        ),
        maybe("cache-ttl", (0u64..100_000).prop_map(Given::Number)),
        maybe("unavailable-status", (400u64..600).prop_map(Given::Number)),
        maybe("enforce", switch()),
    )
        .prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect::<Vec<_>>());
    (
        prop::option::of(tls),
        prop::option::of(list()),
        prop::option::of(list()),
        prop::option::of(failure),
    )
        .prop_map(|(tls, allow, deny, failure)| {
            [
                ("tls", tls),
                ("allowlist", allow),
                ("denylist", deny),
                ("failure", failure),
            ]
            .into_iter()
            .filter_map(|(name, keys)| Some((name, keys?)))
            .collect()
        })
}

fn kdl(blocks: &Blocks, value: fn(&Given) -> String) -> String {
    let mut text = String::new();
    for (name, keys) in blocks {
        writeln!(text, "{name} {{").unwrap();
        for (key, given) in keys {
            writeln!(text, "    {key} {}", value(given)).unwrap();
        }
        writeln!(text, "}}").unwrap();
    }
    text
}

fn quoted(words: &[String]) -> Vec<String> {
    words.iter().map(|word| format!("{word:?}")).collect()
}

/// KDL 2: `#true`, raw strings, values side by side.
fn second(given: &Given) -> String {
    match given {
        Given::Switch(switch) => format!("#{switch}"),
        Given::Number(number) => number.to_string(),
        Given::Word(word) => word.clone(),
        Given::Words(words) => words.iter().map(|word| format!("#\"{word}\"# ")).collect(),
    }
}

/// As documented: bare `true`, lists in brackets over several lines.
fn documented(given: &Given) -> String {
    match given {
        Given::Switch(switch) => switch.to_string(),
        Given::Number(number) => number.to_string(),
        Given::Word(word) => format!("{word:?} // a comment"),
        Given::Words(words) => format!("[\n  {}\n  // ]\n ]", quoted(words).join("\n  ")),
    }
}

/// As a proxy converts it: one entry is a bare string.
fn json(blocks: &Blocks) -> String {
    let value = |given: &Given| match given {
        Given::Switch(switch) => switch.to_string(),
        Given::Number(number) => number.to_string(),
        Given::Word(word) => format!("{word:?}"),
        Given::Words(words) => match quoted(words).as_slice() {
            [word] => word.clone(),
            words => format!("[{}]", words.join(",")),
        },
    };
    let keys = |keys: &[(&str, Given)]| -> Vec<String> {
        keys.iter()
            .map(|(key, given)| format!("{key:?}:{}", value(given)))
            .collect()
    };
    let blocks: Vec<String> = blocks
        .iter()
        .map(|(name, inner)| format!("{name:?}:{{{}}}", keys(inner).join(",")))
        .collect();
    format!("{{{}}}", blocks.join(","))
}

fn read(text: &str) -> PolicySpec {
    let file = FileConfig::parse("f", text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.lines().collect();
        panic!("{lines:?}\n{text}");
    });
    let settings = Settings::resolve(Some(file), &Overrides::default()).unwrap();
    settings.policy().unwrap().clone()
}

fn pushed(text: &str) -> PolicySpec {
    let settings = Settings::resolve(None, &Overrides::default()).unwrap();
    match settings.take_push(text.as_bytes()) {
        Ok(Outcome::Applied(applied)) => applied.policy,
        other => panic!("{other:?}\n{text}"),
    }
}

fn places_are_inside(errors: &ConfigErrors, text: &str) -> bool {
    let inside = |place: &Place| match place {
        Place::Span { start, .. } => *start <= text.len(),
        Place::Json(_) | Place::Whole => true,
        Place::Flag(_) | Place::Variable(_) => false,
    };
    let is_line = |line: String| !line.contains(|c: char| c.is_control());
    errors.problems().all(|problem| inside(&problem.at)) && errors.lines().all(is_line)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn three_notations_mean_the_same(blocks in blocks()) {
        prop_assume!(!blocks.is_empty());
        let modern = read(&kdl(&blocks, second));
        prop_assert_eq!(&modern, &read(&kdl(&blocks, documented)));
        let wrapped = format!("agents {{ agent \"spiffe\" {{ config {{\n{}\n}} }} }}", kdl(&blocks, second));
        prop_assert_eq!(&modern, &read(&wrapped));
        prop_assert_eq!(&modern, &pushed(&json(&blocks)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
        if let Err(errors) = FileConfig::parse("f", &text) {
            prop_assert!(places_are_inside(&errors, &text));
        }
    }

    #[test]
    fn any_block_is_read_or_refused(text in "(tls|allowlist|spire|audit|agent|agents|config|failure|headers) \\{ (exact|prefix|sink|socket|any|limits|enforce|cache-ttl|spiffe-id)?[ =\\[\\](){}\"#a-z0-9/.:*+-]{0,60}\\}?") {
        if let Err(errors) = FileConfig::parse("f", &text) {
            prop_assert!(places_are_inside(&errors, &text));
        }
    }

    #[test]
    fn any_bytes_pushed_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Push::parse(&bytes);
    }

    #[test]
    fn a_damaged_documented_block_never_panics(at in 0usize..3000, with in "[\"{}\\[\\]\\\\/#\n]{0,2}", cut in 0usize..40) {
        let mut text = include_str!("../examples/documented.kdl").to_owned();
        let start = at.min(text.len());
        let end = (start + cut).min(text.len());
        text.replace_range(start..end, &with);
        if let Err(errors) = FileConfig::parse("f", &text) {
            prop_assert!(places_are_inside(&errors, &text));
        }
    }
}
