//! The converter from format packed-2: every tensor that the agent uses keeps its bytes; the header says what it is in packed-3's words.
//!
//! packed-2 had two hidden layers in V, an LSTM or a GRU for M and a linear C, always. A controller that reads observations alone was
//! stored with a V and an M that never ran: they are left out.

use super::all_metadata;
use super::writer::{Entry, safetensors_bytes};
use crate::action::Action;
use crate::c::{Controller, ControllerInput};
use crate::dims::{Dims, Widths};
use crate::m::{MemoryCell, Mixture, Recurrent};
use crate::names::{metadata as key, packed};
use crate::obs::Observation;
use crate::precision::Precision;
use crate::reader::File;
use crate::schema::{Acting, Settings, Squash, Target};
use crate::v::Encoder;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What `dreamstep.format` says in such a file.
pub const FORMAT: &str = "packed-2";

/// Keys of packed-2's settings: what is still one of packed-3's is written anew.
const SETTINGS: [&str; 21] = [
    "dims.encoder.0",
    "dims.encoder.1",
    "rnn.cell",
    key::DIM_OBS,
    key::DIM_ACTION,
    key::DIM_LATENT,
    key::DIM_HIDDEN,
    key::DIM_MIXTURES,
    key::OBS_CLIP,
    key::ACTION_SQUASH,
    key::ACTION_LATENT,
    key::LOG_VAR_RANGE[0],
    key::LOG_VAR_RANGE[1],
    key::RNN_INPUT,
    key::GMM_MIXTURE,
    key::GMM_TARGET,
    key::GMM_SIGMA,
    key::GMM_LOG_SIGMA_MIN,
    key::REWARD_OFFSET,
    key::CONTROLLER_INPUT,
    key::SELFTEST_DIGEST,
];

/// Whether `bytes` are a safetensors file that says it is packed-2.
#[must_use]
pub fn is_one(bytes: &[u8]) -> bool {
    File::parse(bytes).is_ok_and(|file| file.metadata(key::FORMAT) == Some(FORMAT))
}

/// The same agent as packed-3, without its self-test (see [`super::with_self_test`]); `period_s` is the seconds from tick to tick, which
/// packed-2 did not say. In f32 and i8 it acts bit for bit as before; f16 and bf16 have another arithmetic now.
///
/// # Errors
/// One line: not a packed-2 agent, or a setting that is missing or unknown.
pub fn convert(bytes: &[u8], period_s: Option<f64>) -> Result<Vec<u8>, String> {
    let file = File::parse(bytes).map_err(|error| error.to_string())?;
    let mut metadata = all_metadata(&file);
    let settings = settings(&metadata, period_s)?;
    let keep = |name: &str| {
        let layers = settings.dims.layers();
        let mut tensors = layers.iter().flat_map(|layer| layer.tensors(settings.precision));
        tensors.any(|spec| spec.name == name) || crate::schema::vectors(&settings).any(|spec| spec.name == name)
    };
    let entries: Vec<Entry<'_>> = file.tensors().filter(|tensor| keep(tensor.name)).map(Entry::of).collect();
    SETTINGS.iter().for_each(|old| drop(metadata.remove(*old)));
    let ours = settings.entries();
    metadata.extend(ours.into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(safetensors_bytes(&entries, &metadata))
}

/// The settings that a packed-2 header tells of.
fn settings(metadata: &BTreeMap<String, String>, period_s: Option<f64>) -> Result<Settings, String> {
    let get =
        |key: &str| metadata.get(key).map(String::as_str).ok_or_else(|| format!("metadata `{key}`: expected, not found"));
    let bad = |key: &str, expected: &str| {
        let found = metadata.get(key).map_or("", String::as_str);
        format!("metadata `{key}`: expected {expected}, found `{found}`")
    };
    if get(key::FORMAT)? != FORMAT {
        return Err(bad(key::FORMAT, FORMAT));
    }
    let dim = |key: &str| get(key)?.parse::<usize>().map_err(|_| bad(key, "an integer"));
    let number = |key: &str| get(key)?.parse::<f32>().map_err(|_| bad(key, "a number"));
    let cell = match metadata.get("rnn.cell").map(String::as_str) {
        None => MemoryCell::Lstm,
        Some(name) => {
            MemoryCell::ALL.into_iter().find(|cell| cell.name() == name).ok_or_else(|| bad("rnn.cell", "lstm or gru"))?
        }
    };
    let input = match metadata.get(key::CONTROLLER_INPUT) {
        None => ControllerInput::LatentHidden,
        Some(name) => ControllerInput::ALL
            .into_iter()
            .find(|input| input.name() == name)
            .ok_or_else(|| bad(key::CONTROLLER_INPUT, "z+h, z, h, obs or obs+h"))?,
    };
    let one_of = |key: &str, names: [&str; 2]| {
        let found = get(key)?;
        names.iter().position(|name| *name == found).ok_or_else(|| bad(key, &names.join(" or ")))
    };
    let mixture = Mixture::ALL[one_of(key::GMM_MIXTURE, Mixture::ALL.map(Mixture::name))?];
    let hidden = Widths::new(&[dim("dims.encoder.0")?, dim("dims.encoder.1")?]);
    let latent = dim(key::DIM_LATENT)?;
    let recurrent = Recurrent { hidden: dim(key::DIM_HIDDEN)?, mixtures: dim(key::DIM_MIXTURES)?, mixture };
    let dims = Dims::new(
        Observation::Vector { len: dim(key::DIM_OBS)? },
        Encoder::Mlp { hidden: hidden.ok_or_else(|| bad("dims.encoder.0", "a width above 0"))?, latent },
        cell.memory(recurrent),
        Controller::linear(input),
        Action::Continuous { len: dim(key::DIM_ACTION)? },
    );
    // Leaves out the V and M of a controller that reads observations alone.
    let mut settings = Settings::new(dims.with_input(input));
    let precision = get(key::PRECISION)?;
    settings.precision = Precision::ALL
        .into_iter()
        .find(|known| known.name() == precision)
        .ok_or_else(|| bad(key::PRECISION, "f32, f16, bf16 or i8"))?;
    settings.period_s = period_s;
    settings.obs_clip = number(key::OBS_CLIP)?;
    settings.squash = [Squash::Clamp, Squash::Tanh][one_of(key::ACTION_SQUASH, ["clamp", "tanh"])?];
    settings.acting = [Acting::Mean, Acting::Sampled][one_of(key::ACTION_LATENT, ["mean", "sampled"])?];
    settings.log_var_range = [number(key::LOG_VAR_RANGE[0])?, number(key::LOG_VAR_RANGE[1])?];
    settings.target = Target::ALL[one_of(key::GMM_TARGET, Target::ALL.map(Target::name))?];
    settings.log_sigma_min = number(key::GMM_LOG_SIGMA_MIN)?;
    settings.reward_offset = number(key::REWARD_OFFSET)?;
    Ok(settings)
}

/// The self-test's observations `[T][O]` and actions `[T][A]` of a packed-2 agent; empty where it has none.
///
/// # Errors
/// One line: not a packed-2 agent.
pub fn self_test(bytes: &[u8]) -> Result<super::SelfTest, String> {
    let file = File::parse(bytes).map_err(|error| error.to_string())?;
    let dims = settings(&all_metadata(&file), None)?.dims;
    Ok(super::SelfTest {
        observations: super::table(&file, packed::SELFTEST_OBSERVATIONS, dims.obs_len()),
        actions: super::table(&file, packed::SELFTEST_ACTIONS, dims.action_len()),
    })
}
