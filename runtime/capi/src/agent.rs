//! The functions of agents: one tick of the control loop, what the model expects, and states that leave the process.

use crate::error::Error;
use crate::object::{change, held, line, make, read};
use crate::pointers::{check, check_if_wanted, copy, input_and_output, put, put_if_wanted, slice, slice_mut};
use crate::types::{dreamstep_agent, dreamstep_agent_facts, dreamstep_health, dreamstep_model, dreamstep_status};
use core::ffi::c_char;
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{Agent, DreamError, Health, Prediction, StateMatch};

/// Makes an agent at the start of an episode, which works in `memory`: at least `dreamstep_model_memory_len` floats, whatever
/// they hold. The agent keeps a model of its own: `model` may change, move or go away afterwards; the file's bytes may not.
/// Where the call fails, `agent` holds none, and `dreamstep_agent_error` says why.
///
/// # Safety
/// `agent` is writable, and used by nothing else meanwhile. `model` is readable and not changed meanwhile; any number of
/// threads may use it. As long as the agent is used, the file's bytes neither change nor go away, and the `memory_len` floats
/// are writable and used by nothing else. One thread at a time uses an agent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_new(
    agent: *mut dreamstep_agent,
    model: *const dreamstep_model,
    memory: *mut f32,
    memory_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { make(agent, || Ok(Agent::new(*held(model)?, slice_mut("memory", memory, memory_len)?)?)) }
}

/// Writes why the newest refused call of those that may change `agent` was refused to `buffer`: one line, what was expected and
/// what was found, cut where the buffer is full, empty where none was refused. Returns `buffer`; an empty string where that is
/// NULL or has no room.
///
/// # Safety
/// `agent` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_error(
    agent: *const dreamstep_agent,
    buffer: *mut c_char,
    len: usize,
) -> *const c_char {
    // SAFETY: what this call asks for is this function's precondition.
    unsafe { line(agent, buffer, len) }
}

/// From an observation `[O]` to an action `[A]`, in the environment's units: what the actuators wait for. The recurrent
/// state is read, not changed: until `dreamstep_agent_advance`, acting again answers another observation from the same state.
/// Where the call fails, nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_act(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.act(observation, action)?)
        })
    }
}

/// From a frame, as the camera has it, to an action `[A]`; what V sees is made of it here, as the file says. The frame's rows of
/// `width · channels` bytes (`dreamstep_model_frame`) begin `stride` bytes apart; the last one may end with its pixels. Otherwise as
/// `dreamstep_agent_act`, which takes, of an agent of images, what is prepared of one, as floats.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The frame is readable, the
/// action writable, and neither is the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_act_image(
    agent: *mut dreamstep_agent,
    frame: *const u8,
    frame_len: usize,
    stride: usize,
    action: *mut f32,
    action_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let (frame, action) = input_and_output(("frame", frame, frame_len), ("action", action, action_len))?;
            Ok(agent.act_image(frame, stride, action)?)
        })
    }
}

/// What `dreamstep_agent_act_image` would answer, without a trace: whatever the agent was about to do, it still is.
///
/// # Safety
/// As for `dreamstep_agent_act_image`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_peek_image(
    agent: *mut dreamstep_agent,
    frame: *const u8,
    frame_len: usize,
    stride: usize,
    action: *mut f32,
    action_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let (frame, action) = input_and_output(("frame", frame, frame_len), ("action", action, action_len))?;
            Ok(agent.peek_image(frame, stride, action)?)
        })
    }
}

/// Takes the newest observation and action into the recurrent state. Call it when the command is out. Refused without an act
/// since the last advance or reset.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_advance(agent: *mut dreamstep_agent) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(agent, |agent| Ok(agent.advance()?)) }
}

/// `dreamstep_agent_act`, then `dreamstep_agent_advance`.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_step(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.step(observation, action)?)
        })
    }
}

/// What `dreamstep_agent_act` would answer, without a trace: whatever the agent was about to do, it still is.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
/// is readable, the action writable, and neither is the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_peek(
    agent: *mut dreamstep_agent,
    observation: *const f32,
    observation_len: usize,
    action: *mut f32,
    action_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let (observation, action) =
                input_and_output(("observation", observation, observation_len), ("action", action, action_len))?;
            Ok(agent.peek(observation, action)?)
        })
    }
}

