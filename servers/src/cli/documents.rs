//! What packages ship beside the binary: completion scripts and manual pages, made from the command line itself.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{help, print_line};

/// Prints a shell's completion script.
pub(crate) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "deltadb", &mut script);
    print_line(String::from_utf8_lossy(&script).trim_end());
}

/// Prints the manual page, or writes a page for each command into a directory.
pub(crate) fn man(directory: Option<&Path>) -> Result<()> {
    let mut command = help::command();
    // The names of the commands' own pages are made here.
    command.build();
    let Some(directory) = directory else {
        let text = page(&command).context("cannot make the manual page")?;
        print_line(String::from_utf8_lossy(&text).trim_end());
        return Ok(());
    };
    let cannot = || format!("cannot write to {}; check the path", directory.display());
    std::fs::create_dir_all(directory).with_context(cannot)?;
    write_pages(&command, directory).with_context(cannot)
}

fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join(Man::new(command.clone()).get_filename()), page(command)?)?;
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help");
    inner.into_iter().try_for_each(|inner| write_pages(inner, directory))
}

/// A command's page. What follows its help becomes sections, with its lines as they are.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let blocks: Vec<(Option<&str>, &str)> = after.split("\n\n").map(titled).collect();
    for (_, text) in blocks.iter().filter(|(title, _)| title.is_none()) {
        writeln!(out, ".PP\n{}", roff(text))?;
    }
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    for (title, text) in blocks {
        if let Some(title) = title {
            writeln!(out, ".SH {}\n.nf\n{}\n.fi", title.to_uppercase(), roff(text))?;
        }
    }
    Ok(out)
}

/// A block of the help: its title, if its first line is one, and the rest.
fn titled(block: &str) -> (Option<&str>, &str) {
    match block.split_once(":\n") {
        Some((title, text)) if !title.contains('\n') => (Some(title), text),
        _ => (None, block),
    }
}

/// Text as roff takes it literally.
fn roff(text: &str) -> String {
    let escape = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        if line.starts_with('.') { format!("\\&{line}") } else { line }
    };
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_examples_as_they_are_typed() {
        let command = Command::new("x").after_help("First. \\\n.Second.\n\nExamples:\n  x 'a' --b\n.x\n\nKeys:\n  k");
        let text = String::from_utf8(page(&command).unwrap()).unwrap();
        assert!(text.contains(".PP\nFirst. \\e\n\\&.Second.\n"), "{text}");
        assert!(
            text.contains(".SH EXAMPLES\n.nf\n  x \\(aqa\\(aq \\-\\-b\n\\&.x\n.fi\n.SH KEYS\n.nf\n  k\n.fi"),
            "{text}"
        );
    }
}
