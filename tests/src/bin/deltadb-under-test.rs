//! `deltadb` under a name that cargo builds together with the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    delta_server::run()
}
