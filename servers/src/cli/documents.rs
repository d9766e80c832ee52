//! What packages ship beside the binary: completion scripts and manual pages, made from the command line itself.

use std::path::Path;

use anyhow::{Context, Result};
use clap_complete::Shell;

use super::{help, print_line};

/// Prints a shell's completion script.
pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "deltadb", &mut script);
    print_line(String::from_utf8_lossy(&script).trim_end());
}

/// Prints the manual page, or writes a page for each command into a directory.
pub(crate) fn man(directory: Option<&Path>) -> Result<()> {
    let command = help::command();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("cannot make the manual page")?;
        print_line(String::from_utf8_lossy(&page).trim_end());
        return Ok(());
    };
    let cannot = || format!("cannot write to {}; check the path", directory.display());
    std::fs::create_dir_all(directory).with_context(cannot)?;
    clap_mangen::generate_to(command, directory).with_context(cannot)
}
