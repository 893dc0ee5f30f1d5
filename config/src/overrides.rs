//! Flags and environment: flag before environment before file before push before default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::decode::Complaint;
use crate::problem::{Problem, Problems, Rule};
use crate::tree::Place;

/// A setting that a flag or a variable can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Override {
    /// Where we listen.
    Socket,
    /// Where we listen for gRPC.
    GrpcAddress,
    /// Where SPIRE listens.
    SpireSocket,
    /// Where SPIRE listens, after the file (SPIFFE Workload Endpoint, 4).
    EndpointSocket,
    /// Debug logging.
    Verbose,
    /// Where state is kept.
    StateDir,
    /// Whose word counts; several are separated by commas.
    TrustedProxies,
    /// The group of our socket.
    SocketGroup,
    /// Plaintext beyond loopback.
    InsecurePlaintext,
    /// Where the status page and the probes are.
    AdminAddress,
}

impl Override {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Socket,
        Self::GrpcAddress,
        Self::SpireSocket,
        Self::EndpointSocket,
        Self::Verbose,
        Self::StateDir,
        Self::TrustedProxies,
        Self::SocketGroup,
        Self::InsecurePlaintext,
        Self::AdminAddress,
    ];

    /// The flag, if there is one.
    #[must_use]
    pub const fn flag(self) -> Option<&'static str> {
        Some(match self {
            Self::Socket => "--socket",
            Self::GrpcAddress => "--grpc-address",
            Self::SpireSocket => "--spire-socket",
            Self::EndpointSocket => return None,
            Self::Verbose => "--verbose",
            Self::StateDir => "--state-dir",
            Self::TrustedProxies => "--trusted-proxy",
            Self::SocketGroup => "--socket-group",
            Self::InsecurePlaintext => "--insecure-plaintext",
            Self::AdminAddress => "--admin-address",
        })
    }

    /// Whether an empty value is a mistake (of a script, most likely), and not as if there were none:
    /// without it everybody is trusted whom the socket's mode admits.
    const fn says_whom_to_trust(self) -> bool {
        matches!(self, Self::TrustedProxies)
    }

    /// The environment variable.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Socket => "AGENT_SOCKET",
            Self::GrpcAddress => "AGENT_GRPC_ADDRESS",
            Self::SpireSocket => "SPIRE_AGENT_SOCKET",
            Self::EndpointSocket => "SPIFFE_ENDPOINT_SOCKET",
            Self::Verbose => "SPIFFE_VERBOSE",
            Self::StateDir => "STATE_DIRECTORY",
            Self::TrustedProxies => "TRUSTED_PROXIES",
            Self::SocketGroup => "SOCKET_GROUP",
            Self::InsecurePlaintext => "INSECURE_PLAINTEXT",
            Self::AdminAddress => "AGENT_ADMIN_ADDRESS",
        }
    }
}

/// What flags and environment say; whoever has them hands them over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    flags: BTreeMap<Override, OsString>,
    variables: BTreeMap<Override, OsString>,
}

impl Overrides {
    /// The variables that `read` knows. An empty one is as good as none, as is usual, except where
    /// none would mean more trust.
    pub fn from_variables<T: Into<OsString>>(read: impl Fn(&str) -> Option<T>) -> Self {
        let value = |which: Override| {
            let text: OsString = read(which.variable())?.into();
            (!text.is_empty() || which.says_whom_to_trust()).then_some(text)
        };
        let given = Override::ALL.into_iter();
        Self {
            flags: BTreeMap::new(),
            variables: given
                .filter_map(|which| Some((which, value(which)?)))
                .collect(),
        }
    }

    /// With a flag's value; a flag without one is `true`.
    #[must_use]
    pub fn with_flag(mut self, which: Override, value: impl Into<OsString>) -> Self {
        self.flags.insert(which, value.into());
        self
    }

    /// Whether a flag or a variable says anything of it.
    pub(crate) fn name(&self, which: Override) -> bool {
        self.flags.contains_key(&which) || self.variables.contains_key(&which)
    }

    /// The value, by precedence; the default is the caller's.
    pub(crate) fn pick<T>(
        &self,
        which: Override,
        parse: impl Fn(&str) -> Result<T, Complaint>,
        file: Option<T>,
        problems: &mut Problems,
    ) -> Option<Sourced<T>> {
        let given = [
            (self.flags.get(&which), which.flag().map(Source::Flag)),
            (
                self.variables.get(&which),
                Some(Source::Variable(which.variable())),
            ),
        ];
        for (text, source) in given {
            if let (Some(text), Some(source)) = (text, source) {
                let problem = match text.to_str().map(&parse) {
                    Some(Ok(value)) => return Some(Sourced { value, source }),
                    Some(Err(complaint)) => complaint.at(source.place()),
                    // Not as if it were not there: it may say whom to trust.
                    None => Problem::new(source.place(), Rule::NotUtf8),
                };
                problems.push(problem);
                return None;
            }
        }
        file.map(|value| Sourced {
            value,
            source: Source::File,
        })
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// The file.
    File,
    /// A push.
    Push,
    /// Nobody said anything.
    Default,
}

impl Source {
    pub(crate) const fn place(self) -> Place {
        match self {
            Self::Flag(name) => Place::Flag(name),
            Self::Variable(name) => Place::Variable(name),
            Self::File | Self::Push | Self::Default => Place::Whole,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag(name) | Self::Variable(name) => name,
            Self::File => "file",
            Self::Push => "push",
            Self::Default => "default",
        })
    }
}

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// Who said so.
    pub source: Source,
}

impl<T> Sourced<T> {
    pub(crate) const fn default(value: T) -> Self {
        Self {
            value,
            source: Source::Default,
        }
    }
}
