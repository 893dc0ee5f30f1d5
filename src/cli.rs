//! Flags. Their values are read by `config`, which knows what is right and names the flag that is not.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use config::{Override, Overrides};

use crate::output::Output;

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
    #[command(flatten)]
    pub(crate) given: Given,
    /// Configuration file (KDL); pushed configuration is then ignored unless it says otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What goes before a file's word.
#[derive(Args, Debug)]
pub(crate) struct Given {
    /// Unix socket path [env: AGENT_SOCKET] [default: /tmp/sentinel-spiffe.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// gRPC listen address, e.g. 127.0.0.1:50051 [env: AGENT_GRPC_ADDRESS]
    #[arg(long, value_name = "ADDRESS")]
    grpc_address: Option<String>,
    /// Status page and probes: address or none [env: AGENT_ADMIN_ADDRESS] [default: 127.0.0.1:9902]
    #[arg(long, value_name = "ADDRESS")]
    admin_address: Option<String>,
    /// SPIRE agent socket [env: SPIRE_AGENT_SOCKET] [default: /run/spire/sockets/agent.sock]
    #[arg(long, value_name = "PATH")]
    spire_socket: Option<String>,
    /// Enable debug logging [env: SPIFFE_VERBOSE]
    #[arg(long)]
    verbose: bool,
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
    /// Explain what the agent says about a credential: every check, the rule that decides, what to do
    Explain(Explain),
    /// Look for everything around the agent that is wrong, and say how to put it right
    Doctor(Doctor),
    /// What a running agent says of itself, on one screen
    Status(StatusArgs),
    /// The same, live, until q is pressed
    Top(Top),
    /// Show what the Workload API gives this process: SVIDs and bundles
    Inspect(Inspect),
    /// Print every setting in force, and who said so: flag, environment, file or default
    PrintConfig(PrintConfig),
    /// Print a shell's completions
    Completions(Completions),
    /// Print a manual page
    Man(Man),
    /// See the agent at work, on a simulated SPIRE
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// What to check.
#[derive(Args, Debug)]
pub(crate) struct CheckConfig {
    /// The file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) given: Given,
    /// For a person, or for a program
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
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
    /// The files of one chain, rotated ones too, in any order; - alone is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The records were collected from standard output or OTLP, where each start begins a chain; in a
    /// file that the agent writes none does
    #[arg(long)]
    pub(crate) collected: bool,
    /// A record that must be there, by the hash that was kept of it
    #[arg(long, value_name = "HASH")]
    pub(crate) expect: Option<String>,
    /// For a person, or for a program
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What to explain, and by what.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A PEM or DER file, a header's value, or audit records; - or nothing is standard input
    #[arg(conflicts_with = "header")]
    pub(crate) file: Option<PathBuf>,
    /// The credential header's value
    #[arg(long, allow_hyphen_values = true, value_name = "VALUE")]
    pub(crate) header: Option<String>,
    /// The value of RFC 9440's chain header
    #[arg(long, allow_hyphen_values = true, value_name = "VALUE")]
    pub(crate) header_chain: Option<String>,
    /// Configuration file (KDL)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) bundles: Bundles,
    /// PEM files by which recorded decisions are judged again
    #[arg(long, value_name = "DIR")]
    pub(crate) credentials: Option<PathBuf>,
    /// As if SPIRE were away for longer than unavailable-after-ms
    #[arg(long)]
    pub(crate) outage: bool,
    /// As of this moment: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Where bundles come from: else the Workload API.
#[derive(Args, Debug)]
pub(crate) struct Bundles {
    /// A bundle: PEM, DER or SPIFFE JSON; repeat
    #[arg(long, value_name = "DOMAIN=FILE")]
    pub(crate) bundle: Vec<String>,
    /// Directory where an agent kept bundles
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    pub(crate) state_dir: Option<String>,
    /// SPIRE agent socket [env: SPIRE_AGENT_SOCKET] [default: /run/spire/sockets/agent.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) spire_socket: Option<String>,
}

/// What to look at besides what the settings name.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Audit records to look at [default: the first file that records go to]
    #[arg(long, value_name = "FILE")]
    pub(crate) records: Option<PathBuf>,
    /// Send a request with a forged credential header through the hop, as http://HOST:PORT/PATH or https://…
    #[arg(long, value_name = "URL")]
    pub(crate) through: Option<String>,
    /// Show the hop svid.0.pem of this directory with svid.0.key, as inspect --write leaves them
    #[arg(long, value_name = "DIR", requires = "through")]
    pub(crate) client_svid: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Which agent to ask.
#[derive(Args, Debug)]
pub(crate) struct AdminAsked {
    /// Where its admin listener is [env: AGENT_ADMIN_ADDRESS] [default: 127.0.0.1:9902]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_address: Option<String>,
    /// Its configuration file, which may say where
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which agent to ask, and how to show what it says.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) admin: AdminAsked,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// The admin listener gives a machine no more than twenty pages a second.
const INTERVAL_MIN_MS: u64 = 50;

/// Which agent to ask, and how often.
#[derive(Args, Debug)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) admin: AdminAsked,
    /// Show one page and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Milliseconds between two pages, at least 50
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(INTERVAL_MIN_MS..)
    )]
    pub(crate) interval_ms: u64,
    /// For a person, or for a program: a line for each page
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What to ask SPIRE, and how to show it.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// SPIRE agent socket [env: SPIRE_AGENT_SOCKET] [default: /run/spire/sockets/agent.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) spire_socket: Option<String>,
    /// Show every change until interrupted
    #[arg(long, conflicts_with = "write")]
    pub(crate) watch: bool,
    /// Write SVIDs, keys and bundles into this directory, as PEM
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
    /// Wait for an answer at most this long, at least 1 [default: 5000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: Option<u64>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What would be in force.
#[derive(Args, Debug)]
pub(crate) struct PrintConfig {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// For which shell.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Of what.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// A command, as audit verify; without it, the page of the program
    pub(crate) command: Vec<String>,
}

/// How to show.
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Exit after the story instead of staying up
    #[arg(long)]
    pub(crate) once: bool,
}

impl Cli {
    /// The form of the answer: what goes wrong has it too.
    pub(crate) const fn output(&self) -> Output {
        match &self.command {
            Some(Command::CheckConfig(args)) => args.output,
            Some(Command::Audit(args)) => match &args.command {
                AuditCommand::Verify(args) => args.output,
            },
            Some(Command::Explain(args)) => args.output,
            Some(Command::Doctor(args)) => args.output,
            Some(Command::Status(args)) => args.output,
            Some(Command::Top(args)) => args.output,
            Some(Command::Inspect(args)) => args.output,
            Some(Command::PrintConfig(args)) => args.output,
            _ => Output::Text,
        }
    }
}

impl Given {
    /// Flags and environment, for `config` to read.
    pub(crate) fn overrides(&self) -> Overrides {
        let variables = Overrides::from_variables(|name| std::env::var_os(name));
        let given = [
            (Override::Socket, self.socket.clone()),
            (Override::GrpcAddress, self.grpc_address.clone()),
            (Override::AdminAddress, self.admin_address.clone()),
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
