//! Where libmujoco lies, passed on as metadata (`DEP_DREAMSTEP_MUJOCO_LIB_DIR`), because an rpath does not travel from a
//! dependency to the executables that need it: each executable package's own build script asks for it.

use std::path::PathBuf;

/// The version that mujoco-rs binds to, and so the only one that works.
const VERSION: &str = "3.17.0";

fn main() {
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    println!("cargo::rerun-if-env-changed=MUJOCO_STATIC_LINK_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    // A static libmujoco is inside the executable; there is nothing to find at run time.
    if std::env::var_os("MUJOCO_STATIC_LINK_DIR").is_some() {
        return;
    }
    let library = if cfg!(target_os = "macos") { "libmujoco.dylib" } else { "libmujoco.so" };
    let Some(dir) = std::env::var_os("MUJOCO_DYNAMIC_LINK_DIR").map(PathBuf::from) else {
        println!(
            "cargo::error=MUJOCO_DYNAMIC_LINK_DIR is not set: run `make setup`, or name the folder of your own {library} {VERSION}"
        );
        return;
    };
    println!("cargo::rerun-if-changed={}", dir.join(library).display());
    if !dir.is_absolute() {
        println!("cargo::error=MUJOCO_DYNAMIC_LINK_DIR={}: must be an absolute path", dir.display());
    } else if !dir.join(library).is_file() {
        println!(
            "cargo::error=MUJOCO_DYNAMIC_LINK_DIR={}: no {library} in it; run `make setup`, or name the folder of your own \
             libmujoco {VERSION}",
            dir.display()
        );
    } else {
        println!("cargo::metadata=LIB_DIR={}", dir.display());
    }
}
