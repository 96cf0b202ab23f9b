//! The functions of dreams: the model stepped without an environment, one dream or many side by side.

use crate::error::{Error, answer};
use crate::model::sizes;
use crate::pointers::{check, copy, held, held_mut, make, put, put_if_wanted, slice, slice_mut};
use crate::types::{
    dreamstep_dims, dreamstep_dream_info, dreamstep_dream_options, dreamstep_dreams, dreamstep_model, dreamstep_status,
};
use core::ffi::c_char;
use dreamstep_core::dims::MemoryCell;
use dreamstep_runtime::{DreamBatch, DreamError, DreamOptions, DreamStart, dreams_memory_len};

/// How many floats `count` dreams of an agent of these sizes work in; 0 where `dims` is NULL, misaligned, or not what a
/// model file can have, and where no memory holds so many.
///
/// # Safety
/// `dims` is NULL or readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_memory_len(dims: *const dreamstep_dims, count: usize) -> usize {
    // SAFETY: what `sizes` asks for is this function's precondition.
    unsafe { sizes(dims) }.map(|dims| dreams_memory_len(&dims, count)).filter(|&len| len < usize::MAX).unwrap_or(0)
}

/// Makes `count` dreams, none of which has begun (see `dreamstep_dreams_start`), which work in `memory`: at least
/// `dreamstep_dreams_memory_len` floats, whatever they hold. `options` may be NULL: seed 0, temperature 1, ends drawn at
/// random. Where the call fails, `dreams` holds none.
///
/// # Safety
/// `dreams` is writable. `model` is readable, and neither changes nor moves while the dreams are used; any number of agents
/// and dreams, in any number of threads, may share it. The `memory_len` floats are writable and used by nothing else while
/// the dreams are used. One thread at a time uses a batch of dreams. `options` is NULL or readable. `message` is NULL or
/// `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_new(
    dreams: *mut dreamstep_dreams,
    model: *const dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
    count: usize,
    options: *const dreamstep_dream_options,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            make(dreams, || {
                let options = if options.is_null() { DreamOptions::default() } else { read_options(options)? };
                let (model, memory) = (&held(model)?.model, slice_mut("memory", memory, memory_len)?);
                Ok(DreamBatch::new(model, memory, count, options)?)
            })
        })
    }
}

/// # Safety
/// `options` is readable.
unsafe fn read_options(options: *const dreamstep_dream_options) -> Result<DreamOptions, Error<'static>> {
    check("options", options, 1)?;
    // SAFETY: not NULL, aligned, and any bits are a value of its numbers; the rest is this function's precondition.
    let options = unsafe { *options };
    options.options().ok_or(Error::Choice { what: "ending", expected: "0, 1 or 2", found: options.ending })
}

/// Begins dream `index` (anew) at a latent vector `[Z]` and a recurrent state, `h` `[H]` and an LSTM's `c` `[H]`; both NULL
/// for the start of an episode (zeros). With a GRU, which has no c, `c` is NULL. `number` names its draws: the same number,
/// seed and start dream the same dream in any batch. Where the call fails, nothing has changed.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with. The
/// `latent_len` floats are readable, and so are the `state_len` floats at each of `h` and `c` that is not NULL.
/// `message` is NULL or `message_len` writable bytes.
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
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let dreams = held_mut(dreams)?;
            let state = match (h.is_null(), c.is_null()) {
                (true, true) => None,
                (false, false) => Some((slice("h", h, state_len)?, slice("c", c, state_len)?)),
                (false, true) if dreams.model().dims().cell == MemoryCell::Gru => {
                    Some((slice("h", h, state_len)?, [].as_slice()))
                }
                _ => return Err(Error::HalfState),
            };
            let latent = slice("latent", latent, latent_len)?;
            Ok(dreams.start(index, number, DreamStart { latent, state })?)
        })
    }
}

/// The model's controller acts in every dream that goes on.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
/// `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_act(
    dreams: *mut dreamstep_dreams,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            held_mut(dreams)?.act();
            Ok(())
        })
    }
}

/// Another policy acts in dream `index`: `unit_action` `[A]`, clamped to [-1, 1]. Where the call fails, nothing has changed.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with. The
/// `len` floats are readable, and not the dreams' memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_set_action(
    dreams: *mut dreamstep_dreams,
    index: usize,
    unit_action: *const f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held_mut(dreams)?.set_action(index, slice("action", unit_action, len)?)?)) }
}

/// The model takes in the actions of all dreams that go on, and says what comes next: reward, end, and a sampled latent.
/// Refused where one of them has no action; nothing has changed then.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
/// `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_imagine(
    dreams: *mut dreamstep_dreams,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held_mut(dreams)?.imagine()?)) }
}

/// `dreamstep_dreams_act`, then `dreamstep_dreams_imagine`. `*active_count`, unless NULL, becomes how many dreams go on.
///
/// # Safety
/// `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
/// `active_count` is NULL or writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_step(
    dreams: *mut dreamstep_dreams,
    active_count: *mut usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let dreams = held_mut(dreams)?;
            if !active_count.is_null() {
                check("going on", active_count, 1)?;
            }
            put_if_wanted("going on", active_count, dreams.step())
        })
    }
}

/// Says where dream `index` stands.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. `info` is
/// writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_get_info(
    dreams: *const dreamstep_dreams,
    index: usize,
    info: *mut dreamstep_dream_info,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let dreams = one_of(dreams, index)?;
            let found = dreamstep_dream_info {
                reward: dreams.reward(index),
                terminal_probability: dreams.terminal_probability(index),
                tick: dreams.tick(index),
                is_done: dreams.is_done(index),
            };
            put("info", info, found)
        })
    }
}

/// Copies the latent vector `[Z]` that dream `index` stands at.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_latent(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("latent", one_of(dreams, index)?.latent(index), values, len)) }
}

/// Copies `h` `[H]` of dream `index`.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_hidden(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("hidden", one_of(dreams, index)?.hidden(index), values, len)) }
}

/// Copies `c` `[H]` of dream `index`. A GRU has none: `len` is 0 then.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_cell(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("cell", one_of(dreams, index)?.cell(index), values, len)) }
}

/// Copies the newest action `[A]` of dream `index`, in [-1, 1].
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_unit_action(
    dreams: *const dreamstep_dreams,
    index: usize,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("unit action", one_of(dreams, index)?.unit_action(index), values, len)) }
}

/// Digest of dream `index`: h, an LSTM's c, z, reward, terminal probability. Equal on every target, in every batch.
///
/// # Safety
/// `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. `digest` is
/// writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_dreams_digest(
    dreams: *const dreamstep_dreams,
    index: usize,
    digest: *mut u64,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || put("digest", digest, one_of(dreams, index)?.digest(index))) }
}

/// The dreams, of which `index` is one.
///
/// # Safety
/// As for [`held`].
unsafe fn one_of<'a>(
    dreams: *const dreamstep_dreams,
    index: usize,
) -> Result<&'a DreamBatch<'static, 'static>, Error<'static>> {
    // SAFETY: this function's precondition.
    let dreams = unsafe { held(dreams)? };
    if index < dreams.count() { Ok(dreams) } else { Err(DreamError::Index { count: dreams.count(), found: index }.into()) }
}
