//! The help teaches: each command has examples, and each example is one that the command line takes.

use clap::Command;

use super::*;

/// Every visible command that does something itself, with its path.
fn commands(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    found.push((path.to_owned(), command.clone()));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        commands(inner, &format!("{path} {}", inner.get_name()), found);
    }
}

fn all() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    commands(&command(), "deltadb", &mut found);
    found
}

/// The command lines among the examples of a help text, each as the words that a shell makes of it.
fn examples(help: &str) -> Vec<Vec<String>> {
    let Some((_, examples)) = help.split_once("Examples:\n") else { return Vec::new() };
    let examples = examples.split("\n\n").next().unwrap().replace("\\\n", " ");
    examples.lines().flat_map(words).collect()
}

/// The `deltadb …` commands of a line; what follows after two spaces is a remark.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' => 2 + rest[1..].find('\'').unwrap(),
            _ => rest.find([' ', '\'']).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        let word = if first == '\'' { word.trim_matches('\'') } else { word };
        match word {
            "|" | ">" | "<" => commands.push(Vec::new()),
            _ => commands.last_mut().unwrap().push(word.to_owned()),
        }
        let spaces = after.len() - after.trim_start().len();
        let long = commands.last().unwrap().iter().any(|word| word == "--data-dir");
        if spaces > 1 && !long {
            break;
        }
        rest = after.trim_start();
    }
    let from_name = |words: Vec<String>| words.into_iter().skip_while(|word| word != "deltadb").collect::<Vec<_>>();
    commands.into_iter().map(from_name).filter(|words| !words.is_empty()).collect()
}

#[test]
fn every_command_has_examples_of_its_own() {
    for (path, command) in all() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let own = examples(&help).into_iter().filter(|words| words.join(" ").starts_with(&path)).count();
        assert!(own >= 1, "{path}: {help:?}");
    }
}

#[test]
fn every_example_is_one_that_the_command_line_takes() {
    let mut seen = 0;
    for (path, command) in all() {
        for words in examples(&command.get_after_help().map(ToString::to_string).unwrap_or_default()) {
            seen += 1;
            if let Err(error) = super::command().try_get_matches_from(&words) {
                panic!("{path}: {words:?}: {error}");
            }
        }
    }
    assert!(seen >= 60, "only {seen} examples were found");
}

#[test]
fn the_help_shows_every_command_once_in_its_group() {
    let help = command().render_help().to_string();
    for (path, _) in all().into_iter().skip(1).filter(|(path, _)| path.matches(' ').count() == 1) {
        let name = path.trim_start_matches("deltadb ");
        let shown =
            help.lines().filter(|line| line.starts_with(&format!("  {name} ")) && !line.contains("deltadb")).count();
        assert_eq!(shown, 1, "{name}: {help}");
    }
    for (_, names) in GROUPS {
        for name in names {
            assert!(command().find_subcommand(name).is_some(), "there is no {name}");
        }
    }
}

#[test]
fn what_the_help_says_of_a_command_fits_a_terminal() {
    for (path, command) in all() {
        for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
            assert!(line.chars().count() <= 120, "{path}: {line}");
        }
    }
}

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}