/// Tells the agent what was really sent to the actuators `[A]` (of a discrete action: the choice's number), where that is not what `dreamstep_agent_act` asked for: a safety
/// filter cut it, or another policy is in command. `dreamstep_agent_advance` then remembers this action. Refused without an act
/// since the last advance or reset; where the call fails, nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
/// The action is readable, and not the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_override_action(
    agent: *mut dreamstep_agent,
    applied: *const f32,
    applied_len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(agent, |agent| Ok(agent.override_action(slice("action", applied, applied_len)?)?)) }
}

/// Forgets everything: the start of an episode. The seed stays.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_reset(agent: *mut dreamstep_agent) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            agent.reset();
            Ok(())
        })
    }
}

/// Continues with another model of the same sizes and kinds, the state kept: a newer training, another precision. Refused
/// between an act and its advance. Where the call fails, the present model stays.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. `model` and
/// its file are as for `dreamstep_agent_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_replace_model(
    agent: *mut dreamstep_agent,
    model: *const dreamstep_model,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(agent, |agent| Ok(agent.replace_model(*held(model)?)?)) }
}

/// Sets the seed that names the draws of a latent that is sampled while acting; 0 until set. Models that act on the mean
/// draw nothing.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_set_seed(agent: *mut dreamstep_agent, seed: u64) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            agent.set_seed(seed);
            Ok(())
        })
    }
}

/// Says where an agent stands.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `facts` is
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_info(
    agent: *const dreamstep_agent,
    facts: *mut dreamstep_agent_facts,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        read(agent, |agent| {
            let (seed, tick, has_acted) = (agent.seed(), agent.tick(), agent.has_acted());
            Ok(put("facts", facts, dreamstep_agent_facts { seed, tick, has_acted })?)
        })
    }
}

/// Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `digest` is
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_digest(agent: *const dreamstep_agent, digest: *mut u64) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(put("digest", digest, agent.digest())?)) }
}

/// Copies the latent vector `[Z]` of the newest observation. Without V there is none: `len` is 0 then.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_latent(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(copy("latent", agent.latent(), values, len)?)) }
}

/// Copies `h` `[H]` of the recurrent state. Without M there is none: `len` is 0 then.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_hidden(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(copy("hidden", agent.hidden(), values, len)?)) }
}

/// Copies `c` `[H]` of the recurrent state. None but an LSTM has it: `len` is 0 else.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_cell(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(copy("cell", agent.cell(), values, len)?)) }
}

/// Copies the newest action `[U]` as M hears it: in [-1, 1], or one-hot.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_unit_action(
    agent: *const dreamstep_agent,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(copy("unit action", agent.unit_action(), values, len)?)) }
}

/// How surprised M is by the observation of the newest act: the negative log-likelihood of its latent vector under what M
/// predicted one step before, in nats per dimension; NaN in an episode's first tick, before which nothing was predicted. Call it
/// between act and advance, when the command is out: it runs the MDN head. It goes into `dreamstep_agent_health`, once a tick,
/// and changes nothing else. `surprise_limit` of `dreamstep_model_info` may say what is unusual. Refused where the file has no
/// MDN head or the model no memory, and without an act since the last advance or reset. `surprise` may be NULL.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. `surprise` is NULL
/// or writable, and not the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_surprise(agent: *mut dreamstep_agent, surprise: *mut f32) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            check_if_wanted("surprise", surprise)?;
            if !agent.model().has_mdn() {
                return Err(no_head("surprise", agent));
            }
            if !agent.has_acted() {
                return Err(Error::SurpriseBeforeAct);
            }
            put_if_wanted("surprise", surprise, agent.surprise().unwrap_or(f32::NAN))
        })
    }
}

/// What a running agent tells of itself: how many observed values were clipped, how many actions saturated, how surprised M was.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `health` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_health(
    agent: *const dreamstep_agent,
    health: *mut dreamstep_health,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        read(agent, |agent| {
            let &Health { ticks, clipped, saturated, surprises, surprise, surprise_mean, surprise_max, .. } = agent.health();
            let found = dreamstep_health { ticks, clipped, saturated, surprises, surprise, surprise_mean, surprise_max };
            Ok(put("health", health, found)?)
        })
    }
}

