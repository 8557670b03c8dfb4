#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| voyage_gateway_fuzz::media_header(data));
