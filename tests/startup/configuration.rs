//! What is wrong with the settings, wherever they come from.

use delta_tests::start::{ADMIN_KEY, MASTER_KEY, Start};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PROGRAM, directory, serve};

use super::{fails, failure};

/// `serve` with a configuration file.
fn configured(directory: &TempDir, text: &str) -> Start {
    let file = directory.path().join("deltadb.toml");
    std::fs::write(&file, text).unwrap();
    serve(directory).arg("--config").arg(file)
}

/// `serve` over a directory that processes may share.
fn shared(directory: &TempDir) -> Start {
    serve(directory).arg("--shared-fs").arg(directory.path().join("db"))
}

fails! {
    an_unknown_field_in_the_file_is_named: |directory| configured(directory, "rest_adr = \"127.0.0.1:0\"\n")
        => "error: configuration: unknown setting \"rest_adr\"; available: rest_addr, grpc_addr, data_dir, storage, shared_fs, multi_main, sidecar, templates_dir, validator, names, key_id, master_key_file, admin_key_file, worker_id, client_ttl, rest_max_body_size, grpc_max_recv_msg_size, tls_cert, tls_key, header_bytes_max, connections_max, connections_per_address_max, header_deadline, idle_deadline, body_deadline, request_deadline, document_depth_max, batch_entities_max, cache_bytes, cache_size, cache_ttl, cache_max_stale, key_index_bytes, list_max_stale, auth_failure_burst, auth_failure_rate, trusted_proxies, cors_origin, metrics_addr, otlp_endpoint, log_format, dev, main_addr, join_token_file, worker_ttl, cluster_ca, cluster_cert, cluster_key, insecure_cluster";
    an_unknown_variable_is_named: |directory| serve(directory).variable("DELTADB_REST_ADR", "127.0.0.1:0")
        => "error: configuration: unknown setting \"rest_adr\"; available: rest_addr, grpc_addr, data_dir, storage, shared_fs, multi_main, sidecar, templates_dir, validator, names, key_id, master_key_file, admin_key_file, worker_id, client_ttl, rest_max_body_size, grpc_max_recv_msg_size, tls_cert, tls_key, header_bytes_max, connections_max, connections_per_address_max, header_deadline, idle_deadline, body_deadline, request_deadline, document_depth_max, batch_entities_max, cache_bytes, cache_size, cache_ttl, cache_max_stale, key_index_bytes, list_max_stale, auth_failure_burst, auth_failure_rate, trusted_proxies, cors_origin, metrics_addr, otlp_endpoint, log_format, dev, main_addr, join_token_file, worker_ttl, cluster_ca, cluster_cert, cluster_key, insecure_cluster";
    an_unknown_flag_is_named: |directory| serve(directory).arg("--rest-adr=127.0.0.1:0")
        => "error: unexpected argument '--rest-adr' found; tip: a similar argument exists: '--rest-addr'; see `deltadb serve --help`";
    an_unknown_field_of_a_plugin_is_named: |directory| configured(directory, "[storage]\nplugin = \"embedded\"\njournal = 1\n")
        => "error: settings of plug-in embedded: unknown field `journal`, expected one of `path`, `cache_bytes`, `write_buffer_bytes`, `journal_bytes`, `commit_writes_max`, `waiting_writes_max`, `waiting_bytes_max`";
    an_unknown_storage_lists_what_is_available: |directory| serve(directory).arg("--storage=papyrus")
        => "error: no storage plug-in is called \"papyrus\"; available: embedded, fs, memory";
    an_unknown_validator_lists_what_is_available: |directory| serve(directory).arg("--validator=oracle")
        => "error: no validator plug-in is called \"oracle\"; available: jsonschema";
    a_flag_of_another_storage_is_refused: |directory| serve(directory).args(&["--storage=embedded", "--multi-main"])
        => "error: --multi-main is for the storage fs, and embedded is chosen; leave one of them out";
    a_flag_of_a_shared_store_is_refused_where_nobody_shares_it: |directory| shared(directory).arg("--cache-max-stale=1s")
        => "error: --cache-max-stale is for a store that other processes write too, and this one has its own; leave it out";
    a_directory_that_is_given_twice_is_refused: |directory| {
        configured(directory, "[storage]\nplugin = \"fs\"\npath = \"db\"\n").arg("--shared-fs=other")
    } => "error: --shared-fs and the setting path of [storage] say different things; give one of them";
    a_sidecar_that_cannot_be_is_named: |directory| shared(directory).arg("--sidecar=late")
        => "error: configuration: sidecar: unknown variant: found `late`, expected `one of `lazy`, `sync`, `off``";
    a_file_that_is_not_there_is_named: |directory| serve(directory).arg("--config").arg(directory.path().join("none.toml"))
        => "error: there is no configuration file DIR/none.toml; check --config";
    a_file_that_is_not_toml_is_named: |directory| configured(directory, "rest_addr 127.0.0.1\n")
        => "error: configuration file DIR/deltadb.toml: TOML parse error at line 1, column 11: key with no value, expected `=`";
    a_value_that_cannot_be_is_named: |directory| serve(directory).arg("--rest-addr=localhost")
        => "error: configuration: rest_addr: invalid socket address syntax; write one like 127.0.0.1:8080";
    a_duration_that_cannot_be_is_named: |directory| serve(directory).arg("--client-ttl=soon")
        => "error: configuration: client_ttl: \"soon\" is not a duration; write one like 30s, 1h30m or 7d";
    a_limit_of_zero_is_refused: |directory| serve(directory).arg("--rest-max-body-size=0")
        => "error: rest_max_body_size must be more than 0";
    development_is_for_this_machine_only: |directory| serve(directory).args(&["--dev", "--rest-addr=0.0.0.0:0"])
        => "error: --dev serves this machine only; use a loopback address for --rest-addr, or leave --dev out";
    metrics_of_a_development_server_are_for_this_machine_only: |directory| serve(directory).args(&["--dev", "--metrics-addr=0.0.0.0:0"])
        => "error: --dev serves this machine only; use a loopback address for --metrics-addr, or leave --dev out";
    a_collector_that_cannot_be_is_told: |directory| serve(directory).arg("--otlp-endpoint=https://localhost:4317")
        => "error: --otlp-endpoint: \"https://localhost:4317\" is not like http://127.0.0.1:4317; a collector on this machine can send on by TLS";
    a_command_that_is_none_is_named: |_| Start::bare(PROGRAM, &["server"])
        => "error: unrecognized subcommand 'server'; tip: a similar subcommand exists: 'serve'; see `deltadb --help`";
}

