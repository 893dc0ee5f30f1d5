//! Where decision records go, and what a sink that cannot keep up means: file-only keys of `audit`.

use std::path::PathBuf;

use crate::decode::{Block, Complaint, Range};
use crate::problem::{Problem, Rule, Shown};
use crate::tree::{Node, Place, Prop, Scalar};
use crate::values::{self, FileSink, Fsync, OnFull, Rotation, Sink, ValueError};

/// Each record is written to every sink.
const MAX_SINKS: usize = 4;

const KEY: &str = "sink";

/// Files kept beside the one that is written, unless `keep` says otherwise.
const DEFAULT_KEEP: u64 = 8;

/// Milliseconds between two fsyncs, unless `interval-ms` says otherwise.
const DEFAULT_INTERVAL_MS: u64 = 1000;

/// A smaller file would be rotated with every few batches.
const ROTATE_BYTES: Range = Range {
    min: 64 * 1024,
    max: 1 << 40,
    unit: "bytes",
};

/// Each rotation renames all of them.
const KEEP: Range = Range {
    min: 1,
    max: 1000,
    unit: "files",
};

const INTERVAL_MS: Range = Range {
    min: 10,
    max: 60_000,
    unit: "ms",
};

/// The file-only keys of `audit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditBlock {
    pub(crate) sinks: Option<Vec<Sink>>,
    pub(crate) on_full: Option<OnFull>,
}

pub(crate) fn read(block: &mut Block<'_, '_>) -> AuditBlock {
    let choices = OnFull::ALL.map(|choice| (choice.as_str(), choice));
    AuditBlock {
        on_full: block.choice("on-full", &choices),
        sinks: sinks(block),
    }
}

/// `sink "stdout"`, `sink "stderr"`, `sink "otlp"`, `sink "file" path="/…"`, each place at most once.
fn sinks(block: &mut Block<'_, '_>) -> Option<Vec<Sink>> {
    let nodes = block.nodes(KEY);
    if nodes.is_empty() {
        return None;
    }
    let mut sinks: Vec<Sink> = Vec::new();
    for node in nodes {
        let Some(sink) = sink(block, node) else {
            continue;
        };
        let error = if sinks.iter().any(|other| other.is_same_place(&sink)) {
            Rule::Duplicate(Shown::new(KEY))
        } else if sinks.iter().any(|other| other.rotates_over(&sink)) {
            let error = ValueError::RotatedOver;
            complain(block, &node.at, error);
            continue;
        } else if sinks.len() >= MAX_SINKS {
            let error = ValueError::TooMany(MAX_SINKS);
            Rule::Value { key: KEY, error }
        } else {
            block.place(format!("audit.{KEY}[{}]", sinks.len()), &node.at);
            sinks.push(sink);
            continue;
        };
        block.problem(&node.at, error);
    }
    Some(sinks)
}

fn sink<'n>(block: &mut Block<'n, '_>, node: &'n Node) -> Option<Sink> {
    if node.children.is_some() {
        block.problem(&node.at, Rule::BlockOnKey(KEY));
        return None;
    }
    if let [kind, _path] = node.args.as_slice()
        && kind.scalar == Scalar::Text("file".to_owned())
    {
        let found = node.args.len();
        let problem = Problem::new(node.at.clone(), Rule::OneValue { key: KEY, found });
        let example = ValueError::NoSinkPath.advice().unwrap_or_default();
        block.decoder().problems.push(problem.advise(example));
        return None;
    }
    let value = block.one_value(node, KEY)?;
    let named = Named::read(block, node)?;
    let Scalar::Text(kind) = &value.scalar else {
        return block.wrong_type(KEY, "a text", value);
    };
    let made = match kind.as_str() {
        "stdout" => named.stream(Sink::Stdout),
        "stderr" => named.stream(Sink::Stderr),
        "otlp" => named.stream(Sink::Otlp),
        "file" => named.file(),
        _ => {
            let rule = Rule::NotAChoice {
                key: KEY,
                choices: vec!["stdout", "stderr", "otlp", "file"],
                found: Shown::new(kind),
            };
            block.problem(&value.at, rule);
            return None;
        }
    };
    match made {
        Ok(sink) => Some(sink),
        Err(error) => {
            complain(block, &node.at, error);
            None
        }
    }
}

/// What stands behind `sink "file"`.
#[derive(Default)]
struct Named {
    path: Option<PathBuf>,
    rotate_bytes: Option<u64>,
    keep: Option<u64>,
    fsync: Option<String>,
    interval_ms: Option<u64>,
}

