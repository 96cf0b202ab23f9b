//! Which pointers are followed. What the address alone shows to be wrong is refused; the rest is the caller's promise, which
//! every `unsafe` here passes on.

use crate::error::Error;
use core::slice;

/// Types whose every bit pattern is a value: memory of C's, whatever it holds, may be read as these.
pub(crate) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for f32 {}

/// That `len` values may lie at `at`.
#[inline(always)]
pub(crate) fn check<T>(what: &'static str, at: *const T, len: usize) -> Result<(), Error> {
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
/// They are readable, and nothing writes to them during `'a`.
#[inline(always)]
pub(crate) unsafe fn slice<'a, T: Plain>(what: &'static str, at: *const T, len: usize) -> Result<&'a [T], Error> {
    check(what, at, len)?;
    // SAFETY: not NULL, aligned, of a possible length, and any bytes are a `T`; the rest is this function's precondition.
    Ok(unsafe { slice::from_raw_parts(at, len) })
}

/// The `len` values at `at`, to write to.
///
/// # Safety
/// They are writable, and nothing else reads or writes them during `'a`.
#[inline(always)]
pub(crate) unsafe fn slice_mut<'a, T: Plain>(what: &'static str, at: *mut T, len: usize) -> Result<&'a mut [T], Error> {
    check(what, at, len)?;
    // SAFETY: not NULL, aligned, of a possible length, and any bytes are a `T`; the rest is this function's precondition.
    Ok(unsafe { slice::from_raw_parts_mut(at, len) })
}

/// An input and an output, which share no memory.
///
/// # Safety
/// As for [`slice()`] and [`slice_mut`].
#[inline(always)]
pub(crate) unsafe fn input_and_output<'a, T: Plain>(
    (input, from, from_len): (&'static str, *const T, usize),
    (output, to, to_len): (&'static str, *mut f32, usize),
) -> Result<(&'a [T], &'a mut [f32]), Error> {
    check(input, from, from_len)?;
    check(output, to, to_len)?;
    // `check` saw that neither sum overflows.
    let end = |begin: usize, len: usize, size: usize| begin.wrapping_add(len.wrapping_mul(size));
    let (a, b) = (from.addr(), to.addr());
    if a < end(b, to_len, size_of::<f32>()) && b < end(a, from_len, size_of::<T>()) {
        return Err(Error::Overlap { input, output });
    }
    // SAFETY: they are apart; the rest is this function's precondition.
    Ok(unsafe { (slice(input, from, from_len)?, slice_mut(output, to, to_len)?) })
}

/// Copies `from` to the `len` values at `to`, which must be as many. Where that is none, `to` may be NULL: what C allocates of no bytes.
///
/// # Safety
/// `to` is writable; it may overlap `from`.
#[inline(always)]
pub(crate) unsafe fn copy(what: &'static str, from: &[f32], to: *mut f32, len: usize) -> Result<(), Error> {
    if len == 0 && from.is_empty() {
        return Ok(());
    }
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
pub(crate) unsafe fn put<T>(what: &'static str, to: *mut T, value: T) -> Result<(), Error> {
    check(what, to, 1)?;
    // SAFETY: not NULL and aligned; the rest is this function's precondition.
    unsafe { to.write(value) };
    Ok(())
}

/// That a value may be written to `to`, or that none is wanted.
#[inline(always)]
pub(crate) fn check_if_wanted<T>(what: &'static str, to: *const T) -> Result<(), Error> {
    if to.is_null() { Ok(()) } else { check(what, to, 1) }
}

/// Like [`put`], and nothing where `to` is NULL.
///
/// # Safety
/// `to` is NULL or writable.
#[inline(always)]
pub(crate) unsafe fn put_if_wanted<T>(what: &'static str, to: *mut T, value: T) -> Result<(), Error> {
    if to.is_null() {
        return Ok(());
    }
    // SAFETY: not NULL, hence writable.
    unsafe { put(what, to, value) }
}
