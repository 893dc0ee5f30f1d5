#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::cert_header::check(data));