impl Named {
    /// `None` when some of it is wrong.
    fn read(block: &mut Block<'_, '_>, node: &Node) -> Option<Self> {
        let mut named = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for prop in &node.props {
            if seen.contains(&prop.key.as_str()) {
                block.problem(&prop.at, Rule::Duplicate(Shown::new(&prop.key)));
                return None;
            }
            seen.push(&prop.key);
            named.take(block, prop)?;
        }
        Some(named)
    }

    fn take(&mut self, block: &mut Block<'_, '_>, prop: &Prop) -> Option<()> {
        match prop.key.as_str() {
            "path" => self.path = Some(path(block, prop)?),
            "rotate-bytes" => {
                self.rotate_bytes = Some(number(block, prop, "rotate-bytes", ROTATE_BYTES)?);
            }
            "keep" => self.keep = Some(number(block, prop, "keep", KEEP)?),
            "fsync" => self.fsync = Some(fsync(block, prop)?),
            "interval-ms" => {
                self.interval_ms = Some(number(block, prop, "interval-ms", INTERVAL_MS)?);
            }
            other => {
                let key = Shown::new(other);
                let rule = Rule::UnknownKey { key, block: KEY };
                let problem = Problem::new(prop.at.clone(), rule);
                let advice = "a file sink knows path, rotate-bytes, keep, fsync and interval-ms";
                block.decoder().problems.push(problem.advise(advice));
                return None;
            }
        }
        Some(())
    }

    fn stream(self, sink: Sink) -> Result<Sink, ValueError> {
        let named = [
            (self.path.is_some(), "a path"),
            (self.rotate_bytes.is_some(), "rotate-bytes"),
            (self.keep.is_some(), "keep"),
            (self.fsync.is_some(), "fsync"),
            (self.interval_ms.is_some(), "interval-ms"),
        ];
        match named.into_iter().find(|(named, _)| *named) {
            Some((_, key)) => Err(ValueError::OnlyFile(key)),
            None => Ok(sink),
        }
    }

    fn file(self) -> Result<Sink, ValueError> {
        let path = self.path.ok_or(ValueError::NoSinkPath)?;
        let keep = self.keep.unwrap_or(DEFAULT_KEEP);
        let rotation = match (self.rotate_bytes, self.keep) {
            (Some(at_bytes), _) => Some(Rotation {
                at_bytes,
                keep: u32::try_from(keep).unwrap_or(u32::MAX),
            }),
            (None, Some(_)) => return Err(ValueError::Needs("keep", "rotate-bytes")),
            (None, None) => None,
        };
        let interval_ms = self.interval_ms;
        let fsync = match self.fsync.as_deref() {
            Some("interval") => Fsync::Interval {
                ms: interval_ms.unwrap_or(DEFAULT_INTERVAL_MS),
            },
            _ if interval_ms.is_some() => {
                return Err(ValueError::Needs("interval-ms", "fsync=\"interval\""));
            }
            Some("always") => Fsync::Always,
            _ => Fsync::Never,
        };
        Ok(Sink::File(FileSink {
            path,
            rotation,
            fsync,
        }))
    }
}

fn path(block: &mut Block<'_, '_>, prop: &Prop) -> Option<PathBuf> {
    let Scalar::Text(text) = &prop.value.scalar else {
        return block.wrong_type(KEY, "a text", &prop.value);
    };
    match values::absolute_path(text) {
        Ok(path) => Some(path),
        Err(error) => {
            complain(block, &prop.value.at, error);
            None
        }
    }
}

fn fsync(block: &mut Block<'_, '_>, prop: &Prop) -> Option<String> {
    let Scalar::Text(text) = &prop.value.scalar else {
        return block.wrong_type("fsync", "a text", &prop.value);
    };
    let choices = vec!["never", "interval", "always"];
    if choices.contains(&text.as_str()) {
        return Some(text.clone());
    }
    let rule = Rule::NotAChoice {
        key: "fsync",
        choices,
        found: Shown::new(text),
    };
    block.problem(&prop.value.at, rule);
    None
}

fn number(block: &mut Block<'_, '_>, prop: &Prop, key: &'static str, range: Range) -> Option<u64> {
    let Scalar::Integer(found) = prop.value.scalar else {
        return block.wrong_type(key, "a whole number", &prop.value);
    };
    let number = u64::try_from(found).ok();
    let within = number.filter(|number| (range.min..=range.max).contains(number));
    if within.is_none() {
        let Range { min, max, unit } = range;
        let rule = Rule::OutOfRange {
            key,
            min,
            max,
            unit,
            found,
        };
        block.problem(&prop.value.at, rule);
    }
    within
}

fn complain(block: &mut Block<'_, '_>, at: &Place, error: ValueError) {
    let advice = error.advice();
    let complaint = Complaint::new(Rule::Value { key: KEY, error }, advice);
    block.decoder().problems.push(complaint.at(at.clone()));
}
