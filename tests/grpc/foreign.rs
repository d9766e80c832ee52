//! A client of somebody else's making: Python's grpcio, which learns the services by reflection.

use std::path::Path;

use delta_tests::packages;
use delta_tests::start::ADMIN_KEY;

use crate::support::{run, server, skipped, workspace};

#[test]
fn a_client_that_learns_by_reflection_can_do_everything() {
    let tool = workspace().join("tests/tools/grpc");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc");
    if let Err(why) = packages::python(&tool.join("requirements.txt"), &home) {
        return skipped(&why);
    }
    let (_directory, server) = server();
    let line = [home.join("bin/python"), tool.join("client.py"), server.grpc_address().to_string().into()];
    let variables = [("DELTADB_TOKEN", ADMIN_KEY), ("PYTHONDONTWRITEBYTECODE", "1")];
    let finished = run(&line.map(Into::into), &variables);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "done\n"), "{finished:?}");
}
