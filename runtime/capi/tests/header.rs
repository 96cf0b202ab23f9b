//! The header: `include/dreamstep.h` is what the sources say, and C99 and C++. `DREAMSTEP_BLESS=1 cargo test -p dreamstep-capi
//! --test header` writes it anew.

mod common;

use common::{MANIFEST, run, scratch};
use std::path::Path;
use std::process::Command;

fn generated() -> String {
    let root = Path::new(MANIFEST);
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let sources = ["types", "library", "model", "agent", "dreams"].map(|module| root.join(format!("src/{module}.rs")));
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |all, file| all.with_src(file));
    let mut text = Vec::new();
    builder.generate().expect("bindings").write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_fresh() {
    let path = Path::new(MANIFEST).join("include/dreamstep.h");
    let text = generated();
    if std::env::var_os("DREAMSTEP_BLESS").is_some() {
        // Whole or not at all: the other tests read it meanwhile.
        std::fs::write(scratch().join("dreamstep.h"), text).unwrap();
        std::fs::rename(scratch().join("dreamstep.h"), &path).unwrap();
    } else {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "include/dreamstep.h is not what the sources say: make it anew with DREAMSTEP_BLESS=1");
    }
}

/// Every exported function is declared, so that the header's list of modules misses none.
#[test]
fn the_header_declares_every_function() {
    let header = std::fs::read_to_string(Path::new(MANIFEST).join("include/dreamstep.h")).unwrap();
    let mut names = 0;
    for file in std::fs::read_dir(Path::new(MANIFEST).join("src")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for function in text.split("extern \"C\" fn ").skip(1) {
            let name = function.split('(').next().unwrap();
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
            names += 1;
        }
    }
    assert!(names > 55, "only {names} functions");
}

#[test]
fn the_header_is_c99_and_cpp11() {
    let dir = scratch();
    for (compiler, standard, extension) in
        [("cc", "c99", "c"), ("cc", "c11", "c"), ("c++", "c++11", "cpp"), ("c++", "c++17", "cpp")]
    {
        let source = dir.join(format!("only_the_header_{standard}.{extension}"));
        // Twice, for the include guard; a use of what the preprocessor makes.
        let text = "#include \"dreamstep.h\"\n#include \"dreamstep.h\"\n\
            typedef char fits[sizeof(dreamstep_model) == DREAMSTEP_MODEL_SIZE && sizeof(dreamstep_agent) == DREAMSTEP_AGENT_SIZE\n\
            && sizeof(dreamstep_dreams) == DREAMSTEP_DREAMS_SIZE ? 1 : -1];\n\
            fits used;\n";
        std::fs::write(&source, text).unwrap();
        let mut command = Command::new(compiler);
        command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]);
        run(command.arg(format!("-I{MANIFEST}/include")).arg(&source));
    }
}
