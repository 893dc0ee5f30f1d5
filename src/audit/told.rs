//! What `audit verify` says, to a person and to a program.

use actors::audit::verify::{Anchor, Broken, Note, Place, Report, Why};
use actors::audit::{LineHash, Origin, Verified};
use serde_json::{Value, json};

use super::form;
use crate::output::clean;

/// A line for each finding, then the summary.
pub(super) fn text(verified: &Verified, origin: Origin, expect: Option<LineHash>) -> Vec<String> {
    let report = &verified.report;
    let mut lines: Vec<String> = Vec::new();
    for broken in &report.broken {
        let seq = broken
            .seq
            .map_or_else(String::new, |seq| format!(" seq {seq}:"));
        let at = at(verified, broken.place);
        lines.push(format!("{at}:{seq} {}", why(broken.why)));
    }
    if report.more_broken > 0 {
        lines.push(format!("and {} further breaks", report.more_broken));
    }
    for note in &report.notes {
        lines.push(format!("note: {}", note_text(verified, *note)));
    }
    if report.more_notes > 0 {
        lines.push(format!("and {} further notes", report.more_notes));
    }
    let advice = among_others(verified, origin);
    let of_the_whole = form::notes(verified).into_iter().chain(advice);
    lines.extend(of_the_whole.map(|note| format!("note: {note}")));
    if let Some(hash) = expect {
        lines.push(match report.expected {
            Some(anchor) => format!("the expected record is there: seq {}", anchor.seq),
            None => format!(
                "the expected record {hash} is not there: the end was cut off, or the chain was written anew"
            ),
        });
    }
    lines.push(summary(report));
    if let Some(last) = report.last {
        lines.push(format!("last: seq {} sha256 {}", last.seq, last.hash));
        lines.push(
            "A chain cannot tell what was cut off at its end, a change of its last record, nor whole files before its first. Keep the last hash elsewhere, and give it to --expect. Nor has it a number for what on-full \"drop\" gave up: spiffe_agent_audit_records_dropped_total counts that."
                .to_owned(),
        );
    }
    lines
}

fn summary(report: &Report) -> String {
    let range = match (report.first, report.last) {
        (Some(first), Some(last)) => format!(", seq {} to {}", first.seq, last.seq),
        _ => String::new(),
    };
    if report.is_empty() {
        return "no records: none of these lines is a record with seq and prev".to_owned();
    }
    let state = match report.is_whole() {
        true => "whole",
        false => "BROKEN",
    };
    format!("{} records{range}: {state}", report.records)
}

/// What to do where records stand among something else. Of the agent's own files nobody takes a line away.
fn among_others(verified: &Verified, origin: Origin) -> Option<String> {
    let others = verified.report.others?;
    let (first, count) = (at(verified, others.first), others.count);
    let is_collected = origin == Origin::Collected;
    if others.prefixed > 0 && (is_collected || verified.report.is_empty()) {
        return Some(format!(
            "{count} lines begin with something else, from {first} on, and {} of them hold a record behind it: where journalctl put time and host there, take its lines alone (journalctl -o cat)",
            others.prefixed
        ));
    }
    is_collected.then(|| {
        format!(
            "{count} lines are neither records nor the beginning of one, from {first} on: where they are a log's that was collected with the records, leave them out and verify again (grep '^{{' FILE | … audit verify --collected -)"
        )
    })
}

/// Whoever made a file named it.
fn at(verified: &Verified, place: Place) -> String {
    let file = verified.files.get(place.file);
    let file = file.map_or_else(String::new, |file| clean(&file.display().to_string()));
    format!("{file}:{}", place.line)
}

fn why(why: Why) -> String {
    match why {
        Why::Changed => "this line is not what was written".to_owned(),
        Why::ChangedOrNext => {
            "this line is not what was written, or the `prev` of the next is not".to_owned()
        }
        Why::Foreign => "this line is not of the chain".to_owned(),
        Why::Missing { from, to } if from == to => format!("record {from} is missing before it"),
        Why::Missing { from, to } => format!("records {from} to {to} are missing before it"),
        Why::Repeated => "this record stood before already".to_owned(),
        Why::OutOfOrder => {
            "this record belongs further up, or two agents wrote to this file at once".to_owned()
        }
        Why::Copied => {
            "records begin here that those before are past: a copy of what was given already, or another agent's? Give each file of one chain once"
                .to_owned()
        }
        Why::Anew => {
            "a chain begins in the middle of this file, as no agent does that writes it: what stands before was tampered with, or is held by nothing. If these lines were collected from standard output or OTLP, say --collected; if they are several files in one stream, name each"
                .to_owned()
        }
    }
}

const fn why_word(why: Why) -> &'static str {
    match why {
        Why::Changed => "changed",
        Why::ChangedOrNext => "changed_or_next",
        Why::Foreign => "foreign",
        Why::Missing { .. } => "missing",
        Why::Repeated => "repeated",
        Why::OutOfOrder => "out_of_order",
        Why::Anew => "anew",
        Why::Copied => "copied",
    }
}

fn note_text(verified: &Verified, note: Note) -> String {
    match note {
        Note::Torn(place) => format!("{}: a line that a crash tore", at(verified, place)),
        Note::TornOften(place, count) => {
            format!(
                "{}: {count} lines that crashes tore, from here on",
                at(verified, place)
            )
        }
        Note::Other(place) => format!(
            "{}: a line that is neither a record nor the beginning of one",
            at(verified, place)
        ),
        Note::OtherOften(place, count) => format!(
            "{}: {count} lines that are no records, from here on, and not all of them the beginning of one",
            at(verified, place)
        ),
        Note::Empty(place) => format!("{}: an empty line", at(verified, place)),
        Note::Resent(place) => {
            format!("{}: a batch that was sent twice", at(verified, place))
        }
        Note::Unchained(lines) => format!("{lines} lines before the first chained record"),
        Note::Continues => "the first record continues a file that was not given".to_owned(),
        Note::Anew(place) => format!(
            "{}: a chain begins anew here, and holds nothing of what stands before: that may have been cut off, or written anew",
            at(verified, place)
        ),
    }
}

/// The same as one object.
pub(super) fn json(verified: &Verified, origin: Origin, expect: Option<LineHash>) -> String {
    let report = &verified.report;
    let broken: Vec<Value> = report
        .broken
        .iter()
        .map(|broken| broken_json(verified, broken))
        .collect();
    let notes: Vec<String> = report
        .notes
        .iter()
        .map(|note| note_text(verified, *note))
        .chain(form::notes(verified))
        .chain(among_others(verified, origin))
        .collect();
    let is_expected = expect.is_none() || report.expected.is_some();
    let value = json!({
        "whole": report.is_whole() && is_expected && !report.is_empty(),
        "records": report.records,
        "first": report.first.map(anchor),
        "last": report.last.map(anchor),
        "broken": broken,
        "more_broken": report.more_broken,
        "notes": notes,
        "more_notes": report.more_notes,
        "expected": expect.map(|hash| json!({
            "sha256": hash.to_string(),
            "seq": report.expected.map(|anchor| anchor.seq),
        })),
    });
    value.to_string()
}

fn anchor(anchor: Anchor) -> Value {
    json!({ "seq": anchor.seq, "sha256": anchor.hash.to_string() })
}

fn broken_json(verified: &Verified, broken: &Broken) -> Value {
    let file = verified.files.get(broken.place.file);
    json!({
        "file": file.map(|file| file.display().to_string()),
        "line": broken.place.line,
        "seq": broken.seq,
        "why": why_word(broken.why),
        "text": why(broken.why),
    })
}
