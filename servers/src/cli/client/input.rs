//! What comes in: documents from files and standard input, and secrets, which a terminal does not show.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use delta_core::keys::SecretText;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::secrets;

/// The largest input that is read whole; the server's own limit is far lower.
const INPUT_BYTES_MAX: u64 = 256 << 20;
/// The longest secret on standard input.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Opens a file, or standard input for `-`; gives also the file's size where it is known.
pub(crate) fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if is_stdin(path) {
        if io::stdin().is_terminal() {
            super::super::eprint_line("reading from the terminal; end with Ctrl-D on a line of its own");
        }
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}; check the path", path.display()))?;
    let about = file.metadata().with_context(|| format!("cannot read {}", path.display()))?;
    if about.is_dir() {
        bail!("{} is a directory; give a file, or - for standard input", path.display());
    }
    let size = about.is_file().then_some(about.len());
    Ok((Box::new(file), size))
}

/// Reads a file, or standard input for `-`, whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut input, _) = open(path)?;
    let mut bytes = Vec::new();
    let read = input.by_ref().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
    let read = read.with_context(|| format!("cannot read {}", name(path)))?;
    if read as u64 > INPUT_BYTES_MAX {
        bail!("{} is larger than {INPUT_BYTES_MAX} bytes; split it, or load it with `put --lines`", name(path));
    }
    Ok(bytes)
}

/// How an input is called in a message.
pub(crate) fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

/// A secret from its file, from the terminal without echo, or else from the first line of standard input.
pub(crate) fn secret(file: Option<&Path>, what: &str, prompt: &str) -> Result<SecretText> {
    if let Some(file) = file {
        return secrets::read_file(file, what);
    }
    let text = if io::stdin().is_terminal() {
        typed(prompt)?
    } else {
        let mut text = Zeroizing::new(String::new());
        let read = io::stdin().lock().take(SECRET_BYTES_MAX).read_to_string(&mut text);
        read.with_context(|| format!("cannot read the {what} from standard input"))?;
        text
    };
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(SecretText::new(line)),
        _ => bail!("no {what} was given; type it, pipe it in, or name its file"),
    }
}

/// A line from a terminal that does not show it. Ctrl-C ends the question and leaves the terminal as it was.
fn typed(prompt: &str) -> Result<Zeroizing<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot ask for a key")?;
    let line = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let silent = Silent::begin()?;
        eprint(prompt)?;
        let line = tokio::task::spawn_blocking(|| {
            let mut line = Zeroizing::new(String::new());
            io::stdin().lock().take(SECRET_BYTES_MAX).read_line(&mut line).map(|_| line)
        });
        let line = tokio::select! {
            line = line => Some(line),
            _ = interrupt.recv() => None,
        };
        drop(silent);
        eprint("\n")?;
        anyhow::Ok(line)
    });
    // The thread still reads when the question was interrupted.
    runtime.shutdown_background();
    match line? {
        Some(line) => Ok(line?.context("cannot read from the terminal")?),
        None => bail!("the question for the key was interrupted; nothing was saved"),
    }
}

/// A terminal that does not show what is typed, until this is dropped. It is silent before the question appears, so that
/// not even a key that is pasted at once is shown.
struct Silent(Termios);

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).unwrap_or_default();
    }
}

fn eprint(text: &str) -> Result<()> {
    let mut terminal = io::stderr().lock();
    terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()).context("cannot write to the terminal")
}

/// Asks for a word on the terminal; `None` where there is no terminal to ask on.
pub(crate) fn ask(prompt: &str) -> Result<Option<String>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    eprint(prompt)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read from the terminal")?;
    Ok(Some(answer.trim().to_owned()))
}
