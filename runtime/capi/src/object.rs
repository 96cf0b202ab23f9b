//! What stands in C's structs: a tag, the newest refusal, and one of the runtime's own. Every function is one of three: it makes an object,
//! changes one, or reads one.
//!
//! A refusal is kept where the struct may be written to: by what makes and what changes. What reads may run in many threads at once, so it
//! leaves nothing behind; its status says all.

use crate::error::{Error, Line};
use crate::pointers::check;
use crate::types::dreamstep_status;
use core::ffi::c_char;

/// What stands in the memory of a [`Holder`].
#[repr(C)]
pub(crate) struct Object<T> {
    /// [`Holder::TAG`] where all is there, [`failed`] where what should have made it was refused; else no function made it.
    tag: u64,
    /// Why the newest call that may write was refused, of those that were.
    refusal: Option<Error>,
    held: T,
}

/// A struct of C's that holds one of the runtime's, which needs no drop.
pub(crate) trait Holder: Sized {
    /// What it holds.
    type Held;
    /// What messages call it.
    const NAME: &'static str;
    /// Stands before what it holds, once that is there.
    const TAG: u64;
}

/// Stands before a refusal without an object.
const fn failed<H: Holder>() -> u64 {
    !H::TAG
}

/// An object, by the address of C's struct.
///
/// # Safety
/// `at` is readable; if a function of this library filled it, then nothing else wrote to it since.
#[inline(always)]
unsafe fn find<H: Holder>(at: *const H) -> Result<*const Object<H::Held>, Error> {
    check(H::NAME, at, 1)?;
    let object = at.cast::<Object<H::Held>>();
    // SAFETY: not NULL, aligned, and `H` has room for a tag (`types::fits`).
    if unsafe { (*object).tag } == H::TAG { Ok(object) } else { Err(Error::NotMade { what: H::NAME }) }
}

/// What a struct of C's holds.
///
/// # Safety
/// As for [`find`]; and nothing writes to the struct, or to what it borrows, during `'a`.
#[inline(always)]
pub(crate) unsafe fn held<'a, H: Holder>(at: *const H) -> Result<&'a H::Held, Error> {
    // SAFETY: `make` wrote what is held before it wrote the tag; the rest is this function's precondition.
    Ok(unsafe { &(*find(at)?).held })
}

/// Does `call` with what a struct of C's holds.
///
/// # Safety
/// As for [`held`], as long as the call lasts.
#[inline(always)]
pub(crate) unsafe fn read<H: Holder>(
    at: *const H,
    call: impl FnOnce(&H::Held) -> Result<(), dreamstep_status>,
) -> dreamstep_status {
    // SAFETY: this function's precondition.
    match unsafe { held(at) }.map_err(dreamstep_status::from).and_then(call) {
        Ok(()) => dreamstep_status::Ok,
        Err(status) => status,
    }
}

/// Does `call` with what a struct of C's holds, to change it; keeps why it was refused.
///
/// # Safety
/// As for [`held`]; and `at` is writable and used by nothing else, as long as the call lasts.
#[inline(always)]
pub(crate) unsafe fn change<H: Holder>(
    at: *mut H,
    call: impl FnOnce(&mut H::Held) -> Result<(), Error>,
) -> dreamstep_status {
    // SAFETY: this function's precondition.
    let object = match unsafe { find(at.cast_const()) } {
        Ok(_) => at.cast::<Object<H::Held>>(),
        Err(error) => return error.status(),
    };
    // SAFETY: `find` saw that it is there; that it is not shared is this function's precondition.
    match call(unsafe { &mut (*object).held }) {
        Ok(()) => dreamstep_status::Ok,
        // SAFETY: as above, and the reference is no more.
        Err(error) => unsafe { keep(&raw mut (*object).refusal, error) },
    }
}

/// Makes what a struct of C's holds. Where that fails the struct holds why, and nothing else.
///
/// # Safety
/// `at` is writable, and used by nothing else meanwhile.
pub(crate) unsafe fn make<H: Holder>(at: *mut H, made: impl FnOnce() -> Result<H::Held, Error>) -> dreamstep_status {
    if let Err(error) = check(H::NAME, at.cast_const(), 1) {
        return error.status();
    }
    let object = at.cast::<Object<H::Held>>();
    // SAFETY: not NULL, aligned, and `H` has room (`types::fits`). What was held needs no drop: it borrows all that it has.
    unsafe {
        (&raw mut (*object).tag).write(0);
        (&raw mut (*object).refusal).write(None);
        match made() {
            Ok(held) => {
                (&raw mut (*object).held).write(held);
                (&raw mut (*object).tag).write(H::TAG);
                dreamstep_status::Ok
            }
            Err(error) => {
                (&raw mut (*object).tag).write(failed::<H>());
                keep(&raw mut (*object).refusal, error)
            }
        }
    }
}

/// Apart from the calls, whose machine code stays small.
///
/// # Safety
/// `refusal` is an object's.
#[cold]
#[inline(never)]
unsafe fn keep(refusal: *mut Option<Error>, error: Error) -> dreamstep_status {
    // SAFETY: this function's precondition.
    unsafe { refusal.write(Some(error)) };
    error.status()
}

/// Writes why the newest call was refused, of those that were, to `buffer`: a line that ends in NUL, empty where none was, cut where the
/// buffer is full. Returns `buffer`, or an empty string where there is none.
///
/// # Safety
/// As for [`held`], as long as the call lasts. `buffer` is NULL or `len` writable bytes that nothing else refers to.
pub(crate) unsafe fn line<H: Holder>(at: *const H, buffer: *mut c_char, len: usize) -> *const c_char {
    // SAFETY: this function's precondition.
    unsafe {
        let refusal = check(H::NAME, at, 1).map_or_else(Some, |()| {
            let object = at.cast::<Object<H::Held>>();
            match (*object).tag {
                tag if tag == H::TAG || tag == failed::<H>() => (*object).refusal,
                _ => Some(Error::NotMade { what: H::NAME }),
            }
        });
        Line::new(buffer, len).say(refusal)
    }
}
