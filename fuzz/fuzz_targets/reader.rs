//! libFuzzer's way into [`dreamstep_fuzz::reader`], where the property stands.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dreamstep_fuzz::reader::run(input));
