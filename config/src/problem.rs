//! What is wrong, where, by which rule, and what to write instead. All of it at once.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use verdict::headers::{HeaderNameError, IdentityHeadersError};
use verdict::lists::ListError;

use crate::endpoint::SocketPathError;
use crate::kdl::Syntax;
use crate::tree::Place;
use crate::values::ValueError;

/// Problems reported at once: enough for any file a person wrote, and a bound for any other.
pub const MAX_PROBLEMS: usize = 50;

/// Of a value quoted in an error text: long enough for a SPIFFE ID as they are in practice.
const SHOWN_CHARS: usize = 100;

/// A value as it may stand in an error text or a log: cut, and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(crate) fn new(text: &str) -> Self {
        let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
        if cut.len() < text.len() {
            cut.push('…');
        }
        Self(
            cut.escape_debug()
                .to_string()
                .replace("\\\"", "\"")
                .replace("\\'", "'"),
        )
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule that is broken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rule {
    /// KDL, or what we made of it.
    #[error("{0}")]
    Syntax(Syntax),
    /// JSON (RFC 8259), at a line and column of the push.
    #[error("this is not JSON: {0}")]
    Json(Shown),
    /// The bound on the input as a whole.
    #[error("a configuration is limited to {max} bytes, and this has {found}")]
    TooLarge {
        /// The bound.
        max: usize,
        /// The size.
        found: usize,
    },
    /// A push that is no object.
    #[error("a push is an object with the configuration's blocks, not {0}")]
    NotAnObject(&'static str),
    /// A file that says nothing: more likely torn than meant.
    #[error("the file names no block")]
    NothingConfigured,
    /// A proxy's file without us.
    #[error("there is no `agent` with a `config` block in this proxy configuration")]
    NoAgent,
    /// The proxy's `agent` has no `config`.
    #[error("this `agent` has no `config` block")]
    NoConfigBlock,
    /// Two agents in one proxy file, and neither or both named `spiffe`.
    #[error("the file configures several agents, and it is not clear which one is meant: {0}")]
    SeveralAgents(Shown),
    /// A block besides `config { … }`.
    #[error("`{0}` stands beside `config {{ … }}`, which holds the whole configuration")]
    BesideConfig(Shown),
    /// A block that does not exist.
    #[error("there is no block `{0}`")]
    UnknownBlock(Shown),
    /// A key that does not exist.
    #[error("there is no key `{key}` in `{block}`")]
    UnknownKey {
        /// As written.
        key: Shown,
        /// Where.
        block: &'static str,
    },
    /// The same name twice.
    #[error("`{0}` is given twice")]
    Duplicate(Shown),
    /// `tls #true`, `tls "x" { … }`.
    #[error("`{0}` is a block: it takes no value of its own")]
    ValueOnBlock(&'static str),
    /// `tls` without braces.
    #[error("`{0}` needs a block `{{ … }}`")]
    NoBlock(&'static str),
    /// `require-mtls #true { … }`.
    #[error("`{0}` takes values, not a block")]
    BlockOnKey(&'static str),
    /// `require-mtls x=1`.
    #[error("`{0}` takes no key=value")]
    PropertyOnKey(&'static str),
    /// `(u8)300`.
    #[error("type annotations have no meaning here")]
    Annotation,
    /// `require-mtls`, `require-mtls #true #true`.
    #[error("`{key}` takes one value, not {found}")]
    OneValue {
        /// Which key.
        key: &'static str,
        /// How many there were.
        found: usize,
    },
    /// `{"exact":{"-":"b"}}`: the conversion to JSON kept only the last entry.
    #[error(
        "`{0}` is a list of texts; as a block of `-` it loses entries on its way through a proxy"
    )]
    DashList(&'static str),
    /// A text where a number belongs, and the like.
    #[error("`{key}` takes {expected}, not {found}")]
    WrongType {
        /// Which key.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A number outside its range.
    #[error("`{key}` takes {min} to {max} {unit}, not {found}")]
    OutOfRange {
        /// Which key.
        key: &'static str,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
        /// Of what.
        unit: &'static str,
        /// As written.
        found: i128,
    },
    /// A word that is none of the choices.
    #[error("`{key}` is one of {}, not \"{found}\"", quoted(choices))]
    NotAChoice {
        /// Which key.
        key: &'static str,
        /// The choices.
        choices: Vec<&'static str>,
        /// As written.
        found: Shown,
    },
    /// An entry of a list.
    #[error("{key} \"{entry}\": {error}")]
    ListEntry {
        /// Which key.
        key: &'static str,
        /// As written.
        entry: Shown,
        /// The rule of lists that is broken.
        error: ListError,
    },
    /// A header's name.
    #[error("`{key}`: {error}")]
    HeaderName {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        error: HeaderNameError,
    },
    /// A header's name among the others.
    #[error("{0}")]
    Headers(IdentityHeadersError),
    /// The credential cannot stand in a header that decides about routing or framing.
    #[error(
        "`client-cert-header`: this name is reserved for routing, framing or the hop itself (RFC 9110, 7.6.1)"
    )]
    ReservedCredentialHeader,
    /// A socket.
    #[error("`{key}`: {error}")]
    Socket {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        error: SocketPathError,
    },
    /// Another value of the process's own.
    #[error("`{key}`: {error}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        error: ValueError,
    },
    /// What only the operator of the process may say.
    #[error("`{0}` cannot be pushed: it is the process's own, and said in its file")]
    NotPushable(&'static str),
    /// Plaintext beyond this machine.
    #[error(
        "a gRPC door beyond loopback needs mutual TLS: anybody could write the credential header"
    )]
    Plaintext,
}

fn quoted(choices: &[&str]) -> String {
    let words: Vec<String> = choices.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// Which rule.
    pub rule: Rule,
    /// What to do.
    pub advice: Option<String>,
}

impl Problem {
    pub(crate) const fn new(at: Place, rule: Rule) -> Self {
        Self {
            at,
            rule,
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
    source: Option<miette::NamedSource<Arc<str>>>,
}

impl ConfigErrors {
    /// The problems, in the order of the input.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().map(|reported| &reported.problem)
    }

    /// One line each: place, rule, advice. For a file the place is `name:line:column`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let line = |problem: &Problem| match &problem.advice {
            Some(advice) => format!("{}: {}; {advice}", self.place(&problem.at), problem.rule),
            None => format!("{}: {}", self.place(&problem.at), problem.rule),
        };
        let more = (self.unreported > 0).then(|| format!("and {} more", self.unreported));
        self.problems().map(line).chain(more)
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
        let subject = match &self.input {
            Input::File { name, .. } => name,
            Input::Push => "the pushed configuration",
            Input::Process => "the command line or environment",
        };
        let count = self.problems.len() + self.unreported;
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{subject} has {count} problem{plural}")
    }
}

impl std::error::Error for ConfigErrors {}

impl Diagnostic for ConfigErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("config"))
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
            (Some(_), _) | (None, Place::Whole) => write!(f, "{}", self.problem.rule),
            (None, at) => write!(f, "{at}: {}", self.problem.rule),
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
        let Place::Span { start, len } = self.problem.at else {
            return None;
        };
        let label = LabeledSpan::new(Some("here".to_owned()), start, len);
        Some(Box::new(std::iter::once(label)))
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
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.unreported += 1;
        }
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
            Input::File { name, text } => Some(miette::NamedSource::new(name, Arc::clone(text))),
            Input::Push | Input::Process => None,
        };
        let reported = |problem: Problem| Reported {
            source: source.clone(),
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
