#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| voyage_gateway_fuzz::contents_reply(data));
