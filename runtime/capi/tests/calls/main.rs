//! What each call of the C API promises: every status with its line, nothing done where it refuses, and the bits that Rust gives where it
//! does not.

mod agents;
mod dreams;
#[path = "../../../tests/common/float_mode.rs"]
#[allow(dead_code)] // what a mode is seen as is the runtime's test
mod float_mode;
mod library;
mod models;
mod pointers;
mod states;

use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Dims, MemoryCell, Mixture, Model, memory_len};
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;

const DIMS: Dims = Dims::vector(21, 3, &[9, 17], 5, 19, 2);
const GRU: Dims = DIMS.with_cell(MemoryCell::Gru);
const OTHER: Dims = Dims::vector(22, 3, &[9, 17], 5, 19, 2).with_mixture(Mixture::PerDimension);

/// A status, and the line of the object where it was refused.
type Outcome = (status, String);

fn ok() -> Outcome {
    (status::Ok, String::new())
}

fn refused(number: status, line: impl ToString) -> Outcome {
    (number, line.to_string())
}

/// An object of C's.
trait Object {
    fn error(this: *const Self, buffer: *mut c_char, len: usize) -> *const c_char;
}

macro_rules! object {
    ($($object:ident: $error:ident,)*) => {
        $(impl Object for $object {
            fn error(this: *const Self, buffer: *mut c_char, len: usize) -> *const c_char {
                // SAFETY: the tests pass their own objects and buffers, or what must be refused.
                unsafe { $error(this, buffer, len) }
            }
        })*
    };
}

object! {
    dreamstep_model: dreamstep_model_error,
    dreamstep_agent: dreamstep_agent_error,
    dreamstep_dreams: dreamstep_dreams_error,
}

/// What an object says of its newest refusal.
fn line<T: Object>(object: *const T) -> String {
    let mut buffer = [0x7f as c_char; 256];
    let found = T::error(object, buffer.as_mut_ptr(), buffer.len());
    assert_eq!(found, buffer.as_ptr(), "the buffer itself");
    // SAFETY: it ends in NUL.
    unsafe { CStr::from_ptr(found) }.to_str().unwrap().to_owned()
}

fn outcome<T: Object>(number: status, object: *const T) -> Outcome {
    (number, if number == status::Ok { String::new() } else { line(object) })
}

/// Calls a function that may change its first argument; its status and the object's line.
macro_rules! change {
    ($function:ident($object:expr $(, $argument:expr)* $(,)?)) => {{
        let object: *mut _ = $object;
        // SAFETY: every test passes pointers to its own variables, or those that the function must refuse.
        let status = unsafe { $function(object $(, $argument)*) };
        crate::outcome(status, object.cast_const())
    }};
}
pub(crate) use change;

/// Calls a function that only reads its first argument; its status.
macro_rules! read {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: every test passes pointers to its own variables, or those that the function must refuse.
        unsafe { $function($($argument),*) }
    };
}
pub(crate) use read;

/// Memory in which a function makes a struct.
fn unmade<T>() -> Box<T> {
    // SAFETY: the structs are arrays of integers.
    unsafe { Box::new(MaybeUninit::zeroed().assume_init()) }
}

/// A model of a copy of `file`, which is never freed: models borrow it.
fn loaded(file: &[u8]) -> Box<dreamstep_model> {
    let file = Box::leak(Box::new(AlignedBytes::new(file)));
    let mut model = unmade();
    assert_eq!(change!(dreamstep_model_load(&mut *model, file.as_ptr(), file.len(), -1)), ok());
    model
}

/// What a model says it is.
fn facts(model: &dreamstep_model) -> dreamstep_model_facts {
    let mut facts = MaybeUninit::<dreamstep_model_facts>::uninit();
    assert_eq!(read!(dreamstep_model_info(model, facts.as_mut_ptr())), status::Ok);
    // SAFETY: filled where the status is 0.
    unsafe { facts.assume_init() }
}

/// A file with some bytes changed.
fn changed(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> AlignedBytes {
    let mut bytes = file.to_vec();
    change(&mut bytes);
    AlignedBytes::new(&bytes)
}

/// An agent of a synthetic file, and its model.
struct Made {
    dims: Dims,
    file: AlignedBytes,
    model: Box<dreamstep_model>,
    agent: Box<dreamstep_agent>,
    memory: Vec<f32>,
}

fn made() -> Made {
    made_of(DIMS)
}

fn made_of(dims: Dims) -> Made {
    let file = synthetic::agent(&dims, 1);
    let model = loaded(&file);
    let mut made = Made { dims, file, model, agent: unmade(), memory: vec![f32::NAN; memory_len(&dims)] };
    let (memory, len) = (made.memory.as_mut_ptr(), made.memory.len());
    assert_eq!(change!(dreamstep_agent_new(&mut *made.agent, &*made.model, memory, len)), ok());
    made
}

impl Made {
    fn act(&mut self, t: u64) -> Vec<u32> {
        let observation = synthetic::observation(&self.dims, 2, t);
        let mut action = vec![f32::NAN; self.dims.action_len()];
        let (from, to, len) = (observation.as_ptr(), action.as_mut_ptr(), action.len());
        assert_eq!(change!(dreamstep_agent_act(&mut *self.agent, from, observation.len(), to, len)), ok());
        action.into_iter().map(f32::to_bits).collect()
    }

    fn advance(&mut self) {
        assert_eq!(change!(dreamstep_agent_advance(&mut *self.agent)), ok());
    }

    fn step(&mut self, t: u64) -> Vec<u32> {
        let action = self.act(t);
        self.advance();
        action
    }

    fn digest(&self) -> u64 {
        let mut digest = 0;
        assert_eq!(read!(dreamstep_agent_digest(&*self.agent, &mut digest)), status::Ok);
        digest
    }

    fn save(&self) -> Vec<u8> {
        let mut bytes = vec![0; read!(dreamstep_model_state_len(&*self.model))];
        assert_eq!(read!(dreamstep_agent_save_state(&*self.agent, bytes.as_mut_ptr(), bytes.len())), status::Ok);
        bytes
    }
}

/// Runs `test` with Rust's agent of the same file.
fn with_rust(file: &[u8], test: impl FnOnce(&mut Agent<'_, '_>)) {
    let model = Model::load(file).unwrap();
    let mut memory = vec![0.0; memory_len(model.dims())];
    test(&mut Agent::new(model, &mut memory).unwrap());
}

/// A synthetic agent without the MDN head.
fn without_head() -> AlignedBytes {
    use dreamstep_core::pack::{Parts, pack};
    let mut tensors = synthetic::tensors(&DIMS, 1);
    tensors.remove(dreamstep_core::names::checkpoint::GMM_WEIGHT).unwrap();
    let parts = Parts {
        tensors: &tensors,
        settings: synthetic::settings(&DIMS),
        action_mid: &[0.0; 3],
        action_half: &[1.0; 3],
        selftest: None,
        frames: &[],
        provenance: &std::collections::BTreeMap::new(),
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}
