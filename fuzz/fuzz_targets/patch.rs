#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| delta_fuzz_targets::patch(data));
