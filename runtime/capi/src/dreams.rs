//! The functions of dreams: the model stepped without an environment, one dream or many side by side.

use crate::error::Error;
use crate::object::{change, held, line, make, read};
use crate::pointers::{check, check_if_wanted, copy, put, put_if_wanted, slice, slice_mut};
use crate::types::{dreamstep_dream_facts, dreamstep_dream_options, dreamstep_dreams, dreamstep_model, dreamstep_status};
use core::ffi::c_char;
use dreamstep_runtime::{DreamBatch, DreamError, DreamOptions, DreamStart, MemoryCell};

/// Makes `count` dreams, none of which has begun (see `dreamstep_dreams_start`), which work in `memory`: at least
/// `dreamstep_model_dreams_memory_len` floats, whatever they hold. `options` may be NULL: seed 0, temperature 1, ends drawn at
/// random. The dreams keep a model of their own: `model` may change, move or go away afterwards; the file's bytes may not.
/// Refused where the file has no MDN head, or the controller reads observations. Where the call fails, `dreams` holds none, and
/// `dreamstep_dreams_error` says why.
///
/// # Safety
/// `dreams` is writable, and used by nothing else meanwhile. `model` is readable and not changed meanwhile; any number of
/// threads may use it. `options` is NULL or readable. As long as the dreams are used, the file's bytes neither change nor go
/// away, and the `memory_len` floats are writable and used by nothing else. One thread at a time uses a batch of dreams.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_new(
    dreams: *mut dreamstep_dreams,
    model: *const dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
    count: usize,
    options: *const dreamstep_dream_options,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        make(dreams, || {
            let options = if options.is_null() { DreamOptions::default() } else { read_options(options)? };
            Ok(DreamBatch::new(*held(model)?, slice_mut("memory", memory, memory_len)?, count, options)?)
        })
    }
}

/// # Safety
/// `options` is readable.
unsafe fn read_options(options: *const dreamstep_dream_options) -> Result<DreamOptions, Error> {
    check("options", options, 1)?;
    // SAFETY: not NULL, aligned, and any bits are a value of its numbers; the rest is this function's precondition.
    let options = unsafe { *options };
    options.options().ok_or(Error::Choice { what: "termination", expected: "0, 1 or 2", found: options.termination })
}

/// Writes why the newest refused call of those that may change `dreams` was refused to `buffer`: one line, what was expected and
/// what was found, cut where the buffer is full, empty where none was refused. Returns `buffer`; an empty string where that is
/// NULL or has no room.
///
/// # Safety
/// `dreams` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_error(
    dreams: *const dreamstep_dreams,
    buffer: *mut c_char,
    len: usize,
) -> *const c_char {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { line(dreams, buffer, len) }
}

/// Begins dream `index` (anew) at a latent vector `[Z]` and a recurrent state, `h` `[H]` and an LSTM's `c` `[H]`; both NULL
/// for the start of an episode (zeros). With a GRU, which has no c, `c` is NULL. `number` names its draws: the same number,
/// seed and start dream the same dream in any batch. Where the call fails, nothing has changed.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with. The
/// `latent_len` floats are readable, and so are the `state_len` floats at each of `h` and `c` that is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_start(
    dreams: *mut dreamstep_dreams,
    index: usize,
    number: u32,
    latent: *const f32,
    latent_len: usize,
    h: *const f32,
    c: *const f32,
    state_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(dreams, |dreams| {
            let state = match (h.is_null(), c.is_null()) {
                (true, true) => None,
                (false, false) => Some((slice("h", h, state_len)?, slice("c", c, state_len)?)),
                (false, true) if dreams.model().dims().cell() == Some(MemoryCell::Gru) => {
                    Some((slice("h", h, state_len)?, [].as_slice()))
                }
                _ => return Err(Error::HalfState),
            };
            let latent = slice("latent", latent, latent_len)?;
            Ok(dreams.start(index, number, DreamStart { latent, state })?)
        })
    }
}

/// The model's controller acts in every dream that is active.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_act(dreams: *mut dreamstep_dreams) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(dreams, |dreams| {
            dreams.act();
            Ok(())
        })
    }
}

/// Another policy acts in dream `index`: `unit_action` `[U]` as M hears it, clamped to [-1, 1]. Where the call fails, nothing has changed.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with. The
/// `len` floats are readable, and not the dreams' memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_set_action(
    dreams: *mut dreamstep_dreams,
    index: usize,
    unit_action: *const f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(dreams, |dreams| Ok(dreams.set_action(index, slice("action", unit_action, len)?)?)) }
}

/// The model takes in the actions of all active dreams, and says what comes next: reward, end, and a sampled latent.
/// Refused where one of them has no action; nothing has changed then.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_imagine(dreams: *mut dreamstep_dreams) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(dreams, |dreams| Ok(dreams.imagine()?)) }
}

/// `dreamstep_dreams_act`, then `dreamstep_dreams_imagine`. `*active_count`, unless NULL, becomes how many dreams are active.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
/// `active_count` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_step(dreams: *mut dreamstep_dreams, active_count: *mut usize) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(dreams, |dreams| {
            check_if_wanted("active count", active_count)?;
            put_if_wanted("active count", active_count, dreams.step())
        })
    }
}

/// Says where dream `index` stands.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. `facts` is
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_info(
    dreams: *const dreamstep_dreams,
    index: usize,
    facts: *mut dreamstep_dream_facts,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        read(dreams, |dreams| {
            let dreams = one_of(dreams, index)?;
            let found = dreamstep_dream_facts {
                reward: dreams.reward(index),
                terminal_probability: dreams.terminal_probability(index),
                tick: dreams.tick(index),
                is_done: dreams.is_done(index),
            };
            Ok(put("facts", facts, found)?)
        })
    }
}

/// Copies the latent vector `[Z]` that dream `index` stands at.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_latent(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(dreams, |dreams| Ok(copy("latent", one_of(dreams, index)?.latent(index), values, len)?)) }
}

/// Copies `h` `[H]` of dream `index`.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_hidden(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(dreams, |dreams| Ok(copy("hidden", one_of(dreams, index)?.hidden(index), values, len)?)) }
}

/// Copies `c` `[H]` of dream `index`. A GRU has none: `len` is 0 then.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_cell(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(dreams, |dreams| Ok(copy("cell", one_of(dreams, index)?.cell(index), values, len)?)) }
}

/// Copies the newest action `[U]` of dream `index` as M hears it: in [-1, 1], or one-hot.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_unit_action(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(dreams, |dreams| Ok(copy("unit action", one_of(dreams, index)?.unit_action(index), values, len)?)) }
}

/// Digest of dream `index`: h, an LSTM's c, z, reward, terminal probability. Equal on every target, in every batch.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. `digest` is
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_digest(
    dreams: *const dreamstep_dreams,
    index: usize,
    digest: *mut u64,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(dreams, |dreams| Ok(put("digest", digest, one_of(dreams, index)?.digest(index))?)) }
}

/// The dreams, of which `index` is one.
fn one_of<'a, 'm, 'f>(dreams: &'a DreamBatch<'m, 'f>, index: usize) -> Result<&'a DreamBatch<'m, 'f>, Error> {
    if index < dreams.count() { Ok(dreams) } else { Err(DreamError::Index { count: dreams.count(), found: index }.into()) }
}