#[test]
fn a_processing_worker_says_what_it_needs_under_either_name() {
    let directory = directory();
    let line =
        failure(&Start::bare(PROGRAM, &["worker", "-main-addr=127.0.0.1:50051", "-worker-id=proc-1"]), &directory);
    assert_eq!(
        line,
        "error: a worker needs the join token of its main, or a certificate: give --join-token-file FILE, or --cluster-cert and --cluster-key, or --dev to both"
    );
    let link = directory.path().join("proc-worker");
    std::os::unix::fs::symlink(Start::bare(PROGRAM, &[]).program(), &link).unwrap();
    let as_worker = Start::bare(PROGRAM, &["-main-addr=127.0.0.1:50051", "-shared-fs=./shared/db"]).run_as(&link);
    assert_eq!(failure(&as_worker, &directory), line);
}

#[test]
fn a_main_worker_by_name_serves_with_flags_as_go_writes_them() {
    let directory = directory();
    let link = directory.path().join("main-worker");
    std::os::unix::fs::symlink(Start::bare(PROGRAM, &[]).program(), &link).unwrap();
    let data = format!("-data-dir={}", directory.path().join("data").display());
    let start =
        Start::bare(PROGRAM, &["-rest-addr=127.0.0.1:0", "-grpc-addr=127.0.0.1:0", &data, "-client-ttl", "1h30m"])
            .run_as(&link);
    let server = start.variable("ADMIN_KEY", ADMIN_KEY).variable("MASTER_KEY", MASTER_KEY).up();
    server.admin().put("/entity/db/k", "1").expect(201);
}

#[test]
fn later_layers_win_file_variable_flag() {
    let directory = directory();
    let limit = |start: &Start| {
        let server = start.up();
        let answer = server.admin().put("/entity/db/k", format!("\"{}\"", "x".repeat(3_000_000)));
        assert_eq!(answer.status, 413, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        detail.split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap()
    };
    assert_eq!(limit(&serve(&directory)), 1 << 20);
    let file = configured(&directory, "rest_max_body_size = 2000000\n");
    assert_eq!(limit(&file), 2_000_000);
    let variable = file.variable("DELTADB_REST_MAX_BODY_SIZE", "1500000");
    assert_eq!(limit(&variable), 1_500_000);
    assert_eq!(limit(&variable.arg("--rest-max-body-size=1000000")), 1_000_000);
}

#[test]
fn a_secret_of_the_file_is_never_quoted() {
    let directory = directory();
    for secret in ["master_key", "admin_key", "previous_key"] {
        for value in ["77777777777777777777", "[\"hush-hush\"]", "{ a = \"hush-hush\" }", "1.25", "true", "\"hush-hush"]
        {
            let start =
                configured(&directory, &format!("{secret} = {value}\n")).without("ADMIN_KEY").without("MASTER_KEY");
            let line = failure(&start.variable("DELTADB_CACHE_SIZE", "7"), &directory);
            assert!(!line.contains("hush") && !line.contains("7777") && !line.contains("1.25"), "{line}");
        }
    }
}

#[test]
fn secrets_of_the_file_count_and_the_environment_wins() {
    let directory = directory();
    let text = format!("admin_key = \"{ADMIN_KEY}\"\nmaster_key = \"{MASTER_KEY}\"\n");
    let start = configured(&directory, &text).without("ADMIN_KEY").without("MASTER_KEY");
    let server = start.up();
    assert_eq!(server.admin().get("/api/me").expect(200).json()["client_id"], json!("admin"));
    server.stop();
    let server = start.variable("DELTADB_ADMIN_KEY", "the-key-of-the-environment").up();
    server.admin().get("/api/me").expect(401);
    server.anonymous().bearer("the-key-of-the-environment").get("/api/me").expect(200);
}
