//! What is wrong, where, by which rule, and what to write instead. All of it at once.

mod rule;

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

pub use rule::{Rule, Shown};

use crate::excerpt::Excerpt;
use crate::tree::Place;

/// Problems reported at once: enough for any file a person wrote, and a bound for any other.
pub const MAX_PROBLEMS: usize = 50;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// Which rule.
    pub rule: Box<Rule>,
    /// What to do.
    pub advice: Option<String>,
}

impl Problem {
    pub(crate) fn new(at: Place, rule: Rule) -> Self {
        Self {
            at,
            rule: Box::new(rule),
            advice: None,
        }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// The text the places point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    File { name: String, text: Arc<str> },
    Push,
    Process,
}

/// Everything that is wrong with one input. What was in force stays in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigErrors {
    input: Input,
    problems: Vec<Reported>,
    /// Beyond [`MAX_PROBLEMS`].
    unreported: usize,
}

/// A problem that can show its own excerpt.
#[derive(Clone, Debug, PartialEq)]
struct Reported {
    problem: Problem,
    source: Option<Excerpt>,
}

/// A problem in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where: for a file `name:line:column`.
    pub place: String,
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl ConfigErrors {
    /// The problems, in the order of the input.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().map(|reported| &reported.problem)
    }

    /// The same in words, each with its place.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.problems().map(|problem| Told {
            place: self.place(&problem.at),
            error: problem.rule.to_string(),
            advice: problem.advice.clone(),
        })
    }

    /// How many more there are, beyond [`MAX_PROBLEMS`].
    #[must_use]
    pub const fn unreported(&self) -> usize {
        self.unreported
    }

    /// One line each: place, rule, advice. For a file the place is `name:line:column`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let line = |told: Told| {
            let (place, error) = (told.place, told.error);
            match told.advice {
                Some(advice) => one_line(&format!("{place}: {error}; {advice}")),
                None => one_line(&format!("{place}: {error}")),
            }
        };
        let more = (self.unreported > 0).then(|| format!("and {} more", self.unreported));
        self.told().map(line).chain(more)
    }

    /// As many lines as fit in `max_bytes`, for the answer to a push, and how many do not.
    #[must_use]
    pub fn to_text(&self, max_bytes: usize) -> String {
        let mut text = String::new();
        let mut told = 0;
        for line in self.lines().take(self.problems.len()) {
            if text.len() + line.len() + 1 > max_bytes {
                break;
            }
            text.push_str(&line);
            text.push('\n');
            told += 1;
        }
        let left = self.problems.len() - told + self.unreported;
        if left > 0 {
            text.push_str(&format!("and {left} more"));
        }
        text.trim_end().to_owned()
    }

    fn place(&self, at: &Place) -> String {
        match (&self.input, at) {
            (Input::File { name, text }, Place::Span { start, .. }) => {
                let (line, column) = line_column(text, *start);
                format!("{name}:{line}:{column}")
            }
            (Input::File { name, .. }, Place::Whole) => name.clone(),
            (_, at) => at.to_string(),
        }
    }
}

/// A line is a line, whatever was quoted: nothing that is configured writes a second one into a log.
fn one_line(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// Line and column of a byte, both from 1, columns in characters.
#[must_use]
pub fn line_column(text: &str, at: usize) -> (usize, usize) {
    let mut end = at.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = "the command line or environment";
        let outside = self.problems().filter(|problem| problem.at.is_outside());
        let subject = match (&self.input, outside.count()) {
            (Input::Push, _) => "the pushed configuration".to_owned(),
            (Input::File { name, .. }, 0) => name.clone(),
            (Input::File { name, .. }, some) if some < self.problems.len() => {
                format!("{name}, with {process},")
            }
            (Input::File { .. } | Input::Process, _) => process.to_owned(),
        };
        let count = self.problems.len() + self.unreported;
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{subject} has {count} problem{plural}")
    }
}

impl std::error::Error for ConfigErrors {}

impl Diagnostic for ConfigErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let mut outside = self.problems().map(|problem| problem.at.is_outside());
        Some(Box::new(match &self.input {
            Input::Push => "the pushed configuration is refused",
            Input::Process => "a flag or variable is wrong",
            Input::File { .. } if outside.all(|outside| outside) => "a flag or variable is wrong",
            Input::File { .. } => "the configuration is wrong",
        }))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let more = self.unreported;
        (more > 0).then(|| Box::new(format!("{more} more are not shown")) as Box<dyn fmt::Display>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let each = self.problems.iter();
        Some(Box::new(each.map(|problem| problem as &dyn Diagnostic)))
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, &self.problem.at) {
            (Some(_), _) | (None, Place::Whole) => {
                f.write_str(&one_line(&self.problem.rule.to_string()))
            }
            (None, at) => f.write_str(&one_line(&format!("{at}: {}", self.problem.rule))),
        }
    }
}

impl std::error::Error for Reported {}

impl Diagnostic for Reported {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let advice = self.problem.advice.as_ref()?;
        Some(Box::new(advice))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (Place::Span { start, len }, Some(source)) = (&self.problem.at, &self.source) else {
            return None;
        };
        Some(Box::new(std::iter::once(source.label(*start, *len))))
    }
}

/// Collects problems while reading goes on.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    unreported: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.push_with(|| problem);
    }

    /// For problems that are costly to describe: beyond the bound they are only counted.
    pub(crate) fn push_with(&mut self, describe: impl FnOnce() -> Problem) {
        if self.has_room() {
            self.list.push(describe());
        } else {
            self.unreported += 1;
        }
    }

    /// Whether one more is told, and not only counted.
    pub(crate) const fn has_room(&self) -> bool {
        self.list.len() < MAX_PROBLEMS
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `value` if nothing is wrong.
    pub(crate) fn or<T>(mut self, value: T, input: Input) -> Result<T, ConfigErrors> {
        if self.is_empty() {
            return Ok(value);
        }
        self.list.sort_by_key(|problem| problem.at.start());
        let source = match &input {
            Input::File { name, text } => Some(Excerpt::of(name, text)),
            Input::Push | Input::Process => None,
        };
        // What a flag or a variable says stands in no file: no excerpt of it.
        let reported = |problem: Problem| Reported {
            source: source.clone().filter(|_| !problem.at.is_outside()),
            problem,
        };
        Err(ConfigErrors {
            problems: self.list.into_iter().map(reported).collect(),
            unreported: self.unreported,
            input,
        })
    }
}

impl ConfigErrors {
    /// The one problem that makes reading on pointless.
    pub(crate) fn fatal(problem: Problem, input: Input) -> Self {
        let mut problems = Problems::default();
        problems.push(problem);
        match problems.or((), input.clone()) {
            Err(errors) => errors,
            // Not reachable: one problem is an error.
            Ok(()) => Self {
                input,
                problems: Vec::new(),
                unreported: 0,
            },
        }
    }
}
