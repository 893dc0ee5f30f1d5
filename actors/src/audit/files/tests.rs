#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::*;
use crate::audit::verify::{Note, Why};

/// The next records of a chain, one each minute of an hour.
fn grown(chain: &mut Chain, hour: usize, records: usize) -> Vec<Vec<u8>> {
    let record = |minute| {
        let mut line = Vec::new();
        let time = format!("2026-01-02T{hour:02}:{minute:02}:00.000Z");
        let fields = format!("{{\"time\":\"{time}\",\"verdict\":\"deny\"}}\n");
        chain.append(fields.as_bytes(), &mut line);
        line.pop();
        line
    };
    (0..records).map(record).collect()
}

fn chain(hour: usize, records: usize) -> Vec<Vec<u8>> {
    grown(&mut Chain::default(), hour, records)
}

/// A chain that begins behind a line that a crash tore.
fn begun_behind(fragment: &[u8], hour: usize, records: usize) -> Vec<Vec<u8>> {
    let mut chain = Chain::default().torn(fragment);
    let records = grown(&mut chain, hour, records);
    [vec![fragment.to_vec()], records].concat()
}

/// Verifies files of these lines; their order is not that of their names.
fn verified(files: &[&[Vec<u8>]], origin: Origin) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    for turned in 0..files.len() {
        let mut paths = Vec::new();
        for (name, lines) in files.iter().enumerate() {
            let path = dir.path().join(name.to_string());
            std::fs::write(&path, [lines.join(&b'\n'), b"\n".to_vec()].concat()).unwrap();
            paths.push(path);
        }
        paths.rotate_left(turned);
        reports.push(verify_files(&paths, origin, None).unwrap().report);
    }
    let report = reports.remove(0);
    assert!(reports.iter().all(|other| *other == report), "{reports:?}");
    report
}

fn of_files(files: &[&[Vec<u8>]]) -> Report {
    verified(files, Origin::Files)
}

/// The oldest files fell to `keep`, the others were moved elsewhere, and the agent began anew.
#[test]
fn an_older_chain_without_its_first_files_stands_before_the_one_that_began_anew() {
    let old = chain(1, 9);
    for new in [chain(2, 4), chain(2, 1), begun_behind(b"{\"seq\":1,", 2, 4)] {
        for origin in [Origin::Files, Origin::Collected] {
            let report = verified(&[&old[3..6], &old[6..], &new], origin);
            assert!(report.is_whole(), "{report:?}");
            assert!(report.notes.contains(&Note::Continues), "{report:?}");
            let anew = |note: &Note| matches!(note, Note::Anew(place) if place.file == 2);
            assert!(report.notes.iter().any(anew), "{report:?}");
            let last = LineHash::of(new.last().unwrap());
            assert_eq!(report.last.unwrap().hash, last, "the newest");
        }
    }
    // Both are older than a third.
    let (new, newest) = (chain(2, 4), chain(3, 2));
    let report = of_files(&[&newest, &old[5..], &new[..2], &new[2..]]);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.last.unwrap().hash, LineHash::of(&newest[1]));
}

/// A crash tore the first line of a file in the middle of the older chain.
#[test]
fn a_file_that_begins_with_a_torn_line_stands_behind_the_record_it_holds() {
    let mut old = Chain::default();
    let first = grown(&mut old, 1, 2);
    let torn = b"{\"seq\":3,".to_vec();
    let mut old = old.torn(&torn);
    let second = [vec![torn], grown(&mut old, 2, 2)].concat();
    let new = chain(3, 3);
    let report = of_files(&[&first, &second, &new]);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.last.unwrap().hash, LineHash::of(&new[2]));
    assert!(!of_files(&[&first[..1], &second, &new]).is_whole());
}

