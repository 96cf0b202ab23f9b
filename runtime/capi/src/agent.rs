//! The functions of agents: one tick of the control loop, what the model expects, and states that leave the process.

use crate::error::{Error, answer};
use crate::pointers::{check, copy, held, held_mut, input_and_output, make, put, put_if_wanted, slice, slice_mut};
use crate::types::{dreamstep_agent, dreamstep_agent_info, dreamstep_model, dreamstep_status};
use core::ffi::c_char;
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{Agent, ControllerInput, DreamError, Prediction, StateMatch};

/// Makes an agent at the start of an episode, which works in `memory`: at least `dreamstep_memory_len` floats, whatever they
/// hold. Where the call fails, `agent` holds none.
///
/// # Safety
/// `agent` is writable. `model` is readable, and neither changes nor moves while the agent is used; any number of agents, in
/// any number of threads, may share it. The `memory_len` floats are writable and used by nothing else while the agent is
/// used. One thread at a time uses an agent. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_new(
    agent: *mut dreamstep_agent,
    model: *const dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            make(agent, || Ok(Agent::new(&held(model)?.model, slice_mut("memory", memory, memory_len)?)?))
        })
    }
}

/// From an observation `[O]` to an action `[A]`, in the environment's units: what the actuators wait for. The recurrent
/// state is read, not changed: until `dreamstep_advance`, acting again answers another observation from the same state.
/// Where the call fails, nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_act(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held_mut(agent)?;
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.act(observation, action)?)
        })
    }
}

/// Takes the newest observation and action into the recurrent state. Call it when the command is out. Refused without an act
/// since the last advance or reset.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
/// NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_advance(
    agent: *mut dreamstep_agent,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held_mut(agent)?.advance()?)) }
}

/// `dreamstep_act`, then `dreamstep_advance`.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_step(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held_mut(agent)?;
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.step(observation, action)?)
        })
    }
}

/// What `dreamstep_act` would answer, without a trace: whatever the agent was about to do, it still is.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_peek(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held_mut(agent)?;
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.peek(observation, action)?)
        })
    }
}

/// Tells the agent what was really sent to the actuators `[A]`, where that is not what `dreamstep_act` asked for: a safety
/// filter cut it, or another policy is in command. `dreamstep_advance` then remembers this action. Where the call fails,
/// nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with.
/// The action is readable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_override_action(
    agent: *mut dreamstep_agent,
    applied: *const f32,
    applied_len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held_mut(agent)?;
            Ok(agent.override_action(slice("action", applied, applied_len)?)?)
        })
    }
}

/// Forgets everything: the start of an episode. The seed stays.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
/// NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_reset(
    agent: *mut dreamstep_agent,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            held_mut(agent)?.reset();
            Ok(())
        })
    }
}

/// Goes on with another model of the same sizes, the state kept: a newer training, another precision. Refused between an act
/// and its advance. Where the call fails, the present model stays.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `model` is as
/// for `dreamstep_agent_new`. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_swap(
    agent: *mut dreamstep_agent,
    model: *const dreamstep_model,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held_mut(agent)?.replace_model(&held(model)?.model)?)) }
}

/// Sets the seed that names the draws of a latent that is sampled while acting; 0 until set. Models that act on the mean
/// draw nothing.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
/// NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_set_seed(
    agent: *mut dreamstep_agent,
    seed: u64,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            held_mut(agent)?.set_seed(seed);
            Ok(())
        })
    }
}

/// Says where an agent stands.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. `info` is
/// writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_get_info(
    agent: *const dreamstep_agent,
    info: *mut dreamstep_agent_info,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held(agent)?;
            put("info", info, dreamstep_agent_info { seed: agent.seed(), tick: agent.tick(), has_acted: agent.has_acted() })
        })
    }
}

/// Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. `digest` is
/// writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_digest(
    agent: *const dreamstep_agent,
    digest: *mut u64,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || put("digest", digest, held(agent)?.digest())) }
}

/// Copies the latent vector `[Z]` of the newest observation.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_latent(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("latent", held(agent)?.latent(), values, len)) }
}

/// Copies `h` `[H]` of the recurrent state.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_hidden(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("hidden", held(agent)?.hidden(), values, len)) }
}

/// Copies `c` `[H]` of the recurrent state. A GRU has none: `len` is 0 then.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_cell(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("cell", held(agent)?.cell(), values, len)) }
}

/// Copies the newest action `[A]`, in [-1, 1].
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_unit_action(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || copy("unit action", held(agent)?.unit_action(), values, len)) }
}

