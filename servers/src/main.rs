//! The `deltadb` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    delta_server::run()
}