#[test]
fn what_is_missing_between_files_is_missing_whatever_stands_where() {
    let whole = chain(1, 9);
    let missing = |report: &Report| {
        let why = report.broken.iter().map(|broken| broken.why);
        let why: Vec<Why> = why.collect();
        assert_eq!(why, [Why::Missing { from: 4, to: 6 }], "{report:?}");
    };
    missing(&of_files(&[&whole[..3], &whole[6..]]));
    missing(&of_files(&[&whole[..3], &whole[6..], &chain(2, 3)]));
    // The newest record is held by nothing: what it says of its time moves no file.
    let mut turned = whole.clone();
    let newest = String::from_utf8(turned[8].clone()).unwrap();
    turned[8] = newest.replace("2026", "2025").into_bytes();
    missing(&of_files(&[&turned[..3], &turned[6..]]));
    // Two at once: neither is older.
    let report = of_files(&[&chain(1, 3), &whole[4..]]);
    assert!(!report.is_whole(), "{report:?}");
    // A clock that was set back between two files makes no second chain of one.
    let mut late = Chain::default();
    let mut first = grown(&mut late, 9, 3);
    let second = grown(&mut late, 1, 3);
    assert!(of_files(&[&first, &second]).is_whole());
    let changed = String::from_utf8(first[2].clone()).unwrap();
    first[2] = changed.replace("deny", "over").into_bytes();
    let report = of_files(&[&first, &second]);
    assert!(!report.is_whole(), "{report:?}");
}

/// Whatever one byte of the only record of a first file becomes, and wherever that is cut off.
#[test]
fn the_only_record_of_a_first_file_is_told_when_it_was_changed() {
    let whole = chain(1, 5);
    let told = |first: Vec<u8>| {
        let report = of_files(&[std::slice::from_ref(&first), &whole[1..3], &whole[3..]]);
        let first = String::from_utf8_lossy(&first).into_owned();
        assert!(!report.is_whole(), "{first}: {report:?}");
    };
    let record = &whole[0];
    for at in 0..record.len() {
        for to in *b"x,\"}" {
            let mut changed = record.clone();
            changed[at] = to;
            if changed != *record {
                told(changed);
            }
        }
    }
    // Of less than its number nobody can say of which record it is.
    for end in b"{\"seq\":1,".len()..record.len() {
        told(record[..end].to_vec());
    }
}

/// A file without a record is the newest, and its first record was torn.
#[test]
fn a_newest_file_that_holds_no_record_yet_is_what_a_crash_leaves() {
    let old = chain(1, 9);
    let mut next = Chain::default();
    grown(&mut next, 1, 9);
    let ninth = grown(&mut next, 1, 1).remove(0);
    let newest = |end: usize| vec![ninth[..end].to_vec()];
    for end in 1..ninth.len() {
        let report = of_files(&[&old[2..5], &old[5..], &newest(end)]);
        assert!(report.is_whole(), "{report:?}");
        let torn = Note::Torn(Place { file: 2, line: 1 });
        assert_eq!(report.notes, [Note::Continues, torn]);
    }
    // It was moved away before the agent came back, and that began anew.
    let report = of_files(&[&old, &newest(40), &chain(2, 3)]);
    assert!(report.is_whole(), "{report:?}");
    // A disk that lost its last blocks leaves zeros.
    let zeros = [ninth[..40].to_vec(), vec![0; 9]].concat();
    let report = of_files(&[&old, &[zeros, vec![0; 9]]]);
    assert!(report.is_whole(), "{report:?}");
}

/// A crash leaves no such thing: a file that was compressed, or is another program's.
#[test]
fn a_file_of_something_else_is_not_of_the_chain() {
    let old = chain(1, 3);
    for other in [&b"\x1f\x8b\x08\0"[..], b"{\"a\":1}", b"hello"] {
        let other = [other.to_vec(), b"again".to_vec()];
        let report = of_files(&[&old, &other]);
        let [broken] = report.broken[..] else {
            panic!("{report:?}");
        };
        let place = Place { file: 1, line: 1 };
        assert_eq!((broken.place, broken.why), (place, Why::Foreign));
    }
}
