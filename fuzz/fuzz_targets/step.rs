//! libFuzzer's way into [`dreamstep_fuzz::step`], where the property stands.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dreamstep_fuzz::step::run(input));
