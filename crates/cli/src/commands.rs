//! From a command to the function that does it.

mod account;
mod connect;
mod grants;
mod log;
mod manual;
mod people;
mod policy;
mod proof;
mod requests;
mod server;
mod sessions;
mod verify;

pub(crate) use self::verify::Folder;
use crate::args::access::HoldCommand;
use crate::args::operate::{DemoCommand, PersonCommand, PolicyCommand, SecretCommand};
use crate::args::proof::{EvidenceCommand, LogCommand};
use crate::args::{Cli, Command};
use crate::client::Client;
use crate::demo;
use crate::home::Home;
use crate::out::Out;
use crate::trouble::Trouble;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) out: Out,
    /// `--server`, when it was given.
    pub(crate) server: Option<String>,
}

impl Context {
    /// A client of the stored login.
    pub(crate) fn client(&self) -> Result<Client, Trouble> {
        Client::logged_in(&self.home, self.server.as_deref())
    }
}

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Result<(), Trouble> {
    let context =
        Context { home: Home::from_env()?, out: Out::new(cli.global.json), server: cli.global.server };
    let c = &context;
    match cli.command {
        Command::Connect(args) => connect::connect(c, args).await,
        Command::Status => grants::status(c).await,
        Command::Extend(args) => grants::extend(c, &args).await,
        Command::Done(args) => grants::done(c, &args).await,
        Command::Pass(args) => grants::pass(c, &args).await,
        Command::Resources => requests::resources(c).await,
        Command::Request(args) => requests::request(c, &args).await,
        Command::Requests(args) => requests::requests(c, &args).await,
        Command::Withdraw(args) => requests::withdraw(c, &args).await,
        Command::Approve(args) => requests::approve(c, args).await,
        Command::Deny(args) => requests::deny(c, args).await,
        Command::Revoke(args) => grants::revoke(c, args).await,
        Command::Sessions(args) => sessions::sessions(c, &args).await,
        Command::Kill(args) => sessions::kill(c, args).await,
        Command::Hold(HoldCommand::List) => sessions::holds(c).await,
        Command::Hold(HoldCommand::Release(args)) => sessions::release(c, args).await,
        Command::Hold(HoldCommand::Refuse(args)) => sessions::refuse(c, args).await,
        Command::Log(args) => match args.command {
            None => log::tail(c, None).await,
            Some(LogCommand::Tail(args)) => log::tail(c, Some(args)).await,
            Some(LogCommand::Show(args)) => log::show(c, &args).await,
            Some(LogCommand::Search(args)) => log::search(c, args).await,
        },
        Command::WhoHadAccess(args) => proof::who_had_access(c, &args).await,
        Command::Why(args) => proof::why(c, &args).await,
        Command::Evidence(EvidenceCommand::Grant(args)) => proof::evidence_grant(c, args).await,
        Command::Verify(args) => verify::verify(c, args).await,
        Command::Login(args) => account::login(c, args).await,
        Command::Enroll(args) => account::enroll(c, args).await,
        Command::Logout => account::logout(c).await,
        Command::Whoami => account::whoami(c).await,
        Command::Person(PersonCommand::Add(args)) => people::add(c, args).await,
        Command::Person(PersonCommand::List) => people::list(c).await,
        Command::Person(PersonCommand::Invite(args)) => people::invite(c, &args).await,
        Command::Person(PersonCommand::Suspend(args)) => people::suspend(c, args).await,
        Command::Secret(SecretCommand::Set(args)) => people::set_secret(c, args).await,
        Command::Secret(SecretCommand::List) => people::list_secrets(c).await,
        Command::Secret(SecretCommand::Remove(args)) => people::remove_secret(c, &args).await,
        Command::Policy(PolicyCommand::Check(args)) => policy::check(c, &args),
        Command::Policy(PolicyCommand::Plan(args)) => policy::plan(c, &args).await,
        Command::Policy(PolicyCommand::Apply(args)) => policy::apply(c, &args).await,
        Command::Init(args) => server::init(c, args).await,
        Command::Serve(args) => server::serve(c, args).await,
        Command::Doctor => server::doctor(c).await,
        Command::Demo(args) => match args.command {
            Some(DemoCommand::Code { person }) => demo::code(c, args.dir.as_deref(), &person),
            None => demo::run(c, args).await,
        },
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(c, &args),
    }
}
