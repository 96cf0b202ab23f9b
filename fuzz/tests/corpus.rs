//! Does every property hold for the inputs that fuzzing found worth keeping? `corpus/` covers what the fuzzers reached,
//! `findings/` what once failed; the runtime's hostile files are inputs too. Runs on any toolchain.

use dreamstep_fuzz::TARGETS;
use std::path::Path;

#[test]
fn every_input_kept_holds() {
    for (name, target) in TARGETS {
        let mut inputs = Vec::new();
        for folder in ["corpus", "findings"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            inputs.extend(entries.map(|entry| entry.unwrap().path()));
        }
        inputs.sort();
        assert!(inputs.len() >= 20, "{name}: {} inputs", inputs.len());
        for path in &inputs {
            let input = std::fs::read(path).unwrap();
            let held = std::panic::catch_unwind(|| target(&input));
            assert!(held.is_ok(), "{name}: {} does not hold (its panic stands above)", path.display());
        }
        println!("{name}: {} inputs", inputs.len());
    }
}

#[test]
fn the_hostile_files_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/hostile");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")) {
        let file = std::fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| {
            dreamstep_fuzz::reader::run(&file);
            dreamstep_fuzz::load::run(&[&[0], file.as_slice()].concat());
        });
        assert!(held.is_ok(), "{} does not hold (its panic stands above)", path.display());
        count += 1;
    }
    assert!(count > 40, "{count} files");
}

/// Coverage does not tell an overflow from a sum, so the corpus need not hold these: each tensor of each agent filled with
/// each odd value, and with two, so that infinities of both signs meet.
#[test]
fn agents_of_extreme_weights_hold() {
    let agents = (1..).map_while(|form| dreamstep_fuzz::load::tensors(form).map(|tensors| (form, tensors as u8)));
    for (agent, tensor, value, tensors) in agents.flat_map(|(agent, tensors)| {
        (0..tensors).flat_map(move |tensor| (0..16).map(move |value| (agent, tensor, value, tensors)))
    }) {
        dreamstep_fuzz::load::run(&[agent, 7, tensor, value]);
        let next = [7, (tensor + 1) % tensors, 8 + value % 5]; // the largest finite values
        dreamstep_fuzz::load::run(&[&[agent, 7, tensor, value], next.as_slice()].concat());
    }
}

#[test]
fn every_target_has_its_fuzzer_and_every_fuzzer_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut fuzzers: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    fuzzers.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    targets.sort();
    assert_eq!(fuzzers.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect::<Vec<_>>(), targets);
}
