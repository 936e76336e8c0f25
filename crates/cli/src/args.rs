//! The command tree: every command, flag and help text of `daypass`. Declarations only; what they do is in `commands`.

pub(crate) mod access;
pub(crate) mod operate;
pub(crate) mod proof;
#[cfg(test)]
mod reference;

use clap::{Args, Parser, Subcommand};

use self::access::{
    ApproveArgs, ConnectArgs, DenyArgs, DoneArgs, ExtendArgs, HoldCommand, KillArgs, PassArgs, RequestArgs,
    RequestsArgs, RevokeArgs, SessionsArgs, WithdrawArgs,
};
use self::operate::{
    CompletionsArgs, DemoArgs, EnrollArgs, InitArgs, LoginArgs, ManArgs, PersonCommand, PolicyCommand,
    SecretCommand, ServeArgs,
};
use self::proof::{EvidenceCommand, LogArgs, VerifyArgs, WhoHadAccessArgs, WhyArgs};

/// Temporary access to production, with proof
#[derive(Debug, Parser)]
#[command(name = "daypass", version, propagate_version = false, max_term_width = 100)]
#[command(after_long_help = crate::report::exit_codes())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags every command takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Global {
    /// Print JSON instead of tables and sentences
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Where the control plane is; the one you logged in to when left out
    #[arg(long, global = true, value_name = "URL", env = "DAYPASS_SERVER", display_order = 901)]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Get into a resource; asks for access first when you have none
    Connect(ConnectArgs),
    /// Show your access: what you have, until when, and what you wait for
    Status,
    /// Keep your access longer, without dropping sessions
    Extend(ExtendArgs),
    /// Hand your access back before its end
    Done(DoneArgs),
    /// Issue a pass for tools that `connect` cannot start
    Pass(PassArgs),
    /// List what you may ask for
    Resources,
    /// Ask for access and return at once
    Request(RequestArgs),
    /// List requests: yours, and those waiting for you
    Requests(RequestsArgs),
    /// Take your own request back
    Withdraw(WithdrawArgs),
    /// Approve a request of somebody else
    Approve(ApproveArgs),
    /// Deny a request of somebody else
    Deny(DenyArgs),
    /// End a grant now, and the sessions that live on it
    Revoke(RevokeArgs),
    /// List sessions, or watch what happens in them
    Sessions(SessionsArgs),
    /// Close a session now
    Kill(KillArgs),
    /// Actions that wait for a second person
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Read the log; reading is recorded
    Log(LogArgs),
    /// Say who could reach a resource at a moment, and why
    WhoHadAccess(WhoHadAccessArgs),
    /// Explain a session or an action: who, under which approval, by which rule
    Why(WhyArgs),
    /// Write evidence that others can check without us
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Check a log directory, a published log or an evidence file
    Verify(VerifyArgs),
    /// Log in with password and second factor
    Login(LoginArgs),
    /// Use an invitation: choose a password, set up the second factor
    Enroll(EnrollArgs),
    /// End this login
    Logout,
    /// Show who you are here, and until when
    Whoami,
    /// People of this installation
    #[command(subcommand)]
    Person(PersonCommand),
    /// Credentials of the targets, sealed in the vault
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Who may do what, as a folder of TOML files
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make a new installation
    Init(InitArgs),
    /// Run the gateway and the control plane
    Serve(ServeArgs),
    /// Look for what is wrong, and say how to put it right
    Doctor,
    /// Run the whole product on this machine, with a throwaway PostgreSQL
    Demo(DemoArgs),
    /// Print a completion script for your shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
}
