#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use proptest::prelude::*;

use super::*;
use crate::audit::chain::Chain;

/// Lines of a whole chain.
fn chain(records: usize) -> Vec<Vec<u8>> {
    chain_of("c", records)
}

fn chain_of(name: &str, records: usize) -> Vec<Vec<u8>> {
    grown(&mut Chain::default(), name, records)
}

/// The next lines of a chain.
fn grown(chain: &mut Chain, name: &str, records: usize) -> Vec<Vec<u8>> {
    let line = |n| {
        let mut out = Vec::new();
        chain.append(
            format!("{{\"correlation_id\":\"{name}-{n}\"}}\n").as_bytes(),
            &mut out,
        );
        out.pop();
        out
    };
    (0..records).map(line).collect()
}

fn verify(lines: &[Vec<u8>], expect: Option<LineHash>) -> Report {
    verify_of(Origin::Files, lines, expect)
}

fn verify_of(origin: Origin, lines: &[Vec<u8>], expect: Option<LineHash>) -> Report {
    let mut verifier = Verifier::new(origin, expect);
    let text = lines.join(&b'\n');
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        verifier.take(
            Place { file: 0, line },
            LineHash::of(bytes),
            Content::of(bytes),
        );
    }
    verifier.finish()
}

/// One change, to one of the lines before the last.
#[derive(Clone, Debug)]
enum Mutation {
    Byte {
        line: usize,
        at: prop::sample::Index,
        to: u8,
    },
    Cut {
        line: usize,
        at: prop::sample::Index,
    },
    Split {
        line: usize,
        at: prop::sample::Index,
    },
    Merge {
        line: usize,
    },
    Delete {
        line: usize,
    },
    Repeat {
        line: usize,
        to: usize,
    },
    Swap {
        line: usize,
    },
    Insert {
        line: usize,
        text: String,
    },
}

const RECORDS: usize = 9;
/// The last but one: nothing covers the last.
const LAST_COVERED: usize = RECORDS - 2;

fn mutation() -> impl Strategy<Value = Mutation> {
    let line = || 0..=LAST_COVERED;
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (line(), at(), any::<u8>()).prop_map(|(line, at, to)| Mutation::Byte { line, at, to }),
        (line(), at()).prop_map(|(line, at)| Mutation::Cut { line, at }),
        (line(), at()).prop_map(|(line, at)| Mutation::Split { line, at }),
        (0..LAST_COVERED).prop_map(|line| Mutation::Merge { line }),
        line().prop_map(|line| Mutation::Delete { line }),
        (line(), line()).prop_map(|(line, to)| Mutation::Repeat { line, to }),
        (0..LAST_COVERED).prop_map(|line| Mutation::Swap { line }),
        (line(), "[ -~]{0,40}").prop_map(|(line, text)| Mutation::Insert { line, text }),
    ]
}