/// The reward and the probability of the end that the model expects after the newest advance. Runs the MDN head. Refused
/// where the file has none, or the controller reads observations alone. Either pointer may be NULL.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. What is written
/// to is NULL or writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_predict(
    agent: *mut dreamstep_agent,
    reward: *mut f32,
    terminal_probability: *mut f32,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let prediction = predict(held_mut(agent)?)?;
            put_if_wanted("reward", reward, prediction.reward())?;
            put_if_wanted("terminal probability", terminal_probability, prediction.terminal_probability())
        })
    }
}

/// The latent vector `[Z]` that the model expects after the newest advance: the components' means by weight. Runs the MDN
/// head.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The floats are
/// writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_expected_latent(
    agent: *mut dreamstep_agent,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let agent = held_mut(agent)?;
            let z = latent_of(agent, values, len)?;
            predict(agent)?.expected_latent(z);
            Ok(())
        })
    }
}

/// A draw of the next latent vector `[Z]` after the newest advance. `temperature` is above 0; 1 is the model's own
/// distribution. The draw is named by `(seed, step)`: the same name draws the same latent. Tick `t` of dream `n` has step `n
/// * 2^32 + t`. Runs the MDN head.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The floats are
/// writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_sample_latent(
    agent: *mut dreamstep_agent,
    temperature: f32,
    seed: u64,
    step: u64,
    values: *mut f32,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            if !(temperature > 0.0 && temperature.is_finite()) {
                return Err(DreamError::Temperature { found: temperature }.into());
            }
            let agent = held_mut(agent)?;
            let z = latent_of(agent, values, len)?;
            predict(agent)?.sample_latent(temperature, Philox::new(seed), step, z);
            Ok(())
        })
    }
}

/// What the model expects.
fn predict<'a>(agent: &'a mut Agent<'_, '_>) -> Result<Prediction<'a>, Error<'static>> {
    let reactive = agent.model().dims().input == ControllerInput::Observation;
    agent.predict().ok_or(if reactive { Error::Reactive } else { Error::NoHead })
}

/// The caller's latent vector, of the agent's length.
///
/// # Safety
/// As for [`slice_mut`].
unsafe fn latent_of<'a>(agent: &Agent<'_, '_>, values: *mut f32, len: usize) -> Result<&'a mut [f32], Error<'static>> {
    check("latent", values, len)?;
    let expected = agent.model().dims().latent;
    if len != expected {
        return Err(Error::Length { what: "latent", expected, found: len });
    }
    // SAFETY: this function's precondition.
    unsafe { slice_mut("latent", values, len) }
}

/// Writes the agent's state to `bytes`, `dreamstep_state_len` of them: it goes on from there here or on another machine, bit
/// for bit.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` bytes
/// are writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_state_save(
    agent: *const dreamstep_agent,
    bytes: *mut u8,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held(agent)?.save_state(slice_mut("state", bytes, len)?)?)) }
}

/// Goes on from a state that this model's agent saved, with the bits that it would have given. Refused where it is another
/// model's, or damaged; nothing has changed then.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The `len` bytes
/// are readable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_state_load(
    agent: *mut dreamstep_agent,
    bytes: *const u8,
    len: usize,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { answer(message, message_len, || Ok(held_mut(agent)?.load_state(slice("state", bytes, len)?)?)) }
}

/// Goes on from the state of an agent of the same sizes, whatever its model. `*same_model`, unless NULL, becomes whether it
/// is this agent's. Where the call fails, nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The `len` bytes
/// are readable, `same_model` is NULL or writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_state_adopt(
    agent: *mut dreamstep_agent,
    bytes: *const u8,
    len: usize,
    same_model: *mut bool,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let fit = held_mut(agent)?.adopt_state(slice("state", bytes, len)?)?;
            put_if_wanted("same model", same_model, fit == StateMatch::SameModel)
        })
    }
}

/// Whether an agent of this model can go on from a state: every byte is checked. `*same_model`, unless NULL, becomes whether
/// it is this model's (`dreamstep_state_load`) or another's of the same sizes (`dreamstep_state_adopt`).
///
/// # Safety
/// `model` is readable and not changed meanwhile; any number of threads may use it. The `len` bytes are readable,
/// `same_model` is NULL or writable. `message` is NULL or `message_len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_state_check(
    model: *const dreamstep_model,
    bytes: *const u8,
    len: usize,
    same_model: *mut bool,
    message: *mut c_char,
    message_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        answer(message, message_len, || {
            let fit = held(model)?.model.check_state(slice("state", bytes, len)?)?;
            put_if_wanted("same model", same_model, fit == StateMatch::SameModel)
        })
    }
}
