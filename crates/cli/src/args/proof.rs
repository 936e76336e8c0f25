//! Commands about proof: reading the log, explaining, evidence, checking.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::when::{Moment, parse_moment};

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LogCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the last records, and follow with `-f`
    Tail(TailArgs),
    /// Show one record whole, with its opened fields and its place in the tree
    Show(ShowArgs),
    /// Find records
    Search(SearchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Go on showing records as they come, until you press Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many to show
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
    pub(crate) lines: u32,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that the statement contains
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// At most this many records
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: u32,
}

/// Which records.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Of this person
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    /// On this resource
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) resource: Option<String>,
    /// Of this class: read, write, ddl, copy-in, copy-out, call, admin
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Of this kind, for example `intent`, `outcome`, `denied`, `grant-started`
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Not before: `2026-03-01T09:00`, `09:00`, `2h ago`
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) since: Option<Moment>,
    /// Not after
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) until: Option<Moment>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The record as `log/index`, for example `activity/17`
    #[arg(value_name = "LOG/INDEX")]
    pub(crate) record: String,
}

#[derive(Debug, Args)]
pub(crate) struct WhoHadAccessArgs {
    /// The resource
    pub(crate) resource: String,
    /// The moment: `2026-03-01T00:03`, `00:03`, `2h ago`; now when left out
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) at: Option<Moment>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A session `S-…`, or an action `S-…/3`
    #[arg(value_name = "SESSION[/ACTION]")]
    pub(crate) subject: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Everything about one grant: who asked, who approved, what was done, and that nothing is missing
    Grant(EvidenceGrantArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceGrantArgs {
    /// The grant, for example `G-1`
    pub(crate) grant: String,
    /// Where to write it; `evidence-<grant>.zip` when left out
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A log directory, a data directory, an URL like `https://host:8440/log/control`, or an evidence file
    #[arg(value_name = "DIRECTORY|URL|FILE")]
    pub(crate) subject: String,
    /// Re-run the access policy's invariants over the records; FILE is the auditor's own list of what must be present
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) policy: Option<Option<PathBuf>>,
    /// The log's key as `name+hash+key`, when you have it from elsewhere. Can be given more than once
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// Certificate authority of the URL; the one stored at login when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Do not compare with, and do not update, what was remembered of this log
    #[arg(long)]
    pub(crate) forget: bool,
}
