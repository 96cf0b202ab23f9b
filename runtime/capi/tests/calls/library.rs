//! The calls that need no object.

use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_runtime::Backend;
use std::ffi::CStr;

#[test]
fn the_numbers_stay_and_each_has_its_words() {
    let statuses = [
        (status::Ok, "done"),
        (status::Null, "a pointer is NULL"),
        (status::Misaligned, "an address is not a multiple of what its type needs"),
        (
            status::NotMade,
            "the struct does not hold what it should: no function made it, or the one that should have failed",
        ),
        (status::Overlap, "input and output overlap"),
        (status::Argument, "an argument is outside its range"),
        (status::Length, "another number of values or bytes than expected"),
        (status::Memory, "the memory given is too small"),
        (status::NonFinite, "a value is infinite or NaN"),
        (status::Order, "the call is out of turn"),
        (status::Backend, "this processor does not run the back end"),
        (status::File, "the bytes are no safetensors file, or cut short"),
        (status::NotAnAgent, "the file is no agent that this version runs"),
        (status::SelfTestAbsent, "the file has no self-test vectors"),
        (status::SelfTestFailed, "the self-test gave other bits than the packer's"),
        (status::NoSuchKey, "the file has no such metadata key"),
        (status::NoHead, "the file has no MDN head"),
        (status::Dims, "a model or state of other sizes or kinds"),
        (status::State, "the bytes are no state, or a damaged one"),
        (status::OtherModel, "a state of another model"),
        (status::Kind, "a model of this kind has none"),
        (status::FloatEnvironment, "the thread's floating-point mode is not the default"),
    ];
    // SAFETY: a constant.
    let text = |number| unsafe { CStr::from_ptr(dreamstep_status_text(number)) }.to_str().unwrap();
    for (number, (status, words)) in (0..).zip(statuses) {
        assert_eq!((status as i32, text(number)), (number, words));
    }
    for none in [-1, 22, i32::MAX, i32::MIN] {
        assert_eq!(text(none), "no status of this version");
    }
}

#[test]
fn back_ends_have_their_names_and_are_those_of_this_processor() {
    let name = |number| {
        let name = dreamstep_backend_name(number);
        // SAFETY: not NULL, and the names are constants.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().unwrap())
    };
    for (number, known) in (0..).zip(Backend::ALL) {
        assert_eq!(name(number), Some(known.name()));
        assert_eq!(dreamstep_backend_is_available(number), known.is_available());
    }
    assert_eq!((name(-1), name(7), name(-2), name(i32::MAX)), (Some("auto"), None, None, None));
    assert!(dreamstep_backend_is_available(-1));
    assert!(!dreamstep_backend_is_available(7));
    assert_eq!(name(dreamstep_backend_detect() as i32), Some(Backend::detect().name()));
}

#[test]
fn sizes_and_version_are_the_headers() {
    assert_eq!(
        (dreamstep_model_size(), dreamstep_agent_size(), dreamstep_dreams_size()),
        (size_of::<dreamstep_model>(), size_of::<dreamstep_agent>(), size_of::<dreamstep_dreams>())
    );
    // SAFETY: a constant.
    assert_eq!(unsafe { CStr::from_ptr(dreamstep_version()) }.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
