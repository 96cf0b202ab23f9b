//! What the control loop calls, as functions of their own: `scripts/no_panic.py` disassembles them and looks for panics.

use dreamstep_runtime::{Agent, Model, ReplaceModelError, StepError};

#[unsafe(no_mangle)]
fn entry_act(agent: &mut Agent<'_, '_>, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
    agent.act(observation, action)
}

#[unsafe(no_mangle)]
fn entry_override_action(agent: &mut Agent<'_, '_>, applied: &[f32]) -> Result<(), StepError> {
    agent.override_action(applied)
}

#[unsafe(no_mangle)]
fn entry_advance(agent: &mut Agent<'_, '_>) -> Result<(), StepError> {
    agent.advance()
}

#[unsafe(no_mangle)]
fn entry_step(agent: &mut Agent<'_, '_>, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
    agent.step(observation, action)
}

#[unsafe(no_mangle)]
fn entry_reset(agent: &mut Agent<'_, '_>) {
    agent.reset();
}

#[unsafe(no_mangle)]
fn entry_digest(agent: &Agent<'_, '_>) -> u64 {
    agent.digest()
}

#[unsafe(no_mangle)]
fn entry_peek(agent: &mut Agent<'_, '_>, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
    agent.peek(observation, action)
}

#[unsafe(no_mangle)]
fn entry_surprise(agent: &mut Agent<'_, '_>) -> Option<f32> {
    agent.surprise()
}

#[unsafe(no_mangle)]
fn entry_replace_model<'f>(agent: &mut Agent<'_, 'f>, model: Model<'f>) -> Result<(), ReplaceModelError> {
    agent.replace_model(model)
}

#[unsafe(no_mangle)]
fn entry_act_image(agent: &mut Agent<'_, '_>, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
    agent.act_image(frame, stride, action)
}

#[unsafe(no_mangle)]
fn entry_step_image(agent: &mut Agent<'_, '_>, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
    agent.step_image(frame, stride, action)
}

#[unsafe(no_mangle)]
fn entry_peek_image(agent: &mut Agent<'_, '_>, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
    agent.peek_image(frame, stride, action)
}

#[unsafe(no_mangle)]
fn entry_act_prepared<'a>(agent: &'a mut Agent<'_, '_>, picture: &[u8]) -> Result<&'a [f32], StepError> {
    agent.act_prepared(picture)
}
