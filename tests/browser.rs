//! The pages of the server in a browser; skipped where there is no Chromium or no Node.

use std::path::Path;

use delta_tests::packages;
use delta_tests::start::ADMIN_KEY;

use crate::support::{has, run, server, skipped, workspace};

#[test]
fn a_key_given_to_the_documentation_counts_for_what_is_tried_there() {
    let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| has(name)) else {
        return skipped("this needs chromium");
    };
    let project = workspace().join("tests/browser");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    if let Err(why) = packages::node(&project, &home) {
        return skipped(&why);
    }
    // Beside `node_modules`, where Node looks for packages.
    std::fs::copy(project.join("authorize.mjs"), home.join("authorize.mjs")).unwrap();
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .unwrap();
    let (_directory, server) = server();
    let url = format!("http://{}", server.address());
    let line = ["node".into(), home.join("authorize.mjs").into(), path.into(), url.into()];
    let finished = run(&line, &[("ADMIN_KEY", ADMIN_KEY)]);
    // The refusal without a key is an error of the network to the browser, and of nothing else.
    let said = finished.stdout.lines().filter(|line| !line.contains("401 (Unauthorized)")).collect::<Vec<_>>();
    assert_eq!(
        (finished.code, said.join("\n").as_str()),
        (Some(0), "without a key: 401\nwith a key: 200"),
        "{finished:?}"
    );
}
