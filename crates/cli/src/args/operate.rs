//! Commands for those who run an installation: people, secrets, policy, the server itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::when::{Moment, parse_moment};

/// How to trust a control plane that was never seen.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TrustArgs {
    /// Certificate authority of the control plane, as a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// SHA-256 of that authority's certificate, as `daypass init` printed it; checked instead of asking you
    #[arg(long, value_name = "HEX")]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Where the control plane is, for example `https://daypass.example:8440`
    pub(crate) url: Option<String>,
    /// Who you are
    #[arg(long, short, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Read the password from the first line of the input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The code of your second factor; asked for when left out
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Your handle, as in the invitation
    pub(crate) person: String,
    /// The invitation code you were given, `di_…`; asked for when left out
    #[arg(value_name = "CODE")]
    pub(crate) invitation: Option<String>,
    /// Where the control plane is
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Read the new password from the first line of the input
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PersonKind {
    Staff,
    Contractor,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Add a person
    Add(Box<PersonAddArgs>),
    /// List people
    List,
    /// Make an invitation: a code with which the person chooses password and second factor
    Invite(PersonRef),
    /// Suspend a person: sessions, passes and logins end at once
    Suspend(SuspendArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PersonRef {
    /// The person's handle
    pub(crate) person: String,
}

#[derive(Debug, Args)]
pub(crate) struct SuspendArgs {
    /// The person's handle
    pub(crate) person: String,
    /// Why, for the record
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct PersonAddArgs {
    /// A handle, for example `bob`
    pub(crate) person: String,
    /// Staff or contractor
    #[arg(long, value_enum, default_value = "staff")]
    pub(crate) kind: PersonKind,
    /// Full name; kept sealed, erasable
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// E-mail address; kept sealed, erasable
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Whom the person reports to
    #[arg(long, value_name = "PERSON")]
    pub(crate) manager: Option<String>,
    /// The organisation of a contractor
    #[arg(long, value_name = "TEXT", required_if_eq("kind", "contractor"))]
    pub(crate) organisation: Option<String>,
    /// Who answers for a contractor
    #[arg(long, value_name = "PERSON", required_if_eq("kind", "contractor"))]
    pub(crate) sponsor: Option<String>,
    /// First moment of a contractor's tenure; now when left out
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) tenure_start: Option<Moment>,
    /// Last moment of a contractor's tenure
    #[arg(long, value_name = "TIME", value_parser = parse_moment, required_if_eq("kind", "contractor"))]
    pub(crate) tenure_end: Option<Moment>,
    /// Time zone of a contractor's working hours, for example `Europe/Lisbon`
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Working hours of a contractor, for example `mon-fri 08:00-18:00`
    #[arg(long, value_name = "HOURS")]
    pub(crate) hours: Option<String>,
    /// This is another account of that person; the two never approve each other
    #[arg(long, value_name = "PERSON")]
    pub(crate) alias_of: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Store the credential of a target; the password is read from the input, never from the command line
    Set(SecretSetArgs),
    /// List the names of stored credentials
    List,
    /// Remove a credential
    Remove(SecretRef),
}

#[derive(Debug, Args)]
pub(crate) struct SecretRef {
    /// The name that policy uses in `credential = "…"`
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct SecretSetArgs {
    /// The name that policy uses in `credential = "…"`
    pub(crate) name: String,
    /// The database user
    #[arg(long, value_name = "USER")]
    pub(crate) user: String,
    /// Read the password from the first line of the input instead of asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The target asks for no password
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) no_password: bool,
    /// A client certificate for the target, PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read a policy folder and say what is wrong with it; needs no server
    Check(PolicyFolder),
    /// Say who would gain and lose what
    Plan(PolicyFolder),
    /// Make it the policy; all of it or nothing
    Apply(PolicyFolder),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyFolder {
    /// The folder with resources.toml, roles.toml, teams.toml, system.toml
    #[arg(value_name = "FOLDER", default_value = "policy")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder to make: configuration, policy and data
    #[arg(value_name = "FOLDER", default_value = "daypass")]
    pub(crate) folder: PathBuf,
    /// The handle of the first administrator
    #[arg(long, value_name = "PERSON", default_value = "admin")]
    pub(crate) administrator: String,
    /// Their full name; kept sealed, erasable
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) name: String,
    /// The name of the logs, a host name of yours: it is in every checkpoint
    #[arg(long, value_name = "NAME", default_value = "daypass.localhost")]
    pub(crate) log_name: String,
    /// Host names and addresses that the certificate is for, besides this machine's own
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8440")]
    pub(crate) api_listen: SocketAddr,
    /// Where the PostgreSQL gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5440")]
    pub(crate) postgres_listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "daypass/daypass.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DemoCommand>,
    /// Play the whole story and check every step of it; the exit code says whether it held
    #[arg(long)]
    pub(crate) auto: bool,
    /// The folder to use; a new one under the temporary folder when left out
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Leave the folder behind at the end
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Print the code that a person's second factor shows now
    Code {
        /// alice, bob, carol or ada
        person: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page for each command into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}
