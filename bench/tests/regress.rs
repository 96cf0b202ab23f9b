//! Does the comparison of two builds of the C library run, and see what it should?

use dreamstep_bench::agents::Size;
use dreamstep_bench::library::{Library, Sizes, Subject};
use dreamstep_bench::regress::{Task, compare};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Model, Precision, memory_len};
use std::path::PathBuf;

// So that cargo builds the library beside this test.
use dreamstep_capi as _;

fn built() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libdreamstep_capi.so")
}

#[test]
fn a_build_is_compared_with_itself() {
    let results = compare(&built(), &built(), &Size::Humanoid.agent(), 2).unwrap();
    let backends = Backend::ALL.into_iter().filter(|b| b.is_available()).count();
    assert_eq!(results.len(), backends * Task::ALL.len());
    for result in results {
        assert!(result.same_bits && result.precision == Precision::F32);
        assert!(result.ratio() > 0.0 && result.noise() > 0.0);
    }
}

#[test]
fn the_library_computes_what_the_runtime_does() {
    let file = Size::Humanoid.agent();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let library = Library::open(&built()).unwrap();
    let mut subject = Subject::new(&library, &file, 0, Sizes { dims: *model.dims(), dreams: 3 }).unwrap();
    let start = subject.proof();
    let mut action = vec![0.0; model.dims().action_len()];
    for t in 0..3 {
        let observation = synthetic::observation(model.dims(), 0, t);
        agent.step(&observation, &mut action).unwrap();
        subject.act(&observation);
        subject.advance();
        subject.dream();
    }
    let proof = subject.proof();
    assert_eq!(proof[0], agent.digest());
    assert!((1..=3).all(|dream| proof[dream] != start[dream]));
    let bits: Vec<_> = action.iter().map(|a| u64::from(a.to_bits())).collect();
    assert_eq!(proof[4..], bits);
}

#[test]
fn what_is_no_library_is_named() {
    let missing = Library::open("no/such/file.so".as_ref()).err().unwrap().to_string();
    assert_eq!(missing, "no/such/file.so: expected a build of the C library, found no such file");
    let test = std::env::current_exe().unwrap();
    assert!(Library::open(&test).is_err());
}

#[test]
fn what_the_library_refuses_is_said_in_its_words() {
    let mut file = Size::Humanoid.agent().to_vec();
    file.truncate(100);
    let error = compare(&built(), &built(), &file, 1).unwrap_err().to_string();
    assert!(error.starts_with("this build: "), "{error}");
}