/// Makes the change; gives the first line, from 1, that is not as it was.
fn mutate(lines: &mut Vec<Vec<u8>>, mutation: &Mutation) -> Option<usize> {
    match mutation {
        Mutation::Byte { line, at, to } => {
            let at = at.index(lines[*line].len());
            if lines[*line][at] == *to {
                return None;
            }
            lines[*line][at] = *to;
            Some(line + 1)
        }
        Mutation::Cut { line, at } => {
            let at = at.index(lines[*line].len());
            lines[*line].truncate(at);
            Some(line + 1)
        }
        Mutation::Split { line, at } => {
            let at = at.index(lines[*line].len());
            lines[*line].insert(at, b'\n');
            Some(line + 1)
        }
        Mutation::Merge { line } => {
            let next = lines.remove(line + 1);
            lines[*line].extend(next);
            Some(line + 1)
        }
        Mutation::Delete { line } => {
            lines.remove(*line);
            // A chain may begin anywhere: whether something stood before its first line is for an
            // anchor, or the file before, to say.
            (*line > 0).then_some(line + 1)
        }
        Mutation::Repeat { line, to } => {
            let again = lines[*line].clone();
            lines.insert(to + 1, again);
            (to >= line).then_some(to + 2)
        }
        Mutation::Swap { line } => {
            lines.swap(*line, line + 1);
            // The second may well stand first; the first cannot stand second.
            Some(line + if *line == 0 { 2 } else { 1 })
        }
        Mutation::Insert { line, text } => {
            lines.insert(line + 1, text.clone().into_bytes());
            Some(line + 2)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_single_change_before_the_last_line_is_found_where_it_is(mutation in mutation()) {
        let mut lines = chain(RECORDS);
        if let Some(line) = mutate(&mut lines, &mutation) {
            let report = verify(&lines, None);
            let found = report.broken.iter().map(|broken| broken.place.line).min();
            prop_assert_eq!(found, Some(line as u64), "{:?}", report);
            // One change is not told as a flood of them.
            prop_assert!(report.broken.len() <= 2, "{:?}", report);
        }
    }
}

#[test]
fn a_whole_chain_is_whole() {
    for records in 1..5 {
        let lines = chain(records);
        let last = LineHash::of(lines.last().unwrap());
        let report = verify(&lines, Some(last));
        assert!(report.is_whole(), "{report:?}");
        assert!(report.notes.is_empty(), "{report:?}");
        assert_eq!(report.records, records as u64);
        assert_eq!(report.last.unwrap().hash, last);
        assert_eq!(report.expected, report.last);
    }
}

/// What the chain alone cannot tell, an anchor does.
#[test]
fn what_is_missing_at_the_end_is_told_by_an_anchor() {
    let lines = chain(RECORDS);
    let last = LineHash::of(lines.last().unwrap());
    let cut = verify(&lines[..RECORDS - 1], Some(last));
    assert!(cut.is_whole());
    assert_eq!(cut.expected, None);
    // An older anchor is in it still.
    let older = LineHash::of(&lines[3]);
    assert_eq!(verify(&lines, Some(older)).expected.unwrap().seq, 4);
}

#[test]
fn the_last_line_or_the_one_before_is_named_together() {
    let mut lines = chain(RECORDS);
    let end = lines[LAST_COVERED].len() - 3;
    lines[LAST_COVERED][end] = b'x';
    let report = verify(&lines, None);
    assert_eq!(report.broken[0].why, Why::ChangedOrNext);
    assert_eq!(report.broken[0].place.line, RECORDS as u64 - 1);
}

#[test]
fn a_chain_that_begins_anew_in_the_middle_is_a_break_of_a_file_and_noted_of_what_was_collected() {
    let lines = [chain(3), chain_of("d", 2)].concat();
    let place = Place { file: 0, line: 4 };
    let report = verify_of(Origin::Collected, &lines, None);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.notes, [Note::Anew(place)]);
    let report = verify(&lines, None);
    let [broken] = report.broken[..] else {
        panic!("{report:?}");
    };
    assert_eq!((broken.place, broken.why), (place, Why::Anew));
    // What stands in its middle has not begun: its first record is gone.
    let lines = [chain(3), chain_of("d", 4).split_off(1)].concat();
    assert!(!verify(&lines, None).is_whole());
}

/// The lines of several files.
fn verify_files(origin: Origin, files: &[Vec<Vec<u8>>]) -> Report {
    let mut verifier = Verifier::new(origin, None);
    for (file, lines) in files.iter().enumerate() {
        for (line, bytes) in (1..).zip(lines) {
            let place = Place { file, line };
            verifier.take(place, LineHash::of(bytes), Content::of(bytes));
        }
    }
    verifier.finish()
}

/// A chain that begins in a file whose first record a crash tore, once or more.
fn begun_behind(fragments: &[&[u8]], name: &str, records: usize) -> Vec<Vec<u8>> {
    let torn = |chain: Chain, fragment: &&[u8]| chain.torn(fragment);
    let mut chain = fragments.iter().fold(Chain::default(), torn);
    let mut lines: Vec<Vec<u8>> = fragments.iter().map(|line| line.to_vec()).collect();
    lines.extend(grown(&mut chain, name, records));
    lines
}

#[test]
fn a_chain_that_begins_anew_behind_lines_that_crashes_tore_is_noted_as_any_other() {
    let torn = b"{\"seq\":1,\"prev\":nu";
    let cut = chain(4).remove(3)[..40].to_vec();
    for (fragments, records) in [
        (&[&torn[..]][..], 3),
        (&[torn, &torn[..9]], 3),
        (&[torn], 1),
    ] {
        let new = begun_behind(fragments, "d", records);
        for old in [chain(3), [chain(3), vec![cut.clone()]].concat()] {
            for origin in [Origin::Files, Origin::Collected] {
                let report = verify_files(origin, &[old.clone(), new.clone()]);
                assert!(report.is_whole(), "{report:?}");
                let line = fragments.len() as u64 + 1;
                let begun = Note::Anew(Place { file: 1, line });
                assert!(report.notes.contains(&begun), "{report:?}");
                let last = LineHash::of(new.last().unwrap());
                assert_eq!(report.last.unwrap().hash, last);
            }
        }
        // In the middle of a file no agent begins one, whatever stands before it.
        let report = verify(&[chain(3), new.clone()].concat(), None);
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        assert_eq!(broken.why, Why::Anew);
    }
}

/// What stands behind it may be anything that goes on, and nothing else.
#[test]
fn a_chain_that_begins_behind_a_torn_line_must_hold_that_line_and_go_on() {
    let new = begun_behind(&[b"{\"seq\":1,"], "d", 4);
    let without = |line: usize| {
        let mut lines = new.clone();
        lines.remove(line);
        lines
    };
    let mut other = new.clone();
    other[0] = b"{\"seq\":2,".to_vec();
    for lines in [without(1), without(2), other] {
        let report = verify_files(Origin::Files, &[chain(3), lines]);
        assert!(!report.is_whole(), "{report:?}");
    }
    // One that is put between two files of a chain is told.
    let whole = chain(6);
    let (one, two) = whole.split_at(3);
    for forged in [&new[..2], &new[..]] {
        let files = [one.to_vec(), forged.to_vec(), two.to_vec()];
        let report = verify_files(Origin::Files, &files);
        assert!(!report.is_whole(), "{report:?}");
    }
}

#[test]
fn a_later_chain_that_is_given_twice_is_told() {
    let torn = begun_behind(&[b"{\"seq\":1,"], "d", 3);
    for later in [chain_of("d", 3), chain_of("d", 1), torn] {
        let report = verify_files(Origin::Files, &[chain(3), later.clone(), later.clone()]);
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        assert_eq!((broken.place.file, broken.why), (2, Why::Copied));
        let first = later.clone();
        let report = verify_files(Origin::Files, &[first, later]);
        assert_eq!(report.broken.len(), 1, "{report:?}");
        assert_eq!(report.broken[0].why, Why::Copied);
    }
}

/// Three starts of five records each, without one line.
fn starts_without(line: usize) -> Vec<Vec<u8>> {
    let mut lines = [chain(5), chain_of("d", 5), chain_of("e", 5)].concat();
    lines.remove(line - 1);
    lines
}

#[test]
fn what_is_missing_after_a_start_is_told_by_its_numbers() {
    for (line, missing) in [(6, 1), (7, 2), (8, 3), (12, 2)] {
        let report = verify_of(Origin::Collected, &starts_without(line), None);
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        let why = Why::Missing {
            from: missing,
            to: missing,
        };
        let at = Place {
            file: 0,
            line: line as u64,
        };
        assert_eq!((broken.place, broken.why), (at, why));
        assert_eq!(report.last.unwrap().seq, 5);
    }
}

/// What stands elsewhere than it was written is no start.
#[test]
fn a_record_that_was_moved_among_what_was_collected_is_named_alone() {
    let mut lines = chain(9);
    let moved = lines.remove(2);
    lines.insert(6, moved);
    let report = verify_of(Origin::Collected, &lines, None);
    let told: Vec<Why> = report.broken.iter().map(|broken| broken.why).collect();
    assert_eq!(told, [Why::Missing { from: 3, to: 3 }, Why::OutOfOrder]);
}

/// A copy among the files is one mistake, and told as one.
#[test]
fn a_file_that_is_given_twice_is_told_once() {
    let lines = chain(20);
    let (old, new) = lines.split_at(10);
    for (files, first) in [
        (vec![old, new, new], 11),
        (vec![old, new, old], 1),
        (vec![&lines[..], &lines[..]], 1),
    ] {
        let mut verifier = Verifier::default();
        for (file, lines) in files.iter().enumerate() {
            for (line, bytes) in (1..).zip(*lines) {
                let place = Place { file, line };
                verifier.take(place, LineHash::of(bytes), Content::of(bytes));
            }
        }
        let report = verifier.finish();
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        assert_eq!((broken.seq, broken.why), (Some(first), Why::Copied));
        assert_eq!((broken.place.file, broken.place.line), (files.len() - 1, 1));
    }
}

#[test]
fn an_empty_line_is_not_taken_for_a_torn_one() {
    let mut lines = chain(3);
    lines.push(Vec::new());
    let place = Place { file: 0, line: 4 };
    assert_eq!(verify(&lines, None).notes, [Note::Empty(place)]);
}

#[test]
fn lines_from_before_there_was_a_chain_are_noted() {
    let old = b"{\"verdict\":\"allow\"}".to_vec();
    let mut chain = Chain::default().torn(&old);
    let mut lines = vec![old];
    lines.extend(grown(&mut chain, "c", 2));
    let report = verify(&lines, None);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.notes, [Note::Unchained(1)]);
}

