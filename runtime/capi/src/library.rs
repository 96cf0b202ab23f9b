//! The functions that need no object: version, sizes, back ends, a status in words.

use crate::error::Error;
use crate::types::{DREAMSTEP_AGENT_SIZE, DREAMSTEP_DREAMS_SIZE, DREAMSTEP_MODEL_SIZE, dreamstep_backend};
use core::ffi::{CStr, c_char};
use core::ptr::null;
use dreamstep_runtime::Backend;

/// The library's version, `major.minor.patch`. The string lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_version() -> *const c_char {
    const { concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast() }
}

/// A `dreamstep_status` in words, without particulars; never NULL. The string lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn dreamstep_status_text(status: i32) -> *const c_char {
    const TEXTS: [&CStr; 22] = [
        c"done",
        c"a pointer is NULL",
        c"an address is not a multiple of what its type needs",
        c"the struct does not hold what it should: no function made it, or the one that should have failed",
        c"input and output overlap",
        c"an argument is outside its range",
        c"another number of values or bytes than expected",
        c"the memory given is too small",
        c"a value is infinite or NaN",
        c"the call is out of turn",
        c"this processor does not run the back end",
        c"the bytes are no safetensors file, or cut short",
        c"the file is no agent that this version runs",
        c"the file has no self-test vectors",
        c"the self-test gave other bits than the packer's",
        c"the file has no such metadata key",
        c"the file has no MDN head",
        c"a model or state of other sizes or kinds",
        c"the bytes are no state, or a damaged one",
        c"a state of another model",
        c"a model of this kind has none",
        c"the thread's floating-point mode is not the default",
    ];
    let text = usize::try_from(status).ok().and_then(|status| TEXTS.get(status));
    text.map_or(c"no status of this version", |text| text).as_ptr()
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

/// The back end of a number.
pub(crate) fn chosen(backend: i32) -> Result<Backend, Error> {
    if backend == dreamstep_backend::Auto as i32 {
        return Ok(Backend::detect());
    }
    let found = Backend::ALL.into_iter().find(|&known| dreamstep_backend::of(known) as i32 == backend);
    found.ok_or(Error::Choice { what: "back end", expected: "a number from -1 to 6", found: backend })
}
