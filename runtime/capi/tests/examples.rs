//! The examples: programs in C, C++ and Python get the bits that Rust gets, from each form of the library, and the one for microcontrollers
//! has no allocator.

mod common;

use common::{HUMANOID, MANIFEST, built, run, scratch};
use dreamstep_runtime::{Agent, Dims, Model, memory_len};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every control loop must print.
fn expected() -> String {
    let model = Model::load(dreamstep_fixtures::HUMANOID).unwrap();
    let mut memory = [0.0; memory_len(&Dims::HUMANOID)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let (mut observation, mut action) = ([0.0; Dims::HUMANOID.obs_len()], [0.0; Dims::HUMANOID.action_len()]);
    (observation[0], observation[1]) = (1.4, 1.0);
    let mut text = String::new();
    for tick in 0..3 {
        agent.step(&observation, &mut action).unwrap();
        writeln!(text, "tick {tick}: first torque {:+.4}, state {:016x}", action[0], agent.digest()).unwrap();
    }
    text
}

/// What every program of ten lines must print.
fn expected_of_ten_lines() -> String {
    let model = Model::load(dreamstep_fixtures::HUMANOID).unwrap();
    let mut memory = [0.0; memory_len(&Dims::HUMANOID)];
    let mut action = [0.0; Dims::HUMANOID.action_len()];
    Agent::new(model, &mut memory).unwrap().act(&[0.0; Dims::HUMANOID.obs_len()], &mut action).unwrap();
    format!("{:+.4}\n", action[0])
}

/// Compiles an example against a static library.
fn compile(compiler: &str, standard: &str, source: &str, library: &Path, flags: &[&str], name: &str) -> PathBuf {
    let program = scratch().join(name);
    let mut command = Command::new(compiler);
    command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]);
    command.arg(format!("-I{MANIFEST}/include")).arg(format!("{MANIFEST}/examples/{source}")).arg(library);
    run(command.args(flags).arg("-o").arg(&program));
    program
}

/// The library without std, which cargo builds with the profile for microcontrollers.
fn without_std() -> PathBuf {
    let target = built().ancestors().nth(2).unwrap().to_path_buf();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["rustc", "--locked", "-q", "-p", "dreamstep-capi", "--lib", "--crate-type", "staticlib"]);
    run(cargo.args(["--no-default-features", "--profile", "firmware", "--target-dir"]).arg(&target).current_dir(MANIFEST));
    target.join("firmware/libdreamstep_capi.a")
}

/// The shared library.
fn shared() -> PathBuf {
    built().join(format!("{DLL_PREFIX}dreamstep_capi{DLL_SUFFIX}"))
}

/// What std asks of a static library's program: README.md says the same.
const STD_NEEDS: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-Wl,--gc-sections"];

#[test]
fn the_c_example_prints_what_rust_computes() {
    let library = built().join("libdreamstep_capi.a");
    let program = compile("cc", "gnu99", "control_loop.c", &library, &STD_NEEDS, "c_with_std");
    assert_eq!(run(Command::new(program).arg(HUMANOID)), expected());
}

#[test]
fn the_cpp_example_prints_what_rust_computes() {
    let library = built().join("libdreamstep_capi.a");
    let program = compile("c++", "c++11", "control_loop.cpp", &library, &STD_NEEDS, "cpp_with_std");
    assert_eq!(run(Command::new(&program).arg(HUMANOID)), expected());

    let output = Command::new(program).arg(format!("{MANIFEST}/Cargo.toml")).output().unwrap();
    let expected = "not a safetensors file: header of ";
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(expected), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_refused_loop_in_c_prints_the_status_and_the_line() {
    let program = compile("cc", "gnu99", "control_loop.c", &built().join("libdreamstep_capi.a"), &STD_NEEDS, "c_refused");
    let output = Command::new(program).arg(format!("{MANIFEST}/Cargo.toml")).output().unwrap();
    let expected = "the bytes are no safetensors file, or cut short: not a safetensors file: header of ";
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(expected), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn ten_lines_of_each_language_run_an_agent() {
    let (library, expected) = (built().join("libdreamstep_capi.a"), expected_of_ten_lines());
    let program = compile("cc", "c99", "ten_lines.c", &library, &STD_NEEDS, "ten_lines_c");
    assert_eq!(run(Command::new(program).stdin(File::open(HUMANOID).unwrap())), expected);
    let program = compile("c++", "c++11", "ten_lines.cpp", &library, &STD_NEEDS, "ten_lines_cpp");
    assert_eq!(run(Command::new(program).arg(HUMANOID)), expected);
    let program = format!("{MANIFEST}/examples/ten_lines.py");
    assert_eq!(run(Command::new("python3").arg(program).arg(shared()).arg(HUMANOID)), expected);
}

#[test]
fn the_python_example_prints_what_rust_computes() {
    let mut python = Command::new("python3");
    python.arg(format!("{MANIFEST}/examples/control_loop.py")).arg(shared()).arg(HUMANOID);
    assert_eq!(run(&mut python), expected());
}

/// Linked against nothing but the C library's own functions: no std, no unwinder, no mathematics.
#[test]
fn the_library_without_std_gives_the_same_bits_and_has_no_allocator() {
    let library = without_std();
    let program = compile("cc", "gnu99", "control_loop.c", &library, &["-Wl,--gc-sections"], "c_without_std");
    assert_eq!(run(Command::new(program).arg(HUMANOID)), expected());

    let allocates = |symbols: &str| {
        let names = ["__rust_alloc", "__rust_realloc", "__rust_dealloc", "malloc", "calloc", "realloc", "free"];
        symbols.lines().filter_map(|line| line.split(' ').next()).any(|name| names.iter().any(|n| name.contains(n)))
    };
    let symbols = |library: &Path| run(Command::new("nm").args(["--format=posix", "--quiet"]).arg(library));
    assert!(!allocates(&symbols(&library)));
    assert!(symbols(&library).contains("dreamstep_agent_act "), "nm shows the functions");
    // Negative control: std's allocator is seen where it is.
    assert!(allocates(&symbols(&built().join("libdreamstep_capi.a"))));
}
