//! Commands about access: asking, approving, using, ending.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::when::{Span, parse_span};

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The resource, for example `prod-orders`; `resource/role` picks a role
    pub(crate) resource: String,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Only use access that is there already; never file a request
    #[arg(long, conflicts_with_all = ["reason", "span"])]
    pub(crate) no_request: bool,
    /// Open a port on this machine for any tool, instead of starting `psql`
    #[arg(long)]
    pub(crate) listen: bool,
    /// The port to open; a free one when left out. Implies `--listen`
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Database to open; the one of the resource when left out
    #[arg(long, short, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Give up waiting for the approval after this long
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h")]
    pub(crate) wait: Span,
    /// The program to start
    #[arg(long, value_name = "PROGRAM", default_value = "psql")]
    pub(crate) psql: PathBuf,
    /// Everything after `--` goes to `psql`
    #[arg(last = true, value_name = "PSQL ARGUMENTS")]
    pub(crate) rest: Vec<String>,
}

/// What a request says.
#[derive(Clone, Debug, Args)]
pub(crate) struct AskArgs {
    /// The role to ask for; the only one that fits when left out
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Why you need it, for the people who approve
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How long you need it, for example `30m` or `2h`; the default of the role when left out
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
    pub(crate) span: Option<Span>,
}

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The resource; `resource/role` picks a role
    pub(crate) resource: String,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RequestsArgs {
    /// Show decided requests too
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The request, for example `R-1`
    pub(crate) request: String,
    /// Approve less time than was asked
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
    pub(crate) span: Option<Span>,
    /// A word to the record
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// A code of your second factor, when the last one is older than 15 minutes; asked for when needed
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DenyArgs {
    /// The request, for example `R-1`
    pub(crate) request: String,
    /// Why not, for the person who asked
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// The request, for example `R-1`
    pub(crate) request: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PassFormat {
    /// A connection URL
    #[default]
    Url,
    /// Lines for `eval`: PGHOST, PGPORT, PGUSER, PGPASSWORD, …
    Env,
    /// A line for `~/.pgpass`
    Pgpass,
}

#[derive(Debug, Args)]
pub(crate) struct PassArgs {
    /// The resource or the grant, for example `prod-orders` or `G-1`
    pub(crate) target: String,
    /// How to write it
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) format: PassFormat,
    /// Database to open; the one of the resource when left out
    #[arg(long, short, value_name = "NAME")]
    pub(crate) database: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArgs {
    /// The grant or the resource; your only grant when left out
    pub(crate) target: Option<String>,
    /// Why you need longer, for those who approve it where policy says so
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoneArgs {
    /// The grant or the resource; your only grant when left out
    pub(crate) target: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The grant, for example `G-1`
    pub(crate) grant: String,
    /// Why, for the record and the person
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    /// Follow what happens, action by action, until you press Ctrl-C
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The session, for example `S-00a1…`; the first characters are enough when they name one session
    pub(crate) session: String,
    /// Why, for the record and the person
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// List actions that wait
    List,
    /// Let a held action through
    Release(HoldReleaseArgs),
    /// Refuse a held action; its session goes on
    Refuse(HoldRefuseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HoldReleaseArgs {
    /// The hold, for example `H-00a1…`; the first characters are enough when they name one hold
    pub(crate) hold: String,
    /// A code of your second factor, when the last one is older than 15 minutes; asked for when needed
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HoldRefuseArgs {
    /// The hold, for example `H-00a1…`; the first characters are enough when they name one hold
    pub(crate) hold: String,
    /// Why not, for the person who waits
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
