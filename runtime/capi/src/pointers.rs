//! May this pointer be followed? What the address alone shows to be wrong is refused; the rest is the caller's promise,
//! which every `unsafe` here passes on.

use crate::error::Error;
use crate::types::Holder;
use core::slice;

/// What stands in the memory of a [`Holder`].
#[repr(C)]
pub(crate) struct Tagged<T> {
    tag: u64,
    held: T,
}

/// Types whose every bit pattern is a value: memory of C's, whatever it holds, may be read as these.
pub(crate) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for f32 {}

/// That `len` values may lie at `at`.
#[inline(always)]
pub(crate) fn check<T>(what: &'static str, at: *const T, len: usize) -> Result<(), Error<'static>> {
    if at.is_null() {
        return Err(Error::Null { what });
    }
    if !at.is_aligned() {
        return Err(Error::Misaligned { what, align: align_of::<T>() });
    }
    // The longest slice that Rust knows; and it does not wrap round the end of the addresses.
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    match bytes.and_then(|bytes| at.addr().checked_add(bytes)) {
        Some(_) => Ok(()),
        None => Err(Error::TooLong { what, found: len }),
    }
}

/// The `len` values at `at`.
///
/// # Safety
/// They are readable, and nobody writes to them during `'a`.
#[inline(always)]
pub(crate) unsafe fn slice<'a, T: Plain>(what: &'static str, at: *const T, len: usize) -> Result<&'a [T], Error<'static>> {
    check(what, at, len)?;
    // SAFETY: not NULL, aligned, of a possible length, and any bytes are a `T`; the rest is this function's precondition.
    Ok(unsafe { slice::from_raw_parts(at, len) })
}

/// The `len` values at `at`, to write to.
///
/// # Safety
/// They are writable, and nobody else reads or writes them during `'a`.
#[inline(always)]
pub(crate) unsafe fn slice_mut<'a, T: Plain>(
    what: &'static str,
    at: *mut T,
    len: usize,
) -> Result<&'a mut [T], Error<'static>> {
    check(what, at, len)?;
    // SAFETY: not NULL, aligned, of a possible length, and any bytes are a `T`; the rest is this function's precondition.
    Ok(unsafe { slice::from_raw_parts_mut(at, len) })
}

/// An input and an output, which share no memory.
///
/// # Safety
/// As for [`slice()`] and [`slice_mut`].
#[inline(always)]
pub(crate) unsafe fn input_and_output<'a>(
    (input, from, from_len): (&'static str, *const f32, usize),
    (output, to, to_len): (&'static str, *mut f32, usize),
) -> Result<(&'a [f32], &'a mut [f32]), Error<'static>> {
    check(input, from, from_len)?;
    check(output, to, to_len)?;
    // `check` saw that neither sum overflows.
    let end = |begin: usize, len: usize| begin.wrapping_add(len.wrapping_mul(size_of::<f32>()));
    let (a, b) = (from.addr(), to.addr());
    if a < end(b, to_len) && b < end(a, from_len) {
        return Err(Error::Overlap { input, output });
    }
    // SAFETY: they are apart; the rest is this function's precondition.
    Ok(unsafe { (slice(input, from, from_len)?, slice_mut(output, to, to_len)?) })
}

/// Copies `from` to the `len` values at `to`, which must be as many.
///
/// # Safety
/// `to` is writable; it may overlap `from`.
#[inline(always)]
pub(crate) unsafe fn copy(what: &'static str, from: &[f32], to: *mut f32, len: usize) -> Result<(), Error<'static>> {
    check(what, to, len)?;
    if len != from.len() {
        return Err(Error::Length { what, expected: from.len(), found: len });
    }
    // SAFETY: not NULL, aligned, and as many values as `from` has; the rest is this function's precondition.
    unsafe { to.copy_from(from.as_ptr(), len) };
    Ok(())
}

/// Writes `value` to `to`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub(crate) unsafe fn put<T>(what: &'static str, to: *mut T, value: T) -> Result<(), Error<'static>> {
    check(what, to, 1)?;
    // SAFETY: not NULL and aligned; the rest is this function's precondition.
    unsafe { to.write(value) };
    Ok(())
}

/// Like [`put`], and nothing where `to` is NULL.
///
/// # Safety
/// `to` is NULL or writable.
#[inline(always)]
pub(crate) unsafe fn put_if_wanted<T>(what: &'static str, to: *mut T, value: T) -> Result<(), Error<'static>> {
    if to.is_null() {
        return Ok(());
    }
    // SAFETY: not NULL, hence writable.
    unsafe { put(what, to, value) }
}

/// What a struct of C's holds.
///
/// # Safety
/// `at` is readable; if a function of this library filled it, then nobody wrote to it since, nor to what it borrows, and
/// nobody does during `'a`.
#[inline(always)]
pub(crate) unsafe fn held<'a, H: Holder>(at: *const H) -> Result<&'a H::Held, Error<'static>> {
    check(H::NAME, at, 1)?;
    let tagged = at.cast::<Tagged<H::Held>>();
    // SAFETY: not NULL, aligned, and `H` has room for a tag (`Holder::FITS`).
    if unsafe { (*tagged).tag } != H::TAG {
        return Err(Error::NotMade { what: H::NAME });
    }
    // SAFETY: `make` wrote what is held before it wrote the tag.
    Ok(unsafe { &(*tagged).held })
}

/// What a struct of C's holds, to change.
///
/// # Safety
/// As for [`held`], and nobody else uses `at` during `'a`.
#[inline(always)]
pub(crate) unsafe fn held_mut<'a, H: Holder>(at: *mut H) -> Result<&'a mut H::Held, Error<'static>> {
    // SAFETY: this function's precondition includes that one's.
    unsafe { held(at.cast_const())? };
    // SAFETY: `held` saw that there is one; that it is not shared is this function's precondition.
    Ok(unsafe { &mut (*at.cast::<Tagged<H::Held>>()).held })
}

/// Makes what a struct of C's holds. Where that fails the struct holds nothing.
///
/// # Safety
/// `at` is writable, and nobody else uses it meanwhile.
pub(crate) unsafe fn make<'e, H: Holder>(
    at: *mut H,
    made: impl FnOnce() -> Result<H::Held, Error<'e>>,
) -> Result<(), Error<'e>> {
    check(H::NAME, at.cast_const(), 1)?;
    let tagged = at.cast::<Tagged<H::Held>>();
    // SAFETY: not NULL, aligned, and `H` has room (`Holder::FITS`). What is held needs no drop: it borrows all that it has.
    unsafe {
        (&raw mut (*tagged).tag).write(0);
        (&raw mut (*tagged).held).write(made()?);
        (&raw mut (*tagged).tag).write(H::TAG);
    }
    Ok(())
}
