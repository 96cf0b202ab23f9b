//! The functions of models.

use crate::library::chosen;
use crate::object::{change, held, line, make, read};
use crate::pointers::{check, put, put_if_wanted, slice, slice_mut};
use crate::types::{dreamstep_model, dreamstep_model_facts, dreamstep_status};
use core::ffi::{CStr, c_char};
use dreamstep_runtime::{Action, Dims, Model, StateMatch, dreams_memory_len, memory_len, state_len};

/// Reads a packed agent into `model`. Every byte of the file is checked, none is copied.
///
/// `bytes` begins on a 4-byte boundary; on a 64-byte boundary it runs best. `backend` is a `dreamstep_backend`; the results
/// are the same bits whichever it is. Where the call fails, `model` holds none, and `dreamstep_model_error` says why.
///
/// # Safety
/// `model` is writable, and used by nothing else meanwhile; agents and dreams of a model that it held stay as they are. The
/// `len` bytes are readable, and neither change nor go away while the model, or an agent or dreams of it, is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_load(
    model: *mut dreamstep_model,
    bytes: *const u8,
    len: usize,
    backend: i32,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { make(model, || Ok(Model::load_with(slice("model file", bytes, len)?, chosen(backend)?)?)) }
}

/// Replays the file's self-test vectors: every action, the final state and the MDN head's outputs must be the packer's, bit
/// for bit. First, that the thread rounds to nearest even and keeps subnormals (no flush-to-zero, no denormals-are-zero). Run it at
/// start-up, in the thread that will run the agent: the floating-point mode is each thread's own. `memory` is as for `dreamstep_agent_new`, and free
/// again afterwards.
///
/// # Safety
/// `model` is writable and used by nothing else meanwhile; its file is as it was loaded. The `memory_len` floats are writable
/// and used by nothing else meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_self_test(
    model: *mut dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(model, |model| Ok(model.self_test(slice_mut("memory", memory, memory_len)?)?)) }
}

/// Whether an agent of this model can continue from a state: every byte is checked. `*same_model`, unless NULL, becomes whether
/// it is this model's (`dreamstep_agent_load_state`) or another's of the same sizes (`dreamstep_agent_adopt_state`).
///
/// # Safety
/// `model` is writable and used by nothing else meanwhile. The `len` bytes are readable, `same_model` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_check_state(
    model: *mut dreamstep_model,
    bytes: *const u8,
    len: usize,
    same_model: *mut bool,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(model, |model| {
            let found = model.check_state(slice("state", bytes, len)?)?;
            put_if_wanted("same model", same_model, found == StateMatch::SameModel)
        })
    }
}

/// Writes why the newest refused call of those that may change `model` was refused (load, self-test, check of a state) to
/// `buffer`: one line, what was expected and what was found, cut where the buffer is full, empty where none was refused.
/// Returns `buffer`; an empty string where that is NULL or has no room.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_error(
    model: *const dreamstep_model,
    buffer: *mut c_char,
    len: usize,
) -> *const c_char {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { line(model, buffer, len) }
}

/// Value `axis` of what a frame is that `dreamstep_agent_act_image` takes: 0 its height, 1 its width, 2 its channels. 0 where `model` holds none,
/// or observes no images, or there is no such axis.
///
/// # Safety
/// `model` is NULL or readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_frame(model: *const dreamstep_model, axis: usize) -> usize {
    let size = |dims: &Dims| dims.obs.image().and_then(|image| image.frame.get(axis).copied()).unwrap_or(0);
    // SAFETY: this function's precondition.
    unsafe { length(model, size) }
}

/// `O`: how many floats an observation is (of an image, what is prepared of it); 0 where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_obs_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::obs_len) }
}

/// `A`: how many floats an action is; 1 of a discrete one, the choice's number; 0 where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_action_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::action_len) }
}

/// How many choices a discrete action has; 0 of a continuous one, or where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_choices(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe {
        length(model, |dims| match dims.action {
            Action::Discrete { choices } => choices,
            _ => 0,
        })
    }
}

/// `U`: how many floats an action is as M hears it, `A` of a continuous one and the choices of a discrete one; 0 where `model`
/// holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_unit_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::unit_len) }
}

/// `Z`: how many floats a latent vector is; 0 without V, or where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_latent_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::latent_len) }
}

/// `H`: how many floats M's `h` is; 0 without M, or where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_hidden_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::hidden_len) }
}

/// How many floats M's `c` is: `H` of an LSTM, else 0.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_cell_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, Dims::cell_len) }
}

/// How many floats an agent of this model works in; 0 where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_memory_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, memory_len) }
}

/// How many bytes an agent's saved state is; 0 where `model` holds none.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_state_len(model: *const dreamstep_model) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, state_len) }
}

/// How many floats `count` dreams of this model work in; 0 where `model` holds none, and `SIZE_MAX` where no memory holds so
/// many.
///
/// # Safety
/// `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_dreams_memory_len(model: *const dreamstep_model, count: usize) -> usize {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { length(model, |dims| dreams_memory_len(dims, count)) }
}

/// A length of a model; 0 where there is none.
///
/// # Safety
/// As for [`held`].
unsafe fn length(model: *const dreamstep_model, of: impl FnOnce(&Dims) -> usize) -> usize {
    // SAFETY: this function's precondition.
    unsafe { held(model) }.map_or(0, |model| of(model.dims()))
}

/// Says what a model is: the kinds of its parts, its precision, its control period.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. `facts` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_info(
    model: *const dreamstep_model,
    facts: *mut dreamstep_model_facts,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(model, |model| Ok(put("facts", facts, dreamstep_model_facts::of(model))?)) }
}

/// Looks up a metadata key of the model's file: `env` is the environment that the agent was made for, `dreamstep.format` the
/// file's format. `*value` becomes the address of the value in the file's bytes, UTF-8 without a NUL at its end (print it with
/// `%.*s`) and with JSON's escapes as they stand; `*value_len` becomes its bytes. Searches the header: not for the control
/// loop.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. `key` ends in NUL. `value` and
/// `value_len` are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_metadata(
    model: *const dreamstep_model,
    key: *const c_char,
    value: *mut *const c_char,
    value_len: *mut usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition; `key` is not NULL where it is read.
    unsafe {
        read(model, |model| {
            slice("key", key.cast::<u8>(), 1)?;
            check("value", value, 1)?;
            let key = CStr::from_ptr(key).to_str().map_err(|_| dreamstep_status::Argument)?;
            let found = model.metadata(key).ok_or(dreamstep_status::NoSuchKey)?;
            put("value length", value_len, found.len())?;
            Ok(put("value", value, found.as_ptr().cast())?)
        })
    }
}

/// The lower and upper end of value `index` of a continuous action, in the environment's units. Refused of a discrete one, and
/// where there is no such value. Either pointer may be NULL.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. `low` and `high` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_action_range(
    model: *const dreamstep_model,
    index: usize,
    low: *mut f32,
    high: *mut f32,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        read(model, |model| {
            let is_continuous = matches!(model.dims().action, Action::Continuous { .. });
            let none = if is_continuous { dreamstep_status::Argument } else { dreamstep_status::Kind };
            let [from, to] = model.action_range(index).ok_or(none)?;
            put_if_wanted("low", low, from)?;
            Ok(put_if_wanted("high", high, to)?)
        })
    }
}
