//! Where the binary under test and the drivers are: beside this very executable, as cargo and xtask put them.

use std::path::PathBuf;

/// The `daypass` of the same profile as the running test or benchmark.
#[must_use]
pub fn daypass_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("daypass")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no `daypass` beside {}: run `cargo xtask e2e`", own.display()))
}

/// The folder of the drivers that are not Rust: `python/bin/python` and `node/node_modules`.
#[must_use]
pub fn tools_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().skip(1).take(4).map(|folder| folder.join("e2e")).find(|path| path.is_dir());
    found.unwrap_or_else(|| panic!("there are no drivers beside {}: run `cargo xtask e2e`", own.display()))
}
