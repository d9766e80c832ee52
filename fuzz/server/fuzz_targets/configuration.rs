#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let scratch = std::env::temp_dir().join(format!("deltadb-fuzz-{}.toml", std::process::id()));
    delta_server::fuzzing::configuration(data, &scratch);
});
