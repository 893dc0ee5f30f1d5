//! Every rule that a configuration can break, as a value.

use std::fmt;

use verdict::headers::{HeaderNameError, IdentityHeadersError};
use verdict::lists::ListError;

use crate::endpoint::SocketPathError;
use crate::kdl::Syntax;
use crate::values::ValueError;

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
    /// A flag or variable of bytes that are no text.
    #[error("this is not UTF-8")]
    NotUtf8,
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
    /// A proxy's file with agents that are not us.
    #[error("no agent of this proxy configuration is named \"spiffe\"; there is: {0}")]
    OtherAgents(Shown),
    /// Two agents in one proxy file, both named `spiffe`.
    #[error("the file configures several agents named \"spiffe\"")]
    SeveralAgents,
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
    /// `trusted-proxies` without entries would read as nobody, and act as everybody.
    #[error("`{0}` names nobody")]
    NamesNobody(&'static str),
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
    /// A SPIFFE ID is asked for in TLS alone: without a gRPC door `trusted-proxies` would read as
    /// one proxy, and act as whoever may open the Unix socket.
    #[error("`trusted-proxies` names SPIFFE IDs alone, and there is no gRPC door to ask for one")]
    NobodyAtTheDoor,
    /// One path cannot be listened on by two.
    #[error("`agent.socket` and `spire.socket` are the same path, {0}")]
    OneSocket(String),
}

fn quoted(choices: &[&str]) -> String {
    let words: Vec<String> = choices.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}