/// The newest choice, from 0, of a discrete agent. Refused of a continuous one.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `choice` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_choice(agent: *const dreamstep_agent, choice: *mut usize) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { read(agent, |agent| Ok(put("choice", choice, agent.choice().ok_or(dreamstep_status::Kind)?)?)) }
}

/// The reward and the probability of the end that the model expects after the newest advance. Runs the MDN head. Refused
/// where the file has none, or the model has no memory. Either pointer may be NULL.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. What is written
/// to is NULL or writable, and not the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_predict(
    agent: *mut dreamstep_agent,
    reward: *mut f32,
    terminal_probability: *mut f32,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let prediction = predict(agent)?;
            put_if_wanted("reward", reward, prediction.reward())?;
            put_if_wanted("terminal probability", terminal_probability, prediction.terminal_probability())
        })
    }
}

/// The latent vector `[Z]` that the model expects after the newest advance: the components' means by weight. Runs the MDN
/// head.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The floats are
/// writable, and not the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_expected_latent(
    agent: *mut dreamstep_agent,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
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
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The floats are
/// writable, and not the agent's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_sample_latent(
    agent: *mut dreamstep_agent,
    temperature: f32,
    seed: u64,
    step: u64,
    values: *mut f32,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            if !(temperature > 0.0 && temperature.is_finite()) {
                return Err(DreamError::Temperature { found: temperature }.into());
            }
            let z = latent_of(agent, values, len)?;
            predict(agent)?.sample_latent(temperature, Philox::new(seed), step, z);
            Ok(())
        })
    }
}

/// What the model expects.
fn predict<'a>(agent: &'a mut Agent<'_, '_>) -> Result<Prediction<'a>, Error> {
    let none = no_head("prediction", agent);
    agent.predict().ok_or(none)
}

/// Why there is nothing that the model expects.
fn no_head(what: &'static str, agent: &Agent<'_, '_>) -> Error {
    if agent.model().dims().hidden_len() == 0 { Error::NoMemory { what } } else { Error::NoHead { what } }
}

/// The caller's latent vector, of the agent's length.
///
/// # Safety
/// As for [`slice_mut`].
unsafe fn latent_of<'a>(agent: &Agent<'_, '_>, values: *mut f32, len: usize) -> Result<&'a mut [f32], Error> {
    check("latent", values, len)?;
    let expected = agent.model().dims().latent_len();
    if len != expected {
        return Err(Error::Length { what: "latent", expected, found: len });
    }
    // SAFETY: this function's precondition.
    unsafe { slice_mut("latent", values, len) }
}

/// Writes the agent's state to `bytes`, `dreamstep_model_state_len` of them: an agent continues from it here or on another
/// machine, bit for bit.
///
/// # Safety
/// `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` bytes
/// are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_save_state(
    agent: *const dreamstep_agent,
    bytes: *mut u8,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        read(agent, |agent| agent.save_state(slice_mut("state", bytes, len)?).map_err(|error| Error::from(error).into()))
    }
}

/// Continues from a state that this model's agent saved, with the bits that it would have given. Refused where it is another
/// model's, or damaged; nothing has changed then.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The `len` bytes
/// are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_load_state(
    agent: *mut dreamstep_agent,
    bytes: *const u8,
    len: usize,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe { change(agent, |agent| Ok(agent.load_state(slice("state", bytes, len)?)?)) }
}

/// Continues from the state of an agent of the same sizes and kinds, whatever its model. `*same_model`, unless NULL, becomes whether it
/// is this agent's. Where the call fails, nothing has changed.
///
/// # Safety
/// `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The `len` bytes
/// are readable, `same_model` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dreamstep_agent_adopt_state(
    agent: *mut dreamstep_agent,
    bytes: *const u8,
    len: usize,
    same_model: *mut bool,
) -> dreamstep_status {
    // SAFETY: what these calls ask for is this function's precondition.
    unsafe {
        change(agent, |agent| {
            let found = agent.adopt_state(slice("state", bytes, len)?)?;
            put_if_wanted("same model", same_model, found == StateMatch::SameModel)
        })
    }
}
