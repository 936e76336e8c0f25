//! The binary `daypass`. Reads like a table of contents: `args` declares the commands, `commands` does them, `report`
//! finds the words when something goes wrong.

mod args;
mod ask;
mod client;
mod commands;
mod demo;
mod home;
mod out;
mod random;
mod relay;
mod report;
mod trouble;
mod trust;
mod when;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    trust::install_provider();
    let cli = args::Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("DAYPASS_LOG").unwrap_or_else(|_| EnvFilter::new("warn,daypass=info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(trouble::Trouble::Output)
        .and_then(|runtime| runtime.block_on(Box::pin(commands::run(cli))));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => report::report(&trouble).tell(&mut std::io::stderr()),
    }
}
