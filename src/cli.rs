//! Flags. Their values are read by `config`, which knows what is right and names the flag that is not.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use config::{Override, Overrides};

/// Authenticates workloads by their SPIFFE identity for a reverse proxy.
#[derive(Debug, Parser)]
#[command(
    name = "sentinel-spiffe-agent",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the agent itself is started with.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Unix socket path [env: AGENT_SOCKET] [default: /tmp/sentinel-spiffe.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// gRPC listen address, e.g. 127.0.0.1:50051 [env: AGENT_GRPC_ADDRESS]
    #[arg(long, value_name = "ADDRESS")]
    grpc_address: Option<String>,
    /// SPIRE agent socket [env: SPIRE_AGENT_SOCKET] [default: /run/spire/sockets/agent.sock]
    #[arg(long, value_name = "PATH")]
    spire_socket: Option<String>,
    /// Enable debug logging [env: SPIFFE_VERBOSE]
    #[arg(long)]
    verbose: bool,
    /// Configuration file (KDL); pushed configuration is then ignored unless it says otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory where bundles survive a restart [env: STATE_DIRECTORY]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Who may ask: uid:N, gid:N or a SPIFFE ID; repeat, or separate by commas [env: TRUSTED_PROXIES]
    #[arg(long, value_name = "PROXY")]
    trusted_proxy: Vec<String>,
    /// Group of the Unix socket [env: SOCKET_GROUP]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,
    /// Serve gRPC without TLS beyond loopback: anybody who reaches the port may ask [env: INSECURE_PLAINTEXT]
    #[arg(long)]
    insecure_plaintext: bool,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file: errors, and what is unwise
    CheckConfig(CheckConfig),
    /// Decision records
    Audit(Audit),
    /// See the agent at work, on a simulated SPIRE
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// What to check.
#[derive(Args, Debug)]
pub(crate) struct CheckConfig {
    /// The file
    pub(crate) file: PathBuf,
}

/// What to do with records.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Whether a chain of records is whole, and where it is not
    Verify(Verify),
}

/// What to verify.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The files of one chain, rotated ones too, in any order
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A record that must be there, by the hash that was kept of it
    #[arg(long, value_name = "HASH")]
    pub(crate) expect: Option<String>,
    /// For a person, or for a program
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Who reads what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A person
    #[default]
    Text,
    /// A program
    Json,
}

/// How to show.
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Exit after the story instead of staying up
    #[arg(long)]
    pub(crate) once: bool,
}

impl Serve {
    /// Flags and environment, for `config` to read.
    pub(crate) fn overrides(&self) -> Overrides {
        let variables = Overrides::from_variables(|name| std::env::var_os(name));
        let given = [
            (Override::Socket, self.socket.clone()),
            (Override::GrpcAddress, self.grpc_address.clone()),
            (Override::SpireSocket, self.spire_socket.clone()),
            (Override::Verbose, self.verbose.then(|| "true".to_owned())),
            (Override::StateDir, self.state_dir.clone()),
            (
                Override::TrustedProxies,
                // An empty name is a mistake (of a script, most likely), and not as if there were none.
                (!self.trusted_proxy.is_empty()).then(|| self.trusted_proxy.join(",")),
            ),
            (Override::SocketGroup, self.socket_group.clone()),
            (
                Override::InsecurePlaintext,
                self.insecure_plaintext.then(|| "true".to_owned()),
            ),
        ];
        given
            .into_iter()
            .filter_map(|(which, value)| Some((which, value?)))
            .fold(variables, |overrides, (which, value)| {
                overrides.with_flag(which, value)
            })
    }
}
