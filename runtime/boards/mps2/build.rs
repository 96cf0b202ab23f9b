//! Hands cortex-m-rt's linker script to the linker, and this folder, where it finds `memory.x`.

fn main() {
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-arg=-Tlink.x");
}
