//! Writes into every executable of this package where its native libraries lie, so that it runs without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Named by the build scripts of dreamstep-mujoco-link and torch-sys; absent where the library is linked statically, or not at all.
    for folder in ["DEP_DREAMSTEP_MUJOCO_LIB_DIR", "DEP_TCH_LIBTORCH_LIB"] {
        println!("cargo::rerun-if-env-changed={folder}");
        if let Ok(folder) = std::env::var(folder) {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        }
    }
}
