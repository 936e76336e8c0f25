//! Questions to the person at the terminal. Without a terminal there is nobody to ask: then the flag that answers is named.

use std::io::{self, BufRead, IsTerminal};

use inquire::{Confirm, InquireError, Password, PasswordDisplayMode, Select, Text};
use zeroize::Zeroizing;

use crate::trouble::Trouble;

/// Whether there is somebody to ask.
pub(crate) fn somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; `flag` answers it without a terminal.
pub(crate) fn text(question: &str, default: Option<&str>, flag: &str) -> Result<String, Trouble> {
    there(question, flag)?;
    let prompt = Text::new(question);
    let prompt = match default {
        Some(default) => prompt.with_default(default),
        None => prompt,
    };
    answered(prompt.prompt()).map(|answer| answer.trim().to_owned())
}

/// Asks for one of several.
pub(crate) fn choice(question: &str, options: Vec<String>, flag: &str) -> Result<String, Trouble> {
    there(question, flag)?;
    answered(Select::new(question, options).prompt())
}

/// Asks for yes or no; no when just Enter is pressed.
pub(crate) fn confirm(question: &str, flag: &str) -> Result<bool, Trouble> {
    there(question, flag)?;
    answered(Confirm::new(question).with_default(false).prompt())
}

/// Asks for a secret without showing it, or reads the first line of the input.
pub(crate) fn secret(question: &str, from_stdin: bool) -> Result<Zeroizing<String>, Trouble> {
    if from_stdin {
        return first_line();
    }
    there(question, "--password-stdin")?;
    let prompt =
        Password::new(question).with_display_mode(PasswordDisplayMode::Hidden).without_confirmation();
    answered(prompt.prompt()).map(Zeroizing::new)
}

/// Asks for a new secret twice, or reads the first line of the input.
pub(crate) fn new_secret(question: &str, from_stdin: bool) -> Result<Zeroizing<String>, Trouble> {
    if from_stdin {
        return first_line();
    }
    there(question, "--password-stdin")?;
    answered(Password::new(question).with_display_mode(PasswordDisplayMode::Masked).prompt())
        .map(Zeroizing::new)
}

fn first_line() -> Result<Zeroizing<String>, Trouble> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    let kept = line.trim_end_matches(['\r', '\n']);
    if kept.is_empty() {
        return Err(Trouble::input("the input is empty", "write the password on its first line"));
    }
    Ok(Zeroizing::new(kept.to_owned()))
}

fn there(question: &str, flag: &str) -> Result<(), Trouble> {
    if somebody_there() {
        return Ok(());
    }
    Err(Trouble::input(
        format!("there is no terminal to ask on: {}", question.trim_end_matches(['?', ':']).to_lowercase()),
        format!("answer with `{flag}`"),
    ))
}

fn answered<T>(answer: Result<T, InquireError>) -> Result<T, Trouble> {
    answer.map_err(|error| match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => Trouble::Interrupted,
        InquireError::IO(source) => Trouble::Output(source),
        InquireError::NotTTY | InquireError::InvalidConfiguration(_) | InquireError::Custom(_) => {
            Trouble::input("there is no terminal to ask on", "give the answers as flags, see `--help`")
        }
    })
}
