//! Progress on a terminal; nothing where there is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// A bar over something of a known size, in documents or in bytes.
pub(crate) fn bar(total: u64, bytes: bool) -> ProgressBar {
    let template = match bytes {
        true => "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left",
        false => "{bar:30} {pos}/{len}  {msg}  {eta} left",
    };
    styled(ProgressBar::new(total), template)
}

/// A spinner for something of an unknown size.
pub(crate) fn spinner() -> ProgressBar {
    let spinner = styled(ProgressBar::new_spinner(), "{spinner} {msg}");
    if !spinner.is_hidden() {
        spinner.enable_steady_tick(TICK);
    }
    spinner
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let bar = bar.with_finish(ProgressFinish::AndClear);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
