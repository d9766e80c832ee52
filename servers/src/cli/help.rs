//! The commands as one tree, and the help of its root: the commands in groups, examples, exit codes.

use clap::{Command, CommandFactory};

use super::args::Cli;

/// The groups of commands, in the order of the help; a command without a group stands in the last.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Run a server", &["serve", "main", "worker", "certs"]),
    ("Documents", &["get", "put", "patch", "delete", "list"]),
    ("Databases, schemas and keys", &["databases", "schema", "keys", "workers"]),
    ("Sessions", &["login", "logout", "me"]),
    ("A store at rest", &["fsck", "migrate"]),
    ("About this program", &[]),
];

/// What follows the commands.
const AFTER: &str = "\
`deltadb COMMAND --help` has examples of each command.

Examples:
  deltadb serve --dev                            a server to try things on, with keys it makes itself
  deltadb login --key-file delta-data/dev-admin.key
  echo '{\"topic\": \"tea\"}' | deltadb put chat room-1
  deltadb get chat room-1
  deltadb list chat --metadata
  deltadb serve --data-dir /var/lib/deltadb --master-key-file /etc/deltadb/master.key \\
                --admin-key-file /etc/deltadb/admin.key

Environment:
  DELTADB_URL      the server of the client commands [default: http://127.0.0.1:8080]
  DELTADB_TOKEN    their credential: an API key, the admin key or a session's token; --token-file goes before it, and
                   it goes before the session that `deltadb login` saved
  DELTADB_CA_CERT  the authorities they trust instead of the system's

Exit codes:
  0  done
  1  failed, or wrongly used; one line on standard error says what went wrong and what to do
  2  `fsck` or `migrate` found something that is damaged, or that cannot be copied
  3  what was named does not exist
  4  somebody else changed it, or the stated condition does not hold
  5  the credential is missing, wrong, or does not allow this
  6  the server cannot be reached, or cannot do this now";

/// The whole command line.
pub(crate) fn command() -> Command {
    let command = Cli::command().bin_name("deltadb").after_help(AFTER);
    let template =
        format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}", groups(&command));
    command.help_template(template)
}

fn groups(command: &Command) -> String {
    let visible: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let widest = visible.iter().map(|command| command.get_name().len()).max().unwrap_or_default();
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let mut text = String::new();
    for (title, names) in GROUPS {
        let here = |command: &&&Command| match names {
            [] => !grouped(command.get_name()),
            _ => names.contains(&command.get_name()),
        };
        text.push_str(&format!("{title}:\n"));
        for command in visible.iter().filter(here) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {:widest$}  {about}\n", command.get_name()));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "help_tests.rs"]
mod tests;
