//! libFuzzer's way into [`dreamstep_fuzz::state`], where the property stands.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dreamstep_fuzz::state::run(input));