#[test]
fn breaks_beyond_a_hundred_are_counted() {
    let mut lines = chain(500);
    for line in (1..499).step_by(2) {
        lines[line] = b"?".to_vec();
    }
    let report = verify(&lines, None);
    assert_eq!(report.broken.len(), TOLD_MAX);
    assert_eq!(report.more_broken, 249 - TOLD_MAX as u64);
}

/// What a record behind a torn line covers is named by its number where it is gone.
#[test]
fn what_is_missing_before_a_torn_line_is_told_by_its_numbers() {
    let mut whole = Chain::default();
    let mut lines = grown(&mut whole, "c", 4);
    let fragment = b"{\"seq\":5,".to_vec();
    let mut chain = whole.torn(&fragment);
    lines.push(fragment);
    lines.extend(grown(&mut chain, "c", 3));
    assert!(verify(&lines, None).is_whole());
    lines.drain(2..4);
    let report = verify(&lines, None);
    let [broken] = report.broken[..] else {
        panic!("{report:?}");
    };
    assert_eq!(broken.why, Why::Missing { from: 3, to: 4 });
    assert_eq!(report.last.unwrap().seq, 7);
}

/// What is written behind a line that is no record is tied to what stands before it, not to that line
/// alone: whoever puts one there gains nothing.
#[test]
fn what_stands_before_a_torn_line_cannot_be_written_anew() {
    let cut = chain(6).remove(5)[..40].to_vec();
    for fragment in [b"x".to_vec(), cut] {
        let mut whole = Chain::default();
        let mut lines = grown(&mut whole, "c", 5);
        let mut end = whole.torn(&fragment);
        lines.push(fragment);
        lines.extend(grown(&mut end, "c", 3));
        let expect = lines.last().map(|line| LineHash::of(line));
        let report = verify(&lines, expect);
        assert!(report.is_whole(), "{report:?}");
        lines.splice(..5, chain_of("forged", 5));
        let report = verify(&lines, expect);
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        assert_eq!((broken.seq, broken.why), (Some(5), Why::Changed));
        // Nor by taking the tie away: the next record holds the line it stands in.
        let without = String::from_utf8(lines[6].clone()).unwrap();
        let at = without.find("\"over\"").unwrap();
        let till = at + without[at..].find(',').unwrap() + 1;
        lines[6] = [&without[..at], &without[till..]].concat().into_bytes();
        assert!(!verify(&lines, expect).is_whole());
    }
}

/// A collector took a batch, its answer was lost, and it came again: nothing is missing, nothing added.
#[test]
fn a_batch_that_was_sent_twice_is_noted_of_what_was_collected() {
    let whole = chain(300);
    let mut lines = whole.clone();
    lines.splice(300..300, whole[200..].iter().cloned());
    let mut end = Chain::default();
    let more = grown(&mut end, "c", 305).split_off(300);
    lines.extend(more);
    let report = verify_of(Origin::Collected, &lines, None);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.notes, [Note::Resent(Place { file: 0, line: 301 })]);
    assert_eq!((report.records, report.last.unwrap().seq), (305, 305));
    // The agent that writes a file writes no line twice.
    assert!(!verify(&lines, None).is_whole());
    // And what is missing is missing still.
    lines.drain(300..402);
    assert!(!verify_of(Origin::Collected, &lines, None).is_whole());
}
