//! Completions and manual pages, made from the same declarations as the commands.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;

use clap::CommandFactory as _;

use super::Context;
use crate::args::Cli;
use crate::args::operate::{CompletionsArgs, ManArgs};
use crate::trouble::Trouble;

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "daypass", &mut script);
    Ok(stdout().write_all(&script)?)
}

pub(crate) fn man(c: &Context, args: &ManArgs) -> Result<(), Trouble> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return Ok(stdout().write_all(&page)?);
    };
    fs::create_dir_all(folder).map_err(Trouble::file(folder, "make the folder"))?;
    let pages = write_pages(&command, "daypass", folder)?;
    c.out.line(format!("wrote {pages} pages into {}", folder.display()))
}

fn write_pages(command: &clap::Command, name: &str, folder: &Path) -> Result<usize, Trouble> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page).map_err(Trouble::file(&path, "write"))?;
    let mut pages = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        pages += write_pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(pages)
}
