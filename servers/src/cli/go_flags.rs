//! Go's spelling of flags, `-flag=value`, as `--flag=value`.

use std::ffi::OsString;

/// Rewrites the arguments before a bare `--`; single letters stay what they are.
pub(crate) fn normalise(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut flags = true;
    let rewrite = |argument: OsString| {
        flags &= argument != "--";
        match argument.to_str() {
            Some(text) if flags && is_go_flag(text) => format!("-{text}").into(),
            _ => argument,
        }
    };
    arguments.into_iter().map(rewrite).collect()
}

fn is_go_flag(text: &str) -> bool {
    let Some(name) = text.strip_prefix('-') else { return false };
    let name = name.split('=').next().unwrap_or_default();
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_go_flags_are_rewritten() {
        let given = ["deltadb", "serve", "-rest-addr=1:2", "-dev", "--names", "plain", "-h", "-1", "-", "--", "-dev"];
        let wanted =
            ["deltadb", "serve", "--rest-addr=1:2", "--dev", "--names", "plain", "-h", "-1", "-", "--", "-dev"];
        assert_eq!(normalise(given.map(OsString::from).to_vec()), wanted.map(OsString::from));
    }
}
