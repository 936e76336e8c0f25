//! `docs/reference/cli.md` is made from the declarations; a test compares, so that it cannot lag.
//! To write it anew: `DAYPASS_UPDATE_DOCS=1 cargo test -p daypass-cli reference`.

use std::fmt::Write as _;
use std::{env, fs};

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::report::EXIT_CODES;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");

fn reference() -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text =
        String::from("# The `daypass` command\n\nMade from the program; do not edit.\n\n## Exit codes\n\n");
    text.push_str("| code | means |\n|---|---|\n| 0 | it worked |\n");
    for (code, means) in EXIT_CODES {
        writeln!(text, "| {code} | {means} |").unwrap();
    }
    text.push_str("\n`connect` ends with the exit code of `psql`.\n");
    describe(&mut command, "daypass", &mut text);
    text
}

fn describe(command: &mut clap::Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    for inner in
        command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        let name = format!("{name} {}", inner.get_name());
        describe(inner, &name, text);
    }
}

#[test]
fn the_reference_is_what_the_program_says() {
    let now = reference();
    if env::var_os("DAYPASS_UPDATE_DOCS").is_some() {
        fs::write(PATH, &now).unwrap();
    }
    let kept = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        kept == now,
        "docs/reference/cli.md lags: DAYPASS_UPDATE_DOCS=1 cargo test -p daypass-cli reference"
    );
}

#[test]
fn the_declarations_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_first_help_names_every_command() {
    insta::assert_snapshot!(Cli::command().term_width(100).render_help().to_string(), @r#"
    Temporary access to production, with proof

    Usage: daypass [OPTIONS] <COMMAND>

    Commands:
      connect         Get into a resource; asks for access first when you have none
      status          Show your access: what you have, until when, and what you wait for
      extend          Keep your access longer, without dropping sessions
      done            Hand your access back before its end
      pass            Issue a pass for tools that `connect` cannot start
      resources       List what you may ask for
      request         Ask for access and return at once
      requests        List requests: yours, and those waiting for you
      withdraw        Take your own request back
      approve         Approve a request of somebody else
      deny            Deny a request of somebody else
      revoke          End a grant now, and the sessions that live on it
      sessions        List sessions, or watch what happens in them
      kill            Close a session now
      hold            Actions that wait for a second person
      log             Read the log; reading is recorded
      who-had-access  Say who could reach a resource at a moment, and why
      why             Explain a session or an action: who, under which approval, by which rule
      evidence        Write evidence that others can check without us
      verify          Check a log directory, a published log or an evidence file
      login           Log in with password and second factor
      enroll          Use an invitation: choose a password, set up the second factor
      logout          End this login
      whoami          Show who you are here, and until when
      person          People of this installation
      secret          Credentials of the targets, sealed in the vault
      policy          Who may do what, as a folder of TOML files
      init            Make a new installation
      serve           Run the gateway and the control plane
      doctor          Look for what is wrong, and say how to put it right
      demo            Run the whole product on this machine, with a throwaway PostgreSQL
      completions     Print a completion script for your shell
      man             Print the manual page, or write all of them into a folder
      help            Print this message or the help of the given subcommand(s)

    Options:
          --json          Print JSON instead of tables and sentences
          --server <URL>  Where the control plane is; the one you logged in to when left out [env:
                          DAYPASS_SERVER=]
      -h, --help          Print help
      -V, --version       Print version

    Start with `daypass demo`, or `daypass connect <resource>` when somebody runs a gateway for you.
"#);
}
