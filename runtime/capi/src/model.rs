//! The functions of models and back ends.

use crate::error::{Error, answer};
use crate::pointers::{check, held, make, put, slice, slice_mut};
use crate::types::{
    DREAMSTEP_AGENT_SIZE, DREAMSTEP_DREAMS_SIZE, DREAMSTEP_MODEL_SIZE, Loaded, dreamstep_backend, dreamstep_dims,
    dreamstep_model, dreamstep_model_info, dreamstep_precision, dreamstep_status,
};
use core::ffi::{CStr, c_char};
use core::ptr::null;
use dreamstep_core::reader::File;
use dreamstep_runtime::{Backend, Model, memory_len, state_len};

/// The library's version, `major.minor.patch`. The string lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_version() -> *const c_char {
    const { concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast() }
}

/// `DREAMSTEP_MODEL_SIZE`, for languages that do not read this header.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_model_size() -> usize {
    DREAMSTEP_MODEL_SIZE
}

/// `DREAMSTEP_AGENT_SIZE`, for languages that do not read this header.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_agent_size() -> usize {
    DREAMSTEP_AGENT_SIZE
}

/// `DREAMSTEP_DREAMS_SIZE`, for languages that do not read this header.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_dreams_size() -> usize {
    DREAMSTEP_DREAMS_SIZE
}

/// The back end that `DREAMSTEP_BACKEND_AUTO` stands for on this processor.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_backend_detect() -> dreamstep_backend {
    dreamstep_backend::of(Backend::detect())
}

/// Whether this processor runs `backend`, a `dreamstep_backend`. No number but a back end's is one that it runs.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_backend_is_available(backend: i32) -> bool {
    chosen(backend).is_ok_and(Backend::is_available)
}

/// The name of `backend`, a `dreamstep_backend`, in lower case; NULL past the last. So `for (b = 0;
/// dreamstep_backend_name(b); b++)` visits all. The string lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_backend_name(backend: i32) -> *const c_char {
    let name = match backend {
        -1 => c"auto",
        0 => c"portable",
        1 => c"sse2",
        2 => c"avx2",
        3 => c"avx512",
        4 => c"avx512vnni",
        5 => c"neon",
        6 => c"simd128",
        _ => return null(),
    };
    name.as_ptr()
}

fn chosen(backend: i32) -> Result<Backend, Error<'static>> {
    if backend == dreamstep_backend::Auto as i32 {
        return Ok(Backend::detect());
    }
    let found = Backend::ALL.into_iter().find(|&known| dreamstep_backend::of(known) as i32 == backend);
    found.ok_or(Error::Choice { what: "back end", expected: "a number from -1 to 6", found: backend })
}

/// How many floats an agent of these sizes works in; 0 where `dims` is NULL, misaligned, or not what a model file can have.
///
/// # Safety
/// `dims` is NULL or readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_memory_len(dims: *const dreamstep_dims) -> usize {
    // SAFETY: what `sizes` asks for is this function's precondition.
    unsafe { sizes(dims) }.map_or(0, |dims| memory_len(&dims))
}

/// How many bytes an agent's state is; 0 where `dims` is NULL, misaligned, or not what a model file can have.
///
/// # Safety
/// `dims` is NULL or readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_state_len(dims: *const dreamstep_dims) -> usize {
    // SAFETY: what `sizes` asks for is this function's precondition.
    unsafe { sizes(dims) }.map_or(0, |dims| state_len(&dims))
}

/// Sizes that a model file can have.
///
/// # Safety
/// `dims` is NULL or readable.
pub(crate) unsafe fn sizes(dims: *const dreamstep_dims) -> Option<dreamstep_runtime::Dims> {
    if !dims.is_aligned() {
        return None;
    }
    // SAFETY: aligned, and readable where it is not NULL; any bits are a value of its integers.
    unsafe { dims.as_ref() }?.dims()
}

/// Reads a packed agent into `model`. Every byte of the file is checked, none is copied.
///
/// `bytes` begins on a 4-byte boundary; on a 64-byte boundary it runs best. `backend` is a `dreamstep_backend`; the results
/// are the same bits whichever it is. Where the call fails, `model` holds none.
///
/// # Safety
/// `model` is writable, and nothing uses a model that it held. The `len` bytes are readable, and neither change nor go away
/// while the model, or an agent or dreams of it, is used; nor does `model` move. `message` is NULL or `message_len` writable
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_load(
    model: *mut dreamstep_model,
    bytes: *const u8,
    len: usize,
    backend: i32,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            make(model, || {
                let file = slice("model file", bytes, len)?;
                Ok(Loaded { model: Model::load_with(file, chosen(backend)?)?, file })
            })
        })
    }
}

/// Says what a model is.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. `info` is writable. `message` is NULL or
/// `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_get_info(
    model: *const dreamstep_model,
    info: *mut dreamstep_model_info,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let model = &held(model)?.model;
            let found = dreamstep_model_info {
                dims: dreamstep_dims::of(model.dims()),
                precision: dreamstep_precision::of(model.settings().precision),
                backend: dreamstep_backend::of(model.backend()),
                has_mdn: model.has_mdn(),
                fingerprint: model.fingerprint(),
            };
            put("info", info, found)
        })
    }
}

/// Looks up a metadata key of the model's file, such as `env`. `*value` becomes the address of the value in the file's
/// bytes, UTF-8 without a NUL at its end and with JSON's escapes as they stand; `*value_len` becomes its bytes. Reads the
/// header anew: not for the control loop.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. `key` ends in NUL. `value` and
/// `value_len` are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_model_metadata(
    model: *const dreamstep_model,
    key: *const c_char,
    value: *mut *const c_char,
    value_len: *mut usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition; `key` is not NULL where it is read.
    unsafe {
        answer(message, message_len, || {
            let file = held(model)?.file;
            slice("key", key.cast::<u8>(), 1)?;
            let key = CStr::from_ptr(key).to_str().map_err(|_| Error::NotUtf8 { what: "key" })?;
            let found = File::parse(file)?.metadata(key).ok_or(Error::NoSuchKey { key })?;
            check("value", value, 1)?;
            put("value length", value_len, found.len())?;
            put("value", value, found.as_ptr().cast())
        })
    }
}

/// Replays the file's self-test vectors: every action, the final state and the MDN head's outputs must be the packer's, bit
/// for bit. First, that the thread rounds to nearest even and keeps subnormals (no flush-to-zero, no denormals-are-zero). Run it at
/// start-up, in the thread that will run the agent: the floating-point mode is each thread's own. `memory` is as for `dreamstep_agent_new`, and free
/// again afterwards.
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. The `memory_len` floats are writable and
/// used by nothing else meanwhile. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_self_test(
    model: *const dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let model = &held(model)?.model;
            Ok(model.self_test(slice_mut("memory", memory, memory_len)?)?)
        })
    }
}
